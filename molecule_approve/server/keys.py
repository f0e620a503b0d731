"""REST for an approver's own keys: listing them, adding an SSH key for which an enrolled one vouches, removing one.

An administrator enrols the first key, on the database (``enrolment``); passkeys have routes of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from molecule_approve.clock import utc_now
from molecule_approve.proofs.faults import ProofError
from molecule_approve.proofs.key_statement import KeyStatement, parse_key_statement
from molecule_approve.proofs.presence import Presence
from molecule_approve.proofs.ssh import parse_ssh_key

from .api import answer
from .bodies import parse_key, read_body
from .enrolment import checked_label, ssh_row
from .proof_checks import check_time
from .refusals import bad_proof, first_key, key_in_use, unacceptable, unknown_key, wrong_statement

if TYPE_CHECKING:
    from molecule_approve.model import JsonValue
    from molecule_approve.proofs.ssh import SshKey

    from .access import AccessControl, Approver, Visitor
    from .bodies import KeyBody
    from .calls import HttpCall, Response
    from .database.transaction import Transaction
    from .database.values import KeyRow
    from .limits import Limits
    from .proof_checks import ProofChecks
    from .threads import DatabaseThreads

_BODY = 65_536
"""Bytes of a body with a new key: RSA's largest, twice, and a signature by it."""


@dataclass(frozen=True, slots=True)
class KeysApi:
    """The handlers."""

    database: DatabaseThreads
    access: AccessControl
    limits: Limits
    checks: ProofChecks

    async def own(self, call: HttpCall) -> Response:
        """``GET /desk/keys``, by an approver: the own keys, and what a statement about a further one has to say."""
        with self.access.admit(call) as visitor:
            approver, rows = await self.database.read(partial(_own, visitor))
        keys: list[JsonValue] = [key_json(row) for row in rows]
        return answer({"name": approver.name, "server_id": self.checks.server, "keys": keys})

    async def add(self, call: HttpCall) -> Response:
        """``POST /desk/keys``, by an approver: enrols an SSH key for which another key of theirs vouches."""
        with self.access.admit(call) as visitor:
            await self.database.read(visitor.administrator)
            body = parse_key(await read_body(call, _BODY), self.limits)
            key, label = _checked(body)
            row = ssh_row("", key, label, "")
            added, vouching, name = await self.database.write(
                partial(self._add, visitor, body=body, row=row, is_hardware=key.is_hardware)
            )
        self.access.activity.key_added(name, added.label, vouching.label)
        return answer(key_json(added), 201)

    def _add(
        self, visitor: Visitor, transaction: Transaction, *, body: KeyBody, row: KeyRow, is_hardware: bool
    ) -> tuple[KeyRow, KeyRow, str]:
        approver = visitor.administrator(transaction)
        before = transaction.keys.earlier(row.public_key)
        if transaction.again and before and before[0].key.id == row.id:
            return before[0].key, before[0].key, approver.name  # the first try was stored, and only its answer lost
        if before:
            raise key_in_use("this key is enrolled here, or was before; only an administrator enrols it again")
        if not transaction.keys.of_approver(approver.id):
            raise first_key(approver.name)
        statement = self._statement(transaction, approver, row, body.statement)
        vouching, proven = self.checks.proven(transaction, approver, statement, body.proof)
        if is_hardware and proven.presence is not Presence.VERIFIED:
            # Else a stolen software key could enrol a program that claims to be hardware, and count as a person's touch.
            raise bad_proof("a hardware key is enrolled by an administrator, or with a key that verified the person")
        added = replace(row, approver_id=approver.id, added_by=vouching.id)
        transaction.keys.add(added)
        return added, vouching, approver.name

    def _statement(self, transaction: Transaction, approver: Approver, row: KeyRow, text: str) -> KeyStatement:
        try:
            said = parse_key_statement(text)
        except ValueError as exc:
            raise wrong_statement(f"the statement cannot be read: {exc}") from None
        expected = KeyStatement(self.checks.server, approver.name, row.kind, row.public_key, said.at)
        if said != expected:
            names = [name for name in KeyStatement.__slots__ if getattr(said, name) != getattr(expected, name)]
            raise wrong_statement(f"the statement is about something else: {', '.join(names)}")
        check_time(said.at, transaction.now)
        return said

    async def remove(self, call: HttpCall) -> Response:
        """``POST /desk/keys/{key_id}/remove``, by an approver: one of their keys proves nothing any more."""
        key_id = call.path_params["key_id"]
        with self.access.admit(call) as visitor:
            name = await self.database.write(partial(_remove, visitor, key_id=key_id))
        self.access.activity.key_removed(name, key_id)
        return answer({"id": key_id, "status": "removed"})


def key_json(row: KeyRow) -> dict[str, JsonValue]:
    """A key as its owner sees it."""
    shown = ("id", "kind", "label", "public_key", "added_at", "added_by")
    return {name: getattr(row, name) for name in shown}


def _own(visitor: Visitor, transaction: Transaction) -> tuple[Approver, list[KeyRow]]:
    approver = visitor.administrator(transaction)
    return approver, transaction.keys.of_approver(approver.id)


def _checked(body: KeyBody) -> tuple[SshKey, str]:
    try:
        return parse_ssh_key(body.public_key), checked_label(body.label)
    except (ProofError, ValueError) as exc:
        raise unacceptable(f"this key cannot be enrolled: {exc}") from None


def _remove(visitor: Visitor, transaction: Transaction, *, key_id: str) -> str:
    approver = visitor.administrator(transaction)
    if any(row.id == key_id for row in transaction.keys.of_approver(approver.id)):
        transaction.keys.remove(key_id, utc_now())
    elif not transaction.again:
        raise unknown_key()
    return approver.name
