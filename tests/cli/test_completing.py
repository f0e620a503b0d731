"""What TAB asks the program: which ids and names are told, that nothing else is, that nothing changes, and its cost."""

from __future__ import annotations

import getpass
import hashlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from molecule_approve.audit.record import RecordOutcome
from molecule_approve.server import administration, credentials
from tests.callers import PATIENCE, SAYING, Told, ended, start
from tests.cli.tab_house import Asked, House, asked, house
from tests.forks import PROGRAM

OPEN = "0a0a0a0a-1111-4222-8333-444444444444"


@pytest.fixture(name="home")
def _home() -> Iterator[House]:
    """A house where nothing ever ran."""
    with house() as found:
        yield found


@pytest.fixture(name="busy", scope="module")
def _busy() -> Iterator[tuple[House, Asked]]:
    """A house with a server and requests."""
    with asked() as found:
        yield found


def tell(found: House, command: str, *arguments: str, **env: str) -> Told:
    """What the program says when a script asks it."""
    measured = {name: value for name, value in os.environ.items() if name.startswith("COV")}
    whole = {**found.env, **measured, "_MOLECULE_APPROVE_COMPLETE": command, **env}
    with start(arguments, env=whole, **SAYING) as process:
        return ended(process)


def told(found: House, command: str, **env: str) -> list[str]:
    """The ids that it says, and nothing else, with exit code 0."""
    out = tell(found, command, **env)
    assert (out.code, out.err) == (0, "")
    return out.out.splitlines()


def contents(folder: Path) -> dict[str, tuple[int, int, int, str]]:
    """Every file and folder: inode, mode, time of the last change, digest. SQLite's shared memory is no file on a disk."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        if path.name.endswith("-shm"):
            continue
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        found[str(path)] = (status.st_ino, status.st_mode, status.st_mtime_ns, digest)
    return found


def test_a_wait_is_offered_what_is_open_here_or_there(busy: tuple[House, Asked]) -> None:
    """The server's pending ones, then what our log holds as open: an approval that was decided is used up by `wait`."""
    found, ids = busy
    assert told(found, "wait") == [ids.newer, ids.older, ids.denied, ids.logged]


@pytest.mark.parametrize("command", ["approve", "deny", "withdraw"])
def test_a_decision_is_offered_only_what_is_pending(busy: tuple[House, Asked], command: str) -> None:
    """What the server holds as ended is not offered, though our log does not know that it ended."""
    found, ids = busy
    assert told(found, command) == [ids.newer, ids.older, ids.logged]


def test_a_status_is_offered_everything(busy: tuple[House, Asked]) -> None:
    """The newest of the server, then the log's, whatever became of them; each once. A receipt may be of any too."""
    found, ids = busy
    for command in ("status", "receipt show"):
        assert told(found, command) == [ids.denied, ids.newer, ids.older, ids.granted, ids.logged]


def test_names_are_told_while_the_server_runs(busy: tuple[House, Asked]) -> None:
    """Those that exist, in order and once, and none that a shell could take for anything else."""
    found, _ = busy
    own = getpass.getuser()
    assert told(found, "approvers") == ["alice", "bob@example.org"]
    assert told(found, "requesters") == sorted(["deploy-bot", own])
    assert told(found, "workspaces") == ["local", "payments"]


def test_names_are_told_by_a_server_that_has_ended(home: House) -> None:
    """Its file is read as it is: no file appears beside it; and nothing is told of what was revoked or removed."""
    with credentials.opened(home.places) as store:
        administration.add_workspace(store, "payments")
        administration.remove_workspace(store, administration.add_workspace(store, "web"))
        administration.add_requester(home.places, store, "bot", "payments")
        administration.add_requester(home.places, store, "gone", "payments")
        administration.revoke_requester(store, "gone", "payments")
        for name in ("alice", "carol"):
            credentials.add_approver(store, name)
        credentials.revoke(store, "carol")
    before = contents(home.folder)
    assert (told(home, "approvers"), told(home, "requesters")) == (["alice"], ["bot"])
    assert told(home, "workspaces") == ["payments"]
    assert contents(home.folder) == before


@pytest.mark.measured
def test_no_names_are_told_of_another_database(home: House) -> None:
    """Where server.yaml names PostgreSQL the file is an old one; where it cannot be read, nothing is known."""
    with credentials.opened(home.places) as store:
        credentials.add_approver(store, "alice")
    settings = home.folder / "server.yaml"
    for text, names in (("port: 1\n", ["alice"]), ("database: postgresql://h/x\n", []), ("nonsense: 1\n", [])):
        settings.write_text(text)
        settings.chmod(0o600)
        assert told(home, "approvers", MOLECULE_SERVER_CONFIG=str(settings)) == names


