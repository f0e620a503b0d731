"""Lines about the audit log in pieces, each with a style that says what it means; here a style becomes a colour."""

from __future__ import annotations

from collections.abc import Iterable

from molecule_approve.audit.record import RecordOutcome

from .window import in_style

StyledText = tuple[str, str]
"""Text that is safe to show, and a style for it: one of :data:`STYLES`."""

STYLES = {"bold": "1", "dim": "2", "good": "1;32", "bad": "1;31", "nobody": "33", "fault": "1;35", "going": "36", "": ""}
"""What ECMA-48 calls them."""

# The colours say what came of it: green a yes, red a no, yellow nobody's decision, magenta a fault.
_OUTCOMES: dict[str, str] = {
    RecordOutcome.GRANTED: "good",
    RecordOutcome.DENIED: "bad",
    RecordOutcome.TIMEOUT: "nobody",
    RecordOutcome.WITHDRAWN: "nobody",
    RecordOutcome.FAILURE: "fault",
    RecordOutcome.FAILED: "fault",
    RecordOutcome.INITIATED: "going",
    RecordOutcome.REQUESTED: "going",
    RecordOutcome.RESUMED: "going",
}


def style_of(outcome: str) -> str:
    """The style of a record's outcome; empty for a word that means nothing to us."""
    return _OUTCOMES.get(outcome, "")


def painted(pieces: Iterable[StyledText], *, coloured: bool) -> str:
    """The line that the pieces make, in colours where they are wanted."""
    return "".join(in_style(text, STYLES[style]) if coloured and text.strip() else text for text, style in pieces)
