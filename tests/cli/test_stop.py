"""What stops an invocation: signals, where they may be raised, and nobody left to tell."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from molecule_approve.cli.stop import Audience, SignalStop
from molecule_approve.errors import Interrupted
from tests.callers import PATIENCE, Caller, ended, signals_kept
from tests.forks import PROGRAM
from tests.integration import behaviours as does

if TYPE_CHECKING:
    from tests.integration.fake_platform import FakePlatform

STOPS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture
def stop() -> Iterator[SignalStop]:
    """A stop that has taken the signals of this process over."""
    with signals_kept():
        found = SignalStop(None)
        found.install()
        yield found


# --- where a signal is raised --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", STOPS)
def test_in_an_open_region_a_signal_is_raised_at_once(stop: SignalStop, number: signal.Signals) -> None:
    """With its number and its name."""
    with pytest.raises(Interrupted, match=number.name) as caught, stop.open():
        signal.raise_signal(number)
    assert caught.value.signum == number


def test_elsewhere_it_waits_for_the_next_check(stop: SignalStop) -> None:
    """And is raised once."""
    signal.raise_signal(signal.SIGTERM)
    with pytest.raises(Interrupted):
        stop.check()
    stop.check()
    with stop.open():
        pass
    assert stop.signalled is stop.stopped is not None


def test_entering_an_open_region_is_a_check(stop: SignalStop) -> None:
    """What came before it is raised at its beginning."""
    signal.raise_signal(signal.SIGTERM)
    entered = False
    with pytest.raises(Interrupted), stop.open():
        entered = True
    assert not entered


def test_the_first_signal_counts_and_no_second_is_raised(stop: SignalStop) -> None:
    """While the question is taken back nothing interrupts that."""
    with pytest.raises(Interrupted), stop.open():
        signal.raise_signal(signal.SIGTERM)
    with stop.open():
        signal.raise_signal(signal.SIGINT)
    stop.check()
    assert stop.signalled is not None
    assert stop.signalled.signum == signal.SIGTERM


def _in_and_out(stop: SignalStop) -> None:
    while True:
        with stop.open():
            pass


# What is raised while a tracer holds its own lock would leave it locked for ever.
@pytest.mark.usefixtures("untraced")
def test_at_the_border_of_a_region_a_signal_is_raised_once() -> None:
    """Wherever it meets the few steps into a region or out of it; while the question is taken back no second one is."""
    with signals_kept():
        for _ in range(20):
            stop = SignalStop(None)
            stop.install()
            timer = threading.Timer(0.002, signal.pthread_kill, (threading.get_ident(), signal.SIGTERM))
            timer.start()
            with pytest.raises(Interrupted):
                _in_and_out(stop)
            timer.join()
            signal.raise_signal(signal.SIGTERM)


def test_a_signal_that_a_finalizer_swallowed_comes_again(stop: SignalStop, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is raised in a finalizer is lost (imports run many); the wait ends all the same."""
    swallowed: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", swallowed.append)

    class Finalized:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    def lose_it_and_wait() -> None:
        Finalized()
        threading.Event().wait(PATIENCE)

    with pytest.raises(Interrupted), stop.open():
        lose_it_and_wait()
    assert len(swallowed) == 1


def test_a_signal_that_was_swallowed_prints_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no fault, and comes again; what else fails in a finalizer is still told, and once."""
    told: list[sys.UnraisableHookArgs] = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)

    class Finalized:
        def __init__(self, act: Callable[[], object]) -> None:
            self.act = act

        def __del__(self) -> None:
            self.act()

    def lose_it_and_wait() -> None:
        Finalized(lambda: signal.raise_signal(signal.SIGTERM))
        threading.Event().wait(PATIENCE)

    with signals_kept():
        for _ in range(2):
            stop = SignalStop(None)
            stop.install()
            with pytest.raises(Interrupted), stop.open():
                lose_it_and_wait()
        Finalized(lambda: 1 / 0)
    assert [found.exc_type for found in told] == [ZeroDivisionError]


def test_a_signal_on_which_the_cleaning_up_fails_is_still_that_signal(stop: SignalStop) -> None:
    """What was interrupted may raise something else on its way out; an error that has nothing to do with it stays one."""

    def fail_to_clean_up() -> None:
        lock = threading.Lock()
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            lock.release()

    with pytest.raises(LookupError), stop.open():
        raise LookupError
    with pytest.raises(Interrupted) as caught, stop.open():
        fail_to_clean_up()
    assert caught.value is stop.signalled
    stop.check()
    with pytest.raises(LookupError), stop.open():
        raise LookupError


def test_a_signal_of_somebody_else_is_not_sent_again(stop: SignalStop) -> None:
    """Only what stops us is our matter; what came first is remembered."""
    with signals_kept():
        signal.signal(signal.SIGUSR1, lambda *_: None)
        signal.raise_signal(signal.SIGUSR1)
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    with pytest.raises(Interrupted), stop.open():
        signal.raise_signal(signal.SIGTERM)


def test_a_pause_ends_with_a_signal(stop: SignalStop) -> None:
    """At once, however long it was to be."""
    with subprocess.Popen(["/bin/kill", "-TERM", str(os.getpid())]), pytest.raises(Interrupted):
        stop.sleep(PATIENCE)
    stop.sleep(0)


def test_what_was_ignored_stays_ignored() -> None:
    """The others are taken over."""
    with signals_kept():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        stop = SignalStop(None)
        stop.install()
        signal.raise_signal(signal.SIGINT)
        assert stop.stopped is None
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN


# --- nobody left to tell -------------------------------------------------------------------------------------------------


def test_a_pipe_without_a_reader_is_nobody() -> None:
    """While the reader is there somebody is; what is closed or a file says nothing."""
    reader, writer = os.pipe()
    with open(os.devnull, "w") as file:  # noqa: PTH123 - its descriptor is what is wanted
        audience = Audience((writer, file.fileno(), 4_000))
        assert audience.gone() is None
        os.close(reader)
        assert audience.gone() == "the reader of the output is gone"
    os.close(writer)


@pytest.mark.parametrize("kind", ["socket", "terminal"])
def test_a_socket_or_a_terminal_that_went_away_is_nobody(kind: str) -> None:
    """A dead ssh, and a window that was closed."""
    with contextlib.ExitStack() as stack:
        if kind == "socket":
            near, far = socket.socketpair()
            stack.callback(near.close)
            audience, leave = Audience((near.fileno(),)), far.close
        else:
            leader, follower = pty.openpty()
            stack.callback(os.close, follower)
            audience, leave = Audience((follower,)), lambda: os.close(leader)
        assert audience.gone() is None
        leave()
        assert audience.gone() is not None


@pytest.mark.measured
def test_a_parent_that_died_is_nobody() -> None:
    """Found by an orphan."""
    script = """
