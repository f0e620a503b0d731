"""REST for the inbox page: the lists of requests. Signing in is in ``sign_in``, and decisions go through ``api``.

No GET changes anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from molecule_approve.clock import utc_now
from molecule_approve.lifecycle import is_own, outcome_of, self_approved
from molecule_approve.wire import one_body, row_body

from .api import answer, list_answer
from .database.values import Most
from .refusals import unknown_approval
from .searches import parse_cursor, parse_ended_search, parse_pending_search

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from molecule_approve.model import Approval, JsonValue

    from .access import AccessControl, Approver
    from .database.transaction import Transaction
    from .database.values import EndedPage, RequestLine
    from .limits import Limits
    from .service import Service

    Named = tuple[Approval, str]
    # A request and the name of its workspace.
    Marks = dict[str, dict[str, JsonValue]]
    # Further fields of each request, by its id.


@dataclass(frozen=True, slots=True)
class InboxApi:
    """The handlers."""

    service: Service
    access: AccessControl
    limits: Limits

    async def requests(self, request: Request) -> Response:
        """``GET /desk/requests``, by an approver: pending requests, oldest first, and ended ones, latest first, in full."""
        with self.access.admit(request) as visitor:

            def job(transaction: Transaction) -> tuple[Approver, int, list[Named], list[Named], Marks]:
                approver, limits = visitor.administrator(transaction), self.limits
                only, requests = approver.workspaces, transaction.requests
                pending = requests.oldest_pending(Most(limits.inbox_pending, limits.list_size), only)
                decided = requests.latest_ended(Most(limits.inbox_ended, limits.list_size), only)
                marks = self._marks(transaction, approver, [approval for approval, _ in pending])
                return approver, requests.count_pending(only), pending, decided, marks

            async with self.access.listing(visitor):
                approver, waiting, pending, decided, marks = await self.service.read(
                    job, lambda found: [one for one, _ in found[2]]
                )
                return await list_answer(
                    {
                        "name": approver.name,
                        "now": utc_now(),
                        "waiting": waiting,
                        "pending": [{**_named(approval, name), **marks[approval.id]} for approval, name in pending],
                        "decided": [_ended_row(approval, name) for approval, name in decided],
                    }
                )

    async def pending(self, request: Request) -> Response:
        """``GET /desk/list``, by an approver: pending requests, oldest first, one line each; ``?q=`` and ``?workspace=``."""
        with self.access.admit(request) as visitor:

            def job(transaction: Transaction) -> tuple[Approver, int, list[RequestLine]]:
                approver = visitor.administrator(transaction)
                search = parse_pending_search(request.query_params, self.limits.search)
                waiting = transaction.requests.count_pending(approver.workspaces)
                return approver, waiting, transaction.lists.pending(search, self.limits.inbox_lines, approver.workspaces)

            async with self.access.listing(visitor):
                approver, waiting, lines = await self.service.read(job, lambda found: [line.approval for line in found[2]])
                rows: JsonValue = [_line(line) for line in lines]
                return await list_answer({"name": approver.name, "now": utc_now(), "waiting": waiting, "pending": rows})

    async def one(self, request: Request) -> Response:
        """``GET /desk/requests/{approval_id}``, by an approver: one request in full, also an ended one."""
        with self.access.admit(request) as visitor:

            def job(transaction: Transaction) -> tuple[Approval, str, Marks]:
                approver = visitor.administrator(transaction)
                found = transaction.lists.anywhere(request.path_params["approval_id"], approver.workspaces)
                if found is None:
                    raise unknown_approval()
                return *found, self._marks(transaction, approver, [found[0]])

            approval, name, marks = await self.service.read(job, lambda found: [found[0]])
        said: dict[str, JsonValue] = {"outcome": outcome_of(approval), "self_approved": self_approved(approval)}
        return answer({**_named(approval, name), **marks[approval.id], **said})

    def _marks(self, transaction: Transaction, approver: Approver, approvals: list[Approval]) -> Marks:
        """What each request is to this approver: its own, which it may not decide, or one of a requester that is revoked."""
        refused = self.service.self_approval.is_refused(transaction)
        revoked = transaction.requests.of_revoked(one.id for one in approvals)
        return {
            one.id: {"own": refused and is_own(one.requested_by, approver.name), "requester_revoked": one.id in revoked}
            for one in approvals
        }

    async def history(self, request: Request) -> Response:
        """``GET /desk/history``, by an approver: ended requests, latest first, page by page.

        ``?cursor=`` is the ``next`` of the page before; ``?q=``, ``?who=``, ``?outcome=``, ``?since=``, ``?until=`` and
        ``?workspace=`` search. A call looks at a bounded number of requests, so a page may be short, and have a next one.
        """
        limits = self.limits
        with self.access.admit(request) as visitor:

            def job(transaction: Transaction) -> EndedPage:
                only = visitor.administrator(transaction).workspaces
                search, below = parse_ended_search(request.query_params, limits.search), parse_cursor(request.query_params)
                return transaction.lists.ended(search, below, limits.history_lines, limits.history_examined, only)

            async with self.access.listing(visitor):
                page = await self.service.read(job, lambda _: [])
        rows: JsonValue = [_ended_line(line) for line in page.lines]
        following = None if page.next is None else str(page.next)
        return answer({"ended": rows, "next": following, "searched_to": page.searched_to})


def _line(line: RequestLine) -> dict[str, JsonValue]:
    approval = line.approval
    said = [(approval.context or {}).get(key) for key in ("user", "host")]
    return {
        "id": approval.id,
        "workspace_id": approval.workspace_id,
        "workspace_name": line.workspace_name,
        "requested_by": approval.requested_by,
        # What the client claims about itself.
        "claimed": "@".join(part for part in said if isinstance(part, str) and part),
        "action": approval.action,
        "action_length": line.action_length,
        "created_at": approval.created_at,
        "expires_at": approval.expires_at,
    }


def _ended_line(line: RequestLine) -> JsonValue:
    approval = line.approval
    ended: dict[str, JsonValue] = {"decided_by": approval.decided_by, "decided_at": approval.decided_at}
    return {**_line(line), **ended, "outcome": outcome_of(approval)}


def _named(approval: Approval, workspace_name: str) -> dict[str, JsonValue]:
    return {**one_body(approval), "workspace_name": workspace_name}


def _ended_row(approval: Approval, workspace_name: str) -> JsonValue:
    return {
        **row_body(approval),
        "workspace_id": approval.workspace_id,
        "workspace_name": workspace_name,
        "decided_by_verified": approval.decided_by_verified,
        "requested_by": approval.requested_by,
        "self_approved": self_approved(approval),
        "comment": approval.comment,
        "outcome": outcome_of(approval),
    }
