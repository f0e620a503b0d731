"""config_file.py: files that somebody else mounted, opened with care."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from molecule_approve.errors import ConfigError
from molecule_approve.settings.trusted_file import LIMIT, read_kept, read_trusted

NOBODY = 65534


def write(path: Path, data: bytes = b"text", mode: int = 0o600) -> Path:
    """A file with these bytes and this mode."""
    path.write_bytes(data)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(("mode", "shown"), [(0o600, False), (0o640, False), (0o644, True), (0o400, False), (0o755, True)])
def test_a_file_of_our_own_is_read(tmp_path: Path, mode: int, *, shown: bool) -> None:
    """Who can read it is told, not judged."""
    found = read_trusted(write(tmp_path / "file", mode=mode), wanted=False)
    assert found is not None
    assert (found.data, found.readable_by_all) == (b"text", shown)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666, 0o777])
def test_a_file_that_others_can_write_is_refused(tmp_path: Path, mode: int) -> None:
    """Somebody else could have written it."""
    path = write(tmp_path / "file", mode=mode)
    with pytest.raises(ConfigError, match="other users can write") as caught:
        read_trusted(path, wanted=False)
    assert caught.value.hint == f"chmod go-w {path}"


def test_a_missing_file_is_none_unless_it_was_named(tmp_path: Path) -> None:
    """A default place may be empty, a named one may not."""
    assert read_trusted(tmp_path / "none", wanted=False) is None
    with pytest.raises(ConfigError, match="none does not exist"):
        read_trusted(tmp_path / "none", wanted=True)


def test_a_folder_that_is_a_file_holds_nothing(tmp_path: Path) -> None:
    """`/configs` may be anything."""
    path = write(tmp_path / "configs") / "config.yaml"
    assert read_trusted(path, wanted=False) is None
    with pytest.raises(ConfigError, match="does not exist"):
        read_trusted(path, wanted=True)


def test_a_link_is_followed(tmp_path: Path) -> None:
    """Kubernetes mounts through links."""
    target = write(tmp_path / "..data")
    link = tmp_path / "file"
    link.symlink_to(target)
    found = read_trusted(link, wanted=True)
    assert found is not None
    assert found.data == b"text"


def test_the_target_s_mode_counts(tmp_path: Path) -> None:
    """A link's own mode says nothing."""
    link = tmp_path / "file"
    link.symlink_to(write(tmp_path / "target", mode=0o666))
    with pytest.raises(ConfigError, match="other users can write"):
        read_trusted(link, wanted=False)


def test_a_link_that_leads_nowhere_is_an_error(tmp_path: Path) -> None:
    """It says that something should be there."""
    link = tmp_path / "file"
    link.symlink_to(tmp_path / "gone")
    with pytest.raises(ConfigError, match="does not exist"):
        read_trusted(link, wanted=False)


def test_a_link_in_a_circle_is_an_error(tmp_path: Path) -> None:
    """The system's own words say why it cannot be opened."""
    link = tmp_path / "file"
    link.symlink_to(link)
    with pytest.raises(ConfigError, match=re.escape(os.strerror(40))):
        read_trusted(link, wanted=False)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    """A folder can be opened, and is refused."""
    with pytest.raises(ConfigError, match="not a regular file"):
        read_trusted(tmp_path, wanted=True)


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    """Opening one that nobody writes to must not hang."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="not a regular file"):
        read_trusted(tmp_path / "pipe", wanted=True)


def test_a_file_that_fails_while_it_is_read_is_an_error() -> None:
    """This process's memory is a regular file whose first page cannot be read."""
    with pytest.raises(ConfigError, match="cannot read /proc/self/mem: Input/output error"):
        read_trusted(Path("/proc/self/mem"), wanted=True)


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    """The limit itself is allowed, one byte more is not."""
    path = write(tmp_path / "file", b"x" * LIMIT)
    assert read_trusted(path, wanted=True) is not None
    write(path, b"x" * (LIMIT + 1))
    with pytest.raises(ConfigError, match="larger than 1,048,576 bytes"):
        read_trusted(path, wanted=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_another_user_s_file_is_refused(tmp_path: Path) -> None:
    """Root too reads only its own."""
    path = write(tmp_path / "file")
    os.chown(path, NOBODY, NOBODY)
    with pytest.raises(ConfigError, match="belongs to another user"):
        read_trusted(path, wanted=True)


def test_no_handle_stays_open(tmp_path: Path) -> None:
    """Not after a success, not after a refusal."""
    path = write(tmp_path / "file")
    before = len(list(Path("/proc/self/fd").iterdir()))
    read_trusted(path, wanted=True)
    for refused in (tmp_path, write(tmp_path / "open", mode=0o666)):
        with pytest.raises(ConfigError):
            read_trusted(refused, wanted=True)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize(
    ("mode", "group", "refused"), [(0o777, 0, True), (0o770, NOBODY, True), (0o770, 0, False), (0o1777, 0, False)]
)
@pytest.mark.parametrize("which", ["link", "target"])
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another group")
def test_a_file_that_others_can_replace_is_refused(
    tmp_path: Path, which: str, mode: int, group: int, *, refused: bool
) -> None:
    """By their right to write in its folder, or in that of a link's target; in a sticky folder they cannot rename it."""
    for name in ("link", "target"):
        (tmp_path / name).mkdir()
    write(tmp_path / "target" / "file")
    path = tmp_path / "link" / "file"
    path.symlink_to("../target/file")
    folder = tmp_path / which
    os.chown(folder, 0, group)
    folder.chmod(mode)
    if not refused:
        assert read_kept(path, wanted=True) is not None
        return
    with pytest.raises(ConfigError, match=f"in the place of {path}: they can write in {folder}"):
        read_kept(path, wanted=True)


def test_a_file_that_is_not_there_has_no_folder_to_look_at(tmp_path: Path) -> None:
    """None, as before."""
    assert read_kept(tmp_path / "none" / "file", wanted=False) is None
