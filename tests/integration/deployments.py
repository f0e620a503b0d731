"""Servers as teams deploy them: one with SQLite, one with PostgreSQL, and three of one PostgreSQL behind nginx.

They may be killed, and so may the database; afterwards what the database holds is compared with the logs of all servers.
"""

from __future__ import annotations

import json
import signal
import ssl
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import httpx

from molecule_approve.cli.main import main
from molecule_approve.model import Secret
from molecule_approve.paths import locate
from molecule_approve.server import credentials
from molecule_approve.server.database.values import StoreError
from tests.callers import free_port, let_pass, start, until
from tests.certificates import new_pair
from tests.proxies import proxy
from tests.server.serving import environment
from tests.server.team import requester_of

if TYPE_CHECKING:
    import random

    from molecule_approve.server.database.interface import Store
    from tests.server.postgres import Cluster

PATIENCE = 60.0
"""Seconds until a call that fails is given up: longer than anything stays away."""

APPROVERS = ("alice", "bob")

_OUTCOMES = {"approved": "granted", "denied": "denied"}


class Member:
    """One server, in a process of its own, that comes back at its old address."""

    def __init__(self, home: Path, *options: str) -> None:
        self.home = home
        self.home.mkdir()
        self.port = free_port()
        self._options = options
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
            self._process.wait(PATIENCE)
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def try_to_start(self) -> None:
        """Start it; again, if the database is away."""
        until(self._started, seconds=PATIENCE)

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
class Deployment:
    """The servers and the way to them.

    Attributes:
        url: what callers are told.
        members: the servers.
        database: their database's address; None if it is SQLite's.
        cluster: the PostgreSQL that it is in.
        tokens: of the workspace's requester and of the approvers, and the workspace's id.
        certificate: of whoever listens at the address, if it is TLS.

    """

    url: str
    members: list[Member]
    database: str | None
    cluster: Cluster | None
    tokens: dict[str, str]
    certificate: Path | None

    @property
    def shared(self) -> bool:
        """Whether several servers may use its database."""
        return self.database is not None

    @property
    def path(self) -> str:
        """The requests' address."""
        return f"/workspaces/{self.tokens['workspace']}/approvals"

    def environ(self, home: Path) -> dict[str, str]:
        """What a requester's program has to know, with a log of its own in this folder."""
        trusted = {} if self.certificate is None else {"SSL_CERT_FILE": str(self.certificate)}
        return {
            **environment(home),
            **trusted,
            "PLATFORM_URL": self.url,
            "WORKSPACE_ID": self.tokens["workspace"],
            "MOLECULE_TOKEN": self.tokens["requester"],
            "AUDIT_LOG_PATH": str(home / "audit.jsonl"),
            "CONFIGS_DIR": str(home / "none"),
        }

    def opened(self) -> AbstractContextManager[Store]:
        """The database, as an administrator's command opens it."""
        return _opened(self.members[0].home, self.database)

    # --- calls

    @cached_property
    def _trusted(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.certificate)

    def call(self, method: str, path: str, token: str, right: set[int], **more: Any) -> httpx.Response:  # noqa: ANN401 - httpx's
        """The answer to a call, which is made until it is one that says what is so."""
        found: list[httpx.Response] = []

        def answered() -> bool:
            try:
                with httpx.Client(verify=self._trusted, trust_env=False, timeout=20) as client:
                    found[:] = [client.request(method, f"{self.url}{path}", **{**more, "headers": headers})]
            except httpx.TransportError:
                return False
            return found[0].status_code in right

        headers = {"Authorization": f"Bearer {self.tokens[token]}", **more.pop("headers", {})}
        until(answered, seconds=PATIENCE)
        return found[0]

    def decide(self, approval_id: str, decision: str, name: str = "alice") -> bool:
        """Whether it was this decision that counts, as far as the server told."""
        body = {"decision": decision}
        return self.call("POST", f"{self.path}/{approval_id}/decide", name, {200, 409}, json=body).status_code == 200

    def withdraw(self, approval_id: str) -> None:
        """Take back."""
        self.call("POST", f"{self.path}/{approval_id}/withdraw", "requester", {200, 409})

    def one(self, approval_id: str) -> dict[str, Any]:
        """One request."""
        found: dict[str, Any] = self.call("GET", f"{self.path}/{approval_id}", "requester", {200}).json()
        return found

    # --- faults

    @contextmanager
    def raging(self, chance: random.Random, pause: float) -> Iterator[Counter[str]]:
        """Servers, and PostgreSQL, are killed inside this block, one after the other; at its end all run."""
        over, faults = threading.Event(), Counter[str]()
        kinds = ["kill", "kill", "kill", "stop"] + ([] if self.cluster is None else ["crash", "away"])

        def rage() -> None:
            while not over.wait(chance.uniform(0.3, 1.0) * pause):
                kind = chance.choice(kinds)
                faults[kind] += 1
                self._fail(kind, chance, over)

        with ThreadPoolExecutor(1) as pool:
            raging = pool.submit(rage)
            try:
                yield faults
            finally:
                over.set()
                raging.result()

    def _fail(self, kind: str, chance: random.Random, over: threading.Event) -> None:
        if kind in {"kill", "stop"}:
            member = chance.choice(self.members)
            member.end(signal.SIGKILL if kind == "kill" else signal.SIGTERM)
            over.wait(chance.uniform(0, 0.5))
            member.try_to_start()
            return
        assert self.cluster is not None
        with self.cluster.away(signal.SIGQUIT if kind == "crash" else signal.SIGINT):
            let_pass(chance.uniform(0, 3.0) if kind == "away" else 0)

    # --- what must hold

    def settle(self) -> None:
        """Wait until every end is noted as recorded."""
        with self.opened() as store:
            until(lambda: _quietly(lambda: _unrecorded(store)) == 0, seconds=PATIENCE)

    def rows(self) -> dict[str, Any]:
        """The requests, by id."""
        with self.opened() as store, store.read() as transaction:
            return {row.id: row for row in transaction.connection.exec_driver_sql("SELECT * FROM approvals")}

    def wrong(self) -> Iterator[str]:
        """All that must not be, once it is settled: each end is in one log once, as it is, and nothing was asked twice."""
        rows = self.rows()
        with self.opened() as store, store.read() as transaction:
            found = transaction.connection.exec_driver_sql("SELECT approval_id FROM journal")
            journal = Counter(row.approval_id for row in found)
        lines = [line for member in self.members if member.log.exists() for line in member.log.read_bytes().splitlines()]
        records = [json.loads(line) for line in lines if b'"approval_id"' in line]
        recorded = Counter(record["approval_id"] for record in records)
        ended = {row.id for row in rows.values() if row.status != "pending"}
        yield from (f"{one} is in the logs {recorded[one]} times" for one in ended if recorded[one] != 1)
        yield from (f"{one} is in the logs and has not ended" for one in set(recorded) - ended)
        yield from (f"{one} has {journal[one]} rows in the outbox" for one in ended if journal[one] != 1)
        for record in records:
            yield from _misrecorded(record, rows[record["approval_id"]])
        actions = Counter(row.action for row in rows.values())
        yield from (f"{action!r} was asked {count} times" for action, count in actions.items() if count > 1)

    def verify(self) -> None:
        """Stop the servers; their logs are whole."""
        for member in self.members:
            member.end(signal.SIGTERM)
            if member.log.exists():
                assert main(["audit", "verify", "--audit-log", str(member.log)]) == 0


