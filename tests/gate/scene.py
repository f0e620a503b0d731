"""A gate over a real log and a contract in memory, for the tests of the gate and of its ways out."""

from __future__ import annotations

import contextlib
import json
import signal
import threading
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molecule_approve.audit.journal import Journal
from molecule_approve.client.platform import Sighting
from molecule_approve.client.retry import WaitPolicy
from molecule_approve.clock import boottime
from molecule_approve.errors import Interrupted
from molecule_approve.gate.gate import Gate, Terms
from tests.callers import until
from tests.client.fakes import Contract, Watcher, request, submitted

if TYPE_CHECKING:
    from molecule_approve.client.platform import Platform
    from molecule_approve.model import Approval, SubmittedRequest, Verdict
    from molecule_approve.proofs.keys_file import KeyRing

ENDINGS = {"granted", "denied", "timeout", "withdrawn", "failure"}
QUICK = WaitPolicy(tick=0.05, poll_interval=0.05)


class HandStop:
    """Stops us once the test has pulled it: at the next check, or where a call is open."""

    def __init__(self) -> None:
        self._pulled = threading.Event()
        self._raised = False

    def pull(self, *_: object) -> None:
        self._pulled.set()

    def check(self) -> None:
        if self._pulled.is_set() and not self._raised:
            self._raised = True
            raise Interrupted(signal.SIGTERM, "stopped by SIGTERM")

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        self.check()
        yield
        self.check()

    def sleep(self, seconds: float) -> None:
        self._pulled.wait(seconds)
        self.check()


class Scene:
    """A gate over a real log, and what came of it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "audit.jsonl"
        self.contract = Contract(boottime)
        self.stop = HandStop()
        self.watcher = Watcher()
        self.terms = Terms(timeout=5.0, stream=False, policy=QUICK)
        self.asked = request()
        self.keys: KeyRing | None = None
        self.broken_log = False

    def gate(self, platform: Platform | None = None, *, optional: bool = False) -> Gate:
        return Gate(
            platform or self.contract,
            Journal(self.path),
            self.stop,
            self.watcher,
            attempt_id=str(uuid.uuid4()),
            audit_optional=optional,
            keys=self.keys,
        )

    def request(self, platform: Platform | None = None, *, optional: bool = False, **terms: Any) -> Verdict:  # noqa: ANN401 - Terms
        return self.gate(platform, optional=optional).request(self.asked, replace(self.terms, **terms), lambda: None)

    def resume(self, asked: SubmittedRequest | None = None, platform: Platform | None = None, **terms: Any) -> Verdict:  # noqa: ANN401 - Terms
        found = asked or submitted(own=False)
        return self.gate(platform).resume(self.asked, found, replace(self.terms, withdraw=False, **terms))

    def stop_once(self, outcome: str) -> None:
        """Pull the stop as soon as the log says so."""

        def pull() -> None:
            until(lambda: self.path.is_file() and f'"{outcome}"'.encode() in self.path.read_bytes())
            self.stop.pull()

        threading.Thread(target=pull).start()

    def breaks_the_log(self, *_: object) -> None:
        """From now on a folder lies where the log should be."""
        self.broken_log = True
        if self.path.exists():
            self.path.rename(self.path.with_suffix(".away"))
        self.path.mkdir()

    @property
    def records(self) -> list[dict[str, Any]]:
        file = self.path.with_suffix(".away") if self.path.is_dir() else self.path
        return [json.loads(line) for line in file.read_bytes().splitlines()] if file.exists() else []

    @property
    def outcomes(self) -> list[str]:
        return [record["outcome"] for record in self.records]

    @property
    def ending(self) -> dict[str, Any]:
        (found,) = [entry for entry in self.records if entry["outcome"] in ENDINGS and entry["action"] == "approve"]
        return found

    @property
    def calls(self) -> list[str]:
        return [name for name, _ in self.contract.calls]

    def check(self) -> None:
        """Never more than one ending, in each invocation that began."""
        for invocation in {record["invocation"] for record in self.records}:
            mine = [r["outcome"] for r in self.records if r["invocation"] == invocation and r["action"] == "approve"]
            assert sum(outcome in ENDINGS for outcome in mine) <= 1, mine


def shows(*rows: Approval) -> list[object]:
    """Reads that show these rows, one after the other."""
    return [Sighting(shown) for shown in rows]
