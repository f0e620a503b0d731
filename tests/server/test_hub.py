"""Who waits, and what becomes of it when the server stops."""

from __future__ import annotations

import asyncio

from molecule_approve.server.hub import Hub


def test_a_server_that_stops_holds_nobody() -> None:
    """Who waits is woken, and who comes later does not wait at all."""

    async def scene() -> list[bool]:
        hub = Hub()
        with hub.waiting_for("one") as before, hub.waiting_for("one") as with_it:
            hub.stop()
            with hub.waiting_for("two") as after:
                return [event.is_set() for event in (before, with_it, after)]

    assert asyncio.run(scene()) == [True, True, True]
