"""What a call to the embedded server costs beside a million rows, as ratios to an empty database, from one interleaved run.

Run it with ``make bench``. It needs no network, some 700 MB in the folder of temporary files (or fewer: ``--rows``), and a
minute. It judges nothing; read the ratios, which are taken pair by pair: 1.00 says that the rows cost nothing.
"""

from __future__ import annotations

import argparse
import sqlite3
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import httpx

from molecule_approve.paths import Places
from molecule_approve.server.run import Running, ServePlan

NOW = "2026-04-27T10:00:00.000000Z"
PATIENCE = 60.0


@dataclass(frozen=True)
class Side:
    """A server, with a client that asks and one that decides."""

    server: Running
    asker: httpx.Client
    decider: httpx.Client

    @property
    def path(self) -> str:
        """The address of its requests."""
        return f"/workspaces/{self.server.requester.workspace_id}/approvals"

    def ask(self) -> str:
        """Ask; the request's id."""
        answer = self.asker.post(self.path, json={"action": "deploy", "task_id": str(uuid.uuid4())}).raise_for_status()
        return str(answer.json()["approval_id"])

    def decide(self, approval_id: str) -> None:
        """Approve."""
        self.decider.post(f"{self.path}/{approval_id}/decide", json={"decision": "approved"}).raise_for_status()

    def redeem(self, approval_id: str) -> None:
        """Use up."""
        body = {"invocation": str(uuid.uuid4())}
        self.asker.post(f"{self.path}/{approval_id}/redeem", json=body).raise_for_status()


def fill(database: Path, workspace_id: str, rows: int) -> None:
    """As many requests as ended long ago, each with its row in the journal."""
    columns = "id, workspace_id, task_id, action, reason, status, created_at, expires, decided_by, decided_at, verified"
    with closing(sqlite3.connect(database, timeout=PATIENCE)) as connection, connection:
        connection.executemany(
            f"INSERT INTO approvals ({columns}) VALUES (?, ?, ?, 'deploy', '', 'approved', ?, 1.0, 'alice', ?, 1)",
            ((str(uuid.uuid4()), workspace_id, str(uuid.uuid4()), NOW, NOW) for _ in range(rows)),
        )
        connection.execute(
            "INSERT INTO journal (approval_id, recorded_at, journaled) SELECT id, created_at, 1 FROM approvals"
        )


def took(job: Callable[[], object]) -> float:
    """Milliseconds."""
    start = time.perf_counter()
    job()
    return (time.perf_counter() - start) * 1e3


def once(side: Side, samples: dict[str, list[float]]) -> None:
    """One call of each kind."""

    def note(name: str, job: Callable[[], object]) -> None:
        samples.setdefault(name, []).append(took(job))

    asked: list[str] = []
    note("ask", lambda: asked.append(side.ask()))
    note("read it", lambda: side.asker.get(f"{side.path}/{asked[0]}").raise_for_status())
    note("list the newest", lambda: side.asker.get(side.path).raise_for_status())
    note("find a task", lambda: side.asker.get(side.path, params={"task_id": str(uuid.uuid4())}).raise_for_status())
    note("the page", lambda: side.decider.get("/desk/requests").raise_for_status())
    note("what is pending", lambda: side.decider.get("/approvals/pending").raise_for_status())
    note("decide", lambda: side.decide(asked[0]))
    note("redeem", lambda: side.redeem(asked[0]))


def opened(stack: ExitStack, folder: Path) -> Side:
    """A server in this folder."""
    server = stack.enter_context(Running(ServePlan(Places(folder / "state", folder / "run"))))
    tokens = (server.requester.token, server.add_approver("alice"))
    asker, decider = (
        stack.enter_context(
            httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE)
        )
        for token in tokens
    )
    return Side(server, asker, decider)


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ma-") as folder, ExitStack() as stack:
        empty, full = (opened(stack, Path(folder) / name) for name in ("empty", "full"))
        fill(full.server.places.database, full.server.requester.workspace_id, options.rows)
        ours: dict[str, list[float]] = {}
        base: dict[str, list[float]] = {}
        for _ in range(20):
            once(empty, {})
            once(full, {})
        for _ in range(options.rounds):
            once(empty, base)
            once(full, ours)
    print(f"{'':<18}{f'{options.rows:,} rows':>16}{'empty':>10}{'ratio':>10}")
    for name, samples in ours.items():
        ratio = statistics.median(mine / theirs for mine, theirs in zip(samples, base[name], strict=True))
        print(f"{name:<18}{statistics.median(samples):13.2f} ms{statistics.median(base[name]):7.2f} ms{ratio:8.2f} x")


if __name__ == "__main__":
    main()