def _misrecorded(record: dict[str, Any], row: Any) -> Iterator[str]:  # noqa: ANN401 - a row
    if row.decided_by in APPROVERS and record["outcome"] != _OUTCOMES[row.status]:
        yield f"{row.id} is {row.status}, and its record says {record['outcome']}"
    if record["decided_by"] != row.decided_by:
        yield f"{row.id} was decided by {row.decided_by}, and its record says {record['decided_by']}"


def _unrecorded(store: Store) -> int:
    with store.read() as transaction:
        query = "SELECT count(*) FROM journal WHERE NOT journaled"
        return int(transaction.connection.exec_driver_sql(query).scalar_one())


def _quietly(job: Callable[[], int]) -> int | None:
    try:
        return job()
    except StoreError:
        return None


def _opened(home: Path, database: str | None) -> AbstractContextManager[Store]:
    return credentials.opened(locate(environment(home)), database=None if database is None else Secret(database))


@contextmanager
def deployed(
    cluster: Cluster | None,
    database: str | None,
    *,
    replicas: bool,
    policy: str = "",
    approvers: Sequence[str] = APPROVERS,
) -> Iterator[Deployment]:
    """The servers, which run, until the end of the block: one, or three behind nginx; with this text as their policy."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="ma-")))
        options = [] if database is None else ["--database", database]
        if policy:
            (folder / "policy.yaml").write_text(policy)
            options += ["--policy", str(folder / "policy.yaml")]
        if replicas:
            pair, port = new_pair(folder / "tls"), free_port()
            url = f"https://localhost:{port}"
            options += ["--public-url", url, "--trusted-proxy", "127.0.0.1"]
            members = [Member(folder / str(number), *options) for number in range(3)]
            upstream = ";\n    server ".join(f"127.0.0.1:{member.port}" for member in members)
            stack.enter_context(proxy(folder, "own host", port, upstream, pair))
        else:
            members = [Member(folder / "0", *options)]
            url = f"http://127.0.0.1:{members[0].port}"
        # Before the start: a server does not start with a policy that too few approvers could meet.
        with _opened(members[0].home, database) as store:
            tokens = {name: credentials.add_approver(store, name) for name in approvers}
        for member in members:
            stack.callback(member.end, signal.SIGKILL)
            member.start()
        workspace, requester = requester_of(members[0].home)
        tokens |= {"workspace": workspace, "requester": requester}
        yield Deployment(url, members, database, cluster, tokens, pair.cert if replicas else None)
