"""`run` and `request --for`: what is executed, what is refused, and what is told and recorded of both."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from molecule_approve.cli import child
from molecule_approve.cli.child import _PASSED_ON
from molecule_approve.cli.deliver import Reporting
from molecule_approve.cli.gating import GatingCommand
from molecule_approve.cli.result_files import ResultFiles
from molecule_approve.cli.run import _ChildLauncher, _say_not_run
from molecule_approve.cli.stop import SignalStop
from molecule_approve.errors import DeliveryError
from molecule_approve.executions import Executed, Execution
from molecule_approve.gate.execution import RESTORED
from molecule_approve.model import Failure, Outcome, Verdict
from tests.callers import until

if TYPE_CHECKING:
    from tests.callers import Caller, Told
    from tests.integration.fake_platform import FakePlatform

TRUE = shutil.which("true") or ""


@dataclass
class Runner:
    """A caller in a folder with a program, ``tool``, which writes its arguments and its environment down."""

    caller: Caller
    folder: Path

    @property
    def ran(self) -> list[str]:
        """The arguments of each time it ran."""
        found = self.folder / "ran"
        return found.read_text().splitlines() if found.exists() else []

    @property
    def environ(self) -> dict[str, str]:
        """The environment in which it ran last."""
        return dict(line.split("=", 1) for line in (self.folder / "environ").read_text().splitlines() if "=" in line)

    @property
    def result(self) -> dict[str, Any]:
        """What the result file says."""
        found: dict[str, Any] = json.loads((self.folder / "result").read_text())
        return found

    @property
    def outcomes(self) -> list[str]:
        return [record["outcome"] for record in self.caller.records()]

    def shown(self, *words: str, **variables: str) -> str:
        """What the approver would see."""
        self.caller.set(**variables)
        told = self.caller.main("run", "--show", *words)
        assert (told.code, told.err) == (2, "")
        return told.out[:-1]

    def run(self, *words: str, answer: Callable[[str], object] | str = "approved") -> Told:
        """Run, and answer what is asked."""
        with self.caller.answering(self.shown(*words), answer):
            return self.caller.main("run", "--result-file", str(self.folder / "result"), *words)

    def not_asked(self, *words: str) -> Told:
        """Run what is refused before anybody is asked."""
        told = self.caller.main("run", "--result-file", str(self.folder / "result"), *words)
        assert (self.outcomes, self.ran) == ([], [])
        return told

    def ask(self, *words: str) -> str:
        """``request --for``; the id."""
        told = self.caller.main("request", "--for", *words)
        assert told.code == 8, told.err
        return told.out.strip()

    def take(self, approval_id: str, *words: str) -> Told:
        """``run --approval``."""
        return self.caller.main("run", "--result-file", str(self.folder / "result"), "--approval", approval_id, *words)

    def after(self, change: Callable[[], object]) -> Callable[[str], object]:
        """An answer that comes after this change."""

        def decide(approval_id: str) -> None:
            until(lambda: any(record.get("approval_id") == approval_id for record in self.caller.records()))
            change()
            self.caller.desk.decide(approval_id)

        return decide


@pytest.fixture
def runner(caller: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    """A caller in that folder."""
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "tool").write_text('#!/bin/sh\necho "$@" >>ran\nenv >environ\nexit "${CODE:-0}"\n')
    (folder / "tool").chmod(0o755)
    shutil.copy(TRUE, folder / "binary")
    monkeypatch.chdir(folder)
    # Other threads of this process take the signal that tells of the end.
    monkeypatch.setattr(child, "TICK", 0.01)
    return Runner(caller, folder)


# --- what runs ---------------------------------------------------------------------------------------------------------


def test_what_was_approved_runs_once(runner: Runner) -> None:
    """Its code is ours, stdout is its own, and the log and the result file say all of it."""
    told = runner.run("--", "./tool", "a b", "")
    assert (told.code, told.out, runner.ran) == (0, "", ["a b "])
    assert runner.outcomes == ["initiated", "requested", "granted", "started", "finished"]
    found = runner.result
    assert (found["executed"], found["child_exit_code"], found["child_signal"], found["exit_code"]) == (
        "finished",
        0,
        None,
        0,
    )
    assert (found["outcome"], found["digest"]) == ("approved", found["action"].rpartition(":")[2])
    assert runner.environ["MOLECULE_APPROVAL_ID"] == found["approval_id"]
    assert runner.environ["MOLECULE_APPROVED_BY"] == "alice"


@pytest.mark.parametrize("code", [1, 77, 124, 125, 126])
def test_a_code_of_the_command_is_told_from_ours(runner: Runner, code: int) -> None:
    """One line on stderr says whose it was, and the result file too."""
    runner.caller.set(CODE=str(code))
    told = runner.run("--", "./tool")
    assert (told.code, runner.result["exit_code"], runner.result["child_exit_code"]) == (code, code, code)
    assert told.err.endswith(f"molecule-approve: the command exited with {code}\n")
    assert runner.result["executed"] == "finished"


@pytest.mark.parametrize(("number", "name"), [(signal.SIGTERM, "SIGTERM"), (signal.SIGKILL, "SIGKILL"), (35, "signal 35")])
def test_a_command_that_a_signal_ends(runner: Runner, number: int, name: str) -> None:
    """128 and the signal; a real-time signal has a number only."""
    told = runner.run("--", sys.executable, "-c", f"import os; os.kill(os.getpid(), {number})")
    assert (told.code, runner.result["child_signal"], runner.result["exit_code"]) == (128 + number, number, 128 + number)
    assert told.err.endswith(f"molecule-approve: the command was ended by {name}\n")
    assert runner.caller.records()[-1]["signal"] == number


@pytest.mark.parametrize("words", [["x\ny"], ["\x1b[31m\u202e"], ["", ""], ["--result-file", "x", "A=1"], ["-h"], ["--"]])
def test_arguments_arrive_as_they_are(runner: Runner, words: list[str]) -> None:
    """Line breaks, escapes, empty ones, and whatever looks like an option of ours."""
    check = f"import sys; sys.exit(sys.argv[1:] != {words!r})"
    runner.caller.set(PATH=f"{runner.folder}:{os.environ['PATH']}")
    (runner.folder / "tool").write_text(f"#!{sys.executable}\n{check}\n")
    shown = runner.caller.main("run", "--show", "tool", *words).out
    with runner.caller.answering(_action(runner, "tool", *words)):
        assert runner.caller.main("run", "tool", *words).code == 0
    assert "\n".join(shown.splitlines()[1:]).startswith(f"program: {runner.folder}/tool ")


def _action(runner: Runner, *words: str) -> str:
    """The action itself, where showing it would change it."""
    from molecule_approve import wiring  # noqa: PLC0415 - after the caller's environment is made
    from molecule_approve.gate.binding import bind  # noqa: PLC0415

    binding = bind(words, wiring.origin(), os.environ)
    binding.close()
    return binding.command.text


def test_two_hundred_arguments_run(runner: Runner) -> None:
    """None is lost."""
    words = [str(number) for number in range(200)]
    assert runner.run("--", "./tool", *words).code == 0
    assert runner.ran == [" ".join(words)]


def test_variables_are_dropped_and_kept(runner: Runner) -> None:
    """The approver sees which."""
    runner.caller.set(ENV="x", PS4="y")
    options = ("--keep-env", "PS4", "--keep-env", "NOT_SET")
    assert "\nkeeps: PS4=y\ndrops: ENV\n" in runner.shown(*options, "--", "./tool")
    assert runner.run(*options, "--", "./tool").code == 0
    assert runner.environ["PS4"] == "y"
    assert "ENV" not in runner.environ


def test_a_program_called_dash_runs(runner: Runner) -> None:
    """It is no option and no stdin."""
    shutil.copy("tool", "-")
    runner.caller.set(PATH=f"{runner.folder}:{os.environ['PATH']}")
    assert runner.run("--", "-", "x").code == 0
    assert runner.ran == ["x"]


def test_without_a_home_it_runs(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container."""
    monkeypatch.delenv("HOME")
    assert runner.run("--", "./tool").code == 0


