"""A desk of one's own: an embedded server on which nobody else asks, and an approver at it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.server.desk import desk_of

if TYPE_CHECKING:
    from molecule_approve.server.run import Running
    from tests.callers import Caller


@pytest.fixture
def own(caller: Caller, live_server: Running) -> Iterator[Caller]:
    """A caller at a server of their own, by its address, as the workspace that asks."""
    requester = live_server.requester
    caller.set(PLATFORM_URL=live_server.url, WORKSPACE_ID=requester.workspace_id, MOLECULE_TOKEN=requester.token)
    with desk_of(live_server) as desk:
        yield replace(caller, desk=desk)


@pytest.fixture
def seated(own: Caller) -> Caller:
    """The same caller with alice's token."""
    own.set(MOLECULE_APPROVER_TOKEN=own.desk.decider.headers["Authorization"].removeprefix("Bearer "))
    return own