import os, sys
from molecule_approve.cli.stop import Audience
reader, writer = os.pipe()
if os.fork() == 0:
    if os.fork() == 0:
        audience = Audience(())
        os.write(writer, b"x")
        while audience.gone() is None:
            os.sched_yield()
        sys.stdout.write(f"{audience.gone()}\\n")
        sys.stdout.flush()
    else:
        os.read(reader, 1)
    os._exit(0)
os.wait()
"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert found.stdout.strip() == "the process that started this one is gone"


def test_nobody_counts_as_sighup_but_is_no_signal() -> None:
    """Found by a look, raised by the next check; looks are seconds apart, and one more may be asked for."""
    reader, writer = os.pipe()
    stop = SignalStop(Audience((writer,)))
    os.close(reader)
    stop.check()  # the first look is not due yet
    stop.look()
    with pytest.raises(Interrupted, match="nobody reads the verdict: the reader of the output is gone") as caught:
        stop.check()
    assert (caught.value.signum, stop.signalled) == (signal.SIGHUP, None)
    stop.look()
    os.close(writer)


def test_somebody_is_there_as_long_as_they_are() -> None:
    """A look that finds them changes nothing."""
    reader, writer = os.pipe()
    stop = SignalStop(Audience((writer,)))
    stop.look()
    stop.check()
    assert stop.stopped is None
    os.close(reader)
    os.close(writer)


def test_nohup_expects_nobody() -> None:
    """Where SIGHUP was ignored at the start there is no audience to look at."""
    with signals_kept():
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        assert Audience.expected() is not None
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        assert Audience.expected() is None


# --- real processes ------------------------------------------------------------------------------------------------------


@pytest.mark.measured
def test_a_reader_that_goes_away_while_it_waits(caller: Caller) -> None:
    """129 within seconds, and the question is taken back."""
    reader, writer = os.pipe()
    with caller.start("request", "--", "drop it", stdout=writer) as process:
        os.close(writer)
        approval_id = caller.requested()
        os.close(reader)
        told = ended(process)
    assert told.code == 129
    assert caller.desk.one(approval_id)["decided_by"] == "withdrawn"
    assert "nobody reads the verdict" in told.err


def test_a_second_signal_while_it_is_taken_back(caller: Caller, platform: FakePlatform) -> None:
    """The first one's code, one ending, and no traceback."""
    platform.on("decide", does.act_then_hold)
    with caller.start("request", "--transport", "poll", "--", "drop it") as process:
        platform.await_count("list", 1)
        process.send_signal(signal.SIGTERM)
        platform.await_count("decide", 1)
        process.send_signal(signal.SIGINT)
        told = ended(process)
    assert told.code == 143
    assert "Traceback" not in told.err
    assert [record["outcome"] for record in caller.records()] == ["initiated", "requested", "withdrawn"]


@pytest.mark.parametrize("name", ["INT", "HUP"])
def test_an_ignored_signal_stops_nothing(caller: Caller, name: str) -> None:
    """A background job, and nohup: the verdict comes as ever."""
    program = ("/bin/sh", "-c", f'trap "" {name}; exec "$@"', "sh", *PROGRAM)
    with caller.start("request", "--", "drop it", program=program) as process:
        approval_id = caller.requested()
        process.send_signal(signal.Signals[f"SIG{name}"])
        caller.desk.decide(approval_id)
        assert ended(process).code == 0
