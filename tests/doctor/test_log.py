"""What is said of the audit log: its place, whether it can be written, its end and its archives. Nothing is written."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from molecule_approve.audit import files
from molecule_approve.audit.journal import Journal
from molecule_approve.doctor import log as log_module
from molecule_approve.doctor.checks import Finding, Grade
from molecule_approve.errors import ConfigError
from tests.audit.records import record
from tests.callers import PATIENCE
from tests.doctor.conftest import found_by
from tests.users import become

if TYPE_CHECKING:
    from collections.abc import Iterator

NOBODY = 65_534
OK, WARNING, FAILED, SKIPPED = Grade.OK, Grade.WARNING, Grade.FAILED, Grade.SKIPPED


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the log is, or will be."""
    return tmp_path / "log" / "audit.jsonl"


@pytest.fixture
def written(path: Path) -> Path:
    """A log of three records."""
    for _ in range(3):
        Journal(path).append(record(), patience=1)
    return path


def look(path: Path, *, optional: bool = False, **more: Path) -> dict[str, Finding]:
    """What is said of a log."""
    return found_by(log_module.checks(lambda: path, optional=optional, **more))


def grades(found: dict[str, Finding]) -> dict[str, Grade]:
    """The grades alone."""
    return {name.removeprefix("log."): finding.result for name, finding in found.items()}


def everything(folder: Path) -> dict[str, tuple[int, bytes | None]]:
    """All files below a folder: when they were changed, and what they hold."""
    return {
        str(path): (path.lstat().st_mtime_ns, path.read_bytes() if path.is_file() else None) for path in folder.rglob("*")
    }


def test_a_log_that_does_not_exist_yet_can_be_created(path: Path, tmp_path: Path) -> None:
    """It is not created, nor is its folder."""
    found = look(path)
    assert grades(found) == {"place": OK, "write": OK, "end": SKIPPED, "archives": OK}
    assert found["log.write"].detail == "it can be created"
    assert list(tmp_path.iterdir()) == []


def test_a_whole_log_is_told_with_its_last_record(written: Path, tmp_path: Path) -> None:
    """Nothing in its folder is touched."""
    before = everything(tmp_path)
    found = look(written)
    assert grades(found) == {"place": OK, "write": OK, "end": OK, "archives": OK}
    assert "the end is whole: record 3; " in found["log.end"].detail
    assert everything(tmp_path) == before


def test_the_file_system_is_named(written: Path, tmp_path: Path) -> None:
    """From the system's table; one over a network is a warning, and without a table nothing is claimed."""
    table, device = tmp_path / "mounts", written.stat().st_dev
    line = f"1 2 {os.major(device)}:{os.minor(device)} / /x rw - "
    table.write_text(f"{line}ext4 /dev/x rw\n")
    assert f"{written} is on ext4, with " in look(written, mounts=table)["log.place"].detail
    table.write_text(f"{line}nfs4 server:/x rw\n")
    place = look(written, mounts=table)["log.place"]
    assert place.result is WARNING
    assert "nfs4" in place.detail
    assert "flock" in place.detail
    assert "type is not known" in look(written, mounts=tmp_path / "missing")["log.place"].detail


