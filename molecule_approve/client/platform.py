"""The contract between the gate and a platform; nothing here acts.

Every call keeps its deadline as a whole: connecting, sending and every byte of the answer. It raises UnavailableError if a
retry may help, and another ApprovalError if not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from molecule_approve.clock import Deadline
    from molecule_approve.model import Approval, ApprovalRequest, JsonValue, SubmittedRequest
    from molecule_approve.wire import Event


class Sighting(NamedTuple):
    """What one read showed.

    Attributes:
        approval: the row of our request, or None if the platform does not show it.
        duplicates: further open rows with our task id: the same request, submitted again because an answer was lost.
        crowded: the list was full, so our row may have dropped out of it.
        oldest: creation time of the oldest row in the list, or None.
        strange: a row with our id was there, but with a different action: it is not our request.
    """

    approval: Approval | None
    duplicates: tuple[Approval, ...] = ()
    crowded: bool = False
    oldest: str | None = None
    strange: bool = False


class Withdrawal(NamedTuple):
    """What the platform answers to a withdrawal.

    Attributes:
        withdrawn: this call ended the request.
        ended_before: the request had ended before, or the platform does not know it (its JSON 404).
    """

    withdrawn: bool
    ended_before: bool


class SignedStatement(NamedTuple):
    """A statement, and the proof that a key of the approver signed it, as both are sent."""

    text: str
    proof: Mapping[str, JsonValue]


class Subscription(Protocol):
    """An open event stream. Its events are hints and prove nothing."""

    def next(self, timeout: float) -> Event | None:
        """The next event about a request, or None after that many seconds.

        Raises:
            DisconnectedError: the stream has ended.
        """

    def close(self) -> None:
        """Close it, at once; never raises."""


class Platform(Protocol):
    """A platform that takes requests."""

    def submit(self, request: ApprovalRequest, deadline: Deadline) -> SubmittedRequest:
        """Submit the request once; the answer names its id."""

    def find(self, request: ApprovalRequest, deadline: Deadline) -> list[Approval]:
        """Every row with our task id, oldest first: finds a request whose answer was lost, and duplicates.

        The platform searches only its fifty newest.
        """

    def fetch(self, submitted: SubmittedRequest, deadline: Deadline) -> Sighting:
        """Read the request. With an attempt id, the embedded server redeems an approval by this read.

        Raises:
            UsedError: another attempt has redeemed the approval.
        """

    def verifies_approvers(self, deadline: Deadline) -> bool:
        """Whether the name on a decision comes from the approver's own credential."""

    def gives_receipts(self, deadline: Deadline) -> bool:
        """Whether it signs receipts of what was decided."""

    def receipt(self, approval_id: str, deadline: Deadline) -> dict[str, JsonValue]:
        """The receipt of an ended request, as the platform tells it: nothing of it is checked."""

    def watch(self, deadline: Deadline, approval_id: str | None = None) -> Subscription:
        """Subscribe to the workspace's events; to those of one request alone, where an id is given and that is possible.

        Raises:
            CredentialError: the stream rejects the token; REST may accept it.
            UnavailableError: it cannot be reached, or not now.
        """

    def withdraw(self, submitted: SubmittedRequest, deadline: Deadline) -> Withdrawal:
        """Withdraw the request; only an open one changes by this."""

    def interrupt(self) -> None:
        """Make the call in progress fail at once; for another thread."""

    def close(self) -> None:
        """Close every connection; never raises."""
