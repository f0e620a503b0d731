"""`approve`, `deny` and `review` with `--sign`: the real ssh-keygen, a real terminal, a real server; and one that lies."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from molecule_approve.server import enrolment
from tests.integration.raw_http import PLAIN
from tests.proofs.signing import SoftwareHardwareKey, generated

if TYPE_CHECKING:
    from tests.callers import Caller
    from tests.integration.fake_platform import FakePlatform


@pytest.fixture
def key(seated: Caller, tmp_path: Path) -> Path:
    """A private key of ssh-keygen that is alice's."""
    path = generated(tmp_path, "ed25519")
    enrol(seated, path)
    return path


def enrol(caller: Caller, path: Path, name: str = "alice") -> None:
    """Enrol the key's public half."""
    with caller.desk.server.opened() as store:
        enrolment.enrol_ssh(store, name, path.with_name(f"{path.name}.pub").read_text(), None)


def with_passphrase(tmp_path: Path) -> Path:
    """A key whose passphrase is `open sesame`."""
    path = tmp_path / "locked"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "open sesame", "-C", "locked", "-f", path], check=True)
    return path


@pytest.mark.parametrize(("command", "status"), [("approve", "approved"), ("deny", "denied")])
def test_a_decision_is_signed(seated: Caller, key: Path, command: str, status: str) -> None:
    """The server has the proof; what is signed, as whom and with what, is said before."""
    asked = seated.desk.ask("drop it", reason="because", context={"ticket": "OPS-12", "n": 1.5})
    told = seated.main(command, "--yes", "--sign", str(key), asked)
    assert (told.code, told.out) == (0, f"{status} {asked}\n")
    assert f"signing as alice, with {key}" in told.err
    assert seated.desk.one(asked)["decisions"][0]["proof"] == "ssh"


def test_a_run_is_signed_with_its_digest(seated: Caller, key: Path, running: str) -> None:
    """The statement has the hash over all that is bound."""
    assert seated.main("deny", "--yes", "--sign", str(key), running).code == 0
    [(statement,)] = seated.desk.select("SELECT statement FROM decisions")
    said = json.loads(statement)
    assert said["action"].endswith(f"digest: sha256:{said['run_sha256']}")


def test_the_passphrase_is_asked_for_at_the_terminal(seated: Caller, tmp_path: Path) -> None:
    """After the request was shown and confirmed; a wrong one leaves it open, with 125."""
    path = with_passphrase(tmp_path)
    enrol(seated, path)
    asked = seated.desk.ask()
    with seated.terminal("approve", "--sign", str(path), asked) as terminal:
        terminal.until("[y/N]: ")
        terminal.type("y\r")
        terminal.until("Enter passphrase")
        terminal.type("wrong\r")
        assert terminal.end() == 125
        assert "ssh-keygen did not sign with" in terminal.seen
    assert seated.desk.one(asked)["status"] == "pending"
    with seated.terminal("approve", "--sign", str(path), asked) as terminal:
        terminal.until("[y/N]: ")
        terminal.type("y\r")
        terminal.until("Enter passphrase")
        terminal.type("open sesame\r")
        assert terminal.end() == 0
    assert seated.desk.one(asked)["status"] == "approved"


@pytest.mark.parametrize("how", ["typed", "sent"])
def test_ctrl_c_at_the_passphrase_decides_nothing(seated: Caller, tmp_path: Path, how: str) -> None:
    """130, and the terminal echoes again; the same for a signal to this process alone."""
    path = with_passphrase(tmp_path)
    enrol(seated, path)
    asked = seated.desk.ask()
    with seated.terminal("approve", "--sign", str(path), asked) as terminal:
        terminal.until("[y/N]: ")
        terminal.type("y\r")
        terminal.until("Enter passphrase")
        if how == "typed":
            terminal.type("\x03")
        else:
            os.kill(terminal.process.pid, signal.SIGINT)
        assert terminal.end() == 130
        assert terminal.echoes
    assert seated.desk.one(asked)["status"] == "pending"


@pytest.mark.measured
@pytest.mark.parametrize("heeds", [True, False])
def test_a_signal_while_ssh_keygen_starts_ends_both(seated: Caller, key: Path, tmp_path: Path, heeds: bool) -> None:
    """130, and no ssh-keygen stays behind at the terminal, even one that heeds no SIGTERM; nothing is decided."""
    program = tmp_path / "ssh-keygen"
    trap = "" if heeds else "trap '' TERM\n"
    program.write_text(f"#!/bin/sh\n{trap}echo $$ > {tmp_path}/pid\nkill -INT $PPID\nexec /bin/sleep 60\n")
    program.chmod(0o755)
    seated.set(PATH=f"{tmp_path}:{os.environ['PATH']}")
    asked = seated.desk.ask()
    assert seated.run("approve", "--yes", "--sign", str(key), asked).code == 130
    assert not Path("/proc", (tmp_path / "pid").read_text().strip()).exists()
    assert seated.desk.one(asked)["status"] == "pending"


