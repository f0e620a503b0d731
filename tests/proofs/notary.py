"""Writes receipts as an embedded server does, with keys that it made itself; and false ones, where it is told to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from molecule_approve.proofs.enrolled import EnrolledKey
from molecule_approve.proofs.keys_file import KeyRing
from molecule_approve.proofs.presence import Presence
from molecule_approve.proofs.receipt import ProvenDecision, Receipt
from molecule_approve.proofs.statement import Statement, Subject, context_digest, run_digest
from tests.proofs.signing import SoftwareHardwareKey

if TYPE_CHECKING:
    from molecule_approve.model import ApprovalRequest, JsonValue

SERVER = "5e1f5e1f-0000-4000-8000-000000000000"
AT = "2026-11-28T21:40:00.000000Z"


def subject_of(request: ApprovalRequest, approval_id: str, /, **other: Any) -> Subject:  # noqa: ANN401 - a subject's fields
    """What statements say of the request; with other fields where they are named."""
    said: dict[str, Any] = {
        "server": SERVER,
        "workspace": request.workspace_id,
        "request": approval_id,
        "task": request.task_id,
        "requester": None,
        "action": request.action,
        "reason": request.reason,
        "context_sha256": context_digest(request.context),
        "run_sha256": run_digest(request.action),
        "rule": None,
        "rule_sha256": None,
        "approvals": 1,
    }
    return Subject(**{**said, **other})


@dataclass
class Notary:
    """A server with a key, and approvers with theirs: alice, bo."""

    server: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    keys: dict[str, SoftwareHardwareKey] = field(
        default_factory=lambda: {name: SoftwareHardwareKey() for name in ("alice", "bo")}
    )

    def ring(self, approvals: int = 1) -> KeyRing:
        """The keys that count."""
        keys = (EnrolledKey(name, key.key, Presence.REQUIRED) for name, key in self.keys.items())
        return KeyRing(approvals, tuple(keys))

    def decision(self, subject: Subject, by: str, key: SoftwareHardwareKey | None = None) -> ProvenDecision:
        """An approval that is signed with this person's key, or another one."""
        made = Statement(subject, "approved", by, AT)
        proof: dict[str, JsonValue] = {"kind": "ssh", "signature": (key or self.keys[by]).sign(made.signed_line)}
        return ProvenDecision(by, AT, "approved", None, made.text, proof)

    def receipt(
        self,
        subject: Subject,
        context: Mapping[str, JsonValue] | None,
        decisions: Sequence[ProvenDecision] | None = None,
        *,
        status: str = "approved",
    ) -> dict[str, JsonValue]:
        """The receipt; by default alice approved."""
        found = (self.decision(subject, "alice"),) if decisions is None else tuple(decisions)
        receipt = Receipt(subject, context or None, status, AT, found)
        return receipt.sign(SERVER, self.server.public_key().public_bytes_raw(), self.server.sign)
