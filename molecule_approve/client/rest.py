"""The contract over REST: the platform's routes, the embedded server's additions, and what each answer means.

Done is only what says so: an answer counts if it is JSON, about our id, and has the status that was asked for.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
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
from molecule_approve.lifecycle import Ruling, answers, rule
from molecule_approve.model import WITHDRAWN_BY, Approval, ApprovalRequest, Endpoint, JsonValue, Question, Status

from .dial import Grip
from .http import Answer, Http, retry_after
from .inbox import Queue, read_open, read_queue
from .platform import Sighting, Subscription, Withdrawal

if TYPE_CHECKING:
    from molecule_approve.clock import Deadline

ANSWER_LIMIT = 1024 * 1024
"""Bytes that one answer may have."""

LIST_LIMIT = 32 * 1024 * 1024
"""Bytes that a list may have: a request of a megabyte is accepted, and then stands in each list of fifty."""

_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_NOBODY = "00000000-0000-4000-8000-000000000000"


def judge(answer: Answer) -> PlatformError:
    """What an answer that is no success means, as an error of ours."""
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
            f"the platform does not take our token ({status}){text}",
            status=status,
            hint="check MOLECULE_TOKEN (or .auth_token) and WORKSPACE_ID; the token must be this workspace's",
        )
    if 300 <= status < 400:
        return RejectedError(
            f"the platform answered with a redirect ({status}), which is never followed",
            status=status,
            hint="set PLATFORM_URL to the address that it redirects to, if you trust that",
        )
    if status == 404 and not answer.body:
        hint = "the platform may want an X-Molecule-Org-Id header: set approve.headers in config.yaml"
        return RejectedError("the platform answered 404 without a word", status=status, hint=hint)
    if status >= 400:
        hint = "check PLATFORM_URL and WORKSPACE_ID" if status == 404 else "asking again will not help"
        return RejectedError(f"the platform refused the request ({status}){text}", status=status, hint=hint)
    return ProtocolError(f"the platform answered {status}, which is no answer to this", hint="is PLATFORM_URL right?")


class RestPlatform:
    """A platform behind an endpoint; the same class for the real one and for the embedded server.

    The embedded server says what it is in its answers (``wire.is_signed``). Once one of them has said so, that stays: what
    then comes without the sign comes from something else, and is a fault. A missing sign proves nothing for good: the way
    of the platform is gone then, and the rows that it shows say whose they are before any of them is believed.
    """

    def __init__(self, endpoint: Endpoint, *, actor: str = "human") -> None:
        self._endpoint = endpoint
        self._actor = actor
        self._http = Http(endpoint)
        self._stream: Subscription | None = None
        self._stream_grip = Grip()
        # None: not known. False: nothing says so, and the platform's way works.
        self._embedded: bool | None = None

    @property
    def _requests(self) -> str:
        return f"/workspaces/{self._endpoint.workspace_id}/approvals"

    def _one(self, approval_id: str) -> str:
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
            UnavailableError: it is not the embedded server, which is known to be there: without it an approval could be
                read and not be used up.

        """
        if wire.is_signed(answer.headers, answer.body):
            self._embedded = True
        elif self._embedded:
            if answer.status in _TRANSIENT:
                raise judge(answer)
            raise UnavailableError(
                f"something else answers in the embedded server's place ({answer.status})",
                status=answer.status,
                hint="a proxy or a login page may stand in between",
            )
        return answer

    def _is_addition(self, answer: Answer) -> bool:
        """Whether the embedded server answers here; False where the platform's way is to be gone.

        Raises:
            ApprovalError: neither can be said.

        """
        if self._embedded:
            return True
        if answer.status != 404 or not answer.body:
            raise judge(answer)
        if not answer.is_json:  # as the platform says it of a route that it does not know
            self._embedded = False
        return False

    # --- asking --------------------------------------------------------------------------------------------------------

    def submit(self, request: ApprovalRequest, deadline: Deadline) -> Question:
        """Ask once; see the contract."""
        headers = {} if request.idempotency_key is None else {"Idempotency-Key": request.idempotency_key}
        answer = self._post(self._requests, deadline, wire.submit_body(request), headers=headers)
        if answer.status in {409, 422}:
            self._refuse_key(answer)
        # A 200 stands for a request that our key had asked before, and only then.
        if answer.status != 201 and not (answer.status == 200 and headers and self._embedded):
            failure = judge(answer)
            if self._embedded and isinstance(failure, CredentialError | RejectedError):
                failure.maybe_sent = False  # its own word; any other may be a proxy's, which has passed the request on
            raise failure
        found = wire.read_submitted(answer.body)
        if self._embedded and found.task_id != request.task_id:
            raise ProtocolError(
                "the answer to our request is about another one", hint="a proxy in between may mix answers up"
            )
        self._embedded = bool(self._embedded)
        return Question(
            approval_id=found.approval_id,
            workspace_id=request.workspace_id,
            action=request.action,
            task_id=request.task_id,
            own=answer.status == 201,
        )

    def _refuse_key(self, answer: Answer) -> None:
        said = wire.read_error(answer.body)
        held = said.get("approval_id")
        if said.get("code") == "key_used":
            raise KeyUsedError.ended(held if isinstance(held, str) else None)
        if said.get("code") == "key_conflict":
            raise KeyUsedError.conflict(held if isinstance(held, str) else None)

    def find(self, request: ApprovalRequest, deadline: Deadline) -> list[Approval]:
        """Every request with our task id, oldest first; see the contract.

        The embedded server looks for it among all; the platform does not know the parameter and lists its fifty newest.
        """
        found = self._list(deadline, f"?task_id={quote(request.task_id, safe='')}")
        # Newest first: where creation times tie or are missing, the order of the list decides.
        return sorted((row for row in reversed(found) if row.task_id == request.task_id), key=_created)

    def _list(self, deadline: Deadline, query: str = "") -> list[Approval]:
        answer = self._get(self._requests + query, deadline, LIST_LIMIT)
        if answer.status != 200:
            raise judge(answer)
        return wire.read_list(answer.body, self._endpoint.workspace_id)

    def list_requests(self, deadline: Deadline) -> list[Approval]:
        """The workspace's newest requests, oldest first."""
        return list(reversed(self._list(deadline)))

    def open_requests(self, deadline: Deadline) -> Queue:
        """What waits in the workspace, oldest first; on the platform as far as its newest requests show it.

        Not by ``/approvals/pending``: on the platform reading that expires what is older than ten minutes.
        """
        answer = self._get(f"{self._requests}?status=pending", deadline, LIST_LIMIT)
        if answer.status != 200:
            raise judge(answer)
        return read_open(answer.body, self._endpoint.workspace_id, answer.headers.get(wire.WAITING_HEADER.lower()))

    def queue(self, deadline: Deadline) -> Queue | None:
        """What waits in every workspace, each whole, for an approver's token; None on the platform, which has no desk."""
        answer = self._get("/desk/requests", deadline, LIST_LIMIT)
        if not self._is_addition(answer):
            return None
        if answer.status != 200:
            raise judge(answer)
        return read_queue(answer.body)

    # --- reading -------------------------------------------------------------------------------------------------------

    def fetch(self, question: Question, deadline: Deadline) -> Sighting:
        """Read how it stands; see the contract."""
        if self._embedded is not False:
            sighting = self._fetch_one(question, deadline)
            if sighting is not None:
                return sighting
        shown = _sight(self._list(deadline), question)
        # Its rows may have said that it is the embedded server's list: then only its own routes use an approval up.
        return shown if not self._embedded else self._fetch_one(question, deadline) or Sighting(None)

    def _fetch_one(self, question: Question, deadline: Deadline) -> Sighting | None:
        """By the embedded server's own routes; None where it turns out to be the platform.

        A question that we have not just asked ourselves is looked at first: an approval of something else must not be
        used up by the comparison.
        """
        if question.own and question.invocation is not None:
            return self._answer_for(question, deadline, question.invocation)
        seen = self._answer_for(question, deadline, None)
        row = None if seen is None else seen.approval
        if question.invocation is None or row is None or rule(row) is not Ruling.APPROVED:
            return seen
        return self._answer_for(question, deadline, question.invocation)

    def _answer_for(self, question: Question, deadline: Deadline, invocation: str | None) -> Sighting | None:
        """What the server says of one approval; with an invocation an approval is used up by it."""
        path = self._one(question.approval_id)
        if invocation is None:
            answer = self._get(path, deadline)
        else:
            answer = self._post(f"{path}/redeem", deadline, wire.dump({"invocation": invocation}), repeatable=True)
        if not self._is_addition(answer):
            return None
        said = wire.read_error(answer.body)
        if answer.status == 404 and said.get("code") == "unknown_approval":
            return Sighting(None)
        if answer.status == 409 and said.get("code") == "already_used" and said.get("approval_id") == question.approval_id:
            raise UsedError(
                f"this approval was already used up ({said.get('used_at') or 'earlier'}): one yes, one 0",
                hint="ask again for each run: a fresh request needs a fresh yes",
            )
        if answer.status != 200:
            raise judge(answer)
        row = wire.read_one(answer.body, self._endpoint.workspace_id, invocation)
        if not answers(row, question) or row.id != question.approval_id:
            return Sighting(None, strange=True)
        return Sighting(row)

    def verifies_approvers(self, deadline: Deadline) -> bool:
        """Whether the name on a decision comes from the approver's own credential: only the embedded server's does.

        A server that does not say so where it should is asked once more by another route: a "no" here refuses to ask.
        """
        if self._embedded is None:
            self._is_addition(self._get(self._one(_NOBODY), deadline))
        if not self._embedded:
            self._get("/health", deadline)
        return self._embedded is True

    # --- ending --------------------------------------------------------------------------------------------------------

    def withdraw(self, question: Question, deadline: Deadline) -> Withdrawal:
        """Take it back; see the contract. On the platform that is a denial by ``withdrawn``.

        It is said once: said again after a lost answer it would meet its own work, and "it had ended before" would no
        longer prove that somebody else had decided.
        """
        answer = self._withdraw(self._one(question.approval_id), deadline)
        if answer.status == 200:
            wire.check_done(answer.body, question.approval_id, Status.DENIED)
            return Withdrawal(taken_back=True, settled=False)
        if self._says_ended(answer, question):
            return Withdrawal(taken_back=False, settled=True)
        raise judge(answer)

    def _withdraw(self, path: str, deadline: Deadline) -> Answer:
        if self._embedded is not False:
            answer = self._post(f"{path}/withdraw", deadline, b"{}")
            if self._is_addition(answer):
                return answer
        answer = self._post(f"{path}/decide", deadline, wire.decide_body(Status.DENIED, WITHDRAWN_BY))
        # The embedded server after all, which takes no decision from a requester: this time by its own route.
        return self._post(f"{path}/withdraw", deadline, b"{}") if self._embedded else answer

    @staticmethod
    def _says_ended(answer: Answer, question: Question) -> bool:
        """Whether a refusal says that the request is not open: it has ended, or nobody knows it."""
        said = wire.read_error(answer.body)
        about = said.get("approval_id", question.approval_id) == question.approval_id
        known = said.get("code") in {None, "ended", "unknown_approval"} and isinstance(said.get("error"), str)
        return answer.status in {404, 409} and answer.is_json and about and known

    def decide(self, question: Question, decision: Status, comment: str | None, deadline: Deadline) -> None:
        """Approve or deny; see the contract."""
        if comment is not None and not self.verifies_approvers(deadline):
            raise RejectedError(
                "this platform cannot keep a comment", status=422, hint="decide without --comment, and tell the requester"
            )
        path = f"{self._one(question.approval_id)}/decide"
        answer = self._post(path, deadline, wire.decide_body(decision, self._actor, comment))
        if answer.status == 200:
            wire.check_done(answer.body, question.approval_id, decision)
        elif self._says_ended(answer, question):
            raise EndedError(self._how_it_ended(question, wire.read_error(answer.body), deadline))
        else:
            raise judge(answer)

    def _how_it_ended(self, question: Question, said: dict[str, JsonValue], deadline: Deadline) -> str:
        status, by = said.get("status"), said.get("decided_by")
        if not isinstance(status, str):
            try:
                row = self.fetch(question, deadline).approval
            except ApprovalError:
                row = None  # that it has ended is certain; how, is only good to know
            if row is None:
                return "the platform knows no such open request"
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
        """Let go of every connection."""
        self._http.close()
        if self._stream is not None:
            self._stream.close()


def _created(row: Approval) -> datetime:
    # As moments, not as text: the platform leaves trailing zeros out, and then text sorts wrongly.
    return wire.instant(row.created_at) or _LONG_AGO


def _oldest(rows: list[Approval]) -> Approval | None:
    # The list is newest first; where creation times tie or are missing, the order of the list decides.
    return min(reversed(rows), key=_created, default=None)


def _sight(rows: list[Approval], question: Question) -> Sighting:
    """What a list shows of a question: a denial of any of its rows denies, then a yes to one counts; else the oldest."""
    ours = [row for row in rows if answers(row, question)]
    decided = [[row for row in ours if rule(row) is ruling] for ruling in (Ruling.DENIED, Ruling.APPROVED)]
    chosen = next(filter(None, map(_oldest, (*decided, ours))), None)
    last = _oldest(rows)
    return Sighting(
        approval=chosen,
        # By id: a list that shows one row twice shows no second question.
        extras=tuple(row for row in ours if chosen is not None and row.id != chosen.id and rule(row) is Ruling.OPEN),
        crowded=len(rows) >= wire.LIST_LENGTH,
        oldest=None if last is None else last.created_at,
        strange=any(row.id == question.approval_id and not answers(row, question) for row in rows),
    )
