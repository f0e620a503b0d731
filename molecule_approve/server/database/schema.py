"""The tables of the embedded server's database, as they are now; ``migrations`` says how they came to be so."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    text,
)

REVISION = "0005"
"""The newest migration. A database with a revision that this program does not know is refused."""

POSTGRESQL_CLOCK = "CAST(extract(epoch FROM clock_timestamp()) AS double precision)"
"""PostgreSQL's clock, in seconds since the epoch: those of its servers may differ."""

metadata = MetaData()

# Alembic's own table. It is listed here because a new database is made from this file, without Alembic.
revisions = Table("alembic_version", metadata, Column("version_num", String(32), primary_key=True))

_NUMBER = BigInteger().with_variant(Integer, "sqlite")

NOT_REVOKED = "revoked_at IS NULL"
"""Credentials that are valid. As text, because SQLite uses a partial index only for a query with the same text."""

workspaces = Table(
    "workspaces",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("created_at", String, nullable=False),
    # Its requests are kept, but nobody can ask there any more.
    Column("removed_at", String),
)

# Each name is added under a new id, so that nothing of a revoked one (sessions, sign-in codes) is worth anything for its
# successor. Revoked rows are kept: they say who it was.
requesters = Table(
    "requesters",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("workspace_id", String, ForeignKey("workspaces.id"), nullable=False),
    # SHA-256 of the token, in hex; the token itself is nowhere in the database.
    Column("token_hash", String, nullable=False, unique=True),
    Column("created_at", String, nullable=False),
    Column("revoked_at", String),
    # The server's own, whose token is in the requester's file of the user who runs it.
    Column("built_in", Boolean, nullable=False),
)
ADDED = f"{NOT_REVOKED} AND NOT built_in"
"""Valid credentials that an administrator added."""

Index(
    "requesters_by_name",
    requesters.c.workspace_id,
    requesters.c.name,
    unique=True,
    sqlite_where=text(ADDED),
    postgresql_where=text(ADDED),
)

approvers = Table(
    "approvers",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    # NULL for an approver who signs in through a provider only.
    Column("token_hash", String, unique=True),
    Column("created_at", String, nullable=False),
    Column("revoked_at", String),
    # How the approver came in: 'token' (added by an administrator) or 'openid' (at the first sign-in).
    Column("source", String, nullable=False),
    # The provider's own id of the person, with the provider's address before it: names change hands there. NULL before
    # the first sign-in through a provider.
    Column("subject", String),
    # Whether the approver may decide in the workspaces of `approver_workspaces` only.
    Column("limited", Boolean, nullable=False),
)
Index(
    "approvers_by_name",
    approvers.c.name,
    unique=True,
    sqlite_where=text(NOT_REVOKED),
    postgresql_where=text(NOT_REVOKED),
)

approver_workspaces = Table(
    "approver_workspaces",
    metadata,
    Column("approver_id", String, ForeignKey("approvers.id"), primary_key=True),
    Column("workspace_id", String, ForeignKey("workspaces.id"), primary_key=True),
)

# Times that are compared are in seconds since the epoch.
codes = Table(
    "sign_in_codes",
    metadata,
    # SHA-256 of the code, in hex.
    Column("code_hash", String, primary_key=True),
    Column("approver_id", String, ForeignKey("approvers.id"), nullable=False),
    Column("made", Float, nullable=False),
)

openid_sign_ins = Table(
    "openid_sign_ins",
    metadata,
    # SHA-256 of the state, in hex, which the browser takes to the provider and back.
    Column("state_hash", String, primary_key=True),
    # The PKCE challenge; its verifier is in the browser that began the sign-in, and nowhere else.
    Column("challenge", String, nullable=False),
    Column("nonce_hash", String, nullable=False),
    Column("began", Float, nullable=False),
)

sessions = Table(
    "sessions",
    metadata,
    # A name for the session, which its owner may see; the token is known by its hash only.
    Column("id", String, primary_key=True),
    Column("token_hash", String, nullable=False, unique=True),
    Column("approver_id", String, ForeignKey("approvers.id"), nullable=False),
    Column("began", Float, nullable=False),
    Column("used", Float, nullable=False),
    # The browser, as it names itself.
    Column("client", String, nullable=False),
)
Index("sessions_of_approver", sessions.c.approver_id)
Index("sessions_by_use", sessions.c.used)

