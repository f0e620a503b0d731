"""Replays a recorded scenario: the fake platform says what the real one said, with our task id and our times put in."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.integration.fake_platform import FakePlatform
from tests.integration.ledger import Row, as_text, now
from tests.integration.raw_http import Reply

if TYPE_CHECKING:
    from tests.integration.fake_platform import Exchange

SCENARIOS = Path(__file__).parent.parent / "recordings" / "scenarios.jsonl"
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?Z")


def scenarios() -> list[dict[str, Any]]:
    """All recorded scenarios."""
    return [json.loads(line) for line in SCENARIOS.read_text(encoding="utf-8").splitlines()]


class Replay:
    """One scenario on a real socket: what was heard before the decision, and, once ``decide`` is called, what came then.

    Attributes:
        platform: the fake platform; its database follows the recording, so that the checker can look at it.

    """

    def __init__(self, scenario: dict[str, Any]) -> None:
        self.asked: dict[str, Any] = {}
        self.platform = FakePlatform()
        self._scenario = scenario
        self._decided = False
        self._shift = timedelta()
        exchanges = [step["http"] for step in scenario["steps"] if "http" in step]
        self._recorded = json.loads(exchanges[0]["request"]["body"])
        self._created = exchanges[0]["response"]
        self._lists = [
            http["response"]
            for http in exchanges
            if http["request"]["method"] == "GET" and "pending" not in http["request"]["path"]
        ]
        self._frames = [step["frames"] for step in scenario["steps"] if "frames" in step]
        self.platform.workspace = scenario["workspace_id"]
        self.platform.workspaces = {scenario["workspace_id"]: self.platform.token}
        self.platform.on("submit", self._submit).on("list", self._list)
        self.platform.start()

    @property
    def action(self) -> str:
        """What was asked."""
        return str(self._recorded["action"])

    @property
    def reason(self) -> str:
        """And why."""
        return str(self._recorded["reason"])

    def decide(self) -> None:
        """Let happen what had happened: the database, then the frames, and the lists from now on."""
        row, recorded = self.platform.rows[0], self._final_row()
        if recorded["status"] != "pending":
            self.platform.change(row, recorded["status"], recorded["decided_by"])
        self._decided = True
        self._send(self._frames[1])

    def _final_row(self) -> dict[str, Any]:
        """How the request stood at last: in the last list, or as its own event tells where the list shows it no more."""
        found = [row for row in json.loads(self._lists[-1]["body"]) if row["id"] == self._scenario["approval_id"]]
        verdict = self._scenario["verdict"]
        return found[0] if found else {"status": verdict["outcome"], "decided_by": verdict["decided_by"]}

    def _submit(self, exchange: Exchange) -> Reply:
        self.asked = json.loads(exchange.request.body)
        recorded = datetime.fromisoformat(json.loads(self._lists[0]["body"])[0]["created_at"])
        self._shift = now() - recorded
        row = Row(self.platform.workspace, self.action, self.reason, self.asked["task_id"], as_text(now()))
        row.id = self._scenario["approval_id"]
        with self.platform.changed:
            self.platform.rows.append(row)
            self.platform.changed.notify_all()
        self._send(self._frames[0])
        return self._answer(self._created)

    def _list(self, exchange: Exchange) -> Reply:
        return self._answer(self._lists[-1] if self._decided else self._lists[0])

    def _send(self, frames: list[str]) -> None:
        for text in frames:
            self.platform.publish(self.platform.workspace, self._ours(text))

    def _answer(self, recorded: dict[str, Any]) -> Reply:
        kind = ("Content-Type", recorded["headers"]["content-type"])
        return Reply(recorded["status"], self._ours(recorded["body"]).encode(), (kind,))

    def _ours(self, text: str) -> str:
        """The recorded text with our task id and our times."""
        text = text.replace(self._recorded["task_id"], self.asked["task_id"])
        return _MOMENT.sub(lambda match: as_text(datetime.fromisoformat(match.group()) + self._shift), text)
