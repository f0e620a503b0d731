"""The real logrotate beside our writer, at any moment of an append: nothing is lost, and what destroys records is named."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from molecule_approve.audit.journal import Journal
from molecule_approve.audit.record import Record, RecordOutcome
from molecule_approve.audit.verify import run as verify_run
from molecule_approve.errors import UsedError
from tests.audit import standing
from tests.audit.crew import is_whole

MakeRecord = Callable[..., Record]
Before = Callable[[object, Callable[[], None]], AbstractContextManager[None]]

PROGRAM = shutil.which("logrotate", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or ""

pytestmark = [
    pytest.mark.skipif(not PROGRAM, reason="logrotate is not installed"),
    pytest.mark.usefixtures("untraced"),  # the journal's own tests run all of it
]

USUAL = "create\ndelaycompress\ncompress"
WAYS = {
    "create": USUAL,
    "compressed at once": "create\ncompress",
    "nocreate": "nocreate",
    "dateext": "create\ndateext",
}

STEPS = (os.open, os.stat, os.fstat, os.pread, os.lseek, os.write, os.fsync, os.close)
"""The calls of an append between which another program may act."""


class Logrotate:
    """The program with one configuration, as cron runs it."""

    def __init__(self, log: Path, folder: Path, *ways: str) -> None:
        self._state = folder / "logrotate.state"
        self._config = folder / "logrotate.conf"
        self._config.write_text("\n".join([f"{log} {{", "rotate 1000", "missingok", *ways, "}", ""]))
        self._config.chmod(0o600)

    def __call__(self) -> None:
        """Rotate, due or not."""
        done = subprocess.run([PROGRAM, "-f", "-s", self._state, self._config], capture_output=True, text=True, check=False)
        # With dateext, the second rotation of a day is refused: then the log just goes on. And with a pattern over the whole
        # folder it looks for files that it has just renamed itself.
        assert done.returncode == 0 or "already exists" in done.stderr or "file ACL" in done.stderr, done.stderr


def _reasons(log: Path) -> list[str]:
    return [record.fields["reason"] for record in standing.history(log) if "reason" in record.fields]


@pytest.mark.parametrize("way", WAYS)
def test_logrotate_between_appends_breaks_nothing(log: Path, tmp_path: Path, make: MakeRecord, way: str) -> None:
    """Some rotations and records in turn: one chain over live file and archives, all of it found again."""
    logrotate = Logrotate(log, tmp_path, WAYS[way])
    journal = Journal(log)
    told = []
    for number in range(12):
        head = journal.append(make(mark=f"{number}"), patience=0)
        told.append({"seq": head.seq, "hash": head.hash, "mark": f"{number}"})
        if number % 3 == 2:
            logrotate()
            assert journal.head() == head
            assert is_whole(log)
    standing.keeps(standing.history(log), told)
    assert len(list(log.parent.glob("audit.jsonl[.-]*[0-9z]"))) >= (1 if way == "dateext" else 4)
    assert journal.append(make(), patience=0).seq == 13
    assert _reasons(log) == []
    assert is_whole(log)


FOLDERS = {
    "all files": ("*", "create"),
    "all files, created by nobody": ("*", "nocreate"),
    "all that begins like the log": ("audit.jsonl*", "create"),
    "all that begins like the log, compressed": ("audit.jsonl*", "create\ncompress"),
    "all that begins like the log, compressed later": ("audit.jsonl*", USUAL),
}


@pytest.mark.parametrize("pattern", FOLDERS)
@pytest.mark.parametrize("sealed", [False, True])
def test_logrotate_over_the_whole_folder_breaks_nothing(
    log: Path, tmp_path: Path, make: MakeRecord, pattern: str, *, sealed: bool
) -> None:
    """Neither the next key, the head nor the lock is rotated away; archives that are rotated again are still found."""
    files, ways = FOLDERS[pattern]
    journal = Journal(log)
    key = journal.init(make("success"), new_key=False, patience=0) if sealed else None
    told = []
    logrotate = Logrotate(log.with_name(files), tmp_path, ways)
    for number in range(7):
        head = journal.append(make(mark=f"{number}"), patience=0)
        told.append({"seq": head.seq, "hash": head.hash, "mark": f"{number}"})
        if number % 2:
            logrotate()
        if number == 4:
            journal.rotate(patience=0)
        assert journal.head() == head
        assert is_whole(log)
    assert _reasons(log) == []
    if key is not None:
        assert verify_run.verify_log(log, verify_run.VerifyOptions(keys=[key])).whole


def test_a_grant_in_a_compressed_archive_is_still_used(log: Path, tmp_path: Path, make: MakeRecord) -> None:
    """One yes opens one gate, also after logrotate compressed the record of it."""
    logrotate = Logrotate(log, tmp_path, USUAL)
    journal = Journal(log)
    granted = make(RecordOutcome.GRANTED, approval_id="a-1")
    journal.grant(granted, approval_id="a-1", patience=0)
    for _ in range(3):
        journal.append(make(), patience=0)
        logrotate()
    assert log.with_name("audit.jsonl.3.gz").exists()
    with pytest.raises(UsedError):
        journal.grant(granted, approval_id="a-1", patience=0)


@pytest.mark.parametrize("way", [*WAYS.values(), "copytruncate"], ids=[*WAYS, "copytruncate"])
def test_logrotate_at_any_moment_of_an_append_loses_nothing(
    tmp_path: Path, make: MakeRecord, before: Before, way: str
) -> None:
    """It acts before each system call of an append in turn: what was acknowledged stands, once, and the chain holds."""
    moments = 0
    for step in STEPS:
        for number in range(30):
            folder = tmp_path / f"{step.__name__}-{number}"
            folder.mkdir()
            if not _rotated_before(step, number, folder, make, before, way):
                break
            moments += 1
    assert moments > 20


def _rotated_before(step: object, number: int, folder: Path, make: MakeRecord, before: Before, way: str) -> bool:
    """Whether the append has so many of these calls; if it has, all is checked."""
    log = folder / "state" / "audit.jsonl"
    logrotate = Logrotate(log, folder, way)
    journal = Journal(log)
    told = [_told(journal, make, "1"), _told(journal, make, "2")]
    left = [number]

    def act() -> None:
        left[0] -= 1
        if left[0] == -1:
            logrotate()

    with before(step, act):
        told.append(_told(journal, make, "3"))
    if left[0] >= 0:
        return False
    told.append(_told(journal, make, "4"))
    standing.keeps(standing.history(log), told)
    assert set(_reasons(log)) <= ({"copytruncated"} if way == "copytruncate" else set())
    assert is_whole(log)
    return True


def _told(journal: Journal, make: MakeRecord, mark: str) -> dict[str, Any]:
    head = journal.append(make(mark=mark), patience=0)
    return {"seq": head.seq, "hash": head.hash, "mark": mark}


def _copytruncate(log: Path, folder: Path) -> None:
    Logrotate(log, folder, "copytruncate")()


def _cut(log: Path, _: Path) -> None:
    os.truncate(log, log.read_bytes().index(b"\n") + 1)


def _empty(log: Path, _: Path) -> None:
    os.truncate(log, 0)


def _delete(log: Path, _: Path) -> None:
    log.unlink()


def _exchange(log: Path, folder: Path) -> None:
    """Another log in its place, by a new file."""
    other = Journal(folder / "other" / "audit.jsonl")
    other.append(Record("t", "approval", "ws", "ws", "approve", "x", "initiated", "other"), patience=0)
    other.path.replace(log)


@pytest.mark.parametrize(
    ("destroy", "reason", "lost"),
    [
        (_copytruncate, "copytruncated", False),
        (_cut, "truncated", True),
        (_empty, "truncated", True),
        (_delete, "deleted", True),
        (_exchange, "replaced", True),
    ],
)
def test_what_destroys_records_is_named_when_it_is_found(
    log: Path, tmp_path: Path, make: MakeRecord, destroy: Callable[[Path, Path], None], reason: str, *, lost: bool
) -> None:
    """By verify at once, by the next record, and by verify for ever after; a copy that was truncated lost nothing."""
    journal = Journal(log)
    for _ in range(3):
        journal.append(make(), patience=0)
    destroy(log, tmp_path)
    assert is_whole(log) is not lost
    journal.append(make(), patience=0)
    assert f'"reason":"{reason}"'.encode() in log.read_bytes()
    journal.append(make(), patience=0)
    assert log.read_bytes().count(b'"reason"') == 1
    assert is_whole(log) is not lost
