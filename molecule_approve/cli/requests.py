"""Finding an earlier request: from the beginning of its id, and from what our audit log says was asked."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from molecule_approve.errors import UsageError
from molecule_approve.gate.compose import check_action
from molecule_approve.model import ApprovalRequest, Question
from molecule_approve.wire import LIST_LENGTH, is_id, is_uuid

from .options import SHORTEST_ID

if TYPE_CHECKING:
    from molecule_approve.audit.journal import Journal
    from molecule_approve.client.rest import RestPlatform
    from molecule_approve.clock import Deadline

READ = 10.0
"""Seconds that one read for a person may take."""


def find_id(platform: RestPlatform, text: str, deadline: Deadline) -> str:
    """The whole id of a request, from a unique beginning of at least six characters; ids are written in small letters.

    Raises:
        UsageError: it is no id, or no or several requests begin with it.
        PlatformError: the platform's list cannot be read.

    """
    if is_uuid(text):
        return text.lower()
    if not is_id(text) or len(text) < SHORTEST_ID:
        raise UsageError(
            f"'{text[:80]}' is no id", hint=f"give the request's id, or at least {SHORTEST_ID} characters of its beginning"
        )
    rows = platform.list_requests(deadline.capped(READ))
    if len(rows) >= LIST_LENGTH:  # what waits may be older than the newest
        rows += [waiting.approval for waiting in platform.open_requests(deadline.capped(READ)).rows]
    found = {row.id for row in rows if row.id.lower().startswith(text.lower())}
    if len(found) != 1:
        how_many = "no request" if not found else f"{len(found)} requests"
        raise UsageError(
            f"{how_many} among the newest and what waits begin with '{text}'",
            hint="give more of the id, or all of it",
        )
    return found.pop()


def earlier(log: Journal, workspace_id: str, approval_id: str, action: str | None) -> tuple[ApprovalRequest, Question]:
    """An earlier request as our audit log holds it, or as the caller says; the platform must show just that.

    Raises:
        UsageError: the log does not hold its text and ``--action`` does not give it, or the two differ; or another
            workspace asked.

    """
    found = log.find(approval_id)
    if found is not None and found.workspace_id != workspace_id:
        raise UsageError(
            f"our audit log says that workspace {found.workspace_id} asked this, not {workspace_id}",
            hint="set WORKSPACE_ID, or give --workspace-id",
        )
    text = (None if found is None else found.action) or action
    if text is None:
        raise UsageError(
            "our audit log does not hold this request, so it cannot be known what a yes to it means",
            hint="say what was asked: --action TEXT",
        )
    if action is not None and action != text:
        raise UsageError("--action differs from what our audit log says was asked", hint="leave --action away")
    trace_id = str(uuid.uuid4()) if found is None else found.trace_id
    task_id = None if found is None else found.task_id
    request = ApprovalRequest(workspace_id, check_action(text), "", task_id or trace_id, trace_id)
    return request, Question(approval_id, workspace_id, text, task_id)
