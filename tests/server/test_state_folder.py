"""What a running server holds of its user's folders: nobody else gets it, and what is lost comes back."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from molecule_approve.errors import ServerError
from molecule_approve.paths import Places, RequesterCredential, find_socket, read_requester, who_serves
from molecule_approve.server.database.sqlite import SqliteStore
from molecule_approve.server.limits import Limits
from molecule_approve.server.run import Running, ServePlan
from molecule_approve.server.state_folder import StateFolder, try_lock
from tests.callers import let_pass, until
from tests.integration.raw_http import PLAIN

QUICK = replace(Limits(), check_interval=0.02)


def health(places: Places) -> int:
    """The status of an answer on the private socket, wherever it is now."""
    with httpx.Client(
        transport=httpx.HTTPTransport(verify=PLAIN, uds=str(find_socket(places))), base_url="http://localhost"
    ) as client:
        return client.get("/health").status_code


def lose_lock(places: Places) -> None:
    """Somebody tidies up."""
    places.serving.unlink()


def lose_requester(places: Places) -> None:
    """Somebody tidies up."""
    places.requester.unlink()


def lose_socket(places: Places) -> None:
    """Somebody tidies up."""
    places.socket.unlink()


def lose_runtime(places: Places) -> None:
    """A logout."""
    shutil.rmtree(places.runtime)


@pytest.mark.parametrize("lose", [lose_lock, lose_requester, lose_socket, lose_runtime])
def test_what_is_lost_while_it_serves_comes_back(server_places: Places, lose: Callable[[Places], None]) -> None:
    """Clients find the same server again: its lock, its socket and its token, and nobody has to start it again."""
    with Running(ServePlan(server_places, limits=QUICK)) as server:
        lose(server_places)
        until(lambda: who_serves(server_places) and server_places.requester.exists() and server_places.socket.exists())
        found = who_serves(server_places)
        assert found is not None
        assert (found.pid, found.url, found.socket) == (os.getpid(), server.url, server_places.socket)
        assert read_requester(server_places) == server.requester
        until(lambda: health(server_places) == 200)
        assert server_places.serving.stat().st_mode & 0o777 == 0o600
    assert who_serves(server_places) is None
    assert not server_places.socket.exists()


def test_a_runtime_folder_that_cannot_come_back_is_replaced(server_places: Places) -> None:
    """After a logout only root could make it: the socket moves to the state folder, where the lock file names it."""
    with Running(ServePlan(server_places, limits=QUICK)):
        shutil.rmtree(server_places.runtime)
        server_places.runtime.write_text("in the way")
        until(lambda: find_socket(server_places).parent == server_places.state / "run")
        until(lambda: health(server_places) == 200)
        moved = find_socket(server_places)
    assert not moved.exists()


def test_what_cannot_come_back_is_told_once(server_places: Places) -> None:
    """As long as it lasts; once it is mended, the socket is there again."""
    told: list[str] = []
    with Running(ServePlan(server_places, limits=QUICK, warn=told.append)):
        in_the_way = server_places.state / "run"
        in_the_way.write_text("in the way")
        shutil.rmtree(server_places.runtime)
        server_places.runtime.write_text("in the way")
        until(lambda: told)
        let_pass(0.2)  # ten more looks, each of which fails as well
        trouble = f"cannot make the socket {server_places.socket}"
        assert told == [f"cannot restore a file that was removed while the server runs: {trouble}; it keeps trying"]
        server_places.runtime.unlink()
        until(server_places.socket.exists)
        until(lambda: health(server_places) == 200)


def test_a_lock_file_that_was_removed_lets_no_second_server_in(server_places: Places) -> None:
    """Two servers on one database would each redeem what the other did not see: the folder is locked as well."""
    with Running(ServePlan(server_places)):
        server_places.serving.unlink()
        with pytest.raises(ServerError, match="a server is already running"), Running(ServePlan(server_places)):
            pass
    with Running(ServePlan(server_places)) as server:
        assert server.url


def test_a_server_started_with_another_runtime_folder_is_found(server_places: Places, home: Path) -> None:
    """By cron, say: the lock file names its socket."""
    with Running(ServePlan(server_places._replace(runtime=home / "cron"))):
        assert find_socket(server_places).parent == home / "cron"
        assert health(server_places) == 200


def test_the_socket_of_a_new_server_is_left_to_it(server_places: Places) -> None:
    """The whole state was removed and made again, and another server runs there: the end of the old one takes nothing."""
    server_places.state.mkdir(mode=0o700)
    server_places.runtime.mkdir(mode=0o700)
    old, new = StateFolder(server_places, print), StateFolder(server_places, print)
    with old, old.listen(server_places.socket):
        shutil.rmtree(server_places.state)
        server_places.state.mkdir(mode=0o700)
        new.__enter__()
        with new.listen(server_places.socket):
            old.__exit__(None, None, None)
            assert server_places.socket.exists()
            new.__exit__(None, None, None)
        old.__enter__()
    assert not server_places.socket.exists()


def test_the_socket_gets_its_name_once_it_listens(server_places: Places) -> None:
    """A bound socket refuses calls until it listens, so it is bound under another name; nothing of that one remains."""
    server_places.state.mkdir(mode=0o700)
    server_places.runtime.mkdir(mode=0o700)
    with StateFolder(server_places, print) as folder, folder.listen(server_places.socket) as listening:
        assert listening.getsockname() != str(server_places.socket)
        assert list(server_places.runtime.iterdir()) == [server_places.socket]
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(server_places.socket))


def test_a_lock_file_that_was_there_is_made_private(server_places: Places) -> None:
    """Left behind, and opened to others by some clean-up: clients would refuse to read who serves."""
    server_places.state.mkdir(mode=0o700)
    server_places.serving.write_text("left behind")
    server_places.serving.chmod(0o666)
    with Running(ServePlan(server_places)):
        found = who_serves(server_places)
        assert found is not None
        assert found.pid == os.getpid()


def test_a_lock_is_ours_once() -> None:
    """What cannot be locked at all counts as ours: on some networks' file systems a folder cannot."""
    handle = os.open("/", os.O_PATH | os.O_CLOEXEC)
    assert try_lock(handle)
    os.close(handle)


