"""Pure: JSON that came from outside, read so that every reader understands the same by it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NoReturn, cast

if TYPE_CHECKING:
    from .model import JsonValue


class StrictJsonError(ValueError):
    """The data is not valid JSON; the message says why, and repeats nothing of the data but the name of a constant."""


def loads(data: bytes | str) -> JsonValue:
    """The value. Bytes must be UTF-8; a key may stand in an object only once, and NaN and Infinity are not numbers.

    Raises:
        StrictJsonError: it is something else.
    """
    try:
        text = data.decode("utf-8") if isinstance(data, bytes) else data
        return cast("JsonValue", _DECODER.decode(text))
    except StrictJsonError:
        raise
    except (ValueError, RecursionError) as exc:
        raise StrictJsonError("it cannot be parsed") from exc


def _object(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise StrictJsonError("an object has a duplicate key")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise StrictJsonError(f"{name} is not a number in JSON")


# Made once: making it costs more than reading a call's body.
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse_constant)
