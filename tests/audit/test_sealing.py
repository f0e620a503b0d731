"""A sealed log: every record is sealed with its own key, the state beside it forgets, and nothing goes on without it."""

from __future__ import annotations

import os
import re
import resource
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from molecule_approve.audit import files, sealing
from molecule_approve.audit.chain import START, Head
from molecule_approve.audit.journal import Journal
from molecule_approve.audit.record import Record
from molecule_approve.audit.seal import SealKey
from molecule_approve.audit.sealing import Sealing, recall, state_path, store
from molecule_approve.errors import AuditError
from tests.audit import standing

MakeRecord = Callable[..., Record]
Before = Callable[[object, Callable[[], None]], AbstractContextManager[None]]

HEAD = Head("7d444840-9dc0-11d1-b245-5ffdce74fad2", 7, "ab" * 32)
STATE = Sealing(HEAD, SealKey(HEAD.log_id, 8, b"k" * 32))


@contextmanager
def _files_may_have(size: int) -> Iterator[None]:
    """No file of this process may grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def begun(journal: Journal, make: MakeRecord, *, new_key: bool = False) -> SealKey:
    """The first key of a log that is sealed from now on."""
    return journal.init(make("success"), new_key=new_key, patience=0)


def seals_hold(log: Path, key: SealKey) -> int:
    """How many records stand in the log, all of them sealed from this key on."""
    found = standing.history(log)
    standing.check_seals(found, key.to_text())
    return len(found)


# --- the state -------------------------------------------------------------------------------------------------------------


def test_the_state_is_stored_and_recalled(tmp_path: Path) -> None:
    """In a file of our own, in place; where there is none the log is not sealed."""
    log = tmp_path / "audit.jsonl"
    assert recall(log) is None
    store(log, STATE._replace(key=STATE.key._replace(key=b"j" * 32)))
    store(log, STATE)
    assert recall(log) == STATE
    path = state_path(log)
    assert (stat.S_IMODE(path.stat().st_mode), path.stat().st_size) == (0o600, files.SECTOR)
    assert (b"j" * 32).hex().encode() not in path.read_bytes()


WHOLE = (
    '{"log_id":"a","seq":7,"hash":"b","key":"00","check":"x"}',
    '{"log_id":"a","seq":7,"hash":"b","key":7,"check":"x"}',
    '{"log_id":"a","seq":7,"hash":"b","key":"no hex","check":"x"}',
    '{"log_id":"a","seq":Infinity,"hash":"b","key":"00","check":"x"}',
)


@pytest.mark.parametrize("text", ["", "\0" * 512, "{}", "[]", "{", *WHOLE])
def test_a_state_that_is_damaged_is_an_error(tmp_path: Path, text: str) -> None:
    """A sealed log must not go on without seals; the hint says how it goes on."""
    log = tmp_path / "audit.jsonl"
    store(log, STATE)
    state_path(log).write_text(text)
    with pytest.raises(AuditError, match=r"key of the sealed audit log .* is damaged") as caught:
        recall(log)
    assert "--seal --new-key" in caught.value.hint


def test_a_state_that_is_no_file_of_ours_is_an_error(tmp_path: Path) -> None:
    """A link could hand the key to somebody else."""
    log = tmp_path / "audit.jsonl"
    state_path(log).parent.mkdir()
    state_path(log).symlink_to("elsewhere")
    with pytest.raises(AuditError, match="symbolic links"):
        recall(log)
    with pytest.raises(AuditError, match="symbolic links"):
        store(log, STATE)
    assert not (state_path(log).parent / "elsewhere").exists()


def test_a_state_that_others_may_have_written_is_an_error(tmp_path: Path) -> None:
    """Whoever could write it could have put a key of his own there."""
    log = tmp_path / "audit.jsonl"
    store(log, STATE)
    state_path(log).chmod(0o606)
    with pytest.raises(AuditError, match="is writable by everybody"):
        recall(log)


def test_a_state_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """What the system says becomes a sentence."""
    with _files_may_have(0), pytest.raises(AuditError, match="cannot be sealed: File too large"):
        store(tmp_path / "audit.jsonl", STATE)


# --- a sealed log ----------------------------------------------------------------------------------------------------------


def test_every_record_from_the_first_sealed_one_on_is_sealed(journal: Journal, log: Path, make: MakeRecord) -> None:
    """The key counts from that record; also through rotations, and for the records of the journal's own."""
    journal.append(make(), patience=0)
    key = begun(journal, make)
    assert (key.log_id, key.seq) == (standing.history(log)[0].fields["log_id"], 2)
    small = Journal(log, limit=900)
    for number in range(8):
        small.append(make(number=number), patience=0)
    with log.open("ab") as file:
        file.write(b'{"half')
    small.append(make(), patience=0)
    found = standing.history(log)
    assert seals_hold(log, key) == 12
    assert "seal" not in found[0].fields
    assert found[-2].fields["reason"] == "torn_line"
    memory = files.recall(log)
    assert memory is not None
    assert memory.sealed


