"""`approve` and `deny`: in scripts, at a terminal, and against a requester who would deceive."""

from __future__ import annotations

import json
import re
import signal
import uuid
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from molecule_approve.cli.options import named
from molecule_approve.errors import CredentialError
from molecule_approve.server import administration
from molecule_approve.server.credentials import DEFAULTS
from molecule_approve.server.run import Running, ServePlan
from tests.server.desk import desk_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from molecule_approve.paths import Places
    from tests.callers import Caller
    from tests.integration.fake_platform import FakePlatform

PLAIN = re.compile(r"\x1b\[\d*m")


@pytest.fixture
def approver(caller: Caller) -> Caller:
    """A caller who holds an approver's token."""
    caller.set(MOLECULE_APPROVER_TOKEN=caller.desk.decider.headers["Authorization"].removeprefix("Bearer "))
    return caller


@pytest.mark.parametrize(("command", "status"), [("approve", "approved"), ("deny", "denied")])
def test_a_decision_in_a_script(approver: Caller, command: str, status: str) -> None:
    """0, with the comment kept; a second one is 3 and says who won."""
    found = approver.desk.ask()
    told = approver.main(command, "--yes", "--comment", "fine: go", found[:8])
    assert (told.code, told.out) == (0, f"{status} {found}\n")
    assert f"\nworkspace local ({approver.desk.workspace_id})\n" in told.err
    assert "\ndecide as alice\n" in told.err
    row = approver.desk.one(found)
    assert (row["status"], row["decided_by"], row["comment"]) == (status, "alice", "fine: go")
    told = approver.main(command, "--yes", found)
    assert (told.code, told.out) == (3, "")
    assert f"the request had already ended: {status} by alice" in told.err


def test_the_whole_request_is_shown_and_nothing_looks_like_ours(approver: Caller) -> None:
    """Every line of the action and the reason, every key of the context, nothing raw, nothing cut off."""
    action = "first\nreason    harmless\n\x1b[2K\u202e" + "x" * 4_000
    context = {"action": "harmless", "deep": {"a": [1]}, "k\ney": "v\nalue"}
    found = approver.desk.ask(action, reason="because\nof it", context=context)
    told = approver.main("deny", "--yes", found)
    assert told.code == 0
    lines = told.err.splitlines()
    assert lines[:3] == ["action    first", "          reason    harmless", "          \\x1b[2K\\u202e" + "x" * 4_000]
    details = lines.index("Details   ")
    assert lines[details - 2 : details + 2] == [
        f"workspace local ({approver.desk.workspace_id})",
        "          ",
        "Details   ",
        f"request   {found}",
    ]
    assert "          reason    harmless" in lines
    assert "          \\x1b[2K\\u202e" + "x" * 4_000 in lines
    assert lines[lines.index("reason    because") + 1] == "          of it"
    assert [line for line in lines if line.startswith("action")] == ["action    first"]
    assert "context   action = harmless" in lines
    assert 'context   deep = {"a": [1]}' in lines
    assert "context   k\\ney = v\\nalue" in lines
    assert any(line.startswith("expires   20") for line in lines)


@pytest.mark.parametrize("command", ["approve", "deny"])
def test_ones_own_request_is_another_approvers_to_decide(seated: Caller, command: str) -> None:
    """125 with the server's sentence, and how to withdraw it; it stays open."""
    seated.desk.server.add_approver("bob")
    found = seated.desk.ask_as("alice")
    told = seated.main(command, "--yes", found)
    assert (told.code, told.out) == (125, "")
    assert "alice made this request, so another approver has to decide it; alice can withdraw it" in told.err
    assert f"hint: to withdraw it: molecule-approve withdraw {found}" in told.err
    assert seated.desk.one(found)["status"] == "pending"


@pytest.mark.measured
def test_a_request_of_a_revoked_requester_says_so(seated: Caller) -> None:
    """Before the decision: nobody who asked can redeem it."""
    desk = seated.desk
    found = desk.ask_as("bot")
    with desk.server.opened() as store:
        administration.revoke_requester(store, "bot", None)
    with seated.terminal("deny", found) as terminal:
        assert "requester bot (revoked)\r\n" in PLAIN.sub("", terminal.until("[y/N]: "))
        terminal.type("y\r")
        assert terminal.end() == 0


