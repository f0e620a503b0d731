"""`approvers`: on the database itself, whether a server runs or not; a sign-in link only where one does."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from molecule_approve.cli.main import main
from molecule_approve.paths import locate
from molecule_approve.server.run import Running, ServePlan
from tests.callers import PATIENCE, ended, start
from tests.server.serving import environment

if TYPE_CHECKING:
    from tests.callers import Caller
    from tests.integration.fake_platform import FakePlatform


@pytest.fixture(autouse=True)
def _at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment names the user's home."""
    for name, value in environment(home).items():
        monkeypatch.setenv(name, value)


def test_add_prints_the_token_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """So that `TOKEN=$(molecule-approve approvers add alice)` works; a second `add` is refused."""
    assert main(["approvers", "add", "alice"]) == 0
    out, err = capsys.readouterr()
    assert len(out.strip()) == 43
    assert err.startswith("molecule-approve: this is the token of alice; it is shown once.")
    assert main(["approvers", "add", "alice"]) == 2
    assert "already" in capsys.readouterr().err


def test_list_shows_who_may_decide(capsys: pytest.CaptureFixture[str]) -> None:
    """By name, each with the time; on stderr, that there is nobody."""
    assert main(["approvers", "list"]) == 0
    out, err = capsys.readouterr()
    assert (out, "there is no approver yet" in err) == ("", True)
    for name in ("bob", "alice"):
        main(["approvers", "add", name])
    capsys.readouterr()
    assert main(["approvers", "list"]) == 0
    assert [line.partition("  since ")[0] for line in capsys.readouterr().out.splitlines()] == ["alice", "bob"]


