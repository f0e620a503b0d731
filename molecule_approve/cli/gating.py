"""What ``request``, ``wait`` and ``run`` share: their options, the signals that stop them, and how they end."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from molecule_approve.errors import Interrupted, UnavailableError
from molecule_approve.model import Failure, Outcome, Verdict

from . import exits, options, output
from .help import ASK, CONNECTION, OUTPUT, RUNNING, WAITING, option

if TYPE_CHECKING:
    from molecule_approve.gate.binding import Binding
    from molecule_approve.model import ApprovalRequest, JsonValue, SubmittedRequest
    from molecule_approve.settings.resolve import Settings
    from molecule_approve.wiring import ReadyGate

    from .deliver import Reporting
    from .progress import Progress, Scene
    from .result_files import ResultFiles
    from .stop import SignalStop

HOUR = 3_600.0
"""Seconds until a request expires for which nobody waits."""

Timeout = Annotated[
    str | None,
    option("--timeout", "TIME", "How long to wait for a decision: 90s, 5m, 1h30m. [env:APPROVAL_TIMEOUT]", WAITING),
]
TransportOption = Annotated[
    str | None,
    option("--transport", "auto|websocket|poll", "How the decision is received. [env:APPROVAL_USE_WEBSOCKET]", WAITING),
]
PollInterval = Annotated[
    str | None,
    option("--poll-interval", "TIME", "Time between polls. [env:APPROVAL_POLL_INTERVAL]", WAITING),
]
Verified = Annotated[
    bool,
    option("--require-verified-approver", None, "Refuse a platform that does not verify the approver's name.", CONNECTION),
]
Json = Annotated[
    bool,
    option("--json", None, "Print the verdict as one JSON object on stdout; with run, use --result-file.", OUTPUT),
]
ResultFile = Annotated[
    str | None,
    option("--result-file", "PATH", "Write the verdict as JSON, with exit_code, to this file at the end.", OUTPUT),
]
IdFile = Annotated[
    str | None,
    option("--id-file", "PATH", "Write the request's id to this file as soon as it is known.", OUTPUT),
]
Reason = Annotated[str, option("--reason", "TEXT", "Why; the approver sees it.", ASK)]
Context = Annotated[
    list[str] | None,
    option("--context", "KEY=VALUE", "Something the approver should know, such as ticket=OPS-12; repeatable.", ASK),
]
IdempotencyKey = Annotated[
    str | None,
    option(
        "--idempotency-key", "KEY", "If a request with this key is pending, continue it instead of making a new one.", ASK
    ),
]
ExpiresIn = Annotated[
    str | None,
    option(
        "--expires-in",
        "TIME",
        "For how long it can be decided: 10m, 2h. [default: the timeout; 1h if nobody waits]",
        WAITING,
    ),
]

Strict = Annotated[
    bool,
    option("--strict", None, "Refuse a command if a file of it cannot be bound: too large, or one too many.", RUNNING),
]
KeepEnv = Annotated[
    list[str] | None,
    option(
        "--keep-env",
        "NAME",
        "Keep an environment variable that is dropped otherwise, and show its value to the approver; repeatable.",
        RUNNING,
    ),
]


class AskingOptions(NamedTuple):
    """The options of a command that makes a request, as they were typed."""

    reason: Reason = ""
    context: Context = None
    idempotency_key: IdempotencyKey = None
    expires_in: ExpiresIn = None
    id_file: IdFile = None

    def compose(
        self, settings: Settings, action: str, *, wait: bool = True, hidden: Mapping[str, str] | None = None
    ) -> ApprovalRequest:
        """The request of this action; ``wait`` says whether somebody waits for it.

        ``hidden`` are values that neither reason nor context may show, by the names that are shown instead.

        Raises:
            UsageError: a part of it is not valid.
        """
        from molecule_approve import wiring
        from molecule_approve.gate import compose
        from molecule_approve.gate.command import without_secrets
        from molecule_approve.settings.durations import parse_duration

        expiry = settings.timeout.value if wait else HOUR
        given = compose.parse_context(self.context or [])
        context = compose.context_of(wiring.origin(), os.environ, given, wiring.secrets(settings, os.environ))
        return compose.compose(
            settings.workspace_id.value,
            action,
            without_secrets(self.reason, hidden or {}),
            context={name: _without(value, hidden or {}) for name, value in context.items()},
            expires_in=expiry if self.expires_in is None else parse_duration(self.expires_in, "--expires-in"),
            idempotency_key=self.idempotency_key,
        )


def _without(value: JsonValue, hidden: Mapping[str, str]) -> JsonValue:
    from molecule_approve.gate.command import without_secrets

    if isinstance(value, dict):
        return {without_secrets(name, hidden): _without(found, hidden) for name, found in value.items()}
    return without_secrets(str(value), hidden)


class BindingOptions(NamedTuple):
    """The options of a command that binds another one, as they were typed."""

    strict: Strict = False
    keep_env: KeepEnv = None

    def bind(self, words: Sequence[str], *, any_host: bool = False) -> Binding:
        """The command, bound as these options say.

        Raises:
            UsageError, NotFoundError, NotExecutableError: see ``binding.bind``.
        """
        from molecule_approve import wiring
        from molecule_approve.gate.binding import bind

        keep = self.keep_env or ()
        return bind(words, wiring.origin(), os.environ, keep=keep, strict=self.strict, any_host=any_host)


class WaitingOptions(NamedTuple):
    """The options of a command that waits for a decision and reports it, as they were typed."""

    timeout: Timeout = None
    transport: TransportOption = None
    poll_interval: PollInterval = None
    result_file: ResultFile = None
    json: Json = False
    quiet: options.QuietOption = False
    verified: Verified = False

    def settings(self, connection: options.ConnectionOptions) -> Settings:
        """All settings, with these options; see ``options`` for its errors."""
        return connection.settings(
            quiet=self.quiet,
            timeout=self.timeout,
            poll_interval=self.poll_interval,
            transport=self.transport,
            require_verified_approver=self.verified or None,
        )

    def run(self, id_file: str | None, body: Callable[[GatingCommand], int], **fields: Any) -> int:  # noqa: ANN401 - of Reporting
        """Run a command to its exit code; a failure before there is a gate is reported like every other verdict."""
        from .deliver import Reporting
        from .result_files import ResultFiles, TakenError
        from .stop import Audience, SignalStop

        report = Reporting(json=self.json, quiet=self.quiet, **fields)
        # A result file may be read later, whoever is gone now.
        stop = SignalStop(None if self.result_file is not None else Audience.expected())
        stop.install()
        try:
            files = ResultFiles.checked(self.result_file, id_file)
            report = report._replace(result_file=files.result)
            return body(GatingCommand(report, stop, files))
        except Interrupted as exc:
            verdict = Verdict(Outcome.INTERRUPTED, error=Failure("interrupted", exc.why), signum=exc.signum)
        except TakenError as exc:
            report, verdict = report._replace(result_file=None), Verdict.of_error(exc)
        except Exception as exc:  # noqa: BLE001 - with --json even a bug is one object on stdout
            verdict = Verdict.of_error(exc)
        return report.say(verdict, exits.of_verdict(verdict))


class GatingCommand(NamedTuple):
    """One attempt of a gating command: how it reports, and what may stop it."""

    report: Reporting
    stop: SignalStop
    files: ResultFiles

    def progress(self, scene: Scene, *, wait: bool = True) -> Progress:
        """The observer for this terminal, CI job or pipe."""
        from molecule_approve.settings.resolve import in_ci

        from .progress import Plain, Silent, Spinner

        if self.report.quiet:
            return Silent(self.write_id)
        lively = wait and output.is_terminal(sys.stderr) and not in_ci(os.environ)
        dumb = os.environ.get("TERM", "") in {"", "dumb"}
        if lively and not dumb:
            return Spinner(scene, self.write_id)
        return Plain(scene, self.write_id, heads=in_ci(os.environ))

    def deliver(self, made: ReadyGate, request: ApprovalRequest, verdict: Verdict) -> int:
        """Report the verdict; an approval that cannot be delivered is not one."""
        from .deliver import deliver

        return deliver(self.report, self.stop, verdict, partial(made.gate.undelivered, request))

    def write_id(self, submitted: SubmittedRequest) -> None:
        """Write the id file, if one was asked for."""
        from .deliver import write_file

        if self.files.id is not None:
            write_file(self.files.id, f"{submitted.approval_id}\n")


def scene(settings: Settings, action: str, reason: str = "", *, earlier: bool = False, on_stdout: bool = True) -> Scene:
    """What the observer shows of a request at these settings."""
    from .progress import Scene

    whom = "the embedded server" if settings.local else settings.platform_url.value
    signed = settings.approver_keys.value is not None
    return Scene(action, reason, whom, settings.timeout.value, settings.local, earlier, on_stdout, signed)


def judge(
    settings: Settings, made: ReadyGate, progress: Progress, ask: Callable[[], Verdict], deliver: Callable[[Verdict], int]
) -> int:
    """Ask the gate, and deliver the verdict, which gives the exit code.

    The observer is closed before the verdict is delivered, the gate's platform at the end.
    """
    with contextlib.closing(made.platform):
        try:
            verdict = ask()
        finally:
            progress.close()  # the live line ends, whatever happened
        if verdict.error is not None and verdict.error.kind == UnavailableError.kind and verdict.approval_id is None:
            hint = settings.hint_on_unreachable(verdict.error.hint)
            verdict = replace(verdict, error=replace(verdict.error, hint=hint))
        progress.finish(verdict)
        return deliver(verdict)
