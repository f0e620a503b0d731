"""`status`, `pending` and `withdraw`: looking at requests and taking one back."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from molecule_approve.server.users import user_name
from tests.callers import until
from tests.integration import behaviours as does

if TYPE_CHECKING:
    from tests.callers import Caller
    from tests.integration.fake_platform import FakePlatform
    from tests.server.desk import Desk


@pytest.mark.parametrize(
    ("end", "code", "line"),
    [
        ("approved", 0, "approved by alice"),
        ("denied", 77, "denied by alice"),
        ("withdraw", 124, "withdrawn by the requester"),
        ("", 8, "pending: nobody has decided yet"),
    ],
)
def test_how_one_request_stands(caller: Caller, end: str, code: int, line: str) -> None:
    """The exit code of its outcome, one line, and the same as an object; nothing is used up."""
    found = caller.desk.ask("drop\nit")
    if end == "withdraw":
        caller.desk.withdraw(found)
    elif end:
        caller.desk.decide(found, end)
    for _ in range(2):
        told = caller.main("status", found)
        assert (told.code, told.out) == (code, f"{line}  (drop\\nit)\n")
    told = caller.main("status", "--json", found[:8])
    assert (told.code, told.object["approval_id"], told.object["recorded"]) == (code, found, False)


def test_an_escalated_request_is_pending(caller: Caller, platform: FakePlatform) -> None:
    """It waits for somebody else: 8."""
    row = platform.add(platform.workspace, {"action": "x"})
    platform.on("list", does.each_row(status="escalated"))
    assert caller.main("status", row.id).code == 8


def test_a_status_that_is_none_is_125(caller: Caller, platform: FakePlatform) -> None:
    """It is no verdict, and the object says why."""
    row = platform.add(platform.workspace, {"action": "x"})
    platform.on("list", does.each_row(status="celebrated"))
    told = caller.main("status", "--json", row.id)
    assert (told.code, told.object["outcome"], told.object["error"]["kind"]) == (125, "failed", "protocol")


def test_a_denial_without_a_name_is_nobodys(caller: Caller, platform: FakePlatform) -> None:
    """In a list and alone; times that are no times are no fault."""
    row = platform.add(platform.workspace, {"action": "x"})
    platform.on("list", does.each_row(status="denied", decided_by=None, created_at="soon"))
    assert caller.main("status").out == f"{row.id}  soon  denied by nobody  x\n"
    told = caller.main("status", "--json", row.id)
    assert (told.code, told.object["decided_by"], told.object["waited_seconds"]) == (77, None, 0.0)


def test_the_newest_stand_oldest_first(caller: Caller, platform: FakePlatform) -> None:
    """`status` lists all, `pending` what is open; in lines and as one array."""
    rows = [platform.add(platform.workspace, {"action": f"x{number}"}) for number in range(3)]
    platform.decide(rows[1], "denied", "bob")
    told = caller.main("status")
    assert (told.code, [line.split()[0] for line in told.out.splitlines()]) == (0, [row.id for row in rows])
    assert "denied by bob" in told.out.splitlines()[1]
    assert [one["action"] for one in caller.main("status", "--json").array] == ["x0", "x1", "x2"]
    assert [one["action"] for one in caller.main("pending", "--json").array] == ["x0", "x2"]
    assert len(caller.main("pending").out.splitlines()) == 2


def test_a_list_and_one_request_do_not_contradict_each_other(caller: Caller) -> None:
    """What a list does not tell is null in it, never false; what it tells is what `status ID` tells."""
    found = caller.desk.ask("x", expires_in=600)
    caller.desk.decide(found, comment="fine")
    one = caller.main("status", "--json", found).object
    listed = next(row for row in caller.main("status", "--json").array if row["approval_id"] == found)
    assert (one["decided_by_verified"], one["comment"], listed["decided_by_verified"]) == (True, "fine", None)
    assert {key for key in one if listed[key] not in (None, one[key])} == set()


def test_of_nobody_s_name_nothing_is_known(caller: Caller) -> None:
    """A request that waits, was withdrawn or has expired: alone, listed, and for an approver who sees what waits."""
    waits, gone, late = caller.desk.ask("waits"), caller.desk.ask("gone"), caller.desk.ask("late", expires_in=0.2)
    assert caller.main("withdraw", gone).code == 0
    assert caller.main("wait", "--action", "late", late).code == 124
    alone = [caller.main("status", "--json", one).object for one in (waits, gone, late)]
    assert [one["outcome"] for one in alone] == ["pending", "withdrawn", "expired"]
    caller.set(MOLECULE_APPROVER_TOKEN=str(caller.desk.decider.headers["authorization"]).removeprefix("Bearer "))
    listed = [*caller.main("status", "--json").array, *caller.main("pending", "--json").array]
    ours = [one for one in listed if one["approval_id"] in {waits, gone, late}]
    assert len(ours) == 4
    for one in (*alone, *ours):
        assert (one["decided_by"] in {None, "withdrawn", "auto-expired"}, one["decided_by_verified"]) == (True, None)


def test_nothing_to_list(caller: Caller, platform: FakePlatform) -> None:
    """0, an empty array; in words stderr says it."""
    for command, words in (("status", "no requests"), ("pending", "nothing waits for a decision")):
        told = caller.main(command)
        assert (told.code, told.out, told.err) == (0, "", f"molecule-approve: {words}\n")
        assert caller.main(command, "--json").array == []


def test_a_failure_is_one_object_or_one_array(caller: Caller, platform: FakePlatform) -> None:
    """125, and stdout can be read by a program; in words it stays empty."""
    platform.stop()
    missing = "00000000-0000-4000-8000-000000000000"
    told = caller.main("status", "--json", missing)
    assert (told.code, told.object["outcome"], told.object["error"]["kind"]) == (125, "failed", "unavailable")
    for command in ("status", "pending"):
        told = caller.main(command, "--json")
        assert (told.code, [one["outcome"] for one in told.array]) == (125, ["failed"])
        assert caller.main(command).out == ""


def test_an_unknown_id_is_125_with_a_hint(caller: Caller) -> None:
    """And in --json an object."""
    told = caller.main("status", "--json", "00000000-0000-4000-8000-000000000000")
    assert (told.code, told.object["error"]["kind"]) == (125, "unknown_approval")
    assert "hint: " in told.err


@pytest.mark.measured
@pytest.mark.parametrize(("decision", "code"), [("approved", 125), ("denied", 77)])
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_what_could_not_be_told(caller: Caller, decision: str, code: int, options: tuple[str, ...]) -> None:
    """A yes that nobody could read is none; a no stays a no."""
    found = caller.desk.ask()
    caller.desk.decide(found, decision)
    with Path("/dev/full").open("w") as full:
        told = caller.run("status", *options, found, stdout=full)
    assert told.code == code
    assert "cannot write to stdout" in told.err


# --- what status lets the log know ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "code", "outcome", "sentence"),
    [
        ("approved", 0, "granted", "approved by alice: fine, observed later by status"),
        ("denied", 77, "denied", "denied by alice: fine, observed later by status"),
        ("withdraw", 124, "withdrawn", "withdrawn, observed later by status"),
        ("expire", 124, "timeout", "timed out, observed later by status"),
    ],
)
def test_an_ending_that_the_log_does_not_know_is_recorded_once(
    caller: Caller, end: str, code: int, outcome: str, sentence: str
) -> None:
    """Every view then tells it: no request is open that is known to have ended, and the log stays whole."""
    expiry = ("--expires-in", "1s") if end == "expire" else ()
    found = caller.main("request", "--no-wait", *expiry, "--", "drop it").out.strip()
    told = json.loads(caller.main("audit", "verify", "--json").out)
    assert (told["open_requests"]["count"], told["not_awaited_requests"]["count"]) == (0, 1)
    if end in {"approved", "denied"}:
        caller.desk.decide(found, end, comment="fine")
    elif end == "withdraw":
        caller.desk.withdraw(found)
    until(lambda: caller.main("status", found).code == code)
    assert (caller.main("status", "--json", found).code, len(caller.records())) == (code, 3)
    seen = caller.records()[-1]
    assert (seen["action"], seen["outcome"], seen["observed_outcome"], seen["observed_by"]) == (
        "observe",
        "observed",
        outcome,
        "status",
    )
    assert (seen["trace_id"], seen["approval_id"], seen["resource"]) == (caller.records()[0]["trace_id"], found, "drop it")
    shown = caller.main("audit", "show", found).out
    assert f"\nended: {sentence}, +" in shown
    told = json.loads(caller.main("audit", "show", "--json", found).out)
    assert (told["outcome"], told["observed"]) == (outcome, True)
    counted = json.loads(caller.main("audit", "stats", "--json").out)["outcomes"]
    assert {word: count for word, count in counted.items() if count} == {outcome: 1}
    told = json.loads(caller.main("audit", "verify", "--json").out)
    assert (told["whole"], told["open_requests"]["count"], told["not_awaited_requests"]["count"]) == (True, 0, 0)
    export = caller.folder / "export.json"
    assert caller.main("audit", "export", found, "-o", str(export)).code == 0
    assert f"3 observed {outcome}" in caller.main("audit", "verify", str(export)).out


def test_an_approval_that_status_saw_is_not_used_up(caller: Caller) -> None:
    """One `wait` gets it, and only one; its own record is the ending then, and nothing is left to observe."""
    found = caller.main("request", "--no-wait", "--", "drop it").out.strip()
    caller.desk.decide(found)
    assert [caller.main(*argv, found).code for argv in (("status",), ("wait",), ("wait",), ("status",))] == [0, 0, 125, 0]
    words = [record["outcome"] for record in caller.records()]
    assert words == ["initiated", "requested", "observed", "resumed", "granted", "resumed", "failure"]
    told = json.loads(caller.main("audit", "show", "--json", found).out)
    assert (told["outcome"], told["observed"]) == ("granted", False)


def test_what_is_not_open_in_our_log_is_not_recorded(caller: Caller) -> None:
    """What somebody else asked, what waits still, and what an attempt recorded."""
    theirs = caller.desk.ask()
    caller.desk.decide(theirs)
    assert caller.main("status", theirs).code == 0
    assert not caller.log.exists()
    found = caller.main("request", "--no-wait", "--", "drop it").out.strip()
    assert caller.main("status", found).code == 8
    caller.desk.decide(found, "denied")
    assert caller.main("wait", found).code == 77
    before = caller.records()
    assert [caller.main("status", one).code for one in (theirs, found)] == [0, 77]
    assert caller.records() == before


def test_a_request_under_a_key_is_seen_for_all_who_asked_it(caller: Caller) -> None:
    """Each of them is open in the log by itself."""
    asked = ("request", "--no-wait", "--idempotency-key", "job 8", "--", "drop it")
    first, second = caller.main(*asked).out, caller.main(*asked).out
    assert first == second
    caller.desk.decide(first.strip())
    for _ in range(2):
        assert caller.main("status", first.strip()).code == 0
    seen = [record["trace_id"] for record in caller.records() if record["action"] == "observe"]
    assert sorted(seen) == sorted({record["trace_id"] for record in caller.records()})


@pytest.mark.parametrize("other", [False, True])
def test_only_the_very_request_is_recorded(caller: Caller, platform: FakePlatform, other: bool) -> None:
    """Not one that the platform shows with another text; where ours stands masked in the log, the id must do."""
    action = f"use {platform.token}"
    found = caller.main("request", "--no-wait", "--", "drop it" if other else action).out.strip()
    shown = {"action": "drop more"} if other else {}
    platform.on("list", does.each_row(status="approved", decided_by="bob", **shown))
    caller.main("status", found)
    assert [record["outcome"] for record in caller.records()[2:]] == ([] if other else ["observed"])
    assert other or (caller.records()[-1]["actor"], caller.records()[-1]["resource"]) == ("bob", "use [secret removed]")


def test_a_log_that_cannot_be_written_does_not_change_an_answer(caller: Caller) -> None:
    """It is a warning."""
    found = caller.main("request", "--no-wait", "--", "drop it").out.strip()
    caller.desk.decide(found)
    caller.log.chmod(0o666)
    told = caller.main("status", "--json", found)
    assert (told.code, told.object["approved"]) == (0, True)
    assert told.err.startswith("molecule-approve: warning: ")


def test_pending_as_an_approver(caller: Caller, platform: FakePlatform) -> None:
    """The administrator's token reads the workspace's own list, and expires nothing."""
    platform.add(platform.workspace, {"action": "x"})
    caller.set(MOLECULE_APPROVER_TOKEN=platform.admin, MOLECULE_TOKEN="wrong")
    assert len(caller.main("pending").out.splitlines()) == 1
    assert platform.count("pending") == 0


def _crowd_out(desk: Desk, action: str) -> str:
    """A request that waits behind fifty newer ones, which have all ended."""
    found = desk.ask(action)
    for _ in range(51):
        desk.withdraw(desk.ask("newer"))
    return found


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("approver", [False, True])
def test_what_waits_is_found_behind_fifty_that_ended(own: Caller, approver: bool) -> None:
    """In words, as an array, and by the beginning of its id, for whoever asks and for whoever decides."""
    found = _crowd_out(own.desk, "old")
    if approver:
        own.set(MOLECULE_APPROVER_TOKEN=own.desk.decider.headers["Authorization"].removeprefix("Bearer "))
    told = own.main("pending")
    assert (told.code, told.out.split()[0], told.err) == (0, found, "")
    assert [one["approval_id"] for one in own.main("pending", "--json").array] == [found]
    assert own.main("status", found[:8]).code == 8
    told = own.main("status", "zzzzzz")
    searched = "none of the 50 newest and the 1 oldest pending requests begins with 'zzzzzz'"
    assert (told.code, searched in told.err) == (2, True)
    if approver:
        assert own.main("approve", "--yes", found[:8]).out == f"approved {found}\n"


def test_where_not_all_are_shown_it_is_said(seated: Caller) -> None:
    """How many wait, and how many of them stand there."""
    for _ in range(101):
        seated.desk.ask()
    told = seated.main("pending")
    assert (told.code, told.out.count("\n")) == (0, 100)
    assert told.err == "molecule-approve: 100 of 101 that wait are shown, the oldest\n"
    assert len(seated.main("pending", "--json").array) == 100


def test_another_workspaces_request_says_whose_it_is(seated: Caller) -> None:
    """An approver sees what waits everywhere, with the workspace's name."""
    seated.desk.ask()
    seated.set(WORKSPACE_ID="elsewhere")
    assert "  pending of workspace local  deploy\n" in seated.main("pending").out


