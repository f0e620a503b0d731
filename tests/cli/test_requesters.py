"""`requesters`: a token for each that asks, on the database itself, whether a server runs or not."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
from typing import TYPE_CHECKING

import httpx
import pytest

from molecule_approve.cli.main import main
from molecule_approve.paths import locate
from molecule_approve.server.run import Running, ServePlan
from tests.callers import PATIENCE, start
from tests.forks import PROGRAM
from tests.pages import SNIPPETS
from tests.server.serving import environment
from tests.server.team import Team

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment names the user's home."""
    for name, value in environment(home).items():
        monkeypatch.setenv(name, value)


def test_add_prints_the_token_alone_and_the_settings_beside_it(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """So that `TOKEN=$(molecule-approve requesters add bot)` works, and nobody has to look for the rest."""
    with Running(ServePlan(locate(environment(home)))) as server:
        assert main(["requesters", "add", "bot"]) == 0
        out, err = capsys.readouterr()
        assert len(out.strip()) == 43
        assert err.splitlines() == [
            "molecule-approve: this is the token of bot; it is shown once. Its client needs three settings:",
            f"  PLATFORM_URL={server.url}",
            f"  WORKSPACE_ID={server.requester.workspace_id}",
            "  MOLECULE_TOKEN=TOKEN",
        ]
        where = f"{server.url}/workspaces/{server.requester.workspace_id}/approvals"
        headers = {"Authorization": f"Bearer {out.strip()}"}
        assert httpx.post(where, json={"action": "deploy"}, headers=headers).status_code == 201
        assert main(["requesters", "revoke", "bot"]) == 0
        assert "bot is not a requester in local any more; its open requests stay" in capsys.readouterr().err
        assert httpx.post(where, json={"action": "deploy"}, headers=headers).status_code == 401


def test_before_the_first_server_the_workspace_is_the_one_that_it_will_have(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The token, made for an address that is not known yet, works as soon as a server runs."""
    assert main(["requesters", "add", "bot"]) == 0
    out, err = capsys.readouterr()
    assert "  PLATFORM_URL=https://SERVER\n" in err
    assert main(["requesters", "add", "ci"]) == 0
    with Running(ServePlan(locate(environment(home)))) as server:
        assert f"  WORKSPACE_ID={server.requester.workspace_id}\n" in err
        where = f"{server.url}/workspaces/{server.requester.workspace_id}/approvals"
        assert httpx.get(where, headers={"Authorization": f"Bearer {out.strip()}"}).status_code == 200


def test_a_server_that_does_not_run_is_named_by_its_settings(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The public address of server.yaml is where the client will find it."""
    path = home / "server.yaml"
    path.write_text("public_url: https://approve.example.org\n")
    path.chmod(0o600)
    monkeypatch.setenv("MOLECULE_SERVER_CONFIG", str(path))
    assert main(["requesters", "add", "bot"]) == 0
    assert "  PLATFORM_URL=https://approve.example.org\n" in capsys.readouterr().err


def test_the_example_of_the_page_works(home: Path) -> None:
    """As it is written, with the program on the PATH; at its end nobody asks there any more."""
    (home / "bin").mkdir()
    program = home / "bin" / "molecule-approve"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(PROGRAM)} "$@"\n')
    program.chmod(0o755)
    env = {**environment(home), "PATH": f"{home / 'bin'}:{os.environ['PATH']}"}
    script = f"set -e\n{SNIPPETS['requesters']}printf 'token: %s\\n' \"$TOKEN\"\n"
    found = subprocess.run(["sh", "-c", script], env=env, capture_output=True, text=True, timeout=60, check=True)
    lines = found.stdout.splitlines()
    assert [line.partition("  since ")[0] for line in lines[1:2]] == ["deploy-bot  in payments"]
    assert re.fullmatch(r"token: [\w-]{43}", lines[2])
    assert "deploy-bot is not a requester in payments any more" in found.stderr


@pytest.mark.usefixtures("home")
def test_list_says_who_may_ask_where(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By workspace and name, as lines or JSON, of all or of one workspace; the server's own is marked."""
    assert main(["requesters", "list"]) == 0
    assert capsys.readouterr().err == "molecule-approve: there is no requester yet: molecule-approve requesters add NAME\n"
    with Running(ServePlan(locate(environment(home)))):
        main(["workspaces", "add", "payments"])
        for name in ("web", "ci"):
            main(["requesters", "add", name, "--workspace", "payments"])
    capsys.readouterr()
    assert main(["requesters", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition("  since ")[0] for line in lines[1:]] == ["ci  in payments", "web  in payments"]
    assert "  in local  since " in lines[0]
    assert lines[0].endswith("  (this server's own)")
    assert main(["requesters", "list", "--workspace", "Payments", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(one["name"], one["workspace_name"], one["built_in"]) for one in found] == [
        ("ci", "payments", False),
        ("web", "payments", False),
    ]
    assert found[0].keys() == {"name", "workspace_id", "workspace_name", "created_at", "built_in", "server"}


def test_a_requester_named_like_an_approver_is_said_to_be_one_person(capsys: pytest.CaptureFixture[str]) -> None:
    """In any letter case."""
    main(["approvers", "add", "alice"])
    assert main(["requesters", "add", "Alice"]) == 0
    assert "Alice is also an approver: that counts as one person" in capsys.readouterr().err


def test_the_servers_settings_are_named_as_for_serve(
    home: Path, served_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """By a file or its folder: what is added is in that server's database, and not in this user's own."""
    path = home / "server.yaml"
    path.write_text(f"database: {served_url}\npublic_url: https://approve.example.org\n")
    path.chmod(0o600)
    config = ["--config", str(path)]
    for argv in (["workspaces", "add", "web"], ["approvers", "add", "alice"], ["requesters", "add", "bot"]):
        assert main([*argv, *config]) == 0
    assert "  PLATFORM_URL=https://approve.example.org\n" in capsys.readouterr().err
    for family, name in (("workspaces", "web"), ("approvers", "alice"), ("requesters", "bot")):
        assert main([family, "list", "--config", str(home)]) == 0
        assert name in capsys.readouterr().out
        assert main([family, "list"]) == 0
        assert name not in capsys.readouterr().out
    assert main(["approvers", "limit", "alice", "--workspace", "web", *config]) == 0
    assert main(["approvers", "revoke", "alice", *config]) == 0
    assert main(["requesters", "revoke", "bot", *config]) == 0
    assert main(["workspaces", "remove", "web", *config]) == 0
    assert main(["approvers", "link", *config]) == 2
    assert "--config is for a link by NAME" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence", "hint"),
    [
        (["add", ""], "the requester's name has 0 characters", "visible characters"),
        (["add", "a\u202eb"], "the requester's name has hidden characters", "visible characters"),
        (["add", "Anonymous"], "the name Anonymous is reserved; it marks requests that came without a token", "another one"),
        (["add", "BOT"], "the workspace local already has a requester named bot", "requesters revoke bot --workspace local"),
        (["add", "x", "--workspace", "nowhere"], "there is no workspace nowhere", "workspaces list"),
        (["list", "--workspace", "nowhere"], "there is no workspace nowhere", "workspaces list"),
        (["revoke", "nobody"], "there is no requester named nobody", "requesters list"),
        (["revoke", "bot"], "several workspaces have a requester named bot: local, payments", "--workspace"),
    ],
)
def test_what_cannot_be_done_is_2(
    arguments: list[str], sentence: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what to do next; nothing is changed."""
    main(["requesters", "add", "bot"])
    main(["workspaces", "add", "payments"])
    main(["requesters", "add", "bot", "--workspace", "payments"])
    capsys.readouterr()
    assert main(["requesters", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert sentence in err
    assert hint in err.partition("hint: ")[2]


def test_the_servers_own_requester_is_not_revoked_by_name(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its token is in a file, and the hint says what to do with that."""
    with Running(ServePlan(locate(environment(home)))):
        main(["requesters", "list", "--json"])
        [own] = json.loads(capsys.readouterr().out)
        assert main(["requesters", "revoke", own["name"]]) == 2
        assert "is this server's own requester" in capsys.readouterr().err


def test_a_requester_whose_token_could_not_be_told_is_not_there(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """125 on a full device, and the name is free."""
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        assert start(("requesters", "add", "bot"), env=environment(home), stdout=full).wait(PATIENCE) == 125
    assert main(["requesters", "list"]) == 0
    assert capsys.readouterr().out == ""


def test_of_several_servers_each_ones_own_requester_is_told_apart(
    home: Path, served_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By its machine; that of a server that has ended and is forgotten is called so."""
    path = home / "server.yaml"
    path.write_text(f"database: {served_url}\n")
    path.chmod(0o600)
    monkeypatch.setenv("MOLECULE_SERVER_CONFIG", str(path))
    with Team(served_url) as team:
        team.start()
        with Running(team.plan()) as gone:
            forgotten = gone.places.replica.read_text().strip()
        with gone.opened() as store, store.write() as transaction:
            transaction.replicas.forget(forgotten)
        assert main(["requesters", "list"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert sorted(line.rpartition("  ")[2] for line in lines) == [
            "(own of a server that has ended)",
            f"(own of the server on {socket.gethostname()})",
        ]
