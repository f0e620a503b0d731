"""settings_file.py: a host's file, read with care and replaced whole."""

from __future__ import annotations

import os
import re
import stat
from functools import partial
from pathlib import Path

import pytest

from molecule_approve.errors import ConfigError
from molecule_approve.integrations.hook_files import settings_file
from molecule_approve.integrations.hook_files.settings_file import read
from tests.users import become

NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


def mode(path: Path) -> int:
    """The permissions of a file."""
    return stat.S_IMODE(path.stat().st_mode)


def names(folder: Path) -> list[str]:
    """What is in a folder."""
    return sorted(path.name for path in folder.iterdir())


# --- reading -----------------------------------------------------------------------------------------------------------


def test_a_file_is_read_as_text_and_value(tmp_path: Path) -> None:
    """Both are kept."""
    path = tmp_path / "settings.json"
    path.write_text('{"a": "é"}\n')
    found = read(path)
    assert (found.text, found.document) == ('{"a": "é"}\n', {"a": "é"})
    assert found.changed({"a": "é", "b": 1}) == '{\n  "a": "é",\n  "b": 1\n}\n'


@pytest.mark.parametrize("text", [None, "", "\n"])
def test_no_file_and_an_empty_one_hold_nothing(tmp_path: Path, text: str | None) -> None:
    """They are no error: there is nothing to lose."""
    path = tmp_path / "settings.json"
    if text is not None:
        path.write_text(text)
    assert read(path).document == {}
    assert read(path).text == (text or "")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{\n  // mine\n  "a": 1\n}', ", line 2: this is not plain JSON (it cannot be parsed)"),
        ('{"a": 1,}', ", line 1: this is not plain JSON"),
        ('{"a": 1, "a": 2}', ": this is not plain JSON (an object has a duplicate key)"),
        ('{"a": NaN}', ": this is not plain JSON (NaN is not a number in JSON)"),
        ("[]", ": this is not a JSON object"),
        ("\ufeff{}", ", line 1: this is not plain JSON"),
    ],
)
def test_what_is_not_plain_json_is_refused(tmp_path: Path, text: str, why: str) -> None:
    """With the line, if it is known, and what to do; the file is left as it is."""
    path = tmp_path / "settings.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(f"{path}{why}")) as caught:
        read(path)
    assert caught.value.message.endswith("; the file is left as it is")
    assert "--print" in caught.value.hint
    assert path.read_text() == text


