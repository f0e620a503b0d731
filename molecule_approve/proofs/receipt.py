"""A receipt: what was asked, every decision with its proof, signed by the server; and how it is checked without the server.

docs/receipts.md describes it. Only keys that the checker keeps count: what a receipt says about keys proves nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from molecule_approve.lifecycle import name_key
from molecule_approve.strict_json import StrictJsonError, loads

from .canonical import canonical
from .enrolled import check_proof
from .faults import ProofError
from .keys_file import ServerKey
from .passkey import decode, encode
from .statement import Statement, Subject, context_digest, parse_statement, parse_subject, run_digest

if TYPE_CHECKING:
    from collections.abc import Callable

    from molecule_approve.model import JsonValue

    from .keys_file import KeyRing

TYPE = "molecule-approve receipt v1"
LIMIT = 1 << 20
"""The largest receipt that is read, in bytes."""

_TAG = f"{TYPE}\n".encode()
_FIELDS = {"type", "subject", "context", "status", "ended_at", "decisions", "server"}
_DECISION_FIELDS = {"by", "at", "decision", "comment", "statement", "proof"}


class ProvenDecision(NamedTuple):
    """A decision in a receipt. Without a statement and a proof it is only what the server says."""

    by: str
    at: str
    decision: str
    comment: str | None
    statement: str | None
    proof: Mapping[str, JsonValue] | None


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt. ``status`` and ``ended_at``: how and when the request ended, as the server says."""

    subject: Subject
    context: Mapping[str, JsonValue] | None
    status: str
    ended_at: str
    decisions: tuple[ProvenDecision, ...]

    def body(self, server: str, key: bytes) -> dict[str, JsonValue]:
        """The receipt without the server's signature."""
        return {
            "type": TYPE,
            "subject": self.subject.fields,
            "context": None if self.context is None else dict(self.context),
            "status": self.status,
            "ended_at": self.ended_at,
            "decisions": [dict(one._asdict()) for one in self.decisions],
            "server": {"id": server, "key": encode(key)},
        }

    def sign(self, server: str, key: bytes, sign: Callable[[bytes], bytes]) -> dict[str, JsonValue]:
        """The receipt as it is written, with the signature that ``sign`` makes over the hash."""
        body = self.body(server, key)
        return {**body, "server": {"id": server, "key": encode(key), "signature": encode(sign(_hash(body)))}}


def _hash(body: Mapping[str, JsonValue]) -> bytes:
    return hashlib.sha256(_TAG + canonical(dict(body))).digest()


class ReceiptCheck(NamedTuple):
    """One thing that was looked at, and whether it holds."""

    passed: bool
    sentence: str


class SignedReceipt(NamedTuple):
    """A receipt that was read. ``signed`` is the hash that the server's signature is over."""

    receipt: Receipt
    server: ServerKey
    signature: bytes
    signed: bytes


def parse_receipt(data: bytes) -> SignedReceipt:
    """A receipt, not checked yet.

    Raises:
        ProofError: it is none.
    """
    if len(data) > LIMIT:
        raise ProofError(f"it is larger than {LIMIT:,} bytes")
    try:
        fields = loads(data)
    except StrictJsonError as exc:
        raise ProofError(f"it is not JSON: {exc}") from None
    if not isinstance(fields, dict) or fields.get("type") != TYPE or fields.keys() != _FIELDS:
        raise ProofError(f"it is not {TYPE!r}")
    try:
        return _parse(fields)
    except ValueError as exc:
        raise ProofError(str(exc)) from None


def _parse(fields: dict[str, JsonValue]) -> SignedReceipt:
    context = fields["context"]
    receipt = Receipt(
        parse_subject(_object(fields["subject"], Subject.__slots__)),
        None if context is None else _object(context),
        _text(fields["status"]),
        _text(fields["ended_at"]),
        tuple(_decision(_object(row, _DECISION_FIELDS)) for row in _list(fields["decisions"])),
    )
    server = _object(fields["server"], {"id", "key", "signature"})
    key, signature = decode(server["key"]), decode(server["signature"])
    known = ServerKey(_text(server["id"]), key)
    return SignedReceipt(receipt, known, signature, _hash(receipt.body(known.id, key)))


def _decision(row: Mapping[str, JsonValue]) -> ProvenDecision:
    by, at, decision = (_text(row[name]) for name in ("by", "at", "decision"))
    comment, statement = (None if row[name] is None else _text(row[name]) for name in ("comment", "statement"))
    return ProvenDecision(by, at, decision, comment, statement, None if row["proof"] is None else _object(row["proof"]))


