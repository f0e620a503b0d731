"""The hosts as the tests call them: an event of each, and the forms of their answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.callers import Caller, Told

FIXTURES = Path(__file__).parents[2] / "integrations" / "hooks" / "fixtures"


def event(host: str, name: str = "shell") -> dict[str, Any]:
    """A recorded event; of the newest version that has one of this name."""
    newest = max((FIXTURES / host).glob(f"*/{name}.json"))
    found: dict[str, Any] = json.loads(newest.read_bytes())
    return found


def call(caller: Caller, host: str, data: bytes | dict[str, Any], *options: str) -> Told:
    """Start the hook in this process, with this on stdin."""
    path = caller.folder / "event.json"
    path.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
    with path.open() as stdin, caller.patch.context() as patch:
        patch.setattr("sys.stdin", stdin)
        return caller.main("hook", host, *options)
