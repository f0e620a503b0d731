"""Other tools write the same file without our lock: no acknowledged record of ours is lost, or glued to a line of theirs."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from molecule_approve.audit.journal import Journal
from molecule_approve.audit.record import Record
from tests.audit import standing
from tests.audit.crew import Crew, is_whole

if TYPE_CHECKING:
    from tests.audit.conftest import Child

MakeRecord = Callable[..., Record]
MakeChild = Callable[..., "Child"]
Before = Callable[[object, Callable[[], None]], AbstractContextManager[None]]

FOREIGN = """
import os, random, select, sys
path, parts, dice = sys.argv[1], int(sys.argv[2]), random.Random(7)
print("ready", flush=True)
count = 0
while not select.select([sys.stdin], [], [], dice.uniform(0, 0.002))[0]:
    # Opened each time, as a tool does that was started for this one line.
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    line = b'{"event_type":"memory","number":%d,"text":"%s"}\\n' % (count, b"y" * dice.randrange(300))
    cut = dice.randrange(1, len(line)) if parts == 2 else len(line)
    os.write(handle, line[:cut])
    if cut < len(line):
        select.select([], [], [], dice.choice([0, 0, 0.001]))
        os.write(handle, line[cut:])
    os.close(handle)
    count += 1
print(count, flush=True)
"""


@pytest.mark.parametrize("limit", [None, 20_000])
@pytest.mark.parametrize("parts", [1, 2])
def test_beside_another_tool_nothing_of_ours_is_lost_or_glued(
    log: Path, child: MakeChild, parts: int, limit: int | None
) -> None:
    """It writes each line in one call, or in two; we, from two processes and rotating or not: all that is ours stands."""
    log.parent.mkdir(mode=0o700)
    foreign = child(FOREIGN, log, parts, measured=False)
    assert foreign.line() == "ready"
    with Crew() as crew:
        writers = []
        for name in ("a", "b"):
            crew.order(do="storm", log=log, limit=limit, what="requests", name=name, patience=30, pause=0)
            writers.append(crew.started())
        while len(crew.said) <= 20:
            crew.listen(0.8)
        foreign.go()
        written = int(foreign.line())
        for writer in writers:
            os.kill(writer, signal.SIGKILL)
        crew.dismissed()
    told = crew.said
    found = standing.history(log)
    assert written > 20
    standing.keeps(found, told)
    assert is_whole(log)
    if parts == 1:
        assert _theirs(log) == list(range(written))


def _theirs(log: Path) -> list[int]:
    """The numbers of the other tool's lines that stand whole, in all files; a killed rotation leaves two names of one."""
    paths = [path for path in log.parent.glob("audit.jsonl*") if path.suffix not in standing.BESIDE]
    lines = b"".join({path.stat().st_ino: path.read_bytes() for path in paths}.values())
    return sorted(json.loads(line)["number"] for line in lines.splitlines() if b'"event_type":"memory"' in line)


@pytest.mark.parametrize("halves", [[b'{"event_type":"memory",'], [b"  ", b'{"event_type":"memory",']])
def test_half_a_line_just_before_our_write_makes_us_write_again(
    journal: Journal, log: Path, make: MakeRecord, before: Before, halves: list[bytes]
) -> None:
    """A writer without our lock adds half a line between our look and our write, once or again."""
    journal.append(make(mark="1"), patience=0)
    left = list(halves)

    def add_half_a_line() -> None:
        if left:
            _add(log, left.pop())

    with before(os.write, add_half_a_line):
        head = journal.append(make(mark="2"), patience=0)
    found = standing.history(log)
    assert [(record.seq, record.fields["mark"]) for record in found] == [(1, "1"), (head.seq, "2")]
    assert journal.append(make(mark="3"), patience=0).seq == 3
    assert is_whole(log)


def test_a_whole_line_just_before_our_write_stands_before_ours(
    journal: Journal, log: Path, make: MakeRecord, before: Before
) -> None:
    """Nothing of either is lost, and nothing is written twice."""
    journal.append(make(), patience=0)
    lines = [b'{"event_type":"memory"}\n']

    def add_a_line() -> None:
        if lines:
            _add(log, lines.pop())

    with before(os.write, add_a_line):
        journal.append(make(), patience=0)
    assert [b'"memory"' in line for line in log.read_bytes().splitlines()] == [False, True, False]
    assert is_whole(log)


def test_half_a_line_just_after_our_write_is_closed_by_the_next_record(
    journal: Journal, log: Path, make: MakeRecord, before: Before
) -> None:
    """Ours is whole and acknowledged; what comes of their second half is a line that nothing vouches for."""
    journal.append(make(mark="1"), patience=0)
    left = [b'{"event_type":']

    def add_half_a_line() -> None:
        if left:
            _add(log, left.pop())

    with before(os.fsync, add_half_a_line):
        journal.append(make(mark="2"), patience=0)
    journal.append(make(mark="3"), patience=0)
    _add(log, b'"memory"}\n')
    journal.append(make(mark="4"), patience=0)
    found = [record.fields.get("mark", record.fields.get("reason")) for record in standing.history(log)]
    assert found == ["1", "2", "torn_line", "3", "4"]
    assert is_whole(log)


def test_half_a_line_puts_a_rotation_off(log: Path, make: MakeRecord) -> None:
    """Their second half still comes to their first; the next record closes the line, and the one after it rotates."""
    journal = Journal(log, limit=100)
    journal.append(make(mark="1"), patience=0)
    _add(log, b'{"event_type":')
    journal.append(make(mark="2"), patience=0)
    assert len(standing.pieces(log)) == 1
    journal.append(make(mark="3"), patience=0)
    assert [len(piece) for piece in standing.pieces(log)] == [3, 1]
    standing.history(log)
    assert is_whole(log)


def test_a_line_that_is_longer_than_any_record_hides_none(journal: Journal, log: Path, make: MakeRecord) -> None:
    """Three megabytes in one line, finished or not: the record before it is found, and the chain goes on."""
    journal.append(make(), patience=0)
    _add(log, b'{"prev":"' + b"z" * 3_000_000 + b'"}\n')
    assert journal.append(make(), patience=0).seq == 2
    _add(log, b"z" * 3_000_000)
    assert journal.append(make(), patience=0).seq == 4
    assert is_whole(log)


def _add(log: Path, data: bytes) -> None:
    with log.open("ab", buffering=0) as other:
        other.write(data)
