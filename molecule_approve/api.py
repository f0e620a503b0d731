"""The Python API: the same gate without the terminal. Import it from ``molecule_approve``."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import signal
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

from . import wiring
from .errors import ApprovalError, Interrupted, UsageError, ours
from .gate import compose
from .model import Failure, Outcome, Verdict
from .paths import locate
from .settings.durations import parse_duration
from .settings.resolve import Flags, resolve

if TYPE_CHECKING:
    from .audit.chain import Head
    from .client.platform import Platform
    from .client.wait import StreamState
    from .model import Question


class _ThreadStop:
    """A stop that another thread may pull; the gate's Stop for a caller without signals of its own."""

    def __init__(self) -> None:
        self._pulled = threading.Event()
        self._raised = False
        self._platform: Platform | None = None

    def watch(self, platform: Platform) -> None:
        """The platform whose call in progress is broken off."""
        self._platform = platform

    def pull(self) -> None:
        """Stop the gate, from another thread, at once."""
        self._pulled.set()
        if self._platform is not None:
            self._platform.interrupt()

    def check(self) -> None:
        """Raise Interrupted once, if somebody pulled."""
        if self._pulled.is_set() and not self._raised:
            self._raised = True
            raise Interrupted(signal.SIGTERM, "the call was cancelled")

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """A call that fails because it was broken off is the stop, not a fault of the platform."""
        self.check()
        try:
            yield
        except ApprovalError:
            self.check()
            raise
        self.check()

    def sleep(self, seconds: float) -> None:
        """Pause; a pull ends it at once."""
        self._pulled.wait(seconds)
        self.check()


class _NoProgress:
    """Nobody looks on."""

    def asked(self, question: Question) -> None: ...

    def link(self, link: StreamState, why: str) -> None: ...

    def trouble(self, failure: ApprovalError) -> None: ...

    def withdrawing(self, why: str) -> None: ...

    def recorded(self, head: Head) -> None: ...

    def tick(self) -> None: ...


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
    """Ask a person to approve the action, wait, and return the verdict. It is approved only if they said yes.

    Settings that are not given come from the environment and config.yaml, as for the command line. Every failure is a
    verdict too, with ``error``; none of them is approved. What a signal raises meanwhile (KeyboardInterrupt) comes
    through, after the request was taken back.

    Args:
        action: what is about to be done, 1 to 4,096 characters.
        reason: why, at most 16,384 characters.
        context: what the approver should know besides.
        timeout: seconds to wait, all of it, or text such as ``5m``.
        expires_in: seconds that the question stands, or text such as ``5m``; the timeout, if not given.
        transport: ``auto``, ``websocket`` or ``poll``.
        poll_interval: seconds between reads while polling, or text.
        idempotency_key: takes up a pending request with this key instead of asking again.
        require_verified_approver: refuse a platform that cannot prove who approves.
        platform_url: base address of the platform, or ``local``.
        workspace_id: the workspace that asks.
        audit_log: path of the audit log.
        config: path of config.yaml, or of its folder.

    """
    given = locals()
    stop = _ThreadStop()
    with _thread() as pool:
        call = pool.submit(_request, stop, **given)
        try:
            return call.result()
        except BaseException:
            # Ctrl-C, or what a signal handler of the caller's raises: nobody waits for the answer any more.
            stop.pull()
            raise


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
    """The same for asyncio: it runs in a thread, and cancelling it withdraws the request before it ends.

    Raises:
        asyncio.CancelledError: the call was cancelled; the request was taken back, as far as two seconds allow.

    """
    given = locals()
    import asyncio  # noqa: PLC0415 - no client of the synchronous half loads it

    stop = _ThreadStop()
    pool = _thread()
    task = asyncio.get_running_loop().run_in_executor(pool, functools.partial(_request, stop, **given))
    pool.shutdown(wait=False)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        stop.pull()
        with contextlib.suppress(Exception, asyncio.CancelledError):
            await task
        raise


def _thread() -> ThreadPoolExecutor:
    """A thread for one call: in a common pool a few waits of minutes would keep every other call from being asked."""
    return ThreadPoolExecutor(1, "molecule-approve")