def test_bytes_that_are_not_text_are_refused(tmp_path: Path) -> None:
    """JSON is UTF-8."""
    path = tmp_path / "settings.json"
    path.write_bytes(b'{"a": "\xff"}')
    with pytest.raises(ConfigError, match="not plain JSON"):
        read(path)


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """A folder, a pipe without a writer (at once), and a device, which would be replaced for everybody."""
    with pytest.raises(ConfigError, match="Is a directory"):
        read(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(os.devnull)
    for path in (tmp_path / "pipe", tmp_path / "link"):
        with pytest.raises(ConfigError, match="is not a regular file"):
            read(path)


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    """No settings file has such a size."""
    path = tmp_path / "settings.json"
    with path.open("wb") as file:
        file.truncate((1 << 24) + 1)
    with pytest.raises(ConfigError, match="larger than 16,777,216 bytes"):
        read(path)


# --- writing -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [0o600, 0o644, 0o664])
def test_a_file_keeps_its_mode(tmp_path: Path, bits: int) -> None:
    """And nothing else is left in the folder."""
    path = tmp_path / "settings.json"
    path.write_text("{}")
    path.chmod(bits)
    read(path).write('{"a": 1}')
    assert (path.read_text(), mode(path), names(tmp_path)) == ('{"a": 1}', bits, ["settings.json"])


@needs_root
def test_root_leaves_a_file_to_its_owner(tmp_path: Path) -> None:
    """An installation with sudo must not take the file away from its user."""
    path = tmp_path / "settings.json"
    path.write_text("{}")
    os.chown(path, NOBODY, NOBODY)
    read(path).write("{} ")
    assert (path.stat().st_uid, path.stat().st_gid) == (NOBODY, NOBODY)


@needs_root
def test_who_cannot_give_a_file_away_owns_it(home: Path) -> None:
    """In a folder that both can write, the file changes hands, as with every editor that replaces it."""
    home.chmod(0o777)
    path = home / "settings.json"
    path.write_text("{}")
    path.chmod(0o644)
    become(NOBODY)
    try:
        read(path).write("{} ")
    finally:
        become(0)
    assert (path.stat().st_uid, mode(path)) == (NOBODY, 0o644)


def test_a_link_stays_and_its_target_is_written(tmp_path: Path) -> None:
    """Many people keep their settings in a repository, and link to it; a link to nothing yet, too."""
    home, store = tmp_path / "home", tmp_path / "store"
    home.mkdir()
    link = home / "settings.json"
    link.symlink_to(Path("..") / "store" / "mine.json")
    for text in ("{}", '{"a": 1}'):
        read(link).write(text)
        assert link.is_symlink()
        assert (store / "mine.json").read_text() == text


def test_a_new_file_is_made_with_its_folders(tmp_path: Path) -> None:
    """As the umask says, as the host itself would."""
    before = os.umask(0o027)
    try:
        read(tmp_path / "a" / "b" / "settings.json").write("{}")
    finally:
        os.umask(before)
    assert mode(tmp_path / "a" / "b" / "settings.json") == 0o640


def test_a_file_that_changed_in_the_meantime_is_not_overwritten(tmp_path: Path) -> None:
    """Whoever wrote it while the question was on the screen keeps it; the same for one that is to be removed."""
    path = tmp_path / "settings.json"
    path.write_text("{}")
    found = read(path)
    path.write_text('{"theirs": 1}')
    for act in (partial(found.write, "{}"), found.remove):
        with pytest.raises(ConfigError, match="was changed in the meantime; nothing was written"):
            act()
    assert (path.read_text(), names(tmp_path)) == ('{"theirs": 1}', ["settings.json"])


def test_what_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """A folder that is a file, and a device that is full."""
    (tmp_path / "file").write_text("")
    found = settings_file.SettingsFile(tmp_path / "file" / "settings.json", None, {})
    with pytest.raises(ConfigError, match=r"cannot write .*/file/settings.json: "):
        found.write("{}")


def test_a_write_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    """Where no file can grow that far, the old one is whole, and no piece of the new one lies beside it."""
    import resource
    import signal

    path = tmp_path / "settings.json"
    path.write_text("{}")
    found = read(path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, before[1]))
    try:
        with pytest.raises(ConfigError, match=r"cannot write .*: File too large"):
            found.write(f'{{"a": "{"x" * 200}"}}')
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert (path.read_text(), names(tmp_path)) == ("{}", ["settings.json"])


# --- removing ----------------------------------------------------------------------------------------------------------


def test_a_file_is_removed(tmp_path: Path) -> None:
    """Its folder stays."""
    path = tmp_path / "settings.json"
    path.write_text("{}")
    read(path).remove()
    assert names(tmp_path) == []


def test_a_linked_file_becomes_an_empty_object(tmp_path: Path) -> None:
    """The link is the user's, and must lead somewhere."""
    (tmp_path / "target").write_text('{"a": 1}')
    link = tmp_path / "settings.json"
    link.symlink_to("target")
    read(link).remove()
    assert (link.is_symlink(), link.read_text()) == (True, "{}\n")


@needs_root
def test_a_file_that_cannot_be_removed_is_an_error(home: Path) -> None:
    """Its folder belongs to somebody else."""
    path = home / "settings.json"
    path.write_text("{}")
    home.chmod(0o755)
    found = read(path)
    become(NOBODY)
    try:
        with pytest.raises(ConfigError, match=r"cannot remove .*: Permission denied"):
            found.remove()
    finally:
        become(0)
