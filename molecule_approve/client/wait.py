"""Waits for a decision, with the event stream, reads and one deadline. It knows only the contract.

Events are hints, and a read decides: after an event, after each connect, and at a slow interval; without a stream at a
faster one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from molecule_approve.errors import ApprovalError, ProtocolError, UnavailableError, UnknownApprovalError, UsedError
from molecule_approve.lifecycle import outcome_of
from molecule_approve.model import Approval, Decision, Evidence, Outcome, Status, SubmittedRequest
from molecule_approve.wire import PROGRESS_EVENT, instant

from .reconnect import ReconnectingStream, StreamState
from .retry import Random, WaitPolicy, backoff, wait_window

if TYPE_CHECKING:
    from molecule_approve.clock import Deadline
    from molecule_approve.model import ApprovalProgress
    from molecule_approve.wire import Event

    from .platform import Platform, Sighting
    from .submit import Stop

OVERSLEPT = 5.0
"""Seconds after the deadline from which a decision no longer counts: the machine slept, or the process was suspended."""

_DECISIONS = frozenset({"APPROVAL_APPROVED", "APPROVAL_DENIED"})


class WaitObserver:
    """Follows a wait, and can change nothing; this one ignores all of it."""

    def link(self, link: StreamState, why: str) -> None:
        """How the decision will be noticed has changed."""

    def trouble(self, failure: ApprovalError) -> None:
        """Something failed; the wait continues."""

    def tick(self) -> None:
        """The wait continues; called every few seconds."""

    def progress(self, progress: ApprovalProgress) -> None:
        """How far the request is, as a read showed it; only the embedded server says it."""


class Wait:
    """One wait for one request. ``meanwhile`` is called once, as soon as nothing is left to do but to wait.

    Attributes:
        submitted: the request; with another row's id once the platform shows an older row of it.
        listed: whether the last read was a list, and every duplicate in it was withdrawn.
        seen: the request as it was last read; None before that.
    """

    def __init__(
        self,
        platform: Platform,
        submitted: SubmittedRequest,
        deadline: Deadline,
        stop: Stop,
        observer: WaitObserver,
        *,
        stream: bool,
        random: Random,
        policy: WaitPolicy,
        withdraw_duplicates: Callable[[SubmittedRequest], None],
        meanwhile: Callable[[], None] | None = None,
    ) -> None:
        self.submitted = submitted
        self.listed = False
        self.seen: Approval | None = None
        self._platform = platform
        self._deadline = deadline
        self._now = deadline.clock
        self._stop = stop
        self._observer = observer
        self._random = random
        self._policy = policy
        self._started = self._refilled = self._next_read = self._not_before = self._now()
        self._stream = ReconnectingStream(
            platform,
            self._link_changed,
            enabled=stream,
            policy=policy,
            random=random,
            clock=self._now,
            guard=stop.open,
            request=lambda: self.submitted.approval_id,
        )
        self._tokens = float(policy.burst)
        self._rereads = self._fresh_pauses()
        # The token was accepted: by the POST, or by the read that found the request again.
        self._accepted = submitted.own or submitted.created_at is not None
        self._claims: dict[tuple[Status, str | None], Event] = {}
        self._may_believe_event = submitted.own
        self._withdraw_duplicates = withdraw_duplicates
        self._meanwhile = meanwhile
        self._searched = False
        self._has_duplicates = False  # a duplicate may still be open, and no event of it is ours

    def _fresh_pauses(self) -> Iterator[float]:
        return backoff(self._policy.first, self._policy.most, self._random)

    @property
    def link(self) -> StreamState:
        """How the decision will be noticed, at this moment."""
        return self._stream.state

    def run(self) -> Decision | None:
        """Wait for the decision; None when the deadline has passed without one.

        Raises:
            UsedError: another attempt redeemed the approval.
            ApprovalError: a read failed, and a retry will not help.
            Interrupted: the attempt was stopped.
        """
        self._observer.link(self.link, "")
        try:
            while not self._deadline.passed():
                self._stop.check()
                self._observer.tick()
                decision = self._step()
                if decision is not None:
                    # A decision long after the deadline is a timeout: the machine slept.
                    return decision if self._deadline.overdue() <= OVERSLEPT else None
        finally:
            self._stream.close()
        return None

    def _step(self) -> Decision | None:
        self._stream.connect_if_due(self._deadline)
        if self._now() >= self._next_read and self._may_read():
            decision = self._read()
            if decision is not None:
                return decision
        self._use_the_time()
        self._listen()
        return None

    def _use_the_time(self) -> None:
        """Once, before the first event is waited for: do what the end would otherwise be kept up by."""
        prepare, self._meanwhile = self._meanwhile, None
        if prepare is not None:
            prepare()

    # --- the stream ----------------------------------------------------------------------------------------------------

    def _link_changed(self, state: StreamState, why: str) -> None:
        self._observer.link(state, why)
        self._next_read = self._now()  # what happened meanwhile was not heard

    def _listen(self) -> None:
        """Wait for an event, or until something is due."""
        now = self._now()
        due = min(self._next_read, self._deadline.at, now + self._policy.tick)
        event = self._stream.listen(max(0.0, due - now), self._stop.sleep)
        if event is not None:
            self._handle_event(event)

    def _handle_event(self, event: Event) -> None:
        """Read after an event of our own request, and of no other."""
        ours = event.approval_id == self.submitted.approval_id
        if not ours or event.workspace_id not in {None, self.submitted.workspace_id}:
            return
        if event.name == PROGRESS_EVENT:
            self._next_read = self._now()
            return
        if event.status is Status.PENDING:
            self._note_creation(event.timestamp)
            return
        self._keep_claim(event)
        self._next_read = self._now()

    def _keep_claim(self, event: Event) -> None:
        """Keep the decisions that the platform's events of our request claim; if two differ, none is believed."""
        decides = event.native and event.name in _DECISIONS and event.workspace_id == self.submitted.workspace_id
        if decides and len(self._claims) < 2:
            self._claims.setdefault((event.status, event.decided_by), event)

    # --- reading -------------------------------------------------------------------------------------------------------

    def _may_read(self) -> bool:
        """At most one read a second, and a few at once, however many events come."""
        now = self._now()
        if now < self._not_before:  # Retry-After also holds after an event
            self._next_read = self._not_before
            return False
        self._tokens = min(float(self._policy.burst), self._tokens + now - self._refilled)
        self._refilled = now
        if self._tokens < 1.0:
            self._next_read = now + (1.0 - self._tokens)
            return False
        self._tokens -= 1.0
        return True

    def _read(self) -> Decision | None:
        try:
            with self._stop.open():
                sighting = self._platform.fetch(self.submitted, self._deadline.capped(self._policy.read))
            decision = self._evaluate(sighting)
        except UsedError:
            raise
        except ApprovalError as exc:
            self._read_again_later(exc)
            return None
        self._accepted = True
        self._rereads = self._fresh_pauses()
        self._next_read = self._now() + self._interval()
        return decision

    def _interval(self) -> float:
        live = self.link is StreamState.LIVE and not self._has_duplicates
        return self._policy.slow_read if live else self._policy.poll_interval

    def _read_again_later(self, failure: ApprovalError) -> None:
        window = wait_window(failure, self._policy, accepted=self._accepted)
        if window is not None and self._now() - self._started >= window:
            raise failure
        asked = failure.retry_after if isinstance(failure, UnavailableError) else None
        self._not_before = self._now() + (asked or 0.0)
        pause = min(self._policy.poll_interval, next(self._rereads))
        self._next_read = max(self._not_before, self._now() + max(1.0, pause))
        self._observer.trouble(failure)

    def _evaluate(self, sighting: Sighting) -> Decision | None:
        """The decision that a read shows, or None to keep waiting."""
        self.listed = sighting.oldest is not None
        if sighting.strange:
            self._observer.trouble(ProtocolError("the platform shows a different action under the id of this request"))
        row = sighting.approval
        if row is None:
            self._require_known(sighting)
            return self._decision_by_event(sighting)
        self._note_creation(row.created_at)
        self._go_over_to(row)
        self.seen = row
        self._has_duplicates = False
        for duplicate in sighting.duplicates:
            self._withdraw(duplicate)
        self.listed = self.listed and not self._has_duplicates
        match outcome_of(row):
            case Outcome.PENDING:
                if row.progress is not None:
                    self._observer.progress(row.progress)
                self._withdraw_unlisted_duplicates()
                return None
            case Outcome.FAILED:
                self._observer.trouble(ProtocolError("the platform shows a status that is not a decision; still waiting"))
                return None
            case _:
                return Decision(row)

    def _go_over_to(self, row: Approval) -> None:
        """Go over to this row: our own, or an older one with our task id."""
        if row.id != self.submitted.approval_id:
            self.submitted = replace(self.submitted, approval_id=row.id, own=False)
            self._may_believe_event = False

    def _require_known(self, sighting: Sighting) -> None:
        """The first read must show a request that this attempt did not submit."""
        if self.submitted.own or self.submitted.created_at is not None:
            return
        if sighting.strange:
            raise UnknownApprovalError("the request with this id has a different action", hint="check the id")
        raise UnknownApprovalError(
            "the platform does not show this request",
            hint="check the id, WORKSPACE_ID and PLATFORM_URL; the platform lists the newest fifty; "
            "`molecule-approve pending` lists the requests that wait",
        )

    def _withdraw_unlisted_duplicates(self) -> None:
        """Once, if reads do not list them: an approver who sees the request twice may decide the duplicate."""
        if not self.listed and not self._searched:
            self._searched = True
            self._withdraw_duplicates(self.submitted)

    def _withdraw(self, duplicate: Approval) -> None:
        """Withdraw a duplicate, which was submitted because an answer was lost."""
        withdrawn = False  # also if it "had ended before", which a proxy may claim: the next list shows it
        try:
            with self._stop.open():
                other = replace(self.submitted, approval_id=duplicate.id)
                withdrawn = self._platform.withdraw(other, self._deadline.capped(2.0)).withdrawn
        except ApprovalError as exc:
            self._observer.trouble(exc)
        self._has_duplicates = self._has_duplicates or not withdrawn

    # --- the one exception: a row that was pushed out of the list ------------------------------------------------------

    def _note_creation(self, moment: str | None) -> None:
        if self.submitted.created_at is None and moment is not None:
            self.submitted = replace(self.submitted, created_at=moment)

    def _decision_by_event(self, sighting: Sighting) -> Decision | None:
        """A decision by event, if no read can show the request any more.

        It needs our own id, a full list with only newer rows, an event in the platform's own dialect, and the platform's
        answer that the request is not open: a withdrawal finds it decided. That answer counts once, from the first
        withdrawal: after a lost answer "not open" may be the effect of our own withdrawal.
        """
        event = self._undisputed_claim()
        if event is None or not (self._may_believe_event and sighting.crowded and self._all_newer(sighting)):
            return None
        self._may_believe_event = False
        with self._stop.open():
            withdrawal = self._platform.withdraw(self.submitted, self._deadline.capped(self._policy.read))
        if withdrawal.withdrawn:
            raise ProtocolError(
                "an event announced a decision that the platform does not have; the request was withdrawn",
                hint="check who can send events in the platform's name",
            )
        if not withdrawal.ended_before:
            return None
        row = Approval(
            id=self.submitted.approval_id,
            workspace_id=self.submitted.workspace_id,
            action=self.submitted.action or "",
            task_id=self.submitted.task_id or "",
            status=event.status,
            decided_by=event.decided_by,
            decided_at=event.timestamp,
            created_at=self.submitted.created_at,
        )
        return Decision(row, Evidence.EVENT) if outcome_of(row) is not Outcome.FAILED else None

    def _undisputed_claim(self) -> Event | None:
        claims = list(self._claims.values())
        return claims[0] if len(claims) == 1 and claims[0].status is not Status.UNKNOWN else None

    def _all_newer(self, sighting: Sighting) -> bool:
        ours, oldest = instant(self.submitted.created_at), instant(sighting.oldest)
        return ours is not None and oldest is not None and oldest > ours
