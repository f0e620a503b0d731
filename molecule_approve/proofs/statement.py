"""Pure: what one decision says, as a canonical text; and the hash of it that people's keys sign.

docs/receipts.md describes both byte for byte, with test vectors.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .canonical import canonical, digest_of, fields_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from molecule_approve.model import JsonValue

TYPE = "molecule-approve decision v1"
"""The ``type`` of every statement."""

_TAG = f"{TYPE}\n".encode()
"""In front of the text that is hashed: so no other bytes that a key signs can be taken for a statement."""


_BOUND = re.compile(r"\ndigest: sha256:([0-9a-f]{64})\Z")


@dataclass(frozen=True, slots=True)
class Subject:
    """What is decided: all of a statement but the decision itself. It is the same for every decision about a request.

    Attributes:
        server: the id of the server's state.
        workspace, request: the ids.
        task: the requester's own id of the request. No server chooses it, so an earlier request's statement has another one.
        requester: the name of the requester's credential; None if it has none.
        context_sha256: the hash of the context in canonical form; None if there is none.
        run_sha256: the digest over the command and all that is bound of it; None unless it is a ``run``.
        rule, rule_sha256: the name of the rule that the request came under, and the hash of its text; None without a policy.
        approvals: how many people have to approve it.
    """

    server: str
    workspace: str
    request: str
    task: str
    requester: str | None
    action: str
    reason: str
    context_sha256: str | None
    run_sha256: str | None
    rule: str | None
    rule_sha256: str | None
    approvals: int

    @property
    def fields(self) -> dict[str, JsonValue]:
        """As JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Statement:
    """One person's decision. ``decision`` is ``approved`` or ``denied``; ``at`` is RFC 3339, UTC, with microseconds."""

    subject: Subject
    decision: str
    approver: str
    at: str

    @property
    def text(self) -> str:
        """The canonical text: a flat object of texts and nulls, and of one number."""
        fields: dict[str, JsonValue] = {
            **self.subject.fields,
            "type": TYPE,
            "decision": self.decision,
            "approver": self.approver,
            "at": self.at,
        }
        return canonical(fields).decode("utf-8")

    @property
    def digest(self) -> bytes:
        """What is signed: the SHA-256 over a tag and the canonical text. It is the challenge of a passkey."""
        return hashlib.sha256(_TAG + self.text.encode("utf-8")).digest()

    @property
    def signed_line(self) -> bytes:
        """The same as a line of text, which ``ssh-keygen -Y sign`` takes: 64 hex digits and a newline."""
        return self.digest.hex().encode("ascii") + b"\n"


def context_digest(context: Mapping[str, JsonValue] | None) -> str | None:
    """``context_sha256`` of a request's context; None if there is none.

    Raises:
        ValueError: the context has no canonical form.
    """
    return digest_of(dict(context)) if context else None


def run_digest(action: str) -> str | None:
    """``run_sha256`` of a request's action, whose last line it is; None unless the action is a bound command."""
    found = _BOUND.search(action)
    return found[1] if found else None


def parse_statement(text: str) -> Statement:
    """The statement of a canonical text.

    Raises:
        ValueError: it is not one, byte for byte.
    """
    fields = fields_of(text, TYPE)
    decision, approver, at = (_text(fields.pop(name, None), name) for name in ("decision", "approver", "at"))
    found = Statement(parse_subject(fields), decision, approver, at)
    if found.text != text:
        raise ValueError("it is not in canonical form")
    return found


_NULLABLE = {"requester", "context_sha256", "run_sha256", "rule", "rule_sha256"}


def parse_subject(fields: Mapping[str, JsonValue]) -> Subject:
    """The subject of these fields.

    Raises:
        ValueError: a field is missing, unknown, or of another type.
    """
    if fields.keys() != set(Subject.__slots__):
        raise ValueError("it has other fields than a statement has")
    approvals = fields["approvals"]
    if not isinstance(approvals, int) or isinstance(approvals, bool):
        raise ValueError("it has no number as its approvals")  # noqa: TRY004 - as for the other fields
    texts = {
        name: None if value is None and name in _NULLABLE else _text(value, name)
        for name, value in fields.items()
        if name != "approvals"
    }
    return Subject(**texts, approvals=approvals)  # type: ignore[arg-type]  # the names decide which may be None


def _text(value: JsonValue, name: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"it has no text as its {name}")  # noqa: TRY004 - as above
    return value
