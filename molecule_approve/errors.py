"""Every error of the package; nothing here acts, prints or exits.

::

    ApprovalError                     the root: a message, a hint, a stable kind
    ├── UsageError                    wrong options or arguments; no request was sent
    ├── ConfigError                   a setting from a file cannot be used
    ├── NotPermittedError             the workspace's roles do not permit a request (RBAC)
    ├── PlatformError                 the platform gave no verdict
    │   ├── UnavailableError          away, overloaded or too slow: a retry may help
    │   │   └── DisconnectedError     the event stream ended
    │   ├── CredentialError           it rejects the token
    │   ├── RejectedError             it refuses the request, and will again
    │   ├── ProtocolError             its answer does not follow the protocol
    │   ├── UnknownApprovalError      it does not know the request
    │   ├── EndedError                the request had already ended
    │   ├── OwnRequestError           the approver made the request
    │   ├── DecisionRefusedError      the request's rule does not take this decision
    │   ├── UsedError                 the approval was already redeemed
    │   └── KeyUsedError              the idempotency key belongs to another request, or to one that has ended
    ├── NotFoundError                 the command to run does not exist; no request was sent
    ├── NotExecutableError            the command to run cannot be executed; no request was sent
    ├── ChangedError                  what would run is not what was approved; nothing ran
    ├── ReceiptError                  no receipt proves the approval by the keys that this machine keeps
    ├── AuditError                    the audit log cannot be written or read
    ├── DeliveryError                 the verdict could not be delivered to the caller
    ├── SigningError                  ssh-keygen did not sign a decision
    ├── HookEventError                what an agent's program sent to a hook cannot be read
    └── ServerError                   the embedded server cannot run
    Interrupted (BaseException)       a signal, a cancelled task, or no reader left
"""

from __future__ import annotations

from typing import ClassVar


class ApprovalError(Exception):
    """The root of all errors that this package raises on purpose.

    Attributes:
        message: what failed and why; one sentence without a full stop.
        hint: what to do next, or empty.
        kind: a stable word for programs; ``error.kind`` in the JSON output.
    """

    kind: ClassVar[str] = "failed"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(ApprovalError):
    """Wrong options or arguments; no request was sent."""

    kind = "usage"


class ConfigError(ApprovalError):
    """A setting is invalid; the message names the file, the line or the key."""

    kind = "configuration"


