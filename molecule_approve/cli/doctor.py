"""``doctor``: shows, check by check, whether a request would work here, and what to do where it would not."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Annotated

from molecule_approve.doctor.checks import Finding, Grade, Setup, failure, would_work
from molecule_approve.errors import ApprovalError, Interrupted
from molecule_approve.model import Outcome, Verdict
from molecule_approve.safe_text import visible

from . import gating, options, output
from .exits import Exit
from .help import ASK, CliCommand, commands, option
from .terminal import is_terminal, styled, written

app = commands()

ACTION = "a test by `molecule-approve doctor --ask`: nothing depends on your decision, approve or deny"
"""What is requested with ``--ask``."""

REASON = "Somebody wants to know whether requests reach you. Nothing is run, whatever you decide."

_CHECK = "request"
"""The finding of ``--ask``."""

_MARKS = {
    Grade.OK: ("good", "✓", "+"),
    Grade.WARNING: ("warning", "!", "!"),
    Grade.FAILED: ("bad", "✗", "x"),
    Grade.SKIPPED: ("dim", "·", "-"),
}


@app.command(
    "doctor",
    cls=CliCommand,
    epilog="""
        molecule-approve doctor
        molecule-approve doctor --json
        molecule-approve doctor --ask --timeout 2m
    """,
)
@options.connected
def doctor(
    connection: options.ConnectionOptions,
    ask: Annotated[
        bool, option("--ask", None, "Also send a request on which nothing depends, and wait for its decision.", ASK)
    ] = False,
    timeout: gating.Timeout = None,
    json: options.Json = False,
) -> int:
    """Check whether a request would work here, and whether an approval would prove anything.

    It exits with 0 if a request would work and with 125 if not; warnings do not count. It requests nothing without --ask.
    """
    findings: list[Finding] = []
    for finding in _examine(connection, timeout):
        findings.append(finding)
        if not json:
            _show(finding)
    works = would_work(findings)
    code: int = Exit.OK if works else Exit.FAILED
    if ask:
        finding, code = _ask(connection, timeout, json=json) if works else (_not_asked(), code)
        findings.append(finding)
        if not json:
            _show(finding)
    if json:
        output.answer_json([finding.as_json() for finding in findings])
    else:
        output.talk(f"{output.PROGRAM}: {_summary(findings)}")
    return code


def _examine(connection: options.ConnectionOptions, timeout: str | None) -> Iterator[Finding]:
    from molecule_approve.doctor.examination import examine
    from molecule_approve.paths import locate
    from molecule_approve.settings.resolve import Flags

    environ = dict(os.environ)
    try:
        places = locate(environ)
    except ApprovalError as exc:  # without folders of this user there is nothing more to look at
        yield failure("settings.places", exc)
        return
    flags = Flags(**connection._asdict(), timeout=timeout)
    yield from examine(Setup(flags, environ, places, output.at_terminal()))


def _summary(findings: list[Finding]) -> str:
    failed, warnings = (sum(1 for one in findings if one.result is grade) for grade in (Grade.FAILED, Grade.WARNING))
    told = "" if not warnings else f"; {warnings} {'warning' if warnings == 1 else 'warnings'}"
    if failed:
        return f"a request would not work here: {failed} {'check' if failed == 1 else 'checks'} failed{told}"
    return f"a request would work here{told}"


def _show(finding: Finding) -> None:
    """One line in a pipe; at a terminal with a mark, and the advice on a line of its own."""
    detail, advice, stream = visible(finding.detail), visible(finding.advice), sys.stdout
    if not is_terminal(stream):
        todo = f"; to do: {advice}" if advice else ""
        output.answer(f"{finding.result.value:<8} {finding.check}: {detail}{todo}")
        return
    style, mark, plain = _MARKS[finding.result]
    shown = styled(mark if written(mark, stream) == mark else plain, style, stream)
    output.answer(f"{shown} {styled(finding.check, 'bold', stream)}: {detail}", foreign=True)
    if advice:
        output.answer(f"  {styled(f'to do: {advice}', style, stream)}", foreign=True)


# --- a real request ----------------------------------------------------------------------------------------------------


def _not_asked() -> Finding:
    return Finding(_CHECK, Grade.SKIPPED, "nothing was requested: a check failed")


def _ask(connection: options.ConnectionOptions, timeout: str | None, *, json: bool) -> tuple[Finding, int]:
    """Send the test request and wait for its decision; the finding, and the exit code."""
    from .deliver import Reporting
    from .result_files import ResultFiles
    from .stop import Audience, SignalStop

    stop = SignalStop(Audience.expected())
    stop.install()
    command = gating.GatingCommand(Reporting(json=json, quiet=False), stop, ResultFiles.checked(None, None))
    found: list[tuple[Finding, int]] = []

    def keep(verdict: Verdict) -> int:
        found.append(_of_verdict(verdict))
        return found[-1][1]

    try:
        _request(command, connection, timeout, keep)
    except ApprovalError as exc:
        return failure(_CHECK, exc), Exit.FAILED
    except Interrupted as exc:
        return Finding(_CHECK, Grade.FAILED, f"interrupted: {exc.why}"), 128 + exc.signum
    return found[-1]


def _request(
    command: gating.GatingCommand, connection: options.ConnectionOptions, timeout: str | None, keep: Callable[[Verdict], int]
) -> None:
    from molecule_approve import wiring

    with command.stop.open():
        settings = connection.settings(quiet=True, timeout=timeout)
        request = gating.AskingOptions(reason=REASON).compose(settings, ACTION)
        progress = command.progress(gating.scene(settings, request.action, request.reason))
        made = wiring.gate(settings, command.stop, progress)
    gating.judge(settings, made, progress, partial(made.gate.request, request, wiring.terms(settings), made.permit), keep)


def _of_verdict(verdict: Verdict) -> tuple[Finding, int]:
    if verdict.outcome in {Outcome.APPROVED, Outcome.DENIED}:
        return Finding(_CHECK, Grade.OK, f"a decision came back: {verdict.message}"), Exit.OK
    code = 128 + (verdict.signum or 0) if verdict.outcome is Outcome.INTERRUPTED else Exit.FAILED
    advice = verdict.error.hint if verdict.error else "tell an approver, and try again"
    return Finding(_CHECK, Grade.FAILED, f"no decision came back: {verdict.message}", advice), code
