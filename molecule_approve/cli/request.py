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
from molecule_approve.errors import Interrupted
from molecule_approve.model import Failure, Outcome, Verdict

from . import exits, options, output

if TYPE_CHECKING:
    from molecule_approve.assemble import Assembled
    from molecule_approve.config import Flags, Settings
    from molecule_approve.model import ApprovalRequest, Question

    from .deliver import Report
    from .leaving import Leaving
    from .progress import Progress, Scene
    from .stop import SignalStop

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

Timeout = Annotated[
    str | None,
    typer.Option("--timeout", metavar="TIME", help="How long this process waits: 90s, 5m, 1h30m. [APPROVAL_TIMEOUT]"),
]
Transport = Annotated[
    str | None,
    typer.Option("--transport", metavar="auto|websocket|poll", help="How the answer comes. [APPROVAL_USE_WEBSOCKET]"),
]
PollInterval = Annotated[
    str | None, typer.Option("--poll-interval", metavar="TIME", help="Between reads while polling. [APPROVAL_POLL_INTERVAL]")
]
Verified = Annotated[
    bool, typer.Option("--require-verified-approver", help="Refuse a platform that cannot prove who approves.")
]
ResultFile = Annotated[
    str | None,
    typer.Option("--result-file", metavar="PATH", help="Write the JSON object there too, with exit_code, at the end."),
]
IdFile = Annotated[
    str | None, typer.Option("--id-file", metavar="PATH", help="Write the request's id there, as soon as it is known.")
]

_HOUR = 3_600.0


class Invocation(NamedTuple):
    """One run of a gating command: how it reports, and what may stop it."""

    report: Report
    stop: SignalStop
    leaving: Leaving

    def settings(self, flags: Flags) -> Settings:
        """The settings, with their warnings said."""
        return options.settings(flags, quiet=self.report.quiet)

    def progress(self, scene: Scene, *, wait: bool = True) -> Progress:
        """The observer that fits where we are."""
        from molecule_approve.config import in_ci  # noqa: PLC0415

        from .progress import Plain, Silent, Spinner  # noqa: PLC0415

        if self.report.quiet:
            return Silent(self.write_id)
        lively = wait and output.is_terminal(sys.stderr) and not in_ci(os.environ)
        dumb = os.environ.get("TERM", "") in {"", "dumb"}
        if lively and not dumb:
            return Spinner(scene, self.write_id)
        return Plain(scene, self.write_id, heads=in_ci(os.environ))

    def write_id(self, question: Question) -> None:
        """Leave the id where another process can find it."""
        from .deliver import write_file  # noqa: PLC0415

        if self.leaving.id is not None:
            write_file(self.leaving.id, f"{question.approval_id}\n")


def _scene(settings: Settings, action: str, reason: str = "", *, earlier: bool = False) -> Scene:
    from .progress import Scene  # noqa: PLC0415

    whom = "the embedded server" if settings.local else settings.platform_url.value
    return Scene(action, reason, whom, settings.timeout.value, settings.local, earlier)


def _report_and_run(report: Report, result_file: str | None, id_file: str | None, run: Callable[[Invocation], int]) -> int:
    """Run to the exit code; what fails before there is a gate is reported like every other verdict."""
    from .deliver import failed  # noqa: PLC0415
    from .leaving import Leaving, TakenError  # noqa: PLC0415
    from .stop import Audience, SignalStop  # noqa: PLC0415

    # With a result file somebody may read the verdict later, whoever is gone now.
    stop = SignalStop(None if result_file is not None else Audience.expected())
    stop.install()
    try:
        leaving = Leaving.checked(result_file, id_file)
        report = report._replace(result_file=leaving.result)
        return run(Invocation(report, stop, leaving))
    except Interrupted as exc:
        verdict = Verdict(Outcome.INTERRUPTED, error=Failure("interrupted", exc.why), signum=exc.signum)
    except TakenError as exc:
        report, verdict = report._replace(result_file=None), failed(exc)
    except Exception as exc:  # noqa: BLE001 - with --json even a fault of ours is one object on stdout
        verdict = failed(exc)
    return report.tell(verdict, exits.of_verdict(verdict))


def _judge(
    invocation: Invocation, made: Assembled, request: ApprovalRequest, progress: Progress, ask: Callable[[], Verdict]
) -> int:
    """Ask, tell the verdict, and turn an approval that could not be told into none."""
    from .deliver import deliver  # noqa: PLC0415

    with contextlib.closing(made.platform):
        try:
            verdict = ask()
        finally:
            progress.close()  # whatever happened, nothing lives on the terminal any more
        progress.finish(verdict)
        return deliver(
            invocation.report, invocation.stop, verdict, lambda unheard, why: made.gate.undelivered(request, unheard, why)
        )


