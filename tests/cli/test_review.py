"""`review`: going through what waits at a real terminal, and everything that must not decide."""

from __future__ import annotations

import os
import re
import signal
import uuid
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from molecule_approve.server.users import user_name
from tests.callers import PATIENCE, until
from tests.integration import behaviours as does

if TYPE_CHECKING:
    from tests.callers import Caller, Terminal
    from tests.integration.fake_platform import Behaviour, Exchange, FakePlatform
    from tests.integration.raw_http import Reply

ASKS = "approve, deny, skip or quit? "
COMMENTS = "Ctrl-D to cancel): "
PLAIN = re.compile(r"\x1b\[\d*m")


@pytest.fixture
def admin(caller: Caller, platform: FakePlatform) -> Caller:
    """A caller with the administrator's token of a faithful platform."""
    caller.set(MOLECULE_APPROVER_TOKEN=platform.admin)
    return caller


def say(terminal: Terminal, word: str, after: str = ASKS) -> str:
    """Answer the next question; what was shown before it."""
    shown = terminal.until(after)
    terminal.type(f"{word}\r")
    return PLAIN.sub("", shown)


def unfolded(shown: str) -> str:
    """What was shown, without its styles, each line of ours on one row."""
    return PLAIN.sub("", shown).replace("\r\n        … ", "")


def last_line(terminal: Terminal) -> str:
    """The summary."""
    return terminal.seen.splitlines()[-1]


def test_one_after_the_other(seated: Caller) -> None:
    """Oldest first, each shown whole; approved and denied with and without a comment, skipped; what arrives comes too."""
    desk = seated.desk
    first, second, third = (
        desk.ask("a one", expires_in=3_000, context={"user": "bob", "host": "box", "ticket": "OPS-12"}),
        desk.ask(),
        desk.ask(),
    )
    with seated.terminal("review", size=(40, 100)) as terminal:
        shown = say(terminal, "approve")
        assert re.search(r"asked \d s ago, (50:00|49:5\d) left; 2 more wait\r\n", shown)
        for line in (
            "action    a one",
            f"requester {user_name()}, says it runs as bob@box",
            f"workspace local ({desk.workspace_id})",
            f"request   {first}",
            "context   ticket = OPS-12",
            "decide as alice",
        ):
            assert f"{line}\r\n" in shown
        say(terminal, " looks fine ", COMMENTS)
        assert f"request   {second}" in say(terminal, "D")
        fourth = desk.ask("late")
        say(terminal, "", COMMENTS)
        shown = say(terminal, "s")
        assert (f"request   {third}" in shown, "1 more waits" in shown) == (True, True)
        shown = say(terminal, "deny")
        assert (f"request   {fourth}" in shown, f"requester {user_name()}\r\n" in shown) == (True, True)
        say(terminal, "", COMMENTS)
        assert terminal.end() == 0
        assert last_line(terminal) == "1 approved, 2 denied, 1 skipped; 1 still waits"
    rows = [desk.one(found) for found in (first, second, third, fourth)]
    assert [row["status"] for row in rows] == ["approved", "denied", "pending", "denied"]
    assert [row["comment"] for row in rows] == ["looks fine", None, None, None]
    assert rows[0]["decided_by"] == "alice"


@pytest.mark.measured
def test_ones_own_request_is_skipped_where_another_approver_decides_it(seated: Caller) -> None:
    """Without a prompt for it: nobody answers for nothing."""
    seated.desk.server.add_approver("bob")
    own, other = seated.desk.ask_as("alice"), seated.desk.ask()
    with seated.terminal("review", size=(40, 120)) as terminal:
        shown = say(terminal, "deny")
        assert f"skipped {own}: you made this request, so another approver has to decide it" in unfolded(shown)
        assert f"request   {other}" in shown
        say(terminal, "", COMMENTS)
        assert terminal.end() == 0
        assert last_line(terminal) == "1 denied, 1 skipped; 1 still waits"
    assert seated.desk.one(own)["status"] == "pending"


@pytest.mark.measured
def test_ones_own_request_is_skipped_too_if_it_became_so_meanwhile(seated: Caller) -> None:
    """The server refuses, and the review goes on."""
    own = seated.desk.ask_as("alice")
    with seated.terminal("review", size=(40, 120)) as terminal:
        assert "decide as alice, who is also the requester" in say(terminal, "approve")
        terminal.until(COMMENTS)
        seated.desk.server.add_approver("bob")
        terminal.type("\r")
        assert terminal.end() == 0
        assert f"skipped {own}: you made this request" in unfolded(terminal.seen)
        assert last_line(terminal) == "1 skipped; 1 still waits"


