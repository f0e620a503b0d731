"""The requester as a request's context names it: a person at a machine, or a CI job. Pure; the texts are as they came.

They are unproven: the requester's machine sent them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from molecule_approve.model import JsonValue

PERSON = ("user", "host")
"""The keys that name the person."""


def person(context: JsonValue) -> str:
    """``user@host``, or the one of them that is known; empty if neither is."""
    texts = _texts(context)
    return "@".join(texts[name] for name in PERSON if name in texts)


def job(context: JsonValue) -> str:
    """The CI system and the job's address; empty outside of CI."""
    texts = ci(context)
    return " ".join(texts[name] for name in ("system", "job") if name in texts)


def short_job(context: JsonValue) -> str:
    """The CI system and the job's number, the last part of its address: ``GitHub Actions 4711``."""
    texts = ci(context)
    number = texts.get("job", "").partition("#")[0].rstrip("/").rpartition("/")[2]
    return " ".join(text for text in (texts.get("system"), number) if text)


def ci(context: JsonValue) -> dict[str, str]:
    """The CI job's texts in the context."""
    return _texts(context.get("ci")) if isinstance(context, dict) else {}


def _texts(value: JsonValue) -> dict[str, str]:
    found = value if isinstance(value, dict) else {}
    return {name: text for name, text in found.items() if isinstance(text, str) and text}
