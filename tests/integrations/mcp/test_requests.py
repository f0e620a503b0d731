"""The requests of one client, without the protocol."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from molecule_approve import wiring
from molecule_approve.errors import UnavailableError
from molecule_approve.integrations.mcp.requests import OwnRequest, Wanted
from molecule_approve.paths import locate
from molecule_approve.settings.resolve import Flags, resolve

if TYPE_CHECKING:
    from tests.callers import Caller


def test_a_call_that_the_end_interrupts_is_no_warning(caller: Caller) -> None:
    """It fails because it was interrupted; what fails before that, or while the request is withdrawn, is told."""
    environ = wiring.environment()
    settings = resolve(Flags(), environ, locate(environ), at_terminal=False)
    told: list[str] = []

    async def main() -> None:
        request = OwnRequest(settings, Wanted("", "", (), 1.0), told.append)  # without an action it asks nobody
        request.trouble(UnavailableError("before"))
        request.drop("the client went away")
        request.trouble(UnavailableError("interrupted"))
        request.withdrawing("the client went away")
        request.trouble(UnavailableError("after"))
        await request.ended()

    asyncio.run(main())
    assert told == ["warning: before", "warning: after"]
