"""What a person sees while it waits: plain lines by an injected clock, the live line at real terminals."""

from __future__ import annotations

import contextlib
import hashlib
import re
import shlex
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from molecule_approve.audit import locking
from molecule_approve.audit.chain import Head
from molecule_approve.audit.files import head_path
from molecule_approve.cli.progress import Plain, Progress, Scene, Silent, Spinner, span
from molecule_approve.client.reconnect import StreamState
from molecule_approve.clock import boottime
from molecule_approve.errors import PlatformError
from molecule_approve.model import Failure, Outcome, SubmittedRequest, Verdict
from tests.callers import PATIENCE, Caller, ended, until
from tests.forks import PROGRAM
from tests.integration import behaviours as does

if TYPE_CHECKING:
    from tests.integration.fake_platform import FakePlatform

QUESTION = SubmittedRequest("abc-123", "w")
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


def _scene(timeout: float = 300.0, *, embedded: bool = True, reason: str = "") -> Scene:
    return Scene("drop\nit", reason, "http://p", timeout, embedded)


class _Clock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def _nothing(_: SubmittedRequest) -> None:
    """Nobody wants the id."""


# --- plain lines ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "text"), [(-1, "0 s"), (0, "0 s"), (59.4, "59 s"), (60, "1:00"), (299.6, "5:00"), (3_661, "1:01:01")]
)
def test_a_time_span_as_people_read_it(seconds: float, text: str) -> None:
    """Seconds, minutes, hours."""
    assert span(seconds) == text


def test_one_line_at_the_start_one_every_thirty_seconds_one_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    """No control code in any of them."""
    clock = _Clock()
    seen: list[SubmittedRequest] = []
    plain = Plain(_scene(reason="be\x1bcause"), seen.append, clock)
    plain.asked(QUESTION)
    plain.link(StreamState.CONNECTING, "")
    plain.link(StreamState.LIVE, "")
    for _ in range(125):
        plain.tick()
        clock.now += 1
    plain.close()
    plain.finish(Verdict(Outcome.DENIED, decided_by="bob", comment="n\x1bo", waited_seconds=125))
    err = capsys.readouterr().err
    assert seen == [QUESTION]
    assert not CONTROL.search(err)
    to_decide = "to decide: molecule-approve approve abc-123  (or deny)"
    assert err.splitlines() == [
        "molecule-approve: asking http://p to approve:",
        "action    drop",
        "          it",
        "reason    be\\x1bcause",
        "request   abc-123",
        f"molecule-approve: {to_decide}",
        "molecule-approve: still waiting (live): 30 s so far, 4:30 left",
        "molecule-approve: still waiting (live): 1:00 so far, 4:00 left",
        "molecule-approve: still waiting (live): 1:30 so far, 3:30 left",
        "molecule-approve: still waiting (live): 2:00 so far, 3:00 left",
        "molecule-approve: denied by bob (name not verified): n\\x1bo (after 2:05)",
    ]


