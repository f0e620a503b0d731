"""Requests that need several approvals, as approvers and requesters see them at the terminal and in JSON."""

from __future__ import annotations

import json
import re
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from molecule_approve.cli.decide import how_far
from molecule_approve.cli.progress import Plain, Scene
from molecule_approve.client.rest import RestPlatform
from molecule_approve.model import ApprovalProgress, WaitingGroup
from molecule_approve.server import administration
from tests.client.fakes import Peer, endpoint, submitted
from tests.server.counting import RuledDesk, ruled_desk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from molecule_approve.paths import Places
    from tests.callers import Caller, Terminal
    from tests.integration.raw_http import Channel

PLAIN = re.compile(r"\x1b\[\d*m")
ONE_OF_TWO = "1 of 2: alice; waiting for dba (bo, cy)"
ASKS = "approve, deny, skip or quit? "


@pytest.fixture
def ruled(server_places: Places) -> Iterator[RuledDesk]:
    """A desk whose rules want two of a group, a comment, or a signature."""
    with ruled_desk(server_places) as desk:
        yield desk


@pytest.fixture
def asker(caller: Caller, ruled: RuledDesk) -> Caller:
    """A caller who asks at this desk."""
    requester = ruled.server.requester
    caller.set(
        PLATFORM_URL=ruled.server.url,
        WORKSPACE_ID=requester.workspace_id,
        MOLECULE_TOKEN=requester.token,
        NO_COLOR="1",
    )
    return replace(caller, desk=ruled)


@pytest.fixture
def alice(asker: Caller, ruled: RuledDesk) -> Caller:
    """The same caller with alice's token."""
    asker.set(MOLECULE_APPROVER_TOKEN=ruled.token_of("alice"))
    return asker


def test_an_approval_says_how_far_the_request_is(alice: Caller, ruled: RuledDesk) -> None:
    """Also the rule before the decision; the last one says nothing more."""
    asked = ruled.ask("drop it")
    told = alice.main("approve", "--yes", asked)
    assert (told.code, told.out) == (0, f"approved {asked}; {ONE_OF_TWO}\n")
    assert "rule      two, 2 approvals of dba\napprovals 0 of 2; waiting for dba (alice, bo, cy)\n" in told.err
    alice.set(MOLECULE_APPROVER_TOKEN=ruled.token_of("bo"))
    told = alice.main("approve", "--yes", asked)
    assert (told.code, told.out) == (0, f"approved {asked}\n")
    assert re.search(
        r"approvals 1 of 2: alice; waiting for dba \(bo, cy\)\napproved  by alice at 20\S+ \(token\)\n", told.err
    )


def test_an_approval_is_retracted(alice: Caller, ruled: RuledDesk) -> None:
    """Without confirmation; what was not approved cannot be, and it takes no comment."""
    asked = ruled.ask("drop it")
    ruled.decide_as("alice", asked)
    told = alice.main("approve", "--retract", asked[:8])
    assert (told.code, told.out) == (0, f"retracted {asked}; 0 of 2; waiting for dba (alice, bo, cy)\n")
    told = alice.main("approve", "--retract", asked)
    assert (told.code, told.out) == (125, "")
    assert "alice has not approved this request" in told.err
    assert alice.main("approve", "--retract", "--comment", "x", asked).code == 2


def test_what_a_rule_refuses_is_125_with_its_sentence(alice: Caller, ruled: RuledDesk) -> None:
    """And a hint that names what to do."""
    told = alice.main("approve", "--yes", ruled.ask("tidy up"))
    assert (told.code, told.out) == (125, "")
    assert "rule said wants a comment with each decision" in told.err
    assert "hint: say why with --comment TEXT" in told.err


def test_status_tells_how_far_it_is(alice: Caller, ruled: RuledDesk) -> None:
    """In a line, in a list, and in JSON, pending and approved."""
    asked = ruled.ask("drop it")
    ruled.decide_as("alice", asked)
    told = alice.main("status", asked)
    assert (told.code, told.out) == (8, f"pending: {ONE_OF_TWO}  (drop it)\n")
    found = alice.main("status", "--json", asked).object
    (decision,) = found["decisions"]
    assert (decision["by"], decision["decision"], decision["proof"]) == ("alice", "approved", "token")
    assert found["approvals"]["waiting_for"] == [{"group": "dba", "people": ["bo", "cy"]}]
    assert f"pending ({ONE_OF_TWO})  drop it" in alice.main("pending").out
    (listed,) = alice.main("pending", "--json").array
    assert (listed["approvals"], listed["decisions"]) == (found["approvals"], found["decisions"])
    ruled.decide_as("bo", asked)
    assert alice.main("status", asked).out == "approved by bo (2 of 2: alice, bo)  (drop it)\n"
    assert [one["by"] for one in alice.main("status", "--json", asked).object["decisions"]] == ["alice", "bo"]


