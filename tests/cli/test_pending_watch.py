"""`pending --watch`: a live table at a real terminal, and how it is laid out in windows of every size."""

from __future__ import annotations

import fcntl
import re
import select
import signal
import sys
import termios
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from molecule_approve.cli.pending_feed import State
from molecule_approve.cli.pending_watch import picture
from molecule_approve.cli.terminal import Size, cells
from molecule_approve.client.inbox import PendingList, Waiting
from molecule_approve.model import Approval, Status
from molecule_approve.server.users import user_name
from tests.callers import PATIENCE, ended, until
from tests.integration import behaviours as does

if TYPE_CHECKING:
    from tests.callers import Caller, Terminal
    from tests.integration.fake_platform import FakePlatform

ENTER, LEAVE, HOME = "\x1b[?1049h\x1b[?25l\x1b[?7l", "\x1b[?7h\x1b[?25h\x1b[?1049l", "\x1b[H"
CODES = re.compile(r"\x1b\[[\d?]*[A-Za-z]")


def pictures(seen: str) -> list[list[str]]:
    """The pictures that were drawn whole."""
    whole = [found.partition("\x1b[J") for found in seen.split(HOME)[1:]]
    return [re.split("\r+\n", CODES.sub("", body)) for body, end, _ in whole if end]


def shows(terminal: Terminal, text: str) -> list[str]:
    """The first picture with this text from now on."""
    known = len(pictures(terminal.seen))
    while True:
        for found in pictures(terminal.seen)[known:]:
            if any(text in line for line in found):
                return found
        terminal._read(PATIENCE)


def leave(terminal: Terminal) -> None:
    """Ctrl-C: 130, and the terminal is as it was."""
    terminal.type("\x03")
    assert terminal.end() == 130
    assert terminal.seen.endswith(LEAVE)
    assert terminal.seen.count("\x1b[?25h") == terminal.seen.count("\x1b[?25l")
    assert terminal.echoes


# --- live ----------------------------------------------------------------------------------------------------------------


def test_it_lives(seated: Caller) -> None:
    """A request appears when it is asked, with who asks and the time left, and goes when it is decided."""
    with seated.terminal("pending", "--watch", size=(24, 100)) as terminal:
        assert shows(terminal, "(live)")[:2] == ["nothing waits for a decision (live)", ""]
        found = seated.desk.ask("rm -rf\n/srv", expires_in=50, context={"user": "bob", "host": "box"})
        lines = shows(terminal, found[:8])
        assert lines[0] == "1 waits for a decision (live)"
        assert lines[2].split() == ["ID", "AGE", "LEFT", "WORKSPACE", "REQUESTER", "ACTION"]
        assert re.fullmatch(
            rf"{found[:8]}  \d s    (50|49) s   local      {user_name()} \(says bob@box\)  rm -rf\\n/srv", lines[3]
        )
        shows(terminal, "  48 s")  # the times turn
        seated.desk.decide(found, "denied")
        assert shows(terminal, "nothing waits")[0] == "nothing waits for a decision (live)"
        leave(terminal)
        assert terminal.seen.count(ENTER) == 1


def test_without_a_workspace_those_of_all_are_shown_live(seated: Caller) -> None:
    """An approver names none: each workspace's requests come with its name, and go when they are decided."""
    desk = seated.desk
    desk.add_workspace("w-2", "Payroll", "payroll-token")
    seated.patch.delenv("WORKSPACE_ID")
    with seated.terminal("pending", "--watch") as terminal:
        shows(terminal, "nothing waits for a decision (live)")
        found = desk.ask("first")
        assert "local" in shows(terminal, "first")[3]
        with desk.client("payroll-token") as client:
            client.post("/workspaces/w-2/approvals", json={"action": "pay"})
        assert "Payroll" in shows(terminal, "pay")[4]
        desk.decide(found, "denied")
        assert shows(terminal, "1 waits")[0] == "1 waits for a decision (live)"
        leave(terminal)


def test_nothing_is_drawn_where_nothing_changes(seated: Caller) -> None:
    """An empty table stands still."""
    with seated.terminal("pending", "--watch") as terminal:
        shows(terminal, "(live)")
        assert select.select([terminal._leader], [], [], 1.3)[0] == []
        leave(terminal)


