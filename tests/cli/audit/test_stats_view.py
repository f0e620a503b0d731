"""A log's statistics fit the window, draw with what the terminal has, and are one object for programs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from molecule_approve.audit.report.stats import Statistics, statistics
from molecule_approve.cli.audit.stats_view import SHOWN, bar, statistics_json, statistics_lines
from molecule_approve.cli.terminal import cells
from tests.audit.records import begun, foreign, lines, record

REMARK = "this was not verified, and it says so in a sentence that is longer than a narrow window"


def decided(outcome: str, trace: str, by: str, seconds: float, *, verified: bool = True) -> Any:  # noqa: ANN401 - a record
    return record(
        outcome,
        trace,
        decided_by=by,
        decided_by_verified=verified,
        waited_seconds=seconds,
        transport="live",
        workspace=trace,
    )


def counted(*names: str) -> Statistics:
    """Three requests of three workspaces, two of them decided; one approval could not be told; odd lines beside."""
    one, two, three = names or ("a", "b", "c")
    rows = lines(
        begun(one, at="09:00:00", workspace=one),
        begun(two, workspace=two),
        begun(three, at="11:00:00", workspace=three),
        decided("granted", one, "alice", 5.0),
        decided("denied", two, "bob \u65e5\u672c", 400.0, verified=False),
        record("failed", one, action="deliver"),
    )
    undated = lines(begun("undated"))[0].replace(b"2026-04-27T", b"").replace(b"7d444840", b"00000000")
    return statistics([*(row + b"\n" for row in [*rows, undated, foreign(note=1)])])


def shown(found: Statistics, width: int = 80, *, blocks: bool = True) -> list[str]:
    return list(statistics_lines(found, width, REMARK, blocks=blocks))


def test_the_whole_page() -> None:
    """Outcomes with their share, who decided, who asked, how long it took, and what was not counted."""
    assert shown(counted()) == [
        "requests     4, 2026-04-27 09:00:00Z to 2026-04-27 11:00:00Z",
        "  approved       1   25.0 %",
        "  denied         1   25.0 %",
        "  open           2   50.0 %",
        "",
        "decided by",
        "  alice     approved 1, denied 0",
        "  bob 日本  approved 0, denied 1 (name not verified)",
        "",
        "by workspace",
        "  a   1: approved 1",
        "  b   1: denied 1",
        "  c   1: open 1",
        "  ws  1: open 1",
        "",
        "waited for a decision (2)",
        "  min 5 s, median 5 s, p90 6 min 40 s, p99 6 min 40 s, max 6 min 40 s",
        "  < 10 s    1  " + "█" * 40,
        "  < 30 s    0",
        "  < 1 min   0",
        "  < 5 min   0",
        "  < 15 min  1  " + "█" * 40,
        "",
        "transport    live 2",
        "",
        "approvals in the log that could not be delivered: 1",
        "requests without a readable time (not in any period): 1",
        "unchained lines (written by other tools; not counted): 1",
        "this was not verified, and it says so in a sentence that is longer than a narrow",
        "  window",
    ]


def test_commands_are_told_below() -> None:
    """How many were started and how they ended, without the kinds of which there is none."""
    asked = [begun(name) for name in "abc"]
    starts = [record("started", name, action="execute") for name in "ab"]
    rows = lines(
        *asked, *starts, record("finished", "a", action="execute", exit_code=0), record("refused", "c", action="execute")
    )
    found = statistics([row + b"\n" for row in rows])
    told = shown(found)
    assert told[told.index("commands     2 started") :][:4] == [
        "commands     2 started",
        "  exited with 0    1",
        "  no recorded end  1",
        "  not started      1",
    ]
    assert not [line for line in told if "otherwise" in line]
    said: Any = statistics_json(found, None, None)
    assert said["commands"] == {"started": 2, "succeeded": 1, "failed": 0, "open": 1, "refused": 1}


@pytest.mark.parametrize("width", [30, 40, 50, 80, 120])
def test_no_line_is_wider_than_the_window(width: int) -> None:
    """Long names are cut, remarks are broken into lines, and the bars become shorter."""
    found = counted("workspace-" + "\u65e5" * 60, "workspace-" + "b" * 100, "workspace-\x1b")
    for blocks in (True, False):
        told = shown(found, width, blocks=blocks)
        assert max(map(cells, told)) <= width
        assert all(line.isprintable() for line in told)


def test_an_empty_log_is_told_in_a_line() -> None:
    """And what was not checked."""
    assert shown(statistics(())) == ["requests     0", "", *shown(counted())[-2:]]


def test_one_workspace_is_not_told_apart() -> None:
    """It would only repeat the first line."""
    assert "by workspace" not in shown(statistics([row + b"\n" for row in lines(begun("a"), begun("b"))]))


def test_a_servers_log_names_its_requesters() -> None:
    """The busiest first, and what they approved themselves; a request without a name is not listed."""
    rows = lines(
        record("granted", "a", requested_by="bot", decided_by="alice", decided_by_verified=True),
        record("denied", "b", requested_by="alice", decided_by="bob", decided_by_verified=True),
        record("granted", "c", requested_by="bot", decided_by="bot", decided_by_verified=True, self_approved=True),
        record("withdrawn", "d"),
    )
    found = statistics([row + b"\n" for row in rows])
    told = shown(found)
    assert told[told.index("requested by") :][1:3] == ["  bot    2: approved 2", "  alice  1: denied 1"]
    assert "requests that their requesters approved themselves: 1" in told
    said: Any = statistics_json(found, None, None)
    assert [(one["name"], one["requests"], one["outcomes"]["granted"]) for one in said["requesters"]] == [
        ("bot", 2, 2),
        ("alice", 1, 0),
    ]
    assert said["self_approved"] == 1


def test_of_many_approvers_the_busiest_are_shown() -> None:
    """The rest is a number."""
    names = [f"r-{number}" for number in range(SHOWN + 5)]
    rows = lines(*(begun(name) for name in names), *(decided("granted", name, name, 1.0) for name in names))
    told = shown(statistics([row + b"\n" for row in rows]))
    assert sum("approved 1, denied 0" in line for line in told) == SHOWN
    assert "  and 5 more" in told


@pytest.mark.parametrize(
    ("count", "blocks", "text"),
    [
        (0, True, ""), (16, True, "██"), (15, True, "█▉"), (1, True, "▏"), (9, True, "█▏"),
        (0, False, ""), (16, False, "##"), (9, False, "#"), (1, False, "#"),
    ],
)  # fmt: skip
def test_a_bar_is_as_long_as_its_share(count: int, blocks: bool, text: str) -> None:
    """In eighths of a character where there are such; what is there at all is seen."""
    assert bar(count, 16, 2, blocks=blocks) == text


def test_json_is_one_object() -> None:
    """All numbers, times in seconds, and no claim that anything was verified."""
    found: Any = statistics_json(counted(), datetime(2026, 4, 27, tzinfo=UTC), None)
    assert found["since"] == "2026-04-27T00:00:00.000000Z"
    assert (found["until"], found["first"]) == (None, "2026-04-27T09:00:00.000000Z")
    assert (found["requests"], found["open"], found["undelivered"]) == (4, 2, 1)
    assert found["outcomes"]["granted"] == 1
    assert found["approvers"][0] == {"name": "alice", "verified": True, "granted": 1, "denied": 0}
    assert found["workspaces"][0]["outcomes"]["granted"] == 1
    waited = found["waited_seconds"]
    assert (waited["decisions"], waited["min"], waited["p99"], waited["max"]) == (2, 5.0, 400.0, 400.0)
    assert [one["below"] for one in waited["histogram"]][-2:] == [86_400.0, None]
    assert found["transports"] == {"live": 2}
    assert (found["records"], found["unvouched_lines"], found["undated_requests"], found["verified"]) == (7, 1, 1, False)
    assert statistics_json(statistics(()), None, None) == {
        **found, "since": None, "first": None, "last": None, "requests": 0, "open": 0, "undelivered": 0, "approvers": [],
        "workspaces": [], "waited_seconds": None, "transports": {}, "records": 0, "unvouched_lines": 0,
        "undated_requests": 0, "outcomes": dict.fromkeys(found["outcomes"], 0),
    }  # fmt: skip
