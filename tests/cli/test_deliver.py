"""Telling a verdict: an approval that came with a signal, and what fails before there was a verdict."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from molecule_approve.cli.deliver import Reporting, deliver, failure_as_json, in_array
from molecule_approve.cli.stop import Audience, SignalStop
from molecule_approve.errors import ApprovalError, DeliveryError, UsageError
from molecule_approve.model import Failure, Outcome, Verdict
from tests.callers import signals_kept

APPROVED = Verdict(Outcome.APPROVED, decided_by="al\x1bice", decided_by_verified=True)


def _not_approved(verdict: Verdict, why: ApprovalError) -> Verdict:
    return replace(verdict, outcome=Outcome.FAILED, error=Failure(why.kind, why.message, why.hint))


def test_an_approval_that_was_told_is_0(capsys: pytest.CaptureFixture[str]) -> None:
    """Its one line is made visible."""
    assert deliver(Reporting(json=False, quiet=False), SignalStop(None), APPROVED, _not_approved) == 0
    assert capsys.readouterr().out == "approved by al\\x1bice\n"


def test_an_approval_that_came_with_a_signal_is_the_signals(capsys: pytest.CaptureFixture[str]) -> None:
    """128 and the signal; stdout never said yes."""
    with signals_kept():
        stop = SignalStop(None)
        stop.install()
        signal.raise_signal(signal.SIGTERM)
    assert deliver(Reporting(json=True, quiet=False), stop, APPROVED, _not_approved) == 143
    out = capsys.readouterr().out
    assert '"outcome": "interrupted", "approved": false' in out
    assert out.count("\n") == 1


def test_an_approval_that_nobody_is_left_to_hear_is_125(capsys: pytest.CaptureFixture[str]) -> None:
    """That is no signal."""
    reader, writer = os.pipe()
    stop = SignalStop(Audience((writer,)))
    os.close(reader)
    assert deliver(Reporting(json=False, quiet=False), stop, APPROVED, _not_approved) == 125
    os.close(writer)
    out, err = capsys.readouterr()
    assert out == ""
    assert "the approval came too late: nobody reads the verdict" in err


def test_a_file_is_put_there_whole_or_not_at_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that fails turns an approval into 125, and nothing is left behind."""
    path = tmp_path / "one.json"
    path.mkdir()
    report = Reporting(json=False, quiet=False, result_file=path)
    assert deliver(report, SignalStop(None), APPROVED, _not_approved) == 125
    assert list(tmp_path.iterdir()) == [path]
    assert "approved" not in capsys.readouterr().out


@pytest.mark.parametrize("many", [False, True])
def test_a_failure_goes_on_its_way_after_it_was_told(capsys: pytest.CaptureFixture[str], many: bool) -> None:
    """As an object, or in an array; without --json stdout stays empty."""
    with pytest.raises(UsageError), failure_as_json(json=True, form=in_array if many else dict):
        raise UsageError("why")
    out = capsys.readouterr().out
    assert out.startswith("[{" if many else "{")
    assert '"outcome": "failed"' in out
    with pytest.raises(UsageError), failure_as_json(json=False):
        raise UsageError("why")
    with pytest.raises(DeliveryError), failure_as_json(json=True):
        raise DeliveryError("nobody reads stdout")
    assert capsys.readouterr().out == ""
