"""The event on stdin: all of it, within a time and a size."""

from __future__ import annotations

import io
import os
import pty
from collections.abc import Iterator
from pathlib import Path

import pytest

from molecule_approve.cli.hook.stdin import EVENT_LIMIT, read_event
from molecule_approve.clock import Deadline
from molecule_approve.errors import HookEventError


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The end of a pipe that a host writes to."""
    reading, writing = os.pipe()
    with os.fdopen(reading) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        yield writing


def test_all_of_it_is_read(pipe: int) -> None:
    """However it is cut into pieces."""
    os.write(pipe, b"one ")
    os.write(pipe, b"two")
    os.close(pipe)
    assert read_event(Deadline.after(5)) == b"one two"


def test_a_host_that_does_not_close_it(pipe: int) -> None:
    """The hook does not wait for ever."""
    os.write(pipe, b"{")
    with pytest.raises(HookEventError, match="did not close stdin in time"):
        read_event(Deadline.after(0.05))
    os.close(pipe)


def test_an_event_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not kept in memory to its end."""
    with Path("/dev/zero").open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        with pytest.raises(HookEventError, match=f"larger than {EVENT_LIMIT // 1024**2} MiB"):
            read_event(Deadline.after(5))


def test_no_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python has none where it was closed."""
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(HookEventError, match="stdin is closed") as caught:
        read_event(Deadline.after(5))
    assert "molecule-approve hook HOST < event.json" in caught.value.hint


def test_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person has typed the command."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        with pytest.raises(HookEventError, match="stdin is a terminal"):
            read_event(Deadline.after(5))
    os.close(ours)


@pytest.mark.parametrize("stdin", [io.StringIO("{}"), None])
def test_a_stdin_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch, stdin: io.StringIO | None) -> None:
    """Without a descriptor, or one of a folder."""
    folder = os.open("/", os.O_RDONLY)
    with Path(os.devnull).open() as other:
        os.dup2(folder, other.fileno())
        monkeypatch.setattr("sys.stdin", stdin or other)
        with pytest.raises(HookEventError, match="stdin cannot be read"):
            read_event(Deadline.after(5))
    os.close(folder)
