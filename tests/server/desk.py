"""A served workspace at hand for a test: its requester's and an approver's clients, and the words to ask and decide."""

from __future__ import annotations

import json
import socket
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from molecule_approve.clock import utc_now
from molecule_approve.server import administration, credentials
from molecule_approve.server.tokens import hash_token
from tests.integration.raw_http import PLAIN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from websockets.sync.connection import Connection

    from molecule_approve.paths import Places
    from molecule_approve.server.run import Running

PATIENCE = 30.0
"""Seconds after which a test stops waiting for what should have come at once."""


class Client(httpx.Client):
    """Asks the server, checks that each answer says whose it is, and gives it on without that: tests compare the rest."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - httpx's
        super().__init__(verify=PLAIN, **options)

    def send(self, *arguments: Any, **more: Any) -> httpx.Response:  # noqa: ANN401 - httpx's signature
        """Send one request."""
        answer = super().send(*arguments, **more)
        assert answer.headers["x-molecule-server"] == "embedded"
        if answer.content and "json" in answer.headers.get("content-type", ""):
            answer._content = json.dumps(unsigned(answer.json())).encode()
        return answer


def unsigned(value: Any) -> Any:  # noqa: ANN401 - JSON
    """The answer's JSON without the field that says whose it is, which every object of it must have."""
    if isinstance(value, list):
        return [unsigned(row) for row in value]
    assert value.pop("server") == "molecule-approve"
    return value


@dataclass(frozen=True)
class Socket:
    """An open event stream."""

    connection: Connection

    def event(self) -> dict[str, Any]:
        """The next event."""
        found: dict[str, Any] = json.loads(self.connection.recv(PATIENCE))
        return found

    def events(self, count: int) -> list[str]:
        """The names of so many events."""
        return [self.event()["event"] for _ in range(count)]


