"""What an administrator does with workspaces and requesters, for ``workspaces``, ``requesters`` and ``approvers limit``.

Every function raises StoreError where the database cannot answer.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from molecule_approve.clock import utc_now
from molecule_approve.errors import UsageError
from molecule_approve.lifecycle import is_own, name_key
from molecule_approve.limits import WORKSPACE_NAME
from molecule_approve.paths import Places, read_requester

from .database.values import ApproverRow, NameTakenError, RequesterRow, WorkspaceRow
from .names import checked_name, the_workspace, workspace_ids
from .tokens import hash_token, new_token

if TYPE_CHECKING:
    from .database.interface import Store
    from .database.transaction import Transaction

_COMMAND = "molecule-approve"


@dataclass(frozen=True, slots=True)
class NewRequester:
    """A requester that was added, with its token; ``is_approver``: an approver has the same name."""

    name: str
    token: str
    workspace: WorkspaceRow
    is_approver: bool


# --- workspaces --------------------------------------------------------------------------------------------------------


def workspaces(store: Store) -> list[WorkspaceRow]:
    """The workspaces, by name."""
    with store.read() as transaction:
        return transaction.administration.workspaces()


def add_workspace(store: Store, name: str) -> str:
    """Add a workspace; its id.

    Raises:
        UsageError: the name cannot be used, or is taken.
    """
    name = checked_name(name, "workspace")
    try:
        with store.write() as transaction:
            return transaction.administration.add_workspace(name, utc_now())
    except NameTakenError as exc:
        raise UsageError(
            f"a workspace named {exc.taken} already exists", hint=f"list them: {_COMMAND} workspaces list"
        ) from None


def remove_workspace(store: Store, text: str) -> WorkspaceRow:
    """Remove the workspace with this name or id: nobody can ask or decide there any more. Its requests are kept.

    Raises:
        UsageError: there is none, or it is in use.
    """
    with store.write() as transaction:
        transaction.administration.wait_for_others()
        found = the_workspace(transaction, text)
        _check_unused(transaction, found)
        transaction.administration.remove_workspace(found.id, utc_now())
    return found


def _check_unused(transaction: Transaction, workspace: WorkspaceRow) -> None:
    asking = [row for row in transaction.administration.requesters() if row.workspace_id == workspace.id]
    if any(row.built_in for row in asking):
        raise UsageError(
            f"the workspace {workspace.name} is this server's own", hint="it stays; other workspaces can be removed"
        )
    if asking:
        name, where = shlex.quote(asking[0].name), shlex.quote(workspace.name)
        raise UsageError(
            f"the workspace {workspace.name} has requesters: {', '.join(row.name for row in asking)}",
            hint=f"revoke them first: {_COMMAND} requesters revoke {name} --workspace {where}",
        )
    if workspace.open_requests:
        raise UsageError(
            f"the workspace {workspace.name} has open requests: {workspace.open_requests}",
            hint=f"decide them first: {_COMMAND} review",
        )


# --- requesters --------------------------------------------------------------------------------------------------------


def requesters(store: Store, workspace: str | None = None) -> list[RequesterRow]:
    """The valid requesters of the workspace with this name or id, or of all, by workspace and name.

    Raises:
        UsageError: there is no such workspace.
    """
    with store.read() as transaction:
        return _requesters(transaction, workspace)


def _requesters(transaction: Transaction, workspace: str | None) -> list[RequesterRow]:
    only = None if workspace is None else the_workspace(transaction, workspace).id
    return [row for row in transaction.administration.requesters() if only in {None, row.workspace_id}]


def add_requester(
    places: Places, store: Store, name: str, workspace: str | None, tell: Callable[[str], None] = lambda _: None
) -> NewRequester:
    """Add a requester to the workspace with this name or id; None for the server's own. If ``tell`` raises, none is added.

    Raises:
        UsageError: the name cannot be used, or is taken in this workspace; there is no such workspace.
        ConfigError: the requester's file is open to others, or is not valid.
    """
    name, token = checked_name(name, "requester"), new_token()
    try:
        with store.write() as transaction:
            # The workspace must still be there when the requester is.
            transaction.administration.wait_for_others()
            found = _own_workspace(places, transaction) if workspace is None else the_workspace(transaction, workspace)
            transaction.credentials.add_requester(name, found.id, hash_token(token), utc_now())
            is_approver = any(is_own(name, row.name) for row in transaction.administration.approvers())
            tell(token)  # before the commit: no requester whose token nobody saw
    except NameTakenError as exc:
        again = f"{shlex.quote(exc.taken)} --workspace {shlex.quote(found.name)}"
        raise UsageError(
            f"the workspace {found.name} already has a requester named {exc.taken}",
            hint=f"for a new token, revoke this one first: {_COMMAND} requesters revoke {again}",
        ) from None
    return NewRequester(name, token, found, is_approver)


def _own_workspace(places: Places, transaction: Transaction) -> WorkspaceRow:
    """The server's own workspace, which is made if no server ever ran."""
    own = read_requester(places)
    if own is None:
        return the_workspace(transaction, transaction.credentials.ensure_workspace(WORKSPACE_NAME, utc_now()))
    transaction.credentials.put_workspace(own.workspace_id, WORKSPACE_NAME, utc_now())
    return the_workspace(transaction, own.workspace_id)


def revoke_requester(store: Store, name: str, workspace: str | None) -> RequesterRow:
    """Revoke a requester, with immediate effect; without a workspace, the only one of that name. Its requests stay.

    Raises:
        UsageError: there is none, or several; or it is the server's own.
    """
    with store.write() as transaction:
        found = _named(_requesters(transaction, workspace), name)
        transaction.administration.revoke_requester(found.id, utc_now())
    return found


def _named(rows: list[RequesterRow], name: str) -> RequesterRow:
    named = [row for row in rows if name_key(row.name) == name_key(name)]
    added = [row for row in named if not row.built_in]
    if not named:
        raise UsageError(f"there is no requester named {name}", hint=f"list them: {_COMMAND} requesters list")
    if not added:
        raise UsageError(
            f"{name} is this server's own requester, by the token in requester.json",
            hint="for a new token, stop the server, remove that file, and start the server again",
        )
    if len(added) > 1:
        where = ", ".join(row.workspace_name for row in added)
        raise UsageError(f"several workspaces have a requester named {name}: {where}", hint="name one with --workspace")
    return added[0]


# --- approvers ---------------------------------------------------------------------------------------------------------


def approvers(store: Store) -> list[ApproverRow]:
    """The approvers, by name."""
    with store.read() as transaction:
        return transaction.administration.approvers()


def limit_approver(store: Store, name: str, workspaces: Iterable[str] | None) -> None:
    """Let an approver decide only in the workspaces with these names or ids, from now on; None for all.

    Raises:
        UsageError: there is no such approver or workspace.
    """
    with store.write() as transaction:
        approver_id = transaction.credentials.approver_named(name)
        if approver_id is None:
            raise UsageError(f"there is no approver named {name}", hint=f"list them: {_COMMAND} approvers list")
        allowed = None if workspaces is None else workspace_ids(transaction, workspaces)
        transaction.administration.limit_approver(approver_id, allowed)
