"""The nouns: a request, what the platform holds, a verdict. Values only; nothing here acts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from .errors import ours

if TYPE_CHECKING:
    from os import PathLike

    from .errors import ApprovalError

# Recursive JSON, as json.loads gives it.
JsonValue = str | int | float | bool | None | list["JsonValue"] | dict[str, "JsonValue"]

EXPIRED_BY = "auto-expired"
"""The platform's ``decided_by`` on a request that expired; no person denied it."""

WITHDRAWN_BY = "withdrawn"
"""The ``decided_by`` on a request that its requester withdrew; no person denied it."""


class Secret:
    """A credential that is masked in a repr, a traceback, a log and a format string."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The credential, for the header that carries it."""
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
    """A platform's address and the credential for it. Both come from one source, so no token goes to another address.

    Attributes:
        url: base address without a trailing slash, ``http://…`` or ``https://…``. With a Unix socket its host is used for
            the Host header only.
        workspace_id: the requester's workspace; a path segment and a header.
        token: bearer token, or None if none is configured.
        unix_socket: path of the Unix socket to use instead of TCP, or None.
        headers: further request headers (X-Molecule-Org-Id); never the credential.
        origin: the Origin header of the event stream's handshake; None to send none at first.
        proxy: address of the proxy for https://, or None; for REST and the event stream alike.
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
    """A request before the platform has it.

    Attributes:
        workspace_id: the requester's workspace.
        action: what is about to be done, 1 to 4,096 characters, never cut.
        reason: why, at most 16,384 characters.
        task_id: our own UUID for the request; it finds the request again if the platform's answer is lost.
        trace_id: one UUID for all audit records of this attempt; the task id, unless a key determines that.
        context: where the request comes from (user, host, folder, CI job, audit head).
        expires_in: seconds until the request expires, or None for the platform's own expiry.
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
    """A request's status in the platform's words; any other word is UNKNOWN, and never an approval."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    ESCALATED = "escalated"
    UNKNOWN = "unknown"


class PersonDecision(NamedTuple):
    """One person's decision.

    Attributes:
        proof: ``token``, ``session``, ``passkey``, ``ssh`` or ``ssh-sk``; None if it is not known.
    """

    by: str
    at: str
    decision: Status
    comment: str | None = None
    proof: str | None = None


class WaitingGroup(NamedTuple):
    """The people of a group who could still approve; ``group`` is None for those that a rule names directly."""

    group: str | None
    people: tuple[str, ...]


class ApprovalProgress(NamedTuple):
    """How far a request is: it ``need``s so many approvals, and ``have`` is how many count now.

    Attributes:
        rule: the name of its rule; None without a policy.
        presence: what an approval has to prove: ``none``, ``signature``, ``required`` or ``verified``.
        comment: whether each decision needs a comment.
        approved_by: the people whose approvals count.
        waiting_for: who could still approve; empty if that is any approver.
    """

    need: int
    have: int
    rule: str | None = None
    presence: str = "none"
    comment: bool = False
    approved_by: tuple[str, ...] = ()
    waiting_for: tuple[WaitingGroup, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether any one approver's yes is all that it needs, so that there is no count to tell."""
        return self.need == 1 and not self.waiting_for

    @property
    def sentence(self) -> str:
        """In words: ``1 of 2: alice; waiting for dba (bo, cy)``."""
        approved = f": {', '.join(self.approved_by)}" if self.approved_by else ""
        groups = [
            f"{one.group} ({', '.join(one.people)})" if one.group else ", ".join(one.people) for one in self.waiting_for
        ]
        waiting = f"; waiting for {', '.join(groups)}" if groups and self.have < self.need else ""
        return f"{self.have} of {self.need}{approved}{waiting}"

    def as_json(self) -> dict[str, JsonValue]:
        """The object that ``--json`` prints as ``approvals``."""
        return {**self._asdict(), "waiting_for": [one._asdict() for one in self.waiting_for]}


@dataclass(frozen=True, slots=True)
class Approval:
    """One request as the platform shows it. Times are the platform's own RFC 3339 text.

    Attributes:
        decided_by_verified: True if the name comes from the approver's own credential (embedded server), False if it does
            not, None if the answer does not say (lists, the platform).
        requested_by: the name of the requester's credential; None if it is not known.
        is_anonymous: whether the embedded server says that it knows no name.
        is_revoked: whether the requester was revoked since; only in an approver's list.
        requirement: what its rule asks for (``policy.requirement``, as JSON), within the embedded server.
        decisions: each person's decision; only from the embedded server.
        progress: how far it is; only from the embedded server.
        subject: what a signed decision says of it (``proofs.statement``); only from the embedded server.
        requested_by, comment, context, expires_at: only from the embedded server.
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
    requested_by: str | None = None
    is_anonymous: bool = False
    is_revoked: bool = False
    requirement: str | None = None
    decisions: tuple[PersonDecision, ...] = ()
    progress: ApprovalProgress | None = None
    subject: Mapping[str, JsonValue] | None = None


@dataclass(frozen=True, slots=True)
class SubmittedRequest:
    """A request that the platform has, and all that its row must match.

    Attributes:
        action: the requested text; None if it is not known, and then no approval counts.
        task_id: our id in the request; None if it is not known.
        own: whether the id comes from the answer to our own POST.
        created_at: when the platform created it, if that was seen.
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
    """What a verdict is based on: a read over REST, or the event alone where no read can show the row any more."""

    REST = "rest"
    EVENT = "event"


