"""Pure: what an approver's key signs to vouch for a further key of the same approver; like ``statement``, for keys."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass

from .canonical import canonical, fields_of

TYPE = "molecule-approve key v1"
"""The ``type`` of every such statement."""

_TAG = f"{TYPE}\n".encode()
"""In front of the text that is hashed: a key's statement is never taken for a decision, nor a decision for one."""


@dataclass(frozen=True, slots=True)
class KeyStatement:
    """This key is the approver's.

    Attributes:
        server: the id of the server's state.
        kind: ``ssh``.
        public_key: as in authorized_keys, without a comment.
        at: RFC 3339, UTC, with microseconds.
    """

    server: str
    approver: str
    kind: str
    public_key: str
    at: str

    @property
    def text(self) -> str:
        """The canonical text: a flat object of texts."""
        return canonical({**asdict(self), "type": TYPE}).decode("utf-8")

    @property
    def digest(self) -> bytes:
        """What is signed: the SHA-256 over a tag and the canonical text. It is the challenge of a passkey."""
        return hashlib.sha256(_TAG + self.text.encode("utf-8")).digest()

    @property
    def signed_line(self) -> bytes:
        """The same as a line of text, for ``ssh-keygen -Y sign``: 64 hex digits and a newline."""
        return self.digest.hex().encode("ascii") + b"\n"


def parse_key_statement(text: str) -> KeyStatement:
    """The statement of a canonical text.

    Raises:
        ValueError: it is not one, byte for byte.
    """
    fields = fields_of(text, TYPE)
    texts = {name: value for name, value in fields.items() if isinstance(value, str)}
    if fields.keys() != set(KeyStatement.__slots__) or texts.keys() != fields.keys():
        raise ValueError("it has other fields than a key's statement has")
    found = KeyStatement(**texts)
    if found.text != text:
        raise ValueError("it is not in canonical form")
    return found
