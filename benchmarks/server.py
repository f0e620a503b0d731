"""How fast the embedded server is, and what it needs, as one table from one interleaved run.

Run it with ``make bench``. It needs no network, some 700 MB in the folder of temporary files (or fewer: ``--rows``), and
some minutes. It judges nothing; the goals stand in the table to be compared. Single times say little on a machine that
others use too: read processor times and ratios, which are taken pair by pair. ``--beside FOLDER`` measures the server of
another source tree in turn with this one.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lines import PATIENCE, Line, drain, listening, raise_limit, storm
from postgres_server import PostgresServer, analyse, why_no_postgres
from served import OURS, Served, Side

if TYPE_CHECKING:
    import socket

NOW = "2026-04-27T10:00:00.000000Z"
CLIENTS = 32
CROWDS = (1, 1_000, 5_000)
PARTS = ("streams", "storms", "postgres", "rows", "commands")


@dataclass(frozen=True)
class Plan:
    """What to measure, how often."""

    sides: list[Side]
    rows: int
    rounds: int
    commands: int
    seconds: float


_WARM = 60
"""Rounds that are not counted; after them the list of the fifty newest is full on either side."""

Figure = tuple[str, list[str], str]
"""A line of the table: its name, a text for each side, the goal."""


def at(samples: list[float], share: float) -> float:
    """The sample below which this share of them lies."""
    ordered = sorted(samples)
    return ordered[round(share * (len(ordered) - 1))]


def took(job: Callable[[], object]) -> float:
    """Milliseconds."""
    start = time.perf_counter()
    job()
    return (time.perf_counter() - start) * 1e3


class Bench:
    """Servers in folders of their own, one for each side, in one temporary folder."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def _each(self, stack: ExitStack, **options: str) -> list[Served]:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ma-")))
        servers = []
        for number, side in enumerate(self.plan.sides):
            (folder / str(number)).mkdir()
            servers.append(stack.enter_context(side.served(folder / str(number), **options)))
        return servers

    # --- streams

    def streams(self) -> Iterator[Figure]:
        """Memory for an idle waiter's socket, and the time from a decision to the first event."""
        memory: list[str] = []
        named: dict[int, list[str]] = {count: [] for count in CROWDS}
        unnamed: dict[int, list[str]] = {count: [] for count in CROWDS}
        for side in self.plan.sides:
            with tempfile.TemporaryDirectory(prefix="ma-") as folder, side.served(Path(folder)) as server:
                memory.append(f"{_memory(server, 2_000):.1f} KB")
            for count in CROWDS:
                for kind, texts in ((True, named[count]), (False, unnamed[count])):
                    with tempfile.TemporaryDirectory(prefix="ma-") as folder, side.served(Path(folder)) as server:
                        texts.append(_delay(server, count, self.plan.rounds, named=kind))
        yield "memory of an idle waiter's socket", memory, "25 KB"
        for count, goal in zip(CROWDS, ("6 ms", "12 ms", "40 ms"), strict=True):
            yield f"decision to first event, {count:,} waiters, p99", named[count], goal
        for count in CROWDS:
            yield f"… waiters that name none, {count:,}", unnamed[count], "(median, processor)"

    # --- throughput

    def storms(self) -> Iterator[Figure]:
        """Ask, decide and redeem, by many clients at once."""
        with ExitStack() as stack:
            servers = self._each(stack)
            yield from _stormed("ask + decide + redeem, 32 clients", servers, self.plan, ">= 800 a second")

    def postgres(self) -> Iterator[Figure]:
        """The same on PostgreSQL, by one server and by two."""
        why = why_no_postgres()
        if why:
            yield "the same on PostgreSQL", [why], ">= 400 a second"
            return
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ma-")))
            own = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ma-", ignore_cleanup_errors=True)))
            database = stack.enter_context(PostgresServer(own / "postgres")).url
            replicas = [stack.enter_context(Served(_made(folder / str(n)), database=database)) for n in range(2)]
            _rate(replicas, self.plan.seconds)
            analyse(database)
            one, two = [], []
            for _ in range(4):
                one.append(_rate(replicas[:1], self.plan.seconds))
                two.append(_rate(replicas, self.plan.seconds))
            ratio = statistics.median(both / single for both, single in zip(two, one, strict=True))
            yield "the same, PostgreSQL, one replica", [f"{statistics.median(one):.0f} a second"], ">= 400 a second"
            yield "… two replicas", [f"{statistics.median(two):.0f} a second ({ratio:.2f} x)"], ">= 1.4 x"

    # --- a million rows

    def rows(self) -> Iterator[Figure]:
        """What calls cost beside many rows, as ratios to an empty database; and how long the start takes."""
        found: list[dict[str, str]] = []
        starts: list[str] = []
        for side in self.plan.sides:
            with ExitStack() as stack:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ma-")))
                empty_folder, full_folder = _made(folder / "empty"), _made(folder / "full")
                with side.served(full_folder) as server:
                    fill(server.database, server.workspace_id, self.plan.rows)
                timed = {place: [_start(side, place) for _ in range(5)] for place in (empty_folder, full_folder)}
                starts.append(" / ".join(f"{min(times):.2f} s" for times in reversed(timed.values())))
                empty, full = (stack.enter_context(side.served(place)) for place in (empty_folder, full_folder))
                found.append(_ratios(empty, full, self.plan.rounds))
        for name in found[0]:
            yield f"{name}, {self.plan.rows:,} rows", [texts[name] for texts in found], "1.3 x"
        yield f"start-up, {self.plan.rows:,} rows / empty", starts, "1 s"

    # --- commands

    def commands(self) -> Iterator[Figure]:
        """Many commands that start at the same time, each with a request of its own."""
        texts = []
        for side in self.plan.sides:
            with tempfile.TemporaryDirectory(prefix="ma-") as folder, side.served(Path(folder)) as server:
                texts.append(_started_at_once(side, server, self.plan.commands))
        yield f"{self.plan.commands} commands at once: failed, asked twice", texts, "0, 0"


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _memory(server: Served, count: int) -> float:
    """KB for each socket, from so many on to twice as many."""
    sockets = [listening(server.place(n), server.workspace_id, server.requester) for n in range(count)]
    before = server.memory()
    sockets += [listening(server.place(n), server.workspace_id, server.requester) for n in range(count)]
    grown = server.memory() - before
    for one in sockets:
        one.close()
    return grown / count / 1_024