@pytest.mark.measured
@pytest.mark.parametrize(
    "command", ["", "request", "review", "pending", "approver", "approvers revoke", "bash_complete", "$(touch run-by-tab)"]
)
def test_no_other_word_gets_an_answer(busy: tuple[House, Asked], command: str) -> None:
    """Whatever else the variable says, Typer's own words included."""
    assert told(busy[0], command) == []


@pytest.mark.parametrize(
    ("arguments", "code"), [(("request", "--help"), 2), (("--version",), 0), (("request", ""), 2), (("wait",), 2)]
)
def test_with_any_argument_the_variable_means_nothing(
    busy: tuple[House, Asked], arguments: tuple[str, ...], code: int
) -> None:
    """A hostile environment cannot turn a question into a completion, whose exit code is 0."""
    out = tell(busy[0], "wait", *arguments)
    assert out.code == code
    assert busy[1].newer not in out.out + out.err


def test_nothing_changes_by_looking(busy: tuple[House, Asked]) -> None:
    """No file is made, written or touched, neither beside the log nor beside the server's database."""
    found, _ = busy
    before = contents(found.folder)
    assert told(found, "wait")
    assert told(found, "status")
    assert told(found, "workspaces")
    assert contents(found.folder) == before


@pytest.mark.measured
def test_nothing_comes_to_be_where_nothing_ever_ran(home: House) -> None:
    """No log, no state folder, no ids, no words."""
    before = contents(home.folder)
    for asked_for in ("wait", "approvers", "requesters", "workspaces"):
        assert told(home, asked_for) == []
    assert contents(home.folder) == before


def test_a_server_that_was_stopped_leaves_the_log(home: House) -> None:
    """Its database is not opened: even reading it would make files."""
    home.places.state.mkdir(parents=True, mode=0o700)
    home.places.database.write_bytes(b"no database")
    home.log_says(OPEN, RecordOutcome.REQUESTED)
    before = contents(home.folder)
    assert told(home, "wait") == [OPEN]
    assert contents(home.folder) == before


@pytest.mark.parametrize("broken", ["a folder", "a missing one", "a pipe", "nonsense", "a bad setting"])
def test_a_log_that_cannot_be_read_hides_nothing_and_says_nothing(busy: tuple[House, Asked], broken: str) -> None:
    """The server's ids are told all the same, and no message gets into a line that somebody types."""
    found, ids = busy
    log = found.folder / broken
    if broken == "a folder":
        log.mkdir()
    elif broken == "a pipe":
        os.mkfifo(log)
    elif broken == "nonsense":
        log.write_bytes(b"\x00{[\n" * 1000)
    env = {"AUDIT_LOG_PATH": "a\nb" if broken == "a bad setting" else str(log)}
    assert told(found, "wait", **env) == [ids.newer, ids.older]


def test_without_a_home_there_are_no_words(home: House) -> None:
    """An environment that names nothing at all is no reason for a traceback."""
    assert told(home, "wait", HOME="", XDG_STATE_HOME="", AUDIT_LOG_PATH="/nowhere/at/all", XDG_RUNTIME_DIR="/nowhere") == []


def test_a_reader_who_went_away_hears_no_complaint(busy: tuple[House, Asked]) -> None:
    """The shell stops a completion that is typed over: 0, and nothing on stderr."""
    read, write = os.pipe()
    os.close(read)
    out = subprocess.run(
        PROGRAM,
        env={**busy[0].env, "_MOLECULE_APPROVE_COMPLETE": "wait"},
        stdin=subprocess.DEVNULL,
        stdout=write,
        stderr=subprocess.PIPE,
        timeout=PATIENCE,
        check=False,
    )
    os.close(write)
    assert (out.returncode, out.stderr) == (0, b"")


# --- what may sit on the socket ----------------------------------------------------------------------------------------


def _move_in(found: House) -> socket.socket:
    """A listener where the server's socket would be, and the file with the token that its user has."""
    for folder in (found.places.state, found.places.runtime):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found.places.requester.write_text('{"workspace_id": "ws", "token": "secret"}')
    found.places.requester.chmod(0o600)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(found.places.socket))
    listener.listen()
    found.log_says(OPEN, RecordOutcome.REQUESTED)
    return listener


@contextmanager
def peer(found: House, behave: Callable[[socket.socket], None]) -> Iterator[list[bytes]]:
    """Somebody on the socket who answers one call in this way; what was asked."""
    heard: list[bytes] = []

    def answer() -> None:
        connection, _ = listener.accept()
        with connection:
            heard.append(connection.recv(65_536))
            behave(connection)

    with _move_in(found) as listener:
        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield heard
        thread.join(PATIENCE)
        assert not thread.is_alive()


def says(text: str) -> Callable[[socket.socket], None]:
    """Answers that."""
    return lambda connection: connection.sendall(text.encode())


