"""The values and errors of the database, so that no other room needs the database library."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from molecule_approve.model import Approval, JsonValue, Outcome, Status


class StoreError(Exception):
    """The database cannot answer, and what to do next (``hint``), where that is known. It never leaves the server."""

    def __init__(self, message: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class GoneError(StoreError):
    """The database's file was removed or replaced: what is written into it is lost."""


class LostConnectionError(StoreError):
    """The database cannot be reached, or the connection broke; nothing was stored."""


class RaceError(StoreError):
    """Another transaction was in the way; nothing was stored, and another try may succeed at once."""


class UnknownCommitError(StoreError):
    """The connection broke during the commit, so that only the database knows whether it took place."""


class NameTakenError(Exception):
    """Another approver, workspace, or requester of the workspace has this name, perhaps in another spelling: ``taken``."""

    def __init__(self, taken: str) -> None:
        super().__init__(taken)
        self.taken = taken


def epoch_text(seconds: float) -> str:
    """A point in time as the platform writes it; these texts sort like the times."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Holder:
    """The owner of a token or session: an approver, or a requester of one workspace.

    Attributes:
        id: of the credential; a name that is added again has another one.
        workspace_id: the requester's workspace; None for an approver.
        workspaces: where the approver may decide; None for everywhere.
        session_id: the session, if the token is that of a session.
        used: when the session was last used, in seconds since the epoch.
        built_in: whether it is the server's own requester.
    """

    id: str
    name: str
    token_hash: str
    workspace_id: str | None = None
    workspaces: frozenset[str] | None = None
    session_id: str | None = None
    used: float = 0.0
    built_in: bool = False


@dataclass(frozen=True, slots=True)
class WorkspaceRow:
    """A workspace, its valid requesters' names, and how many of its requests are open."""

    id: str
    name: str
    created_at: str
    requesters: tuple[str, ...]
    open_requests: int


@dataclass(frozen=True, slots=True)
class RequesterRow:
    """A valid requester; ``built_in``: a server's own.

    ``host`` is the machine of that server, if several share the database and this one did not end.
    """

    id: str
    name: str
    workspace_id: str
    workspace_name: str
    created_at: str
    built_in: bool
    host: str | None = None


@dataclass(frozen=True, slots=True)
class ApproverRow:
    """A valid approver. ``workspaces``: the names of those where they may decide; None for all."""

    name: str
    created_at: str
    source: str
    workspaces: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """How long a session lasts, and how long without a call; in seconds."""

    lifetime: float
    idle: float


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A session that begins. ``client`` is the browser, as it names itself."""

    id: str
    token_hash: str
    approver_id: str
    client: str


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A session that is valid; ``began`` and ``used`` are in seconds since the epoch."""

    id: str
    client: str
    began: float
    used: float


@dataclass(frozen=True, slots=True)
class OpenSignIn:
    """A sign-in through a provider that has begun: the PKCE challenge, and the hash of the nonce."""

    challenge: str
    nonce_hash: str


@dataclass(frozen=True, slots=True)
class KnownApprover:
    """An approver as a sign-in through a provider sees it.

    Attributes:
        source: ``token`` or ``openid``: how the approver came in.
        subject: the provider's address and its id of the person; None if the approver never signed in through one.
    """

    id: str
    name: str
    source: str
    subject: str | None
    revoked: bool


@dataclass(frozen=True, slots=True)
class Most:
    """The most that a list may have: requests, and bytes of their texts as JSON."""

    count: int
    size: int


@dataclass(frozen=True, slots=True)
class Draft:
    """A request before it is stored. ``expires`` is in seconds since the epoch.

    ``keyed``: its task id is unique in its workspace, because it has an idempotency key, or (``once``) because it is wanted.
    """

    id: str
    workspace_id: str
    task_id: str
    keyed: bool
    action: str
    reason: str
    context: dict[str, JsonValue] | None
    created_at: str
    expires: float
    requested_by: str | None = None
    once: bool = False
    requester_id: str | None = None
    requirement: str | None = None


