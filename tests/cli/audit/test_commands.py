"""What the views of the audit log say about commands, by records that ``run`` wrote."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from molecule_approve.cli.audit import tail
from molecule_approve.cli.audit.commands import style_of_record
from molecule_approve.cli.audit.table import Table

if TYPE_CHECKING:
    from pathlib import Path

    from tests.callers import Caller, Told

SUCCESS, FAILURE, KILLED = ("true",), ("sh", "-c", "exit 3"), ("sh", "-c", "kill -TERM $$")
KILLS_US = ("sh", "-c", "kill -9 $PPID")


def ran(
    caller: Caller, *command: str, by: Callable[..., Told] | None = None, before: Callable[[], object] | None = None
) -> Told:
    """Run a command that alice approves, in this process or in one of its own; something may happen just before that."""
    shown = caller.main("run", "--show", "--", *command).out

    def approve(approval_id: str) -> None:
        if before is not None:
            before()
        caller.desk.decide(approval_id)

    with caller.answering(shown.rstrip("\n"), approve):
        return (by or caller.main)("run", "--", *command)


def refused(caller: Caller, folder: Path) -> str:
    """Run a program that is replaced before it is approved; its path."""
    script = folder / "script.sh"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    assert ran(caller, str(script), before=lambda: script.write_text("#!/bin/sh\nexit 1\n")).code == 125
    return str(script)


def story(caller: Caller) -> tuple[list[str], dict[str, Any]]:
    """The last request's story, as lines and as JSON."""
    one = caller.requested()
    return caller.main("audit", "show", one).out.splitlines(), json.loads(caller.main("audit", "show", "--json", one).out)


def rows(caller: Caller) -> list[str]:
    """The table that ``audit tail`` shows, in a wide window."""
    table = Table("utf-8")
    lines = caller.log.read_bytes().splitlines(keepends=True)
    return ["".join(text for text, _ in row) for line in lines for row in table.rows(line, 200)][1:]


# --- show ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "end", "code", "number"),
    [
        (SUCCESS, "exited with 0", 0, None),
        (FAILURE, "exited with 3", 3, None),
        (KILLED, "was ended by SIGTERM", 143, 15),
    ],
)
def test_the_story_says_how_the_command_ended(
    caller: Caller, command: tuple[str, ...], end: str, code: int, number: int | None
) -> None:
    """It was asked, approved, started and ended; the JSON object has what a result file has."""
    assert ran(caller, *command).code == code
    lines, found = story(caller)
    assert [one["happened"] for one in found["records"]][2:] == [
        "approved by alice", "the command was started", f"the command {end}",
    ]  # fmt: skip
    assert lines[-2] == f"command: {end}"
    digest = caller.records()[-2]["digest"]
    assert found["execution"] == {
        "executed": "finished", "child_exit_code": code, "child_signal": number, "digest": digest, "error": None,
    }  # fmt: skip
    assert found["outcome"] == "granted"


def test_the_facts_stand_below_the_command_and_only_there(caller: Caller) -> None:
    """What is bound is told once, each fact in a line; the records do not repeat it."""
    ran(caller, *FAILURE)
    lines, found = story(caller)
    command, *facts = found["action"].split("\n")
    assert lines[0] == f"asked      {command}"
    assert [line.strip() for line in lines[1 : len(facts) + 1]] == facts
    assert sum("digest" in line for line in lines) == 1


def test_what_differs_from_the_approved_command_is_told(caller: Caller) -> None:
    """A record with another digest than the approved one shows it."""
    ran(caller, *SUCCESS)
    digest = caller.records()[-1]["digest"]
    before, after = caller.log.read_bytes().rsplit(f'"digest":"{digest}"'.encode(), 1)
    caller.log.write_bytes(before + f'"digest":"{"0" * 64}"'.encode() + after)
    assert f"digest: {'0' * 64}" in [line.strip() for line in story(caller)[0]]


def test_a_refused_command_says_why(caller: Caller, tmp_path: Path) -> None:
    """Nothing was started, and the reason is the one that the caller was given."""
    script = refused(caller, tmp_path)
    lines, found = story(caller)
    assert lines[-2].startswith("command: was not run: what was approved has changed: ")
    assert script in lines[-2]
    assert (found["execution"]["executed"], found["execution"]["child_exit_code"]) == ("no", None)
    assert found["execution"]["error"] == caller.records()[-1]["error"]


def test_a_start_without_an_end_says_so(caller: Caller) -> None:
    """The program was killed by its own command, or was replaced by it; JSON says that it was started."""
    assert ran(caller, *KILLS_US, by=caller.run).code == -9
    lines, found = story(caller)
    assert lines[-2] == "command: no record of its end: it still runs, or this program was killed"
    assert found["execution"]["executed"] == "started"

    told = ran(caller, *SUCCESS, by=lambda run, *rest: caller.run(run, "--exec", *rest))
    assert told.code == 0
    lines, found = story(caller)
    assert lines[-2] == "command: no record of its end: it took the place of this program (--exec)"
    assert found["records"][-1]["happened"] == "the command was started, in place of this program (--exec)"


