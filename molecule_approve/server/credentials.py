"""Creates and revokes the credentials of requesters and approvers, for ``serve`` and ``approvers``.

Every function that takes a store raises StoreError where the database cannot answer.
"""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING

from molecule_approve.clock import utc_now
from molecule_approve.errors import ConfigError, ServerError, UsageError
from molecule_approve.limits import WORKSPACE_NAME
from molecule_approve.paths import Places, RequesterCredential, make_private, owner_hint, read_requester, who_serves

from .database.sqlite import SqliteStore
from .database.values import NameTakenError, StoreError
from .limits import Limits
from .names import checked_name, workspace_ids
from .state_folder import write_requester
from .tokens import hash_token, new_token
from .users import user_name

if TYPE_CHECKING:
    from molecule_approve.model import Secret

    from .database.interface import Store

DEFAULTS = Limits()

HINT = "check the mode and owner of the file, and the disk"


@contextmanager
def opened(
    places: Places,
    limits: Limits = DEFAULTS,
    clock: Callable[[], float] = time.time,
    database: Secret | None = None,
    replica_id: str | None = None,
) -> Iterator[Store]:
    """The embedded server's database; made if it is missing, and brought up to date if it is older.

    ``database`` is the address of a PostgreSQL database, which this server uses under its id; by default it is the user's
    SQLite file.

    Raises:
        ConfigError: the state folder is open to others, or cannot be made.
        UsageError: the address cannot be read.
        ServerError: the database cannot be used.
    """
    if database is not None:
        with _shared(database, limits, replica_id) as found:
            yield found
        return
    make_private(places.state)
    try:
        refuse = partial(_check_nobody_serves, places)
        with closing(SqliteStore(places.database, limits.database_patience, clock, refuse)) as store:
            yield store
    except StoreError as exc:
        hint = exc.hint or owner_hint(places.database, HINT)
        raise ServerError(f"cannot use the server's database {places.database}: {exc}", hint=hint) from exc


def check_same_database(places: Places, database: Secret | None) -> None:
    """Check that what an administrator changes is what the running server reads.

    Raises:
        ConfigError: the server uses PostgreSQL and the settings at hand say SQLite, or the reverse.
    """
    serving = who_serves(places)
    if serving is None or bool(serving.shared) == (database is not None):
        return
    theirs = serving.shared or str(places.database)
    ours = str(places.database) if database is None else "a PostgreSQL database"
    raise ConfigError(
        f"the server that runs here (process {serving.pid}) uses {theirs}, but the settings at hand name {ours}",
        hint="name the server's own settings: --config FILE, as for `serve`, or MOLECULE_SERVER_CONFIG=FILE",
    )


@contextmanager
def _shared(database: Secret, limits: Limits, replica_id: str | None) -> Iterator[Store]:
    try:
        from .database.address import parse  # noqa: PLC0415 - an extra
        from .database.postgres import PostgresStore  # noqa: PLC0415
    except ImportError as exc:
        hint = "pip install 'molecule-approve[postgres]'"
        raise ServerError("the libraries for PostgreSQL are not installed", hint=hint) from exc
    address = parse(database.reveal())
    try:
        with closing(PostgresStore(address, limits.database_patience, replica_id)) as store:
            yield store
    except StoreError as exc:
        hint = exc.hint or "check the address, and whether the database answers: psql with the same address"
        raise ServerError(f"cannot use the database {address.shown}: {exc}", hint=hint) from exc


def _check_nobody_serves(places: Places) -> None:
    """Check that the database can be brought up to date.

    Raises:
        StoreError: a server is using it, which would not understand it any more.
    """
    serving = who_serves(places)
    if serving is not None and serving.pid != os.getpid():
        why = f"it is of an older program, which serves it as process {serving.pid}"
        raise StoreError(why, "stop that server first")


def own_workspace(places: Places, store: Store, replica_id: str | None = None) -> RequesterCredential:
    """The server's workspace and its requester's token: from the file, or new if the file is missing.

    Servers that share a database share the workspace; each has a requester of its own, with its id.

    Raises:
        ConfigError: the file is open to others, or is not valid.
        ServerError: the file cannot be written.
    """
    found = read_requester(places)
    if found is None:
        with store.write() as transaction:
            workspace_id = transaction.credentials.ensure_workspace(WORKSPACE_NAME, utc_now())
        found = RequesterCredential(workspace_id, new_token())
        try:
            write_requester(places, found)
        except OSError as exc:
            raise ServerError(f"cannot write {places.requester}: {exc.strerror}", hint="check the disk") from exc
    # The file first, then its hash: after a crash in between, the next start finds the file and continues.
    with store.write() as transaction:
        transaction.credentials.put_workspace(found.workspace_id, WORKSPACE_NAME, utc_now())
        transaction.credentials.put_built_in(user_name(), found.workspace_id, hash_token(found.token), utc_now(), replica_id)
    return found


def add_approver(
    store: Store,
    name: str,
    tell: Callable[[str], None] = lambda _: None,
    workspaces: Iterable[str] | None = None,
) -> str:
    """Add an approver, limited to the workspaces with these names or ids; None for all. If ``tell`` raises, nobody is added.

    Returns the token, of which only the hash is kept.

    Raises:
        UsageError: the name cannot be used, or is taken; there is no such workspace.
    """
    name, token = checked_name(name, "approver"), new_token()
    try:
        with store.write() as transaction:
            approver_id = transaction.credentials.add_approver(name, hash_token(token), utc_now())
            if workspaces is not None:
                transaction.administration.limit_approver(approver_id, workspace_ids(transaction, workspaces))
            tell(token)  # before the commit: no approver whose token nobody saw
    except NameTakenError as exc:
        hint = f"for a new token, revoke this one first: molecule-approve approvers revoke {shlex.quote(exc.taken)}"
        raise UsageError(f"an approver named {exc.taken} already exists", hint=hint) from None
    return token


def approvers(store: Store) -> list[tuple[str, str]]:
    """The names of all approvers, and when each was added."""
    with store.read() as transaction:
        return transaction.credentials.approvers()


def revoke(store: Store, name: str) -> None:
    """Revoke an approver, with immediate effect, also in a running server.

    Raises:
        UsageError: there is no approver of that name.
    """
    with store.write() as transaction:
        gone = transaction.credentials.revoke_approver(name, utc_now())
    if not gone:
        raise UsageError(f"there is no approver named {name}", hint="list them: molecule-approve approvers list")


def new_code(store: Store, name: str, tell: Callable[[str], None] = lambda _: None) -> str:
    """A sign-in code for an approver, valid once within a minute. If ``tell`` raises, none is stored.

    Raises:
        UsageError: there is no approver of that name.
    """
    code = new_token()
    with store.write() as transaction:
        approver_id = transaction.credentials.approver_named(name)
        if approver_id is not None:
            transaction.sign_ins.put_code(hash_token(code), approver_id, transaction.now, DEFAULTS.code)
            tell(code)
    if approver_id is None:
        hint = f"list them: molecule-approve approvers list, or add one: molecule-approve approvers add {name}"
        raise UsageError(f"there is no approver named {name}", hint=hint)
    return code


def sign_in_link(url: str, code: str) -> str:
    """The sign-in link. The code is in the fragment, which browsers do not send and logs do not keep."""
    return f"{url}/#sign-in={code}"
