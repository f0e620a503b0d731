"""REST for the inbox page: the lists of requests. Signing in is in ``sign_in``, and decisions go through ``api``.

No GET changes anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from molecule_approve.clock import utc_now
from molecule_approve.lifecycle import is_own, name_key, outcome_of, self_approved
from molecule_approve.wire import one_body, row_body

from .api import answer, list_answer
from .counting import requirement_of
from .database.values import Most
from .outcomes import OPEN_STATUSES
from .refusals import unknown_approval
from .searches import parse_cursor, parse_ended_search, parse_pending_search

if TYPE_CHECKING:
    from molecule_approve.model import Approval, JsonValue

    from .access import AccessControl, Approver, Visitor
    from .calls import HttpCall, Response
    from .database.transaction import Transaction
    from .database.values import EndedPage, RequestLine
    from .limits import Limits
    from .service import Service
    from .standings import Fields

    Named = tuple[Approval, str]
    # A request and the name of its workspace.
    Marks = dict[str, dict[str, JsonValue]]
    # Further fields of each request, by its id.


@dataclass(frozen=True, slots=True)
class _Viewer:
    """The approver who looks. ``refuses_own``: whether one may not decide one's own requests, unless a rule allows it."""

    approver: Approver
    refuses_own: bool

    def is_own(self, approval: Approval) -> bool:
        """Whether the approver made the request, and therefore may not decide it."""
        allowed = requirement_of(approval).self_approval
        refused = self.refuses_own if allowed is None else not allowed
        return refused and is_own(approval.requested_by, self.approver.name)

    def marks(self, approval: Approval, fields: Fields) -> dict[str, JsonValue]:
        """What the request is to the approver: its own, one that it has decided, one that its rule leaves to others.

        A decision that counts no longer is none: whoever may decide can do so anew.
        """
        said: Any = fields
        me = name_key(self.approver.name)
        mine = next((one["decision"] for one in said["decisions"] if name_key(one["by"]) == me), None)
        if approval.status in OPEN_STATUSES and me not in map(name_key, said["approvals"].get("approved_by", ())):
            mine = None
        able = {name_key(person) for group in said["approvals"].get("waiting_for", ()) for person in group["people"]}
        eligible = requirement_of(approval).eligible is None or me in able or mine is not None
        return {"own": self.is_own(approval), "mine": mine, "eligible": eligible}