def test_nothing_waits(seated: Caller) -> None:
    """It says so, with 0."""
    with seated.terminal("review") as terminal:
        assert terminal.end() == 0
        assert last_line(terminal) == "nothing was decided; nothing still waits"


def test_what_a_platform_does_not_list_may_still_wait(admin: Caller, platform: FakePlatform) -> None:
    """Fifty that ended say nothing about older ones, and nobody reads that nothing waits."""
    for _ in range(50):
        platform.decide(platform.add(platform.workspace, {"action": "x"}), "denied", "bob")
    with admin.terminal("review", size=(24, 200)) as terminal:
        assert terminal.end() == 0
        assert last_line(terminal).endswith("the platform lists only its 50 newest requests; older ones may still wait")


@pytest.mark.parametrize("word", ["", "y", "yes", "ok", "approved", "approve it", "aa", "\x1b[A", "1"])
def test_another_word_is_asked_again(seated: Caller, word: str) -> None:
    """Enter alone, a yes, half a sentence, an arrow: none of them decides."""
    found = seated.desk.ask()
    with seated.terminal("review") as terminal:
        say(terminal, word)
        assert "write approve (a), deny (d), skip (s) or quit (q)" in say(terminal, "q")
        assert terminal.end() == 0
        assert last_line(terminal) == "nothing was decided; 1 still waits"
    assert seated.desk.one(found)["status"] == "pending"


@pytest.mark.measured
def test_what_was_typed_before_the_question_decides_nothing(seated: Caller) -> None:
    """Neither at the start, nor behind an answer, not even for the comment."""
    found = [seated.desk.ask(), seated.desk.ask()]
    with seated.terminal("review") as terminal:
        terminal.type("a\rfine\ra\rfine\r")
        say(terminal, "s\ra\rfine")
        say(terminal, "a\rfine")
        terminal.until(COMMENTS)
        terminal.type("\x04")
        assert terminal.end() == 0
        assert last_line(terminal) == "1 skipped; 2 still wait"
    assert {seated.desk.one(one)["status"] for one in found} == {"pending"}


@pytest.mark.parametrize("typed", ["\x04", "approve\x04\x04"])
def test_the_end_of_the_input_quits(seated: Caller, typed: str) -> None:
    """Also behind a word without Enter."""
    found = seated.desk.ask()
    with seated.terminal("review") as terminal:
        terminal.until(ASKS)
        terminal.type(typed)
        assert terminal.end() == 0
        assert last_line(terminal) == "nothing was decided; 1 still waits"
    assert seated.desk.one(found)["status"] == "pending"


@pytest.mark.measured
def test_a_comment_that_cannot_be_kept_is_asked_again(seated: Caller) -> None:
    """Bytes that are no UTF-8, say; then the next one counts."""
    found = seated.desk.ask()
    with seated.terminal("review") as terminal:
        say(terminal, "a")
        terminal.until(COMMENTS)
        os.write(terminal._leader, b"caf\xe9\r")
        assert "the comment contains bytes that are not UTF-8" in say(terminal, "café", COMMENTS)
        assert terminal.end() == 0
    row = seated.desk.one(found)
    assert (row["status"], row["comment"]) == ("approved", "café")


@pytest.mark.measured
@pytest.mark.parametrize(("question", "word"), [(ASKS, ""), (COMMENTS, "a")])
def test_a_signal_ends_it(seated: Caller, question: str, word: str) -> None:
    """130, undecided, with the terminal as it was, and the summary all the same."""
    found = seated.desk.ask()
    with seated.terminal("review") as terminal:
        if word:
            say(terminal, word)
        terminal.until(question)
        terminal.type("\x03")
        assert terminal.end() == 130
        assert terminal.echoes
        assert last_line(terminal) == "nothing was decided; 1 still waits"
    assert seated.desk.one(found)["status"] == "pending"