def test_an_ssh_keygen_that_cannot_be_run_is_125(seated: Caller, key: Path, tmp_path: Path) -> None:
    """Nothing is decided."""
    (tmp_path / "ssh-keygen").write_bytes(b"\x7fELF")
    (tmp_path / "ssh-keygen").chmod(0o755)
    seated.set(PATH=f"{tmp_path}:{os.environ['PATH']}")
    told = seated.main("approve", "--yes", "--sign", str(key), seated.desk.ask())
    assert (told.code, f"cannot run {tmp_path}/ssh-keygen: Exec format error" in told.err) == (125, True)


@contextlib.contextmanager
def agent(*keys: Path) -> Iterator[str]:
    """An ssh-agent with these keys: the address of its socket."""
    folder = keys[0].parent / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(folder)], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        environ = {**os.environ, "SSH_AUTH_SOCK": str(folder)}
        subprocess.run(["ssh-add", "-q", *keys], env=environ, check=True)
        yield str(folder)
    finally:
        process.terminate()
        process.communicate()


def test_a_key_in_the_agent_is_named_by_its_pub_file(seated: Caller, key: Path) -> None:
    """Without the private key's file; an agent that does not have it is no help."""
    public = key.with_name(f"{key.name}.pub")
    with agent(key) as socket:
        key.unlink()
        seated.set(SSH_AUTH_SOCK=socket)
        asked = seated.desk.ask()
        assert seated.main("approve", "--yes", "--sign", str(public), asked).code == 0
    told = seated.main("approve", "--yes", "--sign", str(public), seated.desk.ask())
    assert told.code == 125
    assert "a key in ssh-agent is named by its .pub file" in told.err


def test_a_key_that_is_not_there_is_2(seated: Caller, tmp_path: Path) -> None:
    """Before anything is asked or sent; the same without an ssh-keygen."""
    told = seated.main("approve", "--yes", "--sign", str(tmp_path / "none"), "3f2a1c")
    assert (told.code, f"there is no SSH key at {tmp_path / 'none'}" in told.err) == (2, True)
    told = seated.main("approve", "--yes", "--sign", "~no-such-user/k", "3f2a1c")
    assert (told.code, "--sign: there is no user for the home folder in '~no-such-user/k'" in told.err) == (2, True)
    seated.set(PATH=str(tmp_path))
    told = seated.main("review", "--sign", str(tmp_path / "none"))
    assert told.code == 2
    told = seated.main("approve", "--yes", "--sign", str(tmp_path / "none"), "3f2a1c")
    assert (told.code, "--sign needs ssh-keygen, which is not on PATH" in told.err) == (2, True)


def test_the_platform_takes_no_signatures(caller: Caller, platform: FakePlatform, tmp_path: Path) -> None:
    """2: it would not keep them."""
    caller.set(MOLECULE_APPROVER_TOKEN=platform.admin)
    row = platform.add(platform.workspace, {"action": "x"})
    told = caller.main("approve", "--yes", "--sign", str(generated(tmp_path, "ed25519")), row.id)
    assert (told.code, row.status) == (2, "pending")
    assert "this platform takes no signed decisions" in told.err


def test_a_key_that_nobody_enrolled_decides_nothing(seated: Caller, key: Path, tmp_path: Path) -> None:
    """125 with the server's sentence, and what to do."""
    other = generated(tmp_path, "ecdsa")
    assert other != key
    asked = seated.desk.ask()
    told = seated.main("approve", "--yes", "--sign", str(other), asked)
    assert told.code == 125
    assert "the proof does not count: the SSH signature is by the key SHA256:" in told.err
    assert "approvers keys list --mine" in told.err
    assert seated.desk.one(asked)["status"] == "pending"