def test_a_running_server_knows_at_once(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A token works as soon as it is printed, and no longer than until `revoke` has ended."""
    with Running(ServePlan(locate(environment(home)))) as server:
        main(["approvers", "add", "alice"])
        headers = {"Authorization": f"Bearer {capsys.readouterr().out.strip()}"}
        assert httpx.get(f"{server.url}/approvals/pending", headers=headers).status_code == 200
        assert main(["approvers", "revoke", "alice"]) == 0
        assert "alice is not an approver any more" in capsys.readouterr().err
        assert httpx.get(f"{server.url}/approvals/pending", headers=headers).status_code == 401


def test_revoke_refuses_an_unknown_name(capsys: pytest.CaptureFixture[str]) -> None:
    """With a hint where to look."""
    assert main(["approvers", "revoke", "nobody"]) == 2
    assert "approvers list" in capsys.readouterr().err


def test_a_name_is_shown_visibly_and_refused_where_it_hides(capsys: pytest.CaptureFixture[str]) -> None:
    """No name moves a cursor or hides a character."""
    assert main(["approvers", "add", "ali\u200bce\x1b[2K"]) == 2
    assert "\x1b" not in capsys.readouterr().err
    assert main(["approvers", "revoke", "\x1b[2K"]) == 2
    assert "\\x1b[2K" in capsys.readouterr().err


def test_an_approver_is_one_person_in_any_spelling(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither another letter case nor another Unicode form of a name makes a second approver."""
    assert main(["approvers", "add", "Jos\u00e9"]) == 0
    for name in ("JOS\u00c9", "Jose\u0301"):
        capsys.readouterr()
        assert main(["approvers", "add", name]) == 2
        assert "an approver named Jos\u00e9 already exists" in capsys.readouterr().err


def test_an_approver_can_be_limited_to_workspaces(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From the start or later, with the same token: elsewhere there is nothing to see and nothing to decide."""
    with Running(ServePlan(locate(environment(home)))) as server:
        main(["workspaces", "add", "web"])
        capsys.readouterr()
        assert main(["approvers", "add", "bob", "--workspace", "web"]) == 0
        headers = {"Authorization": f"Bearer {capsys.readouterr().out.strip()}"}
        mine = f"{server.url}/workspaces/{server.requester.workspace_id}/approvals"
        asked = httpx.post(mine, json={"action": "x"}, headers={"Authorization": f"Bearer {server.requester.token}"})
        path = f"{mine}/{asked.json()['approval_id']}/decide"

        def decides() -> int:
            return httpx.post(path, json={"decision": "denied"}, headers=headers).status_code

        assert decides() == 403
        assert httpx.get(f"{server.url}/desk/requests", headers=headers).json()["pending"] == []
        main(["approvers", "list"])
        assert capsys.readouterr().out.endswith("  only in web\n")
        assert main(["approvers", "limit", "bob", "--all-workspaces"]) == 0
        assert "bob may decide in all workspaces" in capsys.readouterr().err
        assert main(["approvers", "limit", "bob", "--workspace", "web", "--workspace", "local"]) == 0
        main(["approvers", "list", "--json"])
        assert json.loads(capsys.readouterr().out)[0]["workspaces"] == ["local", "web"]
        assert decides() == 200


def test_an_approver_of_removed_workspaces_decides_nowhere(capsys: pytest.CaptureFixture[str]) -> None:
    """The list says so; a limit is not lifted because its workspaces are gone."""
    main(["workspaces", "add", "web"])
    main(["approvers", "add", "bob", "--workspace", "web"])
    main(["workspaces", "remove", "web"])
    capsys.readouterr()
    assert main(["approvers", "list"]) == 0
    assert capsys.readouterr().out.endswith("  in no workspace\n")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["limit", "alice"], "limit needs either --workspace or --all-workspaces"),
        (["limit", "alice", "--workspace", "web", "--all-workspaces"], "limit needs either --workspace or --all-workspaces"),
        (["limit", "nobody", "--all-workspaces"], "there is no approver named nobody"),
        (["limit", "alice", "--workspace", "nowhere"], "there is no workspace nowhere"),
        (["add", "bob", "--workspace", "nowhere"], "there is no workspace nowhere"),
    ],
)
def test_a_limit_that_means_nothing_is_2(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody is added or changed."""
    main(["approvers", "add", "alice"])
    capsys.readouterr()
    assert main(["approvers", *arguments]) == 2
    assert sentence in capsys.readouterr().err
    main(["approvers", "list", "--json"])
    assert [(one["name"], one["workspaces"]) for one in json.loads(capsys.readouterr().out)] == [("alice", None)]


def test_link_prints_the_link_alone(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """So that `xdg-open "$(molecule-approve approvers link alice)"` works; its code signs alice in, once."""
    with Running(ServePlan(locate(environment(home)))) as server:
        server.add_approver("alice")
        assert main(["approvers", "link", "alice"]) == 0
        out, err = capsys.readouterr()
        address, _, code = out.strip().partition("/#sign-in=")
        assert address == server.url
        assert err.startswith("molecule-approve: this link signs alice in; it is shown once")
        answers = [httpx.post(f"{server.url}/desk/session", json={"code": code}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 401]
    assert answers[0].json()["name"] == "alice"


def test_link_wants_a_server_that_runs(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """125 with what to start; nothing is made for that."""
    assert main(["approvers", "link", "alice"]) == 125
    out, err = capsys.readouterr()
    assert out == ""
    assert "hint: start one: molecule-approve serve;" in err
    assert not locate(environment(home)).database.exists()


def test_link_wants_somebody_who_may_decide(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """2, and the hint says how to name one."""
    with Running(ServePlan(locate(environment(home)))):
        assert main(["approvers", "link", "ali\x1b[2Kce"]) == 2
    out, err = capsys.readouterr()
    assert (out, "approvers add" in err, "\x1b" in err) == ("", True, False)


def test_link_without_a_name_is_for_ones_own_token(home: Path, caller: Caller) -> None:
    """From anywhere: by the address that PLATFORM_URL names, or over the socket by the one that the server names."""
    server = caller.desk.server
    caller.set(MOLECULE_APPROVER_TOKEN=server.add_approver("bob"))
    other_name = server.url.replace("127.0.0.1", "localhost")
    for address, shown in ((f"{other_name}/", other_name), ("local", server.url)):
        caller.set(PLATFORM_URL=address)
        told = caller.main("approvers", "link")
        assert told.code == 0
        page, _, code = told.out.strip().partition("/#sign-in=")
        assert page == shown
        assert told.err == ("molecule-approve: this link signs bob in; it is shown once, and works once, within a minute\n")
        answer = httpx.post(f"{server.url}/desk/session", json={"code": code})
        assert (answer.status_code, answer.json()["name"]) == (201, "bob")


def test_a_link_by_token_wants_an_approvers_token(caller: Caller) -> None:
    """Without one 2, by a requester's 125; the hint names the variable."""
    told = caller.main("approvers", "link")
    assert (told.code, told.out, "MOLECULE_APPROVER_TOKEN" in told.err) == (2, "", True)
    caller.set(MOLECULE_APPROVER_TOKEN=caller.desk.server.requester.token)
    told = caller.main("approvers", "link")
    assert (told.code, told.out, "hint: check MOLECULE_APPROVER_TOKEN" in told.err) == (125, "", True)


def test_a_platform_has_no_links(caller: Caller, platform: FakePlatform) -> None:
    """125, and the sentence says whose they are."""
    caller.set(MOLECULE_APPROVER_TOKEN=platform.admin)
    told = caller.main("approvers", "link")
    assert (told.code, told.out) == (125, "")
    assert "has no sign-in links" in told.err


def test_a_link_for_a_name_contacts_nobody(caller: Caller) -> None:
    """So an address beside the name makes no sense: 2."""
    told = caller.main("approvers", "link", "alice", "--platform-url", "https://approve.example.org")
    assert (told.code, told.out, "omit NAME" in told.err) == (2, "", True)


def test_an_approver_whose_token_could_not_be_told_is_not_there(home: Path) -> None:
    """125 on a full device, and the name is free."""
    with Path("/dev/full").open("w") as full:
        assert start(("approvers", "add", "alice"), env=environment(home), stdout=full).wait(PATIENCE) == 125
    with start(("approvers", "list"), env=environment(home), stdout=subprocess.PIPE, text=True) as process:
        assert "alice" not in ended(process).out


def test_a_link_that_could_not_be_told_leaves_no_code(home: Path) -> None:
    """125 on a full device, and nothing is kept that would sign anybody in."""
    places = locate(environment(home))
    with Running(ServePlan(places)) as server:
        server.add_approver("alice")
        command = ("approvers", "link", "alice")
        with Path("/dev/full").open("w") as full:
            assert start(command, env=environment(home), stdout=full).wait(PATIENCE) == 125
        with closing(sqlite3.connect(places.database)) as database:
            assert database.execute("SELECT count(*) FROM sign_in_codes").fetchone() == (0,)
        assert start(command, env=environment(home), stdout=subprocess.DEVNULL).wait(PATIENCE) == 0
        with closing(sqlite3.connect(places.database)) as database:
            assert database.execute("SELECT count(*) FROM sign_in_codes").fetchone() == (1,)
