"""Parses the query parameters of the inbox page's lists -> values; wrong ones are a RefusedError (422)."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

from molecule_approve.model import Outcome
from molecule_approve.wire import instant

from .database.values import EndedSearch, PendingSearch, epoch_text
from .refusals import unacceptable

if TYPE_CHECKING:
    from collections.abc import Mapping

    Query = Mapping[str, list[str]]

_WORDS = 8
"""Words of one search: each is another condition."""

_OUTCOMES = {outcome.value: outcome for outcome in (Outcome.APPROVED, Outcome.DENIED, Outcome.EXPIRED, Outcome.WITHDRAWN)}

_LARGEST = 2**63 - 1


def parse_pending_search(query: Query, limit: int) -> PendingSearch:
    """Parse ``q`` and ``workspace``, each of at most ``limit`` characters."""
    return PendingSearch(_words(query, limit), _text(query, "workspace", limit))


def parse_ended_search(query: Query, limit: int) -> EndedSearch:
    """Parse ``q``, ``who``, ``outcome``, ``since``, ``until`` and ``workspace``."""
    outcome = _text(query, "outcome", limit)
    if outcome and outcome not in _OUTCOMES:
        raise unacceptable(f"outcome must be one of {', '.join(_OUTCOMES)}")
    return EndedSearch(
        _words(query, limit),
        _text(query, "who", limit),
        _OUTCOMES.get(outcome),
        _moment(query, "since", limit),
        _moment(query, "until", limit),
        _text(query, "workspace", limit),
    )


def parse_cursor(query: Query) -> int | None:
    """Parse ``cursor``, which is the ``next`` of an earlier page."""
    text = _text(query, "cursor", len(str(_LARGEST)))
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and int(text) <= _LARGEST):
        raise unacceptable("cursor is not one of this server's")
    return int(text)


def _text(query: Query, name: str, limit: int) -> str:
    found = query.get(name, [])
    if len(found) > 1 or any(len(text) > limit or "\0" in text for text in found):
        raise unacceptable(f"{name} must be given once, and have at most {limit} characters")
    return found[0] if found else ""


def _words(query: Query, limit: int) -> tuple[str, ...]:
    words = tuple(_text(query, "q", limit).split())
    if len(words) > _WORDS:
        raise unacceptable(f"q must have at most {_WORDS} words")
    return words


def _moment(query: Query, name: str, limit: int) -> str:
    """A time, written like those in the database, so that they can be compared as texts."""
    text = _text(query, name, limit)
    if not text:
        return ""
    found = instant(text)
    if found is None:
        raise unacceptable(f"{name} must be a time, such as 2026-01-31T12:00:00Z")
    try:
        return epoch_text(found.astimezone(UTC).timestamp())
    except (OverflowError, ValueError) as exc:
        raise unacceptable(f"{name} is out of range") from exc