# --- what does not -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["none"], 127, "command not found: none"),
        (["A=1", "tool"], 127, "run -- env NAME=VALUE COMMAND"),
        (["./plain"], 126, "./plain is not an executable file"),
        (["./text"], 126, "neither a binary nor a script with #!"),
        (["./setuid"], 126, "is a setuid program"),
        (["./lost"], 126, "the interpreter of"),
        (["./tool", "x" * 5000], 2, "put the command into a script"),
        (["./tool", "\udcff"], 2, "is not UTF-8"),
        ([""], 127, "command not found: ''"),
    ],
)
def test_what_cannot_run_is_not_asked(runner: Runner, words: list[str], code: int, says: str) -> None:
    """126, 127 or 2, the reason, and a result file that says no."""
    for name, content, mode in (("plain", "", 0o600), ("text", "echo", 0o700), ("lost", "#!/no/sh\n", 0o700)):
        (runner.folder / name).write_text(content)
        (runner.folder / name).chmod(mode)
    shutil.copy(TRUE, "setuid")
    Path("setuid").chmod(0o4755)
    told = runner.not_asked("--", *words)
    assert (told.code, told.out) == (code, "")
    assert says in told.err
    assert (runner.result["executed"], runner.result["exit_code"], runner.result["digest"]) == ("no", code, None)
    assert runner.caller.main("run", "--show", "--", *words).code == code


