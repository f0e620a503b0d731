"""Whether an approver may decide what the same person requested."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from molecule_approve.lifecycle import is_own

if TYPE_CHECKING:
    from .access import Approver
    from .database.transaction import Transaction


@dataclass(frozen=True, slots=True)
class SelfApproval:
    """The setting ``self_approval``: None allows it as long as there is only one approver."""

    allowed: bool | None = None

    def is_refused(self, transaction: Transaction) -> bool:
        """Whether approvers may not decide their own requests now."""
        if self.allowed is None:
            return transaction.credentials.has_several_approvers()
        return not self.allowed

    def forbids(self, transaction: Transaction, approver: Approver, requested_by: str | None) -> bool:
        """Whether the approver may not decide a request by this requester."""
        return is_own(requested_by, approver.name) and self.is_refused(transaction)