def test_whoever_is_alone_approves_their_own_request_and_everybody_is_told(seated: Caller) -> None:
    """The approver before the decision, the requester by the verdict, a program by its JSON."""
    found = seated.desk.ask_as("alice")
    with seated.terminal("approve", found) as terminal:
        assert "decide as alice, who is also the requester\r\n" in PLAIN.sub("", terminal.until("[y/N]: "))
        terminal.type("y\r")
        assert terminal.end() == 0
    assert seated.main("status", found).out.startswith("approved by alice (also the requester)")
    told = seated.main("wait", "--json", "--action", "deploy", found)
    assert (told.code, told.object["requested_by"], told.object["self_approved"]) == (0, "alice", True)


def test_a_decision_stands_whoever_reads_it(approver: Caller) -> None:
    """What is done is 0, though stdout is full."""
    found = approver.desk.ask()
    with Path("/dev/full").open("w") as full:
        told = approver.run("approve", "--yes", found, stdout=full)
    assert told.code == 0
    assert "cannot write to stdout" in told.err
    assert approver.desk.one(found)["status"] == "approved"


def test_a_platform_shows_less_and_keeps_no_comment(caller: Caller, platform: FakePlatform) -> None:
    """No expiry, no context; a comment is refused, and without one it is decided."""
    caller.set(MOLECULE_APPROVER_TOKEN=platform.admin)
    row = platform.add(platform.workspace, {"action": "x"})
    told = caller.main("approve", "--yes", "--comment", "fine", row.id)
    assert (told.code, row.status) == (125, "pending")
    assert "does not store comments" in told.err
    told = caller.main("approve", "--yes", row.id)
    assert (told.code, row.status, row.decided_by) == (0, "approved", "tester")
    assert "expires" not in told.err


def test_a_requesters_token_decides_nothing(caller: Caller) -> None:
    """125, and the hint names the approver's token."""
    found = caller.desk.ask()
    caller.set(MOLECULE_APPROVER_TOKEN=caller.desk.server.requester.token)
    told = caller.main("approve", "--yes", found)
    assert told.code == 125
    assert "hint: check MOLECULE_APPROVER_TOKEN" in told.err
    assert caller.desk.one(found)["status"] == "pending"


def test_an_approver_names_no_workspace(caller: Caller) -> None:
    """The server tells whose a request is, and the workspace's name; also of one that has ended, by its whole id."""
    other = str(uuid.uuid4())
    caller.desk.add_workspace(other, "Payroll", f"token-of-{other}")
    with caller.desk.client(f"token-of-{other}") as client:
        posted = client.post(f"/workspaces/{other}/approvals", json={"action": "pay"})
        ids = [caller.desk.ask(), str(posted.json()["approval_id"])]
        token = caller.desk.server.add_approver(name := f"a-{other[:8]}")
        url, proof = caller.desk.server.url, {"MOLECULE_APPROVER_TOKEN": token}
        caller.set(PLATFORM_URL=url, **proof)
        caller.patch.delenv("WORKSPACE_ID", raising=False)
        listed = caller.main("pending").out
        assert f"{ids[1]}  " in listed
        assert "pending of workspace Payroll  pay\n" in listed
        assert caller.main("approve", "--yes", ids[0]).code == 0
        assert caller.main("deny", "--yes", ids[1][:13]).code == 0
        rows = caller.desk.one(ids[0]), client.get(f"/workspaces/{other}/approvals/{ids[1]}").json()
        assert [(row["status"], row["decided_by"]) for row in rows] == [("approved", name), ("denied", name)]
        told = caller.main("deny", "--yes", ids[1])
        assert (told.code, f"the request had already ended: denied by {name}" in told.err) == (3, True)
        for text in (ids[1][:13], missing := str(uuid.uuid4()), missing[:4]):
            told = caller.main("deny", "--yes", text)
            assert told.code == 2
            assert f"none of the pending requests begins with '{text}'" in told.err
            assert "set WORKSPACE_ID to the request's workspace" in told.err


