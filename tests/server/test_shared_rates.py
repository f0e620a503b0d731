"""Counts that servers exchange: for a minute, and without those of the server itself."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("psycopg")

from molecule_approve.server.database.address import parse
from molecule_approve.server.database.postgres import PostgresStore
from molecule_approve.server.rates import RateLimiter
from molecule_approve.server.shared_rates import SharedRates
from molecule_approve.server.threads import DatabaseThreads


def test_what_others_counted_is_known_for_a_minute(served_url: str) -> None:
    """A server's own calls are not counted twice; keys that are not shared are told to nobody."""
    now = [0.0]
    store = PostgresStore(parse(served_url), 1.0)
    threads = DatabaseThreads(store, lambda _: None)
    limiters = [RateLimiter(lambda: now[0]) for _ in range(2)]
    shared = [SharedRates(rates, threads, lambda key: key == "key", lambda: now[0]) for rates in limiters]

    async def main() -> None:
        for times, rates in zip((3, 1), limiters, strict=True):
            for _ in range(times):
                rates.charge("key", 9)
                rates.charge("own", 9)
        for _ in range(2):
            for one in shared:
                await one._exchange()
        assert [rates.elsewhere for rates in limiters] == [{"key": 1}, {"key": 3}]
        now[0] = 61.0
        await shared[0]._exchange()
        assert limiters[0].elsewhere == {}

    try:
        asyncio.run(main())
    finally:
        threads.close()
        store.close()