def test_a_plain_request_is_shown_as_before(alice: Caller, ruled: RuledDesk) -> None:
    """One approval by anybody: no rule, no count; its one decision is listed in JSON."""
    asked = ruled.ask("deploy")
    assert alice.main("status", asked).out == "pending: nobody has decided yet  (deploy)\n"
    told = alice.main("approve", "--yes", asked)
    assert "approvals" not in told.err
    found = alice.main("status", "--json", asked).object
    assert [(one["by"], one["decision"], one["proof"]) for one in found["decisions"]] == [("alice", "approved", "token")]


def test_the_verdict_lists_every_decision(asker: Caller, ruled: RuledDesk) -> None:
    """Of a wait: in JSON, and in the result file, which has the same keys."""
    process = asker.start("request", "--json", "--result-file", str(asker.folder / "r.json"), "--timeout", "60", "drop it")
    asked = asker.requested()
    ruled.decide_as("cy", asked)
    ruled.decide_as("alice", asked)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    found, kept = json.loads(out), json.loads((asker.folder / "r.json").read_text())
    assert [one["by"] for one in found["decisions"]] == ["cy", "alice"] == [one["by"] for one in kept["decisions"]]
    assert (found["approvals"]["have"], found["approvals"]["need"]) == (2, 2)


def test_the_log_names_everybody(asker: Caller, ruled: RuledDesk) -> None:
    """As a story, in the sums and in an export; it is whole. So does the server's own log."""
    process = asker.start("request", "--timeout", "60", "drop it")
    asked = asker.requested()
    ruled.decide_as("cy", asked)
    ruled.decide_as("alice", asked)
    process.communicate(timeout=20)
    assert process.returncode == 0
    assert "approved by cy (token), alice (token)" in asker.main("audit", "show", asked).out
    stats = json.loads(asker.main("audit", "stats", "--json").out)
    assert {one["name"]: one["granted"] for one in stats["approvers"]} == {"alice": 1, "cy": 1}
    assert "alice" in asker.main("audit", "tail").out
    export = str(asker.folder / "export")
    assert asker.main("audit", "export", "-o", export, asked).code == 0
    assert [asker.main("audit", "verify", *more).code for more in ((), (export,))] == [0, 0]
    ours, theirs = asker.records()[-1], ruled.journal()[-1]
    assert (ours["rule"], ours["decisions"]) == (theirs["rule"], theirs["decisions"])
    assert [(one["by"], one["proof"]) for one in ours["decisions"]] == [("cy", "token"), ("alice", "token")]


def test_who_waits_is_told_how_far_it_is(asker: Caller, ruled: RuledDesk) -> None:
    """On a line of its own whenever it changes, at once by the event; and what was missing at the timeout."""
    process = asker.start("request", "--timeout", "5", "--expires-in", "60", "drop it")
    assert process.stderr is not None
    said = iter(process.stderr.readline, "")
    assert "molecule-approve: 0 of 2; waiting for dba (alice, bo, cy)\n" in said
    ruled.decide_as("alice", asker.requested())
    assert f"molecule-approve: {ONE_OF_TWO}\n" in said
    assert re.search(r"timed out: only 1 of 2 approved within ([5-9]|1\d) s", process.communicate(timeout=20)[1])
    assert process.returncode == 124


@pytest.mark.measured
def test_the_live_line_tells_it_too(asker: Caller, ruled: RuledDesk) -> None:
    """In the longest wording that fits the window."""
    with asker.terminal("request", "--timeout", "60", "drop it", size=(24, 120)) as terminal:
        terminal.until("waiting for dba (alice, bo, cy)  ")
        asked = asker.requested()
        ruled.decide_as("alice", asked)
        terminal.until(f"waiting (live): {ONE_OF_TWO}  ")
        ruled.decide_as("bo", asked)
        assert terminal.end() == 0
    with asker.terminal("request", "--timeout", "60", "drop it", size=(24, 52)) as terminal:
        terminal.until("| 0 of 2; waiting for dba (alice, bo, cy)")
        terminal.type("\x03")
        assert terminal.end() == 130


