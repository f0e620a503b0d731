"""How a check is carried out: apart from the others, in a bounded time, without secrets."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from molecule_approve.doctor.checks import Finding, Grade, carry_out, failure, masked, would_work
from molecule_approve.errors import ConfigError
from molecule_approve.model import Secret

FINE = Finding("a.b", Grade.OK, "fine")


def test_what_a_check_finds_is_told() -> None:
    """In its order."""
    other = Finding("a.c", Grade.WARNING, "less fine", "do it")
    assert carry_out("a", lambda: [FINE, other]) == [FINE, other]


def test_a_crash_is_a_failed_finding_behind_what_was_found_before() -> None:
    """An error of ours keeps its hint; any other is a bug, and says so."""

    def crash(error: Exception) -> Iterator[Finding]:
        yield FINE
        raise error

    told = carry_out("a", lambda: crash(ConfigError("it is broken", hint="mend it")))
    assert told == [FINE, Finding("a", Grade.FAILED, "it is broken", "mend it")]
    told = carry_out("a", lambda: crash(ZeroDivisionError("1/0")))
    assert told[1].detail == "internal error: ZeroDivisionError: 1/0"
    assert told[1].result is Grade.FAILED


def test_a_check_that_hangs_is_given_up() -> None:
    """What it found before stays."""
    release = threading.Event()

    def hang() -> Iterator[Finding]:
        yield FINE
        release.wait(30)

    told = carry_out("a", hang, 0.05)
    release.set()
    assert told == [FINE, Finding("a", Grade.FAILED, "the check did not end within 0.05 s", told[1].advice)]
    assert told[1].advice


def test_a_finding_holds_no_secret() -> None:
    """Neither in what was found nor in the advice."""
    told = masked(Finding("a", Grade.OK, "it is s3cr3t-token", "drop s3cr3t-token"), [Secret("s3cr3t-token")])
    assert "s3cr3t" not in "".join(told)


def test_only_a_failed_check_says_that_a_request_would_not_work() -> None:
    """A warning and a check that was skipped do not."""
    fine = [FINE, FINE._replace(result=Grade.WARNING), FINE._replace(result=Grade.SKIPPED)]
    assert would_work(fine)
    assert not would_work([*fine, failure("a", ConfigError("broken"))])


def test_the_document_has_four_texts_a_finding() -> None:
    """Scripts rely on their names."""
    assert FINE.as_json() == {"check": "a.b", "result": "ok", "detail": "fine", "advice": ""}
