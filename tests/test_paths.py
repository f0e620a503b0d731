"""places.py: the user's own folders and files."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from stat import S_IMODE

import pytest

from molecule_approve import paths
from molecule_approve.errors import ConfigError
from molecule_approve.paths import Places, RequesterCredential, Serving
from tests.users import become

HOLD = """
import fcntl, sys
file = open(sys.argv[1])
fcntl.flock(file, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
"""
NOBODY = 65534
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


@pytest.fixture
def mine(tmp_path: Path) -> Places:
    """One user's folders, made."""
    found = Places(tmp_path / "state", tmp_path / "run")
    paths.make_private(found.state)
    return found


def write(path: Path, data: bytes = b"text", mode: int = 0o600) -> Path:
    """A file with these bytes and this mode."""
    path.write_bytes(data)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("environ", "state", "runtime"),
    [
        ({"HOME": "/h"}, "/h/.local/state/molecule-approve", "/h/.local/state/molecule-approve/run"),
        ({"HOME": "/h", "XDG_STATE_HOME": "/s"}, "/s/molecule-approve", "/s/molecule-approve/run"),
        ({"HOME": "/h", "XDG_STATE_HOME": "s"}, "/h/.local/state/molecule-approve", "/h/.local/state/molecule-approve/run"),
        ({"HOME": "/h", "XDG_RUNTIME_DIR": "/r"}, "/h/.local/state/molecule-approve", "/r/molecule-approve"),
        ({"HOME": "/h", "XDG_RUNTIME_DIR": ""}, "/h/.local/state/molecule-approve", "/h/.local/state/molecule-approve/run"),
    ],
)
def test_the_folders_follow_the_xdg_specification(environ: dict[str, str], state: str, runtime: str) -> None:
    """A relative folder is ignored, as the specification says; nothing is created."""
    assert paths.locate(environ) == Places(Path(state), Path(runtime))


def test_a_home_that_is_none_is_told() -> None:
    """A relative one would lead elsewhere from each folder; XDG_STATE_HOME makes up for it."""
    with pytest.raises(ConfigError, match="'home/me' is not an absolute path"):
        paths.locate({"HOME": "home/me"})
    assert paths.locate({"HOME": "home/me", "XDG_STATE_HOME": "/s"}).state == Path("/s/molecule-approve")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user that is not in passwd")
def test_no_home_at_all_is_a_sentence(tmp_path: Path) -> None:
    """A container's user may have neither HOME nor an entry in passwd: 125, and nothing is a fault of the program."""
    become(2_000_000_001)
    try:
        with pytest.raises(ConfigError, match="HOME is not set, and user 2000000001 is not in passwd"):
            paths.locate({})
        assert paths.locate({"HOME": str(tmp_path)}).state.is_relative_to(tmp_path)
    finally:
        become(0)


def test_without_a_home_the_system_is_asked() -> None:
    """The password database knows it."""
    assert paths.locate({}).state == Path.home() / ".local" / "state" / "molecule-approve"
    assert paths.locate({"HOME": ""}) == paths.locate({})


def test_every_file_has_its_place() -> None:
    """All in the state folder but the socket."""
    found = Places(Path("/s"), Path("/r"))
    files = [found.database, found.server_log, found.requester, found.serving, found.audit_log]
    assert {path.parent for path in files} == {Path("/s")}
    assert len(set(files)) == len(files)
    assert found.socket.parent == Path("/r")


def test_two_states_have_two_sockets_in_one_runtime_folder() -> None:
    """So that two servers of one user do not meet."""
    assert Places(Path("/a"), Path("/r")).socket != Places(Path("/b"), Path("/r")).socket
    assert Places(Path("/a"), Path("/r")).socket == Places(Path("/a"), Path("/r")).socket


def test_a_socket_s_path_that_is_too_long_is_told() -> None:
    """The system would only say that something is invalid; the longest allowed one passes."""
    name = len("/" + Places(Path("/s"), Path("/r")).socket.name)
    longest = Path("/" + "r" * (paths.SOCKET_PATH_LIMIT - name - 1))
    assert len(str(Places(Path("/s"), longest).socket)) == paths.SOCKET_PATH_LIMIT
    with pytest.raises(ConfigError, match="longer than 107 bytes") as caught:
        _ = Places(Path("/s"), Path(f"{longest}r")).socket
    assert "XDG_RUNTIME_DIR" in caught.value.hint


# --- folders -----------------------------------------------------------------------------------------------------------


def test_a_private_folder_is_made_and_found_again(tmp_path: Path) -> None:
    """0700, with the folders above it."""
    folder = tmp_path / "a" / "b"
    paths.make_private(folder)
    paths.make_private(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o755, 0o710, 0o701, 0o777])
def test_a_folder_that_is_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    """The hint closes it."""
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(ConfigError, match="open to other users") as caught:
        paths.make_private(folder)
    assert caught.value.hint == f"chmod 700 {folder}"


