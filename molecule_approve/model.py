"""The nouns: what is asked, what the platform holds, what came of it. Values only; nothing here does anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from os import PathLike

# Recursive JSON, as json.loads gives it.
JsonValue = str | int | float | bool | None | list["JsonValue"] | dict[str, "JsonValue"]

EXPIRED_BY = "auto-expired"
"""The name under which the platform denies what nobody decided in time: an expiry, no person's no."""

WITHDRAWN_BY = "withdrawn"
"""The name under which a requester takes its own request back: a denial that only the requester makes."""


class Secret:
    """A credential that does not show itself: not in a repr, a traceback, a log or a format string.

    Raises:
        ValueError: never; whoever reads a secret from outside checks it first.

    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The credential itself, for the one header that carries it."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to ask, as whom. Address and token come from one source, so a token never goes to another address.

    Attributes:
        url: base address without a trailing slash, ``http://…`` or ``https://…``. For a Unix socket the host part
            is only what stands in the Host header.
        workspace_id: the workspace that asks; it is a path segment and a header.
        token: bearer token, or None where none is configured.
        unix_socket: path of the Unix socket that is used instead of TCP, read anew for each connection; or None.
        headers: further request headers (X-Molecule-Org-Id); never the credential.
        origin: the Origin of the event stream's handshake, and of nothing else; None to name none at first.
        proxy: address of the proxy for https://, or None: decided once, for REST and the socket alike.

    """

    url: str
    workspace_id: str
    token: Secret | None = None
    unix_socket: str | PathLike[str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    proxy: Secret | None = None
    origin: str | None = None


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """What is asked, before anybody holds it.

    Attributes:
        workspace_id: the workspace that asks.
        action: what is about to be done, 1 to 4,096 characters, never cut.
        reason: why, at most 16,384 characters.
        task_id: our own UUID for the request; it finds a request again whose answer was lost.
        trace_id: one UUID for all audit records of this invocation; the task id unless a key fixed that.
        context: where the question comes from (user, host, folder, CI job, audit head).
        expires_in: seconds that the question stands, or None to leave that to the platform.
        idempotency_key: the caller's key, or None.

    """

    workspace_id: str
    action: str
    reason: str
    task_id: str
    trace_id: str
    context: Mapping[str, JsonValue] = field(default_factory=dict)
    expires_in: float | None = None
    idempotency_key: str | None = None


class Status(StrEnum):
    """A request's status as the platform writes it; what it does not write is UNKNOWN, and never a yes."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    ESCALATED = "escalated"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Approval:
    """One request as a platform shows it. Times are the platform's own RFC 3339 text.

    Attributes:
        decided_by_verified: True where the name comes from the approver's own credential (the embedded server), False
            where that is known not to be so, None where it is not told (lists, the platform); a yes needs True.
        comment, context, expires_at: only the embedded server tells them.

    """

    id: str
    workspace_id: str
    action: str
    status: Status
    reason: str = ""
    task_id: str = ""
    decided_by: str | None = None
    decided_at: str | None = None
    created_at: str | None = None
    comment: str | None = None
    context: Mapping[str, JsonValue] | None = None
    expires_at: str | None = None
    decided_by_verified: bool | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """A request that the platform holds, and all that an answer to it must match.

    Attributes:
        action: the text that was asked; None where it is not known, and then nothing can be approved by it.
        task_id: our id in the request; None where it is not known.
        own: the id comes from the answer to our own POST.
        created_at: when the platform created it, as far as it was seen.
        attempt_id: the UUID under which an approval is redeemed when it is read; None to redeem nothing.

    """

    approval_id: str
    workspace_id: str
    action: str | None = None
    task_id: str | None = None
    own: bool = False
    created_at: str | None = None
    attempt_id: str | None = None


class Evidence(StrEnum):
    """What a verdict rests on: a read over REST, or (protocol.md's one exception) the event alone."""

    REST = "rest"
    EVENT = "event"


@dataclass(frozen=True, slots=True)
class Decision:
    """How the wait ended: the platform's row (None where nobody decided in time) and what it rests on."""

    approval: Approval
    evidence: Evidence = Evidence.REST


class Outcome(StrEnum):
    """How a request stands, or how one attempt at it ended; the exit code follows from it alone.

    ``lifecycle.outcome_of`` reads it from a row; each foreign vocabulary (exit codes, the audit log) has one table from it.
    """

    APPROVED = "approved"
    DENIED = "denied"
    TIMEOUT = "timeout"
    """Nobody decided while we waited; also where the platform's clock ended the request together with ours."""
    EXPIRED = "expired"
    """The platform's clock ended the request sooner than ours would have."""
    WITHDRAWN = "withdrawn"
    PENDING = "pending"
    NOT_PERMITTED = "not_permitted"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as the output shows it: a stable kind, one sentence, what to do next."""

    kind: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one question. ``approved`` is True for one outcome only; everything else is a no.

    Attributes:
        decided_by_verified: None where nothing tells; only `status` shows such a one.
        waited_seconds: time from the request to this verdict.
        trace_id: finds this invocation's records in the audit log.
        recorded: whether the ending stands in the audit log.
        signum: for INTERRUPTED, the signal.
        error: for FAILED and NOT_PERMITTED, why.

    """

    outcome: Outcome
    action: str | None = None
    approval_id: str | None = None
    decided_by: str | None = None
    decided_by_verified: bool | None = False
    comment: str | None = None
    decided_at: str | None = None
    requested_at: str | None = None
    expires_at: str | None = None
    waited_seconds: float = 0.0
    trace_id: str | None = None
    evidence: Evidence | None = None
    recorded: bool = False
    error: Failure | None = None
    signum: int | None = None

    def __bool__(self) -> bool:
        """Raise TypeError: a refusal is an object too, and ``if verdict:`` would go on with it."""
        raise TypeError("a Verdict is neither true nor false; use .approved")

    @property
    def approved(self) -> bool:
        """Whether a person approved this very request."""
        return self.outcome is Outcome.APPROVED

    @property
    def message(self) -> str:
        """The verdict as one line of text; text from elsewhere in it is as it came, not made visible."""
        who = self.decided_by or "nobody"
        match self.outcome:
            case Outcome.APPROVED | Outcome.DENIED:
                name = who if self.decided_by_verified else f"{who} (name not verified)"
                comment = f": {self.comment}" if self.comment else ""
                return f"{self.outcome.value} by {name}{comment}"
            case Outcome.TIMEOUT:
                return f"timed out: nobody decided within {self.waited_seconds:.0f} s"
            case Outcome.EXPIRED:
                return "timed out: the request expired before anybody decided"
            case Outcome.WITHDRAWN:
                return "timed out: the request was withdrawn"
            case Outcome.PENDING:
                return "pending: nobody has decided yet"
            case _:  # not permitted, failed, interrupted: no verdict, and the error says why
                label = {"not_permitted": "not permitted", "failed": "gate failed"}.get(self.outcome, self.outcome.value)
                return f"{label}: {self.error.message}" if self.error else label

    def as_json(self) -> dict[str, JsonValue]:
        """The object that ``--json`` prints: these keys, whatever the outcome."""
        error: JsonValue = None
        if self.error is not None:
            error = {"kind": self.error.kind, "message": self.error.message, "hint": self.error.hint}
        return {
            "outcome": self.outcome.value,
            "approved": self.approved,
            "approval_id": self.approval_id,
            "action": self.action,
            "decided_by": self.decided_by,
            "decided_by_verified": self.decided_by_verified,
            "comment": self.comment,
            "decided_at": self.decided_at,
            "requested_at": self.requested_at,
            "expires_at": self.expires_at,
            "waited_seconds": round(self.waited_seconds, 3),
            "trace_id": self.trace_id,
            "evidence": None if self.evidence is None else self.evidence.value,
            "recorded": self.recorded,
            "error": error,
        }

    def as_dict(self) -> dict[str, JsonValue]:
        """The same with ``message``, which callers of the older tool read besides."""
        return {**self.as_json(), "message": self.message}
