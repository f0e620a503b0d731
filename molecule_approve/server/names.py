"""Names of approvers, requesters and workspaces: which can be used, and what an administrator means by one."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import TYPE_CHECKING

from molecule_approve.errors import UsageError
from molecule_approve.lifecycle import RESERVED_NAMES
from molecule_approve.policy.approval_rules import GROUP, USER
from molecule_approve.safe_text import is_hidden
from molecule_approve.wire import is_uuid

from .policies import DENIED_BY

if TYPE_CHECKING:
    from .database.transaction import Transaction
    from .database.values import WorkspaceRow

LENGTH = 64

_RESERVED = {
    **dict.fromkeys(RESERVED_NAMES, "it marks requests that no person decided"),
    "anonymous": "it marks requests that came without a token",
}

_STARTS = {
    DENIED_BY: "that marks requests that a rule refused",
    **dict.fromkeys((USER, GROUP), "a rule writes that in front of a name"),
}


def checked_name(name: str, what: str) -> str:
    """The name as it is stored: in one Unicode form. ``what`` has the name: an approver, a requester, a workspace.

    Raises:
        UsageError: it is empty, too long or reserved, has hidden characters, or is an id.
    """
    name = unicodedata.normalize("NFC", name)
    hint = f"a name has 1 to {LENGTH} visible characters, for example alice"
    if not 1 <= len(name) <= LENGTH:
        raise UsageError(f"the {what}'s name has {len(name)} characters", hint=hint)
    if name != name.strip() or any(is_hidden(character) for character in name):
        raise UsageError(f"the {what}'s name has hidden characters", hint=hint)
    if (why := _RESERVED.get(name.casefold())) is not None:
        raise UsageError(f"the name {name} is reserved; {why}", hint="choose another one")
    for start, why in _STARTS.items():
        if name.casefold().startswith(start):
            raise UsageError(f"the {what}'s name begins with {start}", hint=why)
    if is_uuid(name):
        raise UsageError(f"the {what}'s name is an id", hint=hint)
    return name


def workspace_ids(transaction: Transaction, workspaces: Iterable[str]) -> list[str]:
    """The ids of the workspaces with these names or ids, each once.

    Raises:
        UsageError: there is no such workspace.
    """
    return list(dict.fromkeys(the_workspace(transaction, text).id for text in workspaces))


def the_workspace(transaction: Transaction, text: str) -> WorkspaceRow:
    """The workspace with this name or id.

    Raises:
        UsageError: there is none.
    """
    found = transaction.administration.find_workspace(text)
    if found is None:
        raise UsageError(f"there is no workspace {text}", hint="list them: molecule-approve workspaces list")
    return found
