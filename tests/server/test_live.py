"""The event stream: who may listen, who hears what."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import httpx
from websockets.sync.client import connect

if TYPE_CHECKING:
    from molecule_approve.server.run import Running


def test_an_approval_is_heard_in_both_dialects(live_server: Running) -> None:
    """A decision is told to the workspace's socket as the platform tells it, and in the earlier, flat dialect."""
    ws = live_server.requester.workspace_id
    token = live_server.add_approver("alice")
    headers = {"Authorization": f"Bearer {live_server.requester.token}"}
    with connect(
        live_server.url.replace("http", "ws") + "/ws", additional_headers={**headers, "X-Workspace-ID": ws}
    ) as socket:
        answer = httpx.post(f"{live_server.url}/workspaces/{ws}/approvals", headers=headers, json={"action": "a"})
        asked = json.loads(socket.recv(5))
        assert asked["event"] == "APPROVAL_REQUESTED"
        path = f"{live_server.url}/workspaces/{ws}/approvals/{answer.json()['approval_id']}/decide"
        httpx.post(path, headers={"Authorization": f"Bearer {token}"}, json={"decision": "approved"})
        assert json.loads(socket.recv(5))["payload"]["decided_by"] == "alice"
        assert json.loads(socket.recv(5))["event"] == "APPROVAL_DECIDED"
