"""The exit codes: every outcome and every error of the tree has one, and 0 means one thing."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from molecule_approve import errors
from molecule_approve.cli import exits
from molecule_approve.cli.exits import Exit
from molecule_approve.model import Failure, Outcome, Verdict

_CODES = {
    Outcome.APPROVED: 0,
    Outcome.DENIED: 77,
    Outcome.TIMEOUT: 124,
    Outcome.EXPIRED: 124,
    Outcome.WITHDRAWN: 124,
    Outcome.PENDING: 8,
    Outcome.NOT_PERMITTED: 77,
    Outcome.FAILED: 125,
    Outcome.INTERRUPTED: 130,
}

_MADE: dict[str, dict[str, object]] = {
    "DecisionRefusedError": {"code": "not_eligible"},
    "NotPermittedError": {"roles": ("read-only",)},
    "CredentialError": {"status": 401},
    "RejectedError": {"status": 422},
}


def _tree(root: type[errors.ApprovalError]) -> Iterator[type[errors.ApprovalError]]:
    yield root
    for kind in root.__subclasses__():
        yield from _tree(kind)


# Other modules' are for other callers: whoever loads them must not change what is tested here.
ERRORS = [kind for kind in _tree(errors.ApprovalError) if kind.__module__ == errors.__name__]


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_has_its_code(outcome: Outcome) -> None:
    """As the page says; only approved is 0."""
    code = exits.of_verdict(Verdict(outcome, signum=signal.SIGINT if outcome is Outcome.INTERRUPTED else None))
    assert code == _CODES[outcome]
    assert (code == 0) == (outcome is Outcome.APPROVED)


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: str(kind.__name__))
def test_every_error_has_a_code_that_is_no_yes(kind: type[errors.ApprovalError]) -> None:
    """Alone, and as the reason of a verdict."""
    error = kind("why", **_MADE.get(kind.__name__, {}))  # type: ignore[arg-type]  # the table knows what each wants
    unasked = {"usage": 2, "not_executable": 126, "not_found": 127}
    wanted = {**unasked, "not_permitted": 77, "ended": 3}.get(error.kind, 125)
    assert exits.of_error(error) == wanted
    verdict = Verdict(Outcome.FAILED, error=Failure(error.kind, error.message))
    assert exits.of_verdict(verdict) == unasked.get(error.kind, 125)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_128_and_its_number(number: signal.Signals) -> None:
    """Also where a usage error came first."""
    assert exits.of_verdict(Verdict(Outcome.INTERRUPTED, error=Failure("usage", ""), signum=number)) == 128 + number


def test_no_code_is_one_that_a_failure_to_start_produces() -> None:
    """Not 1, and 126 and 127 only where nothing was requested; each code once."""
    assert 1 not in set(Exit)
    assert len({code.value for code in Exit}) == len(Exit) == 10
