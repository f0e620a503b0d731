"""What is said of this user's embedded server: whether it runs, who may decide, and whether the requester could."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from molecule_approve.doctor import server as server_module
from molecule_approve.doctor.checks import Finding, Grade, Setup
from molecule_approve.doctor.server import checks
from molecule_approve.settings.resolve import Settings, resolve
from tests.doctor.conftest import Around, found_by

if TYPE_CHECKING:
    import pytest

    from molecule_approve.server.run import Running

OK, WARNING, FAILED, SKIPPED = Grade.OK, Grade.WARNING, Grade.FAILED, Grade.SKIPPED


def settings_of(around: Setup) -> Settings:
    """The settings in these surroundings."""
    return resolve(around.flags, around.environ, around.places, at_terminal=False)


def look(around: Setup) -> dict[str, Finding]:
    """What is said of the server."""
    return found_by(checks(around, settings_of(around)))


def grades(found: dict[str, Finding]) -> dict[str, Grade]:
    """The grades alone."""
    return {name.removeprefix("server."): finding.result for name, finding in found.items()}


def test_without_a_server_nothing_is_amiss(around: Around) -> None:
    """Where another platform is named."""
    found = look(around(PLATFORM_URL="https://platform.example"))
    assert grades(found) == {
        "running": SKIPPED,
        "database": OK,
        "approvers": SKIPPED,
        "approver_token": OK,
        "separation": SKIPPED,
    }


def test_a_database_that_is_not_looked_at_is_said(around: Around, tmp_path: Path) -> None:
    """With the line of server.yaml that names it, and what reads it; a file that cannot be used is a warning."""
    path = tmp_path / "server.yaml"
    path.write_text("port: 0\ndatabase: postgresql://approve@db.example.org/approve\n")
    path.chmod(0o600)
    named = around(PLATFORM_URL="https://platform.example", MOLECULE_SERVER_CONFIG=str(path))
    found = look(named)["server.database"]
    assert (found.result, f"{path}, line 2: database" in found.detail) == (SKIPPED, True)
    assert "molecule-approve approvers list" in found.advice
    path.write_text("prot: 0\n")
    found = look(named)["server.database"]
    assert (found.result, f"{path}, line 1: prot: unknown key" in found.detail) == (WARNING, True)


def test_the_server_that_is_needed_does_not_run(around: Around) -> None:
    """The advice starts it."""
    found = look(around(PLATFORM_URL="local"))
    assert (found["server.running"].result, found["server.running"].advice) == (FAILED, "start it: molecule-approve serve")


def test_a_server_is_told_with_its_socket_and_its_approvers(around: Around, live_server: Running) -> None:
    """Without an approver a request would wait for nobody: that fails only where this server is asked."""
    local, other = around(PLATFORM_URL="local"), around(PLATFORM_URL="https://platform.example")
    assert grades(look(local))["approvers"] is FAILED
    assert grades(look(other))["approvers"] is WARNING
    live_server.add_approver("alice")
    live_server.add_approver("bob")
    found = look(local)
    assert found["server.running"].result is OK
    assert found["server.running"].detail == (
        f"process {os.getpid()} serves at {live_server.url} and at the socket {live_server.places.socket}"
    )
    assert (found["server.approvers"].result, found["server.approvers"].detail) == (OK, "may decide: alice, bob")


# --- would an approval prove anything? ---------------------------------------------------------------------------------


def test_an_approvers_token_where_requests_are_made_is_a_warning(around: Around) -> None:
    """It is not shown."""
    found = look(around(PLATFORM_URL="https://platform.example", MOLECULE_APPROVER_TOKEN="s3cr3t"))
    assert found["server.approver_token"].result is WARNING
    assert "s3cr3t" not in str(found)


def test_a_server_of_the_requesters_own_user_is_a_warning(around: Around, live_server: Running) -> None:
    """Over its socket or by its address; on another port it is not this one."""
    for url in ("local", live_server.url, live_server.url.replace("127.0.0.1", "localhost")):
        found = look(around(PLATFORM_URL=url))
        assert found["server.separation"].result is WARNING
        assert f"can read and write its database {live_server.places.database}" in found["server.separation"].detail
        assert "as another user" in found["server.separation"].advice
    assert "runs as this user" not in look(around(PLATFORM_URL="http://127.0.0.1"))["server.separation"].detail


def test_a_database_that_cannot_be_opened_can_still_be_replaced(around: Around) -> None:
    """The server has not made it yet."""
    assert "who can replace its database" in look(around(PLATFORM_URL="local"))["server.separation"].detail


def test_on_the_servers_machine_root_is_not_apart(around: Around, monkeypatch: pytest.MonkeyPatch) -> None:
    """It can read everything."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    found = look(around(PLATFORM_URL="http://127.0.0.1:9"))["server.separation"]
    assert (found.result, "this process is root" in found.detail) == (WARNING, True)


