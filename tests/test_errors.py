"""errors.py: one tree, drawn in its docstring."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest

from molecule_approve import errors
from molecule_approve.errors import ApprovalError, Interrupted, KeyUsedError

CLASSES = {name: kind for name, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__}
OURS = [kind for kind in CLASSES.values() if issubclass(kind, ApprovalError)]
EXTRA: dict[str, dict[str, Any]] = {
    "NotPermittedError": {"roles": ("read-only",)},
    "CredentialError": {"status": 401},
    "RejectedError": {"status": 422},
    "DecisionRefusedError": {"code": "not_eligible"},
}


def test_the_docstring_draws_the_whole_tree() -> None:
    """Every class stands in it, under its parent."""
    drawn: dict[str, str | None] = {}
    way: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r" {4}((?:[│ ] {3})*(?:[├└]── )?)(\w+(?:Error|Interrupted)?)\b", line)
        if found and found.group(2) in CLASSES:
            depth = len(found.group(1)) // 4
            way = [*way[:depth], found.group(2)]
            drawn[found.group(2)] = way[-2] if depth else None
    real = {
        name: next((base.__name__ for base in kind.__bases__ if base in CLASSES.values()), None)
        for name, kind in CLASSES.items()
    }
    assert drawn == real


@pytest.mark.parametrize("kind", OURS)
def test_an_error_is_one_sentence_and_a_hint(kind: type[ApprovalError]) -> None:
    """The text of the exception is the message, and the hint is apart."""
    error = kind("it broke", hint="mend it", **EXTRA.get(kind.__name__, {}))
    assert (str(error), error.message, error.hint) == ("it broke", "it broke", "mend it")
    assert kind("it broke", **EXTRA.get(kind.__name__, {})).hint == ""
    for name, value in EXTRA.get(kind.__name__, {}).items():
        assert getattr(error, name) == value


def test_every_kind_is_a_word_of_its_own() -> None:
    """Programs tell the errors apart by it."""
    kinds = [kind.kind for kind in OURS]
    assert len(set(kinds)) == len(kinds)
    assert all(re.fullmatch(r"[a-z_]+", kind) for kind in kinds)


def test_an_unavailable_platform_may_have_acted() -> None:
    """Unless somebody knows better; status and Retry-After are told where there are any."""
    error = errors.UnavailableError("busy", status=429, retry_after=3.0)
    assert (error.status, error.retry_after, error.maybe_sent) == (429, 3.0, True)
    ended = errors.DisconnectedError("gone", maybe_sent=False)
    assert (ended.status, ended.retry_after, ended.maybe_sent) == (None, None, False)


def test_a_refusal_names_roles_and_permission() -> None:
    """What the audit record needs."""
    error = errors.NotPermittedError("no", roles=("a", "b"))
    assert (error.roles, error.attempted_action) == (("a", "b"), "approve")


def test_a_used_key_says_which_request_holds_it() -> None:
    """An ended one may hold our own lost answer, so the hint says how to take it; another text is another question."""
    ended = KeyUsedError.ended("abc")
    assert ended.approval_id == "abc"
    assert "molecule-approve wait abc" in ended.hint
    assert "wait" not in KeyUsedError.ended(None).hint
    conflict = KeyUsedError.conflict("abc")
    assert conflict.approval_id == "abc"
    assert conflict.message != ended.message
    assert conflict.hint
    assert KeyUsedError("used").approval_id is None


def test_an_interruption_is_no_error() -> None:
    """It passes every `except Exception`, and says which signal and why."""
    assert not issubclass(Interrupted, Exception)
    found = Interrupted(15, "a signal asked us to stop")
    assert (found.signum, found.why, str(found)) == (15, "a signal asked us to stop", "a signal asked us to stop")
