"""The lists of the inbox page: a search finds what it should, and looks at a bounded number of requests."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from molecule_approve.model import EXPIRED_BY, WITHDRAWN_BY, Outcome, Status
from molecule_approve.server.database.queries.lists import CHUNK
from molecule_approve.server.database.sqlite import SqliteStore
from molecule_approve.server.database.values import Draft, EndedPage, EndedSearch, PendingSearch, Resolution, epoch_text

Ended = Callable[..., EndedPage]
MILLION = 1_000_000
STEP = 100
"""Seconds from one ended request to the next."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """A database with two workspaces."""
    found = SqliteStore(tmp_path / "server.db", 1)
    with found.write() as transaction:
        for name in ("one", "two"):
            transaction.credentials.put_workspace(name, name.title(), "now")
    yield found
    found.close()


def _ask(store: SqliteStore, number: int, **more: Any) -> None:  # noqa: ANN401 - the columns
    values: dict[str, Any] = {
        "workspace_id": "one",
        "action": f"step {number}",
        "reason": "",
        "requested_by": "mara",
        "context": None,
        **more,
    }
    draft = Draft(id=str(number), task_id="t", keyed=False, created_at="c", expires=9e9, **values)
    with store.write() as transaction:
        transaction.requests.insert(draft, 1_000)


def _end(
    store: SqliteStore,
    number: int,
    by: str = "alice",
    status: Status = Status.DENIED,
    **more: Any,  # noqa: ANN401 - the columns
) -> None:
    _ask(store, number, **more)
    resolution = Resolution(status, by, epoch_text(number * STEP), comment=f"comment {number}")
    with store.write() as transaction:
        assert transaction.requests.end(more.get("workspace_id", "one"), str(number), resolution, 0.0) is not None


@pytest.fixture
def ended(store: SqliteStore) -> Ended:
    """Searches ended requests; the names of its arguments are those of the search, and of the page."""

    def found(
        below: int | None = None,
        count: int = 50,
        examined: int = 20_000,
        only: frozenset[str] | None = None,
        **search: Any,  # noqa: ANN401 - the fields of a search
    ) -> EndedPage:
        with store.read() as transaction:
            return transaction.lists.ended(EndedSearch(**search), below, count, examined, only)

    return found


def _ids(page: EndedPage) -> list[str]:
    return [line.approval.id for line in page.lines]


def test_ended_requests_come_latest_first_page_by_page(store: SqliteStore, ended: Ended) -> None:
    """Each page begins where the one before ended, and the last one says that there is no more."""
    for number in range(1, 8):
        _end(store, number)
    _ask(store, 8)
    page = ended(count=3)
    assert (_ids(page), page.searched_to) == (["7", "6", "5"], epoch_text(5 * STEP))
    _end(store, 9)
    page = ended(below=page.next, count=3)
    assert _ids(page) == ["4", "3", "2"]
    page = ended(below=page.next, count=3)
    assert (_ids(page), page.next, page.searched_to) == (["1"], None, None)
    assert (_ids(ended(count=8)), ended(count=8).next) == (["9", *"7654321"], None)


def test_a_search_finds_by_what_who_when_where_and_how(store: SqliteStore, ended: Ended) -> None:
    """Each condition alone, and all of them together; what looks like a pattern is none."""
    _end(store, 1, "Alice", Status.APPROVED, action="Deploy 100% of_it", requested_by="Ci-Bot")
    _end(store, 2, "bob", reason="for the RELEASE", workspace_id="two")
    _end(store, 3, EXPIRED_BY)
    _end(store, 4, WITHDRAWN_BY, requested_by=None)
    searches: list[tuple[dict[str, Any], list[str]]] = [
        ({}, ["4", "3", "2", "1"]),
        ({"words": ("deploy", "100%")}, ["1"]),
        ({"words": ("of%it",)}, []),
        ({"words": ("release",)}, ["2"]),
        ({"words": ("comment", "3")}, ["3"]),
        ({"who": "alice"}, ["1"]),
        ({"who": "ci-"}, ["1"]),
        ({"who": "mara"}, ["3", "2"]),
        ({"outcome": Outcome.APPROVED}, ["1"]),
        ({"outcome": Outcome.DENIED}, ["2"]),
        ({"outcome": Outcome.EXPIRED}, ["3"]),
        ({"outcome": Outcome.WITHDRAWN}, ["4"]),
        ({"since": epoch_text(2 * STEP)}, ["4", "3", "2"]),
        ({"until": epoch_text(2 * STEP)}, ["1"]),
        ({"since": epoch_text(2 * STEP), "until": epoch_text(4 * STEP)}, ["3", "2"]),
        ({"workspace": "two"}, ["2"]),
        ({"only": frozenset({"two"})}, ["2"]),
        ({"only": frozenset({"two"}), "workspace": "one"}, []),
        ({"only": frozenset[str]()}, []),
        ({"words": ("deploy",), "who": "alice", "outcome": Outcome.APPROVED, "workspace": "one"}, ["1"]),
    ]
    assert [(search, _ids(ended(**search))) for search, _ in searches] == searches


@pytest.fixture
def spans(store: SqliteStore) -> Iterator[list[tuple[int, int]]]:
    """The numbers between which each statement of a search looks; empty at first. Others look at one row."""
    for number in range(1, 11):
        _end(store, number)
    with closing(sqlite3.connect(store._engine.url.database.removeprefix("file://"))) as database, database:  # type: ignore[union-attr]
        # Ten of a million: the numbers of those between are missing.
        database.execute("UPDATE journal SET number = number * ?", (MILLION // 10,))
    seen: list[tuple[int, int]] = []

    def note(_c: object, _cursor: object, statement: str, values: tuple[Any, ...], *_rest: object) -> None:
        if "journal.number <" in statement:
            seen.append((values[3], values[4]))
        else:
            assert "journal" not in statement or "LIMIT" in statement or "max(" in statement

    sa.event.listen(store._engine, "before_cursor_execute", note)
    yield seen
    sa.event.remove(store._engine, "before_cursor_execute", note)


def test_a_search_looks_at_so_many_and_goes_on_from_there(ended: Ended, spans: list[tuple[int, int]]) -> None:
    """In steps, whether it finds something or not; the next call goes on, and the time says how far it came."""
    page = ended(words=("nothing",), examined=20_000)
    assert (page.lines, page.next) == ([], MILLION + 1 - 20_000)
    assert all(high - low <= CHUNK for low, high in spans)
    assert (spans[0][1] - spans[-1][0], len(spans)) == (20_000, 10)
    assert page.searched_to == epoch_text(10 * STEP)
    spans.clear()
    page = ended(words=("nothing",), below=page.next, examined=20_000)
    assert spans[0][1] == MILLION + 1 - 20_000
    assert page.next == MILLION + 1 - 40_000


def test_a_span_of_time_is_found_by_halves(ended: Ended, spans: list[tuple[int, int]]) -> None:
    """What is earlier or later is not looked at."""
    page = ended(since=epoch_text(5 * STEP), until=epoch_text(6 * STEP))
    assert _ids(page) == ["5"]
    assert len(spans) <= 52
    assert min(low for low, _ in spans) >= 400_000
    assert max(high for _, high in spans) <= 502_000


def test_a_line_has_the_beginning_of_its_action_and_no_long_context(store: SqliteStore) -> None:
    """A list of a thousand stays small, whatever a requester sends."""
    _ask(store, 1, action="x" * 4_000, context={"user": "mara", "host": "laptop"})
    _ask(store, 2, context={"user": "mara", "more": "y" * 5_000})
    with store.read() as transaction:
        first, second = transaction.lists.pending(PendingSearch(), 10, None)
    assert (first.approval.action, first.action_length) == ("x" * 300, 4_000)
    assert first.approval.context == {"user": "mara", "host": "laptop"}
    assert (second.approval.context, second.workspace_name) == (None, "One")


def test_pending_requests_are_filtered_by_words_and_workspace(store: SqliteStore) -> None:
    """Of action, requester and workspace; limited ones see theirs alone."""
    _ask(store, 1, action="Deploy", requested_by="ci")
    _ask(store, 2, workspace_id="two")
    _end(store, 3)
    with store.read() as transaction:
        lists = transaction.lists

        def ids(search: PendingSearch, only: frozenset[str] | None = None, count: int = 9) -> list[str]:
            return [line.approval.id for line in lists.pending(search, count, only)]

        assert ids(PendingSearch()) == ["1", "2"]
        assert ids(PendingSearch(), count=1) == ["1"]
        assert ids(PendingSearch(("deploy", "ci"))) == ["1"]
        assert ids(PendingSearch(("two",))) == ["2"]
        assert ids(PendingSearch(workspace="two")) == ["2"]
        assert ids(PendingSearch(), frozenset({"one"})) == ["1"]
        assert lists.anywhere("2", frozenset({"one"})) is None
        assert lists.anywhere("none", None) is None
        found = lists.anywhere("2", frozenset({"two"}))
        assert found is not None
        assert (found[0].id, found[1]) == ("2", "Two")
