"""``run``: exactly the command that was approved is executed, at most once; its exit code is ours."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from molecule_approve.clock import Deadline
from molecule_approve.errors import DeliveryError, UsageError
from molecule_approve.executions import Executed, Execution
from molecule_approve.model import Outcome, Verdict
from molecule_approve.safe_text import visible_quoted

from . import exits, options, output
from .child import Child
from .gating import AskingOptions, BindingOptions, GatingCommand, WaitingOptions, judge, scene
from .help import RUNNING, commands, option

if TYPE_CHECKING:
    from signal import Signals

    from molecule_approve.gate.binding import Binding
    from molecule_approve.model import ApprovalRequest, SubmittedRequest
    from molecule_approve.settings.resolve import Settings
    from molecule_approve.wiring import ReadyGate

    from .deliver import Reporting

app = commands()

CommandWords = Annotated[list[str], typer.Argument(metavar="COMMAND [ARG]...", help="The command, as it will be executed.")]
Show = Annotated[
    bool,
    option("--show", None, "Only print what the approver would see: send no request, run nothing, exit 2.", RUNNING),
]
Exec = Annotated[
    bool,
    option("--exec", None, "Let the command replace this process; the audit log will not say how it ended.", RUNNING),
]
ApprovalId = Annotated[
    str | None,
    option("--approval", "ID", "Run the command of an earlier `request --for`, once that request is approved.", RUNNING),
]


class RunCommand(options.GateCommand):
    """From its first word on all belongs to the command, options too."""

    def __init__(self, *given: Any, **settings: Any) -> None:  # noqa: ANN401 - typer's own settings, passed on
        super().__init__(*given, **settings)
        self.allow_interspersed_args = False

    def own(self, ctx: typer.Context, given: list[str]) -> list[str]:
        """Up to the command's first word."""
        return given[: len(given) - len(ctx.params["words"] or ()) + 1]


class _ChildLauncher:
    """Starts the approved command from a terminal or a script; see the gate's Launcher."""

    def __init__(self, command: GatingCommand, verdict: Verdict, *, replaces: bool) -> None:
        self.replaces = replaces
        self._command = command
        self._verdict = verdict
        self._child = Child()
        self._signal: Signals | None = None

    @property
    def signum(self) -> int | None:
        """The signal that kept the command from starting, if one did."""
        signalled = self._command.stop.signalled
        return self._signal if signalled is None else signalled.signum

    def check(self) -> None:
        """Raise DeliveryError if a signal came, or if nobody waits for the command any more."""
        from .deliver import check_reader

        check_reader(self._command.stop)
        self._signal = self._child.ending_signal()
        if self._signal is not None:
            raise DeliveryError(f"the approval came too late: stopped by {self._signal.name}")

    def announce(self, execution: Execution) -> None:
        """Write the result file now: after a kill it must not say that nothing ran."""
        self.check()
        self._command.report._replace(execution=execution).in_file(self._verdict, None)
        if self.replaces:
            output.say("--exec: the audit log will not say how the command ended")

    def start(self, executable: str, arguments: tuple[str, ...], environ: dict[str, str]) -> Callable[[], int]:
        """Start it; or, with ``--exec``, become it."""
        start = self._child.replace if self.replaces else self._child.start
        return start(executable, arguments, environ)

    def release(self) -> None:
        """Give the signals back."""
        self._child.release()


class _Run(NamedTuple):
    """One attempt of ``run``, once its command is bound."""

    command: GatingCommand
    made: ReadyGate
    request: ApprovalRequest
    binding: Binding
    replaces: bool

    def deliver(self, verdict: Verdict) -> int:
        """Run what was approved, and report what became of it."""
        report = self.command.report._replace(execution=Execution(Executed.NO, self.binding.command.digest))
        if not verdict.approved:
            return report.say(verdict, exits.of_verdict(verdict))
        launcher = _ChildLauncher(self.command, verdict, replaces=self.replaces)
        try:
            execution = self.made.gate.execute(self.request, verdict, self.binding, launcher)
        finally:
            launcher.release()
        report = report._replace(execution=execution)
        if execution.child_exit_code is None:
            return _say_not_run(report, verdict, execution, launcher.signum)
        if execution.child_exit_code != 0:
            output.say(f"the command {exits.command_end(execution.child_exit_code, execution.child_signal)}")
        return report.say(verdict, execution.child_exit_code)


def _say_not_run(report: Reporting, verdict: Verdict, execution: Execution, signum: int | None) -> int:
    failed = replace(verdict, outcome=Outcome.FAILED, error=execution.error)
    if signum is not None:
        failed = replace(failed, outcome=Outcome.INTERRUPTED, signum=signum)
    return report.say(failed, exits.of_verdict(failed))


