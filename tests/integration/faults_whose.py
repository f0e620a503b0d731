"""The fault table's rows in which bytes come that answer nothing, or an answer that is somebody else's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.integration import behaviours as does
from tests.integration.fault import Arrange, Fault, approve, asked, both, breaks, names, posted
from tests.integration.raw_http import Reply

if TYPE_CHECKING:
    from tests.integration.fake_platform import Exchange
    from tests.integration.program import World
    from tests.integration.raw_http import Channel

EXAMPLES = {"whose answer": ("doubled answers", "early answers", "a portal's 200")}

_PAGE = does.answers(b"<html>Please sign in</html>", 200, ("Content-Type", "text/html"))


def _doubled(exchange: Exchange) -> None:
    """Do it, and send the answer twice."""
    reply = exchange.default()
    assert reply is not None
    exchange.channel.send(reply.encode() * 2)


def _early(calls: range) -> Arrange:
    """These connections begin with an empty list that nobody asked for."""

    def at_connect(channel: Channel, number: int) -> bool:
        if number in calls:
            channel.send(Reply(200, b"[]", (("Content-Type", "application/json"),)).encode())
        return False

    def arrange(world: World) -> None:
        world.platform.at_connect = at_connect

    return arrange


_ONCE = does.FIRST
_INCREDIBLE = names("answer no request")

ROWS = (
    Fault(
        "the 201 is doubled", "doubled answers", 0, "granted", arrange=breaks("submit", _doubled, does.FIRST), act=approve
    ),
    Fault(
        "a list is doubled once", "doubled answers", 0, "granted", arrange=breaks("list", _doubled, does.FIRST), act=approve
    ),
    Fault(
        "every answer is doubled",
        "doubled answers",
        125,
        "failure",
        arrange=breaks("*", _doubled),
        check=both(posted(1), asked(1), _INCREDIBLE),
        cut_off=True,
    ),
    Fault("the first connection speaks early", "early answers", 0, "granted", arrange=_early(does.FIRST), act=approve),
    Fault(
        "every connection speaks early",
        "early answers",
        125,
        "failure",
        arrange=_early(range(1, 1_000)),
        check=_INCREDIBLE,
        cut_off=True,
    ),
    Fault(
        "a portal answers the withdrawal",
        "a portal's 200",
        125,
        "failure",
        arrange=breaks("decide", _PAGE),
        timeout=2,
        check=names("outcome is unknown"),
        cut_off=True,
    ),
    Fault("a portal answers the POST", "a portal's 200", 125, "failure", arrange=breaks("submit", _PAGE), check=asked(0)),
)
