"""Every refusal of the embedded server as a value: status, sentence, code. ``app`` answers them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from molecule_approve.model import Approval, JsonValue


class RefusedError(Exception):
    """A call is refused; ``app`` answers it, with a JSON object and further headers. It never leaves the server."""

    def __init__(self, status: int, body: Mapping[str, JsonValue], headers: Mapping[str, str] | None = None) -> None:
        super().__init__(body.get("error"))
        self.status = status
        self.body = dict(body)
        self.headers = dict(headers or {})


def refused(status: int, sentence: str, code: str | None = None, /, **more: JsonValue) -> RefusedError:
    """A refusal with its sentence and, for programs, a stable code."""
    return RefusedError(status, {"error": sentence, **({} if code is None else {"code": code}), **more})


# The platform's sentences, as recorded: clients may compare them.

missing_token = partial(refused, 401, "missing workspace auth token")
"""There is no bearer token."""

wrong_token = partial(refused, 401, "invalid workspace auth token")
"""The bearer token is unknown, or belongs to another workspace."""

missing_admin_token = partial(refused, 401, "admin auth required")
"""There is no bearer token, on an administrator's route."""

wrong_admin_token = partial(refused, 401, "invalid admin auth token")
"""The bearer token is unknown, on an administrator's route."""

missing_workspace = partial(refused, 401, "missing workspace ID")
"""The workspace id in the path is empty."""

bad_body = partial(refused, 400, "invalid request body")
"""The body is not a JSON object with the expected keys and types."""

bad_decision = partial(refused, 400, "decision must be 'approved' or 'denied'")
"""The decision is neither approved nor denied."""

unknown_to_decide = partial(refused, 404, "approval not found or already decided")
"""The approval does not exist in this workspace, on the route that the platform has too."""


def rate_exceeded(seconds: int) -> RefusedError:
    """Too many calls within the minute, of which ``seconds`` are left."""
    return RefusedError(429, {"error": "rate limit exceeded", "retry_after": seconds}, {"Retry-After": str(seconds)})


unavailable = partial(refused, 503, "platform datastore unavailable — retry shortly", "platform_unavailable")
"""The database cannot answer now. Never a 401: that would say that the token is wrong."""

# Our own sentences.

unknown_workspace = partial(refused, 404, "no such workspace on this server", "unknown_workspace")
"""The workspace does not exist."""

unknown_approval = partial(refused, 404, "no such approval in this workspace", "unknown_approval")
"""The approval does not exist in this workspace."""


def forbidden(sentence: str) -> RefusedError:
    """The token is valid, but not for this call."""
    return refused(403, sentence, "forbidden")


wrong_code = partial(refused, 401, "this sign-in link was already used, has expired, or is wrong", "wrong_code")
"""The sign-in code is unknown, used or expired; the answer does not say which."""


wrong_approver_token = partial(refused, 401, "this is not the token of an approver here", "wrong_token")
"""The token in the body is unknown, revoked, or that of a session."""

no_provider = partial(refused, 404, "this server has no provider to sign in through (openid in server.yaml)", "no_provider")
"""server.yaml names no provider."""

wrong_return = partial(
    refused, 401, "this sign-in was not begun in this browser, is over, or took too long; sign in again", "wrong_return"
)
"""State and verifier do not belong together, or the state was already redeemed; the answer does not say which."""


def provider_failed(sentence: str) -> RefusedError:
    """The provider cannot be used now."""
    return refused(503, sentence, "provider_failed")


def wrong_answer(sentence: str) -> RefusedError:
    """The provider's answer does not prove who signs in."""
    return refused(401, sentence, "wrong_answer")


def not_approver(name: str, why: str) -> RefusedError:
    """The provider says who signs in, but nobody of that name may decide here."""
    return refused(403, f"you are {name} at the provider, {why}", "not_approver", name=name)


unknown_session = partial(refused, 404, "you have no such session", "unknown_session")
"""The session does not exist, has ended, or is somebody else's."""


def unacceptable(sentence: str) -> RefusedError:
    """The body, a header or a parameter has a value that is not allowed."""
    return refused(422, sentence, "unacceptable")


def too_large(limit: int) -> RefusedError:
    """The body is longer than ``limit`` bytes."""
    return refused(413, f"the body has more than {limit} bytes", "too_large")


def too_many_pending(limit: int) -> RefusedError:
    """The workspace has ``limit`` open requests."""
    sentence = f"this workspace already has {limit} open requests; decide or withdraw some of them first"
    return RefusedError(429, {"error": sentence, "code": "too_many_pending"}, {"Retry-After": "60"})


def own_request(name: str, approval_id: str) -> RefusedError:
    """The approver requested this, and may not decide it."""
    return refused(
        403,
        f"{name} made this request, so another approver has to decide it; {name} can withdraw it",
        "own_request",
        approval_id=approval_id,
    )


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


def already_redeemed(approval: Approval, used_at: str) -> RefusedError:
    """Another invocation redeemed the approval, at ``used_at``."""
    return refused(
        409, f"the approval was already used, at {used_at}", "already_used", approval_id=approval.id, used_at=used_at
    )


def key_used(approval: Approval) -> RefusedError:
    """The request of the idempotency key has ended; its decision is not reused."""
    return refused(409, "the request of this idempotency key has ended; use a new key", "key_used", approval_id=approval.id)


def key_conflict(approval: Approval) -> RefusedError:
    """The request of the idempotency key has another action or reason."""
    return refused(
        422,
        "this idempotency key belongs to a request with another action or reason",
        "key_conflict",
        approval_id=approval.id,
    )
