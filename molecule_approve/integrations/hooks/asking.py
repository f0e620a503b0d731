"""Asks a person about one tool call; the late answer to an earlier identical call is found first."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from molecule_approve import wiring
from molecule_approve.audit.record import mask
from molecule_approve.clock import utc_now
from molecule_approve.errors import ApprovalError, UsedError
from molecule_approve.gate import compose
from molecule_approve.lifecycle import outcome_of
from molecule_approve.model import Outcome, SubmittedRequest
from molecule_approve.wire import instant

from . import action
from .open_calls import OpenCall

if TYPE_CHECKING:
    from molecule_approve.client.submit import Stop
    from molecule_approve.clock import Deadline
    from molecule_approve.gate.gate import Terms
    from molecule_approve.model import Approval, ApprovalRequest, Verdict
    from molecule_approve.settings.resolve import Settings

    from .interface import ToolCall

KEPT_OPEN = 3_600.0
"""Seconds for which a request stays open after its hook has given up."""

LOOK = 5.0
"""Seconds that the search for the request of an earlier call may take."""

_USABLE = (Outcome.APPROVED, Outcome.PENDING, Outcome.DENIED)


class Asked(NamedTuple):
    """What came of asking.

    Attributes:
        verdict: the verdict about the call.
        undelivered: records that its approval did not reach the host, for this reason.
    """

    verdict: Verdict
    undelivered: Callable[[ApprovalError], Verdict]


@dataclass(frozen=True, slots=True)
class Asking:
    """How calls are asked about.

    Attributes:
        settings: the settings.
        environ: the environment, for the approver to see where the request comes from.
        end: when to give up; the request stays open after that.
        stop: what may stop us.
        gate: makes a gate, for one attempt.
    """

    settings: Settings
    environ: Mapping[str, str]
    end: Deadline
    stop: Stop
    gate: Callable[[], wiring.ReadyGate]

    def ask(self, call: ToolCall) -> Asked:
        """Ask about the call, and wait.

        An approval or a denial of an earlier identical call counts for this one, once.

        Raises:
            UsageError: the call cannot be shown to an approver, because it is too long for instance.
            ApprovalError: there can be no gate; see ``wiring.gate``.
        """
        memory = self.settings.requester_file.parent / "hook-calls"
        with self.stop.open():
            open_call = OpenCall(memory, action.fingerprint(call, self.settings.workspace_id.value))
        asked = self._resume(call, open_call) if open_call.is_known else None
        asked = asked or self._request(call, open_call)
        if asked.verdict.outcome in {Outcome.APPROVED, Outcome.DENIED}:
            open_call.forget()
        return asked

    def _request(self, call: ToolCall, open_call: OpenCall) -> Asked:
        with self.stop.open():
            request, made = self._compose(call, open_call.key), self.gate()
        with contextlib.closing(made.platform):
            return _asked(made, request, made.gate.request(request, self._terms(), made.permit))

    def _resume(self, call: ToolCall, open_call: OpenCall) -> Asked | None:
        """The verdict on the request of an earlier call; None if a new request is to be made."""
        with self.stop.open():
            request, made = self._compose(call, open_call.key), self.gate()
            rows = self._find(made, request)
        ours = [row for row in rows if row.action == request.action and _is_in_time(row, request)]
        row = next((row for outcome in _USABLE for row in ours if outcome_of(row) is outcome), None)
        with contextlib.closing(made.platform):
            if row is not None:
                request = _in_its_story(made, request, row)
                verdict = made.gate.resume(request, _submitted(row, request), self._terms())
                if not _is_used(verdict):
                    return _asked(made, request, verdict)
        if rows:
            open_call.renew()
        return None

    def _find(self, made: wiring.ReadyGate, request: ApprovalRequest) -> list[Approval]:
        try:
            return made.platform.find(request, self.end.capped(LOOK))
        except ApprovalError:  # the request itself is repeated while that may help, and says what is wrong
            return []

    def _compose(self, call: ToolCall, key: str) -> ApprovalRequest:
        secrets = wiring.secrets(self.settings, self.environ)
        return compose.compose(
            self.settings.workspace_id.value,
            mask(action.describe(call), secrets),
            f"{call.host} wants to use {call.tool}",
            context=compose.context_of(wiring.origin(), self.environ, action.context_of(call), secrets),
            expires_in=max(0.0, self.end.left()) + KEPT_OPEN,
            idempotency_key=key,
        )

    def _terms(self) -> Terms:
        return replace(wiring.terms(self.settings, stays_open=True), timeout=round(max(0.0, self.end.left()), 3))


def _asked(made: wiring.ReadyGate, request: ApprovalRequest, verdict: Verdict) -> Asked:
    return Asked(verdict, partial(made.gate.undelivered, request, verdict))


def _in_its_story(made: wiring.ReadyGate, request: ApprovalRequest, row: Approval) -> ApprovalRequest:
    """The request with the trace id that its first records have in the log, so that ``audit show`` tells all of it."""
    found = made.journal.find(row.id)
    return request if found is None else replace(request, trace_id=found.trace_id)


def _is_in_time(row: Approval, request: ApprovalRequest) -> bool:
    """Whether the request would not have expired by now: an approval of yesterday is none of today's call."""
    begun, now = instant(row.created_at), instant(utc_now())
    return begun is not None and now is not None and (now - begun).total_seconds() < (request.expires_in or 0.0)


def _submitted(row: Approval, request: ApprovalRequest) -> SubmittedRequest:
    return SubmittedRequest(
        row.id, request.workspace_id, action=request.action, task_id=request.task_id, created_at=row.created_at
    )


def _is_used(verdict: Verdict) -> bool:
    """Whether a call before this one has used the approval up."""
    return verdict.error is not None and verdict.error.kind == UsedError.kind
