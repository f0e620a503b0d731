"""The Python API: the same gate without the terminal. Import it from ``molecule_approve``."""

from __future__ import annotations

import contextlib
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
    from .client.reconnect import StreamState
    from .model import Question


class _ThreadStop:
    """The gate's Stop for a caller in another thread."""

    def __init__(self) -> None:
        self._pulled = threading.Event()
        self._raised = False
        self._platform: Platform | None = None

    def watch(self, platform: Platform) -> None:
        """Set the platform whose call in progress is interrupted."""
        self._platform = platform

    def pull(self) -> None:
        """Stop the gate, from another thread, at once."""
        self._pulled.set()
        if self._platform is not None:
            self._platform.interrupt()

    def check(self) -> None:
        """Raise Interrupted, once, after a pull."""
        if self._pulled.is_set() and not self._raised:
            self._raised = True
            raise Interrupted(signal.SIGTERM, "the call was cancelled")

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """A call that fails because it was interrupted is a stop, not a failure of the platform."""
        self.check()
        try:
            yield
        except ApprovalError:
            self.check()
            raise
        self.check()

    def sleep(self, seconds: float) -> None:
        """Sleep; a pull ends it at once."""
        self._pulled.wait(seconds)
        self.check()


class _NoProgress:
    """Ignores all progress."""

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
    given = locals()
    stop = _ThreadStop()
    with _thread() as pool:
        call = pool.submit(_request, stop, given)
        try:
            return call.result()
        except BaseException:
            # Ctrl-C, or an exception from a signal handler of the caller.
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
    """The same for asyncio: it runs in a thread, and cancelling it withdraws the request first.

    Raises:
        asyncio.CancelledError: the call was cancelled; withdrawing the request took up to two seconds.

    """
    given = locals()
    import asyncio  # noqa: PLC0415 - no client of the synchronous half loads it

    stop = _ThreadStop()
    pool = _thread()
    task = asyncio.get_running_loop().run_in_executor(pool, _request, stop, given)
    pool.shutdown(wait=False)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        stop.pull()
        with contextlib.suppress(Exception, asyncio.CancelledError):
            await task
        raise


def _thread() -> ThreadPoolExecutor:
    """A thread for one call: in a shared pool a few long waits would block all other calls."""
    return ThreadPoolExecutor(1, "molecule-approve")


_Given = Mapping[str, object]
"""The arguments of a call. They may be anything, so each is checked as it is read."""


def _text(value: object, name: str) -> str:
    """The argument as text."""
    if not isinstance(value, str):
        raise UsageError(f"{name}= must be a str, not {type(value).__name__}", hint="convert it with str()")
    return value


def _optional(given: _Given, name: str) -> str | None:
    return None if given[name] is None else _text(given[name], name)


def _path(given: _Given, name: str) -> str | None:
    """The argument as a path; bytes are decoded as file names."""
    value = given[name]
    return os.fsdecode(value) if isinstance(value, (str, bytes, os.PathLike)) else _optional(given, name)


def _time(given: _Given, name: str) -> str | None:
    """The argument as a duration: seconds, text or a timedelta."""
    value = given[name]
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        # Not str(), which writes small and large numbers with an exponent.
        return f"{value:.6f}".removesuffix(".000000")
    return _optional(given, name)


def _pairs(context: object) -> Iterator[tuple[str, str]]:
    """The context's entries; numbers become text."""
    if context is None:
        return
    if not isinstance(context, Mapping):
        raise UsageError(f"context= must be a mapping, not {type(context).__name__}", hint="pass a dict of str")
    for key, value in context.items():
        plain = str(value) if isinstance(value, (int, float)) else value
        yield _text(key, "a key of context"), _text(plain, "a value of context")


def _switch(given: _Given, name: str) -> bool | None:
    value = given[name]
    if value is not None and not isinstance(value, bool):
        # A guess could turn the requirement off.
        raise UsageError(f"{name}= must be True, False or None, not {value!r:.40}", hint="pass a bool")
    return value


_OPTION = re.compile(r"(?<!\S)--([a-z]+(?:-[a-z]+)*)(?=[:\s]|$)")


def _in_python(text: str) -> str:
    """The message with argument names in place of options."""
    return _OPTION.sub(lambda found: f"{found[1].replace('-', '_')}=", text)


def _failed(action: object, error: ApprovalError) -> Verdict:
    failure = Failure(error.kind, _in_python(error.message), _in_python(error.hint))
    return Verdict(Outcome.FAILED, action=action if isinstance(action, str) else None, error=failure)


def _request(stop: _ThreadStop, given: _Given) -> Verdict:
    try:
        flags = Flags(
            config=_path(given, "config"),
            platform_url=_optional(given, "platform_url"),
            workspace_id=_optional(given, "workspace_id"),
            audit_log=_path(given, "audit_log"),
            timeout=_time(given, "timeout"),
            poll_interval=_time(given, "poll_interval"),
            transport=_optional(given, "transport"),
            require_verified_approver=_switch(given, "require_verified_approver"),
        )
        environ = wiring.environment()
        settings = resolve(flags, environ, locate(environ), at_terminal=False)
        expiry = _time(given, "expires_in")
        extra = compose.check_context(_pairs(given["context"]))
        asked = compose.compose(
            settings.workspace_id.value,
            _text(given["action"], "action"),
            _text(given["reason"], "reason"),
            context=compose.context_of(wiring.origin(), environ, extra, wiring.secrets(settings)),
            expires_in=settings.timeout.value if expiry is None else parse_duration(expiry, "expires_in="),
            idempotency_key=_optional(given, "idempotency_key"),
        )
        made = wiring.gate(settings, stop, _NoProgress())
    except Exception as exc:  # noqa: BLE001 - whatever the arguments are, a failure is a verdict
        return _failed(given["action"], ours(exc))
    stop.watch(made.platform)
    try:
        return made.gate.request(asked, wiring.terms(settings), made.permit)
    finally:
        made.platform.close()