def test_a_grant_without_a_start_says_so(caller: Caller) -> None:
    """The approval was redeemed by ``wait``, which runs nothing; a request that is no command has no such line."""
    text = caller.main("run", "--show", "--", *SUCCESS).out.rstrip("\n")
    for action, line in ((text, "command: the log has no record of a start"), ("deploy", "ended: approved by alice, ")):
        with caller.answering(action):
            assert caller.main("request", "--", action).code == 0
        lines, found = story(caller)
        assert lines[-2].startswith(line)
        assert found["execution"] is None


# --- tail ----------------------------------------------------------------------------------------------------------------


def test_the_table_shows_the_command_alone_and_its_end(caller: Caller, tmp_path: Path) -> None:
    """Without the facts; each row with its outcome, and the last one with how it ended or why it was refused."""
    ran(caller, *KILLED)
    script = refused(caller, tmp_path)
    shown = rows(caller)
    line = "sh -c 'kill -TERM $$'"
    assert [row.split()[2] for row in shown[:5]] == ["initiated", "requested", "granted", "started", "finished"]
    assert all(f"  {line}  " in row for row in shown[:5])
    assert f"  {line}  it was ended by SIGTERM; approval " in shown[4]
    assert f" refused    {script}  changed; what was approved has changed: " in shown[-1]
    assert not [row for row in shown if "program:" in row or "\\n" in row]


def test_tail_finds_them_by_their_outcome(caller: Caller, tmp_path: Path) -> None:
    """Each of the three words is a filter, and Tab offers it."""
    ran(caller, *SUCCESS)
    refused(caller, tmp_path)
    for outcome in ("started", "finished", "refused"):
        told = caller.run("audit", "tail", "--outcome", outcome)
        assert [json.loads(line)["outcome"] for line in told.out.splitlines()] == [outcome]
        assert outcome in tail._outcomes()


@pytest.mark.parametrize(
    ("fields", "style"),
    [
        ({"action": "execute", "outcome": "started"}, "open"),
        ({"action": "execute", "outcome": "finished", "exit_code": 0}, "good"),
        ({"action": "execute", "outcome": "finished", "exit_code": 3}, "warning"),
        ({"action": "execute", "outcome": "finished"}, "warning"),
        ({"action": "execute", "outcome": "refused"}, "fault"),
        ({"action": "approve", "outcome": "denied", "exit_code": 3}, "bad"),
        ({"action": "observe", "outcome": "observed", "observed_outcome": "granted"}, "good"),
    ],
)
def test_the_style_says_whether_to_look(fields: dict[str, Any], style: str) -> None:
    """Only a command that exited with 0 looks good."""
    assert style_of_record(fields) == style


# --- stats, verify, export -----------------------------------------------------------------------------------------------


def test_stats_and_verify_count_them(caller: Caller, tmp_path: Path) -> None:
    """One of each end; the log is whole, also against the platform, and a start without an end is no error."""
    for command in (SUCCESS, FAILURE, KILLED):
        ran(caller, *command)
    refused(caller, tmp_path)
    ran(caller, *KILLS_US, by=caller.run)
    counted = json.loads(caller.main("audit", "stats", "--json").out)
    assert counted["commands"] == {"started": 4, "succeeded": 1, "failed": 2, "open": 1, "refused": 1}
    start = caller.records()[-1]
    checked = caller.main("audit", "verify", "--against-platform", "--json")
    found = json.loads(checked.out)
    assert (checked.code, found["whole"], found["open_requests"]["count"], found["odd_starts"]["count"]) == (0, True, 0, 0)
    assert found["open_commands"] == {"count": 1, "traces": [{"trace_id": start["trace_id"], "seq": start["seq"]}]}
    told = caller.main("audit", "verify").out
    assert f"no recorded end (not an error): 1 command: {start['trace_id']} (record {start['seq']})\n" in told


def test_an_export_of_a_command_is_whole(caller: Caller, tmp_path: Path) -> None:
    """Its start and its end are in it, and it is checked like any other."""
    ran(caller, *FAILURE)
    evidence = str(tmp_path / "evidence.json")
    assert caller.main("audit", "export", "--complete", "-o", evidence, caller.requested()).code == 0
    checked = caller.main("audit", "verify", evidence)
    assert checked.code == 0
    assert "outcomes: 1 initiated, 2 requested, 3 granted, 4 started, 5 finished\n" in checked.out
