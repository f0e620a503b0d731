"""How an explanation of a policy looks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from molecule_approve.safe_text import visible
from molecule_approve.settings.durations import duration_text

if TYPE_CHECKING:
    from molecule_approve.policy.explanation import Explanation


def explanation_lines(found: Explanation, path: str) -> Iterator[str]:
    """The whole explanation, one fact a line."""
    where = f"{path}, line {found.line}" if found.line else path
    yield f"rule       {visible(found.rule)} ({visible(where)})"
    for number, clause in enumerate(found.because):
        yield f"{'because' if number == 0 else 'and':10} {visible(clause)}"
    yield f"outcome    {outcome_text(found)}"
    if found.outcome.value == "ask":
        yield from _terms(found)


def _terms(found: Explanation) -> Iterator[str]:
    yield f"approvers  {approvers_text(found)}"
    if found.presence.rank:
        yield f"presence   {found.presence.value}: each approval proves {found.presence.sentence}"
    if found.reason:
        yield "reason     required"
    if found.comment:
        yield "comment    required with each decision"
    if found.expires_in is not None:
        yield f"expires    after {duration_text(found.expires_in)} at most"


def outcome_text(found: Explanation) -> str:
    """The outcome with its message."""
    return f"{found.outcome.value}: {visible(found.message)}" if found.message else found.outcome.value


def approvers_text(found: Explanation) -> str:
    """How many of whom: ``2 of ana, bo, cy``."""
    people = [visible(f"{one.name} ({', '.join(one.groups)})" if one.groups else one.name) for one in found.approvers or ()]
    groups = [f"the provider's group {visible(name)}" for name in found.provided]
    if found.approvers is None:
        return f"{found.approvals} of all approvers"
    return f"{found.approvals} of {', '.join([*people, *groups])}{' (any approver)' if found.anybody else ''}"


def short(found: Explanation) -> str:
    """What it says in one line, for a comparison."""
    terms = outcome_text(found)
    if found.outcome.value == "ask":
        terms += f" {approvers_text(found)}"
        more = [f"presence {found.presence.value}"] if found.presence.rank else []
        more += [word for word in ("reason", "comment") if getattr(found, word)]
        more += [] if found.expires_in is None else [f"at most {duration_text(found.expires_in)}"]
        terms += f" ({', '.join(more)})" if more else ""
    return f"{terms} [{visible(found.rule)}]"
