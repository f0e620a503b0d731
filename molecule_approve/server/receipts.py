"""Receipts of ended requests: what is stored of them, signed with this server's key (docs/receipts.md)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from molecule_approve.proofs.enrolled import check_form
from molecule_approve.proofs.faults import ProofError
from molecule_approve.proofs.passkey import decode
from molecule_approve.proofs.receipt import ProvenDecision, Receipt
from molecule_approve.proofs.server_key import public_half, sign
from molecule_approve.proofs.statement import parse_statement
from molecule_approve.strict_json import StrictJsonError, loads

from .api import answer
from .outcomes import OPEN_STATUSES, RequestPath
from .policies import DENIED_BY
from .proof_checks import subject_of
from .refusals import not_ended, unknown_approval

if TYPE_CHECKING:
    from molecule_approve.model import Approval, JsonValue

    from .access import AccessControl
    from .calls import HttpCall, Response
    from .database.transaction import Transaction
    from .database.values import DecisionRow, ServerIdentity
    from .service import Service

    Found = tuple[Approval, tuple[ProvenDecision, ...]]
    # A request, and everybody's decision about it.


@dataclass(frozen=True, slots=True)
class ReceiptApi:
    """The handler, and what it signs with."""

    service: Service
    access: AccessControl
    identity: ServerIdentity

    async def receipt(self, call: HttpCall) -> Response:
        """``GET …/receipt``, by the requester or an approver: the receipt of an ended request."""
        path = RequestPath(call.path_params["workspace_id"], call.path_params["approval_id"])
        with self.access.admit(call) as visitor:

            def job(transaction: Transaction) -> Found:
                visitor.member(transaction, path.workspace_id)
                found = transaction.requests.one(path.workspace_id, path.approval_id)
                if found is None:
                    raise unknown_approval()
                return found.approval, decisions_of(transaction, found.approval)

            approval, decisions = await self.service.read(job, lambda found: [found[0]])
            if approval.status in OPEN_STATUSES:
                raise not_ended(approval.id)
        # Within an object: what marks the answer as this server's has the name of a receipt's field.
        return answer({"approval_id": approval.id, "receipt": self._signed(approval, decisions)})

    def _signed(self, approval: Approval, decisions: tuple[ProvenDecision, ...]) -> JsonValue:
        server, seed = self.identity.id, decode(self.identity.private_key)
        subject, ended_at = subject_of(approval, server), approval.decided_at or ""
        receipt = Receipt(subject, approval.context or None, approval.status.value, ended_at, decisions)
        return receipt.sign(server, public_half(seed), partial(sign, seed))


def decisions_of(transaction: Transaction, approval: Approval) -> tuple[ProvenDecision, ...]:
    """Everybody's decision about the request that was not retracted, in their order."""
    if approval.requirement is not None:
        return tuple(map(_proven, transaction.decisions.of_request(approval.id)))
    by = approval.decided_by or ""
    if not approval.decided_by_verified or by.startswith(DENIED_BY):
        return ()  # nobody decided: it expired, was withdrawn, or a rule denied it
    return (ProvenDecision(by, approval.decided_at or "", approval.status.value, approval.comment, None, None),)


def _proven(row: DecisionRow) -> ProvenDecision:
    """The decision; at the time that its statement says, which is what was signed."""
    proof = None if row.proof is None else _object(row.proof)
    at = row.decided_at if row.statement is None else _signed_at(row.statement, row.decided_at)
    return ProvenDecision(row.name, at, row.decision.value, row.comment, row.statement, proof)


# What somebody changed in the database proves nothing, and must not keep the other decisions from being told.


def _signed_at(statement: str, otherwise: str) -> str:
    try:
        return parse_statement(statement).at
    except ValueError:
        return otherwise


def _object(text: str) -> dict[str, JsonValue] | None:
    try:
        found = loads(text)
        if not isinstance(found, dict):
            return None
        check_form(found)
    except (StrictJsonError, ProofError):
        return None
    return found
