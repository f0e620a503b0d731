"""rbac.py: which role may ask."""

from __future__ import annotations

import pytest

from molecule_approve.errors import NotPermittedError
from molecule_approve.policy import roles as roles_module

MAY_ASK = ["admin", "operator", "no-delegation"]
MAY_NOT = ["read-only", "no-approval", "memory-readonly"]


@pytest.mark.parametrize("role", MAY_ASK)
def test_these_built_in_roles_may_ask(role: str) -> None:
    """admin, operator and no-delegation grant approve."""
    roles_module.permit([role], {})
    assert roles_module.grants(role, {}, "approve")


@pytest.mark.parametrize("role", MAY_NOT)
def test_these_built_in_roles_may_not_ask(role: str) -> None:
    """read-only, no-approval and memory-readonly do not, and the error tells roles and permission."""
    with pytest.raises(NotPermittedError) as caught:
        roles_module.permit([role], {})
    assert caught.value.roles == (role,)
    assert caught.value.attempted_action == "approve"
    assert role in caught.value.message
    assert caught.value.hint


def test_there_are_no_other_built_in_roles() -> None:
    """The two lists above are all of them."""
    assert set(roles_module.BUILT_IN) == {*MAY_ASK, *MAY_NOT}


def test_admin_may_do_everything() -> None:
    """Admin grants an action that nobody has thought of; operator does not."""
    roles_module.permit(["admin"], {}, "fly")
    with pytest.raises(NotPermittedError, match="'fly'"):
        roles_module.permit(["operator"], {}, "fly")


def test_one_granting_role_among_many_is_enough() -> None:
    """Roles add up: another one takes nothing away, wherever it stands, and two that do not grant it do not."""
    for roles in (["read-only", "operator"], ["operator", "read-only"]):
        roles_module.permit(roles, {})
    with pytest.raises(NotPermittedError):
        roles_module.permit(["read-only", "no-approval"], {})


@pytest.mark.parametrize("role", ["operator", "admin", "no-delegation"])
def test_a_workspace_s_own_role_replaces_the_built_in_one(role: str) -> None:
    """What config.yaml says about a built-in name is all that the name grants, admin included."""
    with pytest.raises(NotPermittedError):
        roles_module.permit([role], {role: ["delegate"]})


def test_a_custom_role_grants_what_it_lists() -> None:
    """A role that the workspace defines counts like a built-in one."""
    roles_module.permit(["deployer"], {"deployer": {"approve"}})
    with pytest.raises(NotPermittedError):
        roles_module.permit(["deployer"], {"deployer": set[str]()})


def test_a_definition_of_another_role_changes_nothing() -> None:
    """Only the workspace's own roles count."""
    with pytest.raises(NotPermittedError):
        roles_module.permit(["read-only"], {"deployer": ["approve"]})


@pytest.mark.parametrize("roles", [[], ["stranger"], ["Operator"], [""]])
def test_no_role_and_an_unknown_role_grant_nothing(roles: list[str]) -> None:
    """Nothing is granted by default."""
    with pytest.raises(NotPermittedError) as caught:
        roles_module.permit(roles, {})
    assert caught.value.roles == tuple(roles)


def test_known_roles_are_the_built_in_and_the_defined_ones() -> None:
    """What config.yaml may name under rbac.roles."""
    assert roles_module.is_known("operator", {})
    assert roles_module.is_known("deployer", {"deployer": []})
    assert not roles_module.is_known("deployer", {})
