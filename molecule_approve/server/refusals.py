"""Every refusal of the embedded server as a value: status, sentence, code. ``app`` answers them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from molecule_approve.lifecycle import outcome_text

if TYPE_CHECKING:
    from molecule_approve.model import Approval, JsonValue
    from molecule_approve.proofs.presence import Presence


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


def too_many_sign_ins() -> RefusedError:
    """As many sign-ins through the provider are under way as may be."""
    sentence = "too many sign-ins are under way; try again in some minutes, or sign in with a token"
    return RefusedError(429, {"error": sentence, "code": "too_many_sign_ins"}, {"Retry-After": "60"})


def own_request(name: str, approval_id: str) -> RefusedError:
    """The approver requested this, and may not decide it."""
    return refused(
        403,
        f"{name} made this request, so another approver has to decide it; {name} can withdraw it",
        "own_request",
        approval_id=approval_id,
    )


def policy_refuses(sentence: str) -> RefusedError:
    """The policy cannot say who would have to approve the request, or nobody could."""
    return refused(422, f"the server's policy refuses this request: {sentence}", "policy")


def reason_required(rule: str) -> RefusedError:
    """The request's rule wants a reason."""
    return refused(422, f"rule {rule} wants a reason; give one with --reason", "reason_required")


def not_eligible(name: str, rule: str) -> RefusedError:
    """The request's rule names other people."""
    sentence = f"{name} is not among the people who may decide this request by rule {rule}, or not any more"
    return refused(403, sentence, "not_eligible")


def already_decided(name: str, approval_id: str) -> RefusedError:
    """The same person has decided this request; a person counts once."""
    sentence = f"{name} has already approved this request; a person counts once, and can retract the approval"
    return refused(409, sentence, "already_decided", approval_id=approval_id)


def nothing_to_retract(name: str, approval_id: str) -> RefusedError:
    """The person has not decided this request."""
    return refused(409, f"{name} has not approved this request", "nothing_to_retract", approval_id=approval_id)


def comment_required(rule: str) -> RefusedError:
    """The request's rule wants a comment with each decision."""
    return refused(422, f"rule {rule} wants a comment with each decision", "comment_required")


def presence_required(rule: str, wanted: Presence, shown: Presence) -> RefusedError:
    """The request's rule wants more than this approval proves."""
    sentence = f"rule {rule} wants an approval that proves {wanted.sentence}; this one proves {shown.sentence}"
    return refused(403, sentence, "presence_required", presence=wanted.value)


def wrong_statement(sentence: str) -> RefusedError:
    """What was signed is not a decision about this request."""
    return refused(422, sentence, "statement")


def bad_proof(why: str) -> RefusedError:
    """No key of the approver made the signature."""
    return refused(422, f"the proof does not count: {why}", "bad_proof")


def key_in_use(sentence: str) -> RefusedError:
    """The key is enrolled, or was."""
    return refused(409, sentence, "key_in_use")


def first_key(name: str) -> RefusedError:
    """The approver has no key that could vouch for a new one."""
    sentence = f"{name} has no key here that could vouch for a new one; an administrator enrols the first key"
    return refused(403, sentence, "first_key")


unknown_key = partial(refused, 404, "you have no such key", "unknown_key")
"""The key does not exist, was removed, or is somebody else's."""

wrong_key_code = partial(
    refused, 401, "this link was already used, is older than ten minutes, or is wrong; ask for a new one", "wrong_code"
)
"""The code of a link for a passkey is unknown, used or expired; the answer does not say which."""

no_passkeys = partial(
    refused,
    404,
    "passkeys cannot be used here: the server lacks the extra passkeys, or its address is a number; see docs/passkeys.md",
    "no_passkeys",
)
"""The library is missing, or the page has no name that a passkey could be bound to."""

key_known = partial(refused, 409, "this key is enrolled, or was before; make a new one", "key_known")
"""A key is enrolled once, by one approver; one that was removed stays so."""

proof_used = partial(refused, 409, "this proof was given before; each one counts once", "proof_used")
"""The same statement was signed for an earlier decision."""


def not_ended(approval_id: str) -> RefusedError:
    """There is no receipt yet."""
    sentence = "the request has not ended, and only an ended one has a receipt"
    return refused(409, sentence, "not_ended", approval_id=approval_id)


def ended(approval: Approval) -> RefusedError:
    """The request has ended; the answer says how."""
    return refused(
        409,
        f"the request has already ended: {outcome_text(approval.status.value, approval.decided_by)}",
        "ended",
        approval_id=approval.id,
        status=approval.status.value,
        decided_by=approval.decided_by or "",
    )


def already_redeemed(approval: Approval, used_at: str) -> RefusedError:
    """Another attempt redeemed the approval, at ``used_at``."""
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
