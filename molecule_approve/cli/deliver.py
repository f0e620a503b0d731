"""Telling the verdict: one line or one JSON object on stdout, a result file, and what happens when neither can be told."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from molecule_approve.errors import ApprovalError, DeliveryError, ours
from molecule_approve.model import Failure, JsonValue, Outcome, Verdict
from molecule_approve.paths import write_private
from molecule_approve.safe_text import json_line, visible

from . import exits, output
from .terminal import marked

if TYPE_CHECKING:
    from .stop import SignalStop

Undelivered = Callable[[Verdict, ApprovalError], Verdict]
Told = dict[str, JsonValue]
"""A verdict as one JSON object."""


def write_file(path: Path, text: str) -> None:
    """Write the file whole or not at all.

    Raises:
        DeliveryError: it cannot be written.

    """
    try:
        write_private(path, text.encode())
    except OSError as exc:
        raise DeliveryError(f"{path} cannot be written: {exc.strerror}", hint="is the disk full?") from exc


def failed(error: Exception) -> Verdict:
    """The verdict where there was no gate to give one."""
    known = ours(error)
    return Verdict(Outcome.FAILED, error=Failure(known.kind, known.message, known.hint))


@contextlib.contextmanager
def failing_aloud(*, json: bool, form: Callable[[Told], JsonValue] = dict) -> Iterator[None]:
    """With ``--json`` a failure is told on stdout too, before it goes on its way.

    Args:
        json: whether ``--json`` was given.
        form: makes of the object of a failed verdict what the command prints; the object itself by default.

    """
    try:
        yield
    except DeliveryError:
        raise  # nobody reads stdout
    except Exception as exc:
        told = failed(exc).as_json()
        if json:
            with contextlib.suppress(DeliveryError):  # what failed is the news, and has a code of its own
                output.answer_json(form(told))
        raise


def in_array(told: Told) -> JsonValue:
    """The form of a failure where the answer would have been many objects."""
    return [told]


class Reporting(NamedTuple):
    """How a gating command tells its verdict.

    Attributes:
        json: one JSON object on stdout instead of a line.
        quiet: only errors on stderr.
        id_alone: what is pending is told as its bare id.
        result_file: where the object is left too, with the exit code.

    """

    json: bool
    quiet: bool
    id_alone: bool = False
    result_file: Path | None = None

    def tell(self, verdict: Verdict, code: int) -> int:
        """Tell a verdict that is no approval; its code stays, whoever hears it."""
        for tell in (self.on_stdout, partial(self.in_file, code=code)):
            try:
                tell(verdict)
            except DeliveryError as exc:
                output.complain(exc)
        return code

    def on_stdout(self, verdict: Verdict) -> None:
        """The answer: one JSON object, or one line; an error without ``--json`` is talk, and goes to stderr.

        Raises:
            DeliveryError: nobody can read it.

        """
        if verdict.error is not None:
            label = f"{verdict.outcome.value.replace('_', ' ')}:"
            output.complain(verdict.error, f"{marked(label, verdict.outcome, sys.stderr)} ")
        if self.json:
            output.answer_json(verdict.as_json())
        elif verdict.error is None:
            alone = self.id_alone and verdict.outcome is Outcome.PENDING
            line = visible(verdict.approval_id or "" if alone else verdict.message)
            output.answer(line if alone else marked(line, verdict.outcome, sys.stdout), foreign=not alone)

    def in_file(self, verdict: Verdict, code: int) -> None:
        """The same object with the exit code, where a file was asked for.

        Raises:
            DeliveryError: it cannot be written.

        """
        if self.result_file is not None:
            value: dict[str, JsonValue] = {**verdict.as_json(), "exit_code": code}
            write_file(self.result_file, f"{json_line(value)}\n")


def deliver(report: Reporting, stop: SignalStop, verdict: Verdict, undelivered: Undelivered) -> int:
    """Tell the verdict and return the exit code; an approval that could not be told, or came with a signal, is none."""
    if not verdict.approved:
        return report.tell(verdict, exits.of_verdict(verdict))
    try:
        _still_heard(stop)
        _approve(report, verdict)
    except DeliveryError as exc:
        unheard = undelivered(verdict, exc)
    else:
        return exits.Exit.OK  # the only statement that leads to 0
    if stop.signalled is not None:
        unheard = replace(unheard, outcome=Outcome.INTERRUPTED, signum=stop.signalled.signum)
    return report.tell(unheard, exits.of_verdict(unheard))


def _approve(report: Reporting, verdict: Verdict) -> None:
    """Tell an approval: all or nothing, so that no yes stands on stdout beside a code that is none."""
    # The file goes first, for it can fail; where it was asked for, it carries the verdict and stdout may fail.
    report.in_file(verdict, exits.Exit.OK)
    try:
        report.on_stdout(verdict)
    except DeliveryError as exc:
        if report.result_file is None:
            exc.hint = "use --result-file where nobody may read stdout"
            raise


def _still_heard(stop: SignalStop) -> None:
    """Raise DeliveryError if a signal came after the approval, or if nobody is left to tell it to."""
    stop.look()
    if stop.stopped is not None:
        raise DeliveryError(f"the approval came too late: {stop.stopped.why}")
