"""Signals that wait, and threads that take none."""

from __future__ import annotations

import signal
import threading

import pytest

from molecule_approve import signals
from tests.callers import signals_kept, takers


def test_a_signal_waits_until_the_block_ends() -> None:
    """It has its effect then, also where the block fails."""
    came: list[int] = []

    def fail() -> None:
        with signals.held():
            signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
            assert not came
            raise LookupError

    with signals_kept():
        signal.signal(signal.SIGTERM, lambda number, _: came.append(number))
        with pytest.raises(LookupError):
            fail()
    assert came == [signal.SIGTERM]


def test_what_waited_before_waits_still_afterwards() -> None:
    """The block gives its number."""
    usual = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    try:
        with signals.held() as before:
            assert before == {*usual, signal.SIGUSR1}
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == {*usual, signal.SIGUSR1}
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, usual)


def test_a_thread_that_starts_inside_takes_no_signal() -> None:
    """Not even later."""
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    with signals.held():
        thread.start()
    before = takers()
    over.set()
    thread.join()
    assert thread.native_id not in before
    assert threading.get_native_id() in before