@dataclass(frozen=True, slots=True)
class InboxApi:
    """The handlers."""

    service: Service
    access: AccessControl
    limits: Limits

    async def requests(self, call: HttpCall) -> Response:
        """``GET /desk/requests``, by an approver: pending requests, oldest first, and ended ones, latest first, in full."""
        with self.access.admit(call) as visitor:

            def job(transaction: Transaction) -> tuple[Approver, int, list[Named], list[Named], Marks]:
                viewer, limits = self._viewer(transaction, visitor), self.limits
                approver = viewer.approver
                only, requests = approver.workspaces, transaction.requests
                pending = requests.oldest_pending(Most(limits.inbox_pending, limits.list_size), only)
                decided = requests.latest_ended(Most(limits.inbox_ended, limits.list_size), only)
                marks = self._marks(transaction, viewer, [approval for approval, _ in pending])
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

    async def pending(self, call: HttpCall) -> Response:
        """``GET /desk/list``, by an approver: pending requests, oldest first, one line each; ``?q=`` and ``?workspace=``."""
        with self.access.admit(call) as visitor:

            def job(transaction: Transaction) -> tuple[_Viewer, int, list[RequestLine], dict[str, Fields]]:
                viewer = self._viewer(transaction, visitor)
                approver = viewer.approver
                search = parse_pending_search(call.query, self.limits.search)
                waiting, limit = transaction.requests.count_pending(approver.workspaces), self.limits.inbox_lines
                lines = transaction.lists.pending(search, limit, approver.workspaces)
                counts = self.service.rules.standings.counts(transaction, [line.approval for line in lines])
                return viewer, waiting, lines, counts

            async with self.access.listing(visitor):
                viewer, waiting, lines, counts = await self.service.read(
                    job, lambda found: [line.approval for line in found[2]]
                )
                rows: JsonValue = [{**_line(line, viewer), "approvals": counts[line.approval.id]} for line in lines]
                return await list_answer(
                    {"name": viewer.approver.name, "now": utc_now(), "waiting": waiting, "pending": rows}
                )

    async def one(self, call: HttpCall) -> Response:
        """``GET /desk/requests/{approval_id}``, by an approver: one request in full, also an ended one."""
        with self.access.admit(call) as visitor:

            def job(transaction: Transaction) -> tuple[Approval, str, Marks]:
                viewer = self._viewer(transaction, visitor)
                found = transaction.lists.anywhere(call.path_params["approval_id"], viewer.approver.workspaces)
                if found is None:
                    raise unknown_approval()
                return *found, self._marks(transaction, viewer, [found[0]])

            approval, name, marks = await self.service.read(job, lambda found: [found[0]])
        said: dict[str, JsonValue] = {"outcome": outcome_of(approval), "self_approved": self_approved(approval)}
        return answer({**_named(approval, name), **marks[approval.id], **said})

    def _viewer(self, transaction: Transaction, visitor: Visitor) -> _Viewer:
        approver = visitor.administrator(transaction)
        return _Viewer(approver, self.service.rules.self_approval.is_refused(transaction))

    def _marks(self, transaction: Transaction, viewer: _Viewer, approvals: list[Approval]) -> Marks:
        """What each request is to this approver, how far it is, and whether its requester is revoked."""
        revoked = transaction.requests.of_revoked(one.id for one in approvals)
        fields = self.service.rules.standings.of(transaction, approvals)
        return {
            one.id: {"requester_revoked": one.id in revoked, **fields[one.id], **viewer.marks(one, fields[one.id])}
            for one in approvals
        }

    async def history(self, call: HttpCall) -> Response:
        """``GET /desk/history``, by an approver: ended requests, latest first, page by page.

        ``?cursor=`` is the ``next`` of the page before; ``?q=``, ``?who=``, ``?outcome=``, ``?since=``, ``?until=`` and
        ``?workspace=`` search. A call looks at a bounded number of requests, so a page may be short, and have a next one.
        """
        limits = self.limits
        with self.access.admit(call) as visitor:

            def job(transaction: Transaction) -> tuple[_Viewer, EndedPage]:
                viewer = self._viewer(transaction, visitor)
                only = viewer.approver.workspaces
                search, below = parse_ended_search(call.query, limits.search), parse_cursor(call.query)
                return viewer, transaction.lists.ended(search, below, limits.history_lines, limits.history_examined, only)

            async with self.access.listing(visitor):
                viewer, page = await self.service.read(job, lambda _: [])
        rows: JsonValue = [_ended_line(line, viewer) for line in page.lines]
        following = None if page.next is None else str(page.next)
        return answer({"ended": rows, "next": following, "searched_to": page.searched_to})


def _line(line: RequestLine, viewer: _Viewer) -> dict[str, JsonValue]:
    approval = line.approval
    said = [(approval.context or {}).get(key) for key in ("user", "host")]
    return {
        "id": approval.id,
        "workspace_id": approval.workspace_id,
        "workspace_name": line.workspace_name,
        "requested_by": approval.requested_by,
        "own": viewer.is_own(approval),
        "requester_revoked": line.requester_revoked,
        # What the client claims about itself.
        "claimed": "@".join(part for part in said if isinstance(part, str) and part),
        "action": approval.action,
        "action_length": line.action_length,
        "created_at": approval.created_at,
        "expires_at": approval.expires_at,
    }


def _ended_line(line: RequestLine, viewer: _Viewer) -> JsonValue:
    approval = line.approval
    ended: dict[str, JsonValue] = {"decided_by": approval.decided_by, "decided_at": approval.decided_at}
    return {**_line(line, viewer), **ended, "outcome": outcome_of(approval)}


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