def test_no_command_is_a_usage_error(runner: Runner) -> None:
    """With nothing behind it."""
    assert runner.not_asked("--").code == 2


def test_a_folder_that_is_gone_is_a_usage_error(runner: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can be bound to it."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert "cannot open the folder" in runner.not_asked("--", "true").err


def test_json_needs_a_result_file(runner: Runner) -> None:
    """Stdout is the command's."""
    told = runner.caller.main("run", "--json", "--", "./tool")
    assert (told.code, told.out, runner.outcomes) == (2, "", [])
    assert "--json: stdout belongs to the command" in told.err
    with runner.caller.answering(runner.shown("./tool")):
        told = runner.caller.main("run", "--json", "--result-file", str(runner.folder / "result"), "./tool")
    assert (told.code, told.out, runner.result["executed"]) == (0, "", "finished")


def test_show_asks_nobody_and_gives_no_order(runner: Runner) -> None:
    """It exits with 2, and what a log reader would obey is escaped."""
    told = runner.caller.main("run", "--show", "--", "./tool", "##[error]x")
    assert (told.code, runner.outcomes, runner.ran) == (2, [], [])
    assert "##[" not in told.out


def test_show_prints_the_command_as_a_shell_reads_it(runner: Runner) -> None:
    """What is copied from there is the same command, escapes included."""
    assert runner.shown("./tool", "x\ny", "\\n").splitlines()[0] == r"./tool $'x\ny' '\n'"


@pytest.mark.parametrize(("answer", "code", "outcome"), [("denied", 77, "denied"), ("withdraw", 124, "withdrawn")])
def test_nothing_runs_without_an_approval(runner: Runner, answer: str, code: int, outcome: str) -> None:
    """The code is that of request, and the result file says no."""
    told = runner.run("--", "./tool", answer=runner.caller.desk.withdraw if answer == "withdraw" else answer)
    assert (told.code, told.out, runner.ran) == (code, "", [])
    found = runner.result
    assert (found["outcome"], found["executed"], found["child_exit_code"], found["exit_code"]) == (outcome, "no", None, code)
    assert found["digest"]


def test_nothing_runs_after_the_timeout(runner: Runner) -> None:
    """Nobody decided."""
    told = runner.caller.main("run", "--timeout", "1", "--", "./tool")
    assert (told.code, runner.ran) == (124, [])


def _replace(name: str) -> None:
    shutil.copy(TRUE, "other")
    Path("other").rename(name)


def _write(name: str) -> None:
    Path(name).write_text("other")


def _exchange_folder(_: str) -> None:
    folder = Path.cwd()
    folder.rename(folder.with_name("away"))
    shutil.copytree(folder.with_name("away"), folder)


def _be_pipe(name: str) -> None:
    Path(name).unlink()
    os.mkfifo(name, 0o755)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("tool", _replace),
        ("tool", _write),
        ("tool", _be_pipe),
        ("data", _write),
        ("data", _be_pipe),
        ("", _exchange_folder),
        ("tool", os.remove),
    ],
)
def test_what_changed_before_the_approval_does_not_run(runner: Runner, name: str, change: Callable[[str], object]) -> None:
    """125; the log names what changed, and the result file says that nothing ran."""
    Path("data").touch()
    told = runner.run("--", "./tool", "data", answer=runner.after(lambda: change(name)))
    assert (told.code, runner.ran) == (125, [])
    assert "what was approved has changed: " in told.err
    assert runner.outcomes == ["initiated", "requested", "granted", "refused"]
    assert (runner.caller.records()[-1]["action"], runner.caller.records()[-1]["reason"]) == ("execute", "changed")
    found = runner.result
    assert (found["outcome"], found["approved"], found["executed"], found["exit_code"]) == ("failed", False, "no", 125)
    assert (found["error"]["kind"], found["child_exit_code"]) == ("changed", None)


