"""The queries of the embedded server, each inside one transaction; what they are for is decided in ``service``.

All of it is blocking, and meant for a thread. Errors of the database library stop here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from molecule_approve.model import EXPIRED_BY, Approval, JsonValue, Status

from .schema import OPEN, VERSION, WAITING, approvals, approvers, journal, metadata, workspaces

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Engine, Row


class StoreError(Exception):
    """The database cannot answer: locked for too long, full, unreadable, of another version. It never leaves the server."""


class NameTakenError(Exception):
    """An approver of that name exists."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose token it is: an approver's (``name``) or a workspace's (``workspace_id``); the other is None."""

    name: str | None
    workspace_id: str | None
    token_hash: str


@dataclass(frozen=True, slots=True)
class Draft:
    """A request before it is stored. ``expires`` is in seconds since the epoch; ``keyed``: the task id is a key's."""

    id: str
    workspace_id: str
    task_id: str
    keyed: bool
    action: str
    reason: str
    context: dict[str, JsonValue] | None
    created_at: str
    expires: float


@dataclass(frozen=True, slots=True)
class Ending:
    """How a request is to end. ``verified``: the name comes from an approver's credential."""

    status: Status
    decided_by: str
    decided_at: str
    verified: bool = False
    claimed_by: str | None = None
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """A stored request, and by which invocation it was used up, when."""

    approval: Approval
    used_by: str | None
    used_at: str | None


@dataclass(frozen=True, slots=True)
class Entry:
    """A request that ended and waits for the audit log. ``number`` is the journal row's."""

    number: int
    recorded_at: str
    approval: Approval
    claimed_by: str | None