approvals = Table(
    "approvals",
    metadata,
    # The order of arrival, also of two requests within one microsecond.
    Column("number", _NUMBER, primary_key=True, autoincrement=True),
    Column("id", String, nullable=False, unique=True),
    Column("workspace_id", String, nullable=False),
    Column("task_id", String, nullable=False),
    # The task id of an idempotency key, else NULL: the constraint below makes keys unique.
    Column("key_id", String),
    Column("action", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("context", String),
    Column("status", String, nullable=False),
    Column("created_at", String, nullable=False),
    Column("expires", Float, nullable=False),
    # The name of the requester's credential; NULL for a call without a token, and for what is older than this column.
    Column("requested_by", String),
    # The credential itself: a name can be added again.
    Column("requester_id", String),
    Column("decided_by", String),
    Column("decided_at", String),
    # Whether decided_by comes from an approver's credential; false for expiry and withdrawal.
    Column("verified", Boolean, nullable=False),
    # The name in the decision's body; recorded in the audit log, never trusted.
    Column("claimed_by", String),
    Column("comment", String),
    Column("used_by", String),
    Column("used_at", String),
    # What its rule asks for, as JSON (`policy.requirement`); NULL where no policy was in force.
    Column("requirement", String),
    UniqueConstraint("workspace_id", "key_id"),
    sqlite_autoincrement=True,
)

# Rows are kept for ever, so every query of a call uses one of these indexes.
Index("approvals_of_workspace", approvals.c.workspace_id, approvals.c.number)
Index("approvals_of_task", approvals.c.workspace_id, approvals.c.task_id, approvals.c.number)
OPEN = "status IN ('pending', 'escalated')"
"""Open requests."""

Index("approvals_open", approvals.c.workspace_id, sqlite_where=text(OPEN), postgresql_where=text(OPEN))
Index("approvals_due", approvals.c.expires, sqlite_where=text(OPEN), postgresql_where=text(OPEN))
PENDING = "status = 'pending'"
"""Requests that wait for an approver."""

Index("approvals_pending", approvals.c.number, sqlite_where=text(PENDING), postgresql_where=text(PENDING))

# Each person's decision about a request. Without a requirement and a proof, the columns of the request say all.
decisions = Table(
    "decisions",
    metadata,
    Column("number", _NUMBER, primary_key=True, autoincrement=True),
    Column("approval_id", String, nullable=False),
    # The name in the spelling in which all its spellings are equal: a person counts once, whatever the credential is.
    Column("person", String, nullable=False),
    Column("name", String, nullable=False),
    Column("approver_id", String, nullable=False),
    Column("decision", String, nullable=False),
    Column("decided_at", String, nullable=False),
    Column("claimed_by", String),
    Column("comment", String),
    # How it was proven: 'token', 'session', 'passkey', 'ssh' or 'ssh-sk'.
    Column("proof_kind", String, nullable=False),
    # What was signed, and the signature as JSON; NULL for a decision by a credential alone.
    Column("statement", String),
    Column("proof", String),
    # SHA-256 of the statement, in hex: a proof counts once.
    Column("statement_hash", String, unique=True),
    Column("retracted_at", String),
    sqlite_autoincrement=True,
)
NOT_RETRACTED = "retracted_at IS NULL"
Index(
    "decisions_of_request",
    decisions.c.approval_id,
    decisions.c.person,
    unique=True,
    sqlite_where=text(NOT_RETRACTED),
    postgresql_where=text(NOT_RETRACTED),
)

# The keys with which approvers prove decisions.
approver_keys = Table(
    "approver_keys",
    metadata,
    Column("id", String, primary_key=True),
    Column("approver_id", String, ForeignKey("approvers.id"), nullable=False),
    # 'passkey' or 'ssh'.
    Column("kind", String, nullable=False),
    Column("label", String, nullable=False),
    # An SSH key as in authorized_keys; a passkey's key as SubjectPublicKeyInfo in base64url.
    Column("public_key", String, nullable=False),
    # For a passkey: its id, the host it is bound to, its counter and the model of its authenticator.
    Column("credential_id", String),
    Column("rp_id", String),
    Column("sign_count", _NUMBER, nullable=False),
    Column("aaguid", String),
    Column("added_at", String, nullable=False),
    # Who enrolled it: 'administrator', or the id of the key that signed for it.
    Column("added_by", String, nullable=False),
    Column("removed_at", String),
)
KEY_IN_USE = "removed_at IS NULL"
Index("approver_keys_of_approver", approver_keys.c.approver_id)
Index(
    "approver_keys_once",
    approver_keys.c.public_key,
    unique=True,
    sqlite_where=text(KEY_IN_USE),
    postgresql_where=text(KEY_IN_USE),
)

# Links by which an approver enrols a key, once.
key_codes = Table(
    "key_codes",
    metadata,
    # SHA-256 of the code, in hex.
    Column("code_hash", String, primary_key=True),
    Column("approver_id", String, ForeignKey("approvers.id"), nullable=False),
    Column("made", Float, nullable=False),
)

# The groups that the provider says an approver is in, as of the last sign-in.
approver_groups = Table(
    "approver_groups",
    metadata,
    Column("approver_id", String, ForeignKey("approvers.id"), primary_key=True),
    Column("name", String, primary_key=True),
)

# Who this server is, for receipts: one row, for all servers of the database.
identity = Table(
    "identity",
    metadata,
    Column("id", String, primary_key=True),
    # Ed25519, 32 bytes in base64url.
    Column("private_key", String, nullable=False),
    Column("created_at", String, nullable=False),
)

outbox = Table(
    "journal",
    metadata,
    # One row for each ended request, written by the same transaction, and appended to the audit log afterwards.
    Column("number", _NUMBER, primary_key=True, autoincrement=True),
    Column("approval_id", String, nullable=False, unique=True),
    Column("recorded_at", String, nullable=False),
    Column("journaled", Boolean, nullable=False),
    # The replica that has to append it; NULL where only one server can.
    Column("owner", String),
    sqlite_autoincrement=True,
)

UNRECORDED = "NOT journaled"
"""The rows that are not marked as recorded in the audit log."""

Index("journal_waiting", outbox.c.number, sqlite_where=text(UNRECORDED), postgresql_where=text(UNRECORDED))

# Servers that share the database; with SQLite there are none here.
replicas = Table(
    "replicas",
    metadata,
    Column("id", String, primary_key=True),
    # The machine, and the audit log there: when this server has ended for good, one that can read it looks what it holds.
    Column("host", String, nullable=False),
    Column("log", String, nullable=False),
    # NULL for one that has no address but that of its machine.
    Column("public_url", String),
    Column("started_at", String, nullable=False),
)

# Calls that are counted over all servers, such as failed logins.
rates = Table(
    "rates",
    metadata,
    Column("key", String, primary_key=True),
    # Ten seconds each, counted from the epoch.
    Column("slot", _NUMBER, primary_key=True),
    Column("count", Integer, nullable=False),
)