def test_a_program_that_is_being_written_does_not_run(runner: Runner) -> None:
    """Text file busy: the start was recorded, so it is not reported as if there had been none."""
    with Path("binary").open("r+b"):
        told = runner.run("--", "./binary")
    assert told.code == 125
    assert "the approved command could not be started: Text file busy" in told.err
    assert runner.outcomes[2:] == ["granted", "started", "refused"]
    assert (runner.result["executed"], runner.result["exit_code"]) == ("started", 125)


def test_a_result_file_that_cannot_be_written_stops_the_start(runner: Runner) -> None:
    """After a kill it would say that nothing ran."""
    target = runner.folder / "results"
    target.mkdir()
    with runner.caller.answering(runner.shown("./tool"), runner.after(lambda: shutil.rmtree(target))):
        told = runner.caller.main("run", "--result-file", str(target / "x"), "./tool")
    assert (told.code, runner.ran, runner.outcomes[2:]) == (125, [], ["granted", "started", "refused"])


def test_a_start_that_cannot_be_recorded_does_not_happen(runner: Runner) -> None:
    """As an approval that cannot be."""
    told = runner.run("--", "./tool", answer=runner.after(lambda: _block(runner.caller.log)))
    assert (told.code, runner.ran, runner.result["executed"]) == (125, [], "no")


def test_with_an_optional_log_it_runs_unrecorded(runner: Runner) -> None:
    """Who sets approve.audit to optional wants it so; each failure is told, and recorded is false."""
    runner.caller.configure("approve:\n  audit: optional\n")
    told = runner.run("--", "./tool", answer=runner.after(lambda: _block(runner.caller.log)))
    assert (told.code, len(runner.ran), runner.result["executed"], runner.result["recorded"]) == (0, 1, "finished", False)
    assert told.err.count("audit") >= 3


def _block(log: Path) -> None:
    log.rename(log.with_suffix(".away"))
    log.mkdir()


def test_a_name_that_is_not_verified_runs_nothing_where_that_is_demanded(runner: Runner, platform: FakePlatform) -> None:
    """It is refused before anybody is asked."""
    told = runner.caller.main("run", "--require-verified-approver", "--", "./tool")
    assert (told.code, runner.ran, platform.rows) == (125, [], [])
    assert "does not verify who approves" in told.err


def test_a_signal_before_the_start_stops_it(tmp_path: Path) -> None:
    """It is taken, whichever it is: the exit code says it, and the result file that nothing ran."""
    report = Reporting(json=False, quiet=False, result_file=tmp_path / "result")
    launcher = _ChildLauncher(_command(report), APPROVED, replaces=False)
    try:
        launcher.check()
        assert launcher.signum is None
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGQUIT)
        with pytest.raises(DeliveryError, match="the approval came too late: stopped by SIGQUIT"):
            launcher.check()
    finally:
        launcher.release()
    execution = Execution(Executed.NO, "00", error=Failure("delivery", "the approval came too late"))
    code = _say_not_run(report._replace(execution=execution), APPROVED, execution, launcher.signum)
    found = json.loads((tmp_path / "result").read_text())
    assert (code, found["outcome"], found["executed"], found["exit_code"]) == (131, "interrupted", "no", 131)