@pytest.mark.parametrize("waits", [False, True])
def test_a_platform_that_lists_fifty_is_not_believed_further(caller: Caller, platform: FakePlatform, waits: bool) -> None:
    """Older ones may still wait: where nothing that is listed does, and where something does."""
    platform.add(platform.workspace, {"action": "old"})
    for _ in range(50):
        row = platform.add(platform.workspace, {"action": "newer"})
        platform.decide(row, "denied", "bob")
    if waits:
        platform.add(platform.workspace, {"action": "newest"})
    told = caller.main("pending")
    assert (told.code, told.out.count("\n")) == (0, int(waits))
    assert "the platform lists only its 50 newest requests; older ones may still wait\n" in told.err
    assert "nothing waits for a decision" not in told.err
    assert len(caller.main("pending", "--json").array) == int(waits)


def test_only_so_many_of_the_newest(caller: Caller, platform: FakePlatform) -> None:
    """In lines and as an array; more than there are is all of them. With an ID it makes no sense."""
    rows = [platform.add(platform.workspace, {"action": f"x{number}"}) for number in range(3)]
    assert [line.split()[0] for line in caller.main("status", "--limit", "2").out.splitlines()] == [rows[1].id, rows[2].id]
    assert [one["action"] for one in caller.main("status", "--json", "--limit", "1").array] == ["x2"]
    assert len(caller.main("status", "--json", "--limit", "99").array) == 3
    assert caller.main("status", "--limit", "0").code == 2
    told = caller.main("status", "--limit", "2", rows[0].id)
    assert (told.code, told.out) == (2, "")
    assert "--limit is for the list" in told.err