def test_a_terminal_that_goes_away_decides_nothing(seated: Caller) -> None:
    """Though SIGHUP is ignored, as under nohup."""
    found = seated.desk.ask()
    with seated.terminal("review", preexec_fn=partial(signal.signal, signal.SIGHUP, signal.SIG_IGN)) as terminal:
        terminal.until(ASKS)
        terminal.hang_up()
        assert terminal.process.wait(PATIENCE) == 0
    assert seated.desk.one(found)["status"] == "pending"


@pytest.mark.measured
def test_a_terminal_that_goes_away_before_the_question(admin: Caller, platform: FakePlatform) -> None:
    """The same: there is nobody who could be asked."""
    row = platform.add(platform.workspace, {"action": "x"})
    with admin.terminal("review", preexec_fn=partial(signal.signal, signal.SIGHUP, signal.SIG_IGN)) as terminal:

        def hang_up_first(exchange: Exchange) -> Reply | None:
            terminal.hang_up()
            return exchange.default()

        platform.on("list", hang_up_first, does.FIRST)
        assert terminal.process.wait(PATIENCE) == 0
    assert row.status == "pending"


# --- long and hostile texts ----------------------------------------------------------------------------------------------


def text_of(pages: str) -> str:
    """The action as it stands on the pages, without margins: what goes on in the margin is one line."""
    lines = pages.replace("\r", "").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("action    "))
    end = next(number for number, line in enumerate(lines) if line.startswith("requester "))
    kept = [line for line in lines[start:end] if line[:10] in {"action    ", "        … ", " " * 10}]
    return "".join(("" if line[8] == "…" else "\n") + line[10:] for line in kept).removeprefix("\n")


@pytest.mark.measured
@pytest.mark.parametrize("size", [(24, 80), (12, 40)])
def test_a_long_text_is_read_to_its_end_before_it_can_be_decided(seated: Caller, size: tuple[int, int]) -> None:
    """Every character is shown, page by page; no word but skip and quit is taken before the last page."""
    action = "begin " + "".join(f"{number} 漢字 " for number in range(150)) + "\nsecond line " + "x" * 1_500 + " end"
    found = seated.desk.ask(action)
    with seated.terminal("review", size=size) as terminal:
        pages = say(terminal, "approve", "skip or quit: ")
        assert "there are more pages" in say(terminal, "", "skip or quit: ")
        count = int(re.findall(r"page 1 of (\d+)", pages)[0])
        pages += "".join(say(terminal, "", "skip or quit: ") for _ in range(count - 2)) + say(terminal, "a")
        say(terminal, "", COMMENTS)
        assert terminal.end() == 0
    assert text_of(pages) == action
    body = [line for line in pages.replace("\r", "").splitlines() if "漢" in line or "xxx" in line]
    assert all(len(line) + line.count("漢") + line.count("字") <= size[1] for line in body)
    assert seated.desk.one(found)["status"] == "approved"


@pytest.mark.measured
@pytest.mark.parametrize(
    ("word", "code"), [("skip", "1 skipped"), ("q", "nothing was decided"), ("\x04", "nothing was decided")]
)
def test_a_long_text_need_not_be_read_to_be_left(seated: Caller, word: str, code: str) -> None:
    """Skip, quit and the end of the input are taken on each page."""
    found = seated.desk.ask("x" * 4_000)
    with seated.terminal("review") as terminal:
        terminal.until("skip or quit: ")
        terminal.type(word if word == "\x04" else f"{word}\r")
        assert terminal.end() == 0
        assert last_line(terminal) == f"{code}; 1 still waits"
    assert seated.desk.one(found)["status"] == "pending"


def test_nothing_that_a_requester_writes_stands_where_our_words_stand(seated: Caller) -> None:
    """Nothing raw, and everything of theirs to the right of the margin, however narrow the window is."""
    hostile = "\x1b[2J\u202e\n" + ASKS + "\n::error::x" + " " * 70 + "approved"
    context = {"user": "\x1b]0;x\x07", "host": ASKS, "\nk": {"deep": "\u200b"}}
    seated.desk.ask(hostile, reason=hostile, context=context)
    with seated.terminal("review", size=(100, 60)) as terminal:
        terminal.until(f"\r\n{ASKS}")
        shown = PLAIN.sub("", terminal.seen)
        terminal.type("q\r")
        assert terminal.end() == 0
    assert not re.search("[\x00-\x09\x0b\x0c\x0e-\x1f\u202e\u200b]", shown)
    for line in shown.replace("\r", "").splitlines()[2:-1]:
        assert line[9] == " " or line.startswith(("workspace", "asked"))
    assert [line for line in shown.splitlines() if line.startswith(("approve", "::"))] == [ASKS]


