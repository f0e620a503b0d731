"""`requests import`, and the administrator's commands with the database that server.yaml names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from molecule_approve.cli.main import main
from molecule_approve.model import Secret
from molecule_approve.paths import locate, who_serves
from molecule_approve.server import credentials
from molecule_approve.server.run import Running, ServePlan
from tests.server.desk import desk_of
from tests.server.serving import environment

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def environ(home: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A user who runs a server."""
    for name, value in (found := environment(home)).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MOLECULE_SERVER_CONFIG", str(home / "server.yaml"))
    monkeypatch.setenv("CONFIGS_DIR", str(home / "none"))
    return found


def _name_database(home: Path, url: str) -> None:
    (home / "server.yaml").write_text(f"database: {url}\n")
    (home / "server.yaml").chmod(0o600)


def test_it_says_what_it_moved(
    home: Path, environ: dict[str, str], served_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Afterwards the commands of the administrator find the new database by server.yaml."""
    _name_database(home, served_url)
    with Running(ServePlan(locate(environ))) as server, desk_of(server) as desk:
        desk.ask()
    assert main(["requests", "import"]) == 0
    told = capsys.readouterr()
    assert told.out == "1 requests, 1 approvers, 0 requesters\n"
    assert "start the server with this database" in told.err
    assert main(["approvers", "add", "bob"]) == 0
    assert main(["approvers", "list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == ["alice", "bob"]
    with credentials.opened(locate(environ), database=Secret(served_url)) as store:
        assert [name for name, *_ in credentials.approvers(store)] == ["alice", "bob"]


def test_no_command_changes_another_database_than_the_server_reads(
    home: Path,
    environ: dict[str, str],
    served_url: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server with PostgreSQL runs, and the command is not told: it would revoke a name in a forgotten SQLite file."""
    _name_database(home, served_url)
    with Running(ServePlan(locate(environ), database=Secret(served_url))):
        assert main(["approvers", "add", "alice"]) == 0
        monkeypatch.delenv("MOLECULE_SERVER_CONFIG")
        capsys.readouterr()
        assert main(["approvers", "revoke", "alice"]) == 125
        told, who = capsys.readouterr().err, who_serves(locate(environ))
        assert who is not None
        assert f"uses {who.shared}, but the settings at hand name {locate(environ).database}" in told
        assert "MOLECULE_SERVER_CONFIG=FILE" in told
        assert not locate(environ).database.exists()
        main(["doctor"])
        assert "skipped  server.approvers: not checked: they are in postgresql://" in capsys.readouterr().out


def test_settings_of_another_server_are_refused(
    home: Path, environ: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The server has its SQLite file, and the command's settings name PostgreSQL."""
    _name_database(home, "postgresql://nobody.invalid/none")
    with Running(ServePlan(locate(environ))):
        assert main(["approvers", "list"]) == 125
        assert (
            f"uses {locate(environ).database}, but the settings at hand name a PostgreSQL database"
            in capsys.readouterr().err
        )


def test_without_a_database_it_is_refused(home: Path, environ: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    """And says where it can be named."""
    (home / "server.yaml").write_text("{}\n")
    (home / "server.yaml").chmod(0o600)
    assert main(["requests", "import"]) == 2
    assert "--database is missing" in capsys.readouterr().err


@pytest.mark.measured
def test_without_its_libraries_it_says_what_to_install(
    environ: dict[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The extra, as pip wants it."""
    monkeypatch.setitem(__import__("sys").modules, "molecule_approve.server.database.address", None)
    with Running(ServePlan(locate(environ))):
        pass
    monkeypatch.delenv("MOLECULE_SERVER_CONFIG")
    assert main(["requests", "import", "--database", "postgresql://h/db"]) == 125
    assert "pip install 'molecule-approve[postgres]'" in capsys.readouterr().err