CODES = re.compile(r"\x1b\[[\d;]*m")


@pytest.mark.measured
@pytest.mark.parametrize("approver", [False, True])
def test_at_a_terminal_what_waits_is_a_table(own: Caller, approver: bool) -> None:
    """With age, time left and requester, who need not be the approver; in a pipe the lines are as ever."""
    if approver:
        own.set(MOLECULE_APPROVER_TOKEN=own.desk.decider.headers["Authorization"].removeprefix("Bearer "))
    found = own.desk.ask("drop\nit " + "x" * 200, expires_in=50, context={"user": "bob", "host": "box"})
    with own.terminal("pending", size=(24, 100)) as terminal:
        assert terminal.end() == 0
        heading, row = CODES.sub("", terminal.seen).splitlines()
    assert heading.split() == ["ID", "AGE", "LEFT", "WORKSPACE", "REQUESTER", "ACTION"]
    assert re.fullmatch(rf"{found[:8]}  \d+ s +[1-5]\d s   \S+ +{user_name()} \(says bob@box\)  drop\\nit x+…", row)
    assert own.main("pending").out.startswith(f"{found}  20")


def test_at_a_terminal_the_newest_are_a_table(own: Caller) -> None:
    """With how each stands, and the time left of what is open alone."""
    found = [own.desk.ask(f"number {number}", context={"user": "bob"}) for number in range(3)]
    own.desk.decide(found[1], "denied")
    with own.terminal("status", "--limit", "2", size=(24, 100)) as terminal:
        assert terminal.end() == 0
        heading, denied, pending = CODES.sub("", terminal.seen).splitlines()
    assert heading.split() == ["ID", "AGE", "LEFT", "STATUS", "REQUESTER", "ACTION"]
    assert re.fullmatch(rf"{found[1][:8]}  \d s    - +denied by alice  {user_name()} \(says bob\)  number 1", denied)
    assert re.fullmatch(rf"{found[2][:8]}  \d s    [\d:]+ +pending          {user_name()} \(says bob\)  number 2", pending)


