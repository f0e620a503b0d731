"""From the database into the audit log: in order, none lost by a crash, none twice, and never in a decision's way."""

from __future__ import annotations

import gzip
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from molecule_approve.audit.journal import Journal
from molecule_approve.errors import AuditError
from molecule_approve.model import Approval, Status
from molecule_approve.paths import Places, locate, read_requester
from molecule_approve.server import credentials
from molecule_approve.server.database.values import OutboxEntry
from molecule_approve.server.outbox import record_of, recorded_ids
from molecule_approve.server.run import Running, ServePlan
from tests.callers import until
from tests.server.desk import PATIENCE, Desk, desk_of, read_log
from tests.server.holding import log_held
from tests.server.serving import environment, serving

if TYPE_CHECKING:
    from tests.server.conftest import OpenDesk

BOTH_DATABASES = True


def _marks(places: Places) -> list[bool]:
    """Of each ending in the database, the oldest first, whether it is noted as being in the log."""
    with closing(sqlite3.connect(places.database)) as database:
        return [bool(journaled) for (journaled,) in database.execute("SELECT journaled FROM journal ORDER BY number")]


def test_every_ending_stands_in_the_log_with_its_actor(desk: Desk) -> None:
    """In the words of the audit log; an expiry and a withdrawal name no person."""
    approved, denied, withdrawn = desk.ask("one", task_id="t-1", reason="why"), desk.ask("two"), desk.ask("three")
    desk.decide(approved, decided_by="mallory", comment="fine")
    desk.decide(denied, "denied")
    desk.withdraw(withdrawn)
    expired = desk.ask("four", expires_in=0.01)
    until(lambda: len(desk.journal()) == 4, "the expiry is not journaled")
    rows = desk.journal()
    told = [(row["approval_id"], row["outcome"], row["actor"], row["resource"]) for row in rows]
    assert told == [
        (approved, "granted", "alice", "one"),
        (denied, "denied", "alice", "two"),
        (withdrawn, "withdrawn", desk.workspace_id, "three"),
        (expired, "timeout", desk.workspace_id, "four"),
    ]
    first = rows[0]
    assert (first["trace_id"], first["claimed_by"], first["comment"], first["reason_text"]) == (
        "t-1",
        "mallory",
        "fine",
        "why",
    )
    assert (first["decided_by"], first["decided_by_verified"], rows[1]["trace_id"]) == ("alice", True, denied)
    assert [row["seq"] for row in rows] == [1, 2, 3, 4]


def test_the_log_says_what_the_approver_saw_of_where_it_came_from(desk: Desk) -> None:
    """Each ending carries the request's context; one without any has none. However large it is, the record is written."""
    context = {"user": "ada", "host": "build", "ci": {"job": "https://ci.example/7"}, "ticket": "OPS-1"}
    large = {f"\N{SNOWMAN}{number}": ["x"] * 10 for number in range(600)}
    approved, withdrawn, plain, huge = (
        desk.ask(context=context),
        desk.ask(context=context),
        desk.ask(),
        desk.ask(context=large),
    )
    for found in (approved, plain, huge):
        desk.decide(found)
    desk.withdraw(withdrawn)
    rows = {row["approval_id"]: row for row in desk.journal()}
    assert rows[approved]["context"] == rows[withdrawn]["context"] == context
    assert "context" not in rows[plain]
    assert rows[huge]["context"]


def test_what_the_log_holds_is_noted_in_the_database(desk: Desk) -> None:
    """So that a later start need not look into the log."""
    desk.decide(desk.ask())
    until(lambda: desk.select("SELECT journaled FROM journal") == [(True,)], "the row is not marked")