def _object(value: JsonValue, names: Collection[str] | None = None) -> dict[str, JsonValue]:
    if not isinstance(value, dict) or (names is not None and value.keys() != set(names)):
        raise ValueError("it has other fields than a receipt has")
    return value


def _list(value: JsonValue) -> list[JsonValue]:
    if not isinstance(value, list):
        raise ValueError("it has no list of decisions")  # noqa: TRY004 - as for the other fields
    return value


def _text(value: JsonValue) -> str:
    if not isinstance(value, str):
        raise ValueError("one of its fields is not text")  # noqa: TRY004 - as above
    return value


# --- checking ----------------------------------------------------------------------------------------------------------


def check_receipt(signed: SignedReceipt, ring: KeyRing) -> list[ReceiptCheck]:
    """Whether the holders of enough of these keys approved the request: everything that has to hold, a sentence for each."""
    receipt, subject = signed.receipt, signed.receipt.subject
    return [
        _check_server(signed, ring),
        ReceiptCheck(receipt.status == "approved", f"the request was {receipt.status}, as the server says"),
        _check_context(receipt),
        _check_command(subject),
        *_check_decisions(receipt, ring),
    ]


def _check_server(signed: SignedReceipt, ring: KeyRing) -> ReceiptCheck:
    subject, server = signed.receipt.subject, signed.server
    if subject.server != server.id:
        return ReceiptCheck(False, "the decisions were made at another server than the one that wrote the receipt")
    if ring.server is not None and ring.server != server:
        return ReceiptCheck(False, f"it is by the server {server.id}, or by another key than {ring.server.id}'s")
    if not _is_signed(signed):
        return ReceiptCheck(False, "the server's signature does not fit the receipt")
    known = "the server that is listed" if ring.server is not None else "a server that is not listed, which proves little"
    return ReceiptCheck(True, f"it is signed by {known}: {server.id}")


def _is_signed(signed: SignedReceipt) -> bool:
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - 30 ms, only where something is verified
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415

    try:
        Ed25519PublicKey.from_public_bytes(signed.server.key).verify(signed.signature, signed.signed)
    except (InvalidSignature, ValueError):
        return False
    return True


def _check_context(receipt: Receipt) -> ReceiptCheck:
    same = context_digest(receipt.context) == receipt.subject.context_sha256
    return ReceiptCheck(same, "the context is the one that was decided on")


def _check_command(subject: Subject) -> ReceiptCheck:
    digest = run_digest(subject.action)
    if digest is None and subject.run_sha256 is None:
        return ReceiptCheck(True, "the action is a text, and not a command of `run`")
    return ReceiptCheck(digest == subject.run_sha256, "the digest of the command is the one in the action")


def _check_decisions(receipt: Receipt, ring: KeyRing) -> list[ReceiptCheck]:
    checks, people = list[ReceiptCheck](), dict[str, str]()
    for decision in receipt.decisions:
        if decision.decision != "approved":
            checks.append(ReceiptCheck(False, f"{decision.by} {decision.decision} the request"))
            continue
        try:
            shown = _prove(decision, receipt.subject, ring)
        except ProofError as exc:
            checks.append(ReceiptCheck(True, f"the approval by {decision.by} does not count: {exc}"))
            continue
        people[name_key(decision.by)] = decision.by
        checks.append(ReceiptCheck(True, f"{decision.by} approved this very request at {decision.at}: {shown}"))
    names = ", ".join(people.values()) or "nobody"
    # Whoever signed has said yes together with so many: a server may not leave some of them out.
    need = max(ring.approvals, receipt.subject.approvals)
    return [*checks, ReceiptCheck(len(people) >= need, f"{len(people)} of {need} approvals are proven: {names}")]


def _prove(decision: ProvenDecision, subject: Subject, ring: KeyRing) -> str:
    """What proves the approval.

    Raises:
        ProofError: nothing does.
    """
    if decision.statement is None or decision.proof is None:
        raise ProofError("it has no proof")
    try:
        statement = parse_statement(decision.statement)
    except ValueError as exc:
        raise ProofError(f"its statement is malformed: {exc}") from None
    if statement != Statement(subject, decision.decision, decision.by, decision.at):
        raise ProofError("its statement is about something else")
    why = ProofError("no key of this approver is listed")
    for enrolled in ring.keys_of(decision.by):
        try:
            proven = check_proof(decision.proof, statement, enrolled)
        except ProofError as exc:
            why = exc
        else:
            return f"{proven.presence.sentence} ({proven.kind}, {enrolled.describe()})"
    raise why
