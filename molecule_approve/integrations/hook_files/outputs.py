"""Pure: reads what a hook printed, as hosts do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from molecule_approve import strict_json

if TYPE_CHECKING:
    from molecule_approve.model import JsonValue


def json_object(text: str) -> dict[str, JsonValue]:
    """The one JSON object that the text is; empty if it is something else."""
    try:
        found = strict_json.loads(text)
    except strict_json.StrictJsonError:
        return {}
    return found if isinstance(found, dict) else {}
