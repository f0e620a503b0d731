"""The contract between the gate and a platform. It says what must hold, whoever answers; it does nothing.

Every call obeys the deadline that it is given, as a whole: connecting, sending and every byte of the answer. What goes
wrong is raised as an error of this package's tree: UnavailableError where another try may help, anything else where not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from molecule_approve.clock import Deadline
    from molecule_approve.model import Approval, ApprovalRequest, Question, Status
    from molecule_approve.wire import Event


class Sighting(NamedTuple):
    """What one read showed.

    Attributes:
        approval: our row, or None where the platform does not show one that answers our question.
        duplicates: further live rows with our task id: the same question asked again because an answer was lost.
        crowded: the list was full, so our row may have been pushed out of it.
        oldest: creation time of the oldest row that was shown, or None.
        strange: a row under our id was there, with other text: it is not our question.

    """

    approval: Approval | None
    duplicates: tuple[Approval, ...] = ()
    crowded: bool = False
    oldest: str | None = None
    strange: bool = False


class Withdrawal(NamedTuple):
    """What came of taking a request back.

    Attributes:
        withdrawn: the platform says that this call ended the request.
        ended_before: the platform says that it had ended before, or that it knows no such request (its JSON 404).

    """

    withdrawn: bool
    ended_before: bool


class Subscription(Protocol):
    """An open event stream. It proves nothing; its events are hints."""

    def next(self, timeout: float) -> Event | None:
        """The next event that concerns an approval, or None after that many seconds without one.

        Raises:
            DisconnectedError: the stream has ended, cleanly or not.

        """
        ...

    def close(self) -> None:
        """Let go of it, at once; never raises."""
        ...


class Platform(Protocol):
    """A platform that can be asked."""

    def submit(self, request: ApprovalRequest, deadline: Deadline) -> Question:
        """Ask once. The answer says under which id the platform holds the request."""
        ...

    def find(self, request: ApprovalRequest, deadline: Deadline) -> list[Approval]:
        """Every row that carries our task id, oldest first: how a lost answer is found again, and one that was doubled.

        On the platform only among the fifty newest.
        """
        ...

    def fetch(self, question: Question, deadline: Deadline) -> Sighting:
        """Read how the request stands. With an invocation, an approval on the embedded server is used up by this read.

        Raises:
            UsedError: another invocation has used the approval up.

        """
        ...

    def verifies_approvers(self, deadline: Deadline) -> bool:
        """Whether the name on a decision comes from the approver's own credential."""
        ...

    def watch(self, deadline: Deadline) -> Subscription:
        """Subscribe to the workspace's events.

        Raises:
            CredentialError: the stream does not take our token; REST may.
            UnavailableError: it is away, or not now.

        """
        ...

    def withdraw(self, question: Question, deadline: Deadline) -> Withdrawal:
        """Take the request back; it can only turn an open one into a no."""
        ...

    def list_requests(self, deadline: Deadline) -> list[Approval]:
        """The workspace's newest requests, oldest first."""
        ...

    def decide(self, question: Question, decision: Status, comment: str | None, deadline: Deadline) -> None:
        """Approve or deny, with the approver's own credential.

        Raises:
            EndedError: it had ended before; the message says how, as far as the platform tells.

        """
        ...

    def interrupt(self) -> None:
        """Make the call in progress fail at once. Called from another thread."""
        ...

    def close(self) -> None:
        """Let go of every connection; never raises."""
        ...
