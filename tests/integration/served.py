"""The embedded server as a real process, with an approver; what it holds is asked of it over REST, as anybody would."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from molecule_approve.paths import locate
from molecule_approve.server import credentials
from tests.callers import start
from tests.integration.raw_http import PLAIN

_PATIENCE = 60.0


class Served:
    """``serve`` on a free port, for the user whose environment it is given.

    Attributes:
        url: its address on loopback.
        workspace: its own workspace.
        token: the requester's token.
        approver: alice's token.

    """

    def __init__(self, env: Mapping[str, str], folder: Path) -> None:
        self._env = dict(env)
        self._folder = folder
        self.url = ""
        self.start()
        found = json.loads((folder / "state" / "molecule-approve" / "requester.json").read_text())
        self.workspace, self.token = str(found["workspace_id"]), str(found["token"])
        # By its own module: the command takes as long as a whole request, and has tests of its own.
        with credentials.opened(locate(self._env)) as store:
            self.approver = credentials.add_approver(store, "alice")

    def start(self, port: str = "0") -> None:
        """Start it, on a free port or this one, and wait for the line that says where it is."""
        with (self._folder / "serve.err").open("ab") as talk:
            self._process = start(("serve", "--port", port), env=self._env, stdout=subprocess.PIPE, stderr=talk)
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().decode().strip()

    def kill(self) -> None:
        """End it as a power cut does."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Stop it as its user does."""
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        self._process.send_signal(number)
        self._process.wait(_PATIENCE)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def rows(self) -> list[dict[str, Any]]:
        """All requests, oldest first, each with its workspace."""
        address = f"{self.url}/workspaces/{self.workspace}/approvals"
        reply = httpx.get(
            address, headers={"Authorization": f"Bearer {self.approver}"}, timeout=_PATIENCE, verify=PLAIN, trust_env=False
        )
        return [{**row, "workspace_id": self.workspace} for row in reversed(reply.json())]

    def decide(self, approval_id: str, decision: str = "approved") -> int:
        """Decide as alice; the status of the answer."""
        address = f"{self.url}/workspaces/{self.workspace}/approvals/{approval_id}/decide"
        headers = {"Authorization": f"Bearer {self.approver}"}
        return httpx.post(
            address, json={"decision": decision}, headers=headers, timeout=_PATIENCE, verify=PLAIN, trust_env=False
        ).status_code

    def ask(self, **body: str) -> None:
        """Ask once more, as a proxy does that sends a POST twice."""
        address = f"{self.url}/workspaces/{self.workspace}/approvals"
        headers = {"Authorization": f"Bearer {self.token}"}
        httpx.post(address, json=body, headers=headers, timeout=_PATIENCE, verify=PLAIN, trust_env=False).raise_for_status()

    def facts(self) -> dict[str, Any]:
        """What the checker wants to know of a platform; this one tells neither its history nor its callers' pace."""
        rows = self.rows()
        return {"workspace": self.workspace, "secrets": (self.token, self.approver), "rows": tuple(rows)}