def test_a_log_that_cannot_be_written_delays_a_decision_a_bounded_time(open_desk: OpenDesk) -> None:
    """The decision is told all the same, the next one at once, one complaint says so, and the log gets all in order."""
    said: list[str] = []
    desk = open_desk(audit_patience=0.05, audit_retry_delay=0.01, warn=said.append)
    first, second = desk.ask_heard(), desk.ask_heard()
    with log_held(desk.server.places), desk.listening() as stream:
        assert desk.decide(first).status_code == 200
        assert stream.events(2) == ["APPROVAL_APPROVED", "APPROVAL_DECIDED"]
        assert desk.decide(second, "denied").status_code == 200
        assert desk.journal() == []
        until(lambda: bool(said), "nobody was told")
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            desk.one(first)  # it is tried again and again meanwhile
    until(lambda: len(desk.journal()) == 2, "the decisions are not journaled")
    assert [row["approval_id"] for row in desk.journal()] == [first, second]
    assert len(said) == 1
    assert "stay in the database until it can be written" in said[0]


def test_a_decision_is_told_before_it_is_in_the_log(open_desk: OpenDesk) -> None:
    """It holds by its commit, so no reader of events waits for the log's disk; the approver's call does."""
    desk = open_desk(audit_patience=PATIENCE)
    approval_id = desk.ask_heard()
    with ThreadPoolExecutor(1) as pool, desk.listening() as stream:
        with log_held(desk.server.places):
            deciding = pool.submit(desk.decide, approval_id)
            assert stream.events(2) == ["APPROVAL_APPROVED", "APPROVAL_DECIDED"]
            assert desk.journal() == []
            assert not deciding.done()
        assert deciding.result(PATIENCE).status_code == 200
    assert [row["approval_id"] for row in desk.journal()] == [approval_id]


def test_a_killed_server_loses_no_record(home: Path) -> None:
    """SIGKILL between the commit and the journal: the next start appends what the database holds."""
    places = locate(environment(home))
    with _served_and_decided(home, places) as approval_id:
        assert read_log(places) == []
    with serving(home) as (_, url):
        assert url
        until(lambda: len(read_log(places)) == 1, "the decision is not journaled")
        assert (read_log(places)[0]["approval_id"], read_log(places)[0]["actor"]) == (approval_id, "alice")


@contextmanager
def _served_and_decided(home: Path, places: Places) -> Iterator[str]:
    """A server that decided while its log was held, killed before it could journal."""
    with serving(home) as (process, url):
        requester = read_requester(places)
        assert requester is not None
        with credentials.opened(places) as store:
            token = credentials.add_approver(store, "alice")
        path = f"{url}/workspaces/{requester.workspace_id}/approvals"
        asked = httpx.post(path, headers={"Authorization": f"Bearer {requester.token}"}, json={"action": "a"})
        approval_id = asked.json()["approval_id"]
        with log_held(places):
            headers = {"Authorization": f"Bearer {token}"}
            body = {"decision": "approved"}
            assert (
                httpx.post(f"{path}/{approval_id}/decide", headers=headers, json=body, timeout=PATIENCE).status_code == 200
            )
            process.kill()
            process.wait(PATIENCE)
    yield str(approval_id)


def test_a_crash_between_the_log_and_the_note_of_it_doubles_nothing(server_places: Places) -> None:
    """At the next start the log itself says what it holds; what it lacks is appended."""
    with Running(ServePlan(server_places)) as server, desk_of(server) as desk:
        held, lacking = desk.ask("held"), desk.ask("lacking")
        desk.decide(held)
    with closing(sqlite3.connect(server_places.database)) as database, database:
        database.execute("UPDATE journal SET journaled = 0")
        database.execute(
            "UPDATE approvals SET status = 'approved', decided_by = 'alice', verified = 1 WHERE id = ?", [lacking]
        )
        database.execute("INSERT INTO journal (approval_id, recorded_at, journaled) VALUES (?, '2026', 0)", [lacking])
    with server_places.server_log.open("ab") as log:
        log.write(b'{"another": "tool"}\nno json\n')
    with Running(ServePlan(server_places)):
        until(lambda: _marks(server_places) == [True, True], "the rows are not marked")
    lines = server_places.server_log.read_text().splitlines()
    assert [held in line for line in lines] == [True, False, False, False]
    assert [lacking in line for line in lines] == [False, False, False, True]


