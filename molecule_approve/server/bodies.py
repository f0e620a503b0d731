"""Parses what callers send: bodies, headers and query parameters -> values, or a refusal."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from molecule_approve import strict_json
from molecule_approve.model import JsonValue, Status
from molecule_approve.safe_text import is_hidden
from molecule_approve.strict_json import StrictJsonError
from molecule_approve.wire import ONCE_HEADER, REQUEST_HEADER, is_uuid

from .refusals import bad_body, bad_decision, too_large, unacceptable

if TYPE_CHECKING:
    from .calls import HttpCall
    from .limits import Limits

CONTEXT_DEPTH = 32
"""Levels of a context: clients read at most 64 levels of an answer, which must have room for it."""

_ISSUER = 2_048
"""Characters of an address."""

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")

_NAMES = frozenset(
    {
        *("action", "reason", "task_id", "context", "expires_in", "decision", "decided_by", "comment", "invocation"),
        *("code", "token", "challenge", "state", "verifier", "iss", "statement", "proof", "label"),
        *("credential_id", "client_data", "attestation", "public_key"),
    }
)
"""The keys that have a meaning in a body."""


@dataclass(frozen=True, slots=True)
class SubmitBody:
    """A request as it was sent; ``expires_in`` and ``key`` (the idempotency key) are None if they are missing.

    ``once``: there is to be one request only with this task id.
    """

    action: str
    reason: str
    task_id: str
    context: dict[str, JsonValue] | None
    expires_in: float | None
    key: str | None
    once: bool = False


@dataclass(frozen=True, slots=True)
class DecisionBody:
    """A decision as it was sent; ``claimed_by`` is the name in the body, which is never trusted.

    ``statement`` and ``proof``: what a key of the approver signed, and the signature; both or none.
    """

    status: Status
    claimed_by: str | None
    comment: str | None
    statement: str | None = None
    proof: Mapping[str, JsonValue] | None = None


@dataclass(frozen=True, slots=True)
class KeyBody:
    """A further SSH key as it was sent, with the statement by which an enrolled key vouches for it, and the proof."""

    public_key: str
    label: str
    statement: str
    proof: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class PasskeyBody:
    """A new passkey as the page sends it. ``made`` has its id, and what browser and authenticator say.

    ``code``: of the link, or None; ``proof``: that of a passkey of the same approver, or None.
    """

    label: str
    made: Mapping[str, JsonValue]
    code: str | None = None
    proof: Mapping[str, JsonValue] | None = None


@dataclass(frozen=True, slots=True)
class ReturnBody:
    """What the page brings back from the provider; ``issuer`` is None if the provider's answer names none."""

    code: str
    state: str
    verifier: str
    issuer: str | None


async def read_body(call: HttpCall, limit: int) -> bytes:
    """Read the whole body.

    Raises:
        RefusedError: 413, as soon as it is too long.
        ConnectionAbortedError: the caller disconnects before.
    """
    announced = call.headers.get("content-length") or "0"
    if not announced.isdigit() or int(announced) > limit:
        raise too_large(limit)
    body, more = b"", True
    while more:
        message = await call.receive()
        if message["type"] == "http.disconnect":
            raise ConnectionAbortedError
        body += message.get("body", b"")
        if len(body) > limit:
            raise too_large(limit)
        more = message.get("more_body", False)
    return body