def test_without_an_approvers_token_the_workspaces_own_are_shown(own: Caller) -> None:
    """Whole, for the server tells a requester its own; each is read once."""
    own.desk.ask("first", context={"user": "bob"})
    with own.terminal("pending", "--watch", size=(24, 120)) as terminal:
        lines = shows(terminal, "1 waits")
        assert re.search(rf"  \d s +(1:00:00|59:5\d)  \S{{23}}…  {user_name()} \(says bob\) +first", lines[3])
        own.desk.ask("second")
        assert re.search(rf" {user_name()} +second", shows(terminal, "2 wait")[4])
        leave(terminal)


def test_a_platform_that_lets_nobody_listen_is_polled(caller: Caller, platform: FakePlatform) -> None:
    """Every poll interval; its list tells no time left. The administrator's token is not taken on the socket."""
    caller.set(MOLECULE_APPROVER_TOKEN=platform.admin, APPROVAL_POLL_INTERVAL="1")
    row = platform.add(platform.workspace, {"action": "x"})
    with caller.terminal("pending", "--watch") as terminal:
        lines = shows(terminal, "1 waits")
        assert lines[0].endswith("(polling)")
        assert re.search(r"  -      \S+  -          x", lines[3])
        platform.add(platform.workspace, {"action": "y"})
        shows(terminal, "2 wait")
        platform.decide(row, "denied", "bob")
        shows(terminal, "1 waits")
        leave(terminal)
    times = platform.times("list")
    assert all(later - earlier > 0.9 for earlier, later in pairwise(times[1:]))


@pytest.mark.measured
def test_who_wants_no_stream_polls(caller: Caller, platform: FakePlatform) -> None:
    """No handshake at all; how it is said to `request` says it here too."""
    caller.set(APPROVAL_USE_WEBSOCKET="false", APPROVAL_POLL_INTERVAL="1")
    with caller.terminal("pending", "--watch") as terminal:
        shows(terminal, "(polling)")
        platform.await_count("list", 3)  # the answer to the second one was read, and was the same
        leave(terminal)
    assert platform.count("socket") == 0


@pytest.mark.measured
def test_the_stream_comes_back(caller: Caller, platform: FakePlatform) -> None:
    """Refused for now, then open, then lost, then open: at most one attempt and one read a second; nothing is missed."""
    platform.on("socket", does.status(503), does.FIRST)
    with caller.terminal("pending", "--watch") as terminal:
        shows(terminal, "(polling)")
        shows(terminal, "(live)")
        platform.drop_connections()
        shows(terminal, "(polling)")
        platform.add(platform.workspace, {"action": "meanwhile"})
        shows(terminal, "meanwhile")
        shows(terminal, "(live)")
        leave(terminal)
    times = platform.times("socket")
    assert all(later - earlier > 0.9 for earlier, later in pairwise(times))


@pytest.mark.measured
@pytest.mark.parametrize("token", ["", "approver"])
def test_what_cannot_be_read_is_said_and_tried_again(caller: Caller, platform: FakePlatform, token: str) -> None:
    """The last picture stays, with the trouble above it; Retry-After is honoured."""
    if token:
        caller.set(MOLECULE_APPROVER_TOKEN=platform.admin)
    caller.set(APPROVAL_USE_WEBSOCKET="false", APPROVAL_POLL_INTERVAL="1")
    platform.add(platform.workspace, {"action": "x"})
    platform.on("list", does.status(429, "slow\x1b[2Jly", ("Retry-After", "2")), range(2, 3))
    platform.on("list", does.answers(b"<html>"), range(3, 4))
    with caller.terminal("pending", "--watch") as terminal:
        shows(terminal, "1 waits")
        lines = shows(terminal, "not up to date")
        assert lines[:2] == ["1 waits for a decision (polling)", "not up to date: the platform answered 429: slow\\x1b[2Jly"]
        assert "not up to date: the answer is not valid JSON" in shows(terminal, "is not valid JSON")[1]
        while shows(terminal, "1 waits")[1]:
            pass
        leave(terminal)
    times = platform.times("list")
    assert times[2] - times[1] > 1.9