# --- others at the same desk ---------------------------------------------------------------------------------------------


@pytest.mark.measured
def test_who_won_is_told(seated: Caller) -> None:
    """To the late click; and of what ended while another request was looked at, once."""
    desk = seated.desk
    first, second, third, last = (desk.ask(f"number {number}") for number in range(4))
    with seated.terminal("review", size=(40, 100)) as terminal:
        say(terminal, "s")
        terminal.until(ASKS)
        desk.decide(second, "denied", comment="not\ntoday")
        desk.decide(first, "approved")
        desk.withdraw(third)
        terminal.type("a\r")
        say(terminal, "", COMMENTS)
        shown = say(terminal, "q")
        assert f"request   {last}" in shown
        assert "the request had already ended: denied by alice" in shown
        assert f"meanwhile {first} ended: approved by alice\r\n" in unfolded(shown)
        assert f"meanwhile {third} ended: withdrawn by the requester\r\n" in unfolded(shown)
        assert f"meanwhile {second}" not in unfolded(shown)
        assert terminal.end() == 0
        assert last_line(terminal) == "1 skipped; 1 still waits"
    assert desk.one(second)["status"] == "denied"


@pytest.mark.measured
@pytest.mark.parametrize("named", [True, False], ids=["with a workspace", "without one"])
def test_every_workspace_is_served(seated: Caller, *, named: bool) -> None:
    """A request of another one is decided there, and told of when it ended there; the approver has to name none."""
    if not named:
        seated.patch.delenv("WORKSPACE_ID")
    desk, other = seated.desk, str(uuid.uuid4())
    desk.add_workspace(other, "staging", "staging-token")
    client = desk.client("staging-token")
    ids = [client.post(f"/workspaces/{other}/approvals", json={"action": "x"}).json()["approval_id"] for _ in range(2)]
    with seated.terminal("review", size=(40, 100)) as terminal:
        assert f"workspace staging ({other})\r\n" in say(terminal, "approve")
        say(terminal, "", COMMENTS)
        terminal.until(ASKS)
        client.post(f"/workspaces/{other}/approvals/{ids[1]}/withdraw")
        terminal.type("s\r")
        assert terminal.end() == 0
        assert f"meanwhile {ids[1]} ended: withdrawn by the requester" in unfolded(terminal.seen)
    assert client.get(f"/workspaces/{other}/approvals/{ids[0]}").json()["decided_by"] == "alice"
    client.close()


# --- the platform --------------------------------------------------------------------------------------------------------


def test_a_platform_keeps_no_comment_so_none_is_asked_for(admin: Caller, platform: FakePlatform) -> None:
    """Its own list is gone through; who asks and how long is left it does not tell."""
    rows = [platform.add(platform.workspace, {"action": f"x{number}"}) for number in range(2)]
    with admin.terminal("review", size=(40, 100)) as terminal:
        shown = say(terminal, "a")
        assert (" left;" in shown, "decide as tester (name not verified)" in shown) == (False, True)
        say(terminal, "d")
        assert terminal.end() == 0
        assert last_line(terminal) == "1 approved, 1 denied; nothing still waits"
        assert COMMENTS not in terminal.seen
    assert [(row.status, row.decided_by) for row in rows] == [("approved", "tester"), ("denied", "tester")]


@pytest.mark.measured
def test_an_answer_that_is_lost_is_said_and_looked_after(admin: Caller, platform: FakePlatform) -> None:
    """What was decided all the same is told as what it is; what was not is asked again."""
    done, undone = (platform.add(platform.workspace, {"action": f"x{number}"}) for number in range(2))
    platform.on("decide", does.act_then_drop, does.FIRST).on("decide", does.status(503), range(2, 3))
    with admin.terminal("review", size=(40, 100)) as terminal:
        say(terminal, "a")
        shown = say(terminal, "d")
        assert "it is not known whether the decision was made" in shown
        assert f"meanwhile {done.id} ended: approved by tester (name not verified)" in unfolded(shown)
        shown = say(terminal, "d")
        assert "it is not known whether the decision was made" in shown
        assert f"request   {undone.id}" in shown
        assert terminal.end() == 0
    assert undone.status == "denied"


