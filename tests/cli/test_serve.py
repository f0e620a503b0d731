"""`serve` as a user meets it: what it says where, what it refuses, how it ends."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import httpx
import pytest

from molecule_approve.cli import serve
from molecule_approve.cli.main import main
from molecule_approve.paths import Places, locate, read_requester, who_serves
from molecule_approve.server import credentials
from molecule_approve.server.run import Running, ServePlan
from molecule_approve.server.users import user_name
from molecule_approve.settings.server_settings import ServerFlags, resolve_server
from tests.callers import PATIENCE, SAYING, Told, ended, start
from tests.forks import PROGRAM
from tests.pages import SNIPPETS
from tests.server.serving import environment, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from molecule_approve.server.starting import Prepared


ME = user_name()
"""The user who runs the tests, by the system's list of users; the environment of the tests names another one."""


def _told(home: Path, *argv: str, **options: Any) -> Told:  # noqa: ANN401 - Popen's
    """What the program says in a process of its own."""
    with start(argv, env=environment(home), **{**SAYING, **options}) as process:
        return ended(process)


def _sentences(err: str) -> list[str]:
    """What is said on stderr beside the log's events, which begin with their time."""
    return [line for line in err.splitlines() if not re.match(r"molecule-approve: \d{4}-", line)]


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
    assert _sentences(err) == ["molecule-approve: there is no approver yet: molecule-approve approvers add NAME"]


@pytest.mark.measured
def test_where_approvers_sign_in_nobody_is_missed(home: Path) -> None:
    """They come from the provider."""
    (home / "secret").write_text("secret")
    (home / "secret").chmod(0o600)
    provider = f"issuer: 'http://127.0.0.1:1', client_id: x, client_secret_file: {home}/secret, approvers: [a@example.org]"
    (home / "server.yaml").write_text(f"openid: {{{provider}}}\n")
    with serving(home, "--config", str(home / "server.yaml"), "--public-url", "http://localhost:9") as (process, _):
        process.send_signal(signal.SIGTERM)
        assert "there is no approver yet" not in process.communicate(timeout=PATIENCE)[1]


def test_a_second_one_says_who_runs_already(home: Path) -> None:
    """125, with the process and the address."""
    with serving(home) as (process, url):
        again = _told(home, "serve", "--port", "0")
    assert (again.code, again.out) == (125, "")
    assert f"a server is already running: process {process.pid} at {url}" in again.err


@pytest.mark.measured
def test_the_leave_for_callers_without_a_token_is_said_at_every_start(home: Path) -> None:
    """On stderr, also at the second start."""
    for _ in range(2):
        with serving(home, "--anonymous-requests") as (process, url):
            assert httpx.get(f"{url}/health").json()["anonymous_requests"] is True
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=PATIENCE)
        assert "clients without a token may request" in err


@pytest.mark.measured
def test_a_signal_that_was_ignored_at_the_start_stays_ignored(home: Path) -> None:
    """A background job does not end with the Ctrl-C that was meant for another."""
    with serving(home, through=("sh", "-c", 'trap "" INT; exec "$@"', "sh")) as (process, url):
        process.send_signal(signal.SIGINT)
        assert httpx.get(f"{url}/health").status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0


_CONTROLLED = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"


@pytest.mark.measured
def test_a_terminal_that_is_closed_ends_it_cleanly_with_a_sentence(home: Path) -> None:
    """0, as after any other signal that stops it: whoever looks at its stderr later knows why."""
    leader, follower = pty.openpty()
    program = (sys.executable, "-c", _CONTROLLED, *PROGRAM)
    streams: dict[str, Any] = {**SAYING, "stdin": follower, "start_new_session": True}
    with start(("serve", "--port", "0"), program, env=environment(home), **streams) as process:
        os.close(follower)
        assert process.stdout is not None
        assert process.stdout.readline().startswith("http://")
        process.send_signal(signal.SIGHUP)  # while the terminal is open, this is about the policy
        assert process.stderr is not None
        while "policy_read rules=0" not in process.stderr.readline():
            pass
        os.close(leader)
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert "the terminal was closed (SIGHUP), so the server stops" in err
    assert not locate(environment(home)).socket.exists()