def test_at_a_terminal_one_request_is_shown_whole(own: Caller) -> None:
    """The verdict with its mark, then the action, then the rest."""
    found = own.desk.ask("drop it", reason="spring", context={"user": "bob"})
    own.desk.decide(found, comment="fine")
    with own.terminal("status", found) as terminal:
        assert terminal.end() == 0
        assert "\x1b[1;32m✓ approved by alice: fine\x1b[0m\r\n" in terminal.seen
        shown = CODES.sub("", terminal.seen).splitlines()
    assert shown[1:4] == ["action    drop it", "reason    spring", f"requester {user_name()}, says it runs as bob"]
    assert f"request   {found}" in shown[shown.index("Details   ") :]


def test_a_platform_tells_less_for_the_table(caller: Caller, platform: FakePlatform) -> None:
    """Dashes stand for the rest; nothing is a line on stderr; --json is no table."""
    for command in ("status", "pending"):
        with caller.terminal(command) as terminal:
            assert terminal.end() == 0
            assert terminal.seen.startswith("molecule-approve: no")
    row = platform.add(platform.workspace, {"action": "x"})
    for command in ("status", "pending"):
        with caller.terminal(command) as terminal:
            assert terminal.end() == 0
            assert re.search(rf"{row.id[:8]}  \S+ +\S* +-      \S+ +-          x\r\n", CODES.sub("", terminal.seen))
        with caller.terminal(command, "--json", size=(24, 1_000)) as terminal:
            assert terminal.end() == 0
            assert json.loads(terminal.seen)[0]["approval_id"] == row.id


