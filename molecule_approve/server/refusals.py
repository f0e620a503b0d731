"""Every way in which the embedded server says no to a call, as values: status, sentence, word. Nothing here answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from molecule_approve.model import Approval, JsonValue


class RefusedError(Exception):
    """A call is refused; ``app`` makes the answer of it. It never leaves the server.

    Attributes:
        status: the HTTP status.
        body: the JSON object of the answer.
        headers: further headers of the answer.

    """

    def __init__(self, status: int, body: Mapping[str, JsonValue], headers: Mapping[str, str] | None = None) -> None:
        super().__init__(body.get("error"))
        self.status = status
        self.body = dict(body)
        self.headers = dict(headers or {})


def refused(status: int, sentence: str, code: str | None = None, /, **more: JsonValue) -> RefusedError:
    """A refusal with its sentence and, where a program may care, a stable word."""
    return RefusedError(status, {"error": sentence, **({} if code is None else {"code": code}), **more})


# The sentences of the platform, as recorded: clients may look at them.


def missing_token() -> RefusedError:
    """No bearer token where one is wanted."""
    return refused(401, "missing workspace auth token")


def wrong_token() -> RefusedError:
    """A bearer token that is unknown, or good for another workspace."""
    return refused(401, "invalid workspace auth token")


def missing_admin_token() -> RefusedError:
    """No bearer token on an administrator's route."""
    return refused(401, "admin auth required")


def wrong_admin_token() -> RefusedError:
    """Not an approver's token on an administrator's route."""
    return refused(401, "invalid admin auth token")


def missing_workspace() -> RefusedError:
    """An address without the workspace's id in it."""
    return refused(401, "missing workspace ID")


def bad_body() -> RefusedError:
    """The body is no JSON object of the wanted shape."""
    return refused(400, "invalid request body")


def bad_decision() -> RefusedError:
    """The decision is neither of the two words."""
    return refused(400, "decision must be 'approved' or 'denied'")


def not_here_to_decide() -> RefusedError:
    """Nothing of that id in that workspace, on the route that the platform has too."""
    return refused(404, "approval not found or already decided")


def rate_exceeded(seconds: int) -> RefusedError:
    """Too many calls within the minute; ``seconds`` is what is left of it."""
    return RefusedError(429, {"error": "rate limit exceeded", "retry_after": seconds}, {"Retry-After": str(seconds)})


def unavailable() -> RefusedError:
    """The database cannot answer just now. Never a 401: that would say something about the token."""
    return refused(503, "platform datastore unavailable — retry shortly", "platform_unavailable")


# Our own.


def unknown_workspace() -> RefusedError:
    """The workspace does not exist."""
    return refused(404, "there is no such workspace on this server", "unknown_workspace")


def unknown_approval() -> RefusedError:
    """The approval does not exist in this workspace."""
    return refused(404, "there is no such approval in this workspace", "unknown_approval")


def forbidden(sentence: str) -> RefusedError:
    """The token is good, but not for this."""
    return refused(403, sentence, "forbidden")


def wrong_code() -> RefusedError:
    """A sign-in code that nobody was given, that was used, or that is too old; which of them is nobody's business."""
    return refused(401, "this sign-in link is used up, too old, or wrong", "wrong_code")


def unacceptable(sentence: str) -> RefusedError:
    """Text or numbers that the server will not keep."""
    return refused(422, sentence, "unacceptable")


def too_large(limit: int) -> RefusedError:
    """The body is longer than ``limit`` bytes."""
    return refused(413, f"the body is longer than {limit} bytes", "too_large")


def too_many_pending(limit: int) -> RefusedError:
    """The workspace has ``limit`` open requests."""
    sentence = f"{limit} requests of this workspace are open already; decide or withdraw some of them first"
    return RefusedError(429, {"error": sentence, "code": "too_many_pending"}, {"Retry-After": "60"})


def ended(approval: Approval) -> RefusedError:
    """The request has ended; the answer says how."""
    by = approval.decided_by or ""
    return refused(
        409,
        f"the request has already ended: {approval.status.value} by {by}",
        "ended",
        approval_id=approval.id,
        status=approval.status.value,
        decided_by=by,
    )


def already_used(approval: Approval, used_at: str) -> RefusedError:
    """The approval was used up by another invocation at ``used_at``."""
    return refused(
        409, f"the approval was already used at {used_at}", "already_used", approval_id=approval.id, used_at=used_at
    )


def key_used(approval: Approval) -> RefusedError:
    """The idempotency key's request has ended: never yesterday's yes."""
    return refused(409, "the idempotency key was used for a request that has ended", "key_used", approval_id=approval.id)


def key_conflict(approval: Approval) -> RefusedError:
    """The idempotency key stands for another action or reason."""
    return refused(422, "the idempotency key belongs to a request with other text", "key_conflict", approval_id=approval.id)
