"""The server of a benchmark: a process of its own, from this source tree or another one, with wider limits.

Run as a program it is that process: it writes its addresses as a line of JSON, and ends when its stdin does.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

_PAGE = os.sysconf("SC_PAGE_SIZE")
# A start compiles nothing, but for the first one.
_ENVIRON = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
HERE = Path(__file__).resolve()
OURS = HERE.parent.parent


class Served:
    """A running server. ``tree`` is the source tree that it runs from; ``options`` are fields of its plan."""

    def __init__(self, folder: Path, tree: Path = OURS, **options: str) -> None:
        self.folder = folder
        arguments = [sys.executable, str(HERE), str(folder), json.dumps(options)]
        self._process = subprocess.Popen(
            arguments,
            env={**_ENVIRON, "PYTHONPATH": str(tree)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the server of {tree} did not start")
        said: dict[str, Any] = json.loads(line)
        self.url, self.workspace_id = str(said["url"]), str(said["workspace_id"])
        self.requester, self.approver = str(said["requester"]), str(said["approver"])
        self.socket = str(said["socket"])
        self.database = Path(said["database"])
        self.pid = self._process.pid

    def place(self, number: int) -> str:
        """Where to connect: to its URL and its Unix socket in turn, as each has its own share of all connections."""
        return self.socket if number % 2 else self.url

    @property
    def requests(self) -> str:
        """The address of its requests."""
        return f"/workspaces/{self.workspace_id}/approvals"

    def cpu(self) -> float:
        """Seconds of processor time that it has used so far."""
        tasks = Path(f"/proc/{self.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def memory(self) -> int:
        """Bytes that it has in memory."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * _PAGE

    def stop(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


@dataclass(frozen=True)
class Side:
    """A source tree that is measured."""

    name: str
    tree: Path

    def served(self, folder: Path, **options: str) -> Served:
        """A server of it, in this folder."""
        return Served(folder, self.tree, **options)


def main() -> None:
    """Serve until stdin ends."""
    from molecule_approve.model import Secret  # noqa: PLC0415
    from molecule_approve.paths import Places  # noqa: PLC0415 - the other half of this file needs none of the package
    from molecule_approve.server.limits import Limits  # noqa: PLC0415
    from molecule_approve.server.run import Running, ServePlan  # noqa: PLC0415

    folder, options = Path(sys.argv[1]), json.loads(sys.argv[2])
    limits = replace(Limits(), rate=10_000_000, pending=20_000, connections=60_000, recheck=3_600.0, expiry=36_000.0)
    if "database" in options:
        options["database"] = Secret(options["database"])
    plan = ServePlan(Places(folder / "state", folder / "run"), limits=limits, **options)
    with Running(plan) as server:
        gc.freeze()  # as `serve` does
        kept = folder / "approver"
        if not kept.exists():
            kept.write_text(server.add_approver(f"approver-{folder.name}"))
        said = {
            "url": server.url,
            "workspace_id": server.requester.workspace_id,
            "requester": server.requester.token,
            "approver": kept.read_text(),
            "socket": str(server.places.socket),
            "database": str(server.places.database),
        }
        print(json.dumps(said), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
