"""Three servers of one PostgreSQL behind nginx, killed all the time, and the database too: what must hold holds."""

from __future__ import annotations

import json
import os
import random
import signal
import ssl
import subprocess
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from molecule_approve.cli.main import main
from molecule_approve.model import Secret
from molecule_approve.paths import locate
from molecule_approve.server import credentials
from molecule_approve.server.database.values import StoreError
from tests.callers import let_pass, start, until
from tests.certificates import new_pair
from tests.proxies import free_port, needs_nginx, proxy
from tests.server.serving import environment
from tests.server.team import requester_of

if TYPE_CHECKING:
    from tests.certificates import KeyPair
    from tests.server.postgres import Cluster

SERVERS = 3
AT_ONCE = 6

_PATIENCE = 60.0
"""Seconds until a call that fails is given up: longer than anything stays away."""

_OUTCOMES = {"approved": "granted", "denied": "denied"}
_CODES = {"approved": 0, "denied": 77}


class Member:
    """One server, in a process of its own, that comes back at its old address."""

    def __init__(self, home: Path, url: str, public_url: str) -> None:
        self.home = home
        self.home.mkdir()
        self.port = free_port()
        self._options = ("--database", url, "--public-url", public_url, "--trusted-proxy", "127.0.0.1")
        self._process: subprocess.Popen[Any] | None = None

    def start(self) -> None:
        """Start it, and wait until it serves."""
        with (self.home / "serve.err").open("ab") as talk:
            self._process = start(
                ("serve", "--port", str(self.port), *self._options),
                env=environment(self.home),
                stdout=subprocess.PIPE,
                stderr=talk,
            )
        assert self._process.stdout is not None
        assert self._process.stdout.readline(), (self.home / "serve.err").read_text()

    def end(self, number: signal.Signals) -> None:
        """End it, if it runs."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(_PATIENCE)
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def try_to_start(self) -> None:
        """Start it; again, if the database is away."""
        until(self._started, _PATIENCE)

    def _started(self) -> bool:
        try:
            self.start()
        except AssertionError:
            self.end(signal.SIGKILL)
            return False
        return True

    @property
    def log(self) -> Path:
        """Its audit log."""
        return locate(environment(self.home)).server_log


@dataclass
class Told:
    """What callers were told of one request.

    Attributes:
        decided: the names and decisions that were answered with 200.
        redeemed: the invocations that were.
        code: the program's exit code, if one asked and waited.
    """

    id: str
    decided: set[tuple[str, str]] = field(default_factory=set)
    redeemed: set[str] = field(default_factory=set)
    code: int | None = None


@dataclass
class Storm:
    """The servers, the way to them, and what was told."""

    folder: Path
    url: str
    pair: KeyPair
    members: list[Member]
    tokens: dict[str, str]
    random: random.Random
    told: list[Told] = field(default_factory=list)

    def call(self, method: str, path: str, token: str, right: set[int], **more: Any) -> httpx.Response:  # noqa: ANN401 - httpx's
        """The answer to a call, which is made until it is one that says what is so."""
        trusted = ssl.create_default_context(cafile=str(self.pair.cert))
        found: list[httpx.Response] = []

        def answered() -> bool:
            try:
                with httpx.Client(verify=trusted, trust_env=False, timeout=20) as client:
                    found[:] = [client.request(method, f"{self.url}{path}", **{**more, "headers": headers})]
            except httpx.TransportError:
                return False
            return found[0].status_code in right

        headers = {"Authorization": f"Bearer {token}", **more.pop("headers", {})}
        until(answered, _PATIENCE)
        return found[0]

    @property
    def path(self) -> str:
        """The requests' address."""
        return f"/workspaces/{self.tokens['workspace']}/approvals"

    # --- what callers do

    def ask_and_decide(self, number: int) -> None:
        """Ask, have two approvers decide against each other, and redeem twice."""
        key = {"Idempotency-Key": f"key {number}"}
        body = {"action": f"step {number}"}
        asked = self.call("POST", self.path, self.tokens["requester"], {200, 201}, json=body, headers=key)
        told = Told(asked.json()["approval_id"])
        self.told.append(told)
        words = [("alice", "approved"), ("bob", self.random.choice(["approved", "denied"]))]
        self._at_once([lambda word=word: self._decide(told, *word) for word in words])  # type: ignore[misc]
        self._at_once([lambda: self._redeem(told)] * 2)

    def _decide(self, told: Told, name: str, decision: str) -> None:
        path = f"{self.path}/{told.id}/decide"
        answer = self.call("POST", path, self.tokens[name], {200, 409}, json={"decision": decision})
        if answer.status_code == 200:
            told.decided.add((name, decision))

    def _redeem(self, told: Told) -> None:
        invocation = str(uuid.uuid4())
        path = f"{self.path}/{told.id}/redeem"
        answer = self.call("POST", path, self.tokens["requester"], {200, 409}, json={"invocation": invocation})
        if answer.status_code == 200 and answer.json()["status"] == "approved":
            told.redeemed.add(invocation)

    @staticmethod
    def _at_once(jobs: list[Callable[[], None]]) -> None:
        with ThreadPoolExecutor(len(jobs)) as pool:
            for running in [pool.submit(job) for job in jobs]:
                running.result()

    def run_program(self, number: int) -> None:
        """The real program asks and waits; somebody decides meanwhile."""
        home = self.folder / f"program {number}"
        home.mkdir()
        env = {
            **environment(home),
            "PLATFORM_URL": self.url,
            "WORKSPACE_ID": self.tokens["workspace"],
            "MOLECULE_TOKEN": self.tokens["requester"],
            "SSL_CERT_FILE": str(self.pair.cert),
            "AUDIT_LOG_PATH": str(home / "audit.jsonl"),
            "CONFIGS_DIR": str(home / "none"),
        }
        options = ("--transport", ("websocket", "poll")[number % 2], "--poll-interval", "1", "--timeout", "60", "--json")
        with (home / "err").open("wb") as err:
            words = ("request", *options, "--", f"program {number}")
            process = start(words, env=env, stdout=subprocess.PIPE, stderr=err)
            log = home / "audit.jsonl"
            until(lambda: (log.exists() and b'"requested"' in log.read_bytes()) or process.poll() is not None, _PATIENCE)
            asked = [json.loads(line) for line in log.read_bytes().splitlines() if b'"requested"' in line]
            if asked:
                told = Told(asked[0]["approval_id"])
                self.told.append(told)
                self._decide(told, "alice", self.random.choice(["approved", "denied"]))
                told.code = process.wait(2 * _PATIENCE)
            process.communicate(timeout=2 * _PATIENCE)

    # --- what must hold

    def wrong(self, store: Any) -> Iterator[str]:  # noqa: ANN401 - a store
        """Everything that must not be."""
        with store.read() as transaction:
            rows = {row.id: row for row in transaction.connection.exec_driver_sql("SELECT * FROM approvals")}
            journal = Counter(
                row.approval_id for row in transaction.connection.exec_driver_sql("SELECT approval_id FROM journal")
            )
        lines = [line for member in self.members if member.log.exists() for line in member.log.read_bytes().splitlines()]
        found = [json.loads(line) for line in lines if b'"approval_id"' in line]
        recorded = Counter(record["approval_id"] for record in found)
        ended = {row.id for row in rows.values() if row.status != "pending"}
        yield from (f"{one} is in the logs {recorded[one]} times" for one in ended if recorded[one] != 1)
        yield from (f"{one} is in the logs and has not ended" for one in set(recorded) - ended)
        yield from (f"{one} has {journal[one]} rows in the outbox" for one in ended if journal[one] != 1)
        for record in found:
            row = rows[record["approval_id"]]
            if record["outcome"] != _OUTCOMES[row.status] and row.decided_by in {"alice", "bob"}:
                yield f"{row.id} is {row.status}, and its record says {record['outcome']}"
            if record["decided_by"] != row.decided_by:
                yield f"{row.id} was decided by {row.decided_by}, and its record says {record['decided_by']}"
        actions = Counter(row.action for row in rows.values())
        yield from (f"{action!r} was asked {count} times" for action, count in actions.items() if count > 1)
        for told in self.told:
            yield from _contradictions(told, rows[told.id])

    def unrecorded(self, store: Any) -> int:  # noqa: ANN401 - a store
        """How many ended requests are not marked as recorded."""
        with store.read() as transaction:
            query = "SELECT count(*) FROM journal WHERE NOT journaled"
            return int(transaction.connection.exec_driver_sql(query).scalar_one())