def _delay(server: Served, count: int, rounds: int, *, named: bool) -> str:
    """From the decision to the first byte at the socket that waits for it, with so many that wait for others."""
    asker, decider = Line(server.url, server.requester), Line(server.url, server.approver)

    def ask() -> str:
        return str(asker.ask("POST", server.requests, {"action": "deploy", "task_id": str(uuid.uuid4())})["approval_id"])

    def waiting(approval_id: str, number: int) -> socket.socket:
        return listening(server.place(number), server.workspace_id, server.requester, approval_id if named else None)

    others = [ask() for _ in range(100)]
    crowd = [waiting(others[number % len(others)], number) for number in range(count - 1)]
    samples, costs = [], []
    for _ in range(rounds):
        approval_id = ask()
        with closing(waiting(approval_id, 0)) as mine:
            drain(crowd)
            spent, start = server.cpu(), time.perf_counter()
            decider.send("POST", f"{server.requests}/{approval_id}/decide", {"decision": "approved"})
            mine.recv(1)
            samples.append((time.perf_counter() - start) * 1e3)
            costs.append((server.cpu() - spent) * 1e3)
            decider.answer()
    for one in crowd:
        one.close()
    return f"{at(samples, 0.99):.1f} ms ({statistics.median(samples):.1f}, cpu {statistics.median(costs):.1f})"