def test_replacing_us_is_announced(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever reads the log later was told that an end will be missing."""
    launcher = _ChildLauncher(_command(Reporting(json=False, quiet=False)), APPROVED, replaces=True)
    try:
        launcher.announce(Execution(Executed.STARTED))
        with pytest.raises(FileNotFoundError), kept_signals():
            launcher.start("/no/such", ("such",), {})
    finally:
        launcher.release()
    assert "--exec: the audit log will not say how the command ended" in capsys.readouterr().err


APPROVED = Verdict(Outcome.APPROVED, approval_id="1", decided_by="alice")


def _command(report: Reporting) -> GatingCommand:
    return GatingCommand(report, SignalStop(None), ResultFiles(report.result_file, None))


@contextlib.contextmanager
def kept_signals() -> Iterator[None]:
    """Put back how signals are handled that a process which is about to be replaced gives up."""
    before = {number: signal.getsignal(number) for number in (*_PASSED_ON, *RESTORED)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# --- secrets -------------------------------------------------------------------------------------------------------------


def test_what_the_action_hides_is_hidden_everywhere(runner: Runner) -> None:
    """In context, reason, records, output and result file, also where the name of a file holds it."""
    secret = "hunter22-long"
    Path(secret).touch()
    runner.caller.set(MY_SECRET=secret, BUILDKITE="1", BUILDKITE_REPO=f"https://x/{secret}")
    words = ("--reason", f"because {secret}", "--context", f"why={secret}", "--", "./tool", secret, f"--key={secret}")
    told = runner.run(*words)
    assert (told.code, len(runner.ran)) == (0, 1)
    row = runner.caller.desk.one(runner.caller.requested())
    _write(secret)
    refused = runner.run(*words, answer=runner.after(lambda: _replace(secret)))
    assert refused.code == 125
    for text in (json.dumps(row), runner.caller.log.read_text(), told.err, refused.err, json.dumps(runner.result)):
        assert secret not in text
        assert "[MY_SECRET]" in text
    assert (row["context"]["why"], row["reason"]) == ("[MY_SECRET]", "because [MY_SECRET]")
    assert row["context"]["ci"]["repository"] == "https://x/[MY_SECRET]"


def test_a_request_for_a_command_hides_the_same(runner: Runner) -> None:
    """And `run --approval` finds the same command by its digest."""
    runner.caller.set(MY_KEY="hunter22")
    found = runner.ask("--reason", "hunter22", "--", "./tool", "hunter22")
    assert "hunter22" not in json.dumps(runner.caller.desk.one(found))
    runner.caller.desk.decide(found)
    assert (runner.take(found, "./tool", "hunter22").code, runner.ran) == (0, ["hunter22"])


# --- keys ----------------------------------------------------------------------------------------------------------------


def test_the_same_key_never_runs_twice(runner: Runner) -> None:
    """The second one is told that its request has ended."""
    words = ("--idempotency-key", "job-1", "--", "./tool")
    assert runner.run(*words).code == 0
    told = runner.caller.main("run", *words)
    assert (told.code, len(runner.ran)) == (125, 1)


def test_a_key_of_another_command_runs_nothing(runner: Runner) -> None:
    """Whatever stands approved under it."""
    told = runner.caller.main("request", "--for", "--idempotency-key", "job-2", "--", "./binary")
    runner.caller.desk.decide(told.out.strip())
    told = runner.caller.main("run", "--idempotency-key", "job-2", "--", "./tool")
    assert (told.code, runner.ran) == (125, [])


# --- in two steps ----------------------------------------------------------------------------------------------------------


def test_a_command_that_was_requested_runs_later(runner: Runner) -> None:
    """Once: the approval is used up, and the second attempt runs nothing."""
    found = runner.ask("--", "./tool", "x")
    runner.caller.desk.decide(found)
    told = runner.take(found, "--", "./tool", "x")
    assert (told.code, runner.ran, runner.result["executed"]) == (0, ["x"], "finished")
    assert runner.outcomes == ["initiated", "requested", "resumed", "granted", "started", "finished"]
    again = runner.take(found, "--", "./tool", "x")
    assert (again.code, runner.ran, runner.result["executed"]) == (125, ["x"], "no")
    assert "each approval counts once" in again.err


def test_it_waits_for_the_decision(runner: Runner) -> None:
    """Where none has come yet; without one it is pending, and the request stays."""
    found = runner.ask("--", "./tool")
    told = runner.caller.main("run", "--approval", found, "--timeout", "1", "./tool")
    assert (told.code, runner.ran, runner.caller.desk.one(found)["status"]) == (8, [], "pending")


def test_a_denied_one_does_not_run(runner: Runner) -> None:
    """77."""
    found = runner.ask("--", "./tool")
    runner.caller.desk.decide(found, "denied")
    assert (runner.take(found, "./tool").code, runner.ran, runner.result["executed"]) == (77, [], "no")


def test_an_expired_one_does_not_run(runner: Runner) -> None:
    """124."""
    found = runner.ask("--expires-in", "1", "--", "./tool")
    assert (runner.take(found, "./tool").code, runner.ran) == (124, [])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("./tool", "y"), "requested was ./tool x / digest: "),
        (("./binary", "x"), "and here it is ./binary x / program: "),
        (("--keep-env", "USER", "./tool", "x"), "and here it is keeps: USER=tester"),
    ],
)
def test_another_command_than_the_approved_one_does_not_run(runner: Runner, words: tuple[str, ...], says: str) -> None:
    """The difference is told, and the approval is not used up."""
    found = runner.ask("--", "./tool", "x")
    runner.caller.desk.decide(found)
    told = runner.take(found, *words)
    assert (told.code, runner.ran, runner.result["executed"]) == (2, [], "no")
    assert says in told.err
    assert runner.take(found, "./tool", "x").code == 0


def test_a_program_that_changed_meanwhile_does_not_run(runner: Runner) -> None:
    """What was approved was another one."""
    found = runner.ask("--", "./tool")
    runner.caller.desk.decide(found)
    with Path("tool").open("a") as file:
        file.write("#\n")
    assert (runner.take(found, "./tool").code, runner.ran) == (2, [])


def test_a_request_in_words_runs_nothing(runner: Runner) -> None:
    """It names no command."""
    told = runner.caller.main("request", "--no-wait", "--", "./tool")
    found = told.out.strip()
    runner.caller.desk.decide(found)
    told = runner.take(found, "./tool")
    assert (told.code, runner.ran) == (2, [])
    assert f"request {found} is not for a command" in told.err


@pytest.mark.parametrize("line", ["drops: ENV", "remark: this is safe", "host: any", "file: x sha256:" + "0" * 64])
@pytest.mark.parametrize("place", ["\nfolder: ", "\nuser: "])
def test_a_request_that_imitates_a_command_must_be_it_to_the_letter(runner: Runner, line: str, place: str) -> None:
    """A line more, in the wrong place, and nothing runs."""
    imitation = runner.shown("./tool").replace(place, f"\n{line}{place}")
    found = runner.caller.main("request", "--no-wait", "--", imitation).out.strip()
    runner.caller.desk.decide(found)
    assert (runner.take(found, "./tool").code, runner.ran) == (2, [])


def test_a_request_that_says_exactly_this_command_is_one(runner: Runner) -> None:
    """Whoever wrote it: the approver saw every line of it."""
    found = runner.caller.main("request", "--no-wait", "--", runner.shown("./tool")).out.strip()
    runner.caller.desk.decide(found)
    assert (runner.take(found, "./tool").code, len(runner.ran)) == (0, 1)


def test_a_request_of_another_workspace_runs_nothing(runner: Runner) -> None:
    """Its id means nothing here."""
    other = "7d0d5b5e-7b13-4f3c-9b0a-3f1c2d4e5f60"
    runner.caller.desk.add_workspace(other, "other", "token-of-the-other-workspace")
    with runner.caller.desk.client("token-of-the-other-workspace") as client:
        asked = client.post(f"/workspaces/{other}/approvals", json={"action": runner.shown("./tool")})
    found = str(asked.json()["approval_id"])
    runner.caller.desk.decider.post(f"/workspaces/{other}/approvals/{found}/decide", json={"decision": "approved"})
    told = runner.take(found, "./tool")
    assert (told.code, runner.ran, runner.result["executed"]) == (2, [], "no")
    assert f"this workspace has no request {found}" in told.err


@pytest.mark.parametrize("text", ["3f2a1c00-0000-4000-8000-000000000000", "3f2a1cff", "x"])
def test_an_unknown_id_runs_nothing(runner: Runner, text: str) -> None:
    """Nor one that is none."""
    told = runner.take(text, "./tool")
    assert (told.code, runner.ran, runner.result["executed"]) == (2, [], "no")


def test_an_approval_cannot_be_described_again(runner: Runner) -> None:
    """Its options are those of a request that is made."""
    told = runner.take("3f2a1c", "--reason", "x", "./tool")
    assert (told.code, runner.outcomes) == (2, [])
    assert "--approval names a request that was made before" in told.err
