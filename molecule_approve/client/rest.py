"""The contract over REST: who answers decides by which routes it is asked.

An answer counts as success only if it is JSON, about our id, and has the expected status.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

from molecule_approve import wire
from molecule_approve.errors import ApprovalError, EndedError, KeyUsedError, RejectedError
from molecule_approve.lifecycle import outcome_text
from molecule_approve.model import Approval, ApprovalRequest, Endpoint, JsonValue, Status, SubmittedRequest
from molecule_approve.progress_fields import read_count
from molecule_approve.wire import ONCE_HEADER

from . import sightings
from .dial import Handle
from .inbox import PendingList, SignInCode, Waiting, read_open
from .peer import Peer, error_for
from .platform import Sighting, SignedStatement, Subscription, Withdrawal
from .refused import refused_decision
from .routes import EmbeddedRoutes, MoleculeRoutes, NoSuchRouteError

if TYPE_CHECKING:
    from collections.abc import Callable

    from molecule_approve.clock import Deadline
    from molecule_approve.model import ApprovalProgress

    from .http import Answer
    from .keys import OwnKey, OwnKeys

_T = TypeVar("_T")

_OF_RULES = {
    "policy": "nothing was requested; on the server's machine `molecule-approve policy explain -- ACTION` says which rule",
    "reason_required": "nothing was requested; say why with --reason TEXT",
}
"""What to do where the embedded server's rules refuse a request, by the refusal's code."""


class RestPlatform:
    """The platform at an endpoint: the Molecule platform, or the embedded server."""

    def __init__(self, endpoint: Endpoint, *, actor: str = "human") -> None:
        self._endpoint = endpoint
        self._actor = actor
        self._peer = Peer(endpoint)
        self._molecule = MoleculeRoutes(self._peer)
        self._embedded = EmbeddedRoutes(self._peer)
        self._stream: Subscription | None = None
        self._stream_grip = Handle()

    def _ask(self, call: Callable[[MoleculeRoutes | EmbeddedRoutes], _T]) -> _T:
        """By the embedded server's routes, where they are not known to be missing; else by the platform's.

        An answer by the platform's routes may have the embedded server's mark, even in the rows of a list: then only its own
        routes count, which redeem an approval.
        """
        if self._peer.embedded or not self._embedded.missing:
            with suppress(NoSuchRouteError):
                return call(self._embedded)
        found = call(self._molecule)
        return call(self._embedded) if self._peer.embedded else found

    # --- submitting ----------------------------------------------------------------------------------------------------

    def submit(self, request: ApprovalRequest, deadline: Deadline) -> SubmittedRequest:
        """Submit once; see the contract."""
        # An answer may be lost, or be late, so the request may be sent again: it must not be asked twice.
        key = request.idempotency_key
        headers = dict([ONCE_HEADER]) if key is None else {"Idempotency-Key": key}
        answer = self._peer.post(self._peer.requests, deadline, wire.submit_body(request), headers=headers)
        if answer.status in {409, 422}:
            self._refuse(answer)
        found = (self._embedded if self._peer.embedded else self._molecule).read_submitted(answer, request)
        self._embedded.missing = not self._peer.embedded
        return SubmittedRequest(
            approval_id=found.approval_id,
            workspace_id=request.workspace_id,
            action=request.action,
            task_id=request.task_id,
            own=answer.status == 201,
        )

    def _refuse(self, answer: Answer) -> None:
        """Return if the answer says nothing about an idempotency key or the server's rules."""
        said = wire.read_error(answer.body)
        if self._peer.embedded and (hint := _OF_RULES.get(str(said.get("code")))) is not None:
            refused = RejectedError(str(said.get("error")), status=answer.status, hint=hint)
            refused.maybe_sent = False  # the server says that it has stored nothing
            raise refused
        holder = said.get("approval_id")
        if said.get("code") == "key_used":
            raise KeyUsedError.ended(holder if isinstance(holder, str) else None)
        if said.get("code") == "key_conflict":
            raise KeyUsedError.conflict(holder if isinstance(holder, str) else None)

    # --- reading -------------------------------------------------------------------------------------------------------

    def fetch(self, submitted: SubmittedRequest, deadline: Deadline) -> Sighting:
        """Read the request; see the contract."""
        return self._ask(lambda routes: routes.fetch(submitted, deadline))

    def verifies_approvers(self, deadline: Deadline) -> bool:
        """Whether the name on a decision comes from the approver's own credential; only the embedded server's does."""
        return self._ask(lambda routes: routes.verifies_approvers(deadline))

    def gives_receipts(self, deadline: Deadline) -> bool:
        """Whether it signs receipts; only the embedded server does, and not an earlier one."""
        return self._ask(lambda routes: routes.gives_receipts(deadline))

    def receipt(self, approval_id: str, deadline: Deadline) -> dict[str, JsonValue]:
        """The receipt of an ended request; see the contract."""
        return self._ask(lambda routes: routes.receipt(approval_id, deadline))

    def find(self, request: ApprovalRequest, deadline: Deadline) -> list[Approval]:
        """Every request with our task id, oldest first; see the contract.

        The embedded server searches all; the platform ignores the parameter and lists its fifty newest.
        """
        found = self._list(deadline, f"?task_id={quote(request.task_id, safe='')}")
        # The list is newest first; its order decides where creation times are equal or missing.
        return sorted((row for row in reversed(found) if row.task_id == request.task_id), key=sightings.created)

    def list_requests(self, deadline: Deadline) -> list[Approval]:
        """The workspace's newest requests, oldest first."""
        return list(reversed(self._list(deadline)))

    def _list(self, deadline: Deadline, query: str = "") -> list[Approval]:
        return wire.read_list(self._peer.get_list(deadline, query).body, self._endpoint.workspace_id)

    def open_requests(self, deadline: Deadline) -> PendingList:
        """The workspace's pending requests, oldest first; on the platform those among its fifty newest.

        Not by ``/approvals/pending``: on the platform, reading that expires requests older than ten minutes.
        """
        answer = self._peer.get_list(deadline, "?status=pending")
        return read_open(answer.body, self._endpoint.workspace_id, answer.headers.get(wire.WAITING_HEADER.lower()))

    def queue(self, deadline: Deadline) -> PendingList | None:
        """The pending requests of all workspaces, for an approver's token; None on the platform, which has no inbox."""
        with suppress(NoSuchRouteError):
            return self._embedded.queue(deadline)
        return None

    def waiting(self, approval_id: str, deadline: Deadline) -> Waiting | None:
        """One request of any workspace, also an ended one, for an approver's token; None if it is not found so."""
        with suppress(NoSuchRouteError):
            return self._embedded.waiting(approval_id, deadline)
        return None

    def sign_in_code(self, deadline: Deadline) -> SignInCode | None:
        """A new code that signs the approver of this token in to the page; None on the platform, which has no such page."""
        with suppress(NoSuchRouteError):
            return self._embedded.sign_in_code(deadline)
        return None

    # --- the approver's own keys ---------------------------------------------------------------------------------------

    def own_keys(self, deadline: Deadline) -> OwnKeys | None:
        """The keys of the approver of this token; None on the platform, which knows none."""
        with suppress(NoSuchRouteError):
            return self._embedded.own_keys(deadline)
        return None

    def add_key(self, public_key: str, label: str, signed: SignedStatement, deadline: Deadline) -> OwnKey:
        """Enrol a further SSH key, for which another key of the approver vouches.

        Raises:
            RejectedError: the server does not take it.
        """
        return self._embedded.add_key(public_key, label, signed, deadline)

    def remove_key(self, key_id: str, deadline: Deadline) -> None:
        """Remove one of the approver's keys.

        Raises:
            RejectedError: there is none with this id.
        """
        self._embedded.remove_key(key_id, deadline)

    # --- deciding ------------------------------------------------------------------------------------------------------

    def withdraw(self, submitted: SubmittedRequest, deadline: Deadline) -> Withdrawal:
        """Withdraw the request; see the contract. On the platform that is a denial by ``withdrawn``.

        It is sent once: after a lost answer a second call would find the first one's denial, and "it had ended before"
        would no longer prove that somebody else had decided.
        """
        answer = self._ask(lambda routes: routes.withdraw(submitted, deadline))
        if answer.status == 200:
            wire.check_done(answer.body, submitted.approval_id, Status.DENIED)
            return Withdrawal(withdrawn=True, ended_before=False)
        if self._says_ended(answer, submitted):
            return Withdrawal(withdrawn=False, ended_before=True)
        raise error_for(answer)

    @staticmethod
    def _says_ended(answer: Answer, submitted: SubmittedRequest) -> bool:
        """Whether a refusal says that the request is not open: it has ended, or is not known."""
        said = wire.read_error(answer.body)
        about = said.get("approval_id", submitted.approval_id) == submitted.approval_id
        known = said.get("code") in {None, "ended", "unknown_approval"} and isinstance(said.get("error"), str)
        return answer.status in {404, 409} and answer.is_json and about and known

    def decide(
        self,
        submitted: SubmittedRequest,
        decision: Status,
        comment: str | None,
        deadline: Deadline,
        signed: SignedStatement | None = None,
    ) -> ApprovalProgress | None:
        """Approve or deny, by the approver's own credential, and perhaps with a proof.

        None if that has ended the request, else how far it is.

        Raises:
            EndedError: it had ended before; the message gives the outcome if the platform tells it.
            OwnRequestError, DecisionRefusedError: this person may not decide it, or not so.
        """
        if comment is not None and not self.verifies_approvers(deadline):
            raise RejectedError(
                "this platform does not store comments", status=422, hint="omit --comment, and tell the requester directly"
            )
        path = f"{self._peer.path(submitted.approval_id)}/decide"
        proof: dict[str, JsonValue] = {}
        if signed is not None:
            proof = {"statement": signed.text, "proof": dict(signed.proof)}
        answer = self._peer.post(path, deadline, wire.decide_body(decision, self._actor, comment, **proof))
        if answer.status != 200:
            raise self._refused(answer, submitted, deadline)
        counted = None
        if decision is Status.APPROVED:
            counted = read_count(wire.read_error(answer.body), submitted.approval_id)
        if counted is None:
            wire.check_done(answer.body, submitted.approval_id, decision)
        return counted

    def retract(self, submitted: SubmittedRequest, deadline: Deadline) -> ApprovalProgress:
        """Retract the approver's own approval of a request that waits for others: how far it is then.

        Raises:
            EndedError: the request has ended.
            DecisionRefusedError: the approver has not approved it.
        """
        answer = self._ask(lambda routes: routes.retract(submitted, deadline))
        if answer.status != 200:
            raise self._refused(answer, submitted, deadline)
        counted = read_count(wire.read_error(answer.body), submitted.approval_id)
        if counted is None:
            raise wire.unexpected("the answer does not say how many approvals the request has")
        return counted

    def _refused(self, answer: Answer, submitted: SubmittedRequest, deadline: Deadline) -> ApprovalError:
        """The error of a decision, or of its retraction, that was not made."""
        if self._says_ended(answer, submitted):
            return EndedError(self._how_it_ended(submitted, wire.read_error(answer.body), deadline))
        return refused_decision(answer, submitted.approval_id) or error_for(answer)

    def _how_it_ended(self, submitted: SubmittedRequest, said: dict[str, JsonValue], deadline: Deadline) -> str:
        status, by = said.get("status"), said.get("decided_by")
        if not isinstance(status, str):
            try:
                row = self.fetch(submitted, deadline).approval
            except ApprovalError:
                row = None  # the outcome is only an addition to the message
            if row is None:
                return "the platform has no such pending request"
            status, by = row.status.value, row.decided_by
        return f"the request had already ended: {outcome_text(status, by if isinstance(by, str) else None)}"

    # --- the stream ----------------------------------------------------------------------------------------------------

    def watch(self, deadline: Deadline, approval_id: str | None = None) -> Subscription:
        """Subscribe; see the contract. Only the embedded server can send the events of one request."""
        from .stream import open_stream  # noqa: PLC0415 - the POST goes out before anything that only the wait needs

        named = approval_id if self._peer.embedded else None
        self._stream = open_stream(self._endpoint, deadline, self._stream_grip, approval_id=named)
        return self._stream

    def interrupt(self) -> None:
        """Make the call in progress fail at once; for another thread."""
        self._peer.interrupt()
        self._stream_grip.break_off()

    def close(self) -> None:
        """Close every connection."""
        self._peer.close()
        if self._stream is not None:
            self._stream.close()
