"""A platform for ``hook test``: an embedded server of its own, on which an approver denies every request at once."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from molecule_approve.client.rest import RestPlatform
from molecule_approve.clock import Deadline
from molecule_approve.errors import PlatformError
from molecule_approve.model import Endpoint, Secret, Status, SubmittedRequest
from molecule_approve.paths import Places
from molecule_approve.server.run import Running, ServePlan

_APART = 0.05
"""Seconds between two looks at the inbox."""
_READ = 10.0
"""Seconds that a call to the server may take."""


class Surroundings(NamedTuple):
    """What is put in the place of the user's own platform: variables, and the values of options."""

    variables: Mapping[str, str]
    options: Mapping[str, str]


class DenyingGate:
    """The running platform.

    Attributes:
        folder: a private folder of the test's.
        asked: how many requests came so far.
        surroundings: what leads a hook there.
    """

    def __init__(self, folder: Path, server: Running, token: str) -> None:
        self.folder = folder
        self.asked = 0
        self._workspace = server.requester.workspace_id
        self.surroundings = Surroundings(
            variables={
                "PLATFORM_URL": server.url,
                "WORKSPACE_ID": self._workspace,
                "MOLECULE_TOKEN": server.requester.token,
                "AUDIT_LOG_PATH": str(folder / "audit.jsonl"),
                "XDG_STATE_HOME": str(folder / "hook"),
            },
            options={
                "--platform-url": server.url,
                "--workspace-id": self._workspace,
                "--audit-log": str(folder / "audit.jsonl"),
            },
        )
        self._platform = RestPlatform(Endpoint(server.url, self._workspace, Secret(token)))
        self._stop = threading.Event()

    def deny_all(self) -> None:
        """Deny what comes, until ``stop``."""
        with contextlib.closing(self._platform):
            while not self._stop.wait(_APART):
                with contextlib.suppress(PlatformError):  # a request that was withdrawn, say
                    self._deny_pending()

    def _deny_pending(self) -> None:
        for row in self._platform.open_requests(Deadline.after(_READ)).rows:
            self.asked += 1  # first: whoever asked may have ended before the decision's own answer is here
            request = SubmittedRequest(row.approval.id, row.approval.workspace_id)
            self._platform.decide(request, Status.DENIED, "denied by hook test", Deadline.after(_READ))

    def stop(self) -> None:
        """End ``deny_all``."""
        self._stop.set()


@contextlib.contextmanager
def denying_gate(folder: Path) -> Iterator[DenyingGate]:
    """The platform, until the block ends."""
    with Running(ServePlan(Places(folder / "state", folder / "run"))) as server:
        gate = DenyingGate(folder, server, server.add_approver("hook test"))
        thread = threading.Thread(target=gate.deny_all, daemon=True)
        thread.start()
        try:
            yield gate
        finally:
            gate.stop()
            thread.join()
