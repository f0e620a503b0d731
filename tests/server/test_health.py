"""The routes for machines that watch the server: probes and numbers, and who may read them."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from contextlib import closing
from dataclasses import replace
from ipaddress import ip_network
from typing import TYPE_CHECKING

import httpx
import pytest

from molecule_approve.server import credentials
from molecule_approve.server.health import Health
from molecule_approve.server.metrics import Numbers
from molecule_approve.server.run import Running, ServePlan
from molecule_approve.server.threads import DatabaseThreads
from tests.callers import until
from tests.integration.raw_http import PLAIN
from tests.server.calling import called
from tests.server.desk import Client

if TYPE_CHECKING:
    from molecule_approve.paths import Places
    from molecule_approve.server.database.values import StoreError
    from tests.server.conftest import OpenDesk
    from tests.server.desk import Desk


@pytest.mark.parametrize(("path", "text"), [("/healthz", "ok\n"), ("/readyz", "ready\n")])
def test_probes_answer_anybody_with_one_word(shared_desk: Desk, path: str, text: str) -> None:
    """A machine's number as the host, another site, no credential; and no other page may read it."""
    with shared_desk.client(None) as prober:
        for headers in ({}, {"Host": "10.1.2.3:8788"}, {"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            answer = prober.get(path, headers=headers)
            assert (answer.status_code, answer.text) == (200, text)
            assert "access-control-allow-origin" not in answer.headers


def test_probes_are_not_counted(open_desk: OpenDesk) -> None:
    """Others' calls do not take a server out of service."""
    desk = open_desk(unauthenticated_rate=1)
    with desk.client(None) as prober:
        assert [prober.get("/health").status_code for _ in range(2)] == [200, 429]
        assert [prober.get(path).status_code for path in ("/healthz", "/readyz") * 3] == [200] * 6


def test_ready_is_who_has_a_database_and_goes_on(server_places: Places) -> None:
    """The database is asked once a second at most; a server that is about to stop is not ready, but runs."""
    now, call = [0.0], called()
    told: list[StoreError] = []

    def rename(old: str, new: str) -> None:
        with closing(sqlite3.connect(server_places.database)) as database, database:
            database.execute(f"ALTER TABLE {old} RENAME TO {new}")

    async def all_of_it(health: Health) -> None:
        async def asked() -> set[int]:
            return {found.status for found in await asyncio.gather(*(health.ready(call) for _ in range(5)))}

        assert await asked() == {200}
        rename("approvals", "elsewhere")
        assert await asked() == {200}
        now[0] = 1.0
        assert await asked() == {503}
        rename("elsewhere", "approvals")
        assert await asked() == {503}
        now[0] = 2.0
        assert await asked() == {200}
        health.draining = True
        assert await asked() == {503}
        assert (await health.live(call)).status == 200

    with credentials.opened(server_places) as store:
        database = DatabaseThreads(store, told.append)
        asyncio.run(all_of_it(Health(database, Numbers(), (), lambda: now[0])))
        database.close()
    assert len(told) == 1


def _numbers(text: str) -> dict[str, float]:
    return {
        name: float(value) for name, value in re.findall(r"^(\S+) (\S+)$", text, re.MULTILINE) if not name.startswith("#")
    }


def test_the_numbers_tell_what_happened(open_desk: OpenDesk) -> None:
    """Requests, ends by outcome, waiting times, redemptions, sign-ins, sockets, answers; and nothing of a request."""
    desk = open_desk(expiry=0.2)
    secret = "drop table customers"
    approved, denied = (desk.ask(secret, expires_in=60) for _ in range(2))
    desk.decide(approved)
    desk.decide(denied, "denied", comment=secret)
    invocation = "0a0a0a0a-0000-4000-8000-000000000000"
    assert [desk.redeem(approved, invocation).status_code for _ in range(2)] == [200, 200]
    desk.withdraw(desk.ask(expires_in=60))
    expired = desk.ask()
    until(lambda: desk.one(expired)["status"] == "denied", "expired")
    desk.session()
    with desk.client("wrong") as guess:
        assert guess.get(desk.path).status_code == 401
    with desk.listening():
        answer = desk.asker.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    found = _numbers(answer.text)
    assert found["molecule_requests_total"] == 4
    for outcome in ("approved", "denied", "expired", "withdrawn"):
        assert found[f'molecule_ended_requests_total{{outcome="{outcome}"}}'] == 1
        assert found[f'molecule_wait_seconds_count{{outcome="{outcome}"}}'] == 1
    assert found["molecule_redemptions_total"] == 1
    assert (found['molecule_logins_total{result="ok"}'], found['molecule_logins_total{result="failed"}']) == (1, 1)
    assert (found["molecule_sockets"], found["molecule_waiting_calls"], found["molecule_audit_queue"]) == (1, 0, 0)
    assert found["molecule_pending_requests"] == 0
    assert found['molecule_http_answers_total{status="2xx"}'] > 5
    assert found['molecule_http_answers_total{status="4xx"}'] == 1
    assert found['molecule_http_answers_total{status="1xx"}'] == 1
    for word in (secret, desk.workspace_id, "alice", approved):
        assert word not in answer.text


def test_numbers_are_for_this_machine_and_for_named_networks(server_places: Places) -> None:
    """Not for who comes through a proxy; who is named may call the server by its number."""
    proxies, scrapers = (ip_network("127.0.0.0/8"),), (ip_network("203.0.113.0/24"),)
    plan = ServePlan(server_places, public_url="https://approve.example.org", trusted_proxies=proxies)

    def status(**headers: str) -> int:
        return reader.get("/metrics", headers=headers).status_code

    with Running(replace(plan, metrics_from=scrapers)) as server, Client(base_url=server.url) as reader:
        public = {"Host": "approve.example.org"}
        # It could be a proxy's that passes neither the host nor a word about itself on, which is nginx's default.
        assert status() == 403
        assert status(**public) == 403
        assert status(**public, **{"X-Forwarded-For": "198.51.100.1"}) == 403
        assert status(**{"X-Forwarded-For": "198.51.100.1"}) == 421
        assert status(**{"X-Forwarded-For": "203.0.113.9", "Host": "10.1.2.3:8788"}) == 200
        assert status(Host="evil.example") == 421
        transport = httpx.HTTPTransport(verify=PLAIN, uds=str(server_places.socket))
        with httpx.Client(transport=transport, base_url="http://localhost") as local:
            assert local.get("/metrics").status_code == 200
    with Running(replace(plan, trusted_proxies=(), metrics_from=proxies)) as server, Client(base_url=server.url) as reader:
        assert status() == 200
        assert status(**{"X-Forwarded-For": "127.0.0.1"}) == 403
    with Running(ServePlan(server_places)) as server, Client(base_url=server.url) as reader:
        assert (status(), status(Via="1.1 proxy")) == (200, 421)