@dataclass(frozen=True)
class Desk:
    """A server, its own workspace, and an approver called alice."""

    server: Running
    asker: Client
    decider: Client

    @property
    def workspace_id(self) -> str:
        """The server's own workspace."""
        return self.server.requester.workspace_id

    @property
    def path(self) -> str:
        """The address of the workspace's requests."""
        return f"/workspaces/{self.workspace_id}/approvals"

    def client(self, token: str | None) -> Client:
        """A client with this token; the server's end closes it."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return Client(base_url=self.server.url, headers=headers, timeout=PATIENCE)

    def ask(self, action: str = "deploy", **more: Any) -> str:  # noqa: ANN401 - JSON
        """Ask, and give the request's id."""
        answer = self.asker.post(self.path, json={"action": action, **more})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["approval_id"])

    def ask_heard(self, **more: Any) -> str:  # noqa: ANN401 - JSON
        """Ask, and wait until it is told, so that no stream hears of it that is opened afterwards; the request's id."""
        with self.listening() as stream:
            approval_id = self.ask(**more)
            assert stream.event()["event"] == "APPROVAL_REQUESTED"
        return approval_id

    def ask_as(self, name: str, **more: Any) -> str:  # noqa: ANN401 - JSON
        """Ask as a new requester of this name, and give the request's id."""
        with self.server.opened() as store:
            token = administration.add_requester(self.server.places, store, name, None).token
        with self.client(token) as client:
            return str(client.post(self.path, json={"action": "deploy", **more}).json()["approval_id"])

    def decide(self, approval_id: str, decision: str = "approved", **more: Any) -> httpx.Response:  # noqa: ANN401 - JSON
        """Decide as alice."""
        return self.decider.post(f"{self.path}/{approval_id}/decide", json={"decision": decision, **more})

    def withdraw(self, approval_id: str) -> httpx.Response:
        """Take back."""
        return self.asker.post(f"{self.path}/{approval_id}/withdraw")

    def redeem(self, approval_id: str, invocation: str | None = None) -> httpx.Response:
        """Use up."""
        return self.asker.post(f"{self.path}/{approval_id}/redeem", json={"invocation": invocation or str(uuid.uuid4())})

    def one(self, approval_id: str, wait: float = 0) -> dict[str, Any]:
        """One request."""
        query = {"wait": str(wait)} if wait else {}
        found: dict[str, Any] = self.asker.get(f"{self.path}/{approval_id}", params=query).json()
        return found

    def code(self, name: str = "alice") -> str:
        """A fresh sign-in code."""
        with self.server.opened() as store:
            return credentials.new_code(store, name)

    def session(self, name: str = "alice") -> str:
        """Sign in; the session's token."""
        address, signed = f"{self.server.url}/desk/session", {"code": self.code(name)}
        answer = httpx.post(address, json=signed, timeout=PATIENCE, verify=PLAIN)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["token"])

    @contextmanager
    def at_desk(self, session: str, **headers: str) -> Iterator[Socket]:
        """The event stream as the page opens it: the session stands among the subprotocols."""
        url = self.server.url.replace("http://", "ws://") + "/ws"
        names = [Subprotocol("molecule-desk"), Subprotocol(f"session.{session}")]
        with connect(
            url,
            subprotocols=names,
            additional_headers={"Origin": self.server.url, **headers},
            compression=None,
            open_timeout=PATIENCE,
            close_timeout=1,
        ) as connection:
            yield Socket(connection)

    @contextmanager
    def listening(self, token: str | None = None, workspace_id: str | None = None, **headers: str) -> Iterator[Socket]:
        """An event stream: the requester's, unless another token is named; an empty workspace names none."""
        workspace = self.workspace_id if workspace_id is None else workspace_id
        sent = {"Authorization": f"Bearer {token or self.server.requester.token}", **headers}
        if workspace:
            sent["X-Workspace-ID"] = workspace
        url = self.server.url.replace("http://", "ws://") + "/ws"
        with connect(url, additional_headers=sent, compression=None, open_timeout=PATIENCE, close_timeout=1) as connection:
            yield Socket(connection)

    @contextmanager
    def lazy(self, token: str | None = None) -> Iterator[socket.socket]:
        """A connection to the event stream from which nobody reads; little of what is sent to it fits on its way."""
        where = urlsplit(self.server.url)
        names = {
            "Host": where.netloc,
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
            "X-Workspace-ID": self.workspace_id,
            "Authorization": f"Bearer {token or self.server.requester.token}",
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in names.items())
        with socket.socket() as lazy:
            lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            lazy.settimeout(PATIENCE)
            lazy.connect((where.hostname, where.port))
            lazy.sendall(f"GET /ws HTTP/1.1\r\n{head}\r\n".encode())
            assert lazy.recv(12) == b"HTTP/1.1 101"
            yield lazy

    def journal(self) -> list[dict[str, Any]]:
        """The server's own audit log."""
        return read_log(self.server.places)

    def change(self, statement: str, *values: object) -> None:
        """Change the database by hand, as an administrator might."""
        mark = "?" if self.server.places.database.exists() else "%s"
        with self.server.opened() as store, store.write() as transaction:
            transaction.connection.exec_driver_sql(statement.replace("?", mark), values)

    def select(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Rows of the database, as an administrator might look at them."""
        mark = "?" if self.server.places.database.exists() else "%s"
        with self.server.opened() as store, store.read() as transaction:
            found = transaction.connection.exec_driver_sql(statement.replace("?", mark), values)
            return [tuple(row) for row in found]

    def add_workspace(self, workspace_id: str, name: str, token: str) -> None:
        """Another workspace, as a later `serve` may have."""
        with self.server.opened() as store, store.write() as transaction:
            transaction.credentials.put_workspace(workspace_id, name, utc_now())
            transaction.credentials.add_requester(name, workspace_id, hash_token(token), utc_now())


def read_log(places: Places) -> list[dict[str, Any]]:
    """The records of a server's own audit log."""
    if not places.server_log.exists():
        return []
    return [json.loads(line) for line in places.server_log.read_bytes().splitlines()]


@contextmanager
def desk_of(server: Running, approver: str = "alice") -> Iterator[Desk]:
    """The desk of a running server."""
    token = server.add_approver(approver)
    timeout = httpx.Timeout(PATIENCE)
    asker_headers = {"Authorization": f"Bearer {server.requester.token}"}
    with (
        Client(base_url=server.url, headers=asker_headers, timeout=timeout) as asker,
        Client(base_url=server.url, headers={"Authorization": f"Bearer {token}"}, timeout=timeout) as decider,
    ):
        yield Desk(server, asker, decider)
