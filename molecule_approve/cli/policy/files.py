"""Reads the files of ``policy``'s commands: policies and tables of cases, which no server trusts yet."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from molecule_approve.errors import ConfigError

if TYPE_CHECKING:
    from molecule_approve.policy.approval_rules import Policy
    from molecule_approve.policy.explanation import Explanation
    from molecule_approve.settings.policy_cases import CaseTable, PolicyCase

CasesFile = Annotated[Path, typer.Argument(metavar="CASES", help="The table of cases (YAML).", show_default=False)]


def policy_file(metavar: str, text: str) -> typer.models.ArgumentInfo:
    """An argument that names a policy."""
    found: typer.models.ArgumentInfo = typer.Argument(metavar=metavar, help=text, show_default=False)
    return found


def read_policy(path: Path, groups: Collection[str] = ()) -> Policy:
    """The policy of a file, whoever can write it.

    Raises:
        ConfigError: it cannot be read, or is invalid.
    """
    from molecule_approve.settings.policy_yaml import parse_policy

    return parse_policy(_read(path), path, groups)


def read_tested(path: Path, table: CaseTable) -> Policy:
    """The policy of a file, with the people and the groups of this table.

    Raises:
        ConfigError: see :func:`read_policy`; or it names somebody whom the table does not list.
    """
    policy = read_policy(path, table.provider_groups)
    table.check(policy)
    return policy


def read_cases(path: Path) -> CaseTable:
    """The cases of a file.

    Raises:
        ConfigError: it cannot be read, or is invalid.
    """
    from molecule_approve.settings.policy_cases import parse_cases

    return parse_cases(_read(path), path)


def explained(policy: Policy, table: CaseTable, case: PolicyCase) -> Explanation:
    """What the policy says about a case."""
    from molecule_approve.policy.explanation import explain

    return explain(policy, case.asked, table.people, self_approval=table.self_approval)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise ConfigError(f"cannot read {path}: {exc.strerror}", hint="check the path") from exc
