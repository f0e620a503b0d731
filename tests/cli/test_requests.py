"""`wait`, and how earlier requests are found: by the beginning of an id, and by what our audit log says was asked."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.callers import Caller, ended
from tests.integration import behaviours as does

if TYPE_CHECKING:
    from tests.integration.fake_platform import FakePlatform


def _ask(caller: Caller, action: str = "drop it") -> str:
    told = caller.main("request", "--no-wait", "--", action)
    assert told.code == 8
    return told.out.strip()


def test_an_approval_is_used_up_by_the_first_wait(caller: Caller) -> None:
    """0, then 125; status repeats the yes."""
    found = _ask(caller)
    caller.desk.decide(found)
    first, second = caller.main("wait", found), caller.main("wait", "--json", found)
    assert (first.code, first.out) == (0, "approved by alice\n")
    assert "waiting for the embedded server to approve:\naction    drop it\n" in first.err
    assert (second.code, second.object["outcome"], second.object["error"]["kind"]) == (125, "failed", "already_used")
    assert caller.main("status", found).code == 0


def test_a_denial_is_77(caller: Caller) -> None:
    """Also by the shortest beginning of an id, in capital letters."""
    found = _ask(caller)
    caller.desk.decide(found, "denied")
    told = caller.main("wait", "--json", found[:8].upper())
    assert (told.code, told.object["approval_id"], told.object["action"]) == (77, found, "drop it")
    assert caller.main("wait", found.upper()).code == 77


def test_its_own_time_is_over(caller: Caller) -> None:
    """8, in words and as an object; the question stands."""
    found = _ask(caller)
    told = caller.main("wait", "--timeout", "1", found)
    assert (told.code, told.out) == (8, "pending: nobody has decided yet\n")
    assert caller.desk.one(found)["status"] == "pending"
    assert caller.main("wait", "--json", "--timeout", "1", found).object["outcome"] == "pending"


def test_with_withdraw_the_question_does_not_outlive_the_wait(caller: Caller) -> None:
    """124, and it is taken back."""
    found = _ask(caller)
    told = caller.main("wait", "--withdraw", "--timeout", "1", found)
    assert told.code == 124
    assert caller.desk.one(found)["decided_by"] == "withdrawn"


@pytest.mark.measured
def test_a_signal_leaves_the_question_standing(caller: Caller) -> None:
    """143, and only --withdraw would take it back."""
    found = _ask(caller)
    with caller.start("wait", found, "--transport", "poll") as process:
        while process.stderr is not None and "action    drop it" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGTERM)
        assert ended(process).code == 143
    assert caller.desk.one(found)["status"] == "pending"


def test_what_our_log_does_not_hold_must_be_said(caller: Caller) -> None:
    """2 without --action; with it the wait is as ever; other text is no approval of it."""
    found = caller.desk.ask("asked elsewhere")
    told = caller.main("wait", "--json", found)
    assert (told.code, told.object["error"]["kind"]) == (2, "usage")
    assert "--action TEXT" in told.object["error"]["hint"]
    caller.desk.decide(found)
    assert caller.main("wait", "--action", "asked elsewhere", found).code == 0
    other = caller.desk.ask("asked elsewhere")
    caller.desk.decide(other)
    assert caller.main("wait", "--timeout", "1", "--action", "something else", other).code == 125


def test_an_action_that_differs_from_our_log_is_2(caller: Caller) -> None:
    """Our log knows better what was asked."""
    found = _ask(caller)
    told = caller.main("wait", "--action", "drop all", found)
    assert told.code == 2
    assert "--action is not the action of this request" in told.err


def test_a_request_of_another_workspace_is_2(caller: Caller) -> None:
    """Our log knows who asked: its text is not held against another workspace's request, also not with --action."""
    found = _ask(caller)
    caller.set(PLATFORM_URL=caller.desk.server.url, WORKSPACE_ID="other-w", MOLECULE_TOKEN="t")
    asker = caller.records()[-1]["workspace_id"]
    for action in ([], ["--action", "drop it"]):
        told = caller.main("wait", "--json", *action, found)
        assert (told.code, told.object["error"]["kind"]) == (2, "usage")
        assert (
            f"this request is of workspace {asker}, says the local audit log, and not of other-w"
            in told.object["error"]["message"]
        )
        assert "--workspace-id" in told.object["error"]["hint"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("abcde", "'abcde' is not a request id"),
        ("../../x", "'../../x' is not a request id"),
        ("\x1b[2K", "'\\x1b[2K' is not a request id"),
        ("zzzzzz", "requests begins with 'zzzzzz'"),
    ],
)
@pytest.mark.parametrize("command", ["wait", "status", "withdraw"])
def test_what_is_no_id_is_2(caller: Caller, command: str, text: str, sentence: str) -> None:
    """One sentence and a hint."""
    told = caller.main(command, text)
    assert told.code == 2
    assert sentence in told.err
    assert "hint: pass " in told.err
    assert "`molecule-approve pending` lists" in told.err


def test_an_ambiguous_beginning_is_2(caller: Caller, platform: FakePlatform) -> None:
    """Two requests begin with it."""
    for number in "12":
        platform.add(platform.workspace, {"action": "x"}).id = f"abcdef00-0000-4000-8000-00000000000{number}"
    told = caller.main("wait", "abcdef")
    assert told.code == 2
    assert "2 requests begin with 'abcdef'" in told.err


def test_the_search_for_an_id_is_within_the_time(caller: Caller, platform: FakePlatform) -> None:
    """A platform that never answers: 125, a second later."""
    platform.on("list", does.hold)
    begun = time.monotonic()
    told = caller.main("wait", "--json", "--timeout", "1", "abcdef")
    assert (told.code, told.object["error"]["kind"]) == (125, "unavailable")
    assert time.monotonic() - begun < 4


def test_an_unknown_request_is_125(caller: Caller) -> None:
    """The platform shows none of that id."""
    told = caller.main("wait", "--json", "--action", "x", "00000000-0000-4000-8000-000000000000")
    assert (told.code, told.object["error"]["kind"]) == (125, "unknown_approval")


def test_help_of_wait_is_2(caller: Caller) -> None:
    """A hostile word in the id's place never says yes."""
    assert caller.main("wait", "--help").code == 2
