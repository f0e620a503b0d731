"""What a check is, and how it is carried out: apart from all others, so that neither its crash nor its silence ends them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from molecule_approve.audit.record import mask
from molecule_approve.errors import ApprovalError, ours

if TYPE_CHECKING:
    from molecule_approve.model import JsonValue, Secret
    from molecule_approve.paths import Places
    from molecule_approve.settings.resolve import Flags

LONGEST = 12.0
"""Seconds after which a check is given up: the disk or the network that it looks at hangs."""

NETWORK = 4.0
"""Seconds for one call over the network."""


class Grade(StrEnum):
    """What a check came to. Only FAILED says that a request would not work."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


class Finding(NamedTuple):
    """One line of the examination. Its texts may hold text from elsewhere.

    Attributes:
        check: a stable name, such as ``platform.token``.
        result: the grade.
        detail: what was found.
        advice: what to do, or empty.
    """

    check: str
    result: Grade
    detail: str
    advice: str = ""

    def as_json(self) -> dict[str, JsonValue]:
        """The object that ``doctor --json`` prints for it."""
        return {"check": self.check, "result": self.result.value, "detail": self.detail, "advice": self.advice}


Check = Callable[[], Iterable[Finding]]
"""Looks at one thing, and changes nothing."""


class Setup(NamedTuple):
    """What is examined: the options, the environment, this user's folders, and whether a person is there."""

    flags: Flags
    environ: Mapping[str, str]
    places: Places
    at_terminal: bool


def carry_out(name: str, check: Check, seconds: float = LONGEST) -> list[Finding]:
    """All that the check finds. If it crashes or does not end, what it found before stays, and one finding says so.

    Args:
        name: of that finding.
        check: the check.
        seconds: how long to wait for it.
    """
    found: list[Finding] = []

    def work() -> None:
        try:
            for finding in check():
                found.append(finding)  # noqa: PERF402 - what comes before a crash counts
        except Exception as exc:  # noqa: BLE001 - the other checks go on
            found.append(failure(name, ours(exc)))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        hung = f"the check did not end within {seconds:g} s"
        return [*found, Finding(name, Grade.FAILED, hung, "a disk or a network may hang; try again")]
    return found


def failure(name: str, error: ApprovalError, grade: Grade = Grade.FAILED) -> Finding:
    """The finding of an error."""
    return Finding(name, grade, error.message, error.hint)


def masked(finding: Finding, secrets: Sequence[Secret]) -> Finding:
    """The finding without these secrets, which a server may have repeated in its answer."""
    return finding._replace(detail=mask(finding.detail, secrets), advice=mask(finding.advice, secrets))


def would_work(findings: Iterable[Finding]) -> bool:
    """Whether a request would work where this was found."""
    return all(finding.result is not Grade.FAILED for finding in findings)
