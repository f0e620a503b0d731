"""Programs that ship the log elsewhere follow a file by its name, or by its inode: a rotation hides no record from them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from molecule_approve.audit.journal import Journal
from molecule_approve.audit.record import Record
from tests.audit import standing

MakeRecord = Callable[..., Record]

RECORDS = 300
LIMIT = 4_000
"""Bytes after which a log is rotated: some dozen records."""

MOVE_SELF = """
import ctypes, os, select, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
path = os.fsencode(sys.argv[1])
MODIFY, CREATE, MOVE_SELF = 0x002, 0x100, 0x800
HEADER = struct.Struct("iIII")
watching = libc.inotify_init1(os.O_CLOEXEC)
assert libc.inotify_add_watch(watching, os.path.dirname(path), CREATE) > 0

def opened():
    while True:
        try:
            handle = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            os.read(watching, 65_536)
            continue
        watch = libc.inotify_add_watch(watching, b"/proc/self/fd/%d" % handle, MODIFY | MOVE_SELF)
        # Of a move before the watch nobody tells.
        if leads_to(handle):
            return handle, watch
        shipped(handle)
        os.close(handle)

def leads_to(handle):
    try:
        return os.path.samestat(os.stat(path), os.fstat(handle))
    except FileNotFoundError:
        return False

def shipped(handle):
    while data := os.read(handle, 65_536):
        sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()

handle, watch = opened()
print("ready", file=sys.stderr, flush=True)
while True:
    shipped(handle)
    data = os.read(watching, 65_536)
    at = 0
    while at < len(data):
        number, mask, _, length = HEADER.unpack_from(data, at)
        at += HEADER.size + length
        # It does not look at the name again: only the inode's own move tells that another file is to be followed.
        if number == watch and mask & MOVE_SELF:
            shipped(handle)
            os.close(handle)
            handle, watch = opened()
            shipped(handle)
"""


@contextmanager
def following(*command: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    """A program that follows the log, until the end."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as follower:
        try:
            yield follower
        finally:
            follower.kill()


def numbers(output: IO[bytes] | None, last: int) -> list[int]:
    """The records' numbers as the follower shipped them, up to the last one."""
    assert output is not None
    found: list[int] = []
    while not found or found[-1] != last:
        found.append(json.loads(output.readline())["number"])
    return found


@pytest.mark.timeout(60)
def test_a_follower_that_waits_for_the_file_to_move_sees_every_record_once(log: Path, make: MakeRecord) -> None:
    """When its inode tells that it was renamed (IN_MOVE_SELF), it reads it to its end and opens the name."""
    journal = Journal(log)
    journal.append(make(number=0), patience=0)
    with following(sys.executable, "-c", MOVE_SELF, log) as follower:
        assert follower.stderr is not None
        assert follower.stderr.readline() == b"ready\n"
        shipped = []
        for number in range(1, 40):
            journal.append(make(number=number), patience=0)
            if number % 4 == 0:
                journal.rotate(patience=0)
            elif number % 4 == 1:
                # A file's first: else one could come and go between two looks of the follower, which is its own weakness.
                shipped += numbers(follower.stdout, number)
        journal.append(make(number=40), patience=0)
        shipped += numbers(follower.stdout, 40)
    assert shipped == list(range(41))


@pytest.mark.skipif(shutil.which("tail") is None, reason="tail is not installed")
@pytest.mark.timeout(60)
def test_tail_by_name_sees_every_record_once(log: Path, make: MakeRecord) -> None:
    """GNU `tail -F`, over rotations by size and by command."""
    journal = Journal(log)
    journal.append(make(number=0), patience=0)
    with following("tail", "-n", "+1", "-F", log) as follower:
        shipped = numbers(follower.stdout, 0)
        for number in range(1, 40):
            journal.append(make(number=number), patience=0)
            shipped += numbers(follower.stdout, number)
            if number % 4 == 0:
                journal.rotate(patience=0)
    assert shipped == list(range(40))


def test_each_file_is_moved_and_never_linked(log: Path, make: MakeRecord) -> None:
    """The archive is the very file that was written, under its new name alone; a live file has one name, too."""
    journal = Journal(log, limit=LIMIT)
    for number in range(RECORDS):
        journal.append(make(number=number), patience=0)
    assert [record.fields["number"] for record in standing.history(log)] == list(range(RECORDS))
    found = [path for path in log.parent.glob("audit.jsonl*") if path.is_file()]
    assert len(found) > 3
    assert {path.stat().st_nlink for path in found} == {1}


def test_rotations_under_load_hide_nothing_from_who_reads_the_files_afterwards(log: Path, make: MakeRecord) -> None:
    """A shipper that knows files by their inode, and reads each to its end, has every record once."""
    journal = Journal(log, limit=LIMIT)
    offsets: dict[int, int] = {}
    shipped: list[int] = []
    for number in range(RECORDS):
        journal.append(make(number=number), patience=0)
        for path in sorted(log.parent.glob("audit.jsonl*"), key=lambda path: (path == log, path.name)):
            found = path.stat()
            data = path.read_bytes()[offsets.get(found.st_ino, 0) :]
            offsets[found.st_ino] = found.st_size
            shipped += [json.loads(line)["number"] for line in data.splitlines()]
    assert shipped == list(range(RECORDS))
