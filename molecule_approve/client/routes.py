"""The same calls by two ways: the routes of the Molecule platform, and those of the embedded server.

Each method says what its platform does; which of the two is asked, ``rest`` decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from molecule_approve import wire
from molecule_approve.errors import CredentialError, ProtocolError, RejectedError, UsedError
from molecule_approve.lifecycle import answers, outcome_of
from molecule_approve.model import WITHDRAWN_BY, ApprovalRequest, Outcome, Status, SubmittedRequest

from . import sightings
from .inbox import PendingList, SignInCode, Waiting, read_code, read_queue, read_waiting
from .keys import OwnKey, OwnKeys, key_refused, read_key, read_keys
from .peer import LIST_LIMIT, Peer, error_for
from .platform import Sighting

if TYPE_CHECKING:
    from molecule_approve.clock import Deadline
    from molecule_approve.model import JsonValue

    from .http import Answer
    from .platform import SignedStatement

_NOBODY = "00000000-0000-4000-8000-000000000000"


class NoSuchRouteError(Exception):
    """What answers does not know a route of the embedded server."""


class MoleculeRoutes:
    """The Molecule platform: it lists requests, and cannot redeem, withdraw or verify."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def read_submitted(self, answer: Answer, _request: ApprovalRequest) -> wire.Submitted:
        """The id of the new request."""
        if answer.status != 201:
            raise error_for(answer)
        return wire.read_submitted(answer.body)

    def fetch(self, submitted: SubmittedRequest, deadline: Deadline) -> Sighting:
        """What the list shows of the request."""
        rows = wire.read_list(self._peer.get_list(deadline).body, self._peer.workspace_id)
        return sightings.from_list(rows, submitted)

    def verifies_approvers(self, deadline: Deadline) -> bool:
        """False. It asks a second route for the embedded server's mark, because a False means that nothing is submitted."""
        self._peer.get("/health", deadline)
        return False

    def gives_receipts(self, deadline: Deadline) -> bool:
        """False, and looks for the embedded server's mark as :meth:`verifies_approvers` does."""
        return self.verifies_approvers(deadline)

    def receipt(self, _approval_id: str, deadline: Deadline) -> dict[str, JsonValue]:
        """It has none.

        Raises:
            RejectedError: it is the platform, and not the embedded server behind something that hid its answer.
        """
        self.gives_receipts(deadline)
        if self._peer.embedded:
            return {}
        raise RejectedError("this platform gives no receipts", status=404, hint="only the embedded server does")

    def withdraw(self, submitted: SubmittedRequest, deadline: Deadline) -> Answer:
        """The answer to a denial by ``withdrawn``."""
        path = f"{self._peer.path(submitted.approval_id)}/decide"
        return self._peer.post(path, deadline, wire.decide_body(Status.DENIED, WITHDRAWN_BY))

    def retract(self, _submitted: SubmittedRequest, _deadline: Deadline) -> Answer:
        """Nothing: whoever decides there ends the request at once.

        Raises:
            RejectedError: always.
        """
        raise RejectedError(
            "this platform ends a request with its first decision, so there is nothing to retract",
            status=404,
            hint="rules that need several approvals are the embedded server's",
        )


