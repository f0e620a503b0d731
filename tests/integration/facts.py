"""What can be seen of one finished program from outside: data, and questions to it; judging is invariants.py's matter."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

ENDINGS = {"granted", "denied", "timeout", "withdrawn", "failure"}
KILLED = 137


@dataclass(frozen=True, slots=True)
class Facts:
    """One finished program, and the world as it is afterwards.

    Attributes:
        argv: the arguments behind the program's name.
        code: the exit code as a shell shows it (128 + n after a signal).
        seconds: how long it ran, from its start; ``stopped`` of these somebody held it with SIGSTOP,
            and ``starved`` of these it waited for a processor.
        timeout: what it was given, or None.
        action: the text that was asked.
        workspace: the workspace that asked.
        lines: the audit log's lines after the run, newlines left out.
        before: how many lines it had before.
        torn: the log's last line has no newline.
        rows: the platform's rows afterwards, oldest first, each with its ``workspace_id``.
        history: every change of a row: id, old status, new status, by whom.
        live_peak: task id -> the greatest number of its rows that were open at once.
        reads, attempts: when the program read the list, and tried the socket (monotonic seconds).
        given_up: when it began to take its question back, or None.
        strays: requests that reached an address which was never configured.
        terminal: its output was a terminal.
        cut_off: no answer of the platform could be had at the end, so that a question may stand open there.
        audit_optional: config.yaml says so.

    """

    argv: tuple[str, ...]
    code: int
    stdout: bytes = b""
    stderr: bytes = b""
    result: bytes = b""
    seconds: float = 0.0
    stopped: float = 0.0
    starved: float = 0.0
    timeout: float | None = None
    action: str = ""
    workspace: str = ""
    secrets: tuple[str, ...] = ()
    lines: tuple[bytes, ...] = ()
    before: int = 0
    torn: bool = False
    rows: tuple[dict[str, Any], ...] = ()
    history: tuple[tuple[str, str, str, str], ...] = ()
    live_peak: dict[str, int] = field(default_factory=dict)
    reads: tuple[float, ...] = ()
    attempts: tuple[float, ...] = ()
    given_up: float | None = None
    strays: int = 0
    terminal: bool = False
    cut_off: bool = False
    audit_optional: bool = False

    @property
    def command(self) -> str:
        """Which command it was: its first word."""
        return self.argv[0] if self.argv else ""

    @property
    def killed(self) -> bool:
        """Ended by SIGKILL."""
        return self.code == KILLED

    @property
    def answer(self) -> dict[str, Any]:
        """The object of ``--json`` or of the result file; empty where there is none."""
        for text in (self.result, self.stdout):
            try:
                found = json.loads(text)
            except ValueError:
                continue
            if isinstance(found, dict):
                return found
        return {}

    @property
    def records(self) -> list[dict[str, Any]]:
        """All records of the log that are JSON objects."""
        return [found for found in map(record_of, self.lines) if found]

    @property
    def own(self) -> list[dict[str, Any]]:
        """The records that were written while it ran and belong to it: those of its trace that name one invocation.

        Where it told no trace, the trace of the first new record is taken for its own.
        """
        new = [found for found in map(record_of, self.lines[self.before :]) if found.get("trace_id")]
        trace = self.answer.get("trace_id") or (new[0]["trace_id"] if new else None)
        mine = [found for found in new if found["trace_id"] == trace]
        return [found for found in mine if found.get("invocation") == mine[0].get("invocation")]

    @property
    def ending(self) -> list[dict[str, Any]]:
        """Its ending records."""
        return [r for r in self.own if r.get("action") == "approve" and r.get("outcome") in ENDINGS]

    @property
    def begun(self) -> bool:
        """Whether it wrote that it began."""
        return any(r.get("outcome") in {"initiated", "resumed"} for r in self.own)

    @property
    def row(self) -> dict[str, Any] | None:
        """The platform's row of the approval that it names."""
        wanted = self.answer.get("approval_id") or next((r["approval_id"] for r in self.own if "approval_id" in r), None)
        return next((row for row in self.rows if row["id"] == wanted), None)

    @property
    def asked(self) -> list[dict[str, Any]]:
        """The platform's rows that carry a task id of this run."""
        mine = {r.get("task_id") for r in self.own} | {r.get("trace_id") for r in self.own}
        return [row for row in self.rows if row["task_id"] and row["task_id"] in mine]


def record_of(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