def test_a_withdrawal_is_recorded_once(caller: Caller) -> None:
    """0, and again 0; the log holds what was taken back, by us and once."""
    found = caller.main("request", "--no-wait", "--", "drop it").out.strip()
    for _ in range(2):
        told = caller.main("withdraw", found[:10])
        assert (told.code, told.out) == (0, f"withdrawn {found}\n")
    endings = [record for record in caller.records() if record["outcome"] == "withdrawn"]
    assert [(one["approval_id"], one["resource"], one["reason"]) for one in endings] == [(found, "drop it", "by command")]


def test_a_withdrawal_of_what_our_log_does_not_know(caller: Caller) -> None:
    """It is recorded all the same, under the request's own id."""
    found = caller.desk.ask("asked elsewhere")
    assert caller.main("withdraw", found).code == 0
    assert [(one["trace_id"], one["resource"]) for one in caller.records()] == [(found, "")]


def test_a_withdrawal_is_recorded_whoever_reads_it(caller: Caller) -> None:
    """What is done is 0, though stdout is full."""
    found = caller.desk.ask()
    with Path("/dev/full").open("w") as full:
        assert caller.run("withdraw", found, stdout=full).code == 0
    assert caller.records()[-1]["outcome"] == "withdrawn"


def test_what_makes_no_sense_keeps_its_code(caller: Caller) -> None:
    """2, though nobody could read the object."""
    with Path("/dev/full").open("w") as full:
        assert caller.run("status", "--json", "abc", stdout=full).code == 2


