"""What the platform's answers, events and routes look like; no state, no socket."""

from __future__ import annotations

import json
from typing import Any

from tests.integration.ledger import as_text, now
from tests.integration.raw_http import Reply, Request


def says(status: int, body: object) -> Reply:
    """An answer in JSON with the platform's headers."""
    kind = ("Content-Type", "application/json; charset=utf-8")
    return Reply(status, json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(), (kind,))


def error(status: int, text: str) -> Reply:
    """An error as the platform writes it."""
    return says(status, {"error": text})


def event(name: str, workspace: str, payload: dict[str, Any]) -> str:
    """An event in the platform's own dialect."""
    return json.dumps({"event": name, "workspace_id": workspace, "timestamp": as_text(now()), "payload": payload})


def route_of(request: Request) -> str:
    """The name of the route that a request meets."""
    parts = request.path.strip("/").split("/") if request.path.count("//") == 0 else request.path.split("/")[1:]
    match (request.method, *parts):
        case ("GET", "ws"):
            return "socket"
        case ("GET", "approvals", "pending"):
            return "pending"
        case ("POST", "workspaces", _, "approvals"):
            return "submit"
        case ("GET", "workspaces", _, "approvals"):
            return "list"
        case ("POST", "workspaces", _, "approvals", _, "decide"):
            return "decide"
        case _:
            return "other"