@pytest.mark.parametrize("name", ["server.db", "server.db-wal"])
@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_a_database_that_goes_away_stops_the_server(server_places: Places, name: str, how: str) -> None:
    """It says which; what would be decided from then on would be kept nowhere, or contradict the new file."""
    with pytest.raises(ServerError, match=f"the server stopped: {server_places.state / name} "):  # noqa: SIM117, PT012
        with Running(ServePlan(server_places, limits=QUICK)) as server:
            path = server_places.state / name
            path.rename(server_places.state / "old.db")
            if how == "replaced":
                path.touch(0o600)
            server.join()
    assert who_serves(server_places) is None


def test_a_database_that_may_still_be_there_stops_no_server(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the system cannot say whether it was removed, calls are refused; afterwards they are served again."""
    checks, check = [0], SqliteStore.check

    def counted(store: SqliteStore) -> None:
        checks[0] += 1
        check(store)

    monkeypatch.setattr(SqliteStore, "check", counted)
    (home / "here").mkdir()

    def lead(target: str) -> None:
        (home / "new").symlink_to(target)
        (home / "new").rename(home / "way")  # at no moment is there nothing

    lead("here")
    with Running(ServePlan(Places(home / "way" / "state", home / "run"), limits=QUICK, warn=lambda _: None)) as server:
        address = f"{server.url}/workspaces/{server.requester.workspace_id}/approvals"
        headers = {"Authorization": f"Bearer {server.requester.token}"}
        lead("way")  # in circles
        assert httpx.post(address, headers=headers, json={"action": "a"}).status_code == 503
        before = checks[0]
        until(lambda: checks[0] >= before + 2)
        lead("here")
        assert httpx.post(address, headers=headers, json={"action": "a"}).status_code == 201


def test_until_then_nothing_is_written(server_places: Places) -> None:
    """A call that comes before the server has noticed gets 503, and a yes is never given from a file that is gone."""
    with Running(ServePlan(server_places, limits=replace(Limits(), check_interval=3_600.0))) as server:
        asker = RequesterCredential(*server.requester)
        server_places.database.rename(server_places.state / "old.db")
        address = f"{server.url}/workspaces/{asker.workspace_id}/approvals"
        headers = {"Authorization": f"Bearer {asker.token}"}
        assert httpx.post(address, headers=headers, json={"action": "a"}).status_code == 503
        (server_places.state / "old.db").rename(server_places.database)
        assert httpx.post(address, headers=headers, json={"action": "a"}).status_code == 201
