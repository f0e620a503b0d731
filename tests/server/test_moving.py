"""`requests import`: what a SQLite database holds goes to PostgreSQL, all or nothing, and a server goes on with it."""

from __future__ import annotations

import uuid
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from molecule_approve.errors import ServerError
from molecule_approve.model import Secret
from molecule_approve.server import moving
from molecule_approve.server.run import Running, ServePlan
from tests.callers import until
from tests.server.desk import PATIENCE, Desk, desk_of, read_log

if TYPE_CHECKING:
    from collections.abc import Iterator

    from molecule_approve.paths import Places

CONTEXT = {"emoji": "\U0001f512", "deep": [1, 2.5, None, {"x": True}]}


@contextmanager
def _again(places: Places, url: str, desk: Desk) -> Iterator[Desk]:
    """The same desk at the server that has moved."""
    with Running(ServePlan(places, database=Secret(url))) as server, ExitStack() as stack:
        clients = [
            stack.enter_context(type(one)(base_url=server.url, headers=one.headers, timeout=PATIENCE))
            for one in (desk.asker, desk.decider)
        ]
        yield replace(desk, server=server, asker=clients[0], decider=clients[1])


def test_everything_moves_and_goes_on(server_places: Places, postgres_url: str) -> None:
    """Requests with all that belongs to them, tokens, sessions and numbers; and what was redeemed stays so."""
    with Running(ServePlan(server_places)) as server, desk_of(server) as desk:
        pending, used, denied = desk.ask("pending", context=CONTEXT, reason="\u00e4 \u6f22"), desk.ask("used"), desk.ask()
        desk.decide(used, comment="yes")
        invocation = str(uuid.uuid4())
        assert desk.redeem(used, invocation).status_code == 200
        desk.decide(denied, "denied")
        session = desk.session()
        desk.add_workspace("other", "other", "token-of-other")
        before = [desk.one(one) for one in (pending, used, denied)]
    counts = moving.move(server_places, Secret(postgres_url))
    assert (counts["approvals"], counts["approvers"], counts["workspaces"], counts["sessions"]) == (3, 1, 2, 1)
    assert server_places.database.exists()
    with _again(server_places, postgres_url, desk) as moved:
        assert [moved.one(one) for one in (pending, used, denied)] == before
        assert moved.redeem(used).status_code == 409
        assert moved.redeem(used, invocation).status_code == 200
        assert moved.decide(pending).status_code == 200
        with moved.client(session) as client, moved.client("token-of-other") as other:
            assert client.get("/desk/requests").status_code == 200
            assert other.get("/workspaces/other/approvals").status_code == 200
        newest = moved.ask("newest")
        listed: list[dict[str, Any]] = moved.asker.get(moved.path).json()
        assert [row["id"] for row in listed] == [newest, denied, used, pending]
    assert sorted(record["approval_id"] for record in read_log(server_places)) == sorted((used, denied, pending))


def test_what_a_killed_server_had_not_noted_is_recorded_once(server_places: Places, postgres_url: str) -> None:
    """What its log holds is noted; what is missing there, the next server writes."""
    with Running(ServePlan(server_places)) as server, desk_of(server) as desk:
        held, lacking = desk.ask(), desk.ask()
        desk.decide(held)
        desk.decide(lacking)
        until(lambda: desk.select("SELECT count(*) FROM journal WHERE journaled") == [(2,)], "it is not noted")
        desk.change("UPDATE journal SET journaled = 0")
    kept, _ = server_places.server_log.read_bytes().splitlines(keepends=True)
    server_places.server_log.write_bytes(kept)
    moving.move(server_places, Secret(postgres_url))
    with _again(server_places, postgres_url, desk) as moved:
        until(lambda: moved.select("SELECT count(*) FROM journal WHERE journaled") == [(2,)], "it is not noted")
    found = [record["approval_id"] for record in read_log(server_places) if "approval_id" in record]
    assert found == [held, lacking]


def test_a_database_that_is_not_empty_is_refused(server_places: Places, postgres_url: str) -> None:
    """And nothing is changed there."""
    with Running(ServePlan(server_places)) as server, desk_of(server) as desk:
        desk.ask()
    moving.move(server_places, Secret(postgres_url))
    with pytest.raises(ServerError, match="it has rows in identity") as caught:
        moving.move(server_places, Secret(postgres_url))
    assert caught.value.hint == "nothing was copied"
    with _again(server_places, postgres_url, desk) as moved:
        assert len(moved.asker.get(moved.path).json()) == 1


def test_while_the_server_runs_nothing_moves(server_places: Places, postgres_url: str) -> None:
    """What it stores meanwhile would be missing."""
    with Running(ServePlan(server_places)), pytest.raises(ServerError, match="already running"):
        moving.move(server_places, Secret(postgres_url))


def test_without_a_file_there_is_nothing_to_move(server_places: Places) -> None:
    """And none is made."""
    with pytest.raises(ServerError, match=f"there is no {server_places.database}"):
        moving.move(server_places, Secret("postgresql://h/db"))
    assert not server_places.database.exists()


def test_a_log_that_cannot_be_read_moves_nothing(server_places: Places, postgres_url: str) -> None:
    """Nobody would know what it holds."""
    with Running(ServePlan(server_places)) as server, desk_of(server) as desk:
        desk.decide(desk.ask())
    server_places.server_log.unlink()
    server_places.server_log.mkdir()
    with pytest.raises(ServerError, match="cannot read the server's audit log"):
        moving.move(server_places, Secret(postgres_url))
    with Running(ServePlan(server_places, database=Secret(postgres_url))) as server:
        path = f"{server.url}/workspaces/{server.requester.workspace_id}/approvals"
        assert httpx.get(path, headers={"Authorization": f"Bearer {server.requester.token}"}).json() == []
