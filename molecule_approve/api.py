"""The Python API: the same gate without the terminal. Import it from ``molecule_approve``."""

from __future__ import annotations

import contextlib
import functools
import signal
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from . import asking, assemble
from .config import Flags, resolve
from .errors import ApprovalError, Interrupted
from .model import Failure, Outcome, Verdict
from .places import locate

if TYPE_CHECKING:
    import os

    from .audit.chain import Head
    from .client.platform import Platform
    from .client.wait import Link
    from .model import Question


class _Stop:
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


class _Quiet:
    """Nobody looks on."""

    def asked(self, question: Question) -> None: ...

    def link(self, link: Link, why: str) -> None: ...

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
    expires_in: float | None = None,
    transport: str | None = None,
    poll_interval: float | None = None,
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
        expires_in: seconds that the question stands; the timeout, if not given.
        transport: ``auto``, ``websocket`` or ``poll``.
        poll_interval: seconds between reads while polling.
        idempotency_key: takes up a pending request with this key instead of asking again.
        require_verified_approver: refuse a platform that cannot prove who approves.
        platform_url: base address of the platform, or ``local``.
        workspace_id: the workspace that asks.
        audit_log: path of the audit log.
        config: path of config.yaml, or of its folder.

    """
    given = locals()
    stop = _Stop()
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
    expires_in: float | None = None,
    transport: str | None = None,
    poll_interval: float | None = None,
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

    stop = _Stop()
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


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _request(
    stop: _Stop,
    *,
    action: str,
    reason: str,
    context: Mapping[str, str] | None,
    timeout: float | str | None,
    expires_in: float | None,
    transport: str | None,
    poll_interval: float | None,
    idempotency_key: str | None,
    require_verified_approver: bool | None,
    platform_url: str | None,
    workspace_id: str | None,
    audit_log: str | os.PathLike[str] | None,
    config: str | os.PathLike[str] | None,
) -> Verdict:
    flags = Flags(
        config=_text(config),
        platform_url=platform_url,
        workspace_id=workspace_id,
        audit_log=_text(audit_log),
        timeout=_text(timeout),
        poll_interval=_text(poll_interval),
        transport=transport,
        require_verified_approver=require_verified_approver,
    )
    try:
        environ = assemble.environment()
        settings = resolve(flags, environ, locate(environ), at_terminal=False)
        extra = asking.check_context((str(key), str(value)) for key, value in (context or {}).items())
        asked = asking.compose(
            settings.workspace_id.value,
            action,
            reason,
            context=asking.context_of(assemble.origin(), environ, extra),
            expires_in=settings.timeout.value if expires_in is None else expires_in,
            idempotency_key=idempotency_key,
        )
        made = assemble.gate(settings, stop, _Quiet())
    except ApprovalError as exc:
        return Verdict(Outcome.FAILED, action=action, error=Failure(exc.kind, exc.message, exc.hint))
    stop.watch(made.platform)
    try:
        return made.gate.request(asked, assemble.terms(settings), made.permit)
    finally:
        made.platform.close()
