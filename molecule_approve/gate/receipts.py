"""The receipt without which an approval does not count, where ``approve.approver_keys`` names keys.

Nothing that the platform says is believed: each approval has to be signed by keys that this machine keeps, over what this
machine itself asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from molecule_approve.clock import Deadline
from molecule_approve.errors import ApprovalError, ConfigError, PlatformError, ReceiptError
from molecule_approve.proofs.canonical import canonical, digest_of
from molecule_approve.proofs.faults import ProofError
from molecule_approve.proofs.receipt import check_receipt, parse_receipt
from molecule_approve.proofs.statement import context_digest

from .withdrawal import persist

if TYPE_CHECKING:
    from molecule_approve.model import Approval, ApprovalRequest, JsonValue
    from molecule_approve.proofs.keys_file import KeyRing
    from molecule_approve.proofs.statement import Subject

    from .attempt import Attempt

LEAST, MOST = 2.0, 10.0
"""Seconds that fetching a receipt may take: those that the attempt has left, within these bounds."""

_AGAIN = "request again, and let people sign whose keys are in the file of approve.approver_keys"


def require(attempt: Attempt) -> str:
    """The hash of what is asked; the platform has to give receipts, and the log to know an earlier request.

    Raises:
        PlatformError: it gives none.
        ReceiptError: nothing here says what an earlier request asked.
    """
    with attempt.stop.open():
        gives = attempt.platform.gives_receipts(attempt.deadline.capped(attempt.terms.policy.read))
    if not gives:
        raise PlatformError(
            "this platform gives no receipts, and approve.approver_keys demands one for each approval",
            hint="use the embedded server of this version",
        )
    earlier = attempt.submitted
    if earlier is not None and not attempt.recorder.has_asked(earlier.approval_id):
        raise ReceiptError(
            f"the audit log does not say what request {earlier.approval_id} asked, so no receipt can prove its approval",
            hint="wait on the machine that made it, which must have had approve.approver_keys then",
        )
    return asked_sha256(attempt.request)


def asked_sha256(request: ApprovalRequest) -> str:
    """The hash of all that a request says, which the subject of its receipt has to say too."""
    context_sha256 = context_digest(request.context)
    return _asked(request.workspace_id, request.task_id, request.action, request.reason, context_sha256)


def _asked(workspace: str, task: str, action: str, reason: str, context_sha256: str | None) -> str:
    said: dict[str, JsonValue] = {"workspace": workspace, "task": task, "action": action, "reason": reason}
    return digest_of({**said, "context_sha256": context_sha256})


def check_keys(keys: KeyRing) -> None:
    """Check the keys while nobody has decided yet, and with that load the library that verifies.

    Raises:
        ConfigError: one of them is not valid.
    """
    try:
        keys.check()
    except ProofError as exc:
        raise ConfigError(f"approve.approver_keys: {exc}", hint="correct the file, and request again") from exc


def prove(attempt: Attempt, row: Approval, keys: KeyRing) -> str:
    """Fetch the receipt of this approval, check it, and keep it; its hash.

    Raises:
        ReceiptError: it does not prove that these keys approved this very request.
        AuditError: it cannot be kept.
    """
    try:
        data = canonical(_fetched(attempt, row)) + b"\n"
        signed = parse_receipt(data)
    except (ProofError, ValueError) as exc:
        raise _unproven(f"it cannot be read: {exc}") from exc
    difference = _difference(attempt, row, signed.receipt.subject)
    if difference is not None:
        raise _unproven(difference)
    failed = next((check for check in check_receipt(signed, keys) if not check.passed), None)
    if failed is not None:
        raise _unproven(failed.sentence)
    return attempt.recorder.keep_receipt(data)


def _unproven(why: str) -> ReceiptError:
    return ReceiptError(f"the receipt does not prove this approval, which is used up: {why}", hint=_AGAIN)


def _fetched(attempt: Attempt, row: Approval) -> dict[str, JsonValue]:
    """What the platform says is the receipt, with tries again while that may help."""
    effort = Deadline.after(min(MOST, max(LEAST, attempt.deadline.left())))

    def ask() -> dict[str, JsonValue]:
        with attempt.stop.open():
            return attempt.platform.receipt(row.id, effort)

    try:
        return persist(ask, effort, attempt.stop.sleep, ())
    except ApprovalError as exc:
        raise ReceiptError(
            f"the receipt of this approval, which is used up, could not be fetched: {exc.message}", hint=_AGAIN
        ) from exc


def _difference(attempt: Attempt, row: Approval, subject: Subject) -> str | None:
    """How the subject differs from what was asked; None if it does not.

    What was asked is known from this attempt. The log may say so only of a request that an earlier attempt can have made:
    then whoever can write the log could show an old one.
    """
    request = attempt.request
    if subject.request != row.id:
        return "it is about another request"
    if (subject.workspace, subject.action) != (request.workspace_id, request.action):
        return "it is about another action"
    said = _asked(subject.workspace, subject.task, subject.action, subject.reason, subject.context_sha256)
    if attempt.submission is not None and said == asked_sha256(request):
        return None
    maybe_earlier = attempt.submission is None or request.idempotency_key is not None
    if maybe_earlier and attempt.recorder.has_asked(row.id, said):
        return None
    if subject.task != request.task_id:
        return "it is about another task"
    return "it is about another reason or context than those that were sent from here"