def test_a_log_can_begin_sealed(journal: Journal, log: Path, make: MakeRecord) -> None:
    """The first record of all is the first sealed one; its log has the id that the key names."""
    key = begun(journal, make)
    assert key.seq == 1
    assert journal.append(make(), patience=0).log_id == key.log_id
    assert seals_hold(log, key) == 2


def test_the_state_holds_no_earlier_key(journal: Journal, log: Path, make: MakeRecord) -> None:
    """Whoever reads it can forge what comes, and nothing of what stands there."""
    key = begun(journal, make)
    for seq in range(2, 5):
        journal.append(make(), patience=0)
        kept = recall(log)
        assert kept is not None
        assert kept.key == key.at(seq + 1)
        assert all(key.at(number).key.hex().encode() not in state_path(log).read_bytes() for number in range(1, seq + 1))


def test_a_key_that_was_not_evolved_in_time_is_caught_up(journal: Journal, log: Path, make: MakeRecord) -> None:
    """A kill between a record and its state: the next record has its own key all the same, also some records later."""
    key = begun(journal, make)
    old = state_path(log).read_bytes()
    for _ in range(3):
        journal.append(make(), patience=0)
    state_path(log).write_bytes(old)
    files.head_path(log).unlink()
    journal.append(make(), patience=0)
    assert seals_hold(log, key) == 5
    assert b"recover" not in log.read_bytes()


def test_a_state_that_was_stored_and_never_used_is_used(journal: Journal, log: Path, make: MakeRecord) -> None:
    """A kill before the first record of all: the log begins with the id that the state names."""
    first = Sealing(Head(HEAD.log_id, 0, START), SealKey(HEAD.log_id, 1, b"k" * 32))
    log.parent.mkdir(mode=0o700)
    store(log, first)
    assert journal.append(make(), patience=0).log_id == HEAD.log_id
    assert seals_hold(log, first.key) == 1


def test_a_log_whose_key_is_lost_does_not_go_on(journal: Journal, log: Path, make: MakeRecord) -> None:
    """Neither a record nor a second first key; a new key is for who asks for it, and the seals of before stay."""
    key = begun(journal, make)
    state_path(log).unlink()
    with pytest.raises(AuditError, match="its key file is missing") as caught:
        journal.append(make(), patience=0)
    assert "--seal --new-key" in caught.value.hint
    with pytest.raises(AuditError, match="is sealed already"):
        begun(journal, make)
    assert len(standing.history(log)) == 1
    other = begun(journal, make, new_key=True)
    journal.append(make(), patience=0)
    assert (other.seq, seals_hold(log, other)) == (2, 3)
    standing.check_seals(standing.history(log)[:1], key.to_text())


def test_a_log_whose_key_is_damaged_gets_a_new_one_on_demand(journal: Journal, log: Path, make: MakeRecord) -> None:
    """No record without it; `--new-key` is what the hint says, and works."""
    begun(journal, make)
    state_path(log).write_bytes(b"\0" * 512)
    for use in (lambda: journal.append(make(), patience=0), lambda: begun(journal, make)):
        with pytest.raises(AuditError, match="is damaged"):
            use()
    key = begun(journal, make, new_key=True)
    assert (key.seq, seals_hold(log, key)) == (2, 2)


