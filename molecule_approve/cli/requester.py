"""Who asks, as a request's context tells it: a person at a machine, or a CI job. Pure; the words are as they came.

Nothing proves them: the machine that asked says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from molecule_approve.model import JsonValue


PERSON = ("user", "host")
"""The keys that name the person."""


def person(context: JsonValue) -> str:
    """``user@host``, or the one of them that is told; empty where neither is."""
    told = _texts(context)
    return "@".join(told[name] for name in PERSON if name in told)


def job(context: JsonValue) -> str:
    """The CI system and the job's address; empty where no job asked."""
    told = ci(context)
    return " ".join(told[name] for name in ("system", "job") if name in told)


def short_job(context: JsonValue) -> str:
    """The same with the job's number, the last part of its address, for the address: ``GitHub Actions 4711``."""
    told = ci(context)
    number = told.get("job", "").partition("#")[0].rstrip("/").rpartition("/")[2]
    return " ".join(text for text in (told.get("system"), number) if text)


def ci(context: JsonValue) -> dict[str, str]:
    """What is told of the job, as it stands in the context."""
    return _texts(context.get("ci")) if isinstance(context, dict) else {}


def _texts(value: JsonValue) -> dict[str, str]:
    found = value if isinstance(value, dict) else {}
    return {name: text for name, text in found.items() if isinstance(text, str) and text}
