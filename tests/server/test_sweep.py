"""Every route, with every method, and every kind of credential: one table says who gets in, and nobody else does."""

from __future__ import annotations

import json
import sqlite3
import uuid
from contextlib import closing
from dataclasses import dataclass, replace
from http.client import HTTPConnection
from typing import TYPE_CHECKING

import pytest

from molecule_approve.server import administration, credentials
from molecule_approve.server.access import AccessControl
from molecule_approve.server.activity import Activity
from molecule_approve.server.api import Api
from molecule_approve.server.app import DOCUMENTS, Handlers, route_specs
from molecule_approve.server.health import Health
from molecule_approve.server.inbox import InboxApi as DeskRoutes
from molecule_approve.server.keys import KeysApi
from molecule_approve.server.limits import Limits
from molecule_approve.server.live import LiveSocket
from molecule_approve.server.openid_sign_in import OpenIdApi
from molecule_approve.server.origins import Addresses
from molecule_approve.server.pages import Pages
from molecule_approve.server.passkey_api import PasskeyApi
from molecule_approve.server.receipts import ReceiptApi
from molecule_approve.server.run import Running, ServePlan
from molecule_approve.server.sign_in import SignInApi
from tests.server.desk import PATIENCE, Desk, desk_of

if TYPE_CHECKING:
    from molecule_approve.paths import Places

BOTH_DATABASES = True

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE")

REQUESTS = "/workspaces/{workspace_id}/approvals"
REQUEST = REQUESTS + "/{approval_id}"

ALLOWED = {
    ("POST", REQUESTS): (401, 201, 401, 201, 201, 201, 403),
    ("GET", REQUESTS): (401, 200, 401, 200, 200, 200, 403),
    ("GET", REQUEST): (401, 200, 401, 200, 200, 200, 403),
    # The session decides; the approver's token, which comes after it, is told so. The second to redeem is told, too.
    ("POST", REQUEST + "/decide"): (401, 403, 401, 200, 409, 403, 403),
    ("POST", REQUEST + "/retract"): (401, 403, 401, 409, 409, 403, 403),
    # It has not ended while the readers are tried.
    ("GET", REQUEST + "/receipt"): (401, 409, 401, 409, 409, 409, 403),
    ("POST", REQUEST + "/redeem"): (401, 200, 401, 403, 403, 409, 403),
    ("POST", REQUEST + "/withdraw"): (401, 409, 401, 403, 403, 409, 403),
    ("GET", "/approvals/pending"): (401, 403, 403, 200, 200, 403, 200),
    **{("GET", path): (200, 200, 200, 200, 200, 200, 200) for path in ("/health", "/healthz", "/readyz", "/metrics")},
    ("GET", "/desk/sign-in"): (200, 200, 200, 200, 200, 200, 200),
    ("POST", "/desk/session"): (401, 401, 401, 401, 401, 401, 401),
    ("POST", "/desk/code"): (401, 403, 403, 403, 201, 403, 201),
    ("GET", "/desk/sessions"): (401, 403, 403, 200, 200, 403, 200),
    ("GET", "/desk/keys"): (401, 403, 403, 200, 200, 403, 200),
    ("GET", "/desk/passkeys"): (401, 403, 403, 200, 200, 403, 200),
    # Without a body that says which key; a link's code is in it, and stands in for a credential.
    ("POST", "/desk/keys"): (401, 403, 403, 400, 400, 403, 400),
    ("POST", "/desk/keys/passkey/further"): (401, 403, 403, 400, 400, 403, 400),
    **{("POST", path): (400,) * 7 for path in ("/desk/keys/invitation", "/desk/keys/passkey")},
    # Its id is nobody's.
    ("POST", "/desk/keys/{key_id}/remove"): (401, 403, 403, 404, 404, 403, 404),
    ("POST", "/desk/sessions/{session_id}/end"): (401, 403, 403, 404, 404, 403, 404),
    # Without a provider in server.yaml.
    ("POST", "/desk/openid/start"): (404, 404, 404, 404, 404, 404, 404),
    ("POST", "/desk/openid/return"): (404, 404, 404, 404, 404, 404, 404),
    ("GET", "/desk/requests"): (401, 403, 403, 200, 200, 403, 200),
    ("GET", "/desk/requests/{approval_id}"): (401, 403, 403, 200, 200, 403, 404),
    ("GET", "/desk/list"): (401, 403, 403, 200, 200, 403, 200),
    ("GET", "/desk/history"): (401, 403, 403, 200, 200, 403, 200),
    **{("GET", path): (200, 200, 200, 200, 200, 200, 200) for path in DOCUMENTS},
    ("GET", "/static/{name}"): (200, 200, 200, 200, 200, 200, 200),
    ("GET", "/openapi.json"): (200, 200, 200, 200, 200, 200, 200),
    ("POST", "/workspaces//approvals"): (401, 401, 401, 401, 401, 401, 401),
    ("GET", "/workspaces//approvals"): (401, 401, 401, 401, 401, 401, 401),
    # Last: after it the session is none.
    ("POST", "/desk/session/end"): (401, 403, 403, 200, 422, 403, 422),
}
"""For each route: no good credential, the requester's, another workspace's, a session, an approver's token, that of another
requester in the workspace, that of an approver who is limited to another workspace.
"""

DOES_SOMETHING = {200, 201, 409}
"""The answers to a call that was let in, 409 included: it is told how the request ended."""


def _bodies() -> dict[str, object]:
    return {
        REQUESTS: {"action": "planted"},
        REQUEST + "/decide": {"decision": "approved"},
        REQUEST + "/redeem": {"invocation": str(uuid.uuid4())},
        "/desk/session": {"code": "no code"},
    }


