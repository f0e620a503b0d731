"""Who waits, and what becomes of it when the server stops."""

from __future__ import annotations

import asyncio

from molecule_approve.server.hub import Hub


def test_a_server_that_stops_holds_nobody() -> None:
    """Who waits is woken, and who comes later does not wait at all."""

    async def scene() -> list[bool]:
        hub = Hub(8)
        with hub.waiting_for("one") as before, hub.waiting_for("one") as with_it:
            hub.stop()
            with hub.waiting_for("two") as after:
                return [event.is_set() for event in (before, with_it, after)]

    assert asyncio.run(scene()) == [True, True, True]


def test_a_reader_that_is_too_slow_is_let_go_and_loses_nothing_in_the_middle() -> None:
    """Its queue is full: it gets nothing more; another reader gets all."""

    async def scene() -> tuple[str | None, list[str | None], set[str]]:
        hub = Hub(2)
        with hub.subscribe("w", frozenset({"token"})) as slow, hub.subscribe(None, frozenset()) as quick:
            heard = []
            for number in range(3):
                hub.publish("w", [str(number)])
                heard.append(await quick.next())
            hub.publish("another", ["3"])
            await slow.ended()
            return await slow.next(), [*heard, await quick.next()], hub.credentials()

    assert asyncio.run(scene()) == (None, ["0", "1", "2", "3"], {"token"})
