"""The file with the client's secret."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from molecule_approve.errors import ConfigError
from molecule_approve.server.openid.secret_file import read_secret


def written(folder: Path, data: bytes = b"s3cret value\n", mode: int = 0o600) -> Path:
    path = folder / "secret"
    path.write_bytes(data)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_the_secret_is_its_one_line(tmp_path: Path, mode: int) -> None:
    """Without the line's end; also through a link, as Kubernetes mounts it."""
    path = written(tmp_path, mode=mode)
    link = tmp_path / "link"
    link.symlink_to(path)
    assert read_secret(path) == read_secret(link) == "s3cret value"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o620, 0o602, 0o644])
def test_a_file_that_others_can_read_or_write_is_refused(tmp_path: Path, mode: int) -> None:
    """The hint says to replace the secret: somebody may have read it."""
    with pytest.raises(ConfigError, match="open to other users") as failed:
        read_secret(written(tmp_path, mode=mode))
    assert "replace the secret" in str(failed.value.hint)


@pytest.mark.parametrize("data", [b"", b"\n", b"a\nb\n", b"\xff\xfe", b"s\x00t", b"x" * 5_000, "sécret".encode()])
def test_a_file_without_a_secret_is_refused(tmp_path: Path, data: bytes) -> None:
    """The error repeats nothing of it."""
    with pytest.raises(ConfigError, match="does not hold a secret"):
        read_secret(written(tmp_path, data))


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    """None there, a folder, a pipe: said with its path, and nothing waits for a writer."""
    with pytest.raises(ConfigError, match="none cannot be read"):
        read_secret(tmp_path / "none")
    with pytest.raises(ConfigError, match=r"cannot be read|not a file of your own"):
        read_secret(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="not a file of your own"):
        read_secret(tmp_path / "pipe")


def test_what_belongs_to_root_may_be_read_by_a_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So Kubernetes gives a secret to the user of a container; another user's file is refused."""
    path = written(tmp_path, mode=0o440)
    real = os.fstat

    def owned_by(user: int) -> None:
        monkeypatch.setattr(os, "fstat", lambda handle: os.stat_result((*real(handle)[:4], user, *real(handle)[5:])))

    owned_by(0)
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    assert read_secret(path) == "s3cret value"
    path.chmod(0o460)
    with pytest.raises(ConfigError, match="open to other users"):
        read_secret(path)
    owned_by(4243)
    with pytest.raises(ConfigError, match="not a file of your own"):
        read_secret(path)
