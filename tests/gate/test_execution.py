"""An approved command runs at most once: what is recorded when, and what is told of each way in which it does not run."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from molecule_approve.audit import files
from molecule_approve.audit.journal import Journal
from molecule_approve.errors import ApprovalError, AuditError, DeliveryError
from molecule_approve.executions import Executed
from molecule_approve.gate.binding import Binding, bind
from molecule_approve.gate.compose import Origin
from molecule_approve.gate.execution import execute
from molecule_approve.gate.records import Recorder
from molecule_approve.model import Outcome, Verdict
from tests.client.fakes import OURS, request

if TYPE_CHECKING:
    from molecule_approve.executions import Execution

NOW = "2026-11-22T12:00:00.000000Z"
GRANTED = Verdict(Outcome.APPROVED, approval_id=OURS, decided_by="ali\0ce\ud800")


def nothing() -> None:
    """Nothing happens at this step."""


class Hand:
    """A launcher that starts nothing; a test decides what happens at each step."""

    replaces = False

    def __init__(self) -> None:
        self.checking: Callable[[], object] = nothing
        self.announcing: Callable[[], object] = nothing
        self.starting: Callable[[], object] = nothing
        self.status: Callable[[], int] = lambda: 0
        self.announced: list[Execution] = []
        self.started: list[tuple[str, tuple[str, ...], Mapping[str, str]]] = []

    def check(self) -> None:
        self.checking()

    def announce(self, execution: Execution) -> None:
        self.announced.append(execution)
        self.announcing()

    def start(self, executable: str, arguments: tuple[str, ...], environ: dict[str, str]) -> Callable[[], int]:
        self.starting()
        self.started.append((executable, arguments, environ))
        return self.status


class Scene:
    """A bound command, a real log, and the launcher."""

    def __init__(self, folder: Path, binding: Binding) -> None:
        self.folder = folder
        self.binding = binding
        self.hand = Hand()
        self.path = folder / "audit.jsonl"
        self.warnings: list[ApprovalError] = []
        self.recording: Callable[[], object] = nothing

    def _now(self) -> str:
        self.recording()
        return NOW

    def run(self, *, optional: bool = False) -> Execution:
        recorder = Recorder(
            Journal(self.path),
            request(),
            "attempt",
            optional=optional,
            now=self._now,
            warn=self.warnings.append,
            note=lambda _: None,
            pause=time.sleep,
        )
        return execute(self.binding, GRANTED, recorder, self.hand)

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.path.read_bytes().splitlines()] if self.path.is_file() else []

    @property
    def outcomes(self) -> list[str]:
        assert {record["action"] for record in self.records} <= {"execute"}
        return [record["outcome"] for record in self.records]

    def change(self) -> None:
        (self.folder / "data").write_text("other")

    def break_the_log(self) -> None:
        self.path.unlink(missing_ok=True)
        self.path.mkdir()


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """A command with a file that can change."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(shutil.which("true") or "", tmp_path / "tool")
    (tmp_path / "data").touch()
    environ = {"A_KEY": "hunter22", "ENV": "x"}
    with contextlib.closing(bind(["./tool", "data", "hunter22"], Origin("u", "h", str(tmp_path)), environ)) as binding:
        yield Scene(tmp_path, binding)


def test_a_command_that_runs_is_recorded_twice(scene: Scene) -> None:
    """That it starts, before it does, and how it ended; neither record shows a secret."""
    scene.hand.starting = lambda: scene.outcomes == ["started"] or pytest.fail("it started before that was recorded")
    scene.hand.status = lambda: 3
    found = scene.run()
    assert (found.executed, found.child_exit_code, found.child_signal, found.error) == (Executed.FINISHED, 3, None, None)
    started, finished = scene.records
    assert (started["outcome"], started["command"], started["approval_id"]) == ("started", "./tool data '[A_KEY]'", OURS)
    assert (finished["outcome"], finished["exit_code"]) == ("finished", 3)
    assert started["digest"] == finished["digest"] == found.digest == scene.binding.command.digest
    assert "hunter22" not in scene.path.read_text()
    assert [one.executed for one in scene.hand.announced] == [Executed.STARTED]


def test_the_command_knows_who_approved_it(scene: Scene) -> None:
    """In its environment; a name that no variable can hold is made one that it can."""
    scene.run()
    ((executable, arguments, environ),) = scene.hand.started
    assert os.path.samestat(Path(executable).stat(), (scene.folder / "tool").stat())
    assert arguments == ("./tool", "data", "hunter22")
    assert environ == {"A_KEY": "hunter22", "MOLECULE_APPROVAL_ID": OURS, "MOLECULE_APPROVED_BY": "ali\ufffdce\ufffd"}


