"""Telling the verdict: one line or one JSON object on stdout, a result file, and what happens when neither can be told."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from molecule_approve.errors import ApprovalError, DeliveryError, UsageError
from molecule_approve.model import JsonValue, Outcome, Verdict
from molecule_approve.places import staged_private, write_private
from molecule_approve.safe_text import json_line, visible

from . import exits, output

if TYPE_CHECKING:
    from .stop import SignalStop

Undelivered = Callable[[Verdict, ApprovalError], Verdict]


def writable(path: str, option: str) -> Path:
    """The path, if a file can be put there; found out before anything is asked.

    Raises:
        UsageError: it cannot.

    """
    found = Path(path).absolute()
    if not path or found.is_dir() or not os.access(found.parent, os.W_OK | os.X_OK):
        raise UsageError(f"{option} cannot be written: {path!r}", hint="name a file in a folder that exists and is yours")
    return found


def write_file(path: Path, text: str) -> None:
    """Write the file whole or not at all.

    Raises:
        DeliveryError: it cannot be written.

    """
    with _saying(path):
        write_private(path, text.encode())


@contextlib.contextmanager
def _saying(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise DeliveryError(f"{path} cannot be written: {exc.strerror}", hint="is the disk full?") from exc


@dataclass(frozen=True, slots=True)
class Report:
    """How a gating command tells its verdict."""

    json: bool
    quiet: bool
    result_file: Path | None

    def tell(self, verdict: Verdict, code: int) -> int:
        """Tell a verdict that is no approval; its code stays, whoever hears it."""
        for tell in (self.on_stdout, lambda told: self._in_file(told, code)):
            try:
                tell(verdict)
            except DeliveryError as exc:
                output.complain(exc)
        return code

    def _in_file(self, verdict: Verdict, code: int) -> None:
        with self.staged(verdict, code):
            pass

    def on_stdout(self, verdict: Verdict) -> None:
        """The answer: one JSON object, or one line; an error without ``--json`` is talk, and goes to stderr.

        Raises:
            DeliveryError: nobody can read it.

        """
        if verdict.error is not None:
            output.complain(verdict.error, f"{verdict.outcome.value.replace('_', ' ')}: ")
        if self.json:
            output.answer_json(verdict.as_json())
        elif verdict.outcome is Outcome.PENDING and verdict.approval_id is not None:
            output.answer(visible(verdict.approval_id))
        elif verdict.error is None:
            output.answer(visible(verdict.message))

    @contextlib.contextmanager
    def staged(self, verdict: Verdict, code: int) -> Iterator[None]:
        """The same object with the exit code, where a file was asked for: written before, in its place as the last thing.

        Raises:
            DeliveryError: it cannot be written.

        """
        if self.result_file is None:
            yield
            return
        value: dict[str, JsonValue] = {**verdict.as_json(), "exit_code": code}
        with _saying(self.result_file), staged_private(self.result_file, f"{json_line(value)}\n".encode()):
            yield


def deliver(report: Report, stop: SignalStop, verdict: Verdict, undelivered: Undelivered) -> int:
    """Tell the verdict and return the exit code; an approval that could not be told, or came with a signal, is none."""
    if not verdict.approved:
        return report.tell(verdict, exits.of_verdict(verdict))
    try:
        _still_heard(stop)
        with report.staged(verdict, exits.Exit.OK):
            _on_stdout(report, verdict)
    except DeliveryError as exc:
        failed = undelivered(verdict, exc)
    else:
        return exits.Exit.OK  # the only statement that leads to 0
    if stop.signalled is not None:
        failed = replace(failed, outcome=Outcome.INTERRUPTED, signum=stop.signalled.signum)
    return report.tell(failed, exits.of_verdict(failed))


def _on_stdout(report: Report, verdict: Verdict) -> None:
    try:
        report.on_stdout(verdict)
    except DeliveryError:
        if report.result_file is None:  # else it says the same, and a pipe cannot swallow it
            raise


def _still_heard(stop: SignalStop) -> None:
    """Raise DeliveryError if a signal came after the approval, or if nobody is left to tell it to."""
    stop.look()
    if stop.stopped is not None:
        raise DeliveryError(f"the approval came too late: {stop.stopped.why}")
