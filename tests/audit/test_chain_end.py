"""What the next record follows, and what is said where the log does not hold what is remembered of it."""

from __future__ import annotations

import hashlib
from itertools import repeat

import pytest

from molecule_approve.audit.chain import Head
from molecule_approve.audit.chain_end import ChainEnd, Damage, LiveFile, find, with_unreadable
from molecule_approve.audit.files import Memory

FOREIGN = b'{"event_type":"memory"}'
SAME, OTHER = LiveFile(there=True, inode=7, size=900), LiveFile(there=True, inode=8, size=900)
EMPTIED, GONE = LiveFile(there=True, inode=7, size=0), LiveFile(there=False, inode=7, size=0)


def line(seq: int, log_id: str = "ours", *, word: str = "", sealed: bool = False) -> bytes:
    """A chained line; what it says of the one before does not matter here."""
    seal = f',"seal":"{"0" * 64}"' if sealed else ""
    return f'{{"word":"{word}","log_id":"{log_id}","seq":{seq},"prev":"{"a" * 64}"{seal}}}'.encode()


def head(seq: int, log_id: str = "ours") -> Head:
    return Head(log_id, seq, hashlib.sha256(line(seq, log_id)).hexdigest())


def memory(seq: int, *, sealed: bool = False, inode: int = 7) -> Memory:
    return Memory(head(seq), inode=inode, size=900, sealed=sealed)


def test_an_empty_log_of_which_nothing_is_remembered_begins_anew() -> None:
    """Other tools' lines are no records."""
    assert find(SAME, [FOREIGN], [FOREIGN], None) == ChainEnd(None, sealed=False, damage={})


@pytest.mark.parametrize("remembered", [None, memory(3), memory(2), memory(1)])
def test_the_logs_own_end_goes_on_where_it_holds_what_is_remembered(remembered: Memory | None) -> None:
    """A log ahead of its memory is normal; and nothing further back is read than is needed."""
    never = (pytest.fail("an archive was read") for _ in repeat(None))
    assert find(SAME, [FOREIGN, line(3), line(2), line(1)], never, remembered) == ChainEnd(head(3), sealed=False, damage={})


def test_the_end_may_stand_in_an_archive() -> None:
    """After a rotation the live file is empty, or another tool's; logrotate has made a new one."""
    for live in (OTHER, GONE, SAME):
        assert find(live, [FOREIGN], [line(3), line(2)], memory(3)) == ChainEnd(head(3), sealed=False, damage={})
        assert find(live, [], [line(3), line(2)], memory(2)) == ChainEnd(head(3), sealed=False, damage={})


def test_a_record_that_stands_twice_at_the_boundary_is_no_damage() -> None:
    """The last line of the archive is the first of the live file."""
    for remembered in (None, memory(2), memory(3)):
        assert find(OTHER, [line(3)], [line(3), line(2)], remembered).damage == {}


def test_a_log_that_begins_after_what_is_remembered_is_no_damage() -> None:
    """Archives may be removed on purpose, and the memory may be old."""
    assert find(OTHER, [line(9), line(8)], [], memory(2)) == ChainEnd(head(9), sealed=False, damage={})


def test_whether_the_last_record_is_sealed_is_told() -> None:
    """By the line, or by the memory where the line is gone."""
    assert find(SAME, [line(3, sealed=True)], [], None).sealed
    assert find(GONE, [], [], memory(3, sealed=True)).sealed
    assert not find(GONE, [], [], memory(3)).sealed


@pytest.mark.parametrize(
    ("live", "newest", "older", "damage"),
    [
        (LiveFile(there=True, inode=7, size=300), [line(2), line(1)], [], Damage.TRUNCATED),
        (EMPTIED, [], [line(2), line(1)], Damage.TRUNCATED),
        (EMPTIED, [], [], Damage.TRUNCATED),
        (GONE, [], [], Damage.DELETED),
        (GONE, [], [line(2)], Damage.DELETED),
        (OTHER, [FOREIGN], [], Damage.DELETED),
        (OTHER, [line(2)], [line(1)], Damage.REPLACED),
        (OTHER, [line(9, "another")], [line(3)], Damage.REPLACED),
        (SAME, [line(3, word="x"), line(2)], [], Damage.CHANGED),
        (SAME, [line(2), line(1)], [], Damage.CHANGED),
        (SAME, [line(2, "another")], [], Damage.REPLACED),
    ],
)
def test_what_is_missing_is_named_and_the_memory_goes_on(
    live: LiveFile, newest: list[bytes], older: list[bytes], damage: Damage
) -> None:
    """The kind of damage, what is remembered, and, where there is one, the record that was found instead."""
    found = find(live, newest, older, memory(3))
    assert found.head == head(3)
    said = found.damage
    assert (said["reason"], said["remembered_seq"], said["remembered_hash"]) == (damage, 3, head(3).hash)
    instead = next((one for one in (*newest, *older) if one != FOREIGN), None)
    assert said.get("found_hash") == (None if instead is None else hashlib.sha256(instead).hexdigest())
    assert ("found_seq" in said) == ("found_log_id" in said) == (instead is not None)


def test_where_the_file_is_not_known_a_shorter_log_is_changed() -> None:
    """The seals' state remembers a head, but not in which file it stood."""
    assert find(OTHER, [line(2)], [], memory(3, inode=0)).damage["reason"] == Damage.CHANGED


def test_an_emptied_file_whose_records_an_archive_holds_was_copied() -> None:
    """Logrotate's `copytruncate`: nothing is lost as far as we know, but what was written meanwhile may be."""
    found = find(EMPTIED, [], [line(3), line(2)], memory(3))
    assert (found.head, found.damage["reason"]) == (head(3), Damage.COPYTRUNCATED)


def test_what_cannot_be_read_is_not_said_to_be_deleted() -> None:
    """Where an archive is unreadable, what is not found may stand there; other damage stays what it is."""
    gone, cut, well = find(GONE, [], [], memory(3)), find(EMPTIED, [], [], memory(3)), find(SAME, [line(3)], [], None)
    assert with_unreadable(gone, ["a.zst"]).damage == {
        **gone.damage,
        "reason": Damage.UNREADABLE,
        "unreadable": ["a.zst"],
    }
    fresh = find(GONE, [], [], None)
    assert with_unreadable(fresh, ["a.zst"]).damage["reason"] == Damage.UNREADABLE
    for found, names in ((gone, []), (cut, ["a.zst"]), (well, ["a.zst"]), (fresh, [])):
        assert with_unreadable(found, names) == found
