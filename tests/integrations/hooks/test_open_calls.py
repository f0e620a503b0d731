"""The memory of requests that a hook left open: one file a call, and nothing depends on it but the late approval."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from molecule_approve.integrations.hooks.open_calls import KEPT, OpenCall


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    """Where it will be; nothing is there yet."""
    return tmp_path / "state" / "hook-calls"


def test_a_call_keeps_its_key(memory: Path) -> None:
    """Until its request has ended; the file is the user's own."""
    first, second = OpenCall(memory, "f"), OpenCall(memory, "f")
    assert (first.is_known, second.is_known, second.key) == (False, True, first.key)
    assert (memory / "f").stat().st_mode & 0o777 == 0o600
    assert memory.stat().st_mode & 0o777 == 0o700


def test_a_call_that_was_decided_is_forgotten(memory: Path) -> None:
    """The next one has a new key; to forget twice is no error."""
    first = OpenCall(memory, "f")
    first.forget()
    first.forget()
    second = OpenCall(memory, "f")
    assert not second.is_known
    assert second.key != first.key


def test_a_call_gets_a_new_key(memory: Path) -> None:
    """Which the next one finds."""
    call = OpenCall(memory, "f")
    before = call.key
    call.renew()
    assert call.key != before
    assert OpenCall(memory, "f").key == call.key


def test_another_call_has_another_key(memory: Path) -> None:
    """By its fingerprint."""
    assert OpenCall(memory, "f").key != OpenCall(memory, "g").key


def test_the_file_of_another_call_does_not_lead_to_its_request(memory: Path) -> None:
    """Whoever copies it gets a key that no request has."""
    first = OpenCall(memory, "f")
    OpenCall(memory, "g")
    (memory / "g").write_bytes((memory / "f").read_bytes())
    second = OpenCall(memory, "g")
    assert second.is_known
    assert second.key != first.key


@pytest.mark.parametrize("data", [b"", b"x", b"a" * 31, b"A" * 32, b"a" * 32 + b"\n", b"\xff" * 32])
def test_a_file_of_another_form_is_not_used(memory: Path, data: bytes) -> None:
    """The call is a new one, and its file right again."""
    before = OpenCall(memory, "f").key
    (memory / "f").write_bytes(data)
    call = OpenCall(memory, "f")
    assert not call.is_known
    assert call.key != before
    assert OpenCall(memory, "f").key == call.key


def test_a_link_is_not_followed(memory: Path, tmp_path: Path) -> None:
    """Somebody else may have put it there."""
    OpenCall(memory, "f").forget()
    (tmp_path / "key").write_bytes(b"a" * 32)
    (memory / "f").symlink_to(tmp_path / "key")
    assert OpenCall(memory, "f").key != "a" * 32
    assert (tmp_path / "key").read_bytes() == b"a" * 32


def test_without_a_place_every_call_is_a_new_one(tmp_path: Path) -> None:
    """The late approval is lost, and nothing else."""
    (tmp_path / "file").touch()
    call = OpenCall(tmp_path / "file", "f")
    assert not call.is_known
    assert not OpenCall(tmp_path / "file", "f").is_known


def test_old_files_are_removed(memory: Path) -> None:
    """Their requests have expired long ago."""
    OpenCall(memory, "old")
    OpenCall(memory, "young")
    past = time.time() - KEPT - 1
    os.utime(memory / "old", (past, past))
    OpenCall(memory, "new")
    assert sorted(path.name for path in memory.iterdir()) == ["new", "young"]
