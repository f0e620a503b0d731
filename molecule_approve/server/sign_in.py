"""REST for signing in and out: by a sign-in code or an approver's token, new codes, and one's own sessions.

No GET changes anything. The way over a provider is in ``openid_sign_in``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from .api import answer
from .bodies import parse_sign_in, read_body
from .database.values import epoch_text
from .refusals import RefusedError, forbidden, unacceptable, unknown_session, wrong_approver_token, wrong_code
from .tokens import hash_token, new_token

if TYPE_CHECKING:
    from molecule_approve.model import JsonValue

    from .access import AccessControl, Visitor
    from .calls import HttpCall, Response
    from .database.transaction import Transaction
    from .database.values import OpenSession
    from .hub import Hub
    from .limits import Limits
    from .sessions import Sessions
    from .threads import DatabaseThreads

SECRET_BODY = 4_096
"""Bytes of a body with a secret that signs in; its sender is not authenticated yet."""

OTHERS = "others"
"""In the place of a session's id: all of one's sessions but the one that calls."""


class SignedIn(NamedTuple):
    """Who is signed in now, and the token of the session."""

    name: str
    token: str


@dataclass(frozen=True, slots=True)
class SignInApi:
    """The handlers.

    Attributes:
        public_url: the page's address for everybody; None if the server has none.
        local_url: the page's address on this machine, for callers on the Unix socket.
        provider_name: the host of the provider by which approvers can sign in; None if there is none.
        on_sign_in: is called after each sign-in.
    """

    database: DatabaseThreads
    hub: Hub
    access: AccessControl
    sessions: Sessions
    limits: Limits
    public_url: str | None
    local_url: str
    provider_name: str | None
    on_sign_in: Callable[[], None]

    async def ways(self, call: HttpCall) -> Response:
        """``GET /desk/sign-in``: which ways in there are beside links and tokens."""
        self.access.admit_anyone(call)
        return answer({"openid": self.provider_name is not None, "name": self.provider_name})

    # --- in and out

    async def sign_in(self, call: HttpCall) -> Response:
        """``POST /desk/session``: a session for a sign-in code, which is then redeemed, or for an approver's token."""
        with self.access.admit_sign_in(call):
            kind, secret = parse_sign_in(await read_body(call, SECRET_BODY))
            begin = self._by_code if kind == "code" else self._by_token
            client = call.headers.get("user-agent") or ""
            begun = await self.database.write(partial(begin, shown=hash_token(secret), client=client))
            if isinstance(begun, RefusedError):
                raise begun
        return self.welcome(call, begun, kind)

    def welcome(self, call: HttpCall, begun: SignedIn, way: str) -> Response:
        """The answer to whoever has signed in, by a ``code``, a ``token`` or ``openid``."""
        self.on_sign_in()
        self.access.activity.signed_in(begun.name, way, call.sender)
        return answer({"token": begun.token, "name": begun.name, "expires_in": int(self.limits.session)}, 201)

    def _by_code(self, transaction: Transaction, *, shown: str, client: str) -> SignedIn | RefusedError:
        found = transaction.sign_ins.take_code(shown, transaction.now, self.limits.code)
        if found is None:
            return wrong_code()  # raised here, it would undo that the code was taken
        approver_id, name = found
        return SignedIn(name, self.sessions.begin(transaction, approver_id, client))

    def _by_token(self, transaction: Transaction, *, shown: str, client: str) -> SignedIn | RefusedError:
        holder = transaction.credentials.holder(shown, self.sessions.limits)
        # A session would otherwise outlive itself: whoever has it could begin the next one.
        if holder is None or holder.session_id is not None:
            return wrong_approver_token()
        if holder.workspace_id is not None:
            return forbidden("a requester's token does not sign in; use an approver's token")
        return SignedIn(holder.name, self.sessions.begin(transaction, holder.id, client))

    async def sign_out(self, call: HttpCall) -> Response:
        """``POST /desk/session/end``: the session ends at once, and its sockets are closed."""
        with self.access.admit(call) as visitor:
            ended = await self.database.write(partial(_end_own, visitor))
        return self._ended(*ended)

    def _ended(self, name: str, token_hashes: list[str]) -> Response:
        for token_hash in token_hashes:
            self.hub.drop(token_hash)
            self.access.activity.signed_out(name)
        return answer({"status": "ended"})

    # --- codes

    async def make_code(self, call: HttpCall) -> Response:
        """``POST /desk/code``, by an approver's token: a sign-in code for this approver, and the page's address."""
        with self.access.admit(call) as visitor:
            approver = await self.database.read(visitor.administrator)
            if approver.session_id is not None:
                raise forbidden("a session cannot make sign-in links; use the approver's token")
            self.access.ration(call, f"codes of {approver.id}", self.limits.codes)
            code = new_token()
            await self.database.write(partial(self._put_code, visitor, code_hash=hash_token(code)))
        self.access.activity.code_made(approver.name, call.sender)
        # Over TCP a caller without a public address knows best how to reach the page.
        url = self.public_url or (self.local_url if call.sender.over_unix else None)
        return answer({"code": code, "name": approver.name, "url": url, "expires_in": int(self.limits.code)}, 201)

    def _put_code(self, visitor: Visitor, transaction: Transaction, *, code_hash: str) -> None:
        approver = visitor.administrator(transaction)
        transaction.sign_ins.put_code(code_hash, approver.id, transaction.now, self.limits.code)

    # --- one's sessions

    async def list_sessions(self, call: HttpCall) -> Response:
        """``GET /desk/sessions``: the caller's own sessions, the one that was used last first."""
        with self.access.admit(call) as visitor:
            return answer(await self.database.read(partial(self._sessions, visitor)))

    def _sessions(self, visitor: Visitor, transaction: Transaction) -> JsonValue:
        approver = visitor.administrator(transaction)
        found = transaction.sign_ins.of_approver(approver.id, transaction.now, self.sessions.limits)
        rows: list[JsonValue] = [_row(session, approver.session_id) for session in found]
        return {"name": approver.name, "now": epoch_text(transaction.now), "sessions": rows}

    async def end_session(self, call: HttpCall) -> Response:
        """``POST /desk/sessions/{session_id}/end``: one of the caller's sessions ends; with ``others`` all but its own."""
        with self.access.admit(call) as visitor:
            job = partial(_end_listed, visitor, session_id=call.path_params["session_id"])
            ended = await self.database.write(job)
        return self._ended(*ended)


def _row(session: OpenSession, current: str | None) -> JsonValue:
    return {
        "id": session.id,
        "client": session.client,
        "began": epoch_text(session.began),
        "used": epoch_text(session.used),
        "current": session.id == current,
    }


def _end_own(visitor: Visitor, transaction: Transaction) -> tuple[str, list[str]]:
    approver = visitor.administrator(transaction)
    if approver.session_id is None:
        raise unacceptable("this is an approver's token, not a session; revoke it with: approvers revoke NAME")
    return approver.name, transaction.sign_ins.end(approver.id, approver.session_id)


def _end_listed(visitor: Visitor, transaction: Transaction, *, session_id: str) -> tuple[str, list[str]]:
    approver = visitor.administrator(transaction)
    if session_id == OTHERS:
        return approver.name, transaction.sign_ins.end_all(approver.id, but=approver.session_id)
    ended = transaction.sign_ins.end(approver.id, session_id)
    if not ended:
        raise unknown_session()
    return approver.name, ended


def page_address(call: HttpCall) -> str:
    """The address under which the caller sees the page, without a slash at its end."""
    return f"{call.called.origin}{call.called.base}"