def _is_silent(connection: socket.socket) -> None:
    assert connection.recv(1) == b""


def _trickles(connection: socket.socket) -> None:
    connection.settimeout(0.05)
    try:
        while True:
            connection.sendall(b"x")
            try:
                connection.recv(1)
            except TimeoutError:
                continue
    except OSError:
        return


def _never_ends(connection: socket.socket) -> None:
    try:
        while True:
            connection.sendall(b"x" * 65_536)
    except OSError:
        return


ROW = '{"id": "%s", "action": "x", "status": "pending"}'
HEAD = "HTTP/1.1 200 OK\r\n\r\n"


@pytest.mark.measured
@pytest.mark.parametrize(
    "behave",
    [
        says(""),
        says("HTTP/1.1 200 OK\r\n"),
        says(f"{HEAD}["),
        says(f"{HEAD}{{}}"),
        says(HEAD + "[" + ROW % "$(touch run-by-tab)" + "]"),
        says(HEAD + "[" + ROW % "a-name-that-is-no-uuid" + "]"),
        says("HTTP/1.1 500 Oops\r\n\r\n[" + ROW % "0c0c0c0c-1111-4222-8333-444444444444" + "]"),
        says("nonsense"),
        _is_silent,
        _trickles,
        _never_ends,
    ],
    ids=["nothing", "half", "no end", "no list", "hostile", "no uuid", "refuses", "no http", "silent", "slow", "endless"],
)
def test_whatever_answers_nothing_of_it_is_told_and_soon(home: House, behave: Callable[[socket.socket], None]) -> None:
    """Only our log's ids then; and TAB is not held up."""
    with peer(home, behave) as heard:
        start = time.monotonic()
        assert told(home, "wait") == [OPEN]
        assert time.monotonic() - start < 8
    assert b"Authorization: Bearer secret\r\n" in heard[0]
    assert heard[0].startswith(b"GET /workspaces/ws/approvals HTTP/1.0\r\n")


def test_a_faithful_answer_is_told(home: House) -> None:
    """The peer of the test above is refused for what it says, not for what it is."""
    with peer(home, says(HEAD + "[" + ROW % "0c0c0c0c-1111-4222-8333-444444444444" + "]")):
        assert told(home, "wait") == ["0c0c0c0c-1111-4222-8333-444444444444", OPEN]


@pytest.mark.measured
@pytest.mark.parametrize("spoilt", ["others may enter", "a link", "no token", "a file"])
def test_the_token_goes_only_where_nobody_else_can_stand(home: House, spoilt: str) -> None:
    """A folder that is not the user's alone could hold another's socket: nothing connects to it."""
    with _move_in(home) as listener:
        places = home.places
        if spoilt == "others may enter":
            places.runtime.chmod(0o755)
        elif spoilt == "a link":
            places.runtime.rename(places.runtime.with_name("elsewhere"))
            places.runtime.symlink_to(places.runtime.with_name("elsewhere"))
        elif spoilt == "no token":
            places.requester.unlink()
        else:
            places.socket.unlink()
            places.socket.touch()
        assert told(home, "wait") == [OPEN]
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


# --- speed -------------------------------------------------------------------------------------------------------------


def test_only_what_is_needed_is_imported(busy: tuple[House, Asked]) -> None:
    """No library of the commands or the server, and none of Python's own that costs milliseconds."""
    code = "import os, sys\nfrom molecule_approve.cli import completing\ncompleting.answer('wait', os.environ)\n"
    code += "print(*sys.modules, file=sys.stderr)"
    out = subprocess.run(
        [sys.executable, "-c", code], env=_clean(busy[0].env), capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    assert len(out.stdout.splitlines()) == 4
    heavy = {
        "typer",
        "click",
        "rich",
        "httpx",
        "httpcore",
        "h11",
        "websockets",
        "yaml",
        "sqlite3",
        "sqlalchemy",
    }
    heavy |= {"asyncio", "http.client", "email", "ssl", "subprocess", "tempfile", "logging", "random"}
    assert heavy & set(out.stderr.split()) == set()


def test_tab_is_answered_within_ten_starts_of_python(busy: tuple[House, Asked]) -> None:
    """With a server and a log that both hold something. Processor time, so that a busy machine fails nobody."""
    env = _clean(busy[0].env) | {"_MOLECULE_APPROVE_COMPLETE": "wait"}
    pairs = [(_cost((sys.executable, "-c", "pass"), env), _cost(PROGRAM, env)) for _ in range(7)]
    assert min(tab for _, tab in pairs) <= 10 * min(nothing for nothing, _ in pairs)


def _clean(env: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if not name.startswith("COV")}


def _cost(argv: tuple[str, ...], env: dict[str, str]) -> float:
    process = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return used.ru_utime + used.ru_stime
