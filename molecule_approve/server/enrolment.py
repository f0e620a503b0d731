"""The keys of approvers: enrolled, listed and removed by an administrator, and the rules for every new one.

Every function that takes a store raises StoreError where the database cannot answer.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from molecule_approve.clock import utc_now
from molecule_approve.errors import UsageError
from molecule_approve.lifecycle import name_key
from molecule_approve.proofs.enrolled import EnrolledKey
from molecule_approve.proofs.faults import ProofError
from molecule_approve.proofs.keys_file import key_line
from molecule_approve.proofs.passkey import decode, encode
from molecule_approve.proofs.presence import Presence
from molecule_approve.proofs.server_key import public_half
from molecule_approve.proofs.ssh import parse_ssh_key
from molecule_approve.safe_text import is_hidden, visible

from .database.values import KeyOwner, KeyRow
from .identity import server_identity
from .limits import Limits
from .passkeys import PasskeySite
from .proof_checks import enrolled_key
from .tokens import hash_token, new_token

if TYPE_CHECKING:
    from molecule_approve.proofs.ssh import SshKey

    from .database.interface import Store
    from .database.transaction import Transaction

DEFAULTS = Limits()

ADMINISTRATOR = "administrator"
"""Who enrolled a key for which no other key vouches."""

LABEL_LIMIT = 64


def checked_label(label: str) -> str:
    """What an approver calls a key.

    Raises:
        ValueError: it is empty, too long, or has hidden characters.
    """
    label = label.strip()
    if not 1 <= len(label) <= LABEL_LIMIT or any(map(is_hidden, label)):
        raise ValueError(f"a key's label has 1 to {LABEL_LIMIT} visible characters")
    return label


def default_label(key: SshKey, text: str) -> str:
    """The comment of a .pub file, else the beginning of the fingerprint."""
    comment = " ".join(text.split()[2:])
    try:
        return checked_label(comment[:LABEL_LIMIT])
    except ValueError:
        return key.fingerprint[:20]


def ssh_row(approver_id: str, key: SshKey, label: str, added_by: str) -> KeyRow:
    """The row of a new SSH key."""
    return KeyRow(
        id=str(uuid.uuid4()),
        approver_id=approver_id,
        kind="ssh",
        label=label,
        public_key=key.text,
        added_at=utc_now(),
        added_by=added_by,
    )


# --- what an administrator does ----------------------------------------------------------------------------------------


def enrol_ssh(store: Store, name: str, text: str, label: str | None) -> KeyRow:
    """Enrol the SSH key of a .pub file for an approver; without a label, under its comment.

    Raises:
        UsageError: there is no such approver; the key is of a kind that is not taken, or in use.
    """
    try:
        key = parse_ssh_key(text)
        label = default_label(key, text) if label is None else checked_label(label)
    except (ProofError, ValueError) as exc:
        hint = "pass a public key of ssh-keygen: ed25519, ecdsa, rsa, or one on a hardware key (-t ed25519-sk)"
        raise UsageError(f"this key cannot be enrolled: {exc}", hint=hint) from None
    with store.write() as transaction:
        row = ssh_row(_approver_id(transaction, name), key, label, ADMINISTRATOR)
        before = transaction.keys.earlier(key.text)
        if before and before[0].removed_at is None:
            hint = "each key belongs to one person; make another one, or remove it there first"
            raise UsageError(f"this key is already enrolled, for {before[0].approver}", hint=hint)
        transaction.keys.add(row)
    return row


def new_key_code(store: Store, name: str, tell: Callable[[str], None] = lambda _: None) -> str:
    """A code by which an approver enrols a passkey, valid once within ten minutes. If ``tell`` raises, none is stored.

    Raises:
        UsageError: there is no approver of that name.
    """
    code = new_token()
    with store.write() as transaction:
        approver_id = _approver_id(transaction, name)
        transaction.keys.put_code(hash_token(code), approver_id, transaction.now, DEFAULTS.key_code)
        tell(code)
    return code


def enrolment_link(url: str, code: str) -> str | None:
    """The link by which a passkey is enrolled, at the server of this address; None if no passkey can be bound to it."""
    page = PasskeySite.of(url).page
    return None if page is None else f"{page}/#enrol={code}"


def _approver_id(transaction: Transaction, name: str) -> str:
    found = transaction.credentials.approver_named(name)
    if found is None:
        raise UsageError(f"there is no approver named {name}", hint="list them: molecule-approve approvers list")
    return found


def enrolled(store: Store, name: str | None = None) -> list[KeyOwner]:
    """The keys in use, of this approver or of all, by name.

    Raises:
        UsageError: there is no such approver.
    """
    with store.read() as transaction:
        if name is not None:
            _approver_id(transaction, name)
        return [one for one in transaction.keys.in_use() if name is None or name_key(one.approver) == name_key(name)]


def remove_key(store: Store, key_id: str) -> None:
    """Remove the key, if it is in use."""
    with store.write() as transaction:
        transaction.keys.remove(key_id, utc_now())


def exported(store: Store, name: str | None, page: str | None) -> Iterator[str]:
    """The lines of a keys file (docs/receipts.md): how many approvals are wanted is for its owner to say.

    ``page``: the address of the server's page, on which passkeys are used; None if it is not known.

    Raises:
        UsageError: there is no such approver.
    """
    keys, identity = enrolled(store, name), server_identity(store)
    yield "# Say how many people have to approve, and remove the mark in front of the next line."
    yield "# approvals 1"
    yield f"server {identity.id} {encode(public_half(decode(identity.private_key)))}"
    for owner, row, _ in keys:
        yield visible(f"# {owner}: {row.label}, enrolled {row.added_at} by {row.added_by}")
        yield visible(_exported_line(owner, row, page))


def _exported_line(owner: str, row: KeyRow, page: str | None) -> str:
    try:
        key = enrolled_key(owner, row, (_origin(page, row.rp_id or ""),))
    except ProofError as exc:
        return f"# it is left out: {exc}"
    return key_line(_least(key))


def _least(key: EnrolledKey) -> EnrolledKey:
    """The key with the least that its signatures should prove: a touch, where it can prove one."""
    hardware = getattr(key.key, "is_hardware", True)
    return EnrolledKey(key.approver, key.key, Presence.REQUIRED if hardware else Presence.SIGNATURE)


def _origin(page: str | None, host: str) -> str:
    parts = urlsplit(page or f"https://{host}")
    return f"{parts.scheme}://{host}" + ("" if parts.port is None else f":{parts.port}")