def test_without_a_terminal_the_hint_can_be_followed_from_elsewhere(caller: Caller) -> None:
    """With the server's address and the approver's token alone, what it names shows the request."""
    found = caller.desk.ask("drop staging")
    token = caller.desk.server.add_approver(f"b-{found[-8:]}")
    caller.set(PLATFORM_URL=caller.desk.server.url, MOLECULE_APPROVER_TOKEN=token)
    for name in ("WORKSPACE_ID", "MOLECULE_TOKEN"):
        caller.patch.delenv(name, raising=False)
    told = caller.main("approve", found)
    assert (told.code, "as an approver elsewhere, with `pending --json`; then pass --yes" in told.err) == (2, True)
    assert caller.main("status", found).code == 2
    listed = json.loads(caller.main("pending", "--json").out)
    assert next(row["action"] for row in listed if row["approval_id"] == found) == "drop staging"
    assert caller.main("approve", "--yes", found).code == 0


@pytest.fixture
def crowded(caller: Caller, server_places: Places) -> Iterator[Caller]:
    """An approver without a workspace, at a server that lists only the two oldest pending requests."""
    few = replace(DEFAULTS, inbox_pending=2)
    with Running(ServePlan(server_places, limits=few)) as server, desk_of(server) as desk:
        token = desk.decider.headers["Authorization"].removeprefix("Bearer ")
        caller.set(PLATFORM_URL=server.url, MOLECULE_APPROVER_TOKEN=token)
        caller.patch.delenv("WORKSPACE_ID", raising=False)
        yield replace(caller, desk=desk)


def test_a_whole_id_is_found_behind_the_oldest_requests(crowded: Caller) -> None:
    """Its beginning is not, and the error says how many were searched; confirmed, it is shown like any other."""
    desk = crowded.desk
    desk.ask()
    desk.ask()
    found = desk.ask_as("bot")
    with desk.server.opened() as store:
        administration.revoke_requester(store, "bot", None)
    told = crowded.main("approve", "--yes", found[:13])
    assert told.code == 2
    assert f"none of the 2 oldest of 3 pending requests begins with '{found[:13]}'" in told.err
    assert "hint: pass all of the id, or set WORKSPACE_ID to the request's workspace" in told.err
    with crowded.terminal("approve", found.upper(), size=(40, 100)) as terminal:
        shown = PLAIN.sub("", terminal.until("[y/N]: "))
        assert f"\r\nworkspace local ({desk.workspace_id})\r\n" in shown
        assert "\r\nrequester bot (revoked)\r\n" in shown
        assert "\r\ndecide as alice\r\n" in shown
        terminal.type("y\r")
        assert terminal.end() == 0
    assert desk.one(found)["status"] == "approved"


def test_on_a_platform_an_approver_names_the_workspace(caller: Caller, platform: FakePlatform) -> None:
    """It has no list of the requests of all."""
    caller.set(MOLECULE_APPROVER_TOKEN=platform.admin)
    caller.patch.delenv("WORKSPACE_ID")
    for argv in (("pending",), ("approve", "--yes", str(uuid.uuid4()))):
        told = caller.main(*argv)
        assert (told.code, "no workspace is set" in told.err) == (2, True)


@pytest.mark.parametrize("argv", [("approve", "--yes"), ("pending",)])
def test_a_wrong_approvers_token_is_called_so(caller: Caller, argv: tuple[str, ...]) -> None:
    """Not the workspace's, as the platform says of any token."""
    found = [caller.desk.ask()] if argv[0] == "approve" else []
    caller.set(MOLECULE_APPROVER_TOKEN="mistyped-mistyped-mistyped")
    told = caller.main(*argv, *found)
    assert told.code == 125
    assert "the platform does not know this approver's token (401)" in told.err
    assert "hint: check MOLECULE_APPROVER_TOKEN: it must be an approver's token, and not be revoked" in told.err


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        ((), "there is no terminal to ask at"),
        (("--yes", "--comment", "x" * 5_000), "the comment has 5000 characters"),
        (("--yes", "--comment", "\0"), "the comment contains a NUL"),
    ],
)
def test_what_makes_no_sense_is_2(approver: Caller, argv: tuple[str, ...], sentence: str) -> None:
    """Nothing is decided."""
    found = approver.desk.ask()
    told = approver.main("approve", *argv, found)
    assert told.code == 2
    assert sentence in told.err
    assert approver.desk.one(found)["status"] == "pending"