@pytest.mark.measured
def test_under_nohup_it_goes_on(home: Path) -> None:
    """A hangup that was ignored at the start stays ignored."""
    with serving(home, through=("sh", "-c", 'trap "" HUP; exec "$@"', "sh")) as (process, url):
        process.send_signal(signal.SIGHUP)
        assert httpx.get(f"{url}/health").status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0


@pytest.mark.measured
def test_without_stdin_and_stderr_it_serves(home: Path) -> None:
    """No file of its own gets their numbers, where a library's talk would be written into it."""
    with serving(home, through=("sh", "-c", 'exec "$@" <&- 2>&-', "sh")) as (process, url):
        assert httpx.get(f"{url}/health").status_code == 200
        for number in (0, 2):
            assert Path(f"/proc/{process.pid}/fd/{number}").readlink() == Path(os.devnull)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0


@pytest.mark.measured
def test_without_stdout_it_says_that_its_address_cannot_be_told(home: Path) -> None:
    """125, and nothing is left of it."""
    found = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *PROGRAM, "serve", "--port", "0"],
        env=environment(home),
        stderr=subprocess.PIPE,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert found.returncode == 125
    assert "cannot write to stdout: stdout is closed" in found.stderr
    assert not locate(environment(home)).socket.exists()


def test_after_a_kill_the_next_one_takes_over(home: Path) -> None:
    """Lock file and socket stay behind; workspace, token and the port's other half are the same for whoever asks."""
    places = locate(environment(home))
    with serving(home) as (process, url):
        port = url.rpartition(":")[2]
        before = read_requester(places)
        process.kill()
        process.wait(PATIENCE)
        assert places.socket.exists()
        assert who_serves(places) is None
    with serving(home, "--port", port) as (process, url):
        assert url.endswith(f":{port}")
        assert httpx.get(f"http://[::1]:{port}/health").status_code == 200
        found = who_serves(places)
        assert found is not None
        assert (found.pid, read_requester(places)) == (process.pid, before)


def test_of_many_that_start_at_once_one_serves(home: Path) -> None:
    """The others say that one runs already, also while its lock file is removed again and again."""
    started = [start(("serve", "--port", "0"), env=environment(home), **SAYING) for _ in range(4)]
    places = locate(environment(home))
    until = time.monotonic() + PATIENCE
    while sum(process.poll() is None for process in started) > 1:
        assert time.monotonic() < until
        places.serving.unlink(missing_ok=True)
        select.select([], [], [], 0.01)
    [left] = [process for process in started if process.poll() is None]
    assert left.stdout is not None
    url = left.stdout.readline().strip()
    assert httpx.get(f"{url}/health").status_code == 200
    left.send_signal(signal.SIGTERM)
    ends = [(process.communicate(timeout=PATIENCE)[1], process.returncode) for process in started]
    assert sorted(code for _, code in ends) == [0, 125, 125, 125]
    assert all("a server is already running" in err for err, code in ends if code == 125)


