"""The exit codes of the commands that gate nothing, and what a real shell makes of those that do."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.callers import until
from tests.forks import PROGRAM
from tests.integration import behaviours as does
from tests.integration.faults_late import sent_twice
from tests.integration.program import ACTION, PATHS

if TYPE_CHECKING:
    from tests.integration.ledger import Row
    from tests.integration.program import World


def _ask(world: World) -> Row:
    """A request that stands and that nobody waits for."""
    assert world.run("request", "--no-wait", "--json", "--", ACTION, action=ACTION).code == 8
    return world.platform.rows[-1]


# --- the approver's side, and the log -----------------------------------------------------------------------------------


@pytest.fixture
def approver(world: World) -> World:
    """A world in which the administrator's token is at hand."""
    world.env["MOLECULE_APPROVER_TOKEN"] = world.platform.admin
    return world


@pytest.mark.parametrize(("command", "status"), [("approve", "approved"), ("deny", "denied")])
def test_0_when_it_was_decided_and_3_when_it_had_ended(approver: World, command: str, status: str) -> None:
    """The first decision is done, the second comes too late."""
    row = _ask(approver)
    first, second = approver.run(command, "--yes", row.id), approver.run(command, "--yes", row.id)
    assert (first.code, second.code, row.status) == (0, 3, status)


def test_0_when_it_was_withdrawn_and_3_when_it_had_ended(world: World) -> None:
    """``withdraw`` takes back what is pending, and nothing else."""
    row, other = _ask(world), _ask(world)
    world.platform.decide(other)
    assert [world.run("withdraw", found.id).code for found in (row, other)] == [0, 3]


@pytest.mark.parametrize("seen", [True, False])
def test_a_row_that_a_proxy_doubled_stays_open_for_nobody(world: World, seen: bool) -> None:
    """``--no-wait`` finds the second row at once, and ``withdraw`` finds one that was not to be seen then."""
    world.platform.on("submit", sent_twice)
    if not seen:
        world.platform.on("list", does.status(404, "no route"), range(1, 3))
    asked = world.run("request", "--no-wait", "--json", "--", ACTION, action=ACTION)
    assert asked.code == 8
    mine = asked.answer["approval_id"]
    (other,) = [row for row in world.platform.rows if row.id != mine]
    assert (other.decided_by == "withdrawn") is seen
    assert world.run("withdraw", mine).code == 0
    assert {row.decided_by for row in world.platform.rows} == {"withdrawn"}


@pytest.mark.parametrize("command", [("approve", "--yes"), ("deny", "--yes"), ("withdraw",), ("status",)])
def test_125_when_it_was_not_done(approver: World, command: tuple[str, ...]) -> None:
    """Without a platform nothing is decided, taken back or told."""
    row = _ask(approver)
    approver.platform.leave()
    assert approver.run(*command, row.id).code == 125


@pytest.mark.parametrize("path", PATHS)
def test_a_list_that_is_behind_gives_no_second_0(world: World, path: str) -> None:
    """A replica that still shows a used request of our key as pending lets it be taken up, and not be used again."""
    first = world.request(path, "--idempotency-key", "nightly")
    world.await_waiting(path)
    world.platform.decide(world.platform.rows[0])
    assert first.wait().code == 0
    behind = does.each_row(status="pending", decided_by=None, decided_at=None)
    seen = world.platform.count("list")
    world.platform.on("list", behind, range(seen + 1, seen + 2))
    second = world.request(path, "--idempotency-key", "nightly").wait()
    assert (second.code, second.answer["error"]["kind"]) == (125, "already_used")
    assert len(world.platform.rows) == 1


@pytest.mark.parametrize("command", [("approve", "--yes"), ("deny", "--yes"), ("withdraw",)])
@pytest.mark.parametrize("code", [200, 201, 204])
def test_125_when_a_portal_answers(approver: World, command: tuple[str, ...], code: int) -> None:
    """A success that does not name the request and what became of it is no success, and nothing says "done"."""
    row = _ask(approver)
    page = does.answers(b"" if code == 204 else b"<html>Please sign in</html>", code, ("Content-Type", "text/html"))
    approver.platform.on("decide", page)
    facts = approver.run(*command, row.id)
    assert (facts.code, facts.stdout, row.status) == (125, b"", "pending")


def test_2_when_there_is_no_terminal_to_ask_at(approver: World) -> None:
    """``approve`` without ``--yes`` wants a terminal."""
    row = _ask(approver)
    assert (approver.run("approve", row.id).code, row.status) == (2, "pending")


def test_pending_lists_and_leaves_with_0(world: World) -> None:
    """``pending`` and ``status`` without an id print an array, oldest first."""
    rows = [_ask(world), _ask(world)]
    for command in ("pending", "status"):
        facts = world.run(command, "--json")
        assert facts.code == 0
        assert [facts.stdout.index(row.id.encode()) for row in rows] == sorted(
            facts.stdout.index(row.id.encode()) for row in rows
        )


def test_65_when_the_log_is_not_whole(world: World) -> None:
    """``audit verify`` is 0 on a whole log and names the first line that is not."""
    _ask(world)
    assert world.run("audit", "verify").code == 0
    whole = world.log.read_bytes()
    world.log.write_bytes(whole.replace(ACTION.encode(), b"have a break", 1))
    damaged = world.run("audit", "verify")
    world.log.write_bytes(whole)
    assert damaged.code == 65
    assert b"line 1" in damaged.stdout + damaged.stderr


def test_audit_tail_leaves_with_0_when_its_reader_goes_and_130_on_ctrl_c(world: World) -> None:
    """A follower whose reader went away is done; one that was interrupted says so."""
    _ask(world)
    shown = world.run("audit", "tail", "--json")
    assert (shown.code, len(shown.stdout.splitlines())) == (0, 2)
    follower = world.start("audit", "tail", "-f", "--json")
    until(lambda: follower.stdout)
    follower.signal(signal.SIGINT)
    assert follower.wait().code == 130
    piped = world.run(command=("/bin/bash", "-c", 'set -o pipefail; "$@" audit tail -f | head -n 1', "bash", *PROGRAM))
    assert piped.code == 0


# --- a real shell -------------------------------------------------------------------------------------------------------

_SCRIPTS = {
    "set -e": 'set -e; "$@" -- "drop it"; echo dropped',
    "if": 'if "$@" -- "drop it"; then echo dropped; else exit $?; fi',
    "and": '"$@" -- "drop it" && echo dropped',
    "dollar": '"$@" -- "drop it"; code=$?; [ $code -eq 0 ] && echo dropped; exit $code',
    "pipe": 'set -o pipefail; "$@" -- "drop it" | cat && echo dropped',
}


@pytest.mark.parametrize("script", _SCRIPTS)
@pytest.mark.parametrize(("status", "code"), [("approved", 0), ("denied", 77)])
def test_a_script_goes_on_only_after_a_yes(world: World, script: str, status: str, code: int) -> None:
    """In bash the guarded command runs after an approval and not otherwise, and the script's code is ours."""
    # On the socket for one of the two, by polling for the other: the shell knows no difference.
    path = PATHS[code == 0]
    pace = ("--transport", path, "--poll-interval", "1", "--timeout", "10")
    command = ("/bin/bash", "-c", _SCRIPTS[script], "bash", *PROGRAM, "request", *pace)
    program = world.start(command=command)
    world.await_waiting(path)
    world.platform.decide(world.platform.rows[0], status, "alice")
    facts = program.wait()
    assert facts.code == code
    assert (b"dropped" in facts.stdout) == (code == 0)
