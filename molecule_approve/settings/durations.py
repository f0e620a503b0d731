"""Pure: how people write a time span, as seconds. Which spans are allowed where is said by whoever asks."""

from __future__ import annotations

import re

from molecule_approve.errors import UsageError

_SECONDS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?\Z")
_UNITS = re.compile(
    r"(?=.)(?:([0-9]{1,9})d)?(?:([0-9]{1,9})h)?(?:([0-9]{1,9})m)?(?:([0-9]{1,9}(?:\.[0-9]{1,9})?)s)?\Z",
)
_LENGTHS = (86_400.0, 3_600.0, 60.0, 1.0)


def parse_duration(text: str, source: str = "") -> float:
    """Seconds from ``90``, ``90s``, ``5m``, ``1h30m`` or ``1d``.

    Args:
        text: what somebody wrote.
        source: where it came from (``--expires-in``); the error names it.

    Raises:
        UsageError: it is no duration.

    """
    if _SECONDS.match(text):
        return float(text)
    found = _UNITS.match(text)
    if found is None:
        where = f"{source}: " if source else ""
        raise UsageError(
            f"{where}{text[:40]!r} is not a duration", hint="write seconds, or for example 90s, 5m, 1h30m or 1d"
        )
    return sum(float(part) * length for part, length in zip(found.groups(), _LENGTHS, strict=True) if part)
