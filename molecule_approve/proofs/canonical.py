"""Pure: JSON as one exact sequence of bytes, so that equal values have equal hashes (RFC 8785)."""

from __future__ import annotations

import hashlib
import json
import math
from typing import TYPE_CHECKING

from molecule_approve.strict_json import StrictJsonError, loads

if TYPE_CHECKING:
    from molecule_approve.model import JsonValue


def canonical(value: JsonValue) -> bytes:
    """The value in the form of RFC 8785: sorted keys, no blanks, UTF-8, numbers as ECMAScript writes them.

    One thing is wider: an integer beyond 2**53 has all its digits, where the RFC knows no such number.

    Raises:
        ValueError: a number that is not finite, half a character (a lone surrogate), or hundreds of levels.
    """
    try:
        return _text(value).encode("utf-8")
    except RecursionError:
        raise ValueError("it is too deeply nested") from None


def digest_of(value: JsonValue) -> str:
    """The SHA-256 of the canonical form, in lower-case hex.

    Raises:
        ValueError: as for :func:`canonical`.
    """
    return hashlib.sha256(canonical(value)).hexdigest()


def fields_of(text: str, kind: str) -> dict[str, JsonValue]:
    """The fields of a JSON text whose ``type`` is this one, but that field.

    Raises:
        ValueError: it is not a JSON object, or of another type.
    """
    try:
        fields = loads(text)
    except StrictJsonError as exc:
        raise ValueError(f"it is not JSON: {exc}") from exc
    if not isinstance(fields, dict) or fields.pop("type", None) != kind:
        raise ValueError(f"it is not {kind!r}")
    return fields


def _text(value: JsonValue) -> str:
    if isinstance(value, dict):
        # Keys are sorted by UTF-16, where a character beyond the basic plane begins with a surrogate.
        keys = sorted(value, key=lambda key: key.encode("utf-16-be"))
        return "{" + ",".join(f"{_text(key)}:{_text(value[key])}" for key in keys) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_text(item) for item in value) + "]"
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return _number(value)


def _number(value: float) -> str:
    """A number as ECMAScript's Number::toString writes it: Python finds the same digits, and places the point elsewhere."""
    if isinstance(value, int):
        return str(value)
    if not math.isfinite(value):
        raise ValueError("JSON has no such number")
    if value == 0:
        return "0"  # also for minus zero
    sign, (digits, point) = "-" if value < 0 else "", _digits(abs(value))
    count = len(digits)
    if count <= point <= 21:
        return sign + digits + "0" * (point - count)
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    rest = f".{digits[1:]}" if count > 1 else ""
    return f"{sign}{digits[0]}{rest}e{point - 1:+d}"


def _digits(value: float) -> tuple[str, int]:
    """The shortest digits that mean this positive number, and how many of them stand before the point."""
    mantissa, _, power = repr(value).partition("e")
    whole, _, fraction = mantissa.partition(".")
    significant = (whole + fraction).lstrip("0")
    point = len(whole) + int(power or 0) - (len(whole + fraction) - len(significant))
    return significant.rstrip("0"), point