def test_a_link_in_a_folder_s_place_is_refused(tmp_path: Path) -> None:
    """It could lead anywhere tomorrow."""
    target = tmp_path / "target"
    paths.make_private(target)
    link = tmp_path / "link"
    link.symlink_to(target)
    with pytest.raises(ConfigError, match="is a link or not a folder"):
        paths.make_private(link)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """A file stands in its way, or above it."""
    path = write(tmp_path / "file")
    for folder, why in ((path, "is a link or not a folder"), (path / "below", "cannot be made"), (path / "a" / "b", "made")):
        with pytest.raises(ConfigError, match=why):
            paths.make_private(folder)


def test_the_folders_above_are_private_whatever_the_umask(tmp_path: Path) -> None:
    """Whoever can write in one of them could put another folder in the place of ours."""
    before = os.umask(0)
    try:
        paths.make_private(tmp_path / ".local" / "state" / "ours")
    finally:
        os.umask(before)
    for folder in (".local", ".local/state", ".local/state/ours"):
        assert stat.S_IMODE((tmp_path / folder).stat().st_mode) == 0o700


@pytest.mark.parametrize("above", [".", ".."])
@pytest.mark.parametrize(("mode", "good"), [(0o777, False), (0o1777, True), (0o757, False), (0o755, True), (0o775, True)])
def test_a_folder_that_others_can_swap_is_refused(tmp_path: Path, above: str, mode: int, *, good: bool) -> None:
    """Others who can write above it can rename it; in a sticky folder they cannot, and our own group is nobody else."""
    folder = tmp_path / "above" / "parent" / "ours"
    paths.make_private(folder)
    (folder.parent / above).chmod(mode)
    if good:
        paths.make_private(folder)
        return
    with pytest.raises(ConfigError, match="other users may put another folder in the place of") as caught:
        paths.make_private(folder)
    assert f"chmod go-w {(folder.parent / above).resolve()}" in caught.value.hint


@only_root
def test_another_group_that_can_write_above_is_others(tmp_path: Path) -> None:
    """Its members could rename the folder."""
    folder = tmp_path / "parent" / "ours"
    paths.make_private(folder)
    os.chown(folder.parent, 0, NOBODY)
    folder.parent.chmod(0o770)
    with pytest.raises(ConfigError, match="other users may put another folder"):
        paths.make_private(folder)


@only_root
def test_a_folder_of_all_far_above_is_the_machine_s_matter(tmp_path: Path) -> None:
    """A volume that is mounted so cannot be mended by its user; the folder's own parent counts all the same."""
    volume = tmp_path / "volume"
    folder = volume / "parent" / "ours"
    paths.make_private(folder)
    os.chown(volume, NOBODY, NOBODY)
    volume.chmod(0o777)
    paths.make_private(folder)
    paths.make_private(volume / "other" / "ours")
    with pytest.raises(ConfigError, match="other users may put another folder"):
        paths.make_private(volume / "ours")


@contextmanager
def somebody(folder: Path) -> Iterator[Path]:
    """The test goes on as another user, who has a home here."""
    for above in (folder, *folder.parents[:3]):
        above.chmod(S_IMODE(above.stat().st_mode) | 0o111)  # the last may be the machine's own
    home = folder / "home"
    home.mkdir(mode=0o700)
    os.chown(home, NOBODY, NOBODY)
    become(NOBODY)
    try:
        yield home
    finally:
        become(0)


@only_root
def test_what_sudo_left_is_told_with_the_way_back(tmp_path: Path) -> None:
    """Folders and files of root's in a user's folder: the hint gives all of them back, and nothing that never was theirs."""
    with somebody(tmp_path) as home:
        mine = Places(home / "state", home / "run")
        paths.make_private(mine.state)
        become(0)
        (home / "local").mkdir(mode=0o700)
        write(mine.requester)
        paths.make_private(home / "roots")
        become(NOBODY)
        for folder, named in ((home / "local" / "state", home / "local"), (home / "roots", home / "roots")):
            with pytest.raises(ConfigError) as caught:
                paths.make_private(folder)
            assert caught.value.hint == f"it belongs to root, as after sudo: sudo chown -R {NOBODY} {named}"
        with pytest.raises(ConfigError, match="cannot be read") as caught:
            paths.read_requester(mine)
        assert caught.value.hint == f"it belongs to root, as after sudo: sudo chown -R {NOBODY} {mine.state}"
        for mode in (0o700, 0o755):  # what lies below is hidden, or seen to be root's too
            become(0)
            (home / "local").chmod(mode)
            (home / "local" / "state").mkdir(mode=0o700, exist_ok=True)
            become(NOBODY)
            with pytest.raises(ConfigError, match="cannot be read") as caught:
                paths.read_requester(Places(home / "local" / "state" / "molecule-approve", home / "run"))
            assert caught.value.hint == f"it belongs to root, as after sudo: sudo chown -R {NOBODY} {home / 'local'}"
        with pytest.raises(ConfigError, match="cannot be made") as caught:
            paths.make_private(tmp_path / "elsewhere")
        assert "chown" not in caught.value.hint


@only_root
def test_another_user_s_folder_is_refused(tmp_path: Path) -> None:
    """Root's too: its owner could look in."""
    folder = tmp_path / "theirs"
    paths.make_private(folder)
    os.chown(folder, NOBODY, NOBODY)
    with pytest.raises(ConfigError, match="belongs to another user"):
        paths.make_private(folder)


