"""An approver with a key: software plays a hardware SSH key, and signs decisions as the terminal does."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from molecule_approve.clock import utc_now
from molecule_approve.proofs.enrolled import EnrolledKey
from molecule_approve.proofs.keys_file import key_line
from molecule_approve.proofs.presence import Presence
from molecule_approve.proofs.statement import Statement, parse_subject
from molecule_approve.server.database.values import KeyRow
from tests.proofs.signing import SoftwareHardwareKey

if TYPE_CHECKING:
    import httpx

    from tests.server.desk import Desk


@dataclass
class Signer:
    """An approver of a desk's server, whose key is enrolled there."""

    desk: Desk
    name: str
    key: SoftwareHardwareKey = field(default_factory=SoftwareHardwareKey)

    def __post_init__(self) -> None:
        with self.desk.server.opened() as store, store.write() as transaction:
            found = transaction.decisions.people_now()[self.name].id
            public = self.key.key.text
            transaction.keys.add(KeyRow(str(uuid.uuid4()), found, "ssh", "token", public, utc_now(), "administrator"))

    @property
    def line(self) -> str:
        """The line of the keys file."""
        return key_line(EnrolledKey(self.name, self.key.key, Presence.REQUIRED))

    def statement(self, approval_id: str, decision: str = "approved") -> Statement:
        """A decision about the request, as the server describes it."""
        found = self.desk.decider.get(f"{self.desk.path}/{approval_id}").json()["subject"]
        return Statement(parse_subject(found), decision, self.name, utc_now())

    def sign(self, made: Statement) -> dict[str, Any]:
        """The proof of a statement."""
        self.key.counter += 1
        return {"kind": "ssh", "signature": self.key.sign(made.signed_line)}

    def decide(self, approval_id: str, decision: str = "approved") -> httpx.Response:
        """Decide with a proof."""
        made = self.statement(approval_id, decision)
        body = {"decision": decision, "statement": made.text, "proof": self.sign(made)}
        with self.desk.client(self.desk.session(self.name)) as client:
            return client.post(f"{self.desk.path}/{approval_id}/decide", json=body)