def _contradictions(told: Told, row: Any) -> Iterator[str]:  # noqa: ANN401 - a row
    if len(told.decided) > 1:
        yield f"{told.id}: both were told that they decided: {told.decided}"
    if told.decided and told.decided != {(row.decided_by, row.status)}:
        yield f"{told.id}: {told.decided} was told, and it is {row.status} by {row.decided_by}"
    if len(told.redeemed) > 1:
        yield f"{told.id}: redeemed twice"
    if told.redeemed and told.redeemed != {row.used_by}:
        yield f"{told.id}: redeemed by {told.redeemed}, and the database says {row.used_by}"
    if told.redeemed and row.status != "approved":
        yield f"{told.id}: redeemed, and it is {row.status}"
    if told.code is not None and told.code != _CODES.get(row.status) and row.decided_by in {"alice", "bob"}:
        yield f"{told.id}: the program's code is {told.code}, and it is {row.status} by {row.decided_by}"


@contextmanager
def _raging(storm: Storm, database: Cluster, pause: float) -> Iterator[Counter[str]]:
    """Servers and database are killed inside this block, one after the other; at its end all run."""
    over, faults = threading.Event(), Counter[str]()

    def rage() -> None:
        while not over.wait(storm.random.uniform(0.3, 1.0) * pause):
            kind = storm.random.choice(["kill", "kill", "kill", "stop", "crash", "away"])
            faults[kind] += 1
            if kind in {"kill", "stop"}:
                member = storm.random.choice(storm.members)
                member.end(signal.SIGKILL if kind == "kill" else signal.SIGTERM)
                over.wait(storm.random.uniform(0, 0.5))
                member.try_to_start()
            else:
                with database.away(signal.SIGQUIT if kind == "crash" else signal.SIGINT):
                    let_pass(storm.random.uniform(0, 3.0) if kind == "away" else 0)

    with ThreadPoolExecutor(1) as pool:
        raging = pool.submit(rage)
        try:
            yield faults
        finally:
            over.set()
            raging.result()


