"""`serve` as a user meets it: what it says where, what it refuses, how it ends."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from molecule_approve.cli.main import main
from molecule_approve.places import locate, who_serves
from tests.server.serving import PROGRAM, environment, serving

PATIENCE = 20.0


def _main(argv: list[str], home: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    for name, value in environment(home).items():
        monkeypatch.setenv(name, value)
    return main(argv)


def test_one_line_on_stdout_says_the_address(home: Path) -> None:
    """Ready to be asked when the line comes; without a terminal stderr says how to name an approver."""
    with serving(home) as (process, url):
        assert httpx.get(f"{url}/health").json()["status"] == "ok"
        found = who_serves(locate(environment(home)))
        assert found is not None
        assert (found.pid, found.url) == (process.pid, url)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (0, "")
    assert err == "molecule-approve: nobody may decide yet: molecule-approve approvers add NAME\n"


def test_a_second_one_says_who_runs_already(home: Path) -> None:
    """125, with the process and the address."""
    with serving(home) as (process, url):
        again = subprocess.run(
            [*PROGRAM, "serve", "--port", "0"],
            env=environment(home),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    assert (again.returncode, again.stdout) == (125, "")
    assert f"a server runs here already: process {process.pid} at {url}" in again.stderr


def test_the_leave_for_callers_without_a_token_is_said_at_every_start(home: Path) -> None:
    """On stderr, also at the second start."""
    for _ in range(2):
        with serving(home, "--anonymous-requests") as (process, url):
            assert httpx.get(f"{url}/health").json()["anonymous_requests"] is True
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=PATIENCE)
        assert "clients without a token may ask" in err


def test_a_signal_that_was_ignored_at_the_start_stays_ignored(home: Path) -> None:
    """A background job does not end with the Ctrl-C that was meant for another."""
    with serving(home, through=("sh", "-c", 'trap "" INT; exec "$@"', "sh")) as (process, url):
        process.send_signal(signal.SIGINT)
        assert httpx.get(f"{url}/health").status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0


@pytest.mark.parametrize("options", [["--host", "0.0.0.0"], ["--port", "65536"], ["--port", "x"], ["--what"]])
def test_a_wrong_option_is_a_usage_error(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    """2, with a hint, and nothing is served, also with `--anonymous-requests`."""
    assert _main(["serve", "--anonymous-requests", *options], home, monkeypatch) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "hint:" in err


def test_without_its_libraries_it_says_what_to_install(home: Path, tmp_path: Path) -> None:
    """125, and the hint names the extra; so do the approvers' commands."""
    blocked = tmp_path / "blocked"
    for name in ("uvicorn", "sqlalchemy"):
        (blocked / name).mkdir(parents=True)
        (blocked / name / "__init__.py").write_text("raise ImportError")
    path = f"{blocked}{os.pathsep}{Path.cwd()}"
    for command in (["serve"], ["approvers", "list"], ["approvers", "add", "a"], ["approvers", "revoke", "a"]):
        found = subprocess.run(
            [*PROGRAM, *command],
            env={**environment(home), "PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert (found.returncode, found.stdout) == (125, "")
        assert "molecule-approve[server]" in found.stderr


def test_a_first_start_at_a_terminal_makes_an_approver(home: Path) -> None:
    """Named after the user; the token is shown once, on stderr, and can decide."""
    first = _at_a_terminal(home, {})
    assert "You may decide, as tester, with this token; it is shown once:" in first
    lines = [line.strip() for line in first.splitlines()]
    token = lines[lines.index("You may decide, as tester, with this token; it is shown once:") + 1]
    with serving(home) as (_, url):
        answer = httpx.get(f"{url}/approvals/pending", headers={"Authorization": f"Bearer {token}"})
        assert (answer.status_code, answer.json()) == (200, [])
    assert "token" not in _at_a_terminal(home, {})


@pytest.mark.parametrize("changed", [{"CI": "true"}, {"LOGNAME": "auto-expired", "USER": "auto-expired"}])
def test_in_ci_or_without_a_usable_name_no_approver_is_made(home: Path, changed: dict[str, str]) -> None:
    """A token in a job's log would be everybody's; a reserved name would be nobody's."""
    said = _at_a_terminal(home, changed)
    assert "nobody may decide yet" in said
    assert "shown once" not in said


def _at_a_terminal(home: Path, changed: dict[str, str]) -> str:
    """What a server says at a terminal, from its start to the line on stdout."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [*PROGRAM, "serve", "--port", "0"],
        env={**environment(home), **changed},
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
    )
    os.close(follower)
    said, until = b"", time.monotonic() + PATIENCE
    try:
        while b"http://127.0.0.1" not in said or not said.endswith(b"\n"):
            ready, _, _ = select.select([leader], [], [], max(0, until - time.monotonic()))
            assert ready, said
            said += os.read(leader, 4_096)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()
        os.close(leader)
    return said.decode()


def test_main_serves_until_a_signal(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """In this very process: 0, and the complaints of a running server come on stderr, made visible."""
    places = locate(environment(home))
    script = (
        "import os, sys, time\n"
        "from pathlib import Path\n"
        f"lock = Path({str(places.serving)!r})\n"
        "until = time.monotonic() + 20\n"
        "while time.monotonic() < until and not (lock.exists() and lock.read_text().endswith('}')): pass\n"
        f"lock.exists() and lock.read_text().endswith('}}') and os.kill({os.getpid()}, 15)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script]) as killer:
        places.state.mkdir(mode=0o700, parents=True)
        assert _main(["serve", "--port", "0"], home, monkeypatch) == 0
        killer.wait(PATIENCE)
    out, err = capsys.readouterr()
    assert out.startswith("http://127.0.0.1:")
    assert "nobody may decide yet" in err


def test_a_reader_of_stdout_that_has_gone_ends_the_start(home: Path) -> None:
    """Whoever waited for the address will never know it: 125, and nothing runs on."""
    read, write = os.pipe()
    os.close(read)
    found = subprocess.run(
        [*PROGRAM, "serve", "--port", "0"],
        env=environment(home),
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    os.close(write)
    assert found.returncode == 125
    assert who_serves(locate(environment(home))) is None


def test_a_journal_that_fails_is_told_while_it_serves(home: Path) -> None:
    """One sentence on stderr; the server goes on."""
    places = locate(environment(home))
    with serving(home) as (process, url):
        token = subprocess.run(
            [*PROGRAM, "approvers", "add", "alice"], env=environment(home), capture_output=True, text=True, check=True
        ).stdout.strip()
        requester = json.loads(places.requester.read_text())
        places.server_log.mkdir()
        path = f"{url}/workspaces/{requester['workspace_id']}/approvals"
        asked = httpx.post(path, headers={"Authorization": f"Bearer {requester['token']}"}, json={"action": "a"}).json()
        body = {"decision": "approved"}
        decided = httpx.post(
            f"{path}/{asked['approval_id']}/decide", headers={"Authorization": f"Bearer {token}"}, json=body
        )
        assert decided.status_code == 200
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert "decisions cannot be journaled just now" in err