@dataclass(frozen=True, slots=True)
class Decision:
    """How the request ended: the platform's row, and what that is based on."""

    approval: Approval
    evidence: Evidence = Evidence.REST


class Outcome(StrEnum):
    """How a request stands, or how one attempt at it ended; the exit code follows from it alone.

    ``lifecycle.outcome_of`` reads it from a row; each foreign vocabulary (exit codes, the audit log) has one table from it.
    """

    APPROVED = "approved"
    DENIED = "denied"
    TIMEOUT = "timeout"
    """Nobody decided before the timeout; also if the platform expired the request at the same time."""
    EXPIRED = "expired"
    """The platform expired the request before the timeout."""
    WITHDRAWN = "withdrawn"
    PENDING = "pending"
    NOT_PERMITTED = "not_permitted"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as the output shows it: a stable kind, a message, and what to do next."""

    kind: str
    message: str
    hint: str = ""

    @classmethod
    def of(cls, error: ApprovalError) -> Failure:
        """What the output shows of this error."""
        return cls(error.kind, error.message, error.hint)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a gate returns. ``approved`` is True for one outcome only.

    Attributes:
        requested_by: the name of the requester's credential; None if it is not known.
        decided_by_verified: None if it is not known; only in `status`.
        self_approved: whether the requester approved it; None if that is not known.
        decisions: each person's decision; empty if it is not known.
        progress: how many approvals the request has and needs; None if it is not known.
        waited_seconds: seconds from the request to this verdict.
        trace_id: the id of this attempt's records in the audit log.
        recorded: whether the outcome was written to the audit log.
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
    requested_by: str | None = None
    self_approved: bool | None = None
    decisions: tuple[PersonDecision, ...] = ()
    progress: ApprovalProgress | None = None

    @classmethod
    def of_error(cls, error: Exception) -> Verdict:
        """The verdict of an error before, or outside, the gate."""
        return cls(Outcome.FAILED, error=Failure.of(ours(error)))

    def __bool__(self) -> bool:
        """Raise TypeError: ``if verdict:`` would take a denial for an approval."""
        raise TypeError("a Verdict has no truth value; use .approved")

    @property
    def approved(self) -> bool:
        """Whether a person approved this request."""
        return self.outcome is Outcome.APPROVED

    @property
    def message(self) -> str:
        """The verdict as one line; foreign text in it is not made visible yet."""
        who = self.decided_by or "nobody"
        count = self.progress if self.progress is not None and not self.progress.is_plain else None
        few = f"only {count.have} of {count.need} approved" if count is not None and count.have else "nobody decided"
        match self.outcome:
            case Outcome.APPROVED | Outcome.DENIED:
                name = who if self.decided_by_verified else f"{who} (name not verified)"
                name += " (also the requester)" if self.self_approved else ""
                name += f" ({count.sentence})" if self.approved and count is not None and count.need > 1 else ""
                comment = f": {self.comment}" if self.comment else ""
                return f"{self.outcome.value} by {name}{comment}"
            case Outcome.TIMEOUT:
                return f"timed out: {few} within {self.waited_seconds:.0f} s"
            case Outcome.EXPIRED:
                return f"expired: {few} in time"
            case Outcome.WITHDRAWN:
                return "withdrawn by the requester"
            case Outcome.PENDING:
                return f"pending: {count.sentence}" if count is not None else "pending: nobody has decided yet"
            case _:  # the error says why
                label = {"not_permitted": "not permitted", "failed": "gate failed"}.get(self.outcome, self.outcome.value)
                return f"{label}: {self.error.message}" if self.error else label

    @property
    def _names_person(self) -> bool:
        """Whether ``decided_by`` is somebody's name, of which it can be known whether it is verified."""
        return self.decided_by is not None and self.outcome not in {Outcome.TIMEOUT, Outcome.EXPIRED, Outcome.WITHDRAWN}

    def as_json(self) -> dict[str, JsonValue]:
        """The object that ``--json`` prints; the same keys for every outcome."""
        return {
            "outcome": self.outcome.value,
            "approved": self.approved,
            "approval_id": self.approval_id,
            "action": self.action,
            "requested_by": self.requested_by,
            "decided_by": self.decided_by,
            "decided_by_verified": self.decided_by_verified if self._names_person else None,
            "self_approved": self.self_approved,
            "comment": self.comment,
            "decided_at": self.decided_at,
            "decisions": None if self.progress is None else [one._asdict() for one in self.decisions],
            "approvals": None if self.progress is None else self.progress.as_json(),
            "requested_at": self.requested_at,
            "expires_at": self.expires_at,
            "waited_seconds": round(self.waited_seconds, 3),
            "trace_id": self.trace_id,
            "evidence": None if self.evidence is None else self.evidence.value,
            "recorded": self.recorded,
            "error": None if self.error is None else asdict(self.error),
        }

    def as_dict(self) -> dict[str, JsonValue]:
        """The same with ``message``, for callers of the older tool."""
        return {**self.as_json(), "message": self.message}