@dataclass(frozen=True, slots=True)
class Resolution:
    """How to end a request. ``verified``: the name comes from an approver's credential."""

    status: Status
    decided_by: str
    decided_at: str
    verified: bool = False
    claimed_by: str | None = None
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class StoredApproval:
    """A stored request, and which attempt redeemed it, when."""

    approval: Approval
    redeemed_by: str | None
    redeemed_at: str | None


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """One person's decision about a request.

    Attributes:
        name: of the approver's credential.
        claimed_by: the name in the decision's body; recorded, never trusted.
        proof_kind: ``token``, ``session``, ``passkey``, ``ssh`` or ``ssh-sk``.
        statement, proof: what was signed, and the signature as JSON; None for a decision by a credential alone.
        statement_hash: the SHA-256 that was signed, in hex.
    """

    name: str
    approver_id: str
    decision: Status
    decided_at: str
    proof_kind: str
    claimed_by: str | None = None
    comment: str | None = None
    statement: str | None = None
    proof: str | None = None
    statement_hash: str | None = None


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key of an approver.

    Attributes:
        kind: ``ssh`` or ``passkey``.
        public_key: an SSH key as in authorized_keys; a passkey's as SubjectPublicKeyInfo in base64url.
        credential_id, rp_id, aaguid: of a passkey: its id, the host it is bound to, the model of its authenticator.
        sign_count: how often it was used, as it last counted itself.
        added_by: ``administrator``, or the id of the key that signed for it.
    """

    id: str
    approver_id: str
    kind: str
    label: str
    public_key: str
    added_at: str
    added_by: str
    credential_id: str | None = None
    rp_id: str | None = None
    aaguid: str | None = None
    sign_count: int = 0


class KeyOwner(NamedTuple):
    """A key, and the name of the approver whose it is; ``removed_at``: when it was removed, None while it is in use."""

    approver: str
    key: KeyRow
    removed_at: str | None = None


class ServerIdentity(NamedTuple):
    """The id of the servers of a database, and their Ed25519 key in base64url."""

    id: str
    private_key: str
    created_at: str


@dataclass(frozen=True, slots=True)
class PersonNow:
    """An approver who is not revoked.

    Attributes:
        groups: those that the provider named at the last sign-in.
        workspaces: where the approver may decide; None for everywhere.
    """

    id: str
    name: str
    groups: frozenset[str]
    workspaces: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """An ended request on its way to the audit log. ``number`` is that of its outbox row.

    ``decisions`` are those that stood at its end, if they have rows.
    """

    number: int
    recorded_at: str
    approval: Approval
    claimed_by: str | None
    decisions: tuple[DecisionRow, ...] = ()


@dataclass(frozen=True, slots=True)
class RequestLine:
    """A request in a list: ``approval`` has only the beginning of the action, no reason, and no long context.

    ``requester_revoked`` says whether the requester was revoked since.
    """

    approval: Approval
    workspace_name: str
    action_length: int
    requester_revoked: bool = False


@dataclass(frozen=True, slots=True)
class PendingSearch:
    """Which pending requests are listed: those that contain all words, of one workspace ("": of any)."""

    words: tuple[str, ...] = ()
    workspace: str = ""


@dataclass(frozen=True, slots=True)
class EndedSearch:
    """Which ended requests are listed. An empty text, and None, excludes nothing.

    Attributes:
        words: all of them are in the action, the reason or the comment.
        who: a part of the name of who requested or decided it.
        since, until: the span of time in which it ended, as :func:`epoch_text` writes it; ``until`` is not part of it.
    """

    words: tuple[str, ...] = ()
    who: str = ""
    outcome: Outcome | None = None
    since: str = ""
    until: str = ""
    workspace: str = ""


@dataclass(frozen=True, slots=True)
class EndedPage:
    """A page of ended requests, latest first.

    Attributes:
        next: where the page after it begins; None if there is none.
        searched_to: the time of the earliest request that was looked at, if there is another page.
    """

    lines: list[RequestLine]
    next: int | None
    searched_to: str | None


@dataclass(frozen=True, slots=True)
class ReplicaRow:
    """A server that shares its database with others: its id, its machine, its audit log there, its public address."""

    id: str
    host: str
    log: str
    public_url: str | None


_ENDED, _PROGRESS = "ended", "progress"


@dataclass(frozen=True, slots=True)
class Change:
    """What the servers of one database tell each other: a request was made, goes on after a decision, or has ended.

    Attributes:
        expires: for a new request, in seconds since the epoch; else None.
        progress: somebody's decision was made or retracted, and the request is still open.
    """

    approval_id: str
    workspace_id: str
    expires: float | None = None
    progress: bool = False

    def encode(self) -> str:
        """As one line."""
        word = _PROGRESS if self.progress else _ENDED if self.expires is None else self.expires
        return f"{word} {self.approval_id} {self.workspace_id}"

    @classmethod
    def decode(cls, line: str) -> Change | None:
        """Read such a line; None if it is none."""
        try:
            word, approval_id, workspace_id = line.split(" ", 2)
            expires = None if word in {_ENDED, _PROGRESS} else float(word)
            return cls(approval_id, workspace_id, expires, progress=word == _PROGRESS)
        except ValueError:
            return None