@app.command(
    "run",
    cls=RunCommand,
    epilog="""
        molecule-approve run -- terraform destroy -auto-approve
        molecule-approve run --timeout 10m --reason "ticket OPS-12" -- ./drop-staging.sh
        molecule-approve run --show -- make deploy   # sends no request
        molecule-approve run --approval 3f2a1c -- ./drop-staging.sh
    """,
)
@options.connected
def run(
    asking: AskingOptions,
    waiting: WaitingOptions,
    binding: BindingOptions,
    connection: options.ConnectionOptions,
    words: CommandWords,
    show: Show = False,
    replaces: Exec = False,
    approval: ApprovalId = None,
) -> int:
    """Ask a person to approve COMMAND, and execute exactly that if they do.

    Once COMMAND runs, the exit code is its own, or 128 + the number of the signal that ended it. If it does not run: 2 usage
    error, 8 pending (with --approval), 77 denied, 124 timed out, 125 no verdict or COMMAND has changed, 126 COMMAND cannot
    be executed, 127 COMMAND not found.
    """
    if show:
        with contextlib.closing(binding.bind(words)) as bound:
            output.answer("\n".join(map(visible_quoted, bound.command.text.split("\n"))))
        return exits.Exit.USAGE  # nothing was asked, so this must not look like a yes

    def attempt(command: GatingCommand) -> int:
        _refuse_contradictions(asking, waiting, approval)
        with contextlib.ExitStack() as resources:
            with command.stop.open():
                bound = resources.enter_context(contextlib.closing(binding.bind(words)))
                settings = waiting.settings(connection)
                command.files.clear(settings)
                if approval is None:
                    start = _request(command, settings, bound, asking)
                else:
                    start = _resume(command, settings, bound, approval)
            return start(replaces)

    return waiting.run(asking.id_file, attempt, execution=Execution(Executed.NO))


def _refuse_contradictions(asking: AskingOptions, waiting: WaitingOptions, approval: str | None) -> None:
    if waiting.json and waiting.result_file is None:
        raise UsageError("--json: stdout belongs to the command", hint="pass --result-file PATH instead")
    if approval is not None and asking != AskingOptions():
        raise UsageError(
            "--approval names a request that was made before, so it cannot be described again",
            hint="omit --reason, --context, --idempotency-key, --expires-in and --id-file",
        )


def _request(command: GatingCommand, settings: Settings, bound: Binding, asking: AskingOptions) -> Callable[[bool], int]:
    """A new request, ready to be sent."""
    from molecule_approve import wiring

    request = asking.compose(settings, bound.command.text, hidden=bound.command.secrets)
    progress = command.progress(scene(settings, request.action, request.reason, on_stdout=False))
    made = wiring.gate(settings, command.stop, progress)
    ask = partial(made.gate.request, request, wiring.terms(settings), made.permit)
    return lambda replaces: judge(settings, made, progress, ask, _Run(command, made, request, bound, replaces).deliver)


def _resume(command: GatingCommand, settings: Settings, bound: Binding, approval: str) -> Callable[[bool], int]:
    """An earlier request of the same command, ready to be waited for.

    Raises:
        UsageError: no such request, or it is not of this command.
    """
    from molecule_approve import wiring

    end = Deadline.after(settings.timeout.value)
    request, submitted = _earlier(settings, bound, approval, end)
    progress = command.progress(scene(settings, request.action, earlier=True, on_stdout=False))
    made = wiring.gate(settings, command.stop, progress)
    # One deadline for everything: finding the id took its part.
    terms = replace(wiring.terms(settings, withdraw=False), timeout=round(end.left(), 3))
    ask = partial(made.gate.resume, request, submitted, terms)
    return lambda replaces: judge(settings, made, progress, ask, _Run(command, made, request, bound, replaces).deliver)


def _earlier(settings: Settings, bound: Binding, approval: str, end: Deadline) -> tuple[ApprovalRequest, SubmittedRequest]:
    from molecule_approve import wiring
    from molecule_approve.gate.command import ANY_HOST, differences, parse
    from molecule_approve.model import SubmittedRequest

    from .options import READ
    from .requests import PENDING_LISTS, earlier, find_id

    with options.open_platform(settings) as platform:
        approval_id = find_id(platform, approval, end)
        row = platform.fetch(SubmittedRequest(approval_id, settings.workspace_id.value), end.capped(READ)).approval
    if row is None:
        raise UsageError(f"this workspace has no request {approval_id}", hint=PENDING_LISTS)
    shown = parse(row.action)
    if shown is None:
        raise UsageError(f"request {approval_id} is not for a command", hint="make one: request --for -- COMMAND")
    if shown.fact("host") == ANY_HOST:
        bound.command = replace(bound.command, host=ANY_HOST)
    if found := differences(row.action, bound.command):
        raise UsageError(
            f"this is not the command of request {approval_id}: {'; '.join(found)}", hint="request this command as it is"
        )
    return earlier(wiring.journal(settings), settings.workspace_id.value, approval_id, row.action)
