"""Several servers of one PostgreSQL database, in this process and in processes of their own."""

from __future__ import annotations

import json
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self

from molecule_approve.model import Secret
from molecule_approve.paths import Places, locate
from molecule_approve.server.limits import Limits
from molecule_approve.server.run import Running, ServePlan
from tests.server.desk import Client, Desk, desk_of
from tests.server.serving import environment, serving

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator


class Team:
    """Servers of one database, each with a home of its own, and a desk at the first of them; use it inside ``with``.

    Attributes:
        url: the database's address.
        said: what the servers of this process warned of.

    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.said: list[str] = []
        self.homes: list[Path] = []
        self._stack = ExitStack()
        self._desk: Desk | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def home(self) -> Path:
        """A new home."""
        self.homes.append(Path(self._stack.enter_context(TemporaryDirectory(prefix="ma-"))))
        return self.homes[-1]

    def plan(self, home: Path | None = None, public_url: str | None = None, **limits: float) -> ServePlan:
        """What a server of this process serves; those that look after others do so soon."""
        folder = home or self.home()
        quick = {"takeover_interval": 0.1, "takeover": 0.2, "takeover_blind": 0.2, **limits}
        return ServePlan(
            Places(folder / "state" / "molecule-approve", folder / "run" / "molecule-approve"),
            database=Secret(self.url),
            public_url=public_url,
            limits=replace(Limits(), **quick),  # type: ignore[arg-type]  # the tests name them rightly
            warn=self.said.append,
        )

    def start(self, home: Path | None = None, **more: Any) -> Running:  # noqa: ANN401 - as for `plan`
        """A server in this process, until the end."""
        return self._stack.enter_context(Running(self.plan(home, **more)))

    def desk(self, server: Running | None = None) -> Desk:
        """The desk at the first server."""
        if self._desk is None:
            self._desk = self._stack.enter_context(desk_of(server or self.start()))
        return self._desk

    def at(self, server: Running) -> Desk:
        """The same desk, at another server: the approver is the same one."""
        desk = self.desk()
        asker, decider = (
            self._stack.enter_context(Client(base_url=server.url, headers=headers, timeout=desk.asker.timeout))
            for headers in ({"Authorization": f"Bearer {server.requester.token}"}, desk.decider.headers)
        )
        return Desk(server, asker, decider)

    @contextmanager
    def process(self, home: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
        """A server in a process of its own, and its address; killed at the end."""
        with serving(home, "--database", self.url, *options) as found:
            yield found


def requester_of(home: Path) -> tuple[str, str]:
    """The workspace, and the token of the requester, of the server with this home."""
    found = json.loads(locate(environment(home)).requester.read_text())
    return str(found["workspace_id"]), str(found["token"])


def recorded(home: Path) -> list[str]:
    """The ids of the approvals in the audit log of the server with this home."""
    log = locate(environment(home)).server_log
    lines = log.read_bytes().splitlines() if log.exists() else []
    return [str(json.loads(line)["approval_id"]) for line in lines if b'"approval_id"' in line]
