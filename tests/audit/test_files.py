"""The files of a log are opened only if they are what they should be; the head is remembered."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from molecule_approve.audit import files
from molecule_approve.audit.chain import Head
from molecule_approve.errors import AuditError

HEAD = Head("7d444840-9dc0-11d1-b245-5ffdce74fad2", 7, "ab" * 32)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_created_is_private(tmp_path: Path) -> None:
    """A missing log is made 0600 in a 0700 folder, with all folders above it."""
    path = tmp_path / "a" / "b" / "audit.jsonl"
    os.close(files.open_for_writing(path))
    assert [mode_of(path), mode_of(path.parent), mode_of(path.parent.parent)] == [0o600, 0o700, 0o700]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o660, 0o664])
def test_a_log_that_is_there_keeps_its_mode(tmp_path: Path, mode: int) -> None:
    """Readers and a group may have been given access: that is the owner's choice."""
    path = tmp_path / "audit.jsonl"
    path.touch()
    path.chmod(mode)
    os.close(files.open_for_writing(path))
    assert mode_of(path) == mode


@pytest.mark.parametrize("mode", [0o602, 0o666, 0o777])
def test_a_log_that_everybody_can_write_is_refused(tmp_path: Path, mode: int) -> None:
    """What everybody can write proves nothing; the hint is the command that mends it."""
    path = tmp_path / "audit.jsonl"
    path.touch()
    path.chmod(mode)
    with pytest.raises(AuditError, match="by everybody") as caught:
        files.open_for_writing(path)
    assert caught.value.hint == f"chmod o-w {path}"


def test_another_users_log_is_refused_and_roots_is_not(tmp_path: Path) -> None:
    """The owner could change what we wrote; root could anyway."""
    path = tmp_path / "audit.jsonl"
    path.touch()
    found = list(path.stat())
    for owner, refused in ((os.geteuid(), False), (0, False), (os.geteuid() + 1, True)):
        found[stat.ST_UID] = owner
        if refused:
            with pytest.raises(AuditError, match="belongs to another user"):
                files._refuse(os.stat_result(found), path, owned=True)
        else:
            files._refuse(os.stat_result(found), path, owned=True)
        files._refuse(os.stat_result(found), path, owned=False)


@pytest.mark.parametrize("opened", [files.open_for_writing, files.open_for_reading])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path, opened: Callable[[Path], int]) -> None:
    """A folder, a link, a dangling link, a FIFO that nobody reads, a device and a socket are refused, without waiting."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "real").touch()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "dangling").symlink_to("missing")
    os.mkfifo(tmp_path / "fifo")
    for path in (
        *(tmp_path / name for name in ("folder", "link", "dangling", "fifo")),
        Path("/dev/full"),
        Path("/dev/null"),
    ):
        with pytest.raises(AuditError) as caught:
            opened(path)
        assert str(path) in caught.value.message
        assert caught.value.hint
    assert not (tmp_path / "missing").exists()


def test_a_file_that_cannot_be_made_is_an_error_with_a_hint() -> None:
    """Where no file can be made, the sentence names the file and the system's reason."""
    with pytest.raises(AuditError, match=r"/proc/self/audit\.jsonl cannot be written: ") as caught:
        files.open_for_writing(Path("/proc/self/audit.jsonl"))
    assert caught.value.hint


def test_a_folder_that_cannot_be_made_is_named() -> None:
    """The first one that is missing, and not a file in it that nobody asked for."""
    with pytest.raises(AuditError) as caught:
        files.open_for_writing(files.lock_path(Path("/proc/self/none/log/audit.jsonl")))
    assert caught.value.message.startswith("cannot create the audit log's folder /proc/self/none: ")
    assert "--audit-log" in caught.value.hint


def test_a_file_below_a_file_is_an_error(tmp_path: Path) -> None:
    """A path through something that is no folder is said, not a crash."""
    (tmp_path / "file").touch()
    with pytest.raises(AuditError, match="Not a directory") as caught:
        files.open_for_writing(tmp_path / "file" / "audit.jsonl")
    assert caught.value.hint == "its folder is a file: set another path with --audit-log or AUDIT_LOG_PATH"


@pytest.mark.parametrize(
    ("number", "word"),
    [(errno.ENOSPC, "free some space"), (errno.EROFS, "read-only"), (errno.EFBIG, "ulimit"), (errno.EACCES, "--audit-log")],
)
def test_each_refusal_of_the_system_has_its_hint(number: int, word: str) -> None:
    """A full disk, a read-only one and missing rights each say what to do."""
    error = files.explained(OSError(number, "x"), "written", Path("/x"))
    assert error.message == f"the audit log /x cannot be written: {os.strerror(number)}"
    assert word in error.hint


def test_whether_there_is_a_file_is_known_or_an_error(tmp_path: Path) -> None:
    """A link that leads nowhere is something; below a file nobody can tell."""
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "file").touch()
    assert [files.exists(tmp_path / name) for name in ("link", "file", "none")] == [True, True, False]
    with pytest.raises(AuditError, match="Not a directory"):
        files.exists(tmp_path / "file" / "x")


