"""``request`` and ``wait``: a question, a verdict, and the exit code that a script gates on."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from molecule_approve.errors import ApprovalError, Interrupted
from molecule_approve.model import Failure, Outcome, Verdict

from . import exits, options, output

if TYPE_CHECKING:
    from molecule_approve.assemble import Assembled
    from molecule_approve.config import Flags, Settings
    from molecule_approve.model import ApprovalRequest, Question

    from .deliver import Report
    from .progress import Progress
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


@dataclass(frozen=True, slots=True)
class Invocation:
    """One run of a gating command: how it reports, and what may stop it."""

    report: Report
    stop: SignalStop
    id_file: Path | None

    def settings(self, flags: Flags) -> Settings:
        """The settings, with their warnings said."""
        settings = options.settings(flags)
        if not self.report.quiet:
            for warning in settings.warnings:
                output.talk(f"{output.PROGRAM}: warning: {warning}")
        return settings

    def progress(self, settings: Settings, action: str, reason: str, *, wait: bool = True) -> Progress:
        """The observer that fits where we are."""
        from molecule_approve.config import in_ci  # noqa: PLC0415

        from .progress import Plain, Scene, Silent, Spinner  # noqa: PLC0415

        whom = "the embedded server" if settings.local else settings.platform_url.value
        scene = Scene(action, reason, whom, settings.timeout.value, settings.local)
        if self.report.quiet:
            return Silent(self.write_id)
        lively = (
            wait
            and output.is_terminal(sys.stderr)
            and not in_ci(os.environ)
            and os.environ.get("TERM") not in {"", "dumb", None}
        )
        return Spinner(scene, self.write_id) if lively else Plain(scene, self.write_id)

    def write_id(self, question: Question) -> None:
        """Leave the id where another process can find it."""
        from .deliver import write_file  # noqa: PLC0415

        if self.id_file is not None:
            write_file(self.id_file, f"{question.approval_id}\n")


def _begin(result_file: str | None, id_file: str | None, *, json: bool, quiet: bool) -> Invocation:
    from .deliver import Report, writable  # noqa: PLC0415
    from .stop import Audience, SignalStop  # noqa: PLC0415

    report = Report(
        json=json, quiet=quiet, result_file=None if result_file is None else writable(result_file, "--result-file")
    )
    # With a result file somebody may read the verdict later, whoever is gone now.
    stop = SignalStop(None if report.result_file is not None else Audience())
    stop.install()
    return Invocation(report, stop, None if id_file is None else writable(id_file, "--id-file"))


def _run(invocation: Invocation, run: Callable[[], int]) -> int:
    """Run to the exit code; what fails before there is a gate is reported like every other verdict."""
    try:
        return run()
    except Interrupted as exc:
        verdict = Verdict(Outcome.INTERRUPTED, error=Failure("interrupted", exc.why), signum=exc.signum)
        return invocation.report.tell(verdict, exits.of_verdict(verdict))
    except ApprovalError as exc:
        verdict = Verdict(Outcome.FAILED, error=Failure(exc.kind, exc.message, exc.hint))
        return invocation.report.tell(verdict, exits.of_error(exc))


def _judge(
    invocation: Invocation, made: Assembled, request: ApprovalRequest, progress: Progress, ask: Callable[[], Verdict]
) -> int:
    """Ask, tell the verdict, and turn an approval that could not be told into none."""
    from .deliver import deliver  # noqa: PLC0415

    verdict = ask()
    progress.finish(verdict)
    code = deliver(
        invocation.report, invocation.stop, verdict, lambda failed, why: made.gate.undelivered(request, failed, why)
    )
    made.platform.close()
    return code


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

    invocation = _begin(result_file, id_file, json=json, quiet=quiet)
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

    def run() -> int:
        from molecule_approve import asking, assemble  # noqa: PLC0415

        # Nothing has been asked yet: a signal ends even an import that hangs (a network file system) at once.
        with invocation.stop.open():
            settings = invocation.settings(flags)
            stands = _HOUR if no_wait else settings.timeout.value
            asked = asking.compose(
                settings.workspace_id.value,
                action,
                reason,
                context=asking.context_of(assemble.origin(), os.environ, asking.parse_context(context or [])),
                expires_in=stands if expires_in is None else parse_duration(expires_in, "--expires-in"),
                idempotency_key=idempotency_key,
            )
            progress = invocation.progress(settings, action, reason, wait=not no_wait)
            made = assemble.gate(settings, invocation.stop, progress)
            terms = assemble.terms(settings, wait=not no_wait)
        return _judge(invocation, made, asked, progress, lambda: made.gate.request(asked, terms, made.permit))

    return _run(invocation, run)


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

    invocation = _begin(result_file, None, json=json, quiet=quiet)
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

    def run() -> int:
        from molecule_approve import assemble  # noqa: PLC0415

        from .requests import earlier, find_id  # noqa: PLC0415

        settings = invocation.settings(flags)
        with invocation.stop.open():
            approval_id = find_id(assemble.platform(settings), approval)
        asked, question = earlier(assemble.journal(settings), settings.workspace_id.value, approval_id, action)
        progress = invocation.progress(settings, asked.action, "")
        made = assemble.gate(settings, invocation.stop, progress)
        terms = assemble.terms(settings, withdraw=withdraw)
        return _judge(invocation, made, asked, progress, lambda: made.gate.resume(asked, question, terms))

    return _run(invocation, run)
