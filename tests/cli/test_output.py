"""The only writer: streams that are closed, full, gone, or of another encoding; nothing raw, ever."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from molecule_approve.cli import output
from molecule_approve.errors import DeliveryError, UsageError
from tests.forks import PROGRAM

if TYPE_CHECKING:
    from tests.callers import Caller


def _shell(caller: Caller, redirection: str, *argv: str) -> tuple[int, str, str]:
    told = caller.run(*argv, program=("/bin/sh", "-c", f'exec "$@" {redirection}', "sh", *PROGRAM))
    return told.code, told.out, told.err


@pytest.mark.measured
@pytest.mark.parametrize("redirection", [">&-", ">/dev/full"])
def test_an_approval_that_cannot_be_told_is_125(caller: Caller, redirection: str) -> None:
    """Closed at the start or full: stderr says so, with the hint that helps, and the log holds both."""
    with caller.answering("drop it"):
        code, _, err = _shell(caller, redirection, "request", "--", "drop it")
    assert code == 125
    assert "failed: cannot write to stdout: " in err
    assert "hint: pass --result-file" in err
    assert [record["action"] for record in caller.records()][-2:] == ["approve", "deliver"]


@pytest.mark.parametrize("redirection", [">&-", ">/dev/full", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_denial_that_cannot_be_told_keeps_its_code(caller: Caller, redirection: str) -> None:
    """77, whoever heard it."""
    with caller.answering("drop it", "denied"):
        assert _shell(caller, redirection, "request", "--json", "--", "drop it")[0] == 77


def test_talk_that_nobody_hears_changes_nothing(caller: Caller) -> None:
    """Closed or full: the answer is as ever."""
    for redirection in ("2>&-", "2>/dev/full"):
        assert _shell(caller, redirection, "--version") == (0, "molecule-approve 0.1.0\n", "")
        with caller.answering("drop it"):
            assert _shell(caller, redirection, "request", "--", "drop it")[:2] == (0, "approved by alice\n")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_every_encoding_can_say_it(caller: Caller, encoding: str) -> None:
    """What the encoding lacks becomes an escape; --json is ASCII anyway."""
    action = "löschen ☠ now"
    told = caller.run(
        "request", "--no-wait", "--json", "--", action, env={**os.environ, "PYTHONIOENCODING": encoding}, encoding=encoding
    )
    assert (told.code, told.object["action"]) == (8, action)
    shown = action.encode(encoding, "backslashreplace").decode(encoding)
    assert f"to approve:\naction    {shown}\n" in told.err


def test_an_error_is_one_sentence_and_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    """Made visible, with its label, and without a hint where there is none."""
    output.complain(UsageError("a\x1b[2Kb\x9bc", hint="d\u202ee"), "label: ")
    output.complain(UsageError("f"))
    assert capsys.readouterr().err == (
        "molecule-approve: label: a\\x1b[2Kb\\x9bc\nmolecule-approve: hint: d\\u202ee\nmolecule-approve: f\n"
    )


def test_what_is_closed_is_no_terminal() -> None:
    """Nor what is missing, a file, or a pipe."""
    closed = io.TextIOWrapper(io.BytesIO())
    closed.close()
    assert not output.is_terminal(closed)
    assert not output.is_terminal(None)
    assert not output.is_terminal(io.StringIO())


def test_a_stream_that_is_missing_can_be_neither_prepared_nor_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Python starts when its descriptor is closed: the answer fails, talk does not."""
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    output.prepare()
    output.talk("nobody hears this")
    assert not output.at_terminal()
    with pytest.raises(DeliveryError, match="stdout is closed"):
        output.answer("nobody reads this")
    with pytest.raises(DeliveryError, match="stdout is closed"):
        output.raw_bytes(b"nor this")


def test_what_could_not_be_written_is_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that failed is let go: closing it later fails no more."""
    with Path("/dev/full").open("w", encoding="ascii") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(DeliveryError, match="No space left on device"):
            output.answer("x")
        output.answer("and this goes nowhere")
    closed = (tmp_path / "file").open("w", encoding="ascii")
    closed.close()
    monkeypatch.setattr(sys, "stdout", closed)
    with pytest.raises(DeliveryError, match="stdout is closed"):
        output.raw_bytes(b"x")


def test_bytes_are_written_as_they_are(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """In whatever encoding they are."""
    output.raw_bytes(b"\xff\n")
    assert capsysbinary.readouterr().out == b"\xff\n"


def test_an_answer_that_is_json_is_one_line_of_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    """No terminal and no log's reader obeys it."""
    output.answer_json(["ü\x7f\u2028", "::x", "##[error]"])
    out = capsys.readouterr().out
    assert out.isascii()
    assert out.count("\n") == 1
    assert "##[" not in out
