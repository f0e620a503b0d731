"""Reads the file of approvers' keys that a gate, or whoever verifies a receipt, keeps for itself (docs/receipts.md)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.util import find_spec
from typing import NamedTuple
from urllib.parse import quote, unquote

from molecule_approve.lifecycle import name_key
from molecule_approve.safe_text import is_hidden

from .enrolled import EnrolledKey
from .faults import ProofError
from .passkey import Passkey, check_passkey, decode
from .presence import Presence
from .ssh import SshKey, check_ssh_key, read_ssh_key

_OPTION = "presence="
_APPROVALS, _SERVER = "approvals", "server"


class ServerKey(NamedTuple):
    """The id of a server and its Ed25519 key."""

    id: str
    key: bytes


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The keys that count, and how many different approvers have to have signed with one of them.

    Attributes:
        server: the only server whose receipts count; None for any.
    """

    approvals: int
    keys: tuple[EnrolledKey, ...]
    server: ServerKey | None = None

    def keys_of(self, approver: str) -> list[EnrolledKey]:
        """The keys of the approver of this name, in any spelling."""
        return [one for one in self.keys if name_key(one.approver) == name_key(approver)]

    def check(self) -> None:
        """Check that every key is one, and another one than the rest; this loads the cryptographic library.

        Raises:
            ProofError: its numbers are not those of a key; or it is another key of the file once more, said to be of another
                kind, so that one private key could count for two people. Its approver is named.
        """
        known: dict[bytes, EnrolledKey] = {}
        for one in self.keys:
            try:
                info = check_passkey(one.key) if isinstance(one.key, Passkey) else check_ssh_key(one.key)
            except ProofError as exc:
                raise ProofError(f"the key {one.describe()} of {one.approver}: {exc}") from None
            other = known.setdefault(info, one)
            if other is not one:
                theirs = f"{other.describe()} of {other.approver}"
                raise ProofError(f"the key {one.describe()} of {one.approver} is {theirs} once more: it could count twice")


def parse_keys(data: bytes) -> KeyRing:
    """The keys of a file: a line for each, a line ``approvals N``, and perhaps a line ``server ID KEY``.

    Whether each key is a valid one, :meth:`KeyRing.check` says.

    Raises:
        ProofError: a line is none of them, or the file asks for more approvers than it has; the line is named.
    """
    try:
        # Nothing but a line break ends a line: what an editor shows as the rest of a comment is one.
        lines = data.decode("utf-8").split("\n")
    except UnicodeDecodeError:
        raise ProofError("it is not UTF-8") from None
    approvals, server, keys = list[int](), list[ServerKey](), list[EnrolledKey]()
    for number, line in enumerate(lines, start=1):
        try:
            words = _words(line)
            if not words or words[0].startswith("#"):
                continue
            if words[0] == _APPROVALS:
                approvals.append(_count(words[1:]))
            elif words[0] == _SERVER:
                server.append(_server(words[1:]))
            else:
                keys.append(_enrolled(words))
        except ProofError as exc:
            raise ProofError(f"line {number}: {exc}") from None
    return _ring(approvals, server, keys)


def can_check() -> bool:
    """Whether the cryptographic library is installed; it is not loaded."""
    return find_spec("cryptography") is not None


def key_line(enrolled: EnrolledKey) -> str:
    """The line of a key; blanks in the name are written ``%20``."""
    key, name = enrolled.key, quote(enrolled.approver, safe="@+")
    if name in {_APPROVALS, _SERVER}:  # a person's name here, and not what the line is about
        name = f"%{ord(name[0]):02X}{name[1:]}"
    if isinstance(key, Passkey):
        words = f"passkey {key.rp_id} {','.join(key.origins)} {key.credential_id} {key.public_key}"
    else:
        words = f"ssh {key.text}"
    return f"{name} {words} {_OPTION}{enrolled.presence}"


def _ring(approvals: list[int], server: list[ServerKey], keys: list[EnrolledKey]) -> KeyRing:
    if len(approvals) != 1:
        raise ProofError(f"it has {len(approvals)} lines `approvals NUMBER`, and needs one: how many people have to sign")
    if len(server) > 1:
        raise ProofError("it has several lines `server ID KEY`; keep one")
    texts = [one.key.public_key if isinstance(one.key, Passkey) else one.key.text for one in keys]
    if len(set(texts)) < len(texts):
        raise ProofError("a key is listed twice: it could count for two people")
    people = {name_key(one.approver) for one in keys}
    if len(people) < approvals[0]:
        raise ProofError(f"it asks for {_people(approvals[0])}, and has keys of {len(people)}")
    return KeyRing(approvals[0], tuple(keys), server[0] if server else None)


def _people(count: int) -> str:
    return "1 approver" if count == 1 else f"{count} approvers"


def _words(line: str) -> list[str]:
    shown = line.removesuffix("\r").replace("\t", " ")
    if any(map(is_hidden, shown)):
        raise ProofError("it has a character that nobody sees, or a blank that is none")
    return shown.split()


def _count(words: list[str]) -> int:
    if len(words) != 1 or not re.match(r"[1-9][0-9]{0,2}\Z", words[0]):
        raise ProofError("write approvals and a number from 1 to 999")
    return int(words[0])


def _server(words: list[str]) -> ServerKey:
    if len(words) != 2:
        raise ProofError("write server, its id and its key")
    key = decode(words[1])
    if len(key) != 32:
        raise ProofError("a server's key has 32 bytes")
    return ServerKey(words[0], key)


def _enrolled(words: list[str]) -> EnrolledKey:
    if len(words) < 4:
        raise ProofError("write an approver's name, ssh or passkey, and the key")
    asked = Presence(words.pop().removeprefix(_OPTION)) if _is_option(words[-1]) else None
    name, kind, *rest = words
    if kind == "ssh" and len(rest) == 2:
        ssh_key = read_ssh_key(" ".join(rest))
        key: SshKey | Passkey = ssh_key
        least = Presence.REQUIRED if ssh_key.is_hardware else Presence.SIGNATURE
    elif kind == "passkey" and len(rest) == 4:
        rp_id, origins, credential_id, public_key = rest
        for binary in (credential_id, public_key):
            decode(binary)
        key, least = Passkey(rp_id, tuple(origins.split(",")), credential_id, public_key), Presence.REQUIRED
    else:
        raise ProofError("write NAME ssh TYPE KEY, or NAME passkey HOST ORIGIN ID KEY")
    if asked is not None and least is Presence.SIGNATURE and asked is not least:
        raise ProofError("an SSH key that is not on a hardware key proves a signature at most")
    return EnrolledKey(unquote(name), key, asked or least)


def _is_option(word: str) -> bool:
    if not word.startswith(_OPTION):
        return False
    if word.removeprefix(_OPTION) not in set(Presence) - {Presence.NONE}:
        raise ProofError("presence= takes signature, required or verified")
    return True