# --- the end, and other interruptions ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_puts_the_terminal_back(seated: Caller, number: signal.Signals, code: int) -> None:
    """128 and the signal."""
    with seated.terminal("pending", "--watch") as terminal:
        shows(terminal, "(live)")
        terminal.process.send_signal(number)
        assert terminal.end() == code, terminal.seen
        assert terminal.seen.endswith(LEAVE)


@pytest.mark.measured
def test_the_shell_gets_its_screen_while_we_are_stopped(seated: Caller) -> None:
    """Ctrl-Z gives the screen back first; whoever goes on takes it again."""
    with seated.terminal("pending", "--watch") as terminal:
        shows(terminal, "(live)")
        # Nobody could wake a process without a shell, so the system does not stop it: it goes on at once.
        terminal.process.send_signal(signal.SIGTSTP)
        terminal.until(LEAVE)
        terminal.until(ENTER)
        leave(terminal)


@pytest.mark.measured
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_it_is_stopped_between_two_pictures_only(caller: Caller, unbuffered: str) -> None:
    """A signal in the middle of one waits for its end, for no write may come in between; and nothing is cut short by it."""
    caller.set(PYTHONUNBUFFERED=unbuffered)
    script = (
        "from molecule_approve.cli.pending_watch import Screen; screen = Screen(); "
        "screen.draw(['x' * 200_000]); screen.leave()"
    )
    with caller.start(program=(sys.executable, "-c", script), start_new_session=True) as process:
        assert process.stdout is not None
        pipe = process.stdout.fileno()
        until(lambda: int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder) >= 65_536)
        process.send_signal(signal.SIGTSTP)
        assert ended(process).out == f"{ENTER}{HOME}{'x' * 200_000}\x1b[K\x1b[J{LEAVE}"


@pytest.mark.measured
def test_between_two_pictures_it_is_stopped_at_once(caller: Caller) -> None:
    """The screen is given back before, and taken again by the same picture after."""
    script = (
        "import signal; from molecule_approve.cli.pending_watch import Screen; screen = Screen(); screen.draw(['x']); "
        "signal.raise_signal(signal.SIGTSTP); screen.draw(['x']); screen.leave()"
    )
    told = caller.run(program=(sys.executable, "-c", script), start_new_session=True)
    assert (told.code, told.out) == (0, f"{ENTER}{HOME}x\x1b[K\x1b[J{LEAVE}" * 2)


@pytest.mark.measured
def test_who_ignores_being_stopped_still_does(seated: Caller) -> None:
    """As a shell without job control starts it: the screen is kept."""
    ignoring = partial(signal.signal, signal.SIGTSTP, signal.SIG_IGN)
    with seated.terminal("pending", "--watch", preexec_fn=ignoring) as terminal:
        shows(terminal, "(live)")
        terminal.process.send_signal(signal.SIGTSTP)
        seated.desk.ask("go on")
        shows(terminal, "go on")
        leave(terminal)
        assert terminal.seen.count(ENTER) == 1


@pytest.mark.measured
def test_a_platform_that_was_never_there_is_125(caller: Caller, platform: FakePlatform) -> None:
    """One sentence, and no screen is left behind."""
    platform.leave()
    with caller.terminal("pending", "--watch") as terminal:
        assert terminal.end() == 125
        assert "hint: " in terminal.seen
        assert terminal.seen.count(ENTER) == terminal.seen.count(LEAVE)


@pytest.mark.measured
def test_a_slow_platform_leaves_an_honest_picture(caller: Caller, platform: FakePlatform) -> None:
    """That nothing is known yet; Ctrl-C does not wait for it."""
    platform.on("list", does.hold)
    with caller.terminal("pending", "--watch") as terminal:
        assert shows(terminal, "reading")[0] == "reading the pending requests"
        leave(terminal)


@pytest.mark.parametrize(("environ", "argv"), [({}, ()), ({"CI": "true"}, ()), ({"TERM": "dumb"}, ()), ({}, ("--json",))])
def test_where_nothing_can_be_drawn_it_is_2(caller: Caller, environ: dict[str, str], argv: tuple[str, ...]) -> None:
    """No terminal, or CI, or a terminal that cannot; and a table is no JSON."""
    caller.set(**environ)
    if not environ:
        assert caller.main("pending", "--watch", *argv).code == 2
    with caller.terminal("pending", "--watch", *argv) as terminal:
        if environ or argv:
            assert terminal.end() == 2
            assert "\x1b" not in terminal.seen
        else:
            shows(terminal, "(live)")
            leave(terminal)


