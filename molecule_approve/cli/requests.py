"""Finding an earlier request: by the beginning of its id, and its action in the local audit log."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from molecule_approve.errors import UsageError
from molecule_approve.gate.compose import check_action
from molecule_approve.model import ApprovalRequest, SubmittedRequest
from molecule_approve.wire import LIST_LENGTH, is_id, is_uuid

from .options import READ, SHORTEST_ID

if TYPE_CHECKING:
    from molecule_approve.audit.journal import Journal
    from molecule_approve.client.rest import RestPlatform
    from molecule_approve.clock import Deadline

PENDING_LISTS = "`molecule-approve pending` lists the requests that wait"


def find_id(platform: RestPlatform, text: str, deadline: Deadline) -> str:
    """The complete id of a request, from a unique beginning of at least six characters; ids are in lower case.

    Raises:
        UsageError: the text is not an id, or no or several requests begin with it.
        PlatformError: the platform's list cannot be read.
    """
    if is_uuid(text):
        return text.lower()
    if not is_id(text) or len(text) < SHORTEST_ID:
        raise UsageError(
            f"'{text[:80]}' is not a request id",
            hint=f"pass the id, or at least {SHORTEST_ID} characters of its beginning; {PENDING_LISTS}",
        )
    rows = platform.list_requests(deadline.capped(READ))
    searched = f"the {len(rows)} newest requests"
    if len(rows) >= LIST_LENGTH:  # a pending one may be older than these
        pending = platform.open_requests(deadline.capped(READ)).rows
        searched = f"the {len(rows)} newest and the {len(pending)} oldest pending requests"
        rows += [waiting.approval for waiting in pending]
    found = {row.id for row in rows if row.id.lower().startswith(text.lower())}
    if len(found) != 1:
        how_many = f"none of {searched} begins" if not found else f"{len(found)} requests begin"
        raise UsageError(f"{how_many} with '{text}'", hint=f"pass more of the id, or all of it; {PENDING_LISTS}")
    return found.pop()


def earlier(
    log: Journal, workspace_id: str, approval_id: str, action: str | None
) -> tuple[ApprovalRequest, SubmittedRequest]:
    """An earlier request, as the local audit log or the caller describes it; the platform must show the same.

    Raises:
        UsageError: neither the log nor ``--action`` gives the action, or the two differ; or the request is of another
            workspace.
    """
    found = log.find(approval_id)
    if found is not None and found.workspace_id != workspace_id:
        raise UsageError(
            f"this request is of workspace {found.workspace_id}, says the local audit log, and not of {workspace_id}",
            hint="set WORKSPACE_ID, or pass --workspace-id",
        )
    text = (None if found is None else found.action) or action
    if text is None:
        raise UsageError(
            "this request is not in the local audit log, so its action is not known here",
            hint=f"pass --action TEXT; {PENDING_LISTS}",
        )
    if action is not None and action != text:
        raise UsageError("--action is not the action of this request in the local audit log", hint="omit --action")
    trace_id = str(uuid.uuid4()) if found is None else found.trace_id
    task_id = None if found is None else found.task_id
    request = ApprovalRequest(workspace_id, check_action(text), "", task_id or trace_id, trace_id)
    return request, SubmittedRequest(approval_id, workspace_id, text, task_id)
