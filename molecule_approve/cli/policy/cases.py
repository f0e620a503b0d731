"""``policy test`` and ``policy diff``: what policies say about a table of cases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from molecule_approve.cli import options, output
from molecule_approve.cli.exits import Exit
from molecule_approve.cli.sheet import one_line
from molecule_approve.errors import ConfigError
from molecule_approve.safe_text import visible

from .files import CasesFile, explained, policy_file, read_cases, read_tested
from .views import short

if TYPE_CHECKING:
    from molecule_approve.model import JsonValue
    from molecule_approve.settings.policy_cases import PolicyCase


def run_cases(cases: CasesFile, json: options.Json = False) -> int:
    """Test a policy with a table of cases, for example in its own CI job.

    Exits with 0 if every case is decided as it expects, with 65 if one is not, and with 125 if a file is invalid.
    """
    table = read_cases(cases)
    if table.policy is None:
        raise ConfigError(f"{cases}: policy: is missing", hint="name the policy that they are about: policy: policy.yaml")
    policy = read_tested(table.policy, table)
    found = [(case, case.expected.differences(explained(policy, table, case))) for case in table.cases]
    failed = [(case, differences) for case, differences in found if differences]
    if json:
        rows: list[JsonValue] = [{**_named(case), "differences": [*differences]} for case, differences in failed]
        output.answer_json({"cases": len(found), "failed": rows})
        return _exit(failed)
    for case, differences in failed:
        _say_which(cases, case)
        for difference in differences:
            output.answer(f"  {visible(difference)}", foreign=True)
    output.answer(f"{len(found) - len(failed)} of {len(found)} cases are decided as expected")
    return _exit(failed)


def compare(
    old: Annotated[Path, policy_file("OLD", "The policy as it was.")],
    new: Annotated[Path, policy_file("NEW", "The policy as it will be.")],
    cases: CasesFile,
    json: options.Json = False,
) -> int:
    """Say which cases a new policy decides otherwise than the old one; what a case expects does not matter.

    Exits with 0 if there are none, with 65 if there are some, and with 125 if a file is invalid.
    """
    table = read_cases(cases)
    before, after = (read_tested(path, table) for path in (old, new))
    both = [(case, explained(before, table, case), explained(after, table, case)) for case in table.cases]
    changed = [(case, one, other) for case, one, other in both if one.differs(other)]
    if json:
        rows: list[JsonValue] = [
            {**_named(case), "old": one.as_json(), "new": other.as_json()} for case, one, other in changed
        ]
        output.answer_json({"cases": len(both), "changed": rows})
        return _exit(changed)
    for case, one, other in changed:
        _say_which(cases, case)
        output.answer(f"  - {short(one)}", foreign=True)
        output.answer(f"  + {short(other)}", foreign=True)
    output.answer(f"{len(changed)} of {len(both)} cases are decided otherwise")
    return _exit(changed)


def _named(case: PolicyCase) -> dict[str, JsonValue]:
    return {"line": case.line, "action": case.asked.action}


def _say_which(path: Path, case: PolicyCase) -> None:
    output.answer(f"{visible(str(path))}, line {case.line}: {one_line(case.asked.action)}", foreign=True)


def _exit(found: Sequence[object]) -> int:
    return Exit.NOT_WHOLE if found else Exit.OK
