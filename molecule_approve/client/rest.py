"""The contract over REST: the platform's routes, the embedded server's additions, and what each answer means.

An answer counts as success only if it is JSON, about our id, and has the expected status.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from urllib.parse import quote

from molecule_approve import wire
from molecule_approve.errors import (
    ApprovalError,
    CredentialError,
    EndedError,
    KeyUsedError,
    PlatformError,
    ProtocolError,
    RejectedError,
    UnavailableError,
    UsedError,
)
from molecule_approve.lifecycle import answers, outcome_of
from molecule_approve.model import (
    WITHDRAWN_BY,
    Approval,
    ApprovalRequest,
    Endpoint,
    JsonValue,
    Outcome,
    Status,
    SubmittedRequest,
)

from . import sightings
from .dial import Handle
from .http import Answer, Http, retry_after
from .inbox import PendingList, read_open, read_queue
from .platform import Sighting, Subscription, Withdrawal

if TYPE_CHECKING:
    from molecule_approve.clock import Deadline

ANSWER_LIMIT = 1024 * 1024
"""The most bytes of one answer."""

LIST_LIMIT = 32 * 1024 * 1024
"""The most bytes of a list: fifty requests, of which the platform accepts ones of a megabyte."""

_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
_NOBODY = "00000000-0000-4000-8000-000000000000"


def error_for(answer: Answer) -> PlatformError:
    """The error for an answer that is not a success."""
    said = wire.read_error(answer.body).get("error")
    text = f": {said[:300]}" if isinstance(said, str) and said else ""
    status = answer.status
    if status in _TRANSIENT or status > 504:
        wait = retry_after(answer.headers.get("retry-after"), time.time())
        return UnavailableError(f"the platform answered {status}{text}", status=status, retry_after=wait)
    if status in {401, 403} and not answer.token_sent:
        return CredentialError(
            f"no token was sent, and the platform wants one ({status}){text}",
            status=status,
            token_sent=False,
            hint="set MOLECULE_TOKEN to the workspace's token; for your own server here: PLATFORM_URL=local",
        )
    if status in {401, 403}:
        return CredentialError(
            f"the platform rejects the token ({status}){text}",
            status=status,
            hint="check MOLECULE_TOKEN (or .auth_token) and WORKSPACE_ID; the token must belong to this workspace",
        )
    if 300 <= status < 400:
        return RejectedError(
            f"the platform answered with a redirect ({status}); redirects are not followed",
            status=status,
            hint="set PLATFORM_URL to the address of the redirect, if you trust it",
        )
    if status == 404 and not answer.body:
        hint = "the platform may need an X-Molecule-Org-Id header; set approve.headers in config.yaml"
        return RejectedError("the platform answered 404 with an empty body", status=status, hint=hint)
    if status >= 400:
        hint = "check PLATFORM_URL and WORKSPACE_ID" if status == 404 else "a retry will not help; correct the request"
        return RejectedError(f"the platform refused the request ({status}){text}", status=status, hint=hint)
    return wire.unexpected(f"the platform answered {status}, which is not a valid answer to this request")


class RestPlatform:
    """The platform at an endpoint: the Molecule platform, or the embedded server.

    The embedded server marks its answers (``wire.is_signed``). After the first mark it is known for good: an answer without
    it comes from something else, and is an error. A missing mark proves nothing: then the platform's routes are used, and
    the mark in the rows of a list still counts before any row is believed.
    """

    def __init__(self, endpoint: Endpoint, *, actor: str = "human") -> None:
        self._endpoint = endpoint
        self._actor = actor
        self._http = Http(endpoint)
        self._stream: Subscription | None = None
        self._stream_grip = Handle()
        # None: not known. False: no mark yet, and the embedded server's routes are unknown there.
        self._embedded: bool | None = None

    @property
    def _requests(self) -> str:
        return f"/workspaces/{self._endpoint.workspace_id}/approvals"

    def _path(self, approval_id: str) -> str:
        return wire.approval_path(self._endpoint.workspace_id, approval_id)

    def _get(self, path: str, deadline: Deadline, limit: int = ANSWER_LIMIT) -> Answer:
        return self._checked(self._http.exchange("GET", path, deadline, limit=limit))

    def _post(
        self,
        path: str,
        deadline: Deadline,
        body: bytes,
        *,
        headers: dict[str, str] | None = None,
        repeatable: bool = False,
    ) -> Answer:
        return self._checked(
            self._http.exchange(
                "POST", path, deadline, body=body, headers=headers, limit=ANSWER_LIMIT, repeatable=repeatable
            )
        )

    def _checked(self, answer: Answer) -> Answer:
        """Learn who answers.

        Raises:
            UnavailableError: the embedded server is known, and this answer is not its: an approval could be read from it
                without being redeemed.

        """
        if wire.is_signed(answer.headers, answer.body):
            self._embedded = True
        elif self._embedded:
            if answer.status in _TRANSIENT:
                raise error_for(answer)
            raise UnavailableError(
                f"the answer ({answer.status}) is not from the embedded server",
                status=answer.status,
                hint="a proxy or a login page may be in between",
            )
        return answer

    def _is_addition(self, answer: Answer) -> bool:
        """Whether the embedded server answers here; False if the platform's routes are to be used.

        Raises:
            ApprovalError: the answer shows neither.

        """
        if self._embedded:
            return True
        if answer.status != 404 or not answer.body:
            raise error_for(answer)
        if not answer.is_json:  # as the platform answers on an unknown route
            self._embedded = False
        return False

    # --- submitting ----------------------------------------------------------------------------------------------------

    def submit(self, request: ApprovalRequest, deadline: Deadline) -> SubmittedRequest:
        """Submit once; see the contract."""
        headers = {} if request.idempotency_key is None else {"Idempotency-Key": request.idempotency_key}
        answer = self._post(self._requests, deadline, wire.submit_body(request), headers=headers)
        if answer.status in {409, 422}:
            self._refuse_key(answer)
        # 200 means that the key already has this request.
        if answer.status != 201 and not (answer.status == 200 and headers and self._embedded):
            failure = error_for(answer)
            if self._embedded and isinstance(failure, CredentialError | RejectedError):
                failure.maybe_sent = False  # its own answer; another may be a proxy's, which has passed the request on
            raise failure
        found = wire.read_submitted(answer.body)
        if self._embedded and found.task_id != request.task_id:
            raise ProtocolError("the answer is about a different request", hint="a proxy in between may mix up answers")
        self._embedded = bool(self._embedded)
        return SubmittedRequest(
            approval_id=found.approval_id,
            workspace_id=request.workspace_id,
            action=request.action,
            task_id=request.task_id,
            own=answer.status == 201,
        )

    def _refuse_key(self, answer: Answer) -> None:
        said = wire.read_error(answer.body)
        holder = said.get("approval_id")
        if said.get("code") == "key_used":
            raise KeyUsedError.ended(holder if isinstance(holder, str) else None)
        if said.get("code") == "key_conflict":
            raise KeyUsedError.conflict(holder if isinstance(holder, str) else None)

    def find(self, request: ApprovalRequest, deadline: Deadline) -> list[Approval]:
        """Every request with our task id, oldest first; see the contract.

        The embedded server searches all; the platform ignores the parameter and lists its fifty newest.
        """
        found = self._list(deadline, f"?task_id={quote(request.task_id, safe='')}")
        # The list is newest first; its order decides where creation times are equal or missing.
        return sorted((row for row in reversed(found) if row.task_id == request.task_id), key=sightings.created)

    def _list(self, deadline: Deadline, query: str = "") -> list[Approval]:
        answer = self._get(self._requests + query, deadline, LIST_LIMIT)
        if answer.status != 200:
            raise error_for(answer)
        return wire.read_list(answer.body, self._endpoint.workspace_id)

    def list_requests(self, deadline: Deadline) -> list[Approval]:
        """The workspace's newest requests, oldest first."""
        return list(reversed(self._list(deadline)))

    def open_requests(self, deadline: Deadline) -> PendingList:
        """The workspace's pending requests, oldest first; on the platform those among its fifty newest.

        Not by ``/approvals/pending``: on the platform, reading that expires requests older than ten minutes.
        """
        answer = self._get(f"{self._requests}?status=pending", deadline, LIST_LIMIT)
        if answer.status != 200:
            raise error_for(answer)
        return read_open(answer.body, self._endpoint.workspace_id, answer.headers.get(wire.WAITING_HEADER.lower()))

    def queue(self, deadline: Deadline) -> PendingList | None:
        """The pending requests of all workspaces, for an approver's token; None on the platform, which has no inbox."""
        answer = self._get("/desk/requests", deadline, LIST_LIMIT)
        if not self._is_addition(answer):
            return None
        if answer.status != 200:
            raise error_for(answer)
        return read_queue(answer.body)

    # --- reading -------------------------------------------------------------------------------------------------------

    def fetch(self, submitted: SubmittedRequest, deadline: Deadline) -> Sighting:
        """Read the request; see the contract."""
        if self._embedded is not False:
            sighting = self._fetch_one(submitted, deadline)
            if sighting is not None:
                return sighting
        shown = sightings.from_list(self._list(deadline), submitted)
        # The rows may have the embedded server's mark: only its own routes redeem an approval.
        return shown if not self._embedded else self._fetch_one(submitted, deadline) or Sighting(None)

    def _fetch_one(self, submitted: SubmittedRequest, deadline: Deadline) -> Sighting | None:
        """By the embedded server's routes; None if this turns out to be the platform.

        A request that this attempt did not submit is read first: an approval of something else must not be redeemed.
        """
        if submitted.own and submitted.attempt_id is not None:
            return self._answer_for(submitted, deadline, submitted.attempt_id)
        seen = self._answer_for(submitted, deadline, None)
        row = None if seen is None else seen.approval
        if submitted.attempt_id is None or row is None or outcome_of(row) is not Outcome.APPROVED:
            return seen
        return self._answer_for(submitted, deadline, submitted.attempt_id)

    def _answer_for(self, submitted: SubmittedRequest, deadline: Deadline, attempt_id: str | None) -> Sighting | None:
        """The server's answer for one request; with an attempt id it redeems an approval."""
        path = self._path(submitted.approval_id)
        if attempt_id is None:
            answer = self._get(path, deadline)
        else:
            answer = self._post(f"{path}/redeem", deadline, wire.dump({"invocation": attempt_id}), repeatable=True)
        if not self._is_addition(answer):
            return None
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
        row = wire.read_one(answer.body, self._endpoint.workspace_id, attempt_id)
        if not answers(row, submitted) or row.id != submitted.approval_id:
            return Sighting(None, strange=True)
        return Sighting(row)

    def verifies_approvers(self, deadline: Deadline) -> bool:
        """Whether the name on a decision comes from the approver's own credential: only the embedded server verifies that.

        A missing mark is checked by a second route, because a False here means that no request is submitted.
        """
        if self._embedded is None:
            self._is_addition(self._get(self._path(_NOBODY), deadline))
        if not self._embedded:
            self._get("/health", deadline)
        return self._embedded is True

    # --- deciding ------------------------------------------------------------------------------------------------------

    def withdraw(self, submitted: SubmittedRequest, deadline: Deadline) -> Withdrawal:
        """Withdraw the request; see the contract. On the platform that is a denial by ``withdrawn``.

        It is sent once: after a lost answer a second call would find the first one's denial, and "it had ended before"
        would no longer prove that somebody else had decided.
        """
        answer = self._withdraw(self._path(submitted.approval_id), deadline)
        if answer.status == 200:
            wire.check_done(answer.body, submitted.approval_id, Status.DENIED)
            return Withdrawal(withdrawn=True, ended_before=False)
        if self._says_ended(answer, submitted):
            return Withdrawal(withdrawn=False, ended_before=True)
        raise error_for(answer)

    def _withdraw(self, path: str, deadline: Deadline) -> Answer:
        if self._embedded is not False:
            answer = self._post(f"{path}/withdraw", deadline, b"{}")
            if self._is_addition(answer):
                return answer
        answer = self._post(f"{path}/decide", deadline, wire.decide_body(Status.DENIED, WITHDRAWN_BY))
        # The embedded server after all, which accepts no decision from a requester; so by its own route.
        return self._post(f"{path}/withdraw", deadline, b"{}") if self._embedded else answer

    @staticmethod
    def _says_ended(answer: Answer, submitted: SubmittedRequest) -> bool:
        """Whether a refusal says that the request is not open: it has ended, or is not known."""
        said = wire.read_error(answer.body)
        about = said.get("approval_id", submitted.approval_id) == submitted.approval_id
        known = said.get("code") in {None, "ended", "unknown_approval"} and isinstance(said.get("error"), str)
        return answer.status in {404, 409} and answer.is_json and about and known

    def decide(self, submitted: SubmittedRequest, decision: Status, comment: str | None, deadline: Deadline) -> None:
        """Approve or deny; see the contract."""
        if comment is not None and not self.verifies_approvers(deadline):
            raise RejectedError(
                "this platform does not store comments", status=422, hint="omit --comment, and tell the requester directly"
            )
        path = f"{self._path(submitted.approval_id)}/decide"
        answer = self._post(path, deadline, wire.decide_body(decision, self._actor, comment))
        if answer.status == 200:
            wire.check_done(answer.body, submitted.approval_id, decision)
        elif self._says_ended(answer, submitted):
            raise EndedError(self._how_it_ended(submitted, wire.read_error(answer.body), deadline))
        else:
            raise error_for(answer)

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
        return f"the request had already ended: {status} by {by or 'nobody'}"

    # --- the stream ----------------------------------------------------------------------------------------------------

    def watch(self, deadline: Deadline) -> Subscription:
        """Subscribe; see the contract."""
        from .stream import open_stream  # noqa: PLC0415 - the POST goes out before anything that only the wait needs

        self._stream = open_stream(self._endpoint, deadline, self._stream_grip)
        return self._stream

    def interrupt(self) -> None:
        """Make the call in progress fail at once; for another thread."""
        self._http.interrupt()
        self._stream_grip.break_off()

    def close(self) -> None:
        """Close every connection."""
        self._http.close()
        if self._stream is not None:
            self._stream.close()
