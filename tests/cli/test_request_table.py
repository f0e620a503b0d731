"""Requests as a table: what each column says, and that no text makes a row wider than the window."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from molecule_approve.cli.request_table import request_table
from molecule_approve.cli.terminal import cells
from molecule_approve.client.inbox import Waiting
from molecule_approve.model import Approval, ApprovalProgress, Outcome, Status, WaitingGroup
from tests.cli.conftest import COMMAND_LINE

if TYPE_CHECKING:
    from tests.callers import Caller

NOW = datetime(2026, 4, 27, 10, 1, 0, tzinfo=UTC)
ROW = Approval(
    "1a2b3c4d-1a2b", "ws-1", "deploy", Status.PENDING, created_at="2026-04-27T10:00:00Z", expires_at="2026-04-27T10:01:50Z"
)


def test_how_each_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time left is that of open requests alone; what ends soon and how a request ended have their colours."""
    monkeypatch.setenv("NO_COLOR", "1")
    rows = [Waiting(replace(ROW, context={"user": "ann", "host": "ci"})), Waiting(ROW)]
    statuses = [(Outcome.PENDING, "pending"), (Outcome.DENIED, "denied by bob")]
    assert request_table(rows, NOW, 80, statuses) == [
        "ID        AGE    LEFT   STATUS         REQUESTER    ACTION",
        "1a2b3c4d  1:00   50 s   pending        says ann@ci  deploy",
        "1a2b3c4d  1:00   -      denied by bob  -            deploy",
    ]
    monkeypatch.setenv("NO_COLOR", "")
    monkeypatch.setenv("FORCE_COLOR", "1")
    coloured = request_table(rows, NOW, 80, statuses)
    assert "\x1b[33mdeploy\x1b[0m" in coloured[1]
    assert "\x1b[1;31mdenied by bob" in coloured[2]
    assert coloured[2].endswith("deploy")


def test_open_requests_have_their_workspace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name where there is one."""
    monkeypatch.setenv("NO_COLOR", "1")
    assert request_table([Waiting(ROW, "payments")], NOW, 80)[1] == "1a2b3c4d  1:00   50 s   payments   -          deploy"


@pytest.mark.parametrize(
    ("width", "row"),
    [
        (
            120,
            "1a2b3c4d  1:00   50 s   1 of 2: alice; waiting for dba (bo, cy)  payments   -          deploy the application",
        ),
        (100, "1a2b3c4d  1:00   50 s   1 of 2: alice; waiting for db…  payments   -          deploy the applicat…"),
        (80, "1a2b3c4d  1:00   50 s   1 of 2: alice; waiting for dba …  deploy the applicat…"),
        (56, "1a2b3c4d  1 of 2: alice; waiting …  deploy the applic…"),
        (50, "1a2b3c4d  deploy the application"),
    ],
)
def test_how_far_a_request_is_takes_what_its_action_leaves(width: int, row: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And as much as the action gets where neither fits; in a narrow window there is no such column."""
    monkeypatch.setenv("NO_COLOR", "1")
    progress = ApprovalProgress(2, 1, approved_by=("alice",), waiting_for=(WaitingGroup("dba", ("bo", "cy")),))
    asked = replace(ROW, action="deploy the application", progress=progress)
    assert request_table([Waiting(asked, "payments")], NOW, width)[1] == row


@pytest.mark.parametrize("width", [1, 9, 20, 40, 60, 80])
@pytest.mark.parametrize("text", ["Ж", "漢", "e\u0301", "\u4dc0", "x"])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_no_row_is_wider_than_the_window(width: int, text: str, encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However wide the terminal takes a character for, and with the escapes that its encoding needs."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
    row = Waiting(replace(ROW, action=text * 90, context={"user": text * 90}), text * 90)
    for statuses in ([], [(Outcome.DENIED, text * 90)]):
        for line in request_table([row], NOW, width, statuses):
            # A mark of one column may be taken for one of two.
            assert cells(line, strict=True) <= max(width, 2)
            line.encode(encoding)


@pytest.mark.parametrize("argv", [("pending",), ("status",), ("pending", "--watch")])
def test_a_command_is_shown_without_its_facts(seated: Caller, running: str, argv: tuple[str, ...]) -> None:
    """As a shell reads it, at a terminal and in a line for a script."""
    with seated.terminal(*argv, size=(24, 160)) as terminal:
        terminal.until(COMMAND_LINE)
        terminal.type("\x03")  # ends only what watches
        terminal.end()
        assert "program" not in terminal.seen
    if "--watch" not in argv:
        (line,) = seated.main(*argv).out.splitlines()
        assert line.startswith(running)
        assert line.endswith(f"  {COMMAND_LINE}")