def outlive(database: Cluster, url: str, cycles: int, programs: int, pause: float) -> None:
    """A storm, and what must hold after it."""
    seed = int(os.environ.get("STORM_SEED", "7"))
    sys.stdout.write(f"STORM_SEED={seed}\n")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="ma-")))
        pair, port = new_pair(folder / "tls"), free_port()
        public_url = f"https://localhost:{port}"
        members = [Member(folder / str(number), url, public_url) for number in range(SERVERS)]
        for member in members:
            stack.callback(member.end, signal.SIGKILL)
            member.start()
        workspace, requester = requester_of(members[0].home)
        store = stack.enter_context(credentials.opened(locate(environment(members[0].home)), database=Secret(url)))
        tokens = {"workspace": workspace, "requester": requester}
        tokens |= {name: credentials.add_approver(store, name) for name in ("alice", "bob")}
        upstream = ";\n    server ".join(f"127.0.0.1:{member.port}" for member in members)
        stack.enter_context(proxy(folder, "own host", port, upstream, pair))
        storm = Storm(folder, public_url, pair, members, tokens, random.Random(seed))
        with _raging(storm, database, pause) as faults, ThreadPoolExecutor(AT_ONCE) as pool:
            jobs = [pool.submit(storm.run_program, number) for number in range(programs)]
            jobs += [pool.submit(storm.ask_and_decide, number) for number in range(cycles)]
            for job in jobs:
                job.result()
        sys.stdout.write(f"{len(storm.told)} requests, faults: {dict(faults)}\n")
        until(lambda: _quietly(lambda: storm.unrecorded(store)) == 0, _PATIENCE)
        assert list(storm.wrong(store)) == []
        assert len(storm.told) == cycles + programs
        for member in members:
            member.end(signal.SIGTERM)
            if member.log.exists():
                assert main(["audit", "verify", "--audit-log", str(member.log)]) == 0


def _quietly(job: Callable[[], int]) -> int | None:
    try:
        return job()
    except StoreError:
        return None


@needs_nginx
@pytest.mark.timeout(300)
def test_a_storm_over_three_servers(postgres_cluster: Cluster, postgres_url: str) -> None:
    """No decision is lost, doubled or changed; no approval is redeemed twice; each is in one log, once."""
    outlive(postgres_cluster, postgres_url, cycles=40, programs=4, pause=0.8)


@needs_nginx
@pytest.mark.soak
@pytest.mark.timeout(1_800)
def test_a_long_storm_over_three_servers(postgres_cluster: Cluster, postgres_url: str) -> None:
    """The same, for minutes."""
    outlive(postgres_cluster, postgres_url, cycles=600, programs=60, pause=2.0)
