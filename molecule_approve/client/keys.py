"""Reads the embedded server's answers about an approver's own keys; ``routes`` asks for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from molecule_approve import wire
from molecule_approve.errors import RejectedError

if TYPE_CHECKING:
    from molecule_approve.model import JsonValue

    from .http import Answer


class OwnKey(NamedTuple):
    """A key.

    Attributes:
        kind: ``ssh`` or ``passkey``.
        public_key: an SSH key as in authorized_keys.
        added_by: ``administrator``, or the id of the key that vouched for it.
    """

    id: str
    kind: str
    label: str
    public_key: str
    added_at: str
    added_by: str


class OwnKeys(NamedTuple):
    """An approver's keys in use, and what a statement about a further one says: the approver's name, and the server's id."""

    name: str
    server_id: str
    keys: tuple[OwnKey, ...]


def read_keys(data: bytes) -> OwnKeys:
    """Read the answer to ``GET /desk/keys``.

    Raises:
        ProtocolError: it is not valid.
    """
    body = wire.loads(data)
    found = body if isinstance(body, dict) else {}
    name, server_id, keys = found.get("name"), found.get("server_id"), found.get("keys")
    if not isinstance(name, str) or not isinstance(server_id, str) or not isinstance(keys, list):
        raise wire.unexpected("the answer has no list of keys")
    return OwnKeys(name, server_id, tuple(map(read_key, keys)))


def read_key(value: JsonValue) -> OwnKey:
    """Read one key.

    Raises:
        ProtocolError: it is not valid.
    """
    found = value if isinstance(value, dict) else {}
    texts = [text for name in OwnKey._fields if isinstance(text := found.get(name), str)]
    if len(texts) != len(OwnKey._fields):
        raise wire.unexpected("a key in the answer is not valid")
    return OwnKey(*texts)


def key_refused(answer: Answer) -> RejectedError | None:
    """The error for a key that the server does not take, with its sentence; None for any other answer."""
    said = wire.read_error(answer.body)
    code, sentence = said.get("code"), said.get("error")
    if answer.status not in {403, 404, 409, 422} or not isinstance(code, str) or not isinstance(sentence, str):
        return None
    hint = "`molecule-approve approvers keys list --mine` lists your keys"
    return RejectedError(sentence, status=answer.status, hint=hint)