def test_a_name_that_means_another_file_is_noticed(tmp_path: Path) -> None:
    """After a rename, and after a rename with a new file, the handle is not the named file any more."""
    path = tmp_path / "file"
    handle = files.open_for_writing(path)
    assert files.is_named(handle, path)
    path.rename(tmp_path / "other")
    assert not files.is_named(handle, path)
    path.touch()
    assert not files.is_named(handle, path)
    os.close(handle)


def test_a_head_is_remembered_and_recalled(tmp_path: Path) -> None:
    """The newest head is the one that is recalled, from a file of our own."""
    log = tmp_path / "audit.jsonl"
    assert files.recall(log) is None
    for seq in (1_000_000, 7):
        files.remember(log, files.Memory(Head(HEAD.log_id, seq, HEAD.hash), 7, 8, sealed=True))
    assert files.recall(log) == files.Memory(HEAD, 7, 8, sealed=True)
    assert mode_of(files.head_path(log)) == 0o600


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 512,
        b"{}",
        b"[]",
        b'{"log_id":"a","seq":"x","hash":"b"}',
        b'{"log_id":"a","seq":1e999,"hash":"b"}',
        b"\xff",
    ],
)
def test_what_a_power_cut_left_of_a_head_is_no_head(tmp_path: Path, data: bytes) -> None:
    """An empty or torn memory is none; the log itself says where it ends."""
    log = tmp_path / "audit.jsonl"
    files.remember(log, files.Memory(HEAD))
    files.head_path(log).write_bytes(data)
    assert files.recall(log) is None


def test_a_mixture_of_two_heads_is_no_head(tmp_path: Path) -> None:
    """A memory that was half overwritten would accuse a whole log; its check does not fit."""
    log = tmp_path / "audit.jsonl"
    files.remember(log, files.Memory(HEAD))
    whole = files.head_path(log).read_bytes()
    files.head_path(log).write_bytes(whole.replace(b'"seq": 7', b'"seq": 8'))
    assert files.recall(log) is None


def test_a_memory_that_is_no_file_is_refused(tmp_path: Path) -> None:
    """A folder or a link in the place of the memory is said, not overlooked: it may hide a cut."""
    log = tmp_path / "audit.jsonl"
    files.head_path(log).mkdir(parents=True)
    with pytest.raises(AuditError):
        files.recall(log)
    with pytest.raises(AuditError):
        files.remember(log, files.Memory(HEAD))


@pytest.mark.measured
def test_a_memory_that_cannot_be_written_is_an_error(tmp_path: Path, child: Callable[..., Any]) -> None:
    """A file-size limit of zero stops even these few bytes, and the sentence says so."""
    started = child(
        """
        import pathlib, resource, sys
        from molecule_approve.audit import chain, files
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, limit[1]))
        try:
            files.remember(pathlib.Path(sys.argv[1]), files.Memory(chain.Head("a", 1, "b")))
        except files.AuditError as error:
            print(error.message)
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        """,
        tmp_path / "audit.jsonl",
    )
    assert "cannot be remembered: File too large" in started.line()


def mount_table(folder: Path, kind: str, device: int) -> Path:
    """A table as Linux writes it, in which this device is of that kind."""
    table = folder / "mountinfo"
    table.write_text(
        "22 27 0:0 / /proc rw,relatime - proc proc rw\n"
        f"28 1 {os.major(device)}:{os.minor(device)} / /mnt rw,relatime shared:1 - {kind} server:/export rw\n"
        "broken line\n"
    )
    return table


@pytest.mark.parametrize(
    ("kind", "told"), [("nfs4", "nfs4"), ("cifs", "cifs"), ("fuse.sshfs", "fuse.sshfs"), ("ext4", None), ("fuseblk", None)]
)
def test_a_network_file_system_is_told(tmp_path: Path, kind: str, told: str | None) -> None:
    """The kind comes from the mount table, by the device of the folder in which the log is or would be."""
    table = mount_table(tmp_path, kind, tmp_path.stat().st_dev)
    assert files.on_network_filesystem(tmp_path / "no" / "such" / "log", mounts=table) == told


def test_a_local_file_system_is_named_too(tmp_path: Path) -> None:
    """By its kind in the mount table."""
    table = mount_table(tmp_path, "ext4", tmp_path.stat().st_dev)
    assert files.file_system(tmp_path / "log", mounts=table) == "ext4"
    assert files.file_system(tmp_path, mounts=tmp_path / "missing") is None


def test_without_a_word_in_the_table_nothing_is_claimed(tmp_path: Path) -> None:
    """No table (not Linux) and no entry for the device mean that nothing is known."""
    assert files.on_network_filesystem(tmp_path, mounts=tmp_path / "missing") is None
    assert files.on_network_filesystem(tmp_path, mounts=mount_table(tmp_path, "nfs", tmp_path.stat().st_dev + 1)) is None