class StandInKeygen:
    """A program in the place of ssh-keygen, which signs with a key that plays a hardware key."""

    def __init__(self, folder: Path, made: SoftwareHardwareKey) -> None:
        self.folder = folder / "bin"
        self.folder.mkdir()
        self._made, self._messages, self._answers = made, folder / "message", folder / "signature"
        for path in (self._messages, self._answers):
            os.mkfifo(path)
        program = self.folder / "ssh-keygen"
        program.write_text(f"#!/bin/sh\n/bin/cat > {self._messages}\n/bin/cat {self._answers}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        self._thread = threading.Thread(target=self._sign, daemon=True)
        self._thread.start()

    def _sign(self) -> None:
        message = self._messages.read_bytes()
        self._answers.write_text(self._made.sign(message))


def test_a_touched_hardware_key_meets_a_rule_that_wants_a_person(seated: Caller, tmp_path: Path) -> None:
    """The program sends what the key's own signature says, and the server reads it there."""
    made = SoftwareHardwareKey(flags=0x01)
    public = tmp_path / "sk.pub"
    public.write_text(made.text)
    enrol(seated, tmp_path / "sk")
    tools = StandInKeygen(tmp_path, made)
    seated.set(PATH=f"{tools.folder}:{os.environ['PATH']}")
    asked = seated.desk.ask()
    assert seated.main("approve", "--yes", "--sign", str(public), asked).code == 0
    assert seated.desk.one(asked)["decisions"][0]["proof"] == "ssh-sk"


# --- a server that lies


@contextlib.contextmanager
def lying(url: str, lie: Callable[[dict[str, Any]], None]) -> Iterator[str]:
    """A server that passes everything on, and changes each request that it shows; its address."""

    def told(value: Any) -> Any:  # noqa: ANN401 - JSON
        for one in value if isinstance(value, list) else [value, *value.get("pending", [])]:
            if "subject" in one:
                lie(one)
        return value

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            headers = {name: value for name, value in self.headers.items() if name.lower() not in {"host", "content-length"}}
            with httpx.Client(base_url=url, verify=PLAIN) as client:
                answer = client.request(self.command, self.path, content=self.rfile.read(length), headers=headers)
            body = json.dumps(told(answer.json())).encode()
            self.send_response(answer.status_code)
            for name in ("content-type", "x-molecule-server"):
                self.send_header(name, answer.headers[name])
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def _another(name: str, value: object) -> Callable[[dict[str, Any]], None]:
    def lie(row: dict[str, Any]) -> None:
        row["subject"][name] = value

    return lie


def _another_context(row: dict[str, Any]) -> None:
    row["context"] = {"ticket": "harmless"}


def _harmless(row: dict[str, Any]) -> None:
    row["action"] = "harmless"


LIES = {
    "action": _another("action", "drop everything"),
    "reason": _another("reason", "x"),
    "request": _another("request", "11111111-1111-4111-8111-111111111111"),
    "workspace": _another("workspace", "x"),
    "task": _another("task", "x"),
    "requester": _another("requester", "x"),
    "context_sha256": _another_context,
    "run_sha256": _another("run_sha256", "0" * 64),
    "rule": _another("rule", "x"),
    "approvals": _another("approvals", 2),
}


@pytest.mark.parametrize("field", [*LIES, "shown action"])
def test_a_server_that_lies_gets_no_signature(seated: Caller, key: Path, field: str) -> None:
    """It shows one thing and wants another to be signed: 125, the field is named, and nothing is signed or sent."""
    asked = seated.desk.ask("drop it", context={"ticket": "OPS-12"})
    with lying(seated.desk.server.url, LIES.get(field, _harmless)) as url:
        told = seated.main("approve", "--yes", "--sign", str(key), "--platform-url", url, asked)
    assert told.code == 125
    assert f"the server wants another {field.removeprefix('shown ')} to be signed than it shows" in told.err
    assert "signing as" not in told.err
    assert seated.desk.one(asked)["status"] == "pending"


def test_a_server_that_says_nothing_else_is_believed(seated: Caller, key: Path) -> None:
    """The same way to the server without a lie."""
    asked = seated.desk.ask("drop it", context={"ticket": "OPS-12"})
    with lying(seated.desk.server.url, lambda _: None) as url:
        assert seated.main("approve", "--yes", "--sign", str(key), "--platform-url", url, asked).code == 0


# --- review


@pytest.mark.measured
def test_review_signs_each_decision(seated: Caller, tmp_path: Path) -> None:
    """A wrong passphrase is said, and the request is shown again."""
    path = with_passphrase(tmp_path)
    enrol(seated, path)
    first, second = seated.desk.ask("one"), seated.desk.ask("two")
    with seated.terminal("review", "--sign", str(path), size=(40, 120)) as terminal:
        for passphrase, answer in (("wrong", "approve"), ("open sesame", "approve"), ("open sesame", "deny")):
            terminal.until("approve, deny, skip or quit? ")
            terminal.type(f"{answer}\r")
            terminal.until("Ctrl-D to cancel): ")
            terminal.type("\r")
            terminal.until("Enter passphrase")
            terminal.type(f"{passphrase}\r")
        assert terminal.end() == 0
        assert "ssh-keygen did not sign with" in terminal.seen
        assert terminal.seen.splitlines()[-1].startswith("1 approved, 1 denied")
    assert [seated.desk.one(asked)["decisions"][0]["proof"] for asked in (first, second)] == ["ssh", "ssh"]
