"""The embedded server's database: one SQLite file, transactions, and the queries in them.

All of it blocks, so it runs in threads. Errors of the database library stop here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import bindparam
from sqlalchemy.exc import SQLAlchemyError

from molecule_approve.model import EXPIRED_BY, Approval, Status

from .schema import OPEN, PENDING, UNRECORDED, VERSION, approvals, approvers, codes, metadata, outbox, workspaces
from .values import Draft, Holder, Most, NameTakenError, OutboxEntry, Resolution, StoredApproval, StoreError, epoch_text

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Engine, Row
    from sqlalchemy.engine.interfaces import DBAPIConnection

# Statements are built once: building one costs as much as running it. Parameters that are not columns start with `p_`.
_ROW, _IS_OPEN, _IS_PENDING = approvals.c, sa.text(OPEN), sa.text(PENDING)
_COUNT = bindparam("p_count", type_=sa.Integer)
_IN_WORKSPACE = _ROW.workspace_id == bindparam("p_workspace")

_HOLDER = sa.union_all(
    sa.select(approvers.c.name, sa.null().label("workspace_id"), approvers.c.token_hash).where(
        approvers.c.token_hash == bindparam("p_hash")
    ),
    sa.select(sa.null(), workspaces.c.id, workspaces.c.token_hash).where(workspaces.c.token_hash == bindparam("p_hash")),
)
_WORKSPACE = sa.select(workspaces.c.id).where(workspaces.c.id == bindparam("p_workspace"))
_INSERT = sa.insert(approvals).returning(approvals)
_ONE = sa.select(approvals).where(_ROW.id == bindparam("p_id"), _IN_WORKSPACE)
_KEYED = sa.select(approvals).where(_IN_WORKSPACE, _ROW.key_id == bindparam("p_key"))
_NEWEST = sa.select(approvals).where(_IN_WORKSPACE).order_by(_ROW.number.desc()).limit(_COUNT)
_OLDEST_OPEN = sa.select(approvals).where(_IN_WORKSPACE, _IS_OPEN).order_by(_ROW.number).limit(_COUNT)
_OF_TASK = _NEWEST.where(_ROW.task_id == bindparam("p_task"))
# By itself SQLite, which does not know the values, would count along all requests of the workspace.
_COUNT_OPEN = sa.text(
    f"SELECT count(*) FROM approvals INDEXED BY approvals_open WHERE workspace_id = :p_workspace AND {OPEN}"  # noqa: S608 - our own words
)
_OF_ANY = sa.select(approvals, workspaces.c.name).join(workspaces, workspaces.c.id == _ROW.workspace_id).limit(_COUNT)
_NEWEST_PENDING = _OF_ANY.where(_IS_PENDING).order_by(_ROW.number.desc())
_OLDEST_PENDING = _OF_ANY.where(_IS_PENDING).order_by(_ROW.number)
_COUNT_PENDING = sa.select(sa.func.count()).select_from(approvals).where(_IS_PENDING)
_LATEST_ENDED = _OF_ANY.join(outbox, outbox.c.approval_id == _ROW.id).order_by(outbox.c.number.desc())
_TAKE_CODE = sa.delete(codes).where(codes.c.code_hash == bindparam("p_hash")).returning(codes.c.token_hash, codes.c.made)
_NEXT_EXPIRY = sa.select(sa.func.min(_ROW.expires)).where(_IS_OPEN)
_DUE = sa.select(_ROW.workspace_id, _ROW.id).where(_IS_OPEN, _ROW.expires <= bindparam("p_now"))
_END = sa.update(approvals).where(_ROW.id == bindparam("p_id"), _IN_WORKSPACE, _IS_OPEN).returning(approvals)
_INSERT_OUTBOX = sa.insert(outbox).returning(outbox.c.number)
_REDEEM = sa.update(approvals).where(
    _ROW.id == bindparam("p_id"), _IN_WORKSPACE, _ROW.status == Status.APPROVED.value, _ROW.used_by.is_(None)
)
_UNRECORDED = (
    sa.select(outbox.c.number.label("entry"), outbox.c.recorded_at, approvals)
    .join(approvals, _ROW.id == outbox.c.approval_id)
    .where(sa.text(UNRECORDED))
    .order_by(outbox.c.number)
)


def _approval(row: Row[Any]) -> Approval:
    return Approval(
        id=row.id,
        workspace_id=row.workspace_id,
        action=row.action,
        status=Status(row.status),
        reason=row.reason,
        task_id=row.task_id,
        decided_by=row.decided_by,
        decided_at=row.decided_at,
        created_at=row.created_at,
        comment=row.comment,
        context=None if row.context is None else json.loads(row.context),
        expires_at=epoch_text(row.expires),
        decided_by_verified=row.verified,
    )


class Transaction:
    """The queries of one transaction. ``ended`` lists the requests that it ended, in order."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.ended: list[OutboxEntry] = []

    # --- credentials

    def holder(self, token_hash: str) -> Holder | None:
        """The approver or workspace whose token has this hash."""
        found = self.connection.execute(_HOLDER, {"p_hash": token_hash}).one_or_none()
        return None if found is None else Holder(found.name, found.workspace_id, found.token_hash)

    def has_workspace(self, workspace_id: str) -> bool:
        """Whether the workspace exists."""
        return self.connection.execute(_WORKSPACE, {"p_workspace": workspace_id}).first() is not None

    def workspace_named(self, name: str) -> str | None:
        """The id of the oldest workspace of that name."""
        query = sa.select(workspaces.c.id).where(workspaces.c.name == name).order_by(workspaces.c.created_at).limit(1)
        found: str | None = self.connection.execute(query).scalar()
        return found

    def put_workspace(self, workspace_id: str, name: str, token_hash: str, created_at: str) -> None:
        """Create the workspace if it is missing, and make this its only token."""
        query = sa.update(workspaces).where(workspaces.c.id == workspace_id)
        if self.connection.execute(query.values(token_hash=token_hash)).rowcount == 0:
            values = {"id": workspace_id, "name": name, "token_hash": token_hash, "created_at": created_at}
            self.connection.execute(sa.insert(workspaces), values)

    def add_approver(self, name: str, token_hash: str, created_at: str) -> None:
        """Add an approver.

        Raises:
            NameTakenError: an approver of that name exists.
        """
        if self.connection.execute(sa.select(approvers.c.name).where(approvers.c.name == name)).first() is not None:
            raise NameTakenError(name)
        values = {"name": name, "token_hash": token_hash, "created_at": created_at}
        self.connection.execute(sa.insert(approvers), values)

    def approvers(self) -> list[tuple[str, str]]:
        """The names of all approvers, sorted, and when each was added."""
        rows = self.connection.execute(sa.select(approvers.c.name, approvers.c.created_at).order_by(approvers.c.name))
        return [(row.name, row.created_at) for row in rows]

    def revoke(self, name: str) -> bool:
        """Remove the approver; whether there was one."""
        return self.connection.execute(sa.delete(approvers).where(approvers.c.name == name)).rowcount > 0

    # --- signing in

    def put_code(self, code_hash: str, name: str, now: float, lifetime: float) -> bool:
        """Store a code for this approver, and delete expired codes; whether the approver exists."""
        self.connection.execute(sa.delete(codes).where(sa.not_(codes.c.made.between(now - lifetime, now))))
        owner = sa.select(sa.literal(code_hash), approvers.c.token_hash, sa.literal(now)).where(approvers.c.name == name)
        query = sa.insert(codes).from_select(["code_hash", "token_hash", "made"], owner)
        return self.connection.execute(query).rowcount > 0

    def take_code(self, code_hash: str, now: float, lifetime: float) -> Holder | None:
        """Delete the code; whom it signs in, or None if it is unknown or expired, or its approver was revoked."""
        found = self.connection.execute(_TAKE_CODE, {"p_hash": code_hash}).one_or_none()
        # A negative age means that the clock was set back: such a code is not valid.
        if found is None or not 0 <= now - found.made < lifetime:
            return None
        return self.holder(found.token_hash)

    # --- requests

    def insert(self, draft: Draft) -> Approval:
        """Store a new request."""
        values = {
            "id": draft.id,
            "workspace_id": draft.workspace_id,
            "task_id": draft.task_id,
            "key_id": draft.task_id if draft.keyed else None,
            "action": draft.action,
            "reason": draft.reason,
            "context": None if draft.context is None else json.dumps(draft.context, allow_nan=False),
            "status": Status.PENDING.value,
            "created_at": draft.created_at,
            "expires": draft.expires,
            "verified": False,
        }
        return _approval(self.connection.execute(_INSERT, values).one())

    def one(self, workspace_id: str, approval_id: str) -> StoredApproval | None:
        """One request of the workspace."""
        row = self.connection.execute(_ONE, {"p_workspace": workspace_id, "p_id": approval_id}).one_or_none()
        return None if row is None else StoredApproval(_approval(row), row.used_by, row.used_at)

    def keyed(self, workspace_id: str, key_id: str) -> Approval | None:
        """The request of an idempotency key."""
        row = self.connection.execute(_KEYED, {"p_workspace": workspace_id, "p_key": key_id}).one_or_none()
        return None if row is None else _approval(row)

    def newest(self, workspace_id: str, count: int) -> list[Approval]:
        """The workspace's newest requests, newest first."""
        return [_approval(row) for row in self.connection.execute(_NEWEST, {"p_workspace": workspace_id, "p_count": count})]

    def oldest_open(self, workspace_id: str, most: Most) -> list[Approval]:
        """The workspace's oldest open requests, oldest first."""
        return [_approval(row) for row in self._rows(_OLDEST_OPEN, most, p_workspace=workspace_id)]

    def of_task(self, workspace_id: str, task_id: str, most: Most) -> list[Approval]:
        """The workspace's requests with this task id, newest first."""
        return [_approval(row) for row in self._rows(_OF_TASK, most, p_workspace=workspace_id, p_task=task_id)]

    def count_open(self, workspace_id: str) -> int:
        """How many requests of the workspace are open."""
        return int(self.connection.execute(_COUNT_OPEN, {"p_workspace": workspace_id}).scalar_one())

    def pending(self, most: Most) -> list[tuple[Approval, str]]:
        """The newest pending requests of all workspaces, each with its workspace's name, newest first."""
        return [(_approval(row), row.name) for row in self._rows(_NEWEST_PENDING, most)]

    def oldest_pending(self, most: Most) -> list[tuple[Approval, str]]:
        """The oldest pending requests of all workspaces, each with its workspace's name, oldest first."""
        return [(_approval(row), row.name) for row in self._rows(_OLDEST_PENDING, most)]

    def count_pending(self) -> int:
        """How many requests of all workspaces are pending."""
        return int(self.connection.execute(_COUNT_PENDING).scalar_one())

    def latest_ended(self, most: Most) -> list[tuple[Approval, str]]:
        """The requests of all workspaces that ended last, each with its workspace's name, latest first."""
        return [(_approval(row), row.name) for row in self._rows(_LATEST_ENDED, most)]

    def _rows(self, query: sa.Select[Any], most: Most, **values: str) -> Iterator[Row[Any]]:
        """The query's first rows, at least one; no more are read than have the size together."""
        size = most.size
        with closing(self.connection.execute(query, {**values, "p_count": most.count})) as rows:
            for number, row in enumerate(rows):
                texts = json.dumps((row.action, row.reason, row.task_id, row.comment), ensure_ascii=False)
                # The context is stored as JSON, and is longer there than in an answer.
                size -= len(texts.encode("utf-8")) + len(row.context or "")
                if number and size < 0:
                    return
                yield row

    def next_expiry(self) -> float | None:
        """When the next open request expires, in seconds since the epoch."""
        found: float | None = self.connection.execute(_NEXT_EXPIRY).scalar()
        return found

    # --- ending requests: compare-and-set, so one of many concurrent calls wins; each writes its outbox row

    def end(self, workspace_id: str, approval_id: str, resolution: Resolution) -> Approval | None:
        """End the request; None if it is not open, or unknown."""
        values = {
            "p_workspace": workspace_id,
            "p_id": approval_id,
            "status": resolution.status.value,
            "decided_by": resolution.decided_by,
            "decided_at": resolution.decided_at,
            "verified": resolution.verified,
            "claimed_by": resolution.claimed_by,
            "comment": resolution.comment,
        }
        row = self.connection.execute(_END, values).one_or_none()
        if row is None:
            return None
        entered = {"approval_id": approval_id, "recorded_at": resolution.decided_at, "journaled": False}
        number, approval = self.connection.execute(_INSERT_OUTBOX, entered).scalar_one(), _approval(row)
        self.ended.append(OutboxEntry(number, resolution.decided_at, approval, resolution.claimed_by))
        return approval

    def expire_due(self, now: float, decided_at: str) -> None:
        """Expire every open request whose time was over before ``now``."""
        for row in self.connection.execute(_DUE, {"p_now": now}).all():
            self.end(row.workspace_id, row.id, Resolution(Status.DENIED, EXPIRED_BY, decided_at))

    def redeem(self, workspace_id: str, approval_id: str, invocation: str, used_at: str) -> None:
        """Mark the request as redeemed by this invocation, if it is approved and not redeemed yet."""
        values = {"p_workspace": workspace_id, "p_id": approval_id, "used_by": invocation, "used_at": used_at}
        self.connection.execute(_REDEEM, values)

    # --- the outbox

    def unrecorded(self) -> list[OutboxEntry]:
        """The ended requests that are not marked as recorded in the audit log, oldest first."""
        rows = self.connection.execute(_UNRECORDED)
        return [OutboxEntry(row.entry, row.recorded_at, _approval(row), row.claimed_by) for row in rows]

    def mark_recorded(self, numbers: list[int]) -> None:
        """Mark these rows as recorded in the audit log."""
        self.connection.execute(sa.update(outbox).where(outbox.c.number.in_(numbers)).values(journaled=True))


