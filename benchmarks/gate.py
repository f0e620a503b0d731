"""How much the gate costs, as one table of ratios from one interleaved run: against ``python -c pass`` and a bare socket.

Run it with ``make bench``. It starts an embedded server of its own on loopback and needs no network. Single times say
little on a machine that others use too: read the ratios, which are taken pair by pair. It judges nothing; the goals stand
in the table to be compared.
"""

from __future__ import annotations

import argparse
import json
import os
import pty
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from molecule_approve import wiring
from molecule_approve.clock import utc_now
from molecule_approve.gate import binding
from molecule_approve.paths import locate
from molecule_approve.proofs.ssh import NAMESPACE
from molecule_approve.proofs.statement import Statement, parse_subject
from molecule_approve.server import credentials
from molecule_approve.server.database.values import KeyRow

PROGRAM = [str(Path(sys.executable).parent / "molecule-approve")]
PASS = [sys.executable, "-c", "pass"]

# The least that a Python program can do: one POST over a bare socket, and for the wait one held GET.
BARE_POST = """
import os, socket, sys
host, port, path, token = sys.argv[1:5]
body = b'{"action":"bare"}'
with socket.create_connection((host, int(port))) as line:
    line.sendall(f"POST {path} HTTP/1.1\\r\\nHost: {host}:{port}\\r\\nAuthorization: Bearer {token}\\r\\n"
                 f"Content-Type: application/json\\r\\nContent-Length: {len(body)}\\r\\n\\r\\n".encode() + body)
    line.recv(4096)
os._exit(0)
"""
BARE_WAIT = """
import os, socket, sys
host, port, path, token = sys.argv[1:5]
with socket.create_connection((host, int(port))) as line:
    line.sendall(f"GET {path}?wait=60 HTTP/1.1\\r\\nHost: {host}:{port}\\r\\n"
                 f"Authorization: Bearer {token}\\r\\n\\r\\n".encode())
    print("waiting", flush=True)
    line.recv(65536)
os._exit(0)
"""


@dataclass
class Row:
    """One figure: its samples, what they are compared with, and the goal as it was set."""

    name: str
    unit: str
    goal: str
    samples: list[float] = field(default_factory=list)
    base: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)

    def text(self) -> str:
        """The row of the table: median, worst, and the medians of the ratios, pair by pair."""
        ordered = sorted(self.samples)
        p99 = ordered[min(len(ordered) - 1, round(0.99 * (len(ordered) - 1)))]
        ratio = _ratio(self.samples, self.base)
        against_bare = _ratio(self.samples, self.bare)
        middle = f"{statistics.median(ordered):9.1f}"
        return f"{self.name:<38} {middle} {p99:9.1f} {self.unit:<4} {ratio:>8} {against_bare:>8}   {self.goal}"


def _ratio(samples: list[float], base: list[float]) -> str:
    if not base:
        return "-"
    return f"{statistics.median(a / b for a, b in zip(samples, base, strict=False)):.1f} x"


class Server:
    """The embedded server, in a state of its own."""

    def __init__(self, folder: Path) -> None:
        (folder / "run").mkdir(mode=0o700)
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("MOLECULE", "APPROVAL", "PLATFORM"))}
        clean.pop("PYTHONDONTWRITEBYTECODE", None)
        clean.pop("CI", None)
        self.environ = {
            **clean,
            "XDG_STATE_HOME": str(folder),
            "XDG_RUNTIME_DIR": str(folder / "run"),
            "AUDIT_LOG_PATH": str(folder / "audit.jsonl"),
            "WORKSPACE_CONFIG_PATH": "",
        }
        self.environ.pop("WORKSPACE_CONFIG_PATH")
        self._process = subprocess.Popen(
            [*PROGRAM, "serve", "--port", "0"],
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        self.host, self.port = self.url.removeprefix("http://").split(":")
        made = json.loads((folder / "molecule-approve" / "requester.json").read_text())
        self.workspace, self.requester = made["workspace_id"], made["token"]
        added = subprocess.run(
            [*PROGRAM, "approvers", "add", "bench"], env=self.environ, capture_output=True, text=True, check=True
        )
        self.approver = added.stdout.strip()
        self.environ |= {"PLATFORM_URL": self.url, "WORKSPACE_ID": self.workspace, "MOLECULE_TOKEN": self.requester}

    @property
    def path(self) -> str:
        return f"/workspaces/{self.workspace}/approvals"

    def call(self, method: str, path: str, body: Mapping[str, object] | None = None, token: str = "") -> object:
        """One exchange, from this process."""
        request = urllib.request.Request(self.url + path, method=method)
        request.add_header("Authorization", f"Bearer {token or self.requester}")
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, None if body is None else json.dumps(body).encode()) as answer:
            return json.load(answer)

    def approve(self, approval_id: str) -> float:
        """Approve, and say when the decision was sent."""
        sent = time.perf_counter()
        self.call("POST", f"{self.path}/{approval_id}/decide", {"decision": "approved"}, self.approver)
        return sent

    def decided_at(self, approval_id: str) -> float:
        """When the server decided, by the wall clock that it shares with us, in seconds."""
        row = self.call("GET", f"{self.path}/{approval_id}")
        assert isinstance(row, dict)
        return datetime.fromisoformat(row["decided_at"]).timestamp()

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(10)