class NotPermittedError(ApprovalError):
    """The workspace's roles do not permit a request.

    Attributes:
        roles: the roles that the workspace has.
        attempted_action: the permission that is missing.
    """

    kind = "not_permitted"

    def __init__(self, message: str, *, roles: tuple[str, ...], attempted_action: str = "approve", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.roles = roles
        self.attempted_action = attempted_action


class PlatformError(ApprovalError):
    """The platform gave no verdict.

    Attributes:
        maybe_sent: whether the platform may have received the call, and acted on it.
    """

    kind = "platform"
    maybe_sent = True


class UnavailableError(PlatformError):
    """The platform cannot be reached, is overloaded or too slow. A retry may help.

    Attributes:
        status: the HTTP status, or None where there was no answer.
        retry_after: seconds to wait before the next call, as the platform says, or None.
        slow: whether the platform took the connection, and did not answer in time: it may have too much to do.
    """

    kind = "unavailable"

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        maybe_sent: bool = True,
        slow: bool = False,
        hint: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.retry_after = retry_after
        self.slow = slow
        self.maybe_sent = maybe_sent


class DisconnectedError(UnavailableError):
    """The event stream ended. This says nothing about the request."""

    kind = "disconnected"


class CredentialError(PlatformError):
    """The platform rejects the token (401, 403).

    Attributes:
        status: the HTTP status.
        token_sent: whether there was one.
    """

    kind = "credential"

    def __init__(self, message: str, *, status: int, token_sent: bool = True, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.token_sent = token_sent


class RejectedError(PlatformError):
    """The platform refuses the request, and a retry will not help (400, 404, 413, 422, a redirect).

    Attributes:
        status: the HTTP status.
    """

    kind = "rejected"

    def __init__(self, message: str, *, status: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status


class ProtocolError(PlatformError):
    """The platform's answer does not follow the protocol; the message says what came back."""

    kind = "protocol"


class UnknownApprovalError(PlatformError):
    """The platform does not know the request, or no longer lists it."""

    kind = "unknown_approval"


class EndedError(PlatformError):
    """The request had already ended; the message gives the outcome if the platform tells it."""

    kind = "ended"


class OwnRequestError(PlatformError):
    """The approver made the request, so another approver has to decide it."""

    kind = "own_request"


class DecisionRefusedError(PlatformError):
    """The server does not take this person's decision; the request is as it was.

    Attributes:
        code: the server's word for why: ``not_eligible``, ``already_decided``, ``nothing_to_retract``, ``comment_required``
            or ``presence_required``.
    """

    kind = "decision_refused"

    def __init__(self, message: str, *, code: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code


class UsedError(PlatformError):
    """The approval was already redeemed by another attempt: each approval counts once."""

    kind = "already_used"


class KeyUsedError(PlatformError):
    """The idempotency key belongs to a different request, or to one that has ended.

    Attributes:
        approval_id: the request of that key, or None where the platform does not tell it.
    """

    kind = "key_used"
    maybe_sent = False

    def __init__(self, message: str, *, approval_id: str | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.approval_id = approval_id

    @classmethod
    def ended(cls, approval_id: str | None) -> KeyUsedError:
        """The key's request has ended; it may be our own, whose answer was lost."""
        resume = f", or read its outcome with `molecule-approve wait {approval_id}`" if approval_id else ""
        return cls(
            "the idempotency key belongs to a request that has ended",
            approval_id=approval_id,
            hint=f"use a new key for a new request{resume}",
        )

    @classmethod
    def conflict(cls, approval_id: str | None) -> KeyUsedError:
        """The key's request has a different action or reason."""
        return cls(
            "the idempotency key belongs to a request with a different action or reason",
            approval_id=approval_id,
            hint="use a different key for each request",
        )


class NotFoundError(ApprovalError):
    """The command to run does not exist; no request was sent."""

    kind = "not_found"


class NotExecutableError(ApprovalError):
    """The command to run cannot be executed; no request was sent."""

    kind = "not_executable"


class ChangedError(ApprovalError):
    """What would run is no longer what was approved, or could not be started; nothing ran."""

    kind = "changed"


class ReceiptError(ApprovalError):
    """No receipt proves the approval by the keys in ``approve.approver_keys``; if it was redeemed, it is used up."""

    kind = "receipt"


class AuditError(ApprovalError):
    """The audit log cannot be written or read."""

    kind = "audit"


class DeliveryError(ApprovalError):
    """The verdict could not be delivered: stdout is closed, or the result file cannot be written."""

    kind = "delivery"


class SigningError(ApprovalError):
    """ssh-keygen did not sign; nothing was sent."""

    kind = "signing"


class HookEventError(ApprovalError):
    """What an agent's program sent to a hook is not an event that the hook knows; the tool call must not be made."""

    kind = "hook_event"


class ServerError(ApprovalError):
    """The embedded server cannot run: another one is running, the port is in use, or its extra is not installed."""

    kind = "server"


class Interrupted(BaseException):
    """The attempt was stopped. Like KeyboardInterrupt it must pass every ``except Exception``, so it is not an Exception.

    Attributes:
        signum: the signal for the exit code (128 + signum): SIGHUP where no reader is left, SIGTERM where an async call
            was cancelled.
        why: the reason, as one clause.
    """

    def __init__(self, signum: int, why: str) -> None:
        super().__init__(why)
        self.signum = signum
        self.why = why


def ours(error: Exception) -> ApprovalError:
    """The error itself if it is of this tree; any other is a bug, and becomes an ApprovalError that says so."""
    if isinstance(error, ApprovalError):
        return error
    return ApprovalError(f"internal error: {type(error).__name__}: {error}", hint="report this bug; nothing was approved")