# --- files -------------------------------------------------------------------------------------------------------------


def test_a_private_file_is_written_and_read(tmp_path: Path) -> None:
    """0600, replaced as a whole, with nothing left beside it."""
    path = tmp_path / "file"
    assert paths.read_private(path) is None
    for data in (b"one", b"two"):
        paths.write_private(path, data)
        assert paths.read_private(path) == data
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_put_in_its_place_leaves_nothing(tmp_path: Path) -> None:
    """A folder stands there: the error goes up, the draft is gone."""
    (tmp_path / "taken").mkdir()
    with pytest.raises(IsADirectoryError):
        paths.write_private(tmp_path / "taken", b"x")
    assert list(tmp_path.iterdir()) == [tmp_path / "taken"]


def test_a_file_that_is_there_stands_where_it_may_not_be_replaced(tmp_path: Path) -> None:
    """Its bytes stay, and the draft is gone; elsewhere the new one is written like any other."""
    path = tmp_path / "file"
    paths.write_private(path, b"old", over=False)
    with pytest.raises(FileExistsError):
        paths.write_private(path, b"new", over=False)
    assert path.read_bytes() == b"old"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_private_file_that_is_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    """What stands in it is known by now."""
    with pytest.raises(ConfigError, match="open to other users") as caught:
        paths.read_private(write(tmp_path / "file", mode=mode))
    assert "replace the token in it" in caught.value.hint


def test_links_folders_and_pipes_are_no_private_files(tmp_path: Path) -> None:
    """Nothing hangs, nothing is followed."""
    (tmp_path / "link").symlink_to(write(tmp_path / "file"))
    (tmp_path / "folder").mkdir(mode=0o700)
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(ConfigError, match="cannot be read"):
        paths.read_private(tmp_path / "link")
    for name in ("folder", "pipe"):
        with pytest.raises(ConfigError, match="not a file of your own"):
            paths.read_private(tmp_path / name)


@only_root
def test_another_user_s_file_is_no_private_file(tmp_path: Path) -> None:
    """Its owner chose what stands in it."""
    path = write(tmp_path / "file")
    os.chown(path, NOBODY, NOBODY)
    with pytest.raises(ConfigError, match="not a file of your own"):
        paths.read_private(path)


# --- what lies in them -------------------------------------------------------------------------------------------------


def test_the_requester_is_read_as_the_server_left_it(mine: Places) -> None:
    """None before its first start."""
    assert paths.read_requester(mine) is None
    paths.write_private(mine.requester, json.dumps({"workspace_id": "w", "token": "t"}).encode())
    assert paths.read_requester(mine) == RequesterCredential("w", "t")


@pytest.mark.parametrize("data", [b"", b"not JSON", b"[]", b"{}", b'{"workspace_id": "w"}', b"\xff", b"null", b'"text"'])
def test_a_damaged_requester_file_is_told(mine: Places, data: bytes) -> None:
    """Never a silent default."""
    write(mine.requester, data)
    with pytest.raises(ConfigError, match=r"requester\.json is not valid"):
        paths.read_requester(mine)


def test_who_serves_is_whoever_holds_the_lock(mine: Places) -> None:
    """Another process holds it: found; it goes: not found, though the file stays and nothing is changed."""
    text = b'{"pid": 4711, "url": "http://127.0.0.1:8788", "socket": "/r/s"}'
    assert paths.who_serves(mine) is None
    write(mine.serving, text)
    assert paths.who_serves(mine) is None
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(mine.serving)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        assert paths.who_serves(mine) == Serving(4711, "http://127.0.0.1:8788", Path("/r/s"))
        for unsaid in (b"", b"[]", b"{}", b'{"pid": "x", "url": ""}', b"null"):
            mine.serving.write_bytes(unsaid)
            assert paths.who_serves(mine) is None
        mine.serving.write_bytes(text)
        process.communicate()
    assert paths.who_serves(mine) is None
    assert mine.serving.read_bytes() == text


def test_the_socket_is_where_the_lock_file_says(mine: Places) -> None:
    """It was perhaps started with another XDG_RUNTIME_DIR; where the file names none, the socket is at the usual place."""
    assert paths.find_socket(mine) == mine.socket
    write(mine.serving, b'{"pid": 1, "url": "http://127.0.0.1:1", "socket": "/elsewhere/s"}')
    assert paths.find_socket(mine) == Path("/elsewhere/s")
    for unsaid in (b"", b"null", b'{"pid": 1, "url": ""}'):
        write(mine.serving, unsaid)
        assert paths.find_socket(mine) == mine.socket


def test_a_lock_file_that_is_not_there_is_locked_by_nobody(mine: Places) -> None:
    """It may go between two looks."""
    assert not paths.is_locked(mine)


def test_a_lock_file_that_is_not_ours_is_told(mine: Places) -> None:
    """Somebody could point us to another server."""
    write(mine.serving, mode=0o666)
    with pytest.raises(ConfigError, match="open to other users"):
        paths.who_serves(mine)