def test_it_is_noted_also_while_decisions_never_pause(open_desk: OpenDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a long storm would end in one note of more rows than a statement can name."""
    monkeypatch.setattr("molecule_approve.server.outbox._MARKED_TOGETHER", 2)
    desk = open_desk(audit_mark_delay=600.0)
    for _ in range(2):
        desk.decide(desk.ask())
    until(lambda: desk.select("SELECT journaled FROM journal") == [(True,)] * 2, "the rows are not marked")


@pytest.mark.sqlite_only
def test_a_note_that_the_database_refuses_is_made_later(open_desk: OpenDesk) -> None:
    """A lock at the wrong moment changes nothing but the time."""
    desk = open_desk(database_patience=0.02, audit_mark_delay=0.01, audit_retry_delay=0.01, audit_patience=0.05)
    approval_id = desk.ask()
    with closing(sqlite3.connect(desk.server.places.database, isolation_level=None)) as holder:
        with log_held(desk.server.places):
            desk.decide(approval_id)
            holder.execute("BEGIN IMMEDIATE")
        until(lambda: len(desk.journal()) == 1, "the decision is not journaled")
        # Each of these waits in the same line as the note, and is refused after it.
        for _ in range(5):
            assert desk.asker.post(desk.path, json={"action": "a"}).status_code == 503
        assert _marks(desk.server.places) == [False]
        holder.execute("ROLLBACK")
    until(lambda: _marks(desk.server.places) == [True], "the row is not marked")


def test_a_log_that_cannot_be_read_at_the_start_is_told_and_written_to_later(server_places: Places) -> None:
    """Nothing is written twice on a guess: what waits, waits for a start that can look."""
    with Running(ServePlan(server_places)) as server, desk_of(server) as desk:
        desk.decide(desk.ask())
    with closing(sqlite3.connect(server_places.database)) as database, database:
        database.execute("UPDATE journal SET journaled = 0")
    aside = server_places.server_log.with_name("aside")
    server_places.server_log.rename(aside)
    server_places.server_log.mkdir()
    said: list[str] = []
    with Running(ServePlan(server_places, warn=said.append)):
        assert len(said) == 1
        assert "1 decisions from before this start are not written to it" in said[0]
    server_places.server_log.rmdir()
    with Running(ServePlan(server_places)):
        until(lambda: _marks(server_places) == [True], "the row is not marked")
    # Before it the log says itself that it was gone.
    assert [record["action"] for record in read_log(server_places)] == ["recover", "approve"]


def _entry(number: int) -> OutboxEntry:
    """An approval by alice."""
    approval = Approval(
        id=f"a-{number}",
        workspace_id="w",
        action="x",
        status=Status.APPROVED,
        decided_by="alice",
        decided_by_verified=True,
    )
    return OutboxEntry(number, "2026-04-27T10:00:00.000000Z", approval, None)


def test_what_archives_hold_is_recorded_as_well(tmp_path: Path) -> None:
    """A start after a crash writes nothing twice that was rotated, or compressed, before."""
    path = tmp_path / "server-audit.jsonl"
    assert recorded_ids(path) == set()
    for number in range(3):
        Journal(path).append(record_of(_entry(number)), patience=1.0)
        archive = Journal(path).rotate(patience=0)
        assert archive is not None
        if number == 0:
            archive.with_name(f"{archive.name}.gz").write_bytes(gzip.compress(archive.read_bytes()))
            archive.unlink()
    with path.open("ab") as file:
        file.write(b'{"approval_id":"theirs"}\n"approval_id" is no record\n')
    Journal(path).append(record_of(_entry(3)), patience=1.0)
    assert recorded_ids(path) == {"a-0", "a-1", "a-2", "a-3", "theirs"}


def test_a_log_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    """Nothing is guessed about what it holds."""
    (tmp_path / "log").mkdir()
    with pytest.raises(AuditError):
        recorded_ids(tmp_path / "log")


def test_only_the_last_rows_are_remembered(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a server runs; each is recorded once nevertheless."""
    monkeypatch.setattr("molecule_approve.server.outbox._REMEMBERED", 1)
    asked = [desk.ask() for _ in range(3)]
    for approval_id in asked:
        desk.decide(approval_id)
    until(lambda: [record["approval_id"] for record in desk.journal()] == asked, "it is not recorded")
