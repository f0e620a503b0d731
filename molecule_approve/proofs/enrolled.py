"""The keys that count: one of an approver, with what it is taken for; and whether a proof is by it, over a statement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import passkey, ssh
from .faults import ProofError
from .passkey import Passkey
from .presence import Presence

if TYPE_CHECKING:
    from collections.abc import Mapping

    from molecule_approve.model import JsonValue

    from .key_statement import KeyStatement
    from .ssh import SshKey
    from .statement import Statement


_FIELDS = {
    "ssh": {"kind", "signature"},
    "passkey": {"kind", "credential_id", "client_data", "authenticator_data", "signature"},
}


@dataclass(frozen=True, slots=True)
class EnrolledKey:
    """A key of an approver. ``presence`` is the least that its signatures have to prove."""

    approver: str
    key: SshKey | Passkey
    presence: Presence

    def describe(self) -> str:
        """The key, as a person finds it again."""
        return f"passkey {self.key.credential_id[:16]}" if isinstance(self.key, Passkey) else self.key.fingerprint


@dataclass(frozen=True, slots=True)
class Proven:
    """What a proof shows.

    Attributes:
        kind: ``passkey``, ``ssh-sk`` or ``ssh``, as decisions name it.
        counter: the key's own count of its uses; None for one that has none.
    """

    kind: str
    presence: Presence
    counter: int | None = None


def check_form(proof: Mapping[str, JsonValue]) -> None:
    """Check that the proof has a proof's fields, all of them texts, and no others: it is kept as it is.

    Raises:
        ProofError: it has not.
    """
    if proof.keys() != _FIELDS.get(str(proof.get("kind")), set()) or not all(isinstance(one, str) for one in proof.values()):
        raise ProofError("it has other fields than a proof has")


def key_named(proof: Mapping[str, JsonValue]) -> str | None:
    """The key that a proof says it is by, unchecked: a passkey's id, or an SSH key's text; None if it names none."""
    if proof.get("kind") == "passkey":
        named = proof.get("credential_id")
        return named if isinstance(named, str) else None
    try:
        return ssh.parse_ssh_signature(str(proof.get("signature"))).key.text
    except ProofError:
        return None


def check_proof(proof: Mapping[str, JsonValue], statement: Statement | KeyStatement, enrolled: EnrolledKey) -> Proven:
    """What the proof shows, if the key made it over this statement.

    Raises:
        ProofError: it did not, or shows less than the key has to.
    """
    found = _check(proof, statement, enrolled.key)
    if found.presence.rank < enrolled.presence.rank:
        raise ProofError(f"it proves {found.presence.sentence}, and this key has to prove {enrolled.presence.sentence}")
    return found


def _check(proof: Mapping[str, JsonValue], statement: Statement | KeyStatement, key: SshKey | Passkey) -> Proven:
    if isinstance(key, Passkey):
        if proof.get("kind") != "passkey":
            raise ProofError("it is not an assertion of a passkey")
        assertion = passkey.read_assertion(proof)
        passkey.check_assertion(assertion, key, statement.digest)
        return Proven("passkey", Presence.VERIFIED if assertion.verified else Presence.REQUIRED, assertion.counter)
    armored = proof.get("signature")
    if proof.get("kind") != "ssh" or not isinstance(armored, str):
        raise ProofError("it is not an SSH signature")
    signature = ssh.check_ssh_signature(armored, key, statement.signed_line)
    if not key.is_hardware:
        return Proven("ssh", Presence.SIGNATURE)
    touched = Presence.VERIFIED if signature.verified else Presence.REQUIRED
    return Proven("ssh-sk", touched if signature.touched else Presence.SIGNATURE, signature.counter)
