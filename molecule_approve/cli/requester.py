"""Who requests: the name of the credential, and what the requester claims about itself. Pure; the texts are as they came.

The claims are in the request's context: a person at a machine, a CI job. The requester's machine sent them, and they are
shown as claimed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from molecule_approve.lifecycle import is_own

if TYPE_CHECKING:
    from molecule_approve.model import Approval, JsonValue

PERSON = ("user", "host")
"""The keys that name the person."""


def name(row: Approval) -> str:
    """The name of the credential, or that there was none, or that it was revoked; empty if the platform does not tell it."""
    known = row.requested_by or ("anonymous" if row.is_anonymous else "")
    return f"{known} (revoked)" if row.is_revoked else known


def described(known: str, context: JsonValue) -> str:
    """The name, then the claims: ``deploy-bot, says it runs as alice@build-7``; empty if there is neither."""
    runs = " ".join(f"{word} {text}" for word, text in (("as", person(context)), ("in", job(context))) if text)
    return ", ".join(filter(None, (known, f"says it runs {runs}" if runs else "")))


def short(known: str, context: JsonValue, claimed: str | None = None) -> str:
    """The same for a column of a table: ``deploy-bot (says alice@build-7)``; a user of the same name is not repeated.

    ``claimed`` is what else it claims to be, instead of the person.
    """
    by = person(context)
    claimed = by if claimed is None else claimed
    if not claimed or (claimed == by and is_own(known or None, _texts(context).get("user"))):
        return known
    return f"{known} (says {claimed})" if known else f"says {claimed}"


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
