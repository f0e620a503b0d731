"""What callers send, read and checked: bodies and keys -> values. Text that the server would not keep is refused here."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from molecule_approve import strict_json
from molecule_approve.model import JsonValue, Status
from molecule_approve.safe_text import is_hidden
from molecule_approve.strict_json import StrictJsonError
from molecule_approve.wire import is_uuid

from .refusals import bad_body, bad_decision, too_large, unacceptable

if TYPE_CHECKING:
    from starlette.requests import Request

    from .limits import Limits

CONTEXT_DEPTH = 32
"""Levels of a context: the clients read at most 64 in an answer, and must be able to read this one."""


_NAMES = frozenset(
    {"action", "reason", "task_id", "context", "expires_in", "decision", "decided_by", "comment", "invocation", "code"}
)
"""The keys that mean something in a body."""


@dataclass(frozen=True, slots=True)
class SubmitBody:
    """A request as it was sent; ``expires_in`` is None where it named no time, ``key`` where it has no idempotency key."""

    action: str
    reason: str
    task_id: str
    context: dict[str, JsonValue] | None
    expires_in: float | None
    key: str | None


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision as it was sent; ``claimed_by`` is the name in the body, which nobody believes."""

    status: Status
    claimed_by: str | None
    comment: str | None


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body.

    Raises:
        RefusedError: 413, as soon as it is seen to be too long.

    """
    announced = request.headers.get("content-length", "0")
    if not announced.isdigit() or int(announced) > limit:
        raise too_large(limit)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise too_large(limit)
    return bytes(body)


def read_object(data: bytes) -> dict[str, JsonValue]:
    """The JSON object. A key that stands twice, or one of ours in other letters, means something else to each reader.

    Raises:
        RefusedError: 400 for such keys and for anything that is no object, 422 for bytes that are no UTF-8.

    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise unacceptable("the body is not UTF-8") from exc
    try:
        value = strict_json.loads(text)
    except StrictJsonError as exc:
        raise bad_body() from exc
    # Folded as Go folds: with the platform's reader a long s is an s.
    if not isinstance(value, dict) or any(key.casefold() in _NAMES and key not in _NAMES for key in value):
        raise bad_body()
    return value


def read_submission(data: bytes, key: str | None, settings: Limits) -> SubmitBody:
    """What is asked, from the body and the header ``Idempotency-Key``.

    Raises:
        RefusedError: 400 where a type is wrong or the action is missing, 422 for what the server will not keep.

    """
    body = read_object(data)
    action = _text(body, "action", settings.action)
    if not action:
        raise bad_body()
    if all(is_hidden(character) or character.isspace() for character in action):
        raise unacceptable("the action is blank")
    return SubmitBody(
        action=action,
        reason=_text(body, "reason", settings.reason),
        task_id=_text(body, "task_id", settings.task_id),
        context=_context(body, settings.context),
        expires_in=_expires_in(body, settings.longest_expiry),
        key=_key(key, settings.key),
    )


def read_decision(data: bytes, settings: Limits) -> Decided:
    """What was decided.

    Raises:
        RefusedError: 400 where it is neither yes nor no, 422 for text that the server will not keep.

    """
    body = read_object(data)
    word = _text(body, "decision", settings.name)
    if not word:
        raise bad_body()
    if word not in {Status.APPROVED.value, Status.DENIED.value}:
        raise bad_decision()
    claimed, comment = _text(body, "decided_by", settings.name), _text(body, "comment", settings.comment)
    return Decided(Status(word), claimed or None, comment or None)


def read_task(values: list[str], settings: Limits) -> str | None:
    """The task id that a list is asked for; None for the newest of all.

    Raises:
        RefusedError: 422 where it is given twice, empty or too long.

    """
    if not values:
        return None
    if len(values) > 1 or not 0 < len(values[0]) <= settings.task_id:
        raise unacceptable(f"task_id is given once, with 1 to {settings.task_id} characters")
    return values[0]


def read_invocation(data: bytes) -> str:
    """The UUID under which an approval is used up.

    Raises:
        RefusedError: 400 for no JSON object, 422 where it is no UUID.

    """
    value = read_object(data).get("invocation")
    if not isinstance(value, str) or not is_uuid(value):
        raise unacceptable("the invocation must be a UUID")
    return str(uuid.UUID(value))


def read_code(data: bytes) -> str:
    """A sign-in code.

    Raises:
        RefusedError: 400, there is none in it; 422 for text that no code is made of.

    """
    value = read_object(data).get("code")
    if not isinstance(value, str) or not value:
        raise bad_body()
    # A lone surrogate has no bytes to be hashed.
    _check_text(value, "the code")
    return value


def read_hold(raw: str | None, longest: float) -> float:
    """How long the answer is to be held, in seconds, at most ``longest``; 0 where it is not.

    Raises:
        RefusedError: 422, it is no number of seconds.

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
        raise unacceptable(f"{key} has {len(value)} characters; {limit} are the most")
    return value


def _check_text(text: str, where: str) -> None:
    # NUL ends strings elsewhere; a lone surrogate cannot be written as UTF-8. Neither can be shown to who decides.
    if "\0" in text or any(0xD800 <= ord(character) <= 0xDFFF for character in text):
        raise unacceptable(f"{where} holds a NUL or a lone surrogate")


def _context(body: Mapping[str, JsonValue], limit: int) -> dict[str, JsonValue] | None:
    value = body.get("context")
    if value is None:
        return None
    if not isinstance(value, dict):
        raise bad_body()
    _check_context(value, CONTEXT_DEPTH)
    if len(json.dumps(value, ensure_ascii=False).encode("utf-8")) > limit:
        raise unacceptable(f"the context is longer than {limit} bytes")
    return value


def _check_context(value: Any, left: int) -> None:  # noqa: ANN401 - whatever JSON can hold
    if left == 0:
        raise unacceptable(f"the context has more than {CONTEXT_DEPTH} levels")
    if isinstance(value, str):
        _check_text(value, "the context")
    elif isinstance(value, float) and math.isinf(value):
        # 1e400 is good JSON, but no number that we could keep or write again.
        raise unacceptable("the context holds a number that is too large")
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
        # Headers arrive as if they were Latin-1; what was sent is UTF-8.
        key = raw.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError as exc:
        raise unacceptable("the idempotency key is not UTF-8") from exc
    if not 0 < len(key) <= limit:
        raise unacceptable(f"an idempotency key has 1 to {limit} characters")
    return key
