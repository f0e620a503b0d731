"""Pure: how people write a time span, as seconds. The caller says which spans are allowed."""

from __future__ import annotations

import re

from molecule_approve.errors import UsageError

_SECONDS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?\Z")
_UNITS = re.compile(
    r"(?=.)(?:([0-9]{1,9})d)?(?:([0-9]{1,9})h)?(?:([0-9]{1,9})m)?(?:([0-9]{1,9}(?:\.[0-9]{1,9})?)s)?\Z",
)
_LENGTHS = (86_400.0, 3_600.0, 60.0, 1.0)
_IN_WORDS = re.compile(r"([0-9]{1,9}) ?(d(?=ays?\Z)|h(?=(?:ou)?rs?\Z)|m(?=in(?:ute)?s?\Z)|s(?=ec(?:ond)?s?\Z)|[dhms](?=\Z))")


def parse_duration(text: str, source: str = "") -> float:
    """Seconds from ``90``, ``90s``, ``5m``, ``1h30m`` or ``1d``; the error names the source, such as ``--expires-in``.

    Raises:
        UsageError: the text is not a duration.
    """
    if _SECONDS.match(text):
        return float(text)
    found = _UNITS.match(text)
    if found is None:
        where = f"{source}: " if source else ""
        form = short_form(text)
        raise UsageError(
            f"{where}{text[:40]!r} is not a duration",
            hint=f"write {form or 'seconds'}, or for example 90s, 5m, 1h30m or 1d",
        )
    return sum(float(part) * length for part, length in zip(found.groups(), _LENGTHS, strict=True) if part)


def short_form(text: str) -> str | None:
    """``5m`` for ``5 minutes``; None where the text is not a number and a unit."""
    found = _IN_WORDS.match(text.lower())
    return None if found is None else found[1] + found[2]


def duration_text(seconds: float) -> str:
    """``1h30m`` for 5,400, as :func:`parse_duration` reads it; parts of a second are not shown."""
    left, text = int(seconds), ""
    for unit, length in zip("dhms", _LENGTHS, strict=True):
        count, left = divmod(left, int(length))
        text += f"{count}{unit}" if count else ""
    return text or "0s"