def _text(value: object, name: str) -> str:
    """The argument, which must be text."""
    if not isinstance(value, str):
        raise UsageError(f"{name}= must be text, not {type(value).__name__}", hint="give a str")
    return value


def _optional(value: object, name: str) -> str | None:
    return None if value is None else _text(value, name)


def _path(value: object, name: str) -> str | None:
    """The argument as a path; bytes as the file system's own."""
    if isinstance(value, (str, bytes, os.PathLike)):
        return os.fsdecode(value)
    return _optional(value, name)


def _time(value: object, name: str) -> str | None:
    """The argument as a duration: seconds, text or a timedelta."""
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        # Not str(): it writes small and large numbers with an exponent.
        return f"{value:.6f}".removesuffix(".000000")
    return _optional(value, name)


def _pairs(context: object) -> Iterator[tuple[str, str]]:
    """The context's entries, which must be text; a value that is a number is said as text."""
    if context is None:
        return
    if not isinstance(context, Mapping):
        raise UsageError(f"context= must be a mapping, not {type(context).__name__}", hint="give a dict of text")
    for key, value in context.items():
        plain = str(value) if isinstance(value, (int, float)) else value
        yield _text(key, "a key of context"), _text(plain, "a value of context")


def _switch(value: object, name: str) -> bool | None:
    if value is not None and not isinstance(value, bool):
        # Guessing what "no" means could turn a demand off.
        raise UsageError(f"{name}= must be True, False or None, not {value!r:.40}", hint="give a bool")
    return value


def _stands(value: object) -> float | None:
    text = _time(value, "expires_in")
    return None if text is None else parse_duration(text, "expires_in=")


_OPTION = re.compile(r"(?<!\S)--([a-z]+(?:-[a-z]+)*)(?=[:\s]|$)")


def _in_python(text: str) -> str:
    """The sentence with arguments for options: who calls a function gave no option."""
    return _OPTION.sub(lambda found: f"{found[1].replace('-', '_')}=", text)


def _failed(action: object, error: ApprovalError) -> Verdict:
    failure = Failure(error.kind, _in_python(error.message), _in_python(error.hint))
    return Verdict(Outcome.FAILED, action=action if isinstance(action, str) else None, error=failure)


def _request(
    stop: _ThreadStop,
    *,
    action: str,
    reason: str,
    context: Mapping[str, str] | None,
    timeout: float | str | None,
    expires_in: float | str | None,
    transport: str | None,
    poll_interval: float | str | None,
    idempotency_key: str | None,
    require_verified_approver: bool | None,
    platform_url: str | None,
    workspace_id: str | None,
    audit_log: str | os.PathLike[str] | None,
    config: str | os.PathLike[str] | None,
) -> Verdict:
    try:
        flags = Flags(
            config=_path(config, "config"),
            platform_url=_optional(platform_url, "platform_url"),
            workspace_id=_optional(workspace_id, "workspace_id"),
            audit_log=_path(audit_log, "audit_log"),
            timeout=_time(timeout, "timeout"),
            poll_interval=_time(poll_interval, "poll_interval"),
            transport=_optional(transport, "transport"),
            require_verified_approver=_switch(require_verified_approver, "require_verified_approver"),
        )
        environ = wiring.environment()
        settings = resolve(flags, environ, locate(environ), at_terminal=False)
        stands = _stands(expires_in)
        asked = compose.compose(
            settings.workspace_id.value,
            _text(action, "action"),
            _text(reason, "reason"),
            context=compose.context_of(
                wiring.origin(), environ, compose.check_context(_pairs(context)), wiring.secrets(settings)
            ),
            expires_in=settings.timeout.value if stands is None else stands,
            idempotency_key=_optional(idempotency_key, "idempotency_key"),
        )
        made = wiring.gate(settings, stop, _NoProgress())
    except Exception as exc:  # noqa: BLE001 - an argument may be anything, and none is worth a bare exception
        return _failed(action, ours(exc))
    stop.watch(made.platform)
    try:
        return made.gate.request(asked, wiring.terms(settings), made.permit)
    finally:
        made.platform.close()