@pytest.mark.parametrize("options", [["--host", "0.0.0.0"], ["--port", "65536"], ["--port", "x"], ["--what"]])
def test_a_wrong_option_is_a_usage_error(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    """2, with a hint, and nothing is served, also with `--anonymous-requests`."""
    assert _main(["serve", "--anonymous-requests", *options], home, monkeypatch) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "hint:" in err


@pytest.mark.measured
def test_without_its_libraries_it_says_what_to_install(home: Path, tmp_path: Path) -> None:
    """125, and the hint names the extra; so do the approvers' commands."""
    blocked = tmp_path / "blocked"
    for name in ("uvicorn", "sqlalchemy"):
        (blocked / name).mkdir(parents=True)
        (blocked / name / "__init__.py").write_text("raise ImportError")
    path = f"{blocked}{os.pathsep}{Path.cwd()}"
    commands = [["serve"], ["approvers", "list"], *(["approvers", word, "a"] for word in ("add", "revoke", "link"))]
    for command in commands:
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


@pytest.mark.measured
def test_a_first_start_at_a_terminal_makes_an_approver(home: Path) -> None:
    """Named after the user; the token is shown once, on stderr, and can decide."""
    with _at_a_terminal(home) as (first, _):
        pass
    assert f"You are an approver now, as {ME}. This is your token; it is shown once:" in first
    lines = [line.strip() for line in first.splitlines()]
    token = lines[lines.index(f"You are an approver now, as {ME}. This is your token; it is shown once:") + 1]
    with serving(home) as (_, url):
        answer = httpx.get(f"{url}/approvals/pending", headers={"Authorization": f"Bearer {token}"})
        assert (answer.status_code, answer.json()) == (200, [])
    with _at_a_terminal(home) as (second, _):
        assert "token" not in second


@pytest.mark.measured
def test_each_start_at_a_terminal_shows_a_sign_in_link(home: Path) -> None:
    """For the approver named like the user: good once, for a minute, and with the words that make a new one."""
    for _ in range(2):
        with _at_a_terminal(home) as (said, url):
            lines = [line.strip() for line in said.splitlines()]
            at = lines.index(f"To decide in a browser as {ME}, open this link within a minute; it works once:")
            address, _, code = lines[at + 1].partition("/#sign-in=")
            assert address == url
            assert lines[at + 2 :] == [f"A new one: molecule-approve approvers link {ME}", url]
            answers = [httpx.post(f"{url}/desk/session", json={"code": code}) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [201, 401]
        assert answers[0].json()["name"] == ME


@pytest.mark.measured
@pytest.mark.parametrize(("approver", "changed"), [(ME, {"CI": "true"}), ("somebody", {})])
def test_where_the_link_would_be_nobodys_or_everybodys_only_the_way_to_one_is_said(
    home: Path, approver: str, changed: dict[str, str]
) -> None:
    """In a CI job, and to a user who is no approver; a link in a job's log would sign anybody in."""
    assert _told(home, "approvers", "add", approver).code == 0
    with _at_a_terminal(home, changed) as (said, _):
        assert "molecule-approve: to decide in a browser: molecule-approve approvers link NAME" in said
        assert "sign-in" not in said


@pytest.mark.started
def test_in_ci_no_approver_is_made(home: Path) -> None:
    """A token in a job's log would be everybody's."""
    with _at_a_terminal(home, {"CI": "true"}) as (said, _):
        assert "there is no approver yet" in said
        assert "shown once" not in said


def test_nobody_is_made_whose_token_nobody_reads(server_places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is a link: its code is shown as little. The server serves all the same."""
    with Running(ServePlan(server_places)) as server, credentials.opened(server_places) as store:
        prepared = cast("Prepared", SimpleNamespace(store=store, url=server.url))
        with Path(os.devnull).open("w", encoding="ascii") as closed:
            pass
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", closed)
            assert not serve._first_approver(prepared, "tester")
        assert not serve._first_approver(prepared, "auto-expired")  # a reserved name
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", closed)
            assert credentials.approvers(store) == []
            credentials.add_approver(store, "tester")
            serve._show_link(prepared, "tester")
        with store.read() as transaction:
            assert transaction.connection.exec_driver_sql("SELECT count(*) FROM sign_in_codes").scalar_one() == 0


@contextmanager
def _at_a_terminal(home: Path, changed: dict[str, str] | None = None, *options: str) -> Iterator[tuple[str, str]]:
    """What a server says at a terminal, to the line on stdout, and its address; it is stopped in the end.

    Lines of its log are left out: they come whenever they come.
    """
    leader, follower = pty.openpty()
    streams: dict[str, Any] = {"stdin": follower, "stdout": follower, "stderr": follower, "start_new_session": True}
    process = start(("serve", "--port", "0", *options), env={**environment(home), **(changed or {})}, **streams)
    os.close(follower)
    said, until = b"", time.monotonic() + PATIENCE
    try:
        while (address := re.search(rb"^http://127\.0\.0\.1:\d+(?=\r\n)", said, re.MULTILINE)) is None:
            ready, _, _ = select.select([leader], [], [], max(0, until - time.monotonic()))
            assert ready, said
            said += os.read(leader, 4_096)
        before = re.sub(rb"^molecule-approve: \d{4}-.*\n", b"", said[: address.end()], flags=re.MULTILINE)
        yield before.decode(), address[0].decode()
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()
        os.close(leader)


# --- --open ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def browser(tmp_path: Path) -> Browser:
    """A browser that tells what it was called with, and what it read there."""
    return Browser(tmp_path)


class Browser:
    """A program that stands for the browser, and the pipe through which it tells."""

    def __init__(self, folder: Path) -> None:
        self._told = folder / "told"
        os.mkfifo(self._told)
        self._program = folder / "browser"
        self._program.write_text(
            f"#!{sys.executable}\n"
            "import sys, urllib.parse, urllib.request\n"
            "path = urllib.request.url2pathname(urllib.parse.urlsplit(sys.argv[1]).path)\n"
            "print('talk on stdout')\n"
            f"told = open({str(self._told)!r}, 'w')\n"
            "told.write(sys.argv[1] + '\\n' + open(path).read())\n"
        )
        self._program.chmod(0o755)

    @property
    def environment(self) -> dict[str, str]:
        """What names it."""
        return {"BROWSER": f"{self._program} %s"}

    def told(self) -> tuple[str, str]:
        """The address that it was opened with, and the page that it found there."""
        handle = os.open(self._told, os.O_RDONLY | os.O_NONBLOCK)
        said, until = b"", time.monotonic() + PATIENCE
        with os.fdopen(handle, "rb", buffering=0) as pipe:
            while not said.rstrip().endswith(b"</html>"):
                assert select.select([pipe], [], [], max(0, until - time.monotonic()))[0], said
                said += pipe.read() or b""
        address, _, page = said.decode().partition("\n")
        return address, page


def _code(page: str, url: str) -> str:
    [link] = re.findall(r'content="0; url=([^"]+)"', page)
    address, _, code = str(link).partition("/#sign-in=")
    assert address == url
    return code


@pytest.mark.measured
def test_open_signs_the_browser_in_without_the_code_in_a_command_line(home: Path, browser: Browser) -> None:
    """The browser gets the address of a private file, which sends it on; once it signed in the file is gone."""
    page = locate(environment(home)).sign_in_page
    with _at_a_terminal(home, browser.environment, "--open") as (said, url):
        address, text = browser.told()
        assert address == page.as_uri()
        assert page.stat().st_mode & 0o777 == 0o600
        code = _code(text, url)
        assert code not in said  # the link at the terminal is another one, and stays good
        assert "talk on stdout" not in said
        answer = httpx.post(f"{url}/desk/session", json={"code": code})
        assert (answer.status_code, answer.json()["name"]) == (201, ME)
        assert not page.exists()


ALONE = (
    f"{ME} is the only approver, and may decide what {ME} requests; with a second approver, nobody decides their own "
    "requests"
)


@pytest.mark.measured
def test_open_works_without_a_terminal_for_an_approver_named_like_the_user(home: Path, browser: Browser) -> None:
    """A desktop's launcher has none; stdout holds the address and nothing of the browser's."""
    page = locate(environment(home)).sign_in_page
    env = {**environment(home), **browser.environment}
    assert _told(home, "approvers", "add", ME).code == 0
    with serving(home, "--open", through=("env", f"BROWSER={env['BROWSER']}")) as (process, url):
        assert _code(browser.told()[1], url)
        assert page.exists()
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=PATIENCE)
    # A code that was never used: the file goes with the server.
    assert (process.returncode, out, page.exists()) == (0, "", False)
    assert _sentences(err) == [
        "molecule-approve: to decide in a browser: molecule-approve approvers link NAME",
        f"molecule-approve: {ALONE}",
    ]


@pytest.mark.measured
def test_the_way_to_a_link_is_no_problem_in_the_log(home: Path) -> None:
    """Whoever is alarmed by warnings is not woken by each start; the log's lines are all JSON."""
    assert _told(home, "approvers", "add", "alice").code == 0
    with serving(home, "--log-format", "json") as (process, _):
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=PATIENCE)
    lines = [json.loads(line) for line in err.splitlines()]
    assert [(line["level"], line["message"].partition(":")[0]) for line in lines if "message" in line] == [
        ("info", "to decide in a browser"),
        ("info", ALONE.replace(ME, "alice")),
    ]


def test_open_shows_the_page_also_to_who_may_not_decide(home: Path, browser: Browser) -> None:
    """It says how to sign in; there is no code."""
    with serving(home, "--open", through=("env", f"BROWSER={browser.environment['BROWSER']}")) as (_, url):
        assert f'content="0; url={url}"' in browser.told()[1]


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
    assert "there is no approver yet" in err


def test_a_reader_of_stdout_that_has_gone_ends_the_start(home: Path) -> None:
    """Whoever waited for the address will never know it: 125, and nothing runs on."""
    read, write = os.pipe()
    os.close(read)
    found = _told(home, "serve", "--port", "0", stdout=write)
    os.close(write)
    assert found.code == 125
    assert who_serves(locate(environment(home))) is None


def test_a_journal_that_fails_is_told_while_it_serves(home: Path) -> None:
    """One sentence on stderr; the server goes on."""
    places = locate(environment(home))
    with serving(home) as (process, url):
        token = _told(home, "approvers", "add", "alice").out.strip()
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
    assert "cannot write decisions to the audit log" in err


# --- how it is reached


@pytest.mark.measured
def test_server_yaml_says_how_it_is_reached(home: Path) -> None:
    """The address on stdout is the public one; options win over the file; the log names a host that is refused."""
    config = home / "server.yaml"
    config.write_text(
        "public_url: https://approve.example.org/approve\ntrusted_proxies: [127.0.0.1]\nanonymous_requests: true\n"
    )
    with serving(home, "--config", str(config), "--public-url", "https://x.example.org/") as (process, url):
        assert url == "https://x.example.org"
        transport = httpx.HTTPTransport(uds=str(locate(environment(home)).socket))
        with httpx.Client(transport=transport, base_url="http://localhost") as client:
            assert client.get("/health").json()["anonymous_requests"] is True
            assert client.get("/health", headers=[(b"Host", b"evil.example\xad")]).status_code == 421
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=PATIENCE)
    assert 'host_refused host="evil.example\\xad" address=unix' in err


OPENID = """\
openid:
  issuer: https://id.example.org
  client_id: approvals
  client_secret_file: none
  approvers: [alice@example.org]
"""


@pytest.mark.parametrize(
    ("text", "options", "code", "message"),
    [
        ("prot: 1\n", (), 125, "server.yaml, line 1: prot: unknown key"),
        ("host: 0.0.0.0\n", (), 125, "server.yaml, line 1: host: 0.0.0.0 is not a loopback address, and without TLS"),
        ("host: here\n", (), 125, "server.yaml, line 1: host: 'here' is not an address of this machine"),
        ("port: 0\ntls_cert: c.pem\n", (), 125, "server.yaml, line 2: tls_cert: tls_key is missing"),
        ("public_url: http://a.example\n", (), 125, "server.yaml, line 1: public_url: an http:// address: tokens"),
        ("host: 127.0.0.1\n", ("--host", "::"), 2, "--host: :: is not a loopback address"),
        ("", ("--public-url", "https://alice@x.example"), 2, "--public-url: the address has a user or a password"),
        ("", ("--public-url", "https://x.example/desk"), 2, "--public-url: the path begins with desk"),
        ("public_url: https://x.example/ws\n", (), 125, "server.yaml, line 1: public_url: the path begins with ws"),
        ("", ("--tls-cert", "none.pem", "--tls-key", "none.key"), 125, "--tls-key: cannot read the key none.key"),
        ("tls_cert: c\ntls_key: k\n", (), 125, "server.yaml, line 2: tls_key: cannot read the key "),
        (OPENID, (), 125, "server.yaml, line 4: openid.client_secret_file: "),
        ("database: postgresql://u@h\n", (), 125, "server.yaml, line 1: database: the database address names no database"),
        ("", ("--database", "postgresql://u@h"), 2, "--database: the database address names no database"),
        ("policy: nope.yaml\n", (), 125, "server.yaml, line 1: policy: "),
        ("", ("--policy", "nope.yaml"), 125, "--policy: nope.yaml does not exist"),
    ],
)
def test_a_mistake_is_said_before_anything_starts(
    home: Path, text: str, options: tuple[str, ...], code: int, message: str
) -> None:
    """2 for what was typed, 125 for a file."""
    config = home / "server.yaml"
    config.write_text(text)
    found = _told(home, "serve", "--config", str(config), *options)
    assert (found.code, found.out) == (code, "")
    assert message in found.err
    # The policy is checked against the people whom the database knows.
    assert "policy" in message or not locate(environment(home)).database.exists()


def test_every_setting_reaches_the_server(tmp_path: Path) -> None:
    """By its own name, with where it comes from."""
    config = tmp_path / "server.yaml"
    config.write_text(SNIPPETS["server-config"])
    settings = resolve_server(ServerFlags(config=str(config)), {})
    plan = serve.plan_of(settings, Places(tmp_path, tmp_path))
    assert (plan.host, plan.port, plan.public_url) == ("0.0.0.0", 8788, "https://approve.example.org")
    assert (plan.tls_cert, plan.tls_key) == (tmp_path / "tls/fullchain.pem", tmp_path / "tls/privkey.pem")
    assert (plan.limits.session, plan.limits.session_idle) == (43_200.0, 3_600.0)
    assert plan.openid is not None
    assert plan.openid.groups == {"approvers": ("platform-team",)}
    assert plan.database == settings.database.value
    assert (plan.self_approval, plan.anonymous, plan.plain_http) == (False, False, False)
    assert (plan.trusted_proxies, plan.metrics_from) == (settings.trusted_proxies.value, settings.metrics_from.value)
    assert plan.sources["host"] == f"{config}, line 1: host"


_WITHOUT_THREADS = """
import sys, threading
from molecule_approve.cli.main import main
threading.stack_size(1 << 46)  # more than a process can have: from now on the system starts no thread
sys.exit(main(sys.argv[1:]))
"""


def test_a_thread_that_cannot_be_started_is_a_sentence(home: Path) -> None:
    """As under a low limit of processes: 125, with the limit to look at, and nothing keeps the server's lock."""
    command = [sys.executable, "-c", _WITHOUT_THREADS, "serve", "--port", "0"]
    told = subprocess.run(command, env=environment(home), capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (told.returncode, told.stdout) == (125, "")
    assert told.stderr.splitlines() == [
        "molecule-approve: the server cannot run: can't start new thread",
        "molecule-approve: hint: the user's process limit may be reached (ulimit -u)",
    ]
    assert who_serves(locate(environment(home))) is None