class Store:
    """One SQLite file: in WAL mode, so that readers never wait, and synchronous, so that a commit survives a crash.

    Raises:
        StoreError: the file cannot be opened, or has another version.
    """

    def __init__(self, path: Path, patience: float) -> None:
        self._files = {path: _make_file(path)}
        # As a URI, so that a connection never creates the file. Values of statements hold people's texts, so they are
        # kept out of error messages.
        self._engine = sa.create_engine(
            sa.URL.create("sqlite", database=path.absolute().as_uri(), query={"mode": "rw", "uri": "true"}),
            hide_parameters=True,
            pool_reset_on_return=None,
            connect_args={"timeout": patience},
        )
        sa.event.listen(self._engine, "do_connect", lambda *_: self.check())
        _configure(self._engine)
        with self.write() as transaction:
            _migrate(transaction)
        # While a connection is open, and here one always is, the newest commits are only in this file.
        log = path.with_name(f"{path.name}-wal")
        with suppress(OSError):  # some file systems cannot have one
            self._files[log] = _identity(log.lstat())

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """A transaction that only reads.

        Raises:
            StoreError: the database cannot answer.
        """
        with self._begin("BEGIN") as transaction:
            yield transaction

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """A transaction that has the write lock from its start, so that what it reads does not change until it commits.

        Raises:
            StoreError: the database cannot answer.
        """
        with self._begin("BEGIN IMMEDIATE") as transaction:
            yield transaction

    @contextmanager
    def _begin(self, words: str) -> Iterator[Transaction]:
        try:
            with self._engine.connect().execution_options(begin=words) as connection, connection.begin():
                yield Transaction(connection)
                self.check()
        except SQLAlchemyError as exc:
            raise StoreError(str(getattr(exc, "orig", None) or exc)) from exc

    def check(self) -> None:
        """Check that the open files are still at their paths: what is written into a removed file is lost.

        Raises:
            StoreError: a file was removed or replaced.
        """
        for path, known in self._files.items():
            try:
                found = _identity(path.lstat())
            except OSError as exc:
                raise StoreError(f"{path} was removed: {exc.strerror}") from exc
            if found != known:
                raise StoreError(f"{path} was replaced by another file")

    def close(self) -> None:
        """Close the file."""
        self._engine.dispose()


def _make_file(path: Path) -> tuple[int, int]:
    """Create the file if it is missing; its identity."""
    # SQLite would create it with the umask's mode. Its WAL and index files get the mode of this file.
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise StoreError(f"{path}: {exc.strerror}") from exc
    found = _identity(os.fstat(handle))
    os.close(handle)
    return found


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def _configure(engine: Engine) -> None:
    @sa.event.listens_for(engine, "connect")
    def _on_connect(connection: DBAPIConnection, _record: object) -> None:
        # Otherwise Python's sqlite3 begins transactions by itself, and never IMMEDIATE ones.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options()["begin"])


def _migrate(transaction: Transaction) -> None:
    connection = transaction.connection
    version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    if version in range(VERSION):
        # So far each version has only added tables and indexes.
        metadata.create_all(connection)
        for index in chain.from_iterable(table.indexes for table in metadata.sorted_tables):
            index.create(connection, checkfirst=True)
        connection.exec_driver_sql(f"PRAGMA user_version = {VERSION}")
    elif version != VERSION:
        raise StoreError(f"the database has version {version}, this program needs version {VERSION}")