def _epoch_text(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _approval(row: Row[tuple[object, ...]]) -> Approval:
    found = row._mapping  # noqa: SLF001 - SQLAlchemy's documented way to read a row by its columns
    context = found[approvals.c.context]
    return Approval(
        id=found[approvals.c.id],
        workspace_id=found[approvals.c.workspace_id],
        action=found[approvals.c.action],
        status=Status(found[approvals.c.status]),
        reason=found[approvals.c.reason],
        task_id=found[approvals.c.task_id],
        decided_by=found[approvals.c.decided_by],
        decided_at=found[approvals.c.decided_at],
        created_at=found[approvals.c.created_at],
        comment=found[approvals.c.comment],
        context=None if context is None else json.loads(context),
        expires_at=_epoch_text(found[approvals.c.expires]),
        decided_by_verified=bool(found[approvals.c.verified]),
    )


def _held(row: Row[tuple[object, ...]]) -> Held:
    found = row._mapping  # noqa: SLF001 - SQLAlchemy's documented way to read a row by its columns
    return Held(_approval(row), found[approvals.c.used_by], found[approvals.c.used_at])


class Transaction:
    """The queries. What one of these objects does happens as a whole or not at all."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    # --- who is who

    def holder(self, token_hash: str) -> Holder | None:
        """Whose token has this hash."""
        table = approvers.c
        found = self._connection.execute(
            sa.select(table.name, table.token_hash).where(table.token_hash == token_hash)
        ).one_or_none()
        if found is not None:
            return Holder(found.name, None, found.token_hash)
        columns = workspaces.c
        found = self._connection.execute(
            sa.select(columns.id, columns.token_hash).where(columns.token_hash == token_hash)
        ).one_or_none()
        return None if found is None else Holder(None, found.id, found.token_hash)

    def has_workspace(self, workspace_id: str) -> bool:
        """Whether the workspace exists."""
        return (
            self._connection.execute(sa.select(workspaces.c.id).where(workspaces.c.id == workspace_id)).first() is not None
        )

    def workspace_named(self, name: str) -> str | None:
        """The id of the oldest workspace of that name."""
        query = sa.select(workspaces.c.id).where(workspaces.c.name == name).order_by(workspaces.c.created_at).limit(1)
        found: str | None = self._connection.execute(query).scalar()
        return found

    def put_workspace(self, workspace_id: str, name: str, token_hash: str, created_at: str) -> None:
        """Make the workspace if it is missing, and give it this token and no other."""
        changed = self._connection.execute(
            sa.update(workspaces).where(workspaces.c.id == workspace_id).values(token_hash=token_hash)
        )
        if changed.rowcount == 0:
            values = {"id": workspace_id, "name": name, "token_hash": token_hash, "created_at": created_at}
            self._connection.execute(sa.insert(workspaces).values(values))

    def add_approver(self, name: str, token_hash: str, created_at: str) -> None:
        """Let somebody decide.

        Raises:
            NameTakenError: somebody of that name may decide already.

        """
        if self._connection.execute(sa.select(approvers.c.name).where(approvers.c.name == name)).first() is not None:
            raise NameTakenError(name)
        self._connection.execute(sa.insert(approvers).values(name=name, token_hash=token_hash, created_at=created_at))

    def approvers(self) -> list[tuple[str, str]]:
        """Who may decide, and since when, by name."""
        rows = self._connection.execute(sa.select(approvers.c.name, approvers.c.created_at).order_by(approvers.c.name))
        return [(row.name, row.created_at) for row in rows]

    def revoke(self, name: str) -> bool:
        """Take the right to decide away; whether there was anybody to take it from."""
        return self._connection.execute(sa.delete(approvers).where(approvers.c.name == name)).rowcount > 0

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
        return _approval(self._connection.execute(sa.insert(approvals).returning(approvals), values).one())

    def one(self, workspace_id: str, approval_id: str) -> Held | None:
        """One request of the workspace."""
        table = approvals.c
        query = sa.select(approvals).where(table.id == approval_id, table.workspace_id == workspace_id)
        found = self._connection.execute(query).one_or_none()
        return None if found is None else _held(found)

    def keyed(self, workspace_id: str, key_id: str) -> Approval | None:
        """The request that an idempotency key stands for."""
        table = approvals.c
        query = sa.select(approvals).where(table.workspace_id == workspace_id, table.key_id == key_id)
        found = self._connection.execute(query).one_or_none()
        return None if found is None else _approval(found)

    def newest(self, workspace_id: str, count: int) -> list[Approval]:
        """The workspace's newest requests, newest first."""
        query = sa.select(approvals).where(approvals.c.workspace_id == workspace_id)
        rows = self._connection.execute(query.order_by(approvals.c.number.desc()).limit(count))
        return [_approval(row) for row in rows]

    def count_open(self, workspace_id: str) -> int:
        """How many requests of the workspace have not ended."""
        query = sa.select(sa.func.count()).select_from(approvals)
        found = self._connection.execute(query.where(approvals.c.workspace_id == workspace_id, sa.text(OPEN))).scalar_one()
        return int(found)

    def pending(self, count: int) -> list[tuple[Approval, str]]:
        """The newest pending requests of all workspaces, each with its workspace's name, newest first."""
        query = (
            sa.select(approvals, workspaces.c.name)
            .join(workspaces, workspaces.c.id == approvals.c.workspace_id)
            .where(sa.text(OPEN), approvals.c.status == Status.PENDING.value)
            .order_by(approvals.c.number.desc())
            .limit(count)
        )
        return [(_approval(row), row.name) for row in self._connection.execute(query)]

    def next_expiry(self) -> float | None:
        """When the next open request expires, in seconds since the epoch."""
        found: float | None = self._connection.execute(
            sa.select(sa.func.min(approvals.c.expires)).where(sa.text(OPEN))
        ).scalar()
        return found

    # --- endings: compare-and-set, so that of many at once one wins; each with its journal row

    def end(self, workspace_id: str, approval_id: str, ending: Ending) -> Entry | None:
        """End the request if it is open; None if it is not, or is unknown."""
        return self._end(approvals.c.workspace_id == workspace_id, approval_id, ending)

    def expire_due(self, now: float, decided_at: str) -> list[Entry]:
        """Deny by ``auto-expired`` what should have been decided before ``now``."""
        due = self._connection.execute(sa.select(approvals.c.id).where(sa.text(OPEN), approvals.c.expires <= now)).scalars()
        ending = Ending(Status.DENIED, EXPIRED_BY, decided_at)
        ended = [self._end(approvals.c.expires <= now, approval_id, ending) for approval_id in due.all()]
        return [entry for entry in ended if entry is not None]

    def _end(self, which: sa.ColumnElement[bool], approval_id: str, ending: Ending) -> Entry | None:
        query = sa.update(approvals).where(approvals.c.id == approval_id, which, sa.text(OPEN))
        values = {
            "status": ending.status.value,
            "decided_by": ending.decided_by,
            "decided_at": ending.decided_at,
            "verified": ending.verified,
            "claimed_by": ending.claimed_by,
            "comment": ending.comment,
        }
        row = self._connection.execute(query.values(values).returning(approvals)).one_or_none()
        if row is None:
            return None
        added = sa.insert(journal).values(approval_id=approval_id, recorded_at=ending.decided_at, journaled=False)
        number = self._connection.execute(added.returning(journal.c.number)).scalar_one()
        return Entry(number, ending.decided_at, _approval(row), ending.claimed_by)

    def use(self, workspace_id: str, approval_id: str, invocation: str, used_at: str) -> None:
        """Use the workspace's approval up if it is approved and unused; else nothing happens."""
        table = approvals.c
        mine = sa.update(approvals).where(table.id == approval_id, table.workspace_id == workspace_id)
        unused = mine.where(table.status == Status.APPROVED.value, table.used_by.is_(None))
        self._connection.execute(unused.values(used_by=invocation, used_at=used_at))

    # --- the journal

    def waiting(self) -> list[Entry]:
        """What ended and may not stand in the audit log yet, oldest first."""
        query = (
            sa.select(journal.c.number.label("entry"), journal.c.recorded_at, approvals)
            .join(approvals, approvals.c.id == journal.c.approval_id)
            .where(sa.text(WAITING))
            .order_by(journal.c.number)
        )
        rows = self._connection.execute(query)
        return [Entry(row.entry, row.recorded_at, _approval(row), row.claimed_by) for row in rows]

    def mark(self, numbers: list[int]) -> None:
        """Note that the audit log holds these."""
        self._connection.execute(sa.update(journal).where(journal.c.number.in_(numbers)).values(journaled=True))


class Store:
    """One SQLite file: in WAL mode, so that readers never wait, and synchronous, so that what was told survives a crash.

    Raises:
        StoreError: the file cannot be opened, or is of another version.

    """

    def __init__(self, path: Path, patience: float) -> None:
        _make_file(path)
        # The statements' values hold what people asked; they must not stand in an error's text.
        self._engine = sa.create_engine(f"sqlite:///{path}", hide_parameters=True, connect_args={"timeout": patience})
        _teach(self._engine)
        with self.write() as transaction:
            _prepare(transaction._connection)  # noqa: SLF001 - the same module

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
        """A transaction that holds the write lock from its start: so what it read stays true until it commits.

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
        except SQLAlchemyError as exc:
            raise StoreError(str(getattr(exc, "orig", None) or exc)) from exc

    def close(self) -> None:
        """Let go of the file."""
        self._engine.dispose()


def _make_file(path: Path) -> None:
    # SQLite would make it with the umask's mode; the log and index files beside it take this one's mode.
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    except OSError as exc:
        raise StoreError(f"{path}: {exc.strerror}") from exc


def _teach(engine: Engine) -> None:
    @sa.event.listens_for(engine, "connect")
    def _on_connect(connection: sa.engine.interfaces.DBAPIConnection, _record: object) -> None:
        # Python's sqlite3 would begin transactions by itself, and never IMMEDIATE ones.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options()["begin"])


def _prepare(connection: Connection) -> None:
    version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    if version == 0:
        metadata.create_all(connection)
        connection.exec_driver_sql(f"PRAGMA user_version = {VERSION}")
    elif version != VERSION:
        raise StoreError(f"the database is of version {version}; this program knows version {VERSION}")