# --- the layout ----------------------------------------------------------------------------------------------------------

NOW = datetime(2026, 4, 27, 10, 0, 0, tzinfo=UTC)


def waiting(number: int, action: str = "x", seconds: float | None = 30.0, **context: str) -> Waiting:
    """A request that was asked so many seconds ago."""
    expires = None if seconds is None else (NOW + timedelta(seconds=seconds)).isoformat()
    asked = (NOW - timedelta(seconds=number)).isoformat()
    row = Approval(
        f"{number:08}-rest", "ws-id", action, Status.PENDING, created_at=asked, expires_at=expires, context=context
    )
    return Waiting(row, "a workspace with a long, long name \x1b[2J")


def plain(state: State, columns: int, lines: int) -> list[str]:
    """The picture without styles."""
    return [CODES.sub("", line) for line in picture(state, NOW, Size(columns, lines))]


def state_of(*rows: Waiting, total: int = 0, trouble: str = "") -> State:
    """These rows, live."""
    return State(PendingList(rows, max(total, len(rows))), live=True, trouble=trouble)


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        (120, ["ID", "AGE", "LEFT", "WORKSPACE", "REQUESTER", "ACTION"]),
        (80, ["ID", "AGE", "LEFT", "REQUESTER", "ACTION"]),
        (50, ["ID", "AGE", "LEFT", "ACTION"]),
        (40, ["ID", "LEFT", "ACTION"]),
        (32, ["ID", "ACTION"]),
        (8, ["ID", "…"]),
    ],
)
def test_columns_go_where_the_window_is_narrow(columns: int, names: list[str]) -> None:
    """What says least goes first; the id and the action stay."""
    state = state_of(waiting(1, "漢字" * 80, user="somebody", host="a-machine-somewhere"), waiting(2))
    assert plain(state, columns, 24)[2].split() == names


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("columns", [1, 7, 8, 12, 40, 79, 80, 81, 200])
@pytest.mark.parametrize("lines", [1, 2, 5, 6, 24])
def test_it_fits_every_window(columns: int, lines: int) -> None:
    """No line is wider, and there are no more of them, also with trouble and wide characters; nothing is raw."""
    rows = [waiting(number, "漢字\x1b[2J\u202e" * 80, user="漢" * 40) for number in range(30)]
    for state in (State(), state_of(), state_of(*rows, trouble="漢字" * 100), state_of(*rows[:3], total=70)):
        shown = plain(state, columns, lines)
        assert len(shown) <= lines
        # A window that cannot hold the id is not a window that anybody uses.
        assert all(cells(line) <= max(columns, 11) for line in shown)
        assert not any(re.search("[\x00-\x1f\u202e]", line) for line in shown)


def test_more_than_fit_are_counted() -> None:
    """The oldest are shown, and how many there are besides, those included that the server keeps back."""
    shown = plain(state_of(*(waiting(number) for number in range(30))), 80, 10)
    assert [line.split()[0] for line in shown[3:8]] == ["00000000", "00000001", "00000002", "00000003", "…"]
    assert shown[7] == "… and 26 more"
    assert "… and 67 more" in plain(state_of(*(waiting(number) for number in range(3)), total=70), 80, 24)
    assert plain(state_of(*(waiting(number) for number in range(5))), 80, 10)[7].startswith("00000004")


def test_what_is_not_listed_may_still_wait() -> None:
    """The table says what it speaks of, where a platform lists only its newest."""
    title = picture(State(PendingList((), 0, unseen=True)), NOW, Size(80, 24))[0]
    assert "nothing waits for a decision among the platform's 50 newest requests (polling)" in title


def test_what_ends_soon_stands_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """In yellow, where colours are wanted; what tells no time left does not."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("CLICOLOR_FORCE", "1")
    lines = picture(state_of(waiting(1), waiting(2, seconds=90), waiting(3, seconds=None)), NOW, Size(80, 24))
    assert [line.startswith("\x1b[33m") for line in lines[3:6]] == [True, False, False]