def test_what_had_ended_cannot_be_withdrawn(caller: Caller) -> None:
    """3, and how it ended."""
    found = caller.desk.ask()
    caller.desk.decide(found)
    told = caller.main("withdraw", found)
    assert (told.code, told.out) == (3, "")
    assert "the request had already ended: approved by alice" in told.err


def test_a_withdrawal_that_cannot_be_recorded_is_done_and_told(caller: Caller) -> None:
    """125; with `audit: optional` 0 and a warning."""
    caller.log.mkdir()
    found, other = caller.desk.ask(), caller.desk.ask()
    told = caller.main("withdraw", found)
    assert (told.code, told.out) == (125, f"withdrawn {found}\n")
    assert caller.desk.one(found)["decided_by"] == "withdrawn"
    caller.configure("approve:\n  audit: optional\n")
    told = caller.main("withdraw", other)
    assert told.code == 0
    assert "molecule-approve: warning: " in told.err


@pytest.mark.parametrize("what", ["both", "neither", "missing", "no text", "empty"])
def test_withdraw_wants_one_id(caller: Caller, what: str) -> None:
    """2 for two, none, and a file that holds none."""
    path = caller.folder / "id"
    if what == "no text":
        path.write_bytes(b"\xff\xfe")
    if what == "empty":
        path.touch()
    argv = {"both": ("abcdef", "--id-file", str(path)), "neither": ()}.get(what, ("--id-file", str(path)))
    told = caller.main("withdraw", *argv)
    assert (told.code, told.out) == (2, "")
    assert "hint: " in told.err


def test_help_of_status_is_2(caller: Caller) -> None:
    """Its 0 means yes; help of the others is 0."""
    assert caller.main("status", "--help").code == 2
    assert [caller.main(command, "--help").code for command in ("pending", "withdraw", "approve", "deny")] == [0] * 4
    assert os.environ["PLATFORM_URL"] == "local"
