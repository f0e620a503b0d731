"""Delivers the verdict: on stdout and in the result file. An approval that cannot be delivered is not an approval."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from molecule_approve.errors import ApprovalError, DeliveryError
from molecule_approve.model import JsonValue, Outcome, Verdict
from molecule_approve.paths import write_private
from molecule_approve.safe_text import json_line, visible

from . import exits, output
from .terminal import marked

if TYPE_CHECKING:
    from molecule_approve.executions import Execution

    from .stop import SignalStop

Undelivered = Callable[[Verdict, ApprovalError], Verdict]
JsonObject = dict[str, JsonValue]
"""A verdict as one JSON object."""


def write_file(path: Path, text: str) -> None:
    """Write the file atomically.

    Raises:
        DeliveryError: it cannot be written.
    """
    try:
        write_private(path, text.encode())
    except OSError as exc:
        raise DeliveryError(f"cannot write {path}: {exc.strerror}", hint="check its folder and its disk") from exc


@contextlib.contextmanager
def failure_as_json(*, json: bool, form: Callable[[JsonObject], JsonValue] = dict) -> Iterator[None]:
    """With ``--json``, print a failure on stdout too, and raise it again.

    ``form`` turns the object of a failed verdict into the command's output; the object itself by default.
    """
    try:
        yield
    except DeliveryError:
        raise  # nobody reads stdout
    except Exception as exc:
        failure = Verdict.of_error(exc).as_json()
        if json:
            with contextlib.suppress(DeliveryError):  # the failure itself has the exit code
                output.answer_json(form(failure))
        raise


def in_array(failure: JsonObject) -> JsonValue:
    """The form of a failure where the output is an array."""
    return [failure]


class Reporting(NamedTuple):
    """How a gating command reports its verdict.

    Attributes:
        json: one JSON object on stdout instead of a line.
        quiet: only errors on stderr.
        id_alone: for a pending request, print only its id.
        result_file: write the object there too, with the exit code.
        execution: of ``run``, what became of the command, to which stdout belongs; None for other commands.
    """

    json: bool
    quiet: bool
    id_alone: bool = False
    result_file: Path | None = None
    execution: Execution | None = None

    def say(self, verdict: Verdict, code: int) -> int:
        """Report a verdict other than an approval; its exit code stays, delivered or not."""
        for write in (self.on_stdout, partial(self.in_file, code=code)):
            try:
                write(verdict)
            except DeliveryError as exc:
                output.complain(exc)
        return code

    def on_stdout(self, verdict: Verdict) -> None:
        """Print one JSON object, or one line; without ``--json`` an error goes to stderr.

        Raises:
            DeliveryError: stdout cannot be written.
        """
        if verdict.error is not None and verdict.error.kind == Outcome.INTERRUPTED:
            message = f"{visible(verdict.error.message)}; nothing was approved"
            output.say(f"{marked(message, verdict.outcome, sys.stderr)}")
        elif verdict.error is not None:
            label = f"{verdict.outcome.value.replace('_', ' ')}:"
            output.complain(verdict.error, f"{marked(label, verdict.outcome, sys.stderr)} ")
        if self.execution is not None:
            return
        if self.json:
            output.answer_json(verdict.as_json())
        elif verdict.error is None:
            alone = self.id_alone and verdict.outcome is Outcome.PENDING
            line = visible(verdict.approval_id or "" if alone else verdict.message)
            output.answer(line if alone else marked(line, verdict.outcome, sys.stdout), foreign=not alone)

    def in_file(self, verdict: Verdict, code: int | None) -> None:
        """Write the object with the exit code (None while the command runs) to the result file, if there is one.

        Raises:
            DeliveryError: it cannot be written.
        """
        if self.result_file is not None:
            ran = {} if self.execution is None else self.execution.as_json()
            value: dict[str, JsonValue] = {**verdict.as_json(), **ran, "exit_code": code}
            write_file(self.result_file, f"{json_line(value)}\n")


def deliver(report: Reporting, stop: SignalStop, verdict: Verdict, undelivered: Undelivered) -> int:
    """Report the verdict and return the exit code; an undelivered approval, or one after a signal, is not an approval."""
    if not verdict.approved:
        return report.say(verdict, exits.of_verdict(verdict))
    try:
        check_reader(stop)
        _approve(report, verdict)
    except DeliveryError as exc:
        not_approved = undelivered(verdict, exc)
    else:
        return exits.Exit.OK  # the only statement that leads to 0
    if stop.signalled is not None:
        not_approved = replace(not_approved, outcome=Outcome.INTERRUPTED, signum=stop.signalled.signum)
    return report.say(not_approved, exits.of_verdict(not_approved))


def _approve(report: Reporting, verdict: Verdict) -> None:
    """Report an approval completely or not at all: stdout must not say approved beside another exit code."""
    # The file first: where there is one, it carries the verdict, and stdout may fail.
    report.in_file(verdict, exits.Exit.OK)
    try:
        report.on_stdout(verdict)
    except DeliveryError as exc:
        if report.result_file is None:
            exc.hint = "pass --result-file if stdout may not be readable"
            raise


def check_reader(stop: SignalStop) -> None:
    """Raise DeliveryError if a signal came after the approval, or if nobody reads the verdict."""
    stop.look()
    if stop.stopped is not None:
        raise DeliveryError(f"the approval came too late: {stop.stopped.why}")