def _rate(servers: list[Served], seconds: float) -> float:
    """Requests a second that are asked, decided and redeemed, the clients spread over the servers."""
    done: list[float] = []

    def run(server: Served) -> None:
        tokens = (server.requester, server.approver)
        count, took_seconds = storm(server.url, server.requests, tokens, CLIENTS // len(servers), seconds)
        done.append(count / took_seconds)

    threads = [threading.Thread(target=run, args=(server,)) for server in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done)


def _stormed(name: str, servers: list[Served], plan: Plan, goal: str) -> Iterator[Figure]:
    rates: list[list[float]] = [[] for _ in servers]
    costs: list[list[float]] = [[] for _ in servers]
    for _ in range(4):
        for number, server in enumerate(servers):
            before = server.cpu()
            rate = _rate([server], plan.seconds)
            rates[number].append(rate)
            costs[number].append((server.cpu() - before) * 1e3 / (rate * plan.seconds))
    yield name, [f"{statistics.median(one):.0f} a second" for one in rates], goal
    yield "… processor time of the server for each", [f"{statistics.median(one):.2f} ms" for one in costs], ""


def fill(database: Path, workspace_id: str, rows: int) -> None:
    """As many requests as ended long ago, each with its row in the journal."""
    columns = "id, workspace_id, task_id, action, reason, status, created_at, expires, decided_by, decided_at, verified"
    with closing(sqlite3.connect(database, timeout=PATIENCE)) as connection, connection:
        connection.execute(
            f"INSERT INTO approvals ({columns}) "
            "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?) "
            "SELECT lower(hex(randomblob(18))), ?, lower(hex(randomblob(18))), 'deploy', '', "
            "'approved', ?, 1.0, 'alice', ?, 1 FROM numbers",
            (rows, workspace_id, NOW, NOW),
        )
        connection.execute(
            "INSERT INTO journal (approval_id, recorded_at, journaled) SELECT id, created_at, 1 FROM approvals"
        )


def _start(side: Side, folder: Path) -> float:
    """Seconds until it serves."""
    start = time.perf_counter()
    with side.served(folder):
        return time.perf_counter() - start


def _ratios(empty: Served, full: Served, rounds: int) -> dict[str, str]:
    ours: dict[str, list[float]] = {}
    base: dict[str, list[float]] = {}
    lines = [(server, Line(server.url, server.requester), Line(server.url, server.approver)) for server in (empty, full)]
    for number in range(rounds + _WARM):
        for (server, asker, decider), samples in zip(lines, (base, ours), strict=True):
            _once(server, asker, decider, samples if number >= _WARM else {})
    return {
        name: f"{statistics.median(a / b for a, b in zip(samples, base[name], strict=True)):.2f} x"
        f" ({statistics.median(samples):.1f} ms)"
        for name, samples in ours.items()
    }


def _once(server: Served, asker: Line, decider: Line, samples: dict[str, list[float]]) -> None:
    """One call of each kind."""
    path = server.requests

    def note(name: str, job: Callable[[], object]) -> None:
        samples.setdefault(name, []).append(took(job))

    asked: list[str] = []
    task = {"action": "deploy", "task_id": str(uuid.uuid4())}
    note("POST", lambda: asked.append(asker.ask("POST", path, task)["approval_id"]))
    note("read it", lambda: asker.ask("GET", f"{path}/{asked[0]}"))
    note("list", lambda: asker.ask("GET", path))
    note("find a task", lambda: asker.ask("GET", f"{path}?task_id={uuid.uuid4()}"))
    note("page", lambda: decider.ask("GET", "/desk/requests"))
    note("pending", lambda: decider.ask("GET", "/approvals/pending"))
    note("decide", lambda: decider.ask("POST", f"{path}/{asked[0]}/decide", {"decision": "approved"}))
    note("redeem", lambda: asker.ask("POST", f"{path}/{asked[0]}/redeem", {"invocation": str(uuid.uuid4())}))


def _started_at_once(side: Side, server: Served, count: int) -> str:
    """How many of the commands failed, and how many of their requests the server has twice."""
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("MOLECULE", "APPROVAL", "PLATFORM"))},
        "PYTHONPATH": str(side.tree),
        "XDG_STATE_HOME": str(server.folder / "theirs"),
        "XDG_CONFIG_HOME": str(server.folder / "theirs"),
        "PLATFORM_URL": server.url,
        "WORKSPACE_ID": server.workspace_id,
        "MOLECULE_TOKEN": server.requester,
    }
    (server.folder / "theirs").mkdir(mode=0o700)
    command = [sys.executable, "-m", "molecule_approve", "request", "--timeout", "600", "--"]
    start = time.perf_counter()
    null = subprocess.DEVNULL
    running = [
        subprocess.Popen([*command, f"deploy {number}"], env=environ, stdin=null, stdout=null, stderr=subprocess.PIPE)
        for number in range(count)
    ]
    over = threading.Event()
    decider = threading.Thread(target=_approve_all, args=(server, over))
    decider.start()
    said = [one.communicate()[1].decode(errors="replace") for one in running]
    over.set()
    decider.join()
    seconds = time.perf_counter() - start
    failed = [text for one, text in zip(running, said, strict=True) if one.returncode != 0]
    for text in sorted(set(failed))[:5]:
        print(text.strip(), file=sys.stderr)
    with closing(sqlite3.connect(server.database)) as database:
        twice = database.execute("SELECT count(*) - count(DISTINCT task_id) FROM approvals").fetchone()[0]
    return f"{len(failed)}, {twice} ({seconds:.0f} s)"


def _approve_all(server: Served, over: threading.Event) -> None:
    line = Line(server.url, server.approver)
    while not over.wait(0.2):
        for row in line.ask("GET", "/approvals/pending"):
            try:
                line.ask("POST", f"{server.requests}/{row['id']}/decide", {"decision": "approved"})
            except RuntimeError:  # withdrawn meanwhile
                continue


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--commands", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--beside", type=Path, help="another source tree, measured in turn with this one")
    parser.add_argument("--only", choices=PARTS, action="append")
    options = parser.parse_args()
    raise_limit()
    sides = [Side("now", OURS), *([] if options.beside is None else [Side("beside", options.beside.resolve())])]
    bench = Bench(Plan(sides, options.rows, options.rounds, options.commands, options.seconds))
    print(f"{'':<50}" + "".join(f"{side.name:>34}" for side in sides) + "   goal")
    for part in options.only or PARTS:
        for name, texts, goal in getattr(bench, part)():
            print(f"{name:<50}" + "".join(f"{text:>34}" for text in texts) + f"   {goal}", flush=True)


if __name__ == "__main__":
    main()
