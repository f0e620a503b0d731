"""What is private to a log lies in a folder of its own, where no pattern reaches it; earlier versions' places are found."""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from molecule_approve.audit import files
from molecule_approve.audit.journal import Journal
from molecule_approve.audit.record import EventType, Record, RecordAction, RecordOutcome
from molecule_approve.audit.verify import run as verify_run
from molecule_approve.errors import AuditError
from tests.callers import PATIENCE
from tests.test_paths import NOBODY, somebody
from tests.users import become

if TYPE_CHECKING:
    from molecule_approve.audit.seal import SealKey

RECORD = Record("t", EventType.APPROVAL, "ws", "ws", RecordAction.APPROVE, "deploy", RecordOutcome.INITIATED, "trace-1")

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_what_is_private_lies_where_no_pattern_reaches_it(tmp_path: Path, umask: int) -> None:
    """Neither `audit.jsonl*` nor `*` names anything but the log; whatever the umask, it is for its owner alone."""
    log = tmp_path / "folder" / "audit.jsonl"
    before = os.umask(umask)
    try:
        Journal(log).init(RECORD, new_key=False, patience=0)
    finally:
        os.umask(before)
    named = subprocess.run(f"echo {log}* {log.parent}/*", shell=True, capture_output=True, text=True, check=True).stdout
    assert named.split() == [str(log)] * 2
    private = files.lock_path(log).parent
    assert {path.name: mode_of(path) for path in private.iterdir()} == {"lock": 0o600, "head": 0o600, "seal": 0o600}
    assert [mode_of(path) for path in (log, private, log.parent)] == [0o600, 0o700, 0o700]


def former_log(log: Path) -> SealKey:
    """A sealed log with one record, as earlier versions left it."""
    key = Journal(log).init(RECORD, new_key=False, patience=0)
    for name in ("head", "seal", "lock"):
        files.private_path(log, name).rename(files.former_path(log, name))
    files.lock_path(log).parent.rmdir()
    return key


def test_what_an_earlier_version_left_is_found_and_moved(tmp_path: Path) -> None:
    """By who only reads, where it is; by the next record it moves, and the log goes on, sealed, as the same one."""
    log = tmp_path / "audit.jsonl"
    key = former_log(log)
    remembered = files.recall(log)
    assert remembered is not None
    assert remembered.head.seq == 1
    assert Journal(log).append(RECORD, patience=0).seq == 2
    assert not files.former_path(log, "head").exists()
    assert not files.former_path(log, "seal").exists()
    assert verify_run.verify_log(log, verify_run.VerifyOptions(keys=[key])).whole
    assert b"recover" not in log.read_bytes()


@pytest.mark.parametrize("name", ["head", "seal"])
def test_a_move_that_was_killed_is_finished(tmp_path: Path, name: str) -> None:
    """Each file moves by one rename, so it lies in the one place or the other."""
    log = tmp_path / "audit.jsonl"
    key = former_log(log)
    files.head_path(log).parent.mkdir(mode=0o700)
    files.former_path(log, name).rename(files.private_path(log, name))
    assert Journal(log).append(RECORD, patience=0).seq == 2
    assert verify_run.verify_log(log, verify_run.VerifyOptions(keys=[key])).whole


def test_while_an_earlier_version_holds_its_lock_we_wait(tmp_path: Path) -> None:
    """It may still be running: its lock counts, as long as it is there."""
    log = tmp_path / "audit.jsonl"
    former_log(log)
    handle = os.open(files.former_path(log, "lock"), os.O_RDWR)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(AuditError, match="cannot lock"):
        Journal(log).append(RECORD, patience=0)
    os.close(handle)
    # Who gave up left a thread in the lock's queue, which has it for a moment yet.
    assert Journal(log).append(RECORD, patience=PATIENCE).seq == 2


@pytest.mark.parametrize("is_newer", [True, False])
def test_where_both_places_hold_a_file_the_newer_one_stays(tmp_path: Path, *, is_newer: bool) -> None:
    """An earlier version may have written after us; or an old backup was put back."""
    log = tmp_path / "audit.jsonl"
    journal = Journal(log)
    journal.append(RECORD, patience=0)
    former = files.former_path(log, "head")
    former.write_bytes(files.head_path(log).read_bytes())
    kept = former if is_newer else files.head_path(log)
    os.utime(former, ns=(0, files.head_path(log).stat().st_mtime_ns + (1 if is_newer else -1)))
    inode = kept.stat().st_ino
    journal.append(RECORD, patience=0)
    assert files.head_path(log).stat().st_ino == inode
    assert not former.exists()


@pytest.mark.parametrize("name", ["head", "seal", "next"])
def test_what_no_version_left_stays_where_it_is(tmp_path: Path, name: str) -> None:
    """A link, a folder, or somebody's text in one of those names is not ours to move."""
    log = tmp_path / "audit.jsonl"
    former = files.former_path(log, name)
    Journal(log).append(RECORD, patience=0)
    if name == "next":
        former.write_text("mine")
    else:
        former.symlink_to("elsewhere")
    Journal(log).append(RECORD, patience=0)
    assert os.path.lexists(former)
    assert not files.private_path(log, name).is_symlink()


def link_there(folder: Path) -> None:
    folder.symlink_to(folder.parent)


def open_to_all(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o777)


def somebody_elses(folder: Path) -> None:
    folder.mkdir()
    os.chown(folder, 65_534, 65_534)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (link_there, "is not a folder"),
        (Path.touch, "is not a folder"),
        (open_to_all, "is writable by everybody"),
        pytest.param(somebody_elses, "belongs to another user", marks=needs_root),
    ],
)
def test_a_private_folder_that_is_not_ours_alone_is_refused(tmp_path: Path, make: Callable[[Path], None], said: str) -> None:
    """Whoever can exchange the lock can make two writers of one log, and whoever reads the key can seal."""
    log = tmp_path / "audit.jsonl"
    make(files.lock_path(log).parent)
    with pytest.raises(AuditError, match=rf"\.audit\.jsonl\.private.* {said}"):
        Journal(log).append(RECORD, patience=0)
    assert not log.exists()


@needs_root
def test_what_root_made_is_to_be_given_back(tmp_path: Path) -> None:
    """After sudo: the sentence says that it belongs to root, and names the command that mends it."""
    with somebody(tmp_path) as home:
        log = home / "audit.jsonl"
        become(0)
        Journal(log).append(RECORD, patience=0)
        become(NOBODY)
        with pytest.raises(AuditError, match="Permission denied") as caught:
            Journal(log).append(RECORD, patience=0)
    private = files.lock_path(log).parent
    assert caught.value.hint == f"it belongs to root, as after sudo: sudo chown -R {NOBODY} {private}"
