"""The Python API: the same gate without the terminal. Import it from ``molecule_approve``."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from . import arguments, wiring
from .calls import ThreadStop, failed, thread
from .errors import ApprovalError, DeliveryError, Interrupted, UsageError
from .executions import Executed, Execution
from .gate.attempt import Observer
from .gate.execution import RESTORED
from .model import Outcome, Verdict
from .paths import locate
from .settings.durations import parse_duration
from .settings.resolve import Flags, resolve

if TYPE_CHECKING:
    from .arguments import Given
    from .gate.binding import Binding
    from .model import ApprovalRequest

T = TypeVar("T")


def request_approval_sync(
    action: str,
    reason: str = "",
    *,
    context: Mapping[str, str] | None = None,
    timeout: float | str | None = None,
    expires_in: float | str | None = None,
    transport: str | None = None,
    poll_interval: float | str | None = None,
    idempotency_key: str | None = None,
    require_verified_approver: bool | None = None,
    platform_url: str | None = None,
    workspace_id: str | None = None,
    audit_log: str | os.PathLike[str] | None = None,
    config: str | os.PathLike[str] | None = None,
) -> Verdict:
    """Request a person's approval of the action, wait, and return the verdict.

    Settings that are not given come from the environment and config.yaml, as for the command line. A failure is a verdict
    with ``error``, and never approved. An exception from a signal handler (KeyboardInterrupt) is raised after the request
    was withdrawn.

    Args:
        action: what is about to be done, 1 to 4,096 characters.
        reason: why, at most 16,384 characters.
        context: further facts for the approver.
        timeout: seconds to wait in total, or text such as ``5m``.
        expires_in: seconds until the request expires, or text such as ``5m``; by default the timeout.
        transport: ``auto``, ``websocket`` or ``poll``.
        poll_interval: seconds between reads while polling, or text.
        idempotency_key: resumes a pending request with this key instead of submitting another one.
        require_verified_approver: refuse a platform that does not verify who approves.
        platform_url: base address of the platform, or ``local``.
        workspace_id: the requester's workspace.
        audit_log: path of the audit log.
        config: path of config.yaml, or of its folder.
    """
    return _in_thread(_request, locals())


async def request_approval(
    action: str,
    reason: str = "",
    *,
    context: Mapping[str, str] | None = None,
    timeout: float | str | None = None,  # noqa: ASYNC109 - the gate's own timeout, which withdraws; asyncio's would cancel
    expires_in: float | str | None = None,
    transport: str | None = None,
    poll_interval: float | str | None = None,
    idempotency_key: str | None = None,
    require_verified_approver: bool | None = None,
    platform_url: str | None = None,
    workspace_id: str | None = None,
    audit_log: str | os.PathLike[str] | None = None,
    config: str | os.PathLike[str] | None = None,
) -> Verdict:
    """The same for asyncio: it runs in a thread, and cancelling it withdraws the request first.

    Raises:
        asyncio.CancelledError: the call was cancelled; withdrawing the request took up to two seconds.
    """
    given = locals()
    import asyncio  # noqa: PLC0415 - no client of the synchronous half loads it

    stop = ThreadStop()
    pool = thread()
    task = asyncio.get_running_loop().run_in_executor(pool, _request, stop, given)
    pool.shutdown(wait=False)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        stop.pull()
        with contextlib.suppress(Exception, asyncio.CancelledError):
            await task
        raise


class CommandRun(NamedTuple):
    """What :func:`run_approved` returns.

    Attributes:
        verdict: what was decided. It is not an approval either if the approved command could not be started as approved.
        execution: what became of the command; only a command that ended has a ``child_exit_code``.
    """

    verdict: Verdict
    execution: Execution

    def __bool__(self) -> bool:
        """Raise TypeError: ``if run_approved(…):`` would take a denial for a success."""
        raise TypeError("a CommandRun has no truth value; use .approved and .execution.child_exit_code")

    @property
    def approved(self) -> bool:
        """Whether a person approved this command, and it was started."""
        return self.verdict.approved


def run_approved(
    argv: Sequence[str | os.PathLike[str]],
    reason: str = "",
    *,
    context: Mapping[str, str] | None = None,
    timeout: float | str | None = None,
    expires_in: float | str | None = None,
    transport: str | None = None,
    poll_interval: float | str | None = None,
    idempotency_key: str | None = None,
    require_verified_approver: bool | None = None,
    platform_url: str | None = None,
    workspace_id: str | None = None,
    audit_log: str | os.PathLike[str] | None = None,
    config: str | os.PathLike[str] | None = None,
    keep_env: Sequence[str] = (),
    strict: bool = False,
) -> CommandRun:
    """Request a person's approval of a command, run exactly that at most once, and wait for its end.

    It is bound, checked and recorded as by ``molecule-approve run``. It has this process's streams, terminal and folder; no
    signal handler is touched, and no signal passed on. A failure is a verdict with ``error``, and never approved. An
    exception from a signal handler (KeyboardInterrupt) is raised after the request was withdrawn, or the command has ended.

    ``argv`` is the command and its arguments; no shell reads them. ``keep_env`` names variables to keep that are dropped
    otherwise (``LD_PRELOAD``), and shows them to the approver. ``strict`` refuses a file that is too large to be bound, or
    one too many. The other arguments are those of :func:`request_approval_sync`.
    """
    return _in_thread(_run, locals())


def _in_thread(call: Callable[[ThreadStop, Given], T], given: Given) -> T:
    stop = ThreadStop()
    with thread() as pool:
        running = pool.submit(call, stop, given)
        try:
            return running.result()
        except BaseException:
            # Ctrl-C, or an exception from a signal handler of the caller.
            stop.pull()
            raise


# --- asking, and running -------------------------------------------------------------------------------------------------


def _request(stop: ThreadStop, given: Given) -> Verdict:
    try:
        made, asked = _prepared(stop, given, arguments.text(given["action"], "action"))
    except Exception as exc:  # noqa: BLE001 - whatever the arguments are, a failure is a verdict
        return failed(given["action"], exc)
    with contextlib.closing(made.platform):
        return made.gate.request(asked, wiring.terms(made.settings), made.permit)


def _prepared(stop: ThreadStop, given: Given, action: str) -> tuple[wiring.ReadyGate, ApprovalRequest]:
    """The gate and the request, from the arguments that every call has; nothing is sent yet."""
    flags = Flags(
        config=arguments.path(given, "config"),
        platform_url=arguments.optional(given, "platform_url"),
        workspace_id=arguments.optional(given, "workspace_id"),
        audit_log=arguments.path(given, "audit_log"),
        timeout=arguments.time(given, "timeout"),
        poll_interval=arguments.time(given, "poll_interval"),
        transport=arguments.optional(given, "transport"),
        require_verified_approver=arguments.switch(given, "require_verified_approver"),
    )
    environ = wiring.environment()
    settings = resolve(flags, environ, locate(environ), at_terminal=False)
    expiry = arguments.time(given, "expires_in")
    asked = wiring.request(
        settings,
        action,
        arguments.text(given["reason"], "reason"),
        arguments.pairs(given["context"]),
        expires_in=settings.timeout.value if expiry is None else parse_duration(expiry, "expires_in="),
        idempotency_key=arguments.optional(given, "idempotency_key"),
    )
    made = wiring.gate(settings, stop, Observer())
    stop.watch(made.platform)
    return made, asked


def _run(stop: ThreadStop, given: Given) -> CommandRun:
    with contextlib.ExitStack() as resources:
        execution = Execution(Executed.NO)
        try:
            binding = resources.enter_context(contextlib.closing(_bound(given)))
            execution = execution._replace(digest=binding.command.digest)
            made, asked = _prepared(stop, given, binding.command.text)
        except Exception as exc:  # noqa: BLE001 - as for _request
            return CommandRun(failed(None, exc), execution)
        resources.enter_context(contextlib.closing(made.platform))
        verdict = made.gate.request(asked, wiring.terms(made.settings), made.permit)
        if verdict.approved:
            execution = made.gate.execute(asked, verdict, binding, _PlainLauncher(stop))
        if execution.error is not None:  # the approval is used up
            verdict = replace(verdict, outcome=Outcome.FAILED, error=execution.error)
        return CommandRun(verdict, execution)


def _bound(given: Given) -> Binding:
    from .gate.binding import bind  # noqa: PLC0415 - who only requests needs none of it

    words, keep = arguments.words(given, "argv"), arguments.words(given, "keep_env")
    if not words:
        raise UsageError("argv= is empty", hint="pass the command and its arguments")
    return bind(words, wiring.origin(), wiring.environment(), keep=keep, strict=bool(arguments.switch(given, "strict")))


class _PlainLauncher:
    """Starts the approved command and leaves the caller's signals alone; see the gate's Launcher."""

    replaces = False

    def __init__(self, stop: ThreadStop) -> None:
        self._stop = stop

    def check(self) -> None:
        """Raise DeliveryError if the call was interrupted."""
        try:
            self._stop.check()
        except Interrupted as exc:
            raise DeliveryError(f"the approval came too late: {exc.why}") from exc

    def announce(self, execution: Execution) -> None:
        """Nobody is told; see ``check``."""
        del execution
        self.check()

    def start(self, executable: str, arguments: tuple[str, ...], environ: dict[str, str]) -> Callable[[], int]:
        """Start it with the streams and the signal mask of this process."""
        pid = os.posix_spawn(executable, arguments, environ, setsigdef=RESTORED)
        return partial(_exit_code, pid)


def _exit_code(pid: int) -> int:
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except ChildProcessError as exc:
        raise ApprovalError(
            "the command has run, but its exit code is lost: SIGCHLD is ignored, or this program waited for it elsewhere",
            hint="restore SIGCHLD to SIG_DFL, and wait for processes by their own ids",
        ) from exc
