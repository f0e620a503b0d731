"""What answers at an endpoint: the exchanges with it, the errors that its answers stand for, and whose answers they are."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from molecule_approve import wire
from molecule_approve.errors import CredentialError, PlatformError, RejectedError, UnavailableError

from .http import Answer, Http, retry_after

if TYPE_CHECKING:
    from molecule_approve.clock import Deadline
    from molecule_approve.model import Endpoint

ANSWER_LIMIT = 1024 * 1024
"""The most bytes of one answer."""

LIST_LIMIT = 32 * 1024 * 1024
"""The most bytes of a list: fifty requests, of which the platform accepts ones of a megabyte."""

_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})

_DATABASE_AWAY = "its database does not answer; try again in a minute, and if that does not help look at the server's log"


def error_for(answer: Answer) -> PlatformError:
    """The error for an answer that is not a success."""
    body = wire.read_error(answer.body)
    said = body.get("error")
    text = f": {said[:300]}" if isinstance(said, str) and said else ""
    status = answer.status
    if status in _TRANSIENT or status > 504:
        wait = retry_after(answer.headers.get("retry-after"), time.time())
        hint = _DATABASE_AWAY if body.get("code") == "platform_unavailable" else ""
        return UnavailableError(f"the platform answered {status}{text}", status=status, retry_after=wait, hint=hint)
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


class Peer(Http):
    """What answers at an endpoint; ``requests`` is the path of the workspace's requests.

    The embedded server marks its answers (``wire.is_signed``). After the first mark it is known for good (``embedded``): an
    answer without it comes from something else, and is an error. A missing mark proves nothing.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        self.embedded = False
        self.workspace_id = endpoint.workspace_id
        self.requests = f"/workspaces/{endpoint.workspace_id}/approvals"

    def path(self, approval_id: str) -> str:
        """The path of one request."""
        return wire.approval_path(self.workspace_id, approval_id)

    def get(self, path: str, deadline: Deadline, limit: int = ANSWER_LIMIT) -> Answer:
        """One GET; raises as :meth:`post`."""
        return self._checked(self.exchange("GET", path, deadline, limit=limit))

    def get_list(self, deadline: Deadline, query: str = "") -> Answer:
        """The workspace's requests; raises as :meth:`post`, and where the answer is not a success."""
        answer = self.get(self.requests + query, deadline, LIST_LIMIT)
        if answer.status != 200:
            raise error_for(answer)
        return answer

    def post(
        self,
        path: str,
        deadline: Deadline,
        body: bytes,
        *,
        headers: dict[str, str] | None = None,
        repeatable: bool = False,
    ) -> Answer:
        """One POST.

        Raises:
            UnavailableError: no answer; or the embedded server is known, and this answer is not its: an approval could be
                read from it without being redeemed.
            ProtocolError: as :meth:`exchange` says.
        """
        return self._checked(
            self.exchange("POST", path, deadline, body=body, headers=headers, limit=ANSWER_LIMIT, repeatable=repeatable)
        )

    def _checked(self, answer: Answer) -> Answer:
        if wire.is_signed(answer.headers, answer.body):
            self.embedded = True
        elif self.embedded:
            if answer.status in _TRANSIENT:
                raise error_for(answer)
            raise UnavailableError(
                f"the answer ({answer.status}) is not from the embedded server",
                status=answer.status,
                hint="a proxy or a login page may be in between",
            )
        return answer
