"""``request`` and ``wait``: a question, a verdict, and the exit code that a script gates on."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from molecule_approve.clock import Deadline
from molecule_approve.errors import Interrupted, UnavailableError
from molecule_approve.model import Failure, Outcome, Verdict

from . import exits, options, output
from .help import ASK, CONNECTION, OUTPUT, WAITING

if TYPE_CHECKING:
    from molecule_approve.model import ApprovalRequest, Question
    from molecule_approve.settings.resolve import Settings
    from molecule_approve.wiring import Assembled

    from .deliver import Reporting
    from .leaving import Leaving
    from .progress import Progress, Scene
    from .stop import SignalStop

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

Timeout = Annotated[
    str | None,
    typer.Option(
        "--timeout",
        metavar="TIME",
        help="How long to wait for a decision: 90s, 5m, 1h30m. [APPROVAL_TIMEOUT]",
        rich_help_panel=WAITING,
    ),
]
TransportOption = Annotated[
    str | None,
    typer.Option(
        "--transport",
        metavar="auto|websocket|poll",
        help="How the decision is received. [APPROVAL_USE_WEBSOCKET]",
        rich_help_panel=WAITING,
    ),
]
PollInterval = Annotated[
    str | None,
    typer.Option(
        "--poll-interval", metavar="TIME", help="Time between polls. [APPROVAL_POLL_INTERVAL]", rich_help_panel=WAITING
    ),
]
Verified = Annotated[
    bool,
    typer.Option(
        "--require-verified-approver",
        help="Refuse a platform that does not verify the approver's name.",
        rich_help_panel=CONNECTION,
    ),
]
ResultFile = Annotated[
    str | None,
    typer.Option(
        "--result-file",
        metavar="PATH",
        help="Also write the JSON object, with exit_code, to this file at the end.",
        rich_help_panel=OUTPUT,
    ),
]
IdFile = Annotated[
    str | None,
    typer.Option(
        "--id-file",
        metavar="PATH",
        help="Write the request's id to this file as soon as it is known.",
        rich_help_panel=OUTPUT,
    ),
]

_HOUR = 3_600.0


class GatingCommand(NamedTuple):
    """One run of a gating command: how it reports, and what may stop it."""

    report: Reporting
    stop: SignalStop
    leaving: Leaving

    def progress(self, scene: Scene, *, wait: bool = True) -> Progress:
        """The observer that fits where we are."""
        from molecule_approve.settings.resolve import in_ci

        from .progress import Plain, Silent, Spinner

        if self.report.quiet:
            return Silent(self.write_id)
        lively = wait and output.is_terminal(sys.stderr) and not in_ci(os.environ)
        dumb = os.environ.get("TERM", "") in {"", "dumb"}
        if lively and not dumb:
            return Spinner(scene, self.write_id)
        return Plain(scene, self.write_id, heads=in_ci(os.environ))

    def write_id(self, question: Question) -> None:
        """Leave the id where another process can find it."""
        from .deliver import write_file

        if self.leaving.id is not None:
            write_file(self.leaving.id, f"{question.approval_id}\n")


def _scene(settings: Settings, action: str, reason: str = "", *, earlier: bool = False) -> Scene:
    from .progress import Scene

    whom = "the embedded server" if settings.local else settings.platform_url.value
    return Scene(action, reason, whom, settings.timeout.value, settings.local, earlier)


def _report_and_run(
    report: Reporting, result_file: str | None, id_file: str | None, run: Callable[[GatingCommand], int]
) -> int:
    """Run to the exit code; what fails before there is a gate is reported like every other verdict."""
    from .deliver import failed
    from .leaving import Leaving, TakenError
    from .stop import Audience, SignalStop

    # With a result file somebody may read the verdict later, whoever is gone now.
    stop = SignalStop(None if result_file is not None else Audience.expected())
    stop.install()
    try:
        leaving = Leaving.checked(result_file, id_file)
        report = report._replace(result_file=leaving.result)
        return run(GatingCommand(report, stop, leaving))
    except Interrupted as exc:
        verdict = Verdict(Outcome.INTERRUPTED, error=Failure("interrupted", exc.why), signum=exc.signum)
    except TakenError as exc:
        report, verdict = report._replace(result_file=None), failed(exc)
    except Exception as exc:  # noqa: BLE001 - with --json even a fault of ours is one object on stdout
        verdict = failed(exc)
    return report.tell(verdict, exits.of_verdict(verdict))


def _judge(
    invocation: GatingCommand,
    settings: Settings,
    made: Assembled,
    request: ApprovalRequest,
    progress: Progress,
    ask: Callable[[], Verdict],
) -> int:
    """Ask, tell the verdict, and turn an approval that could not be told into none."""
    from .deliver import deliver

    with contextlib.closing(made.platform):
        try:
            verdict = ask()
        finally:
            progress.close()  # whatever happened, nothing lives on the terminal any more
        if verdict.error is not None and verdict.error.kind == UnavailableError.kind and verdict.approval_id is None:
            hint = options.hint_on_unreachable(settings, verdict.error.hint)
            verdict = replace(verdict, error=replace(verdict.error, hint=hint))
        progress.finish(verdict)
        return deliver(
            invocation.report, invocation.stop, verdict, lambda unheard, why: made.gate.undelivered(request, unheard, why)
        )


@app.command(
    "request",
    cls=options.GateCommand,
    epilog="""
        molecule-approve request -- "drop the staging database" && ./drop-staging.sh
        molecule-approve request --timeout 10m --context ticket=OPS-12 -- "rebuild staging"
        id=$(molecule-approve request --no-wait -- "rotate the keys")   # exits 8
    """,
)
@options.connected
def request(
    connection: options.ConnectionOptions,
    action: Annotated[str, typer.Argument(metavar="ACTION", help="What is to be done, 1 to 4,096 characters. Quote it.")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why.", rich_help_panel=ASK)] = "",
    context: Annotated[
        list[str] | None,
        typer.Option(
            "--context", metavar="KEY=VALUE", help="Something the approver should know; repeatable.", rich_help_panel=ASK
        ),
    ] = None,
    idempotency_key: Annotated[
        str | None,
        typer.Option(
            "--idempotency-key",
            metavar="KEY",
            help="Continue a pending request with this key instead of making a new one.",
            rich_help_panel=ASK,
        ),
    ] = None,
    timeout: Timeout = None,
    expires_in: Annotated[
        str | None,
        typer.Option(
            "--expires-in",
            metavar="TIME",
            help="When the request expires. [the timeout; 1h with --no-wait]",
            rich_help_panel=WAITING,
        ),
    ] = None,
    no_wait: Annotated[
        bool,
        typer.Option("--no-wait", help="Do not wait: print the request's id and exit 8 (pending).", rich_help_panel=WAITING),
    ] = False,
    transport: TransportOption = None,
    poll_interval: PollInterval = None,
    id_file: IdFile = None,
    result_file: ResultFile = None,
    json: options.Json = False,
    quiet: options.QuietOption = False,
    verified: Verified = False,
) -> int:
    """Ask a person to approve ACTION, wait, and exit 0 only if they do.

    Other exit codes: 8 pending (with --no-wait), 77 denied, 124 timed out, 125 no verdict.
    """
    from molecule_approve.settings.durations import parse_duration

    from .deliver import Reporting

    flags = {
        "timeout": timeout,
        "poll_interval": poll_interval,
        "transport": transport,
        "require_verified_approver": verified or None,
    }

    def run(invocation: GatingCommand) -> int:
        from molecule_approve import wiring
        from molecule_approve.gate import compose

        # Nothing has been asked yet: a signal ends even an import that hangs (a network file system) at once.
        with invocation.stop.open():
            settings = connection.settings(quiet=quiet, **flags)
            expiry = _HOUR if no_wait else settings.timeout.value
            given = compose.parse_context(context or [])
            asked = compose.compose(
                settings.workspace_id.value,
                action,
                reason,
                context=compose.context_of(wiring.origin(), os.environ, given, wiring.secrets(settings)),
                expires_in=expiry if expires_in is None else parse_duration(expires_in, "--expires-in"),
                idempotency_key=idempotency_key,
            )
            progress = invocation.progress(_scene(settings, action, reason), wait=not no_wait)
            made = wiring.gate(settings, invocation.stop, progress)
            terms = wiring.terms(settings, wait=not no_wait)
            invocation.leaving.clear(settings)
        return _judge(invocation, settings, made, asked, progress, lambda: made.gate.request(asked, terms, made.permit))

    return _report_and_run(Reporting(json=json, quiet=quiet, id_alone=no_wait), result_file, id_file, run)


@app.command(
    "wait",
    cls=options.GateCommand,
    epilog="""
        molecule-approve wait 3f2a1c && ./rotate-keys.sh
        molecule-approve wait --timeout 1h --withdraw "$(cat request.id)"
    """,
)
@options.connected
def wait(
    connection: options.ConnectionOptions,
    approval: Annotated[
        str, typer.Argument(metavar="ID", help="The request's id, or at least six characters of its beginning.")
    ],
    timeout: Timeout = None,
    action: Annotated[
        str | None,
        typer.Option(
            "--action",
            metavar="TEXT",
            help="What was asked; required if the local audit log does not hold the request.",
            rich_help_panel=WAITING,
        ),
    ] = None,
    withdraw: Annotated[
        bool,
        typer.Option("--withdraw", help="Withdraw the request at the timeout or on a signal.", rich_help_panel=WAITING),
    ] = False,
    transport: TransportOption = None,
    poll_interval: PollInterval = None,
    result_file: ResultFile = None,
    json: options.Json = False,
    quiet: options.QuietOption = False,
    verified: Verified = False,
) -> int:
    """Wait for an earlier request, and redeem its approval.

    Exits as request does; 8 (pending) if the timeout passes without a decision, and the request stays open.
    """
    from .deliver import Reporting

    flags = {
        "timeout": timeout,
        "poll_interval": poll_interval,
        "transport": transport,
        "require_verified_approver": verified or None,
    }

    def run(invocation: GatingCommand) -> int:
        from molecule_approve import wiring

        from .requests import earlier, find_id

        with invocation.stop.open():
            settings = connection.settings(quiet=quiet, **flags)
            end = Deadline.after(settings.timeout.value)
            invocation.leaving.clear(settings)
            with options.open_platform(settings) as platform:
                approval_id = find_id(platform, approval, end)
            asked, question = earlier(wiring.journal(settings), settings.workspace_id.value, approval_id, action)
            progress = invocation.progress(_scene(settings, asked.action, earlier=True))
            made = wiring.gate(settings, invocation.stop, progress)
            # One deadline over everything: looking for the id has taken its part of it.
            terms = replace(wiring.terms(settings, withdraw=withdraw), timeout=round(end.left(), 3))
        return _judge(invocation, settings, made, asked, progress, lambda: made.gate.resume(asked, question, terms))

    return _report_and_run(Reporting(json=json, quiet=quiet), result_file, None, run)
