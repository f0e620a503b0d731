"""What a call costs does not grow with what is kept: no statement of any call walks along a whole table."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.exc import DisconnectionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx

    from tests.server.desk import Desk

SHORT = {"approvals_pending", "approvals_due", "journal_waiting", "approvers_by_name"}
"""The indexes that hold open things alone, or approvers, of whom two are read, and are walked along."""

LATEST = re.compile(
    r"FROM approvals JOIN workspaces .* JOIN journal .* ORDER BY journal\.number DESC\s+LIMIT \? OFFSET \?$", re.DOTALL
)
"""The one query that begins at a table's end, and stops after so many rows."""


def _statements(desk: Desk) -> set[str]:
    """Every statement of every kind of call."""
    seen: set[str] = set()
    # Made by an administrator's command, and sweeping up after itself.
    code = desk.code()

    def note(_c: object, _cursor: object, statement: str, *_rest: object) -> None:
        seen.add(statement)

    with _noting(seen, desk), _heard(sa.Engine, "before_cursor_execute", note):
        asked = [desk.ask(task_id="t") for _ in range(3)]
        keyed = {"headers": {"Idempotency-Key": "k"}, "json": {"action": "a"}}
        answers = [desk.asker.post(desk.path, **keyed) for _ in range(2)]  # type: ignore[arg-type]  # httpx has no such hint
        answers += [desk.asker.get(desk.path), desk.asker.get(desk.path, params={"task_id": "t"})]
        answers += [desk.decide(asked[0]), desk.redeem(asked[0]), desk.withdraw(asked[1])]
        answers += _lists(desk, asked[2])
        _limit(desk)
        answers += _lists(desk, asked[2])
        assert all(answer.is_success for answer in answers)
        expiring = desk.ask(expires_in=0.01)
        assert desk.one(expiring, wait=9)["decided_by"] == "auto-expired"
        assert desk.asker.post("/desk/session", json={"code": code}).status_code == 201
        with desk.listening():
            pass
    return seen


@contextmanager
def _heard(target: type, name: str, function: Callable[..., object]) -> Iterator[None]:
    sa.event.listen(target, name, function)
    try:
        yield
    finally:
        sa.event.remove(target, name, function)


@contextmanager
def _noting(seen: set[str], desk: Desk) -> Iterator[None]:
    """Note what is run on the driver's connections, with a question mark for each parameter; the server gets new ones."""

    class _NotingConnection(sqlite3.Connection):
        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:  # noqa: ANN401 - whatever it takes
            seen.add(re.sub(r":\w+", "?", sql))
            return super().execute(sql, *values)

    def connect(_dialect: object, _record: object, _args: object, options: dict[str, object]) -> None:
        options["factory"] = _NotingConnection

    def check_out(connection: object, *_rest: object) -> None:
        if not isinstance(connection, _NotingConnection):
            raise DisconnectionError

    with closing(sqlite3.connect(desk.server.places.database)) as kept:
        # Without any connection the log would be removed, as the server would notice.
        kept.execute("SELECT 1 FROM approvals")
        with _heard(sa.Engine, "do_connect", connect), _heard(sa.Pool, "checkout", check_out):
            yield


def _limit(desk: Desk) -> None:
    """Let the approver see some workspaces only."""
    with closing(sqlite3.connect(desk.server.places.database)) as database, database:
        database.execute("UPDATE approvers SET limited = true")
        database.execute("INSERT OR IGNORE INTO approver_workspaces SELECT id, ? FROM approvers", (desk.workspace_id,))


def _lists(desk: Desk, approval_id: str) -> Iterator[httpx.Response]:
    """Every list, and every way to search it."""
    for path in ("/approvals/pending", "/desk/requests", f"/desk/requests/{approval_id}", "/desk/list", "/desk/history"):
        yield desk.decider.get(path)
    where = {"q": "deploy it", "workspace": desk.workspace_id}
    yield desk.decider.get("/desk/list", params=where)
    when = {"since": "2026-01-01T00:00:00Z", "until": "2099-01-01T00:00:00Z", "cursor": "5"}
    for outcome in ("approved", "denied", "expired", "withdrawn"):
        yield desk.decider.get("/desk/history", params={**where, **when, "who": "alice", "outcome": outcome})


def _walks(database: sqlite3.Connection, statement: str) -> Iterator[str]:
    marks = statement.count("?")
    for *_, step in database.execute(f"EXPLAIN QUERY PLAN {statement}", ["x"] * marks):
        found = re.fullmatch(r"SCAN (\w+)(?: USING (?:COVERING )?INDEX (\w+))?", step)
        if found and found[2] not in SHORT and not (found[1] == "journal" and LATEST.search(statement)):
            yield step


def test_no_statement_of_a_call_walks_along_a_table(desk: Desk) -> None:
    """Each finds its rows by an index, or walks along one that holds only what is open."""
    statements = {one for one in _statements(desk) if one.startswith(("SELECT", "UPDATE", "INSERT", "DELETE"))}
    assert len(statements) > 15
    with closing(sqlite3.connect(desk.server.places.database)) as database:
        # Whatever stands for a count is text here; the planner looks at no value.
        found = {one: list(_walks(database, one)) for one in statements}
        assert list(_walks(database, "SELECT action FROM approvals")) == ["SCAN approvals"]
    assert {one: steps for one, steps in found.items() if steps} == {}


def test_counts_and_tasks_are_found_by_indexes_of_their_own(desk: Desk) -> None:
    """Not along the workspace's whole past, as SQLite would by itself."""
    statements = _statements(desk)
    with closing(sqlite3.connect(desk.server.places.database)) as database:
        for words, index in (("count(*)", "approvals_open"), ("task_id = ?", "approvals_of_task")):
            [statement] = [one for one in statements if words in one and "workspace_id = ?" in one]
            steps = database.execute(f"EXPLAIN QUERY PLAN {statement}", ["x"] * statement.count("?")).fetchall()
            assert [step[-1] for step in steps if index in step[-1]]


def test_the_past_of_a_workspace_is_not_looked_through(desk: Desk) -> None:
    """What is pending is found along what is pending, and the history by its numbers, whichever workspaces are asked for."""
    statements = [one for one in _statements(desk) if "workspace_id ||" in one]
    with closing(sqlite3.connect(desk.server.places.database)) as database:
        plans = {
            one: [step for *_, step in database.execute(f"EXPLAIN QUERY PLAN {one}", ["x"] * one.count("?"))]
            for one in statements
        }
    firsts = {
        ("history" if "journal.number >= " in one else "pending" if "journal" not in one else "latest"): plan[0]
        for one, plan in plans.items()
    }
    assert firsts == {
        "history": "SEARCH journal USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
        "pending": "SCAN approvals USING INDEX approvals_pending",
        "latest": "SCAN journal",
    }