@dataclass(frozen=True)
class Sweep:
    """A server, all credentials there are (each with its column in the table), and one kept connection."""

    desk: Desk
    approval_id: str
    columns: list[tuple[str, int, str | None]]
    connection: HTTPConnection

    def status(self, method: str, path: str, credential: str | None) -> int:
        """What one call is answered with."""
        filled = {"{workspace_id}": self.desk.workspace_id, "{approval_id}": self.approval_id}
        filled |= {"{name}": "inbox.js", "{session_id}": "none", "{key_id}": "none"}
        body = json.dumps(_bodies().get(path, {}))
        for name, value in filled.items():
            path = path.replace(name, value)
        headers = {} if credential is None else {"Authorization": credential}
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        answer.read()
        return answer.status

    def state(self) -> list[object]:
        """All that the database holds."""
        tables = (
            "workspaces",
            "requesters",
            "approvers",
            "approver_workspaces",
            "sign_in_codes",
            "sessions",
            "approvals",
            "decisions",
            "approver_keys",
            "key_codes",
            "journal",
        )
        with closing(sqlite3.connect(self.desk.server.places.database)) as database:
            return [database.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall() for table in tables]


def _credentials(desk: Desk) -> list[tuple[str, int, str | None]]:
    revoked, ended = desk.server.add_approver("bob"), desk.session()
    bobs = desk.session("bob")
    with desk.server.opened() as store:
        credentials.revoke(store, "bob")
    with desk.client(ended) as client:
        assert client.post("/desk/session/end").status_code == 200
    desk.add_workspace("other", "other", "token-of-other")
    places = desk.server.places
    with desk.server.opened() as store:
        gone = administration.add_requester(places, store, "gone", None).token
        administration.revoke_requester(store, "gone", None)
        # Named like the approver, whom that makes no more of an approver.
        second = administration.add_requester(places, store, "alice", None).token
        limited = credentials.add_approver(store, "carol", workspaces=["other"])
    kinds: list[tuple[str, int, str]] = [
        ("garbage", 0, "garbage"),
        ("empty", 0, ""),
        ("a revoked approver's token", 0, revoked),
        ("a session that ended", 0, ended),
        ("a session of somebody revoked", 0, bobs),
        ("a sign-in code", 0, desk.code()),
        ("a revoked requester's token", 0, gone),
        ("the requester's token", 1, desk.server.requester.token),
        ("another workspace's token", 2, "token-of-other"),
        ("a session", 3, desk.session()),
        ("an approver's token", 4, str(desk.decider.headers["authorization"]).removeprefix("Bearer ")),
        ("another requester's token", 5, second),
        ("the token of an approver of another workspace", 6, limited),
    ]
    return [("none", 0, None), *((name, column, f"Bearer {token}") for name, column, token in kinds)]


@pytest.mark.usefixtures("untraced")
def test_every_route_lets_in_whom_the_table_names_and_nobody_else(server_places: Places) -> None:
    """By their own methods alone; what is refused, and every GET, changes nothing; there is no fault among the answers."""
    listed = {(route.method, route.path) for route in route_specs(unborn())} | {("GET", "/openapi.json")}
    assert set(ALLOWED) == listed
    plan = ServePlan(server_places, limits=replace(Limits(), unauthenticated_rate=1_000_000, failed_login_rate=1_000_000))
    with Running(plan) as server, desk_of(server) as desk:
        netloc = server.url.removeprefix("http://")
        with closing(HTTPConnection(netloc, timeout=PATIENCE)) as connection:
            sweep = Sweep(desk, desk.ask("what waits"), _credentials(desk), connection)
            before = sweep.state()
            _nothing_by_another_method(sweep)
            _nothing_by_who_is_refused_or_reads(sweep)
            assert sweep.state() == before
            _what_is_allowed(sweep)


def unborn() -> Handlers:
    """Enough to list the routes: none of their handlers is called."""
    kinds = (
        Api,
        ReceiptApi,
        DeskRoutes,
        SignInApi,
        OpenIdApi,
        PasskeyApi,
        Pages,
        LiveSocket,
        AccessControl,
        Addresses,
        Health,
        Activity,
        KeysApi,
    )
    return Handlers(*(object.__new__(kind) for kind in kinds))  # type: ignore[arg-type]  # one of each


def _nothing_by_another_method(sweep: Sweep) -> None:
    for path in sorted({path for _, path in ALLOWED} | {"/ws", "/nothing"}):
        own = {method for method, listed in ALLOWED if listed == path}
        own |= {"HEAD"} if "GET" in own else set()
        for method in METHODS:
            for kind, _, credential in sweep.columns if method not in own else ():
                assert sweep.status(method, path, credential) == 404, (method, path, kind)


def _nothing_by_who_is_refused_or_reads(sweep: Sweep) -> None:
    for (method, path), row in ALLOWED.items():
        for kind, column, credential in sweep.columns:
            if method == "GET":
                assert sweep.status("HEAD", path, credential) == row[column], ("HEAD", path, kind)
            if method == "GET" or row[column] not in DOES_SOMETHING:
                assert sweep.status(method, path, credential) == row[column], (method, path, kind)


def _what_is_allowed(sweep: Sweep) -> None:
    for (method, path), row in ALLOWED.items():
        for kind, column, credential in sweep.columns if method == "POST" else ():
            if row[column] in DOES_SOMETHING:
                assert sweep.status(method, path, credential) == row[column], (method, path, kind)
