"""Pure: which role has which permission, and whether these roles permit a request. It reads no file.

The check advises an honest caller; the platform enforces its own rules.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from molecule_approve.errors import NotPermittedError

APPROVE = "approve"
"""The permission to request an approval."""

DEFAULT_ROLES = ("operator",)
"""The roles of a workspace whose config.yaml names none."""

_ALL = frozenset({"delegate", APPROVE, "memory.read", "memory.write"})

BUILT_IN: Mapping[str, frozenset[str]] = {
    "admin": _ALL,
    "operator": _ALL,
    "read-only": frozenset({"memory.read"}),
    "no-delegation": _ALL - {"delegate"},
    "no-approval": _ALL - {APPROVE},
    "memory-readonly": frozenset({"memory.read"}),
}
"""The platform's own roles. ``admin`` has every permission."""


def is_known(role: str, allowed_actions: Mapping[str, Collection[str]]) -> bool:
    """Whether the role is built in or defined by the workspace."""
    return role in BUILT_IN or role in allowed_actions


def grants(role: str, allowed_actions: Mapping[str, Collection[str]], action: str) -> bool:
    """Whether the role grants the action. A role that the workspace defines replaces the built-in role of the same name."""
    if role in allowed_actions:
        return action in allowed_actions[role]
    return role == "admin" or action in BUILT_IN.get(role, ())


def permit(roles: Sequence[str], allowed_actions: Mapping[str, Collection[str]], action: str = APPROVE) -> None:
    """Return if one of the roles grants the action.

    Raises:
        NotPermittedError: none does; an unknown role grants nothing.
    """
    if any(grants(role, allowed_actions, action) for role in roles):
        return
    names = ", ".join(roles) or "none"
    raise NotPermittedError(
        f"the workspace's roles ({names}) do not grant {action!r}",
        roles=tuple(roles),
        attempted_action=action,
        hint="the owner of the workspace can add a role under rbac.roles in config.yaml",
    )
