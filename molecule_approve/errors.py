"""Every way in which the program can fail to have a verdict; nothing here acts, prints or exits.

::

    ApprovalError                     the root: one sentence, a hint, a stable kind
    ├── UsageError                    what was asked of the program makes no sense; nothing was asked of anybody
    ├── ConfigError                   a setting from a file cannot be used
    ├── NotPermittedError             the workspace's roles do not let it ask (RBAC)
    ├── PlatformError                 the platform gave no verdict
    │   ├── UnavailableError          away, overloaded or too slow: worth another try while there is time
    │   │   └── DisconnectedError     the event stream ended
    │   ├── CredentialError           it does not take our token
    │   ├── RejectedError             it refuses this very request, and will again
    │   ├── ProtocolError             it answered something that cannot be understood
    │   ├── UnknownApprovalError      it knows no such approval
    │   ├── EndedError                the request had already ended otherwise
    │   ├── UsedError                 the approval was already used up
    │   └── KeyUsedError              the idempotency key belongs to another request, or to one that has ended
    ├── AuditError                    the audit log cannot be written or read
    ├── DeliveryError                 the verdict could not be told to whoever asked
    └── ServerError                   the embedded server cannot run
    Interrupted (BaseException)       somebody stopped us: a signal, a cancelled task, nobody left to tell
"""

from __future__ import annotations

from typing import ClassVar


class ApprovalError(Exception):
    """The root of everything that this package raises on purpose.

    Attributes:
        message: one sentence for a person, without a full stop of its own kind of layout or markup.
        hint: what to do next, or empty.
        kind: a stable word for programs; it stands in the JSON output as ``error.kind``.

    """

    kind: ClassVar[str] = "failed"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(ApprovalError):
    """Wrong options or arguments: nothing was asked."""

    kind = "usage"


class ConfigError(ApprovalError):
    """A setting cannot be used; the message names the file, the line or the key."""

    kind = "configuration"


class NotPermittedError(ApprovalError):
    """The workspace's roles do not grant ``approve``.

    Attributes:
        roles: the roles that the workspace has.
        attempted_action: the permission that was wanted.

    """

    kind = "not_permitted"

    def __init__(self, message: str, *, roles: tuple[str, ...], attempted_action: str = "approve", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.roles = roles
        self.attempted_action = attempted_action


class PlatformError(ApprovalError):
    """The platform gave no verdict.

    Attributes:
        maybe_sent: whether the platform may have acted on the call all the same.

    """

    kind = "platform"
    maybe_sent = True


class UnavailableError(PlatformError):
    """The platform is away, overloaded or too slow: the same call may succeed later.

    Attributes:
        status: the HTTP status, or None where there was no answer.
        retry_after: seconds that the platform asks us to wait, or None.

    """

    kind = "unavailable"

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        maybe_sent: bool = True,
        hint: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.retry_after = retry_after
        self.maybe_sent = maybe_sent


class DisconnectedError(UnavailableError):
    """The event stream ended, cleanly or not. It says nothing about the request."""

    kind = "disconnected"


class CredentialError(PlatformError):
    """The platform does not take our token (401, 403).

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
    """The platform refuses this request, and would again (400, 404 on the way in, 413, 422, a redirect).

    Attributes:
        status: the HTTP status.

    """

    kind = "rejected"

    def __init__(self, message: str, *, status: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status


class ProtocolError(PlatformError):
    """The answer is not what the protocol says; the message names what came back."""

    kind = "protocol"


class UnknownApprovalError(PlatformError):
    """The platform knows no such approval, or does not show it any more."""

    kind = "unknown_approval"


class EndedError(PlatformError):
    """The request had already ended otherwise; the message says how, as far as the platform tells."""

    kind = "ended"


class UsedError(PlatformError):
    """The approval was used up by another invocation: one yes, one 0."""

    kind = "already_used"


class KeyUsedError(PlatformError):
    """The idempotency key belongs to other text, or to a request that has ended: never yesterday's yes.

    Attributes:
        approval_id: the request that holds the key, or None where it is not told.

    """

    kind = "key_used"
    maybe_sent = False

    def __init__(self, message: str, *, approval_id: str | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.approval_id = approval_id

    @classmethod
    def ended(cls, approval_id: str | None) -> KeyUsedError:
        """The key's request has ended; that may be our own whose answer was lost."""
        take = f", or take that answer: molecule-approve wait {approval_id}" if approval_id else ""
        return cls(
            "the idempotency key belongs to a request that has ended",
            approval_id=approval_id,
            hint=f"use a fresh key for a fresh question{take}",
        )

    @classmethod
    def conflict(cls, approval_id: str | None) -> KeyUsedError:
        """The key's request asks something else."""
        return cls(
            "the idempotency key belongs to a request with another action or reason",
            approval_id=approval_id,
            hint="use one key for one question",
        )


class AuditError(ApprovalError):
    """The audit log cannot be written or read."""

    kind = "audit"


class DeliveryError(ApprovalError):
    """The verdict could not be told: the reader of our output is gone, or the result file cannot be written."""

    kind = "delivery"


class ServerError(ApprovalError):
    """The embedded server cannot run: one runs already, the port is taken, or its extra is not installed."""

    kind = "server"


class Interrupted(BaseException):
    """Somebody stopped us. No error: like KeyboardInterrupt it must pass every ``except Exception``, ours and others'.

    Attributes:
        signum: the signal that the exit code names (128 + signum). "Nobody left to tell" counts as SIGHUP, the
            cancellation of an async call as SIGTERM.
        why: one clause for a person.

    """

    def __init__(self, signum: int, why: str) -> None:
        super().__init__(why)
        self.signum = signum
        self.why = why


def ours(error: Exception) -> ApprovalError:
    """The error itself where it is of this tree; any other is a fault of the program, and becomes one that says so."""
    if isinstance(error, ApprovalError):
        return error
    return ApprovalError(
        f"this is a fault of the program: {type(error).__name__}: {error}", hint="please report it; nothing was approved"
    )
