"""Who may ask and who may decide: made and taken away, for ``serve`` and ``approvers``. No call is checked here."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from molecule_approve.clock import utc_now
from molecule_approve.errors import ServerError, UsageError
from molecule_approve.lifecycle import RESERVED_NAMES
from molecule_approve.paths import Places, RequesterCredential, make_private, owner_hint, read_requester
from molecule_approve.safe_text import is_hidden

from .holding import put_requester
from .limits import Limits
from .store import Store
from .tokens import hash_token, new_token
from .values import NameTakenError, StoreError

DEFAULTS = Limits()

WORKSPACE_NAME = "local"
"""What the embedded server's own workspace is called in ``/approvals/pending``."""

NAME_LENGTH = 64

HINT = "it is the file server.db in the state folder; look at its mode, its owner and the disk"


@contextmanager
def opened(places: Places, settings: Limits = DEFAULTS) -> Iterator[Store]:
    """The database of this user's embedded server, made if it is missing.

    Raises:
        ConfigError: the state folder is open to others, or cannot be made.
        ServerError: the database cannot be used.

    """
    make_private(places.state)
    try:
        store = Store(places.database, settings.database_patience)
        try:
            yield store
        finally:
            store.close()
    except StoreError as exc:
        raise ServerError(f"the server's database cannot be used: {exc}", hint=owner_hint(places.database, HINT)) from exc


def own_workspace(places: Places, store: Store) -> RequesterCredential:
    """The server's workspace and its requester's token: from the file, or made new where that is missing.

    Raises:
        ConfigError: the file is open to others, or cannot be understood.
        ServerError: the file cannot be written.
        StoreError: the database cannot answer.

    """
    found = read_requester(places)
    if found is None:
        with store.read() as transaction:
            known = transaction.workspace_named(WORKSPACE_NAME)
        found = RequesterCredential(known or str(uuid.uuid4()), new_token())
        try:
            put_requester(places, found)
        except OSError as exc:
            raise ServerError(f"{places.requester} cannot be written: {exc.strerror}", hint="look at the disk") from exc
    # The file first, then its hash: after a crash in between the next start finds the file and finishes.
    with store.write() as transaction:
        transaction.put_workspace(found.workspace_id, WORKSPACE_NAME, hash_token(found.token), utc_now())
    return found


def check_name(name: str) -> None:
    """Whether an approver may be called this.

    Raises:
        UsageError: it is empty, long, reserved, or would deceive who reads it.

    """
    hint = "a name has 1 to 64 visible characters, such as alice"
    if not 1 <= len(name) <= NAME_LENGTH:
        raise UsageError(f"an approver's name has 1 to {NAME_LENGTH} characters", hint=hint)
    if name != name.strip() or any(is_hidden(character) for character in name):
        raise UsageError("the name holds characters that cannot be seen", hint=hint)
    if name.casefold() in RESERVED_NAMES:
        raise UsageError(f"the name {name} is reserved: on a request it means that no person decided", hint=hint)


def add_approver(store: Store, name: str, tell: Callable[[str], None] = lambda _: None) -> str:
    """Let somebody decide; the token, which nobody can show again. If ``tell`` raises, nobody was added.

    Raises:
        UsageError: the name cannot be used, or is taken.
        StoreError: the database cannot answer.

    """
    check_name(name)
    token = new_token()
    try:
        with store.write() as transaction:
            transaction.add_approver(name, hash_token(token), utc_now())
            tell(token)  # before it holds: no token that nobody saw
    except NameTakenError:
        hint = f"for a new token: molecule-approve approvers revoke {name}, then add it again"
        raise UsageError(f"there is an approver called {name} already", hint=hint) from None
    return token


def approvers(store: Store) -> list[tuple[str, str]]:
    """Who may decide, and since when.

    Raises:
        StoreError: the database cannot answer.

    """
    with store.read() as transaction:
        return transaction.approvers()


def revoke(store: Store, name: str) -> None:
    """Take the right to decide away, at once, also in a running server.

    Raises:
        UsageError: there is nobody of that name.
        StoreError: the database cannot answer.

    """
    with store.write() as transaction:
        gone = transaction.revoke(name)
    if not gone:
        raise UsageError(f"there is no approver called {name}", hint="molecule-approve approvers list shows who there is")


def new_code(store: Store, name: str, settings: Limits = DEFAULTS, tell: Callable[[str], None] = lambda _: None) -> str:
    """A sign-in code for an approver: good once, for a minute. If ``tell`` raises, there is none.

    Raises:
        UsageError: there is nobody of that name.
        StoreError: the database cannot answer.

    """
    code = new_token()
    with store.write() as transaction:
        known = transaction.put_code(hash_token(code), name, time.time(), settings.code)
        if known:
            tell(code)
    if not known:
        hint = f"molecule-approve approvers add {name}, or approvers list, which shows who there is"
        raise UsageError(f"there is no approver called {name}", hint=hint)
    return code


def sign_in_link(url: str, code: str) -> str:
    """The link to follow. The code stands in the fragment, which no browser sends to anybody, and no log keeps."""
    return f"{url}/#sign-in={code}"