def test_what_may_have_to_be_mended_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Each trouble once, and no more than fifty of them."""
    plain = Plain(_scene(), _nothing)
    for _ in range(3):
        plain.link(StreamState.POLLING, "the stream refused our token")
        plain.trouble(PlatformError("it is a\x1bway"))
    plain.withdrawing("nobody decided in time")
    err = capsys.readouterr().err
    assert err.splitlines() == [
        "molecule-approve: polling: the stream refused our token",
        "molecule-approve: still trying: it is a\\x1bway",
        "molecule-approve: withdrawing the request: nobody decided in time",
    ]
    for number in range(100):
        plain.trouble(PlatformError(f"trouble {number}"))
    assert len(capsys.readouterr().err.splitlines()) == 48


@pytest.mark.measured
def test_a_log_that_another_process_holds_is_waited_for_in_so_many_words(caller: Caller) -> None:
    """After two seconds, once, on stderr, and never with --quiet; at the timeout it is an error."""
    waiting = (
        f"molecule-approve: waiting for the lock of the audit log {caller.log}, which another process holds (3 s at most)"
    )
    with locking.locked(caller.log, patience=5.0, pause=time.sleep, clock=boottime), contextlib.ExitStack() as started:
        plain, quiet, json, rotating = (
            started.enter_context(caller.start(*argv))
            for argv in (
                ("request", "--timeout", "3", "--", "drop it"),
                ("request", "--timeout", "3", "--quiet", "--", "drop it"),
                ("request", "--timeout", "3", "--json", "--", "drop it"),
                ("audit", "rotate"),
            )
        )
        for process, times in ((plain, 1), (quiet, 0), (json, 1)):
            told = ended(process)
            assert (told.code, told.err.splitlines().count(waiting), waiting in told.out) == (125, times, False)
            assert f"cannot lock the audit log {caller.log}" in told.err
        assert rotating.stderr is not None
        assert rotating.stderr.readline() == waiting.replace("(3 s", "(10 s") + "\n"
        rotating.terminate()


def test_an_error_is_told_where_it_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    """Not twice."""
    Plain(_scene(), _nothing).finish(Verdict(Outcome.INTERRUPTED, error=Failure("interrupted", "why")))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("timeout", "embedded", "said"), [(601, False, True), (600, False, False), (601, True, False)])
def test_the_first_line_says_when_the_platform_gives_up_sooner(
    capsys: pytest.CaptureFixture[str], timeout: float, embedded: bool, said: bool
) -> None:
    """Ten minutes, where more was given, and only there."""
    Plain(_scene(timeout, embedded=embedded), _nothing).asked(QUESTION)
    first = capsys.readouterr().err.splitlines()[0]
    assert ("which expires requests after 10:00, before the timeout of 10:01," in first) == said


def test_silent_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever happens; whoever wants the id still gets it."""
    seen: list[SubmittedRequest] = []
    silent: Progress = Silent(seen.append)
    silent.asked(QUESTION)
    silent.link(StreamState.LIVE, "why")
    silent.trouble(PlatformError("x"))
    silent.waiting_for_log("x")
    silent.withdrawing("x")
    silent.recorded(Head("a", 1, "b"))
    silent.tick()
    silent.close()
    silent.finish(Verdict(Outcome.DENIED))
    assert capsys.readouterr() == ("", "")
    assert seen == [QUESTION]


def test_the_first_and_the_last_head_are_told_where_they_are_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    """Each once, at once and at the end; an id from a file that others write is shown visibly."""
    for heads in (True, False):
        plain = Plain(_scene(), _nothing, heads=heads)
        for seq in (7, 8, 9):
            plain.recorded(Head("an\x1bid", seq, f"hash{seq}"))
        plain.finish(Verdict(Outcome.DENIED, decided_by="bob"))
        told = [line for line in capsys.readouterr().err.splitlines() if "audit log" in line]
        wanted = [f"molecule-approve: audit log an\\x1bid: its head is {seq}:hash{seq}" for seq in (7, 9)]
        assert told == (wanted if heads else [])


def test_one_head_is_told_once_and_none_where_there_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    """Where the roles refuse, one record is the first and the last; an optional log may have none."""
    for recorded in (1, 0):
        plain = Plain(_scene(), _nothing, heads=True)
        for _ in range(recorded):
            plain.recorded(Head("id", 1, "hash"))
        plain.finish(Verdict(Outcome.DENIED, decided_by="bob"))
        assert capsys.readouterr().err.count("its head is 1:hash") == recorded


def test_in_ci_the_heads_are_those_of_the_log(caller: Caller) -> None:
    """What `audit verify --expect` takes; --quiet says nothing; elsewhere nobody is told."""
    for ci, quiet, wanted in (("true", False, [1, 3]), ("true", True, []), ("false", False, [])):
        caller.log.unlink(missing_ok=True)
        head_path(caller.log).unlink(missing_ok=True)
        caller.set(CI=ci)
        with caller.answering("drop it", "denied"):
            told = caller.main("request", *(["--quiet"] if quiet else []), "--", "drop it")
        lines = caller.log.read_bytes().splitlines()
        said = re.findall(r"^molecule-approve: audit log (\S+): its head is (\d+):([0-9a-f]{64})$", told.err, re.MULTILINE)
        log_id = caller.records()[0]["log_id"]
        assert said == [(log_id, str(seq), hashlib.sha256(lines[seq - 1]).hexdigest()) for seq in wanted]


