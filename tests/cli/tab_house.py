"""A user in whose house TAB is pressed: an embedded server with requests, an audit log, and a program on the PATH."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from molecule_approve.audit.journal import Journal
from molecule_approve.audit.record import RecordOutcome
from molecule_approve.paths import Places, locate
from molecule_approve.server import administration
from molecule_approve.server.run import Running, ServePlan
from tests.audit.records import record
from tests.server.desk import desk_of


@dataclass(frozen=True)
class House:
    """Folders of one user, short enough for a Unix socket's path.

    Attributes:
        env: what a shell and the program get; nothing of the user who runs the tests.

    """

    folder: Path
    env: dict[str, str]

    @property
    def places(self) -> Places:
        """Where the program's files lie."""
        return locate(self.env)

    @property
    def log(self) -> Path:
        """The user's audit log."""
        return Path(self.env["AUDIT_LOG_PATH"])

    def log_says(self, approval_id: str, *outcomes: RecordOutcome) -> str:
        """Records about a request; its id again."""
        for outcome in outcomes:
            found = record(outcome, "trace", resource="$(touch run-by-tab)", approval_id=approval_id)
            Journal(self.log).append(found, patience=1.0)
        return approval_id


@dataclass(frozen=True)
class Asked:
    """What was asked in a house, by what became of it. Asked in the order in which they stand here."""

    older: str
    newer: str
    denied: str
    logged: str
    granted: str


@contextmanager
def house() -> Iterator[House]:
    """A house where nothing ever ran but has the program on its PATH."""
    folder = Path(tempfile.mkdtemp(prefix="ma."))
    try:
        for name in ("home", "run", "bin"):
            (folder / name).mkdir(mode=0o700)
        put_program(folder / "bin", f'exec "{sys.executable}" -m molecule_approve "$@"')
        kept = {name: value for name, value in os.environ.items() if name.startswith("COV")}
        own = {
            "PATH": f"{folder / 'bin'}:/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "HOME": str(folder / "home"),
            "XDG_STATE_HOME": str(folder / "state"),
            "XDG_RUNTIME_DIR": str(folder / "run"),
            "AUDIT_LOG_PATH": str(folder / "log" / "audit.jsonl"),
        }
        yield House(folder, kept | own)
    finally:
        shutil.rmtree(folder)


def _add_names(server: Running) -> None:
    """Approvers, requesters and workspaces; some with names that a shell would take for something else."""
    for name in ("bob@example.org", "$(touch run-by-tab)", "--yes", "Bo Li"):
        server.add_approver(name)
    with server.opened() as store:
        for name in ("payments", "web; touch run-by-tab"):
            administration.add_workspace(store, name)
        for name, where in (("deploy-bot", "payments"), ("deploy-bot", None), ("`touch run-by-tab`", None)):
            administration.add_requester(server.places, store, name, where)


@contextmanager
def asked() -> Iterator[tuple[House, Asked]]:
    """A house with a server that runs, and with requests there and in the audit log, also one that is no id at all."""
    with house() as made, Running(ServePlan(made.places)) as server, desk_of(server) as desk:
        older, newer, denied = desk.ask(), desk.ask(), desk.ask()
        desk.decide(denied, "denied")
        _add_names(server)
        logged = made.log_says("0a0a0a0a-1111-4222-8333-444444444444", RecordOutcome.REQUESTED)
        granted = made.log_says("0b0b0b0b-1111-4222-8333-444444444444", RecordOutcome.REQUESTED, RecordOutcome.GRANTED)
        made.log_says(denied, RecordOutcome.REQUESTED)
        made.log_says("$(touch run-by-tab)", RecordOutcome.REQUESTED)
        yield made, Asked(older, newer, denied, logged, granted)


def put_program(folder: Path, script: str) -> Path:
    """A shell script under the program's name."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "molecule-approve"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o700)
    return path
