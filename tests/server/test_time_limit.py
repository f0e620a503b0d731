"""The time limit of many futures."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref

from molecule_approve.server.time_limit import TimeLimit


def test_what_is_not_done_in_time_is_ended_in_its_own_time() -> None:
    """Each future has the whole of its time, also those that come while the timer runs for another one."""

    async def main() -> None:
        limit = TimeLimit(0.1, lambda: "late")
        loop = asyncio.get_running_loop()
        took: list[float] = []

        def added() -> asyncio.Future[str]:
            future, start = loop.create_future(), time.monotonic()
            future.add_done_callback(lambda _: took.append(time.monotonic() - start))
            limit.add(future)
            return future

        assert await added() == "late"
        second, half = added(), loop.create_future()
        loop.call_later(0.05, half.set_result, None)
        await half
        third = added()
        assert (await second, await third) == ("late", "late")
        assert len(took) == 3
        assert min(took) >= 0.1

    asyncio.run(main())


def test_what_is_done_or_cancelled_in_time_stays_as_it_is() -> None:
    """In front of one that is late, and behind it."""

    async def main() -> None:
        limit = TimeLimit(0.05, lambda: "late")
        loop = asyncio.get_running_loop()
        done, late, cancelled, last = (loop.create_future() for _ in range(4))
        for future in (done, late, cancelled, last):
            limit.add(future)
        done.set_result("done")
        cancelled.cancel()
        assert (await late, await last) == ("late", "late")
        assert (done.result(), cancelled.cancelled()) == ("done", True)

    asyncio.run(main())


def test_no_future_that_is_done_is_kept() -> None:
    """Thousands of calls a second must not wait in memory for a timer of twenty seconds."""

    async def main() -> None:
        limit = TimeLimit(60.0, lambda: "late")
        loop = asyncio.get_running_loop()
        known = []
        for _ in range(100):
            future = loop.create_future()
            limit.add(future)
            known.append(weakref.ref(future))
            future.set_result("done")
        del future
        gc.collect()
        assert sum(one() is not None for one in known) == 1

    asyncio.run(main())