class EmbeddedRoutes:
    """The embedded server: it redeems, withdraws and verifies by routes of its own.

    Before its first mark each method also tries whether it is there.

    Attributes:
        missing: these routes are unknown there, so another try is of no use until a mark is seen.

    Raises:
        NoSuchRouteError: it is not there, as far as can be seen.
    """

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self.missing = False

    def _check(self, answer: Answer) -> None:
        """Go on if the embedded server answers.

        Raises:
            NoSuchRouteError: the platform's routes are to be used.
            PlatformError: the answer shows neither.
        """
        if self._peer.embedded:
            return
        if answer.status != 404 or not answer.body:
            raise error_for(answer)
        self.missing = self.missing or not answer.is_json  # text: as the platform answers on an unknown route
        raise NoSuchRouteError

    def read_submitted(self, answer: Answer, request: ApprovalRequest) -> wire.Submitted:
        """The id of the new request, or (200) of the pending one of its key, or of the one that was sent before."""
        if answer.status not in {200, 201}:
            failure = error_for(answer)
            if isinstance(failure, CredentialError | RejectedError):
                failure.maybe_sent = False  # its own answer; another may be a proxy's, which has passed the request on
            raise failure
        found = wire.read_submitted(answer.body)
        if found.task_id != request.task_id:
            raise ProtocolError("the answer is about a different request", hint="a proxy in between may mix up answers")
        return found

    def fetch(self, submitted: SubmittedRequest, deadline: Deadline) -> Sighting:
        """Read the request, and redeem its approval for the attempt.

        A request that this attempt did not submit is read first: an approval of something else must not be redeemed.
        """
        if submitted.own and submitted.attempt_id is not None:
            return self._read(submitted, deadline, submitted.attempt_id)
        seen = self._read(submitted, deadline, None)
        if submitted.attempt_id is None or seen.approval is None or outcome_of(seen.approval) is not Outcome.APPROVED:
            return seen
        return self._read(submitted, deadline, submitted.attempt_id)

    def _read(self, submitted: SubmittedRequest, deadline: Deadline, attempt_id: str | None) -> Sighting:
        """The server's answer for one request; with an attempt id it redeems an approval."""
        path = self._peer.path(submitted.approval_id)
        if attempt_id is None:
            answer = self._peer.get(path, deadline)
        else:
            answer = self._peer.post(f"{path}/redeem", deadline, wire.dump({"invocation": attempt_id}), repeatable=True)
        self._check(answer)
        said = wire.read_error(answer.body)
        if answer.status == 404 and said.get("code") == "unknown_approval":
            return Sighting(None)
        if answer.status == 409 and said.get("code") == "already_used" and said.get("approval_id") == submitted.approval_id:
            raise UsedError(
                f"this approval was already redeemed ({said.get('used_at') or 'earlier'}); each approval counts once",
                hint="make a new request for each run",
            )
        if answer.status != 200:
            raise error_for(answer)
        row = wire.read_one(answer.body, self._peer.workspace_id, attempt_id)
        if not answers(row, submitted) or row.id != submitted.approval_id:
            return Sighting(None, strange=True)
        return Sighting(row)

    def verifies_approvers(self, deadline: Deadline) -> bool:
        """True."""
        if not self._peer.embedded:
            self._check(self._peer.get(self._peer.path(_NOBODY), deadline))
        return True

    def gives_receipts(self, deadline: Deadline) -> bool:
        """Whether it knows the route of receipts, which an earlier one does not."""
        answer = self._peer.get(f"{self._peer.path(_NOBODY)}/receipt", deadline)
        self._check(answer)
        if answer.status != 404:
            raise error_for(answer)
        return wire.read_error(answer.body).get("code") == "unknown_approval"

    def receipt(self, approval_id: str, deadline: Deadline) -> dict[str, JsonValue]:
        """What the server says is the receipt."""
        answer = self._peer.get(f"{self._peer.path(approval_id)}/receipt", deadline)
        self._check(answer)
        if answer.status == 404 and wire.read_error(answer.body).get("code") == "unknown_approval":
            hint = "check the id and WORKSPACE_ID; `molecule-approve pending` lists the requests that wait"
            raise RejectedError(f"the platform has no request {approval_id} in this workspace", status=404, hint=hint)
        if answer.status != 200:
            raise error_for(answer)
        found = wire.loads(answer.body)
        receipt = found.get("receipt") if isinstance(found, dict) else None
        if not isinstance(receipt, dict):
            raise wire.unexpected("the answer has no receipt in it")
        return receipt

    def withdraw(self, submitted: SubmittedRequest, deadline: Deadline) -> Answer:
        """The answer to a withdrawal."""
        answer = self._peer.post(f"{self._peer.path(submitted.approval_id)}/withdraw", deadline, b"{}")
        self._check(answer)
        return answer

    def retract(self, submitted: SubmittedRequest, deadline: Deadline) -> Answer:
        """The answer to the retraction of an approval."""
        answer = self._peer.post(f"{self._peer.path(submitted.approval_id)}/retract", deadline, b"{}")
        self._check(answer)
        return answer

    def queue(self, deadline: Deadline) -> PendingList:
        """The pending requests of all workspaces, for an approver's token."""
        answer = self._peer.get("/desk/requests", deadline, LIST_LIMIT)
        self._check(answer)
        if answer.status != 200:
            raise error_for(answer)
        return read_queue(answer.body)

    def waiting(self, approval_id: str, deadline: Deadline) -> Waiting | None:
        """One request of any workspace, for an approver's token; None if this approver may see none with this id."""
        answer = self._peer.get(f"/desk/requests/{quote(approval_id, safe='')}", deadline)
        self._check(answer)
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise error_for(answer)
        return read_waiting(answer.body)

    def sign_in_code(self, deadline: Deadline) -> SignInCode:
        """A new code that signs the approver of this token in to the page."""
        answer = self._peer.post("/desk/code", deadline, b"{}")
        self._check(answer)
        if answer.status != 201:
            raise error_for(answer)
        return read_code(answer.body)

    def own_keys(self, deadline: Deadline) -> OwnKeys:
        """The keys of the approver of this token."""
        answer = self._peer.get("/desk/keys", deadline)
        self._check(answer)
        if answer.status != 200:
            raise error_for(answer)
        return read_keys(answer.body)

    def add_key(self, public_key: str, label: str, signed: SignedStatement, deadline: Deadline) -> OwnKey:
        """The key that was added."""
        proof: JsonValue = {"statement": signed.text, "proof": dict(signed.proof), "public_key": public_key, "label": label}
        answer = self._peer.post("/desk/keys", deadline, wire.dump(proof))
        if answer.status != 201:
            raise key_refused(answer) or error_for(answer)
        return read_key(wire.loads(answer.body))

    def remove_key(self, key_id: str, deadline: Deadline) -> None:
        """Remove one of the own keys."""
        answer = self._peer.post(f"/desk/keys/{quote(key_id, safe='')}/remove", deadline, b"{}")
        if answer.status != 200:
            raise key_refused(answer) or error_for(answer)