@pytest.mark.parametrize("setting", [{"CI": "true"}, {"CI": "1"}, {"TERM": "dumb"}, {"TERM": ""}])
def test_at_a_terminal_that_is_none_there_is_no_control_code(caller: Caller, setting: dict[str, str]) -> None:
    """CI, and TERM=dumb."""
    caller.set(**setting)
    with caller.terminal("request", "--timeout", "1", "--", "drop it") as terminal:
        assert terminal.end() == 124
        assert not CONTROL.search(terminal.seen.replace("\r\n", "\n"))
        assert "to approve:\r\naction    drop it\r\n" in terminal.seen


# --- the live line -------------------------------------------------------------------------------------------------------


def _after(text: str, shown: str) -> str:
    return text[text.index(shown) :]


@pytest.mark.parametrize("ci", ["", "0", "false"])
def test_the_live_line_shows_how_it_goes(caller: Caller, ci: str) -> None:
    """What, of whom, where to decide; the link, time waited and time left; and stdout's line when it is over."""
    caller.set(CI=ci)
    with caller.terminal("request", "--timeout", "90", "--reason", "spring", "--", "drop\x1b it") as terminal:
        terminal.until("waiting (live)")
        opening = terminal.seen
        assert "asking the embedded server to approve:\r\n" in opening
        assert "action    drop\\x1b it\r\nreason    spring\r\n" in re.sub(r"\x1b\[\d*m", "", opening)
        found = re.search(r"request   ([0-9a-f-]{36})\r\n", re.sub(r"\x1b\[\d*m", "", opening))
        assert found
        assert f"to decide: molecule-approve approve {found.group(1)[:8]}  (or deny)\r\n" in opening
        assert re.search(r"\x1b\[36m[|/\\-] waiting \(live\)  \d+ s waited, 1:\d\d left\x1b\[0m", terminal.seen)
        caller.desk.decide(found.group(1))
        assert terminal.end() == 0
        assert terminal.seen.endswith("\r\x1b[K\x1b[1;32m✓ approved by alice\x1b[0m\r\n")
        assert "\x1b[?25l" not in terminal.seen  # the cursor was never hidden


def test_no_more_than_four_frames_a_second(caller: Caller) -> None:
    """Counted over the whole wait."""
    begun = time.monotonic()
    with caller.terminal("request", "--timeout", "2", "--expires-in", "60", "--", "drop it") as terminal:
        assert terminal.end() == 124
        frames = terminal.seen.count(" left")
        assert 2 <= frames <= 4 * (time.monotonic() - begun)
        assert "withdrawing the request: nobody decided in time\r\n" in terminal.seen


