"""`workspaces`: added, listed and removed on the database itself, whether a server runs or not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import httpx
import pytest

from molecule_approve.cli.main import main
from molecule_approve.paths import locate
from molecule_approve.server.run import Running, ServePlan
from tests.server.serving import environment

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment names the user's home."""
    for name, value in environment(home).items():
        monkeypatch.setenv(name, value)


def test_add_prints_the_id_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """By the name or by that id it is found; a second one of the name, in any spelling, is refused."""
    assert main(["workspaces", "add", "pay ments"]) == 0
    out, err = capsys.readouterr()
    assert "let somebody ask there: molecule-approve requesters add NAME --workspace 'pay ments'" in err
    assert main(["workspaces", "add", "Pay Ments"]) == 2
    assert "a workspace named pay ments already exists" in capsys.readouterr().err
    assert main(["requesters", "add", "bot", "--workspace", out.strip()]) == 0


def test_a_workspace_cannot_be_named_like_an_id(capsys: pytest.CaptureFixture[str]) -> None:
    """Otherwise one could stand for another."""
    assert main(["workspaces", "add", "8ce76d62-102b-4cac-8132-159416f40175"]) == 2
    assert "the workspace's name is an id" in capsys.readouterr().err


def test_list_counts_who_may_ask_and_what_is_open(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As lines and as JSON; without any, that there is none."""
    assert main(["workspaces", "list"]) == 0
    assert "there is no workspace yet" in capsys.readouterr().err
    with Running(ServePlan(locate(environment(home)))) as server:
        main(["workspaces", "add", "web"])
        where = f"{server.url}/workspaces/{server.requester.workspace_id}/approvals"
        headers = {"Authorization": f"Bearer {server.requester.token}"}
        httpx.post(where, json={"action": "deploy"}, headers=headers)
        capsys.readouterr()
        assert main(["workspaces", "list"]) == 0
        local, web = capsys.readouterr().out.splitlines()
        assert local == f"local  {server.requester.workspace_id}  1 requester, 1 open request"
        assert web.endswith("  0 requesters, 0 open requests")
        assert main(["workspaces", "list", "--json"]) == 0
        first, second = json.loads(capsys.readouterr().out)
    assert first.keys() == {"name", "id", "created_at", "requesters", "open_requests"}
    assert (first["name"], len(first["requesters"]), first["open_requests"]) == ("local", 1, 1)
    assert (second["name"], second["requesters"], second["open_requests"]) == ("web", [], 0)


def test_remove_is_refused_as_long_as_somebody_asks_there(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It names who asks, then what is open; once it is empty, nobody asks or decides there, and its requests are kept."""
    with Running(ServePlan(locate(environment(home)))) as server:
        main(["workspaces", "add", "web"])
        workspace_id = capsys.readouterr().out.strip()
        main(["requesters", "add", "bot", "--workspace", "web"])
        bot = {"Authorization": f"Bearer {capsys.readouterr().out.strip()}"}
        alice = {"Authorization": f"Bearer {server.add_approver('alice')}"}
        where = f"{server.url}/workspaces/{workspace_id}/approvals"
        asked = httpx.post(where, json={"action": "deploy"}, headers=bot).json()["approval_id"]
        assert main(["workspaces", "remove", "web"]) == 2
        assert "the workspace web has requesters: bot" in (err := capsys.readouterr().err)
        assert "requesters revoke bot --workspace web" in err
        main(["requesters", "revoke", "bot"])
        assert main(["workspaces", "remove", "web"]) == 2
        assert "the workspace web has open requests: 1" in capsys.readouterr().err
        denied = httpx.post(f"{where}/{asked}/decide", json={"decision": "denied"}, headers=alice)
        assert denied.status_code == 200
        assert main(["workspaces", "remove", "web"]) == 0
        assert "the workspace web is removed" in capsys.readouterr().err
        assert httpx.post(where, json={"action": "deploy"}, headers=alice).status_code == 404
        assert httpx.post(f"{where}/{asked}/decide", json={"decision": "denied"}, headers=alice).status_code == 404
        history = httpx.get(f"{server.url}/desk/requests", headers=alice).json()["decided"]
        assert [(row["id"], row["workspace_name"]) for row in history] == [(asked, "web")]
        assert main(["workspaces", "remove", "web"]) == 2
        assert "there is no workspace web" in capsys.readouterr().err
        assert main(["workspaces", "add", "web"]) == 0


def test_the_servers_own_workspace_stays(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The server's user asks there."""
    with Running(ServePlan(locate(environment(home)))):
        assert main(["workspaces", "remove", "local"]) == 2
        assert "the workspace local is this server's own" in capsys.readouterr().err