def test_without_a_token_and_a_terminal_it_is_2(caller: Caller) -> None:
    """The hint says where one is made."""
    told = caller.main("approve", "--yes", caller.desk.ask())
    assert told.code == 2
    assert "approvers add NAME" in told.err


def test_a_token_that_is_none_is_2(caller: Caller) -> None:
    """It is not repeated."""
    caller.set(MOLECULE_APPROVER_TOKEN="se cret")
    told = caller.main("approve", "--yes", caller.desk.ask())
    assert told.code == 2
    assert "cret" not in told.err


# --- at a terminal -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("answer", "code", "status"), [("y", 0, "approved"), ("n", 125, "pending"), ("", 125, "pending")])
def test_it_asks_at_a_terminal(approver: Caller, answer: str, code: int, status: str) -> None:
    """Only a yes decides; return alone is a no."""
    found = approver.desk.ask()
    with approver.terminal("approve", found) as terminal:
        shown = PLAIN.sub("", terminal.until("approve this request? [y/N]: "))
        assert re.match(r"\r\nasked \d+ s ago, [\d:]+ left\r\naction    deploy\r\n", shown)
        assert f"\r\nworkspace local ({approver.desk.workspace_id})\r\n" in shown
        assert "\r\ndecide as alice\r\napprove this request" in shown
        terminal.type(f"{answer}\r")
        assert terminal.end() == code
        assert (f"✓ approved {found}" in PLAIN.sub("", terminal.seen)) == (code == 0)
        assert ("the request is still open" in terminal.seen) == (code == 125)
    assert approver.desk.one(found)["status"] == status


def test_the_token_is_typed_unseen(caller: Caller) -> None:
    """It decides, and stands nowhere on the screen; what was typed before it was asked for is not taken for it."""
    found = caller.desk.ask()
    token = caller.desk.decider.headers["Authorization"].removeprefix("Bearer ")
    with caller.terminal("deny", found, typed="typed too soon") as terminal:
        terminal.until("approver's token: ")
        terminal.type(f"{token}\r")
        terminal.until("deny this request? [y/N]: ")
        terminal.type("y\r")
        assert terminal.end() == 0
        assert token not in terminal.seen
    assert caller.desk.one(found)["status"] == "denied"


@pytest.mark.measured
@pytest.mark.parametrize(("typed", "code"), [("\x03", 130), ("\x04", 125)])
def test_the_terminal_shows_again_what_is_typed(caller: Caller, typed: str, code: int) -> None:
    """Ctrl-C and the end of input while the token is typed: nothing is decided, and the echo is back."""
    found = caller.desk.ask()
    with caller.terminal("approve", found) as terminal:
        terminal.until("approver's token: ")
        terminal.type(typed)
        assert terminal.end() == code
        assert terminal.echoes
    assert caller.desk.one(found)["status"] == "pending"


@pytest.mark.measured
def test_a_signal_while_it_asks(approver: Caller) -> None:
    """128 and the signal; nothing is decided."""
    found = approver.desk.ask()
    with approver.terminal("approve", found) as terminal:
        terminal.until("[y/N]: ")
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.end() == 143
    assert approver.desk.one(found)["status"] == "pending"


@pytest.mark.parametrize(
    ("status", "hint"), [(401, "it must be an approver's token"), (403, "who may decide in this workspace")]
)
def test_a_refused_token_is_told_apart_from_a_limited_approver(status: int, hint: str) -> None:
    """Somebody whose token is right, but who may not decide in this workspace, need not look for another token."""
    with pytest.raises(CredentialError) as caught, named():
        raise CredentialError("refused", status=status)
    assert hint in caught.value.hint