def test_a_command_that_a_signal_ended(scene: Scene) -> None:
    """Its code is 128 and the signal, as in a shell; the record names the signal."""
    scene.hand.status = lambda: -15
    found = scene.run()
    assert (found.child_exit_code, found.child_signal) == (143, 15)
    assert (scene.records[-1]["exit_code"], scene.records[-1]["signal"]) == (143, 15)


def test_a_command_that_replaces_us_says_so_in_its_record(scene: Scene) -> None:
    """No record of its end can follow."""
    scene.hand.replaces = True
    scene.run()
    assert scene.records[0]["replaces_process"] is True


def refuse() -> None:
    raise DeliveryError("the approval came too late")


def test_who_is_gone_before_the_start_gets_nothing_started(scene: Scene) -> None:
    """Nothing says that it started."""
    scene.hand.checking = refuse
    found = scene.run()
    assert (found.executed, found.error is not None, scene.hand.started) == (Executed.NO, True, [])
    assert (scene.outcomes, scene.records[0]["reason"]) == (["refused"], "delivery")


def test_who_is_gone_while_the_start_waits_for_the_log_gets_nothing_started(scene: Scene) -> None:
    """Another process holds the log's lock: a signal ends that wait, and the log says that nothing was started."""
    held = files.open_for_writing(files.lock_path(scene.path))
    fcntl.flock(held, fcntl.LOCK_EX)

    def refuse_while_it_waits() -> None:
        if any(thread.name == "audit-lock" for thread in threading.enumerate()):
            os.close(held)
            refuse()

    scene.hand.checking = refuse_while_it_waits
    found = scene.run()
    assert (found.executed, scene.hand.started, scene.outcomes) == (Executed.NO, [], ["refused"])


def test_a_change_before_the_start_is_recorded(scene: Scene) -> None:
    """Nothing ran, and nothing says that it did; what changed is named."""
    scene.change()
    found = scene.run()
    assert (found.executed, scene.hand.started, scene.outcomes) == (Executed.NO, [], ["refused"])
    assert found.error is not None
    assert found.error.message == f"what was approved has changed: file {scene.folder}/data has another size or mode"
    assert scene.records[0]["error"] == found.error.message


def test_a_touched_file_that_is_as_it_was_runs(scene: Scene) -> None:
    """Times alone are no difference."""
    (scene.folder / "data").touch()
    assert scene.run().executed is Executed.FINISHED


@pytest.mark.parametrize("step", ["announcing", "starting"])
def test_what_fails_after_the_record_is_not_reported_as_never_started(scene: Scene, step: str) -> None:
    """A start that was recorded stays one, and the refusal follows it."""

    def fail() -> None:
        raise OSError(26, "Text file busy")

    setattr(scene.hand, step, fail)
    found = scene.run()
    assert (found.executed, found.child_exit_code, scene.hand.started) == (Executed.STARTED, None, [])
    assert scene.outcomes == ["started", "refused"]
    assert found.error is not None
    assert (step == "starting") == (found.error.message == "the approved command could not be started: Text file busy")


def test_a_change_while_the_start_is_recorded_is_found(scene: Scene) -> None:
    """Every byte is looked at once more, between the record of the start and the start."""
    scene.recording = scene.change
    found = scene.run()
    assert (found.executed, scene.hand.started, scene.outcomes) == (Executed.STARTED, [], ["started", "refused"])
    assert found.error is not None
    assert found.error.kind == "changed"


def test_a_start_that_cannot_be_recorded_does_not_happen(scene: Scene) -> None:
    """Neither can the refusal; that is a warning."""
    scene.break_the_log()
    found = scene.run()
    assert (found.executed, scene.hand.started) == (Executed.NO, [])
    assert found.error is not None
    assert found.error.kind == AuditError.kind
    assert [warning.kind for warning in scene.warnings] == [AuditError.kind]


def test_an_optional_record_of_the_start_is_a_warning(scene: Scene) -> None:
    """With approve.audit: optional the user wanted it so: the command runs, and each failure is told."""
    scene.break_the_log()
    found = scene.run(optional=True)
    assert (found.executed, len(scene.hand.started)) == (Executed.FINISHED, 1)
    assert [warning.kind for warning in scene.warnings] == [AuditError.kind] * 2


def test_an_end_that_cannot_be_recorded_is_a_warning(scene: Scene) -> None:
    """What ran, ran."""
    scene.hand.starting = scene.break_the_log
    found = scene.run()
    assert (found.executed, found.error) == (Executed.FINISHED, None)
    assert [warning.kind for warning in scene.warnings] == [AuditError.kind]


def test_an_end_that_is_never_learnt_is_no_end(scene: Scene) -> None:
    """It has started, and the record of an end would be a lie."""

    def lose() -> int:
        raise ChildProcessError(10, "No child processes")

    scene.hand.status = lose
    found = scene.run()
    assert (found.executed, found.child_exit_code, scene.outcomes) == (Executed.STARTED, None, ["started"])
    assert found.error is not None