def test_a_sealed_log_gets_another_key_only_on_demand(journal: Journal, log: Path, make: MakeRecord) -> None:
    """Two keys, each from its own record on."""
    first = begun(journal, make)
    with pytest.raises(AuditError, match="sealed already") as caught:
        begun(journal, make)
    assert "--new-key" in caught.value.hint
    second = begun(journal, make, new_key=True)
    assert (first.seq, second.seq, seals_hold(log, second)) == (1, 2, 2)
    assert second.key != first.at(2).key


@pytest.mark.parametrize("memory", ["gone", "old"])
@pytest.mark.parametrize("cut", ["end", "all", "file"])
def test_the_state_remembers_the_head_as_well(journal: Journal, log: Path, make: MakeRecord, memory: str, cut: str) -> None:
    """Whoever cuts the log and takes the remembered head away, or puts an old one back, is found out by the seals' state."""
    key = begun(journal, make)
    journal.append(make(), patience=0)
    old, size = files.head_path(log).read_bytes(), log.stat().st_size
    lost = journal.append(make(), patience=0)
    match cut:
        case "end":
            os.truncate(log, size)
        case "all":
            os.truncate(log, 0)
        case _:
            log.unlink()
    if memory == "gone":
        files.head_path(log).unlink()
    else:
        files.head_path(log).write_bytes(old)
    journal.append(make(), patience=0)
    recover, last = list(standing.records(log.read_bytes()))[-2:]
    assert (recover.seq, recover.fields["remembered_hash"]) == (4, lost.hash)
    assert recover.fields["reason"] in {"truncated", "changed", "deleted"}
    standing.check_seals([recover, last], key.at(4).to_text())


def test_another_log_in_the_sealed_ones_place_is_found_out(
    journal: Journal, log: Path, make: MakeRecord, tmp_path: Path
) -> None:
    """Also when it came with its own remembered head: the seals' state knows better."""
    key = begun(journal, make)
    other = Journal(tmp_path / "other" / "audit.jsonl")
    for _ in range(3):
        other.append(make(), patience=0)
    other.path.rename(log)
    files.head_path(other.path).rename(files.head_path(log))
    head = journal.append(make(), patience=0)
    assert (head.log_id, head.seq) == (key.log_id, 3)
    assert b'"reason":"replaced"' in log.read_bytes()


def test_a_log_with_an_id_that_is_none_of_ours_is_not_sealed(journal: Journal, log: Path, make: MakeRecord) -> None:
    """Its key could not be written down."""
    log.parent.mkdir(mode=0o700)
    log.write_bytes(b'{"log_id":"a log","seq":1,"prev":"%s"}\n' % (b"0" * 64))
    with pytest.raises(AuditError, match="another program chose its log_id"):
        begun(journal, make)
    assert not state_path(log).exists()


def test_sealing_that_cannot_forget_is_an_error_and_harms_nothing(
    journal: Journal, log: Path, make: MakeRecord, before: Before
) -> None:
    """The record stands, its caller is told that something is wrong, and the next one goes on from it."""
    key = begun(journal, make)
    kept = state_path(log).read_bytes()

    def put_a_link_there() -> None:
        state_path(log).unlink(missing_ok=True)
        state_path(log).symlink_to("elsewhere")

    with before(os.fsync, put_a_link_there), pytest.raises(AuditError, match=re.escape(str(state_path(log)))):
        journal.append(make(), patience=0)
    state_path(log).unlink()
    state_path(log).write_bytes(kept)
    assert journal.append(make(), patience=0).seq == 3
    assert seals_hold(log, key) == 3
    assert b"recover" not in log.read_bytes()


def test_what_is_said_of_a_lost_key_names_its_file(log: Path) -> None:
    """So that it can be looked for in a backup."""
    assert str(state_path(log)) in sealing.lost(log).message
