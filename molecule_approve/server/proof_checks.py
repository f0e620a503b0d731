"""What the proof of a decision shows: its statement is about this very request, and a key of the approver signed it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from molecule_approve.proofs.enrolled import EnrolledKey, Proven, check_form, check_proof
from molecule_approve.proofs.faults import ProofError
from molecule_approve.proofs.presence import Presence
from molecule_approve.proofs.ssh import parse_ssh_key
from molecule_approve.proofs.statement import Statement, Subject, context_digest, parse_statement, run_digest
from molecule_approve.wire import compact, instant

from . import passkeys
from .counting import requirement_of
from .database.values import epoch_text
from .deciding import CheckedProof
from .refusals import bad_proof, proof_used, wrong_statement

if TYPE_CHECKING:
    from molecule_approve.model import Approval, JsonValue, Status
    from molecule_approve.proofs.key_statement import KeyStatement

    from .access import Approver
    from .bodies import DecisionBody
    from .database.transaction import Transaction
    from .database.values import KeyRow, StoredApproval

CLOCKS_APART = 300.0
"""Seconds by which the approver's clock, whose time is in the statement, and the server's may differ."""


def subject_of(approval: Approval, server: str) -> Subject:
    """What statements about this request say of it."""
    requirement = requirement_of(approval)
    return Subject(
        server=server,
        workspace=approval.workspace_id,
        request=approval.id,
        task=approval.task_id,
        requester=approval.requested_by,
        action=approval.action,
        reason=approval.reason,
        context_sha256=context_digest(approval.context),
        run_sha256=run_digest(approval.action),
        rule=requirement.rule,
        rule_sha256=requirement.rule_sha256,
        approvals=requirement.approvals,
    )


@dataclass(frozen=True, slots=True)
class ProofChecks:
    """Checks proofs for the server of this id. ``origins``: the pages on which a passkey may be used."""

    server: str
    origins: tuple[str, ...]

    def check(
        self, transaction: Transaction, approver: Approver, stored: StoredApproval, body: DecisionBody
    ) -> CheckedProof:
        """What the proof of this decision shows.

        Raises:
            RefusedError: 422, the statement is about something else, or no key of the approver fits; 409, it was used.
        """
        if body.proof is None or body.statement is None:
            return CheckedProof("session" if approver.session_id is not None else "token")
        statement = self._statement(transaction, approver, stored, body.status, body.statement)
        if transaction.decisions.is_used(statement.digest.hex()):
            raise proof_used()
        _, proven = self.proven(transaction, approver, statement, body.proof)
        proof = compact(dict(body.proof))
        return CheckedProof(proven.kind, proven.presence, statement.text, proof, statement.digest.hex())

    def _statement(
        self, transaction: Transaction, approver: Approver, stored: StoredApproval, decision: Status, text: str
    ) -> Statement:
        try:
            said = parse_statement(text)
        except ValueError as exc:
            raise wrong_statement(f"the statement cannot be read: {exc}") from None
        expected = Statement(subject_of(stored.approval, self.server), decision.value, approver.name, said.at)
        if said != expected:
            raise wrong_statement(f"the statement is about something else: {', '.join(_differing(said, expected))}")
        check_time(said.at, transaction.now)
        return said

    def proven(
        self,
        transaction: Transaction,
        approver: Approver,
        statement: Statement | KeyStatement,
        proof: Mapping[str, JsonValue],
    ) -> tuple[KeyRow, Proven]:
        """The key of the approver that signed the statement, whose counter is remembered, and what that shows.

        Raises:
            RefusedError: 422, none did; or its counter went back.
        """
        row, found = self._signed_by(transaction, approver, statement, proof)
        # 0 from a key that does not count; one that did never starts again.
        counts = found.counter or (found.counter is not None and row.sign_count)
        if counts and not transaction.keys.note_count(row.id, found.counter or 0):
            raise bad_proof(f"the key {row.label!r} has counted backwards, so there may be a copy of it")
        return row, found

    def _signed_by(
        self,
        transaction: Transaction,
        approver: Approver,
        statement: Statement | KeyStatement,
        proof: Mapping[str, JsonValue],
    ) -> tuple[KeyRow, Proven]:
        try:
            check_form(proof)
        except ProofError as exc:
            raise bad_proof(str(exc)) from None
        why = f"{approver.name} has no such key here"
        for row in _rows_of(proof, transaction.keys.of_approver(approver.id)):
            try:
                return row, self._check_by(row, approver, statement, proof)
            except ProofError as exc:
                why = str(exc)
        raise bad_proof(why)

    def _check_by(
        self, row: KeyRow, approver: Approver, statement: Statement | KeyStatement, proof: Mapping[str, JsonValue]
    ) -> Proven:
        proven = check_proof(proof, statement, enrolled_key(approver.name, row, self.origins))
        if row.kind == "passkey":
            # Whether a person had to be verified, the request's rule says: whoever counts looks at what was shown.
            passkeys.verify_use(proof, statement.digest, row, self.origins)
        return proven


def _rows_of(proof: Mapping[str, JsonValue], rows: list[KeyRow]) -> list[KeyRow]:
    """The keys that may have made the proof: one of a passkey says which."""
    if proof.get("kind") != "passkey":
        return rows
    return [row for row in rows if row.credential_id == proof.get("credential_id")]


def check_time(at: str, now: float) -> None:
    """Check that a statement was made now.

    Raises:
        RefusedError: 422, it was not; both times are said.
    """
    moment = instant(at)
    if moment is None or abs(moment.timestamp() - now) > CLOCKS_APART:
        raise wrong_statement(
            f"the statement was made at {at[:40]}, and here it is {epoch_text(now)}; "
            f"the clocks may be {CLOCKS_APART:.0f} s apart, so check yours"
        )


def enrolled_key(name: str, row: KeyRow, origins: tuple[str, ...]) -> EnrolledKey:
    """The key as proofs know it; it may prove as much or little as it does."""
    if row.kind == "passkey":
        return EnrolledKey(name, passkeys.passkey_of(row, origins), Presence.SIGNATURE)
    return EnrolledKey(name, parse_ssh_key(row.public_key), Presence.SIGNATURE)


def _differing(said: Statement, expected: Statement) -> list[str]:
    names = [name for name in Subject.__slots__ if getattr(said.subject, name) != getattr(expected.subject, name)]
    outer = replace(said, subject=expected.subject)
    return names + [name for name in ("decision", "approver") if getattr(outer, name) != getattr(expected, name)]