@pytest.mark.measured
@pytest.mark.parametrize("breaks", [does.rows_changed(list.clear), does.status(500)])
def test_how_it_ended_is_not_always_shown(admin: Caller, platform: FakePlatform, breaks: Behaviour) -> None:
    """A row that was pushed out of the list, or a read that fails: it says just that."""
    row = platform.add(platform.workspace, {"action": "x"})
    with admin.terminal("review", size=(40, 100)) as terminal:
        terminal.until(ASKS)
        # The desk's route is unknown there; the list is read for what waits, and again for how this one ended.
        read = platform.count("list")
        platform.on("list", breaks, does.after(read + 1))
        platform.on("list", does.rows_changed(list.clear), range(read + 1, read + 2))
        terminal.type("s\r")
        assert terminal.end() == 0
        assert f"meanwhile {row.id} ended: the platform does not show how" in unfolded(terminal.seen)


@pytest.mark.measured
def test_a_signal_during_the_decision(admin: Caller, platform: FakePlatform) -> None:
    """130, and that it is not known how it went."""
    platform.add(platform.workspace, {"action": "x"})
    platform.on("decide", does.hold)
    with admin.terminal("review") as terminal:
        say(terminal, "a")
        platform.await_count("decide", 1)
        terminal.type("\x03")
        assert terminal.end() == 130
        assert "it is not known whether the decision was made" in terminal.seen


def test_a_platform_that_is_away(admin: Caller, platform: FakePlatform) -> None:
    """125, with the summary of what was done."""
    platform.add(platform.workspace, {"action": "x"})
    with admin.terminal("review") as terminal:
        terminal.until(ASKS)
        platform.leave()
        terminal.type("s\r")
        assert terminal.end() == 125
        assert "1 skipped; 1 still waits" in terminal.seen


# --- who may -------------------------------------------------------------------------------------------------------------


def test_without_a_terminal_it_is_2(seated: Caller) -> None:
    """In this process, and with a stdin that is none."""
    told = seated.main("review")
    assert (told.code, told.out) == (2, "")
    assert "there is no terminal to ask at\n" in told.err
    assert "as an approver elsewhere, with `pending --json`; then `approve` or `deny` it with --yes" in told.err
    with Path("/dev/null").open() as nothing, seated.terminal("review", stdin=nothing) as terminal:
        assert terminal.end() == 2


@pytest.mark.measured
def test_a_requesters_token_sees_no_desk(own: Caller) -> None:
    """125, and the hint names the approver's token."""
    own.desk.ask()
    own.set(MOLECULE_APPROVER_TOKEN=own.desk.server.requester.token)
    with own.terminal("review") as terminal:
        assert terminal.end() == 125
        assert "hint: check MOLECULE_APPROVER_TOKEN" in terminal.seen


def test_a_signal_before_the_first_request(own: Caller) -> None:
    """Ctrl-C while the token is typed: 130, and nothing to sum up."""
    with own.terminal("review") as terminal:
        terminal.until("approver's token: ")
        terminal.type("\x03")
        assert terminal.end() == 130
        assert terminal.echoes
        assert "nothing was decided" not in terminal.seen


def test_the_token_is_asked_for(own: Caller) -> None:
    """Unseen; and what is typed behind it decides nothing."""
    found = own.desk.ask()
    token = own.desk.decider.headers["Authorization"].removeprefix("Bearer ")
    with own.terminal("review") as terminal:
        terminal.until("approver's token: ")
        until(lambda: not terminal.echoes)
        terminal.type(f"{token}\ra\r")
        say(terminal, "q")
        assert terminal.end() == 0
        assert token not in terminal.seen
    assert own.desk.one(found)["status"] == "pending"


def test_a_decision_that_is_not_signed_is_not_sent(seated: Caller, tmp_path: Path) -> None:
    """The request is shown again, as it was."""
    asked, nonsense = seated.desk.ask("sign me"), tmp_path / "nonsense"
    nonsense.write_text("nonsense")
    with seated.terminal("review", "--sign", str(nonsense), size=(40, 120)) as terminal:
        say(terminal, "approve")
        say(terminal, "", COMMENTS)
        terminal.until("ssh-keygen did not sign with")
        terminal.type("\x03")
        terminal.end()
    assert seated.desk.one(asked)["status"] == "pending"
