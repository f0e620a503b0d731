"""A desk whose approvers have passkeys, which software makes: it says whatever it is told to."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from molecule_approve.clock import utc_now
from molecule_approve.proofs.passkey import decode
from molecule_approve.proofs.statement import Statement, parse_subject
from molecule_approve.server import enrolment
from tests.proofs.signing import SoftwareAuthenticator

if TYPE_CHECKING:
    import httpx

    from tests.server.desk import Client, Desk


def enrolment_challenge(secret: str) -> bytes:
    """What a new passkey signs, as the page computes it too: about this code, or this approver."""
    return hashlib.sha256(f"molecule-approve passkey enrolment v1\n{secret}".encode()).digest()


def addition_challenge(user: str, attestation: str) -> bytes:
    """What a passkey signs to vouch for a new one of this approver: about this very key."""
    attested = hashlib.sha256(decode(attestation)).hexdigest()
    return hashlib.sha256(f"molecule-approve passkey addition v1\n{user}\n{attested}".encode()).digest()


@dataclass
class PasskeyDesk:
    """The desk, and clients of approvers who have signed in; use it inside ``with``, which closes them."""

    desk: Desk
    _clients: dict[str, Client] = field(default_factory=dict)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients.values():
            client.close()

    @property
    def origin(self) -> str:
        """The page on which passkeys work."""
        return f"http://localhost:{urlsplit(self.desk.server.url).port}"

    def client(self, name: str = "alice") -> Client:
        """Calls in the session of this approver."""
        if name not in self._clients:
            self._clients[name] = self.desk.client(self.desk.session(name))
        return self._clients[name]

    def authenticator(self, name: str = "alice", **more: Any) -> SoftwareAuthenticator:  # noqa: ANN401 - as its fields
        """A new authenticator, on the page where passkeys work."""
        return SoftwareAuthenticator(**{"origin": self.origin, "credential_id": f"of {name}".encode(), **more})

    def code(self, name: str = "alice") -> str:
        """The code of a fresh link."""
        with self.desk.server.opened() as store:
            return enrolment.new_key_code(store, name)

    def enrol(self, made_by: SoftwareAuthenticator, code: str, /, **changed: object) -> httpx.Response:
        """Make a passkey for this code, and enrol it; nobody is signed in."""
        body = {"code": code, "label": "laptop", **made_by.make(enrolment_challenge(code)), **changed}
        with self.desk.client(None) as client:
            return client.post("/desk/keys/passkey", json=body)

    def enrolled(self, name: str = "alice", **more: Any) -> SoftwareAuthenticator:  # noqa: ANN401 - as above
        """An authenticator whose passkey is enrolled; it has been used once since."""
        found = self.authenticator(name, **more)
        answer = self.enrol(found, self.code(name))
        assert answer.status_code == 201, answer.text
        found.counter += 1
        return found

    def statement(self, approval_id: str, decision: str = "approved", approver: str = "alice") -> Statement:
        """What this approver would sign now."""
        subject = self.client(approver).get(f"/desk/requests/{approval_id}").json()["subject"]
        return Statement(parse_subject(subject), decision, approver, utc_now())

    def decide(
        self, approval_id: str, statement: Statement, proof: dict[str, str], name: str = "alice", decision: str = "approved"
    ) -> httpx.Response:
        """Decide as this approver, with a proof."""
        body = {"decision": decision, "statement": statement.text, "proof": proof}
        return self.client(name).post(f"{self.desk.path}/{approval_id}/decide", json=body)