@pytest.mark.parametrize(
    ("setting", "coloured"),
    [
        ({}, True),
        ({"NO_COLOR": "1"}, False),
        ({"NO_COLOR": ""}, True),
        ({"TERM": "vt100"}, False),
        ({"TERM": "vt100", "FORCE_COLOR": "1"}, True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
    ],
)
def test_colours_where_they_are_wanted(caller: Caller, setting: dict[str, str], coloured: bool) -> None:
    """NO_COLOR first, then FORCE_COLOR, then the terminal."""
    caller.set(**setting)
    with caller.terminal("request", "--timeout", "60", "--", "drop it") as terminal:
        terminal.until(" left")
        terminal.type("\x03")
        assert terminal.end() == 130
        assert ("\x1b[3" in terminal.seen) == coloured


@pytest.mark.measured
@pytest.mark.parametrize(("columns", "shown"), [(35, "live, "), (20, " s, "), (6, "")])
def test_a_narrow_window_shows_what_fits(caller: Caller, columns: int, shown: str) -> None:
    """No frame is wider than the window, and time left goes last."""
    caller.set(NO_COLOR="1")
    with caller.terminal("request", "--timeout", "60", "--", "x", size=(24, columns)) as terminal:
        terminal.until("(or deny)\r\n")
        live = terminal.until("\r\x1b[K") + terminal.until("\r\x1b[K") + terminal.until("\r\x1b[K")
        terminal.type("\x03")
        assert terminal.end() == 130
        frames = [frame for frame in live.split("\r\x1b[K") if frame]
        assert frames
        assert all(len(frame) < columns for frame in frames)
        assert any(shown in frame for frame in frames)


def test_a_window_without_a_size_has_eighty_columns(caller: Caller) -> None:
    """As a terminal has that was never told its size."""
    with caller.terminal("request", "--timeout", "60", "--", "x", size=(0, 0)) as terminal:
        terminal.until(" left")
        terminal.type("\x03")
        assert terminal.end() == 130


def test_where_stdout_goes_elsewhere_the_end_stays_on_the_terminal(caller: Caller) -> None:
    """The person at the terminal is told as well."""
    with (caller.folder / "out").open("w") as out, caller.terminal("request", "--", "drop it", stdout=out) as terminal:
        caller.desk.decide(caller.requested(), "denied")
        assert terminal.end() == 77
        assert "molecule-approve: \x1b[1;31m✗ denied by alice (after" in terminal.seen
    assert (caller.folder / "out").read_text() == "denied by alice\n"


@pytest.mark.parametrize("merged", [True, False])
def test_the_verdict_stands_once_in_each_stream(caller: Caller, merged: bool) -> None:
    """Also where both are one pipe; the request is named before the hint."""
    with caller.answering("drop it", "denied"):
        told = caller.run("request", "--", "drop it", stderr=subprocess.STDOUT if merged else subprocess.PIPE)
    assert (told.code, told.out.count("denied by alice"), told.err.count("denied by alice")) == (77, 1, int(not merged))
    found = caller.requested()
    named, hint = (told.out if merged else told.err).splitlines()[2:4]
    assert named == f"request   {found}"
    assert hint == f"molecule-approve: to decide: molecule-approve approve {found[:8]}  (or deny)"


def test_at_a_terminal_without_a_live_line_the_verdict_stands_once(caller: Caller) -> None:
    """As TERM=dumb is: with its mark, and without a colour."""
    caller.set(TERM="dumb")
    with caller.terminal("request", "--", "drop it") as terminal:
        caller.desk.decide(caller.requested(), "denied")
        assert terminal.end() == 77
        assert terminal.seen.endswith("(or deny)\r\n✗ denied by alice\r\n")


def test_a_failure_has_a_mark_and_a_colour_too(caller: Caller) -> None:
    """Where it is explained."""
    with caller.terminal("request", "--", "drop it") as terminal:
        terminal.until(" left")
        terminal.type("\x03")
        assert terminal.end() == 130
        assert "molecule-approve: \x1b[33m! stopped by Ctrl-C (SIGINT); nothing was approved\x1b[0m" in terminal.seen


def test_reconnecting_is_yellow_and_trouble_stands_above(caller: Caller, platform: FakePlatform) -> None:
    """What happened before the question stands, and while it does."""
    platform.on("submit", does.status(503, "not yet"), does.FIRST)
    platform.on("socket", does.status(503, "no socket"))
    with caller.terminal("request", "--timeout", "60", "--", "drop it") as terminal:
        assert "still trying: the platform answered 503: not yet\r\n" in terminal.until("(or deny)")
        terminal.until("\x1b[33m")
        assert "reconnecting, polling meanwhile: " in terminal.seen
        terminal.type("\x03")
        assert terminal.end() == 130
        assert terminal.seen.count("reconnecting, polling meanwhile: ") == 1


def test_a_terminal_that_goes_away_takes_the_question_back(caller: Caller) -> None:
    """A window that is closed: 129, withdrawn and recorded, though nothing can be written any more."""
    with caller.terminal("request", "--", "drop it") as terminal:
        terminal.until(" left")
        approval_id = caller.requested()
        terminal.hang_up()
        assert terminal.process.wait(PATIENCE) == 129
    assert caller.desk.one(approval_id)["decided_by"] == "withdrawn"
    assert caller.records()[-1]["outcome"] == "withdrawn"


def test_a_terminal_that_somebody_stopped_keeps_nobody_from_taking_it_back(caller: Caller) -> None:
    """Ctrl-S: the request is withdrawn in time, and told when the terminal goes on."""
    with caller.terminal("request", "--timeout", "2", "--expires-in", "60", "--", "drop it") as terminal:
        terminal.until(" left")
        terminal.type("\x13")
        approval_id = caller.requested()
        until(lambda: caller.desk.one(approval_id)["decided_by"] == "withdrawn", seconds=6)
        until(lambda: caller.records()[-1]["outcome"] == "timeout", seconds=6)
        terminal.type("\x11")
        assert terminal.end() == 124
        assert "timed out: nobody decided" in terminal.seen


# What a library of ours would do if it were broken: it fails at each read of our request.
_BROKEN = """
import h11
send = h11.Connection.send
def broken(connection, event):
    if getattr(event, "target", b"").endswith(b"/redeem"):
        raise RuntimeError("broken")
    return send(connection, event)
h11.Connection.send = broken
"""


def test_a_crash_leaves_the_terminal_in_order(caller: Caller) -> None:
    """A fault of the program in mid-wait: one sentence behind an erased line, 125, and the request is taken back."""
    (caller.folder / "sitecustomize.py").write_text(_BROKEN)
    caller.set(PYTHONPATH=str(caller.folder))
    with caller.terminal("request", "--transport", "poll", "--", "drop it") as terminal:
        approval_id = caller.requested()
        assert terminal.end() == 125
        assert "internal error: RuntimeError: broken" in _after(terminal.seen, "\r\x1b[K")
        assert "Traceback" not in terminal.seen
    assert caller.desk.one(approval_id)["decided_by"] == "withdrawn"


def test_a_broken_library_for_the_stream_does_not_end_the_wait(caller: Caller) -> None:
    """Where websockets cannot even be imported the wait polls, and nobody decides."""
    (caller.folder / "websockets.py").write_text("raise RuntimeError('broken')")
    caller.set(PYTHONPATH=str(caller.folder))
    with caller.terminal("request", "--transport", "websocket", "--timeout", "2", "--", "drop it") as terminal:
        assert terminal.end() == 124
        assert "Traceback" not in terminal.seen


def test_the_spinner_speaks_before_the_question_stands(capsys: pytest.CaptureFixture[str]) -> None:
    """And closes without having begun."""
    spinner = Spinner(_scene(), _nothing)
    spinner.trouble(PlatformError("not yet"))
    spinner.tick()
    spinner.close()
    assert capsys.readouterr().err == "molecule-approve: still trying: not yet\n"


def test_where_no_window_is_the_line_has_eighty_columns(capsys: pytest.CaptureFixture[str]) -> None:
    """What we write to may be no terminal any more."""
    spinner = Spinner(_scene(), _nothing)
    spinner.asked(QUESTION)
    until(lambda: "waiting (connecting)" in capsys.readouterr().err)
    spinner.withdrawing("why")
    spinner.close()
    assert capsys.readouterr().err.removesuffix("\r\x1b[K") == "\r\x1b[Kmolecule-approve: withdrawing the request: why\n"


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed here")
def test_in_a_real_terminal_emulator_one_line_lives(caller: Caller) -> None:
    """What tmux shows: the opening, one live line, and after Ctrl-C no trace of it and a visible cursor."""
    tmux = ["tmux", "-S", str(caller.desk.server.places.runtime / "tmux"), "-f", "/dev/null"]

    def run(*arguments: str) -> str:
        return subprocess.run([*tmux, *arguments], capture_output=True, text=True, timeout=PATIENCE, check=True).stdout

    command = [*PROGRAM, "request", "--timeout", "90", "--", "drop it"]
    code = caller.folder / "code"
    script = f"trap : INT; {shlex.join(command)}; echo $? > {code}; exec cat"
    run("new-session", "-d", "-x", "60", "-y", "12", "sh", "-c", script)
    try:
        until(lambda: "(live)" in run("capture-pane", "-p"))
        shown = run("capture-pane", "-p")
        assert shown.count(" left") == 1
        assert "to approve:\naction    drop it\n" in shown
        run("send-keys", "C-c")
        until(lambda: code.exists() and code.read_text())
        until(lambda: "stopped by Ctrl-C (SIGINT)" in run("capture-pane", "-p"))
        assert code.read_text() == "130\n"
        assert " left" not in run("capture-pane", "-p")
        assert run("display-message", "-p", "#{cursor_flag}") == "1\n"
    finally:
        run("kill-server")
