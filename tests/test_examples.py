"""The examples around the server: what they start can be started, and what they set can be set."""

from __future__ import annotations

import inspect
import json
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from molecule_approve.cli.serve import plan_of
from molecule_approve.paths import Places
from molecule_approve.server import activity
from molecule_approve.server.metrics import Numbers
from molecule_approve.server.run import Running, ServePlan
from molecule_approve.server.starting import address_to_bind
from molecule_approve.settings.server_settings import ServerFlags, resolve_server
from tests.pages import PAGES, SNIPPETS
from tests.proxies import EXAMPLES, needs_caddy
from tests.server.desk import desk_of
from tests.test_docs import complaint

SERVER_PAGE = PAGES["docs/server.md"]


@pytest.mark.parametrize("name", ["nginx.conf", "nginx-sub-path.conf", "Caddyfile", "Containerfile"])
def test_the_settings_beside_an_example_make_a_server(tmp_path: Path, name: str) -> None:
    """The lines of server.yaml in its head are understood, and enough to be reached that way."""
    head = (EXAMPLES / name).read_text(encoding="utf-8")
    [lines] = re.findall(r"server\.yaml[^\n]*:\n((?:# +[a-z_]+: [^\n]*\n)+)", head)
    config = tmp_path / "server.yaml"
    config.write_text("".join(f"{line.lstrip('# ')}\n" for line in lines.splitlines()))
    plan = plan_of(resolve_server(ServerFlags(config=str(config)), {}), Places(tmp_path, tmp_path))
    assert plan.public_url is not None
    assert plan.trusted_proxies
    assert address_to_bind(plan) == ("0.0.0.0" if name == "Containerfile" else "127.0.0.1")


def test_the_container_starts_a_command_that_there_is() -> None:
    """ENTRYPOINT and CMD together."""
    text = (EXAMPLES / "Containerfile").read_text(encoding="utf-8")
    words = [
        word for key in ("ENTRYPOINT", "CMD") for word in json.loads(re.findall(rf"^{key} (.*)$", text, re.MULTILINE)[0])
    ]
    assert words[:2] == ["molecule-approve", "serve"]
    assert complaint(words[1:]) is None


def _unit(folder: Path) -> Path:
    """The example with the program of this environment."""
    text = (EXAMPLES / "molecule-approve.service").read_text(encoding="utf-8")
    program = Path(sys.executable).with_name("molecule-approve")
    assert "/opt/molecule-approve/bin/molecule-approve" in text
    unit = folder / "molecule-approve.service"
    unit.write_text(text.replace("/opt/molecule-approve/bin/molecule-approve", str(program)))
    return unit


def test_the_unit_starts_a_command_that_there_is(tmp_path: Path) -> None:
    """With options that it knows."""
    [line] = re.findall(r"^ExecStart=(.*)$", _unit(tmp_path).read_text(), re.MULTILINE)
    assert complaint(shlex.split(line)[1:]) is None


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed on this machine")
def test_systemd_finds_no_fault_in_the_unit(tmp_path: Path) -> None:
    """Not even a warning; and it counts as well protected (2.0 of 10 at most)."""
    unit = _unit(tmp_path)
    for words in (["verify"], ["security", "--offline=true", "--threshold=20"]):
        found = subprocess.run(["systemd-analyze", *words, unit], capture_output=True, text=True, timeout=60, check=False)
        assert found.returncode == 0, found.stderr
        assert found.stderr == ""


@needs_caddy
def test_caddy_understands_its_example() -> None:
    """As it stands."""
    command = ["caddy", "validate", "--adapter", "caddyfile", "--config", str(EXAMPLES / "Caddyfile")]
    subprocess.run(command, check=True, capture_output=True, timeout=60)


def _table(heading: str) -> dict[str, str]:
    """The rows of the first table that begins with this heading: what stands in their first two cells."""
    rows = SERVER_PAGE.partition(f"| {heading} | ")[2].partition("\n\n")[0]
    return dict(re.findall(r"^\| (`[^|]+`) \| ([^|\n]*) \|$", rows, re.MULTILINE))


def test_the_page_names_every_number() -> None:
    """As Prometheus sees it; those of the process are Prometheus' own."""
    numbers = Numbers()
    for name in ("sockets", "waiting_calls", "audit_queue"):
        numbers.gauge(name, name, lambda: 0)
    named = set(re.findall(r"^# TYPE (molecule_\S+)", numbers.text()[0].decode(), re.MULTILINE))
    assert {name.strip("`") for name in _table("number")} == {name for name in named if not name.endswith("_created")}


def test_the_page_names_every_event() -> None:
    """Those that activity notes, the outcomes without a decision, and those that are no activity."""
    noted = set(re.findall(r'note\((?:EVENTS|STRANGERS), "([a-z_]+)"', inspect.getsource(activity)))
    assert len(noted) > 8
    listed = {event.strip("`") for events in _table("event") for event in events.split(", ")}
    assert listed == noted | {"warning", "notice", "log", "expired", "withdrawn"}


def test_a_backup_is_restored(home: Path) -> None:
    """Made while the server runs; a server on the copy knows the request, the approver, and its own requester."""
    places = Places(home / "old" / "molecule-approve", home / "run")
    _shell("mkdir -p old new", home, "old")
    with Running(ServePlan(places)) as server, desk_of(server) as desk:
        approval_id = desk.ask("before the backup")
        desk.decide(desk.ask("decided before"))
        _shell(SNIPPETS["backup"], home, "old")
        desk.decide(approval_id)
        token, workspace = server.requester.token, server.requester.workspace_id
        decider = str(desk.decider.headers["authorization"])
    _shell(SNIPPETS["restore"], home, "new")
    with Running(ServePlan(Places(home / "new" / "molecule-approve", home / "run"))) as server:
        assert (server.requester.token, server.requester.workspace_id) == (token, workspace)
        with closing(httpx.Client(base_url=server.url, headers={"Authorization": decider})) as client:
            path = f"/workspaces/{workspace}/approvals"
            assert {row["id"]: row["status"] for row in client.get(path).json()}[approval_id] == "pending"
            assert client.post(f"{path}/{approval_id}/decide", json={"decision": "denied"}).status_code == 200


def _shell(script: str, home: Path, state: str) -> None:
    env = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(home), "XDG_STATE_HOME": str(home / state)}
    subprocess.run(["sh", "-euc", script], cwd=home, env=env, check=True, timeout=60)
