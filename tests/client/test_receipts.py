"""Receipts over REST: who gives them, and what an answer has to look like. What a receipt says is not looked at here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from molecule_approve.client.rest import RestPlatform
from molecule_approve.errors import PlatformError, ProtocolError, RejectedError, UnavailableError
from tests.client.fakes import OURS, Peer, endpoint, soon
from tests.integration.raw_http import Reply, read_request

if TYPE_CHECKING:
    from tests.integration.raw_http import Channel

MARK = {"server": "molecule-approve"}
PLAIN_404 = Reply(404, b"404 page not found", (("Content-Type", "text/plain"),))
"""What the platform answers on a route that it does not know."""


def says(status: int, **body: object) -> Reply:
    """An answer of the embedded server."""
    return Reply(status, json.dumps({**MARK, **body}).encode(), (("Content-Type", "application/json"),))


@contextmanager
def answering(*replies: Reply) -> Iterator[tuple[RestPlatform, Sequence[str]]]:
    """A client of a peer that answers so, one after the other; and the paths that were asked for."""
    asked: list[str] = []

    def script(channel: Channel, number: int) -> None:
        asked.append(read_request(channel).path)
        channel.send(replies[min(number, len(replies)) - 1].having(("Connection", "close")).encode())

    with Peer(script) as peer, closing(RestPlatform(endpoint(peer.url))) as client:
        yield client, asked


def test_a_server_that_knows_the_route_gives_receipts() -> None:
    """It knows no such request; an earlier version knows no such route."""
    with answering(says(404, error="none", code="unknown_approval")) as (client, _):
        assert client.gives_receipts(soon())
    with answering(says(404, error="404 page not found")) as (client, _):
        assert not client.gives_receipts(soon())


def test_the_platform_gives_none() -> None:
    """Neither by its route nor by its health it is the embedded server."""
    with answering(PLAIN_404) as (client, _):
        assert not client.gives_receipts(soon())
    with answering(PLAIN_404) as (client, asked), pytest.raises(RejectedError, match="gives no receipts"):
        client.receipt(OURS, soon())
    assert [path.rpartition("/")[2] for path in asked] == ["receipt", "health"]


@pytest.mark.parametrize("status", [401, 500])
def test_a_failure_says_nothing_about_receipts(status: int) -> None:
    """It is an error, not a no."""
    with answering(says(status, error="not now")) as (client, _), pytest.raises(PlatformError, match=str(status)):
        client.gives_receipts(soon())


def test_a_receipt_is_what_stands_in_the_answer() -> None:
    """Whatever it says."""
    with answering(says(200, receipt={"type": "x"})) as (client, asked):
        assert client.receipt(OURS, soon()) == {"type": "x"}
    assert asked[0].endswith(f"/approvals/{OURS}/receipt")


def test_behind_a_proxy_that_hid_the_route_it_is_fetched_all_the_same() -> None:
    """The answer about its health shows who is there; then the route is asked once more."""
    with answering(PLAIN_404, says(200), says(200, receipt={"type": "x"})) as (client, _):
        assert client.receipt(OURS, soon()) == {"type": "x"}


@pytest.mark.parametrize(
    "reply", [says(200), says(200, receipt=[]), Reply(200, b"[]", (("X-Molecule-Server", "embedded"),))]
)
def test_an_answer_without_a_receipt_is_refused(reply: Reply) -> None:
    """It is not what was asked for."""
    with answering(reply) as (client, _), pytest.raises(ProtocolError, match="no receipt in it"):
        client.receipt(OURS, soon())


def test_a_refusal_is_an_error() -> None:
    """An open request has none yet; a server without its database may have it later."""
    with answering(says(409, error="it waits", code="not_ended")) as (client, _), pytest.raises(RejectedError, match="409"):
        client.receipt(OURS, soon())
    with answering(says(503, error="away")) as (client, _), pytest.raises(UnavailableError):
        client.receipt(OURS, soon())
