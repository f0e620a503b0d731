"""docs/postgresql.md: what it tells an operator to type works."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from molecule_approve.settings.server_settings import ServerFlags, resolve_server
from tests.pages import SNIPPETS
from tests.proxies import EXAMPLES
from tests.server.postgres import Cluster, programs
from tests.server.team import Team

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def approve(postgres_cluster: Cluster) -> str:
    """The database that the page creates."""
    for statement in SNIPPETS["postgres-create"].split(";")[:-1]:
        postgres_cluster.run(statement)
    return f"postgresql://approve@127.0.0.1:{postgres_cluster.port}/approve"


def test_the_database_of_the_page_is_served_dumped_and_restored(
    postgres_cluster: Cluster, postgres_url: str, approve: str, tmp_path: Path
) -> None:
    """Its role may make the tables, and a restored dump holds the requests."""
    try:
        with Team(approve) as team:
            desk = team.desk()
            approval_id = desk.ask()
            assert desk.decide(approval_id).status_code == 200
        _run("postgres-backup", tmp_path, approve)
        _run("postgres-restore", tmp_path, postgres_url)
    finally:
        postgres_cluster.run("DROP DATABASE approve WITH (FORCE)")
        postgres_cluster.run("DROP ROLE approve")
    with Team(postgres_url) as restored:
        server = restored.start()
        with server.opened() as store, store.read() as transaction:
            found = transaction.requests.several([approval_id])
    assert [one.decided_by for one in found.values()] == ["alice"]


def _run(name: str, folder: Path, url: str) -> None:
    env = {"PATH": f"{programs()}:{os.environ['PATH']}", "DATABASE": url}
    subprocess.run(["sh", "-eu", "-c", SNIPPETS[name]], env=env, cwd=folder, check=True, timeout=60)


def test_the_settings_of_the_page_are_understood(tmp_path: Path) -> None:
    """Without a password in them."""
    path = tmp_path / "server.yaml"
    path.write_text(SNIPPETS["postgres-config"])
    found = resolve_server(ServerFlags(config=str(path)), {})
    assert found.database.value is not None
    assert found.database.value.reveal() == "postgresql://approve@db.example.org/approve?sslmode=verify-full"


def test_the_upstream_of_the_page_fits_the_example() -> None:
    """It takes the place of the one in the example, which the storms run with three servers."""
    name = SNIPPETS["postgres-upstream"].splitlines()[0]
    assert name in (EXAMPLES / "nginx.conf").read_text().splitlines()
    assert SNIPPETS["postgres-upstream"].count("    server ") == 3
