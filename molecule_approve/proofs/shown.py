"""Pure: whether what a server wants to have signed is what it shows: a statement is made from what a person has read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .faults import ProofError
from .statement import Subject, context_digest, parse_subject, run_digest

if TYPE_CHECKING:
    from molecule_approve.model import Approval


def shown_subject(row: Approval) -> Subject:
    """What a statement says of this request, each field from what the row shows.

    The id of the server and the hash of the rule stand nowhere else in the row, so they are as the server says.

    Raises:
        ProofError: the server says no subject, or another one than it shows; the fields that differ are named.
    """
    progress = row.progress
    if row.subject is None or progress is None:
        raise ProofError("the server does not say what a signature has to be about")
    try:
        said = parse_subject(row.subject)
        digest = context_digest(row.context)
    except ValueError as exc:
        raise ProofError(f"what the server wants to have signed cannot be read: {exc}") from None
    shown = Subject(
        server=said.server,
        workspace=row.workspace_id,
        request=row.id,
        task=row.task_id,
        requester=row.requested_by,
        action=row.action,
        reason=row.reason,
        context_sha256=digest,
        run_sha256=run_digest(row.action),
        rule=progress.rule,
        rule_sha256=said.rule_sha256,
        approvals=progress.need,
    )
    differing = [name for name in Subject.__slots__ if getattr(said, name) != getattr(shown, name)]
    if differing:
        raise ProofError(f"the server wants another {', '.join(differing)} to be signed than it shows")
    return shown
