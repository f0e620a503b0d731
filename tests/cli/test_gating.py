"""What the commands that gate share: a stop before there is a gate is an outcome like every other."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Never

from molecule_approve.cli.gating import GatingCommand, WaitingOptions
from molecule_approve.errors import Interrupted
from tests.callers import signals_kept

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_stop_before_there_is_a_gate_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the exit code, on stdout and in the result file."""
    file = tmp_path / "result.json"

    def stopped(command: GatingCommand) -> Never:
        assert command.files.result == file
        raise Interrupted(signal.SIGTERM, "stopped by SIGTERM")

    with signals_kept():
        code = WaitingOptions(json=True, result_file=str(file)).run(None, stopped)
    told, written = json.loads(capsys.readouterr().out), json.loads(file.read_text())
    assert (code, written["exit_code"]) == (143, 143)
    for found in (told, written):
        assert (found["outcome"], found["approved"], found["error"]["message"]) == (
            "interrupted",
            False,
            "stopped by SIGTERM",
        )
