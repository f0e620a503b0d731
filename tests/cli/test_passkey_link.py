"""`approvers keys add NAME --passkey`: a link, by which the approver enrols a passkey once."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import pytest

from molecule_approve.cli.main import main
from molecule_approve.paths import locate
from molecule_approve.server.run import Running, ServePlan
from tests.server.serving import environment

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = ["approvers", "keys", "add", "alice", "--passkey"]


@pytest.fixture(autouse=True)
def _at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment names the user's home."""
    for name, value in environment(home).items():
        monkeypatch.setenv(name, value)


def test_the_link_is_printed_alone(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Under the name to which passkeys can be bound; the server knows whom its code is for."""
    with Running(ServePlan(locate(environment(home)))) as server:
        server.add_approver("alice")
        assert main(COMMAND) == 0
        out, err = capsys.readouterr()
        address, _, code = out.strip().partition("/#enrol=")
        invited = httpx.post(f"{server.url}/desk/keys/invitation", json={"code": code}).json()
    assert address == f"http://localhost:{urlsplit(server.url).port}"
    assert err == (
        "molecule-approve: with this link alice enrols a passkey; it is shown once, and works once, within ten minutes\n"
    )
    assert invited["name"] == "alice"


def test_a_link_wants_a_server_that_runs_and_an_approver(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """125 without a server, and 2 for a name that nobody has."""
    assert main(COMMAND) == 125
    assert "hint: start one: molecule-approve serve\n" in capsys.readouterr().err
    with Running(ServePlan(locate(environment(home)))):
        assert main(COMMAND) == 2
    assert "there is no approver named alice" in capsys.readouterr().err


def test_a_link_wants_a_name_and_the_library(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """125, with what to do: a public address with a name, or the extra."""
    with Running(ServePlan(locate(environment(home)), public_url="https://192.0.2.7")) as server:
        server.add_approver("alice")
        assert main(COMMAND) == 125
    assert "no passkey can be bound to the address https://192.0.2.7, which is a number" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "webauthn", None)
    with Running(ServePlan(locate(environment(home)))):
        assert main(COMMAND) == 125
    assert "pip install 'molecule-approve[server,passkeys]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["alice"], ["alice", "--passkey", "--ssh", "x.pub"], ["--passkey"], ["alice", "--passkey", "--label", "laptop"]],
)
def test_a_link_is_for_one_approver_and_says_nothing_of_the_key(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    """The name is wanted, and one kind of key; what to call a passkey is said on the page."""
    assert main(["approvers", "keys", "add", *arguments]) == 2
    assert "hint: pass" in capsys.readouterr().err
