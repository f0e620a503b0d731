"""Pure: which record the next one follows. The log's end is compared with the remembered head, and damage is named."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from .chain import Head, Link, link_of
from .seal import is_sealed

if TYPE_CHECKING:
    from molecule_approve.model import JsonValue

    from .files import Memory


class Damage(StrEnum):
    """What happened to a log that does not hold its remembered head; `reason` of the `recover` record."""

    DELETED = "deleted"
    TRUNCATED = "truncated"
    COPYTRUNCATED = "copytruncated"
    REPLACED = "replaced"
    CHANGED = "changed"
    UNREADABLE = "unreadable"


class LiveFile(NamedTuple):
    """The live file as it is found; ``there`` is whether there was one."""

    there: bool
    inode: int
    size: int


class ChainEnd(NamedTuple):
    """Where the chain goes on.

    Attributes:
        head: the record that the next one follows; None where it is the first.
        sealed: whether that record carries a seal.
        damage: what a `recover` record says about it; empty where all is well.
    """

    head: Head | None
    sealed: bool
    damage: dict[str, JsonValue]


def find(live: LiveFile, newest: Iterable[bytes], older: Iterable[bytes], memory: Memory | None) -> ChainEnd:
    """Where the chain goes on, given the lines of the live file and of its archives, each the newest first.

    That is the log's own end, if the remembered head is in the log. Otherwise the log was truncated, changed or replaced:
    then the chain continues from the remembered head, so that the gap stays visible.
    """
    end: ChainEnd | None = None
    in_live = False
    for line, is_live in chain(((line, True) for line in newest), ((line, False) for line in older)):
        link = link_of(line)
        if link is None:
            continue
        in_live = in_live or is_live
        end = end or ChainEnd(link.head, is_sealed(line), {})
        if memory is None:
            return end
        if link.head == memory.head:
            return end if in_live or not _emptied(live, memory) else _with(end, Damage.COPYTRUNCATED, memory)
        if link.log_id != memory.head.log_id or link.seq <= memory.head.seq:
            return _with(_remembered(memory), _reason(live, memory, link if in_live else None), memory, link)
    if end is not None or memory is None:
        # All records are newer than the remembered one: the archive with it was removed, which is no damage.
        return end or ChainEnd(None, sealed=False, damage={})
    return _with(_remembered(memory), _reason(live, memory, None), memory)


def with_unreadable(found: ChainEnd, names: Sequence[str]) -> ChainEnd:
    """The same, if archives could not be read: a missing record may be in them, so it is not reported as deleted."""
    is_in_doubt = found.head is None or found.damage.get("reason") == Damage.DELETED
    if not names or not is_in_doubt:
        return found
    return found._replace(damage={**found.damage, "reason": Damage.UNREADABLE.value, "unreadable": list(names)})


def _remembered(memory: Memory) -> ChainEnd:
    return ChainEnd(memory.head, memory.sealed, {})


def _emptied(live: LiveFile, memory: Memory) -> bool:
    return live.there and live.inode == memory.inode and live.size < memory.size


def _reason(live: LiveFile, memory: Memory, found: Link | None) -> Damage:
    if _emptied(live, memory):
        return Damage.TRUNCATED
    if found is None:
        return Damage.DELETED  # the file, or its name, went away with its records, and nothing or an empty one came
    # Where it is not known which file it was (0), only another log's id says that this is another one.
    is_same = found.log_id == memory.head.log_id and memory.inode in {0, live.inode}
    return Damage.CHANGED if is_same else Damage.REPLACED


def _with(end: ChainEnd, damage: Damage, memory: Memory, found: Link | None = None) -> ChainEnd:
    said: dict[str, JsonValue] = {
        "reason": damage.value,
        "remembered_seq": memory.head.seq,
        "remembered_hash": memory.head.hash,
    }
    if found is not None:
        said |= {"found_log_id": found.log_id, "found_seq": found.seq, "found_hash": found.hash}
    return end._replace(damage=said)
