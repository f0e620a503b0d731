"""The requests of one MCP client: each waits for its decision in a thread, and its approval is given to the client once.

Everything here belongs to the event loop's thread, except where it says that it runs in the request's own.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from molecule_approve import arguments, wiring
from molecule_approve.calls import ThreadStop, failed, thread
from molecule_approve.errors import ApprovalError, DeliveryError, UnknownApprovalError
from molecule_approve.gate.attempt import Observer
from molecule_approve.gate.compose import sendable
from molecule_approve.model import Failure, JsonValue, Outcome, Verdict
from molecule_approve.settings import values

if TYPE_CHECKING:
    from molecule_approve.arguments import Given
    from molecule_approve.model import ApprovalRequest, SubmittedRequest
    from molecule_approve.settings.resolve import Settings

_TIMEOUT = values.span(1, 86_400)

Tell = Callable[[str], None]
"""Tells whoever runs the server; called from any thread."""


class Bounds(NamedTuple):
    """What one client can make the server do.

    Attributes:
        wait: seconds that a call waits at most; some hosts give a call up after 60.
        progress: seconds between reports of progress.
        open: requests that may be open at once: each takes a thread, a connection, and somebody's attention.
        kept: requests that are remembered; of more, the oldest that are over are forgotten.
    """

    wait: float = 50.0
    progress: float = 10.0
    open: int = 16
    kept: int = 256


class Wanted(NamedTuple):
    """What a client wants approved.

    Attributes:
        action: what is about to be done.
        reason: why.
        context: what the approver should know besides.
        timeout: seconds until the request is withdrawn.
    """

    action: str
    reason: str
    context: tuple[tuple[str, str], ...]
    timeout: float

    @classmethod
    def read(cls, given: Given, agent: str, settings: Settings) -> Wanted:
        """Read the arguments of a call; texts are checked for length once the request is composed.

        Args:
            given: the arguments.
            agent: the client's name, which no argument replaces; empty if it gave none.
            settings: for the timeout, if none is given.

        Raises:
            UsageError: one of them is not valid.
        """
        timeout = arguments.time(given, "timeout")
        named = [("agent", agent)] if agent else []
        return cls(
            arguments.text(given["action"], "action"),
            arguments.text(given["reason"], "reason"),
            (*named, *arguments.pairs(given["context"])),
            settings.timeout.value if timeout is None else _TIMEOUT(timeout),
        )


_NOTHING: dict[str, JsonValue] = {
    "id": None,
    "status": None,
    "allowed": False,
    "approved_action": None,
    "action": None,
    "expires_at": None,
    "decided_by": None,
    "comment": None,
}


_GIVEN = "you were given this approval before, and it counts once"


class OwnRequest(Observer):
    """One request, in a thread of its own until it has ended.

    Attributes:
        id: the platform's id; None until the platform has the request.
        taken: done once the id is known, or the request has ended without one.
        verdict: how it ended.
    """

    def __init__(self, settings: Settings, wanted: Wanted, tell: Tell) -> None:
        self.id: str | None = None
        self._wanted = wanted
        self._settings = settings
        self._expires_at = _moment(wanted.timeout)
        self._tell = tell
        self._given = False
        self._why = ""  # it was dropped
        self._withdrawing = False
        self._trouble = ""  # while it was withdrawn
        self._stop = ThreadStop()
        self._asked: tuple[wiring.ReadyGate, ApprovalRequest] | None = None
        self._unused: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self.taken: asyncio.Future[None] = self._loop.create_future()
        self.verdict = self._in_thread(self._request)
        self.verdict.add_done_callback(lambda _: self._take(None))

    # --- for the client ------------------------------------------------------------------------------------------------

    def report(self, *, redeem: bool = False) -> dict[str, JsonValue]:
        """How it stands.

        Args:
            redeem: give the approval to the client, if there is one and it was not given before: only then, and only
                once, ``allowed`` is true.
        """
        verdict = self.verdict.result() if self.verdict.done() else None
        if redeem and self._given:
            return self._reported(Outcome.FAILED, f"gate failed: {_GIVEN}; to act again, request it again", verdict)
        if redeem and verdict is not None and self._is_unused(verdict):
            self._given = True
            return self._reported(verdict.outcome, verdict.message, verdict, allowed=True)
        return self._reported(*self._state(verdict), verdict)

    @property
    def is_open(self) -> bool:
        """Whether it has not ended."""
        return not self.verdict.done()

    @property
    def is_over(self) -> bool:
        """Whether it has ended, and nothing of it is left to give."""
        return self.verdict.done() and not self._is_unused(self.verdict.result())

    def _is_unused(self, verdict: Verdict) -> bool:
        return verdict.approved and not self._given and not self._why

    def _state(self, verdict: Verdict | None) -> tuple[Outcome, str]:
        match verdict:
            case None:
                return Outcome.PENDING, "pending: nobody has decided yet; call wait_for_approval"
            case Verdict(outcome=Outcome.APPROVED) if self._why:
                return Outcome.WITHDRAWN, f"withdrawn: {self._why}; the approval was not used"
            case Verdict(outcome=Outcome.APPROVED) if self._given:
                return verdict.outcome, f"{verdict.message}; {_GIVEN}"
            case Verdict(outcome=Outcome.APPROVED):
                return verdict.outcome, f"{verdict.message}; call wait_for_approval to use it"
            case Verdict(outcome=Outcome.INTERRUPTED) if self._trouble:
                return verdict.outcome, f"stopped: {self._why}; it may still be open: {self._trouble}"
            case Verdict(outcome=Outcome.INTERRUPTED):
                return Outcome.WITHDRAWN, f"withdrawn: {self._why}"
            case _:
                return verdict.outcome, _sentence(verdict.message, verdict.error)

    def _reported(
        self, status: Outcome, message: str, verdict: Verdict | None, *, allowed: bool = False
    ) -> dict[str, JsonValue]:
        decided = {} if verdict is None else {"decided_by": verdict.decided_by, "comment": verdict.comment}
        approved = verdict.action if verdict is not None and allowed else None
        own = {"id": self.id, "action": self._wanted.action, "expires_at": self._expires_at}
        return _report(status, message, allowed=allowed, approved_action=approved, **own, **decided)

    # --- its end -------------------------------------------------------------------------------------------------------

    def drop(self, why: str) -> None:
        """Withdraw it if it is open, and never give its approval to anybody; returns at once."""
        if self._why or self.is_over:
            return
        self._why = why
        if self.is_open:
            self._stop.pull(why)
        self._unused = self._loop.create_task(self._record_unused())

    async def ended(self) -> None:
        """Return once nothing of it is left to do."""
        await asyncio.wait({self._unused or self.verdict})

    async def _record_unused(self) -> None:
        """Record that an approval came, and reached nobody."""
        verdict = await self.verdict
        if verdict.approved and self._asked is not None:
            made, request = self._asked
            failure = DeliveryError(f"the approval was not used: {self._why}")
            await self._in_thread(lambda: made.gate.undelivered(request, verdict, failure))

    # --- in its own thread ---------------------------------------------------------------------------------------------

    def _request(self) -> Verdict:
        wanted = self._wanted
        try:
            made = wiring.gate(self._settings, self._stop, self)
            with contextlib.closing(made.platform):
                self._stop.watch(made.platform)
                request = wiring.request(
                    made.settings, wanted.action, wanted.reason, wanted.context, expires_in=wanted.timeout
                )
                self._asked = made, request
                terms = replace(wiring.terms(made.settings), timeout=wanted.timeout)
                return made.gate.request(request, terms, made.permit)
        except Exception as exc:  # noqa: BLE001 - whatever the arguments are, a failure is a verdict
            return failed(wanted.action, exc)

    def asked(self, submitted: SubmittedRequest) -> None:
        """The platform has the request."""
        self._loop.call_soon_threadsafe(self._take, submitted.approval_id)

    def withdrawing(self, why: str) -> None:
        """The request is being withdrawn."""
        del why
        self._withdrawing = True

    def trouble(self, failure: ApprovalError) -> None:
        """Something failed, and the attempt goes on; not told of a call that ``drop`` interrupted."""
        if self._why and not self._withdrawing:
            return
        self._trouble = failure.message if self._withdrawing else ""
        self._tell(f"warning: {failure.message}")

    # --- for both ------------------------------------------------------------------------------------------------------

    def _take(self, approval_id: str | None) -> None:
        self.id = self.id or approval_id
        if not self.taken.done():
            self.taken.set_result(None)

    def _in_thread(self, call: Callable[[], Verdict]) -> asyncio.Future[Verdict]:
        pool = thread()
        running = self._loop.run_in_executor(pool, call)
        pool.shutdown(wait=False)
        return running


class OwnRequests:
    """All requests of one client. No other request can be seen or ended through it, whoever's id is passed."""

    def __init__(self, settings: Settings, tell: Tell, bounds: Bounds) -> None:
        self.settings = settings
        self.bounds = bounds
        self._tell = tell
        self._all: list[OwnRequest] = []

    def start(self, wanted: Wanted) -> OwnRequest:
        """Send a request.

        Raises:
            ApprovalError: too many of them are open.
        """
        if sum(request.is_open for request in self._all) >= self.bounds.open:
            raise ApprovalError(
                f"{self.bounds.open} requests of this client are open, and there can be no more",
                hint="wait for the decision on one of them, or withdraw one",
            )
        over = [request for request in self._all if request.is_over]
        for request in over[: max(0, len(self._all) - self.bounds.kept + 1)]:
            self._all.remove(request)
        request = OwnRequest(self.settings, wanted, self._tell)
        self._all.append(request)
        return request

    def find(self, approval_id: str) -> OwnRequest:
        """The request with this id.

        Raises:
            UnknownApprovalError: this client made none, or it was over long ago.
        """
        for request in self._all:
            if request.id == approval_id:
                return request
        raise UnknownApprovalError(
            f"this client made no request {approval_id[:80]!r}", hint="pass an id that request_approval returned"
        )

    async def close(self) -> None:
        """Withdraw what is open: nobody is left to hear of a decision."""
        for request in self._all:
            request.drop("the MCP client went away")
        for request in self._all:
            await request.ended()


def refusal(failure: Exception) -> dict[str, JsonValue]:
    """The report about a call that led to no request, or was about none."""
    verdict = failed(None, failure)
    return _report(verdict.outcome, _sentence(verdict.message, verdict.error))


def _report(status: Outcome, message: str, **known: JsonValue) -> dict[str, JsonValue]:
    """A report; foreign text in it is made fit for the wire, where one bad character would end the server."""
    report: dict[str, JsonValue] = {**_NOTHING, "status": status.value, "message": message, **known}
    return {name: sendable(value) if isinstance(value, str) else value for name, value in report.items()}


def _sentence(message: str, error: Failure | None) -> str:
    return f"{message}; {error.hint}" if error is not None and error.hint else message


def _moment(seconds: float) -> str:
    moment = datetime.now(UTC) + timedelta(seconds=seconds)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