class Peer:
    """Accepts, notes when the POST was there, and hangs up."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.arrived = threading.Event()
        self.at = 0.0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            line, _ = self._listener.accept()
            with line:
                head = b""
                while b"\r\n\r\n" not in head and (part := line.recv(65536)):
                    head += part
                if head.startswith(b"POST"):
                    self.at = time.perf_counter()
                    self.arrived.set()

    def time(self, command: list[str], environ: dict[str, str]) -> float:
        """Milliseconds from the start of the command until its POST was here."""
        self.arrived.clear()
        begun = time.perf_counter()
        process = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.arrived.wait(30)
        process.kill()
        process.wait()
        return (self.at - begun) * 1e3


def run_ms(command: list[str], environ: dict[str, str]) -> float:
    begun = time.perf_counter()
    subprocess.run(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return (time.perf_counter() - begun) * 1e3


def cpu_ms(process: int) -> float:
    """CPU that a running process has used, in milliseconds."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") * 1e3


def fine_cpu_ms(process: int) -> float:
    """The same in nanosecond steps (schedstat), all threads together."""
    total = 0
    for thread in Path(f"/proc/{process}/task").iterdir():
        total += int((thread / "schedstat").read_text().split()[0])
    return total / 1e6


def peak_mib(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def ids_file(process: subprocess.Popen[bytes], path: Path) -> str:
    """The id of the question that a waiting process asked."""
    while not path.exists():
        if process.poll() is not None:
            raise SystemExit("the program ended before it asked")
        time.sleep(0.001)
    return path.read_text().strip()


def measure_starts(server: Server, rounds: int) -> list[Row]:
    post = Row("start to POST received", "ms", "<= 13 x pass")
    helped = Row("--help", "ms", "<= 7 x pass")
    peer = Peer()
    environ = {**server.environ, "PLATFORM_URL": f"http://127.0.0.1:{peer.port}"}
    bare = [sys.executable, "-c", BARE_POST, "127.0.0.1", str(peer.port), server.path, "token"]
    for _ in range(rounds):
        base = run_ms(PASS, environ)
        post.base.append(base)
        helped.base.append(base)
        post.samples.append(peer.time([*PROGRAM, "request", "--timeout", "5", "bench"], environ))
        post.bare.append(peer.time(bare, environ))
        helped.samples.append(run_ms([*PROGRAM, "--help"], environ))
    return [post, helped]


def measure_decisions(server: Server, rounds: int, folder: Path) -> list[Row]:
    row = Row("decision sent to exit", "ms", "")
    made = Row("decision to exit (redeemed, recorded)", "ms", "p50 <= 7 ms, p99 <= 15 ms")
    for number in range(rounds):
        id_file = folder / f"id{number}"
        process = subprocess.Popen(
            [*PROGRAM, "request", "--timeout", "60", "--id-file", str(id_file), "bench"],
            env=server.environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        approval_id = ids_file(process, id_file)
        settle(process.pid)
        sent = server.approve(approval_id)
        assert process.wait() == 0
        row.samples.append((time.perf_counter() - sent) * 1e3)
        ended = time.time()
        made.samples.append((ended - server.decided_at(approval_id)) * 1e3)
        row.base.append(run_ms(PASS, server.environ))
        row.bare.append(bare_decision(server))
    return [row, made]


def bare_decision(server: Server) -> float:
    made = server.call("POST", server.path, {"action": "bare"})
    assert isinstance(made, dict)
    path = f"{server.path}/{made['approval_id']}"
    process = subprocess.Popen(
        [sys.executable, "-c", BARE_WAIT, server.host, server.port, path, server.requester], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    settle(process.pid)
    sent = server.approve(str(made["approval_id"]))
    process.wait()
    return (time.perf_counter() - sent) * 1e3


def settle(process: int) -> None:
    """Wait until a process has stopped using CPU: it waits."""
    last = -1.0
    while (now := fine_cpu_ms(process)) != last:
        last = now
        time.sleep(0.1)


def measure_runs(server: Server, rounds: int, folder: Path) -> list[Row]:
    """``run`` beside ``request`` and then the same program, of 10 MB; and hashing beside sha256sum."""
    program = folder / "program"
    shutil.copy("/bin/true", program)
    os.truncate(program, 10_000_000)
    hashed = Row("hashing 10 MB twice, as run does", "ms", "")
    rows = [Row("run", "ms", ""), Row("run, CPU", "ms", "")]
    over = [Row(f"{row.name} over request + exec", "ms", "<= hashing + 5 ms") for row in rows]
    for number in range(rounds):
        hashed.samples.append(2 * bind_ms(program))
        base = gated_ms(server, folder / f"request{number}", ["request"], ["bench"])
        base = (base[0] + run_ms([str(program)], server.environ), base[1] + cpu_of([str(program)], server.environ))
        made = gated_ms(server, folder / f"run{number}", ["run"], ["--", str(program)])
        for row, more, spent, before in zip(rows, over, made, base, strict=True):
            row.samples.append(spent)
            row.base.append(before)
            more.samples.append(spent - before)
    return [*rows, hashed, *over, hashing(folder, rounds)]


def gated_ms(server: Server, id_file: Path, command: list[str], words: list[str]) -> tuple[float, float]:
    """Milliseconds from the start until the request and from the decision to the end, and the CPU that both took."""
    cpu = _children_cpu()
    begun = time.perf_counter()
    process = subprocess.Popen(
        [*PROGRAM, *command, "--timeout", "60", "--id-file", str(id_file), *words],
        env=server.environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    approval_id = ids_file(process, id_file)
    asked = time.perf_counter()
    settle(process.pid)
    sent = server.approve(approval_id)
    assert process.wait() == 0
    return (time.perf_counter() - sent + asked - begun) * 1e3, _children_cpu() - cpu


def bind_ms(path: Path) -> float:
    """Milliseconds to bind a program, which is almost only hashing."""
    begun = time.perf_counter()
    binding.bind([str(path)], wiring.origin(), os.environ).close()
    return (time.perf_counter() - begun) * 1e3


def hashing(folder: Path, rounds: int) -> Row:
    """Binding a file of 200 MB beside sha256sum."""
    row = Row("bind a file of 200 MB, / sha256sum", "ms", "<= 1.1 x sha256sum")
    path = folder / "large"
    shutil.copy("/bin/true", path)
    os.truncate(path, 200_000_000)
    for _ in range(rounds):
        row.samples.append(bind_ms(path))
        row.base.append(run_ms(["sha256sum", str(path)], dict(os.environ)))
    path.unlink()
    return row


class Key:
    """An SSH key of the approver, enrolled at the server; and the settings of a gate that demands its signature."""

    def __init__(self, server: Server, folder: Path) -> None:
        self._server, self._path = server, folder / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self._path)], check=True)
        public = " ".join((folder / "key.pub").read_text().split()[:2])
        with credentials.opened(locate(server.environ)) as store, store.write() as transaction:
            owner = transaction.decisions.people_now()["bench"].id
            transaction.keys.add(KeyRow("a-key", owner, "ssh", "bench", public, utc_now(), "administrator"))
        keys, config = folder / "approvers.keys", folder / "config.yaml"
        keys.write_text(f"approvals 1\nbench ssh {public}\n")
        config.write_text(f"approve: {{approver_keys: {keys}}}\n")
        for path in (keys, config):
            path.chmod(0o644)
        self.demanding = {**server.environ, "WORKSPACE_CONFIG_PATH": str(config)}

    def approval_of(self, approval_id: str) -> dict[str, object]:
        """The body of an approval with a proof."""
        row = self._server.call("GET", f"{self._server.path}/{approval_id}")
        assert isinstance(row, dict)
        made = Statement(parse_subject(row["subject"]), "approved", "bench", utc_now())
        command = ["ssh-keygen", "-q", "-Y", "sign", "-f", str(self._path), "-n", NAMESPACE]
        signature = subprocess.run(command, input=made.signed_line, capture_output=True, check=True).stdout.decode()
        return {"decision": "approved", "statement": made.text, "proof": {"kind": "ssh", "signature": signature}}


def measure_receipts(server: Server, rounds: int, folder: Path) -> list[Row]:
    """A decision with a proof: to a gate that demands a receipt, and to one that does not, in turn."""
    if os.geteuid() != 0:
        return []  # the file of keys has to be root's
    row = Row("signed decision to exit, with receipt", "ms", "")
    over = Row("the same, over a gate without", "ms", "<= 15 ms")
    key = Key(server, folder)
    signed_decision_ms(server, key, key.demanding, folder / "first")  # the server loads its library
    for number in range(rounds):
        demanding = signed_decision_ms(server, key, key.demanding, folder / f"with{number}")
        plain = signed_decision_ms(server, key, server.environ, folder / f"without{number}")
        row.samples.append(demanding)
        row.base.append(run_ms(PASS, server.environ))
        over.samples.append(demanding - plain)
    return [row, over]


def signed_decision_ms(server: Server, key: Key, environ: dict[str, str], id_file: Path) -> float:
    """Milliseconds from the decision to the end of a gate with these settings."""
    process = subprocess.Popen(
        [*PROGRAM, "request", "--timeout", "60", "--id-file", str(id_file), "bench"],
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    approval_id = ids_file(process, id_file)
    settle(process.pid)
    body = key.approval_of(approval_id)
    sent = time.perf_counter()
    server.call("POST", f"{server.path}/{approval_id}/decide", body, server.approver)
    assert process.wait() == 0
    return (time.perf_counter() - sent) * 1e3


def measure_timeouts(server: Server, rounds: int) -> list[Row]:
    row = Row("timeout overshoot", "ms", "<= 50 ms")
    for _ in range(rounds):
        asked = subprocess.run(
            [*PROGRAM, "request", "--timeout", "1", "--json", "bench"], env=server.environ, capture_output=True, check=False
        )
        row.samples.append((json.loads(asked.stdout)["waited_seconds"] - 1) * 1e3)
    return [row]


@dataclass
class Waiting:
    """A program that waits, at a terminal or not, and what it had used when we began to look."""

    process: subprocess.Popen[bytes]
    terminal: int | None
    began_cpu: float = 0.0


def start_waiting(server: Server, folder: Path, number: int, *, terminal: bool) -> Waiting:
    id_file = folder / f"wait{number}-{terminal}"
    command = [*PROGRAM, "request", "--timeout", "10m", "--id-file", str(id_file), "bench"]
    if terminal:
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            command,
            env={**server.environ, "TERM": "xterm"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        threading.Thread(target=drain, args=(ours,), daemon=True).start()
    else:
        ours = None
        process = subprocess.Popen(command, env=server.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ids_file(process, id_file)
    return Waiting(process, ours)


def drain(terminal: int) -> None:
    try:
        while os.read(terminal, 65536):
            pass
    except OSError:
        pass


def measure_waits(server: Server, rounds: int, folder: Path, seconds: float) -> list[Row]:
    """Idle figures: all the processes wait side by side, each counted by itself."""
    total = Row("CPU of a 30 s wait, start included", "ms", "<= 15 x pass")
    idle = Row("idle CPU a minute, on the socket", "ms", "<= 10 ms")
    spinner = Row("idle CPU a minute, with the spinner", "ms", "<= 200 ms")
    memory = Row("peak memory while waiting", "MiB", "<= 33 MiB")
    plain = [start_waiting(server, folder, number, terminal=False) for number in range(rounds)]
    lively = [start_waiting(server, folder, number, terminal=True) for number in range(rounds)]
    time.sleep(3)  # the connects and the first reads are no idling
    for waiting in (*plain, *lively):
        waiting.began_cpu = fine_cpu_ms(waiting.process.pid)
    time.sleep(seconds)
    for waiting in plain:
        used = fine_cpu_ms(waiting.process.pid)
        a_minute = (used - waiting.began_cpu) * 60 / seconds
        idle.samples.append(a_minute)
        total.samples.append(waiting.began_cpu + a_minute / 2)
        total.base.append(cpu_of(PASS, server.environ))
        memory.samples.append(peak_mib(waiting.process.pid))
    for waiting in lively:
        spinner.samples.append((fine_cpu_ms(waiting.process.pid) - waiting.began_cpu) * 60 / seconds)
    for waiting in (*plain, *lively):
        waiting.process.kill()
        waiting.process.wait()
        if waiting.terminal is not None:
            os.close(waiting.terminal)
    return [total, idle, spinner, memory]


def cpu_of(command: list[str], environ: dict[str, str]) -> float:
    """CPU milliseconds of a whole command."""
    before = _children_cpu()
    subprocess.run(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return _children_cpu() - before


def _children_cpu() -> float:
    """CPU of all commands that have ended, in milliseconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", "--rounds", type=int, default=15, help="rounds of each figure (15)")
    parser.add_argument("--idle", type=float, default=60.0, help="seconds that the idle processes are watched (60)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = Server(folder)
        try:
            rows = measure_starts(server, given.rounds)
            rows += measure_decisions(server, given.rounds, folder)
            rows += measure_receipts(server, given.rounds, folder)
            runs = measure_runs(server, given.rounds, folder)
            rows += measure_timeouts(server, given.rounds)
            rows += measure_waits(server, given.rounds, folder, given.idle)
        finally:
            server.stop()
    print(f"n = {given.rounds}, Python {sys.version.split()[0]}, {os.cpu_count()} cores")
    print(f"{'':<38} {'median':>9} {'p99':>9} {'':<4} {'/ pass':>8} {'/ bare':>8}   goal")
    for row in rows:
        print(row.text())
    print(f"\n{'':<38} {'median':>9} {'p99':>9} {'':<4} {'/ other':>8}")
    for row in runs:
        print(row.text())


if __name__ == "__main__":
    main()
