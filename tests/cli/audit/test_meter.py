"""The line that shows how far a long verification has come."""

from __future__ import annotations

import os
import pty
import signal

import pytest

from molecule_approve.cli.audit.meter import Meter, meter


def test_a_long_log_shows_how_far_it_is_and_nothing_stays(capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing in the first half second, then at most ten pictures a second, and in the end an empty line."""
    times = iter([0.0, 0.1, 0.6, 0.65, 0.8, 0.9])
    drawing = Meter(lambda: next(times))
    for done, total in ((10, 100), (30_000_000, 100_000_000), (40, 100), (80_000_000, 100_000_000), (1, 0)):
        drawing.tell(done, total)
    drawing.close()
    assert capfd.readouterr().err == "\r\x1b[Kverifying: 30 %, 50 MB/s\r\x1b[Kverifying: 80 %, 100 MB/s\r\x1b[K"
    Meter(lambda: 0.0).close()
    assert capfd.readouterr().err == ""
    times = iter([0.0, 1.0])
    Meter(lambda: next(times), "counting").tell(1, 2)
    assert "counting: 50 %" in capfd.readouterr().err


def test_it_is_drawn_only_where_somebody_sits(monkeypatch: pytest.MonkeyPatch) -> None:
    """At a terminal that can erase a line, and not in CI."""
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as terminal:
        monkeypatch.setattr("sys.stderr", terminal)
        for term, ci, drawn in (("xterm", "", True), ("dumb", "", False), ("", "", False), ("xterm", "true", False)):
            monkeypatch.setenv("TERM", term)
            monkeypatch.setenv("CI", ci)
            with meter() as tell:
                assert isinstance(getattr(tell, "__self__", None), Meter) is drawn
                tell(0, 0)
    os.close(master)


def test_an_interrupt_takes_the_line_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C is an exception as long as something is drawn, and what it was before afterwards; an ignored one stays so."""
    master, slave = pty.openpty()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("CI", "")
    kept = signal.getsignal(signal.SIGINT)
    try:
        with os.fdopen(slave, "w") as terminal:
            monkeypatch.setattr("sys.stderr", terminal)
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            with pytest.raises(KeyboardInterrupt), meter():
                signal.raise_signal(signal.SIGINT)
            assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            with meter():
                signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, kept)
    os.close(master)