def test_a_process_of_this_user_at_the_address_is_a_warning(
    around: Around, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be a server with another state folder. That of another user is apart; without a row nothing is claimed."""
    head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
    rows = ["0: 0100007F:1F90 0100007F:0016 01 0:0 00:0 0", "1: 0100007F:1F90 00000000:0000 0A 0:0 00:0 0"]
    table = tmp_path / "tcp"
    monkeypatch.setattr(server_module, "TABLES", (tmp_path / "missing", table))
    monkeypatch.setattr(os, "geteuid", lambda: 4_242_424)

    def separation(*uids: int) -> Finding:
        table.write_text("\n".join([head, *(f"{row} {uid} 0 1" for row, uid in zip(rows, uids, strict=False))]))
        return look(around(PLATFORM_URL="http://127.0.0.1:8080"))["server.separation"]

    mine, other, unknown = separation(7, 4_242_424), separation(4_242_424, 4_242_425), separation(7)
    assert (mine.result, "unless it is a tunnel" in mine.detail) == (WARNING, True)
    assert (other.result, other.detail) == (OK, "the server on this machine runs as user 4242425, not as this user")
    assert unknown.result is SKIPPED


def names_of_this_machine() -> Iterator[str]:
    """Its host name, and the address that it has in its network; whichever it has."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("192.0.2.1", 9))  # sends nothing
        yield sock.getsockname()[0]
    with contextlib.suppress(OSError):
        socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)
        yield socket.gethostname()


def test_another_name_of_this_machine_is_found_out(around: Around) -> None:
    """The server there runs as this user, whatever it is called."""
    names = list(names_of_this_machine())
    assert names
    with socket.create_server(("", 0)) as listening:
        port = listening.getsockname()[1]
        for name in names:
            found = look(around(PLATFORM_URL=f"http://{name}:{port}", APPROVAL_ALLOW_HTTP="true"))
            assert (name, found["server.separation"].result) == (name, WARNING)


def test_an_address_that_is_not_reached_proves_nothing(around: Around) -> None:
    """It may be a name of this machine; behind a proxy it is the proxy's to reach, and none of this machine."""
    reached = {"PLATFORM_URL": "http://platform.invalid", "APPROVAL_ALLOW_HTTP": "true"}
    assert look(around(**reached))["server.separation"].result is SKIPPED
    proxied = {"PLATFORM_URL": "https://platform.invalid", "https_proxy": "http://127.0.0.1:9"}
    assert look(around(**proxied))["server.separation"].result is OK


def test_the_system_says_who_listens() -> None:
    """This user, at a port of this test."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        assert server_module.listener_uid(listening.getsockname()[1]) == os.geteuid()


def test_without_settings_it_is_not_known_who_is_asked(around: Around) -> None:
    """What is known without them is told."""
    found = found_by(checks(around(), None))
    names = ("running", "database", "approvers", "approver_token", "separation")
    assert grades(found) == dict(zip(names, (SKIPPED, OK, SKIPPED, OK, SKIPPED), strict=True))
