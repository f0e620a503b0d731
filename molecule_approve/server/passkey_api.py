"""REST for passkeys: where they can be used, whom a link is for, and enrolling one. Using one is a decision (``api``)."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from molecule_approve.clock import utc_now
from molecule_approve.proofs.faults import ProofError

from .api import answer
from .bodies import PasskeyBody, parse_key_code, parse_passkey, read_body
from .database.values import KeyRow
from .enrolment import ADMINISTRATOR, checked_label
from .passkeys import addition_challenge, enrolment_challenge, verify_new, verify_vouching
from .refusals import bad_body, bad_proof, key_known, no_passkeys, unacceptable, wrong_key_code
from .sign_in import SECRET_BODY
from .tokens import hash_token

if TYPE_CHECKING:
    from molecule_approve.model import JsonValue

    from .access import AccessControl, Approver, Visitor
    from .calls import HttpCall, Response
    from .database.transaction import Transaction
    from .database.values import KeyOwner
    from .limits import Limits
    from .passkeys import PasskeySite
    from .threads import DatabaseThreads

_BODY = 16_384
"""Bytes of a body with a new passkey: an attestation can bring certificates along. Its sender is not authenticated yet."""


@dataclass(frozen=True, slots=True)
class PasskeyApi:
    """The handlers. ``site``: where passkeys can be used."""

    database: DatabaseThreads
    access: AccessControl
    limits: Limits
    site: PasskeySite

    async def own(self, call: HttpCall) -> Response:
        """``GET /desk/passkeys``, by an approver: the own passkeys, and where they can be used."""
        with self.access.admit(call) as visitor:
            approver, rows = await self.database.read(partial(_own, visitor))
        keys: list[JsonValue] = [
            {"id": row.id, "label": row.label, "credential_id": row.credential_id, "added_at": row.added_at} for row in rows
        ]
        return answer({**self._whose(approver.id, approver.name), "keys": keys})

    def _whose(self, approver_id: str, name: str) -> dict[str, JsonValue]:
        site = self.site
        where: dict[str, JsonValue] = {"available": site.works, "rp_id": site.rp_id, "page": site.page}
        return {**where, "user": approver_id, "name": name}

    async def invited(self, call: HttpCall) -> Response:
        """``POST /desk/keys/invitation``: whom the code of a link for a passkey is for; it stays valid."""
        self._check_works()
        with self.access.admit_sign_in(call):
            code_hash = hash_token(parse_key_code(await read_body(call, SECRET_BODY)))
            owner, rows = await self.database.read(partial(self._invited, code_hash=code_hash))
        known: list[JsonValue] = [row.credential_id for row in rows]
        return answer({**self._whose(*owner), "known": known})

    def _invited(self, transaction: Transaction, *, code_hash: str) -> tuple[tuple[str, str], list[KeyRow]]:
        owner = self._owner(transaction, code_hash)
        return owner, _passkeys(transaction, owner[0])

    def _owner(self, transaction: Transaction, code_hash: str) -> tuple[str, str]:
        found = transaction.keys.code_owner(code_hash, transaction.now, self.limits.key_code)
        if found is None:
            raise wrong_key_code()
        return found

    async def enrol(self, call: HttpCall) -> Response:
        """``POST /desk/keys/passkey``: enrols a passkey, by the code of a link, which is then used up."""
        self._check_works()
        with self.access.admit_sign_in(call):
            body = parse_passkey(await read_body(call, _BODY), self.limits)
            if body.code is None:
                raise bad_body()
            # The code comes first: a stranger's passkey is not even looked at.
            await self.database.read(partial(self._owner, code_hash=hash_token(body.code)))
            row = await self._verified(body, enrolment_challenge(body.code))
            name = await self.database.write(partial(self._enrol, row=row, code_hash=hash_token(body.code)))
        return self._added(name, row.label, ADMINISTRATOR)

    async def _verified(self, body: PasskeyBody, challenge: bytes) -> KeyRow:
        """The row of the new passkey, which is nobody's yet."""
        try:
            label = checked_label(body.label)
            made = await asyncio.to_thread(verify_new, body.made, challenge, self.site)
        except ProofError as exc:
            raise bad_proof(str(exc)) from None
        except ValueError as exc:
            raise unacceptable(str(exc)) from None
        return KeyRow(
            id=str(uuid.uuid4()),
            approver_id="",
            kind="passkey",
            label=label,
            public_key=made.public_key,
            added_at=utc_now(),
            added_by=ADMINISTRATOR,
            credential_id=made.credential_id,
            rp_id=self.site.rp_id,
            aaguid=made.aaguid,
            sign_count=made.sign_count,
        )

    def _enrol(self, transaction: Transaction, *, row: KeyRow, code_hash: str) -> str:
        stored = _stored_before(transaction, row)
        if stored is not None:
            return stored.approver
        approver_id, name = self._owner(transaction, code_hash)
        transaction.keys.add(replace(row, approver_id=approver_id))
        transaction.keys.use_code(code_hash)
        return name

    async def enrol_further(self, call: HttpCall) -> Response:
        """``POST /desk/keys/passkey/further``, by an approver: enrols a passkey for which another one of theirs vouches."""
        self._check_works()
        with self.access.admit(call) as visitor:
            approver = await self.database.read(visitor.administrator)
            body = parse_passkey(await read_body(call, _BODY), self.limits)
            if body.proof is None:
                raise bad_body()
            row = await self._verified(body, enrolment_challenge(approver.id))
            name, added_by = await self.database.write(partial(self._vouched, visitor, row=row, body=body))
        return self._added(name, row.label, added_by)

    def _vouched(self, visitor: Visitor, transaction: Transaction, *, row: KeyRow, body: PasskeyBody) -> tuple[str, str]:
        approver = visitor.administrator(transaction)
        if _stored_before(transaction, row) is not None:
            return approver.name, ""
        try:
            challenge = addition_challenge(approver.id, body.made["attestation"])
            rows = _passkeys(transaction, approver.id)
            vouching, counter = verify_vouching(body.proof or {}, challenge, rows, self.site.origins)
        except ProofError as exc:
            raise bad_proof(str(exc)) from None
        transaction.keys.add(replace(row, approver_id=approver.id, added_by=vouching.id))
        transaction.keys.note_count(vouching.id, counter)
        return approver.name, vouching.label

    def _added(self, name: str, label: str, added_by: str) -> Response:
        self.access.activity.key_added(name, label, added_by)
        return answer({"name": name, "label": label, "status": "enrolled"}, 201)

    def _check_works(self) -> None:
        if not self.site.works:
            raise no_passkeys()


def _own(visitor: Visitor, transaction: Transaction) -> tuple[Approver, list[KeyRow]]:
    approver = visitor.administrator(transaction)
    return approver, _passkeys(transaction, approver.id)


def _passkeys(transaction: Transaction, approver_id: str) -> list[KeyRow]:
    return [row for row in transaction.keys.of_approver(approver_id) if row.kind == "passkey"]


def _stored_before(transaction: Transaction, row: KeyRow) -> KeyOwner | None:
    """The key, if an earlier try of the same call has stored it, and only the answer was lost; None for a new one.

    Raises:
        RefusedError: 409, it is enrolled already, or was.
    """
    before = transaction.keys.earlier(row.public_key)
    if not before:
        return None
    if transaction.again and before[0].key.id == row.id:
        return before[0]
    raise key_known()