def test_a_disk_with_little_space_is_a_warning(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it is full."""
    monkeypatch.setattr(log_module, "LOW", 1 << 62)
    place = look(written)["log.place"]
    assert (place.result, place.advice) == (WARNING, "free some space")


def test_a_log_that_may_not_be_used_fails(written: Path) -> None:
    """A link; where the log is optional, requests go on, and it is a warning."""
    link = written.with_name("link.jsonl")
    link.symlink_to(written)
    found = look(link)
    assert grades(found)["write"] is FAILED
    assert "symbolic links are not followed" in found["log.write"].advice
    assert grades(look(link, optional=True))["write"] is WARNING


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_log_of_somebody_else_fails(written: Path) -> None:
    """Its owner could change it."""
    os.chown(written, NOBODY, NOBODY)
    assert "belongs to another user" in look(written)["log.write"].detail


def test_a_file_in_the_place_of_the_folder_fails() -> None:
    """Nothing can be created below it."""
    found = look(Path("/dev/null/audit.jsonl"))
    assert grades(found)["write"] is FAILED
    assert "Not a directory" in found["log.write"].detail


def test_a_link_to_nowhere_in_the_place_of_the_folder_fails(tmp_path: Path) -> None:
    """No folder can be made there."""
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    found = look(tmp_path / "link" / "audit.jsonl")
    assert found["log.write"].detail.endswith("cannot be created: Not a directory")


@contextmanager
def unprivileged() -> Iterator[None]:
    """Not as root, who may write everywhere."""
    before = os.geteuid()
    try:
        if before == 0:
            become(NOBODY)
        yield
    finally:
        become(before)


def test_a_folder_that_cannot_be_written_fails(home: Path) -> None:
    """The log cannot be created in it; one that is there cannot be opened."""
    home.chmod(0o755)
    folder = home / "log"
    folder.mkdir(mode=0o555)
    log = folder / "audit.jsonl"
    with unprivileged():
        found = look(log)
    assert grades(found) == {"place": OK, "write": FAILED, "end": SKIPPED, "archives": OK}
    assert found["log.write"].detail == f"the audit log {log} cannot be created: Permission denied"
    folder.chmod(0o755)
    log.touch(0o400)
    with unprivileged():
        found = look(log)
    assert (grades(found)["write"], found["log.write"].detail) == (
        FAILED,
        f"the audit log {log} cannot be written: Permission denied",
    )


def test_a_lock_that_somebody_holds_for_ever_fails(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock file is named."""
    monkeypatch.setattr(log_module, "LOCK", 0.05)
    lock = files.lock_path(written)
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        found = look(written)
    assert found["log.write"].detail == f"cannot lock the audit log within 0.05 s: {lock}"
    # Who gave up left a thread in the lock's queue, which has it for a moment yet.
    monkeypatch.setattr(log_module, "LOCK", PATIENCE)
    assert look(written)["log.write"].result is OK


def test_a_lock_that_becomes_free_is_waited_for(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process is just writing."""
    with files.lock_path(written).open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        monkeypatch.setattr(time, "sleep", lambda _: fcntl.flock(held, fcntl.LOCK_UN))
        assert look(written)["log.write"].result is OK


def test_a_log_whose_end_was_cut_off_is_a_warning(written: Path) -> None:
    """The next request works, and its record will say so."""
    lines = written.read_bytes().splitlines(keepends=True)
    written.write_bytes(b"".join(lines[:2]))
    end = look(written)["log.end"]
    assert end.result is WARNING
    assert "(truncated)" in end.detail
    assert "audit verify" in end.advice


def test_a_log_that_was_deleted_is_a_warning(written: Path) -> None:
    """What is remembered of it is still there."""
    written.unlink()
    assert "(deleted)" in look(written)["log.end"].detail


def test_a_sealed_log_without_its_key_fails(path: Path) -> None:
    """No record can be written any more; with the key all is well."""
    Journal(path).init(record(), new_key=False, patience=1)
    assert "record 1, sealed" in look(path)["log.end"].detail
    files.private_path(path, "seal").unlink()
    end = look(path)["log.end"]
    assert (end.result, "--new-key" in end.advice) == (FAILED, True)


def test_archives_are_counted_and_those_that_cannot_be_read_named(written: Path) -> None:
    """A damaged one could hold a grant."""
    Journal(written).rotate(patience=1)
    assert look(written)["log.archives"].detail == "all archives can be read: 1"
    written.with_name("audit.jsonl.1.gz").write_bytes(b"no gzip")
    archives = look(written)["log.archives"]
    assert archives.result is WARNING
    assert archives.detail == "1 of 2 archives cannot be read: audit.jsonl.1.gz"


def test_a_path_that_is_not_known_fails_each_check(path: Path) -> None:
    """config.yaml is broken, and so nobody knows where the log is."""

    def broken() -> Path:
        raise ConfigError("config.yaml is broken")

    found = found_by(log_module.checks(broken, optional=False))
    assert {finding.detail for finding in found.values()} == {"config.yaml is broken"}