@app.command("request", cls=options.GateCommand)
def request(
    action: Annotated[str, typer.Argument(metavar="ACTION", help="What is about to be done, 1 to 4,096 characters.")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why.")] = "",
    context: Annotated[
        list[str] | None, typer.Option("--context", metavar="KEY=VALUE", help="What the approver should know; repeatable.")
    ] = None,
    timeout: Timeout = None,
    expires_in: Annotated[
        str | None,
        typer.Option(
            "--expires-in", metavar="TIME", help="How long the question stands; default: the timeout, or 1h with --no-wait."
        ),
    ] = None,
    transport: Transport = None,
    poll_interval: PollInterval = None,
    idempotency_key: Annotated[
        str | None,
        typer.Option(
            "--idempotency-key", metavar="KEY", help="Take up a pending request with this key instead of asking again."
        ),
    ] = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Print the request's id and leave with 8.")] = False,
    id_file: IdFile = None,
    result_file: ResultFile = None,
    verified: Verified = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    config: options.Config = None,
    platform_url: options.PlatformUrl = None,
    workspace_id: options.WorkspaceId = None,
    audit_log: options.AuditLog = None,
) -> int:
    """Ask a person to approve ACTION, wait, and exit 0 only if they do."""
    from molecule_approve.config import Flags, parse_duration  # noqa: PLC0415

    from .deliver import Report  # noqa: PLC0415

    flags = Flags(
        config=config,
        platform_url=platform_url,
        workspace_id=workspace_id,
        audit_log=audit_log,
        timeout=timeout,
        poll_interval=poll_interval,
        transport=transport,
        require_verified_approver=verified or None,
    )

    def run(invocation: Invocation) -> int:
        from molecule_approve import asking, assemble  # noqa: PLC0415

        # Nothing has been asked yet: a signal ends even an import that hangs (a network file system) at once.
        with invocation.stop.open():
            settings = invocation.settings(flags)
            stands = _HOUR if no_wait else settings.timeout.value
            told = asking.parse_context(context or [])
            asked = asking.compose(
                settings.workspace_id.value,
                action,
                reason,
                context=asking.context_of(assemble.origin(), os.environ, told, assemble.secrets(settings)),
                expires_in=stands if expires_in is None else parse_duration(expires_in, "--expires-in"),
                idempotency_key=idempotency_key,
            )
            progress = invocation.progress(_scene(settings, action, reason), wait=not no_wait)
            made = assemble.gate(settings, invocation.stop, progress)
            terms = assemble.terms(settings, wait=not no_wait)
            invocation.leaving.clear(settings)
        return _judge(invocation, made, asked, progress, lambda: made.gate.request(asked, terms, made.permit))

    return _report_and_run(Report(json=json, quiet=quiet, id_alone=no_wait), result_file, id_file, run)


@app.command("wait", cls=options.GateCommand)
def wait(
    approval: Annotated[
        str, typer.Argument(metavar="ID", help="The request's id, or at least six characters of its beginning.")
    ],
    timeout: Timeout = None,
    action: Annotated[
        str | None,
        typer.Option(
            "--action", metavar="TEXT", help="What was asked; wanted where our audit log does not hold the request."
        ),
    ] = None,
    withdraw: Annotated[
        bool, typer.Option("--withdraw", help="Take the request back when the time is over, or on a signal.")
    ] = False,
    transport: Transport = None,
    poll_interval: PollInterval = None,
    result_file: ResultFile = None,
    verified: Verified = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    config: options.Config = None,
    platform_url: options.PlatformUrl = None,
    workspace_id: options.WorkspaceId = None,
    audit_log: options.AuditLog = None,
) -> int:
    """Take up the wait for an earlier request, and use its approval up."""
    from molecule_approve.config import Flags  # noqa: PLC0415

    from .deliver import Report  # noqa: PLC0415

    flags = Flags(
        config=config,
        platform_url=platform_url,
        workspace_id=workspace_id,
        audit_log=audit_log,
        timeout=timeout,
        poll_interval=poll_interval,
        transport=transport,
        require_verified_approver=verified or None,
    )

    def run(invocation: Invocation) -> int:
        from molecule_approve import assemble  # noqa: PLC0415

        from .requests import earlier, find_id  # noqa: PLC0415

        with invocation.stop.open():
            settings = invocation.settings(flags)
            end = Deadline.after(settings.timeout.value)
            invocation.leaving.clear(settings)
            with contextlib.closing(assemble.platform(settings)) as platform:
                approval_id = find_id(platform, approval, end)
            asked, question = earlier(assemble.journal(settings), settings.workspace_id.value, approval_id, action)
            progress = invocation.progress(_scene(settings, asked.action, earlier=True))
            made = assemble.gate(settings, invocation.stop, progress)
            # One deadline over everything: looking for the id has taken its part of it.
            terms = replace(assemble.terms(settings, withdraw=withdraw), timeout=round(end.left(), 3))
        return _judge(invocation, made, asked, progress, lambda: made.gate.resume(asked, question, terms))

    return _report_and_run(Report(json=json, quiet=quiet), result_file, None, run)