def parse_object(data: bytes) -> dict[str, JsonValue]:
    """Parse a JSON object. Duplicate keys, and our keys in other letter case, are refused: parsers read them differently.

    Raises:
        RefusedError: 400 for such keys and for anything but an object, 422 if it is not UTF-8.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise unacceptable("the body is not UTF-8") from exc
    try:
        value = strict_json.loads(text)
    except StrictJsonError as exc:
        raise bad_body() from exc
    # With casefold, as in Go: the platform's parser takes a long s for an s.
    if not isinstance(value, dict) or any(key.casefold() in _NAMES and key not in _NAMES for key in value):
        raise bad_body()
    return value


def parse_submission(data: bytes, key: str | None, once: str | None, limits: Limits) -> SubmitBody:
    """Parse a request from the body and the headers ``Idempotency-Key`` and ``X-Molecule-Once``.

    Raises:
        RefusedError: 400 if a type is wrong or the action is missing, 422 for values out of range.
    """
    body = parse_object(data)
    action = _text(body, "action", limits.action)
    if not action:
        raise bad_body()
    if all(is_hidden(character) or character.isspace() for character in action):
        raise unacceptable("the action is blank")
    task_id = _text(body, "task_id", limits.task_id)
    return SubmitBody(
        action=action,
        reason=_text(body, "reason", limits.reason),
        task_id=task_id,
        context=_context(body, limits.context),
        expires_in=_expires_in(body, limits.longest_expiry),
        key=_key(key, limits.key),
        once=key is None and once == ONCE_HEADER[1] and is_uuid(task_id),
    )


def parse_decision(data: bytes, limits: Limits) -> DecisionBody:
    """Parse a decision.

    Raises:
        RefusedError: 400 if it is neither approved nor denied, 422 for texts that are not allowed.
    """
    body = parse_object(data)
    decision = _text(body, "decision", limits.name)
    if not decision:
        raise bad_body()
    if decision not in {Status.APPROVED.value, Status.DENIED.value}:
        raise bad_decision()
    claimed, comment = _text(body, "decided_by", limits.name), _text(body, "comment", limits.comment)
    statement, proof = _text(body, "statement", limits.statement) or None, body.get("proof")
    if (statement is None) != (proof is None) or not (proof is None or isinstance(proof, dict)):
        raise unacceptable("a statement and the proof of it, an object, go together")
    return DecisionBody(Status(decision), claimed or None, comment or None, statement, proof)


def parse_key(data: bytes, limits: Limits) -> KeyBody:
    """Parse a further key.

    Raises:
        RefusedError: 400 if something is missing, 422 for texts that are not allowed.
    """
    body = parse_object(data)
    public_key, label, statement = (_text(body, name, limits.statement) for name in ("public_key", "label", "statement"))
    proof = body.get("proof")
    if not public_key or not label or not statement or not isinstance(proof, dict):
        raise bad_body()
    return KeyBody(public_key, label, statement, proof)


def parse_task_id(values: list[str], limits: Limits) -> str | None:
    """Parse the query parameter ``task_id``; None if it is missing.

    Raises:
        RefusedError: 422 if it is given twice, empty or too long, or if no request can have it.
    """
    if not values:
        return None
    if len(values) > 1 or not 0 < len(values[0]) <= limits.task_id:
        raise unacceptable(f"task_id must be given once, with 1 to {limits.task_id} characters")
    _check_text(values[0], "task_id")
    return values[0]


def parse_attempt(data: bytes) -> str:
    """Parse the UUID of the attempt that redeems.

    Raises:
        RefusedError: 400 if the body is not a JSON object, 422 if there is no UUID.
    """
    value = parse_object(data).get("invocation")
    if not isinstance(value, str) or not is_uuid(value):
        raise unacceptable("the invocation must be a UUID")
    return value.lower()


def parse_sign_in(data: bytes) -> tuple[str, str]:
    """Parse what signs an approver in: the word ``code`` or ``token``, and the secret itself.

    Raises:
        RefusedError: 400 if it is missing, or there are both; 422 for text that none of them has.
    """
    body = parse_object(data)
    kinds = [kind for kind in ("code", "token") if kind in body]
    if len(kinds) != 1:
        raise bad_body()
    return kinds[0], _secret(body, kinds[0])


def parse_key_code(data: bytes) -> str:
    """Parse the code of a link for a passkey.

    Raises:
        RefusedError: as for :func:`parse_sign_in`.
    """
    return _secret(parse_object(data), "code")


def parse_passkey(data: bytes, limits: Limits) -> PasskeyBody:
    """Parse a new passkey, which either a link's code or another passkey vouches for.

    Raises:
        RefusedError: 400 if something is missing, 422 for a label that is not allowed.
    """
    body = parse_object(data)
    label, proof = _text(body, "label", limits.name), body.get("proof")
    if ("code" in body) == isinstance(proof, dict) or not label:
        raise bad_body()
    made = {name: _secret(body, name) for name in ("credential_id", "client_data", "attestation")}
    if isinstance(proof, dict):
        return PasskeyBody(label, made, proof=proof)
    return PasskeyBody(label, made, code=_secret(body, "code"))


def parse_challenge(data: bytes) -> str:
    """Parse the PKCE challenge (S256) of a sign-in that begins.

    Raises:
        RefusedError: 400 if it is missing or none.
    """
    value = _secret(parse_object(data), "challenge")
    if not re.fullmatch(r"[A-Za-z0-9_-]{43}", value):
        raise bad_body()
    return value


def parse_return(data: bytes) -> ReturnBody:
    """Parse what the page brings back from the provider.

    Raises:
        RefusedError: 400 if something is missing, 422 for text that is not allowed.
    """
    body = parse_object(data)
    issuer = _text(body, "iss", _ISSUER)
    return ReturnBody(_secret(body, "code"), _secret(body, "state"), _secret(body, "verifier"), issuer or None)


def _secret(body: Mapping[str, JsonValue], key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str) or not value:
        raise bad_body()
    # A lone surrogate cannot be encoded, so it cannot be hashed.
    _check_text(value, f"the {key}")
    return value


def parse_wait(raw: str | None, longest: float) -> float:
    """Parse the query parameter ``wait``: how long to wait for the end, in seconds, at most ``longest``; 0 for not at all.

    Raises:
        RefusedError: 422 if it is not a number of seconds.
    """
    try:
        seconds = float(raw or 0)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < math.inf:
        raise unacceptable("wait must be a number of seconds")
    return min(seconds, longest)


def _text(body: Mapping[str, JsonValue], key: str, limit: int) -> str:
    value = body.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise bad_body()
    _check_text(value, key)
    if len(value) > limit:
        raise unacceptable(f"{key} has {len(value)} characters; the maximum is {limit}")
    return value


def _check_text(text: str, where: str) -> None:
    # NUL ends strings in other programs, and a lone surrogate cannot be written as UTF-8.
    if _UNSTORABLE.search(text):
        raise unacceptable(f"{where} contains a NUL or a lone surrogate")


def _context(body: Mapping[str, JsonValue], limit: int) -> dict[str, JsonValue] | None:
    value = body.get("context")
    if value is None:
        return None
    if not isinstance(value, dict):
        raise bad_body()
    _check_context(value, CONTEXT_DEPTH)
    if len(json.dumps(value, ensure_ascii=False).encode("utf-8")) > limit:
        raise unacceptable(f"the context has more than {limit} bytes")
    return value


def _check_context(value: Any, left: int) -> None:  # noqa: ANN401 - whatever JSON can hold
    if left == 0:
        raise unacceptable(f"the context has more than {CONTEXT_DEPTH} levels")
    if isinstance(value, str):
        _check_text(value, "the context")
    elif isinstance(value, float) and math.isinf(value):
        # 1e400 is valid JSON, but too large for a float.
        raise unacceptable("the context contains a number that is too large")
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_text(key, "the context")
            _check_context(item, left - 1)
    elif isinstance(value, list):
        for item in value:
            _check_context(item, left - 1)


def _expires_in(body: Mapping[str, JsonValue], longest: float) -> float | None:
    value = body.get("expires_in")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= longest:
        raise unacceptable(f"expires_in must be a number of seconds, more than 0 and at most {longest:.0f}")
    return float(value)


def _key(raw: str | None, limit: int) -> str | None:
    if raw is None:
        return None
    try:
        # Headers are decoded as Latin-1; what was sent is UTF-8.
        key = raw.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError as exc:
        raise unacceptable("the idempotency key is not UTF-8") from exc
    if not 0 < len(key) <= limit:
        raise unacceptable(f"the idempotency key must have 1 to {limit} characters")
    return key


def parse_approval_id(text: str | None) -> str | None:
    """Parse the id of the only request that a stream listens to; None without the header.

    Raises:
        RefusedError: 422 if it is not a UUID.
    """
    if text is None:
        return None
    if not is_uuid(text):
        raise unacceptable(f"{REQUEST_HEADER} must be the id of a request, a UUID")
    return text.lower()