def test_a_count_is_said_when_it_has_changed(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither twice, nor for a request that anybody's approval ends."""
    plain = Plain(Scene("drop", "", "http://p", 60.0, embedded=False), lambda _: None)
    one = ApprovalProgress(2, 1, "two", approved_by=("al\nice",))
    for progress in (ApprovalProgress(1, 0), one, one, one._replace(have=0, approved_by=()), one):
        plain.progress(progress)
    said = "molecule-approve: "
    assert capsys.readouterr().err == f"{said}1 of 2: al\\nice\n{said}0 of 2\n{said}1 of 2: al\\nice\n"


@pytest.mark.measured
def test_the_table_has_a_column_for_it(asker: Caller, ruled: RuledDesk) -> None:
    """If a request needs it; the live table shows each approval."""
    asked = ruled.ask("drop it")
    with asker.terminal("pending", "--watch", size=(20, 120)) as terminal:
        terminal.until("APPROVALS")
        terminal.until("0 of 2; waiting for dba")
        ruled.decide_as("alice", asked)
        terminal.until("1 of 2: alice")
        terminal.type("\x03")
        assert terminal.end() == 130
    with asker.terminal("status", size=(20, 120)) as terminal:
        assert terminal.end() == 0
        assert f"{ONE_OF_TWO}  pending" in terminal.seen
    ruled.decide_as("bo", asked)
    with asker.terminal("status", size=(20, 120)) as terminal:
        assert terminal.end() == 0
        assert "APPROVALS" not in terminal.seen


def test_a_line_for_scripts_says_it_too(asker: Caller, ruled: RuledDesk) -> None:
    """To the requester, whose list leaves it out: in `pending`, and in `status` of what waits."""
    asked, ended = ruled.ask("drop it"), ruled.ask("drop that")
    ruled.decide_as("alice", asked)
    ruled.decide_as("bo", ended, "denied")
    line = rf"{asked}  20\S+  pending \({re.escape(ONE_OF_TWO)}\)  drop it\n"
    assert re.fullmatch(line, asker.main("pending").out)
    assert re.fullmatch(rf"{line}{ended}  20\S+  denied by bo  drop that\n", asker.main("status").out)


def say(terminal: Terminal, word: str, after: str = ASKS) -> str:
    """Wait for the question, and answer; what was shown before, in one row for each line."""
    shown = terminal.until(after)
    terminal.type(f"{word}\r")
    return PLAIN.sub("", shown).replace("\r\n        … ", "")


@pytest.mark.measured
def test_review_counts(alice: Caller, ruled: RuledDesk) -> None:
    """What is approved and waits for others is not asked again; what is others' is skipped; a comment can be required."""
    first, second, done = ruled.ask("drop one"), ruled.ask("tidy up"), ruled.ask("drop two")
    signed = ruled.ask("sign it")
    ruled.decide_as("alice", done)
    with alice.terminal("review", size=(50, 120)) as terminal:
        assert "rule      two, 2 approvals of dba\r\n" in say(terminal, "approve")
        say(terminal, "", "comment (Enter for none, Ctrl-D to cancel): ")
        shown = say(terminal, "approve")
        assert f"approved {first}; {ONE_OF_TWO}" in shown
        assert "rule      said, 1 approval, each with a comment\r\n" in shown
        say(terminal, "", "comment (this request's rule wants one, Ctrl-D to cancel): ")
        say(terminal, "fine", "comment (this request's rule wants one, Ctrl-D to cancel): ")
        shown = say(terminal, "approve")
        assert f"skipped {done}: you have approved it; {ONE_OF_TWO}" in shown
        assert "rule      signed, 1 approval, each signed\r\n" in shown
        say(terminal, "", "comment (Enter for none, Ctrl-D to cancel): ")
        assert terminal.end() == 0
        assert "rule signed wants an approval that proves a signature" in terminal.seen.replace("\r\n", " ")
        assert terminal.seen.splitlines()[-1] == "2 approved, 2 skipped; 3 still wait"
    assert [ruled.one(one)["status"] for one in (first, second, done, signed)] == [
        "pending",
        "approved",
        "pending",
        "pending",
    ]


@pytest.mark.measured
def test_review_asks_where_enough_approvals_count_again(alice: Caller, ruled: RuledDesk) -> None:
    """An approver was away while the other one approved: one more word ends it, also of somebody who has approved."""
    asked = ruled.ask("drop it")
    ruled.decide_as("alice", asked)
    with ruled.server.opened() as store:
        other = administration.add_workspace(store, "other")
        administration.limit_approver(store, "alice", [other])
        ruled.decide_as("bo", asked)
        administration.limit_approver(store, "alice", None)
    assert ruled.one(asked)["approvals"]["have"] == 2
    with alice.terminal("review", size=(50, 120)) as terminal:
        say(terminal, "approve")
        say(terminal, "", "comment (Enter for none, Ctrl-D to cancel): ")
        assert terminal.end() == 0
    assert ruled.one(asked)["status"] == "approved"


def test_review_leaves_to_others_what_a_rule_leaves_to_them(alice: Caller, ruled: RuledDesk) -> None:
    """Nobody is asked for a decision that would be refused."""
    asked = ruled.ask("drop it")
    alice.set(MOLECULE_APPROVER_TOKEN=ruled.token_of("di"))
    with alice.terminal("review", size=(50, 120)) as terminal:
        assert terminal.end() == 0
        assert f"skipped {asked}: rule two leaves it to others; 0 of 2" in PLAIN.sub("", terminal.seen)


def test_the_count_without_names_where_they_cannot_be_read() -> None:
    """The numbers alone: a decision that was made is told as such, though nothing can be read afterwards."""

    def gone(channel: Channel, _number: int) -> None:
        channel.reset()

    with Peer(gone) as peer, closing(RestPlatform(endpoint(peer.url))) as platform:
        assert how_far(platform, submitted(), ApprovalProgress(2, 1)) == "1 of 2"


def test_people_whom_a_rule_names_directly_are_in_no_group() -> None:
    """They are listed by themselves."""
    named = ApprovalProgress(3, 1, waiting_for=(WaitingGroup(None, ("al", "bo")), WaitingGroup("dba", ("cy",))))
    assert named.sentence == "1 of 3; waiting for al, bo, dba (cy)"
