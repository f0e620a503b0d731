"""The fault table's rows for what comes late, twice or not at all at the end: answers, rows, and the platform itself."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

from tests.callers import let_pass
from tests.integration import behaviours as does
from tests.integration.fake_words import error
from tests.integration.fault import Arrange, Fault, approve, approve_unseen, asked, both, breaks, names, posted, within
from tests.integration.raw_http import Reply

if TYPE_CHECKING:
    from tests.integration.facts import Facts
    from tests.integration.fake_platform import Exchange
    from tests.integration.fault import Act
    from tests.integration.program import Program, World
    from tests.integration.raw_http import Channel

SOCKET = ("websocket",)
_FEW = range(1, 4)
_UNKNOWN = both(names("outcome is unknown", "molecule-approve status", "molecule-approve wait"), asked(1))


# --- away around the end -------------------------------------------------------------------------------------------------


def _signal_in_an_outage(number: signal.Signals) -> Act:
    """The platform is away for 0.4 s, and the signal comes in the middle of it."""

    def act(world: World, path: str, program: Program) -> None:
        world.await_waiting(path)
        world.platform.stop(abruptly=True)
        program.signal(number)
        let_pass(0.4)
        world.platform.start()

    return act


def _both(*arrangements: Arrange) -> Arrange:
    def arrange(world: World) -> None:
        for one in arrangements:
            one(world)

    return arrange


AWAY = (
    *(
        Fault(
            f"away around {number.name}",
            "away around the end",
            128 + number,
            "withdrawn",
            act=_signal_in_an_outage(number),
            timeout=60,
            check=within(30),
        )
        for number in (signal.SIGINT, signal.SIGTERM)
    ),
    *(
        Fault(
            f"the withdrawal at the deadline is answered by {name}",
            "away around the end",
            124,
            "timeout",
            arrange=breaks("decide", how, _FEW),
            timeout=3,
        )
        for name, how in (
            ("nothing", does.drop),
            ("a 503", does.status(503)),
            ("a page", does.answers(b"<html>one moment</html>", 502, ("Content-Type", "text/html"))),
            ("a redirect", does.redirect(302, "/login")),
            ("a 403", does.status(403)),
            ("a gateway without a route", does.answers(b"no route", 404, ("Content-Type", "text/plain"))),
            ("a gateway that says it in JSON", does.status(404, "no route")),
        )
    ),
    Fault(
        "the withdrawal after a failure is answered by nothing",
        "away around the end",
        125,
        "failure",
        arrange=_both(breaks("list", does.answers(b"<html>")), breaks("decide", does.drop, _FEW)),
    ),
    Fault(
        "the POST and the first look for it are refused by a proxy",
        "away around the end",
        125,
        "failure",
        arrange=_both(breaks("submit", does.act_then(403, b"no")), breaks("list", does.status(404), does.FIRST)),
        check=asked(1),
    ),
    Fault(
        "a list that shows each row twice",
        "a doubled POST",
        0,
        "granted",
        arrange=breaks("list", does.rows_changed(lambda rows: [*rows, *rows])),
        act=approve,
        check=asked(1),
    ),
    Fault(
        "the withdrawal's answer is lost",
        "away around the end",
        124,
        "timeout",
        arrange=breaks("decide", does.act_then_hold),
        timeout=3,
    ),
)

# --- a decision that cannot be read --------------------------------------------------------------------------------------

UNREAD = tuple(
    Fault(
        f"decided, and each read {name}",
        "a decision that cannot be read",
        125,
        "failure",
        arrange=breaks("list", how),
        act=approve_unseen,
        timeout=2,
        check=_UNKNOWN,
    )
    for name, how in (
        ("meets a 429", does.status(429, "slow down", ("Retry-After", "60"))),
        ("is cut off", does.drop),
        ("is held", does.hold),
    )
)

# --- rows that come twice or late ----------------------------------------------------------------------------------------


def sent_twice(exchange: Exchange) -> Reply | None:
    """A proxy sends the POST twice, and hands on one of the two answers."""
    reply = exchange.default()
    exchange.default()
    # That two stood open at once was the proxy's doing.
    exchange.platform.live_peak.clear()
    return reply


def _late(exchange: Exchange) -> Reply | None:
    """The first POST is cut off and lands after the second one was answered."""
    reply = exchange.default()
    first = exchange.platform.seen[[entry.route for entry in exchange.platform.seen].index("submit")].request
    exchange.platform.answer(type(exchange)(exchange.platform, "submit", 1, first, exchange.channel))
    exchange.platform.live_peak.clear()
    return reply


def _later_than_nonsense(exchange: Exchange) -> None:
    """Something in between answers with a page, and the platform gets to the POST when the list was read twice."""
    exchange.channel.send(Reply(200, b"<html>one moment</html>", (("Content-Type", "text/html"),)).encode())
    exchange.platform.await_count("list", 2)
    exchange.default()


def _twice_late(exchange: Exchange) -> None:
    """A proxy sends the POST twice and answers neither; the second one lands once the first was taken back."""
    exchange.default()
    exchange.platform.await_count("decide", 1)
    exchange.default()
    exchange.channel.wait_for_end()


def _no_route_at_first(exchange: Exchange) -> Reply | None:
    """A gateway answers the first withdrawal of each request with a 404 of its own."""
    paths = [seen.request.path for seen in exchange.platform.seen]
    return error(404, "no route") if paths.count(exchange.request.path) == 1 else exchange.default()


def _signal(world: World, path: str, program: Program) -> None:
    world.await_waiting(path)
    program.signal(signal.SIGTERM)


def _signal_unanswered(world: World, path: str, program: Program) -> None:
    world.platform.await_rows()
    program.signal(signal.SIGTERM)


def _doubled(name: str, code: int, ending: str, **more: Any) -> Fault:  # noqa: ANN401 - fields of Fault
    settings = {"arrange": breaks("submit", sent_twice), "check": asked(2), **more}
    return Fault(f"a doubled POST, {name}", "a doubled POST", code, ending, **settings)


TWICE = (
    _doubled("approved", 0, "granted", act=approve),
    _doubled("and nobody decides", 124, "timeout", timeout=2),
    _doubled("and a signal", 143, "withdrawn", act=_signal, timeout=60),
    _doubled(
        "the first of which was late",
        143,
        "withdrawn",
        arrange=_both(breaks("submit", _late), breaks("submit", does.drop, does.FIRST)),
        act=_signal,
        timeout=60,
    ),
    _doubled(
        "the second of which is late",
        143,
        "withdrawn",
        arrange=breaks("submit", _twice_late),
        act=_signal_unanswered,
        timeout=60,
    ),
    *(
        _doubled(
            f"a gateway that knows no route, and {name}",
            code,
            ending,
            arrange=_both(breaks("submit", sent_twice), breaks("decide", _no_route_at_first)),
            **more,
        )
        for name, code, ending, more in (
            ("an approval", 0, "granted", {"act": approve_unseen}),
            ("a signal", 143, "withdrawn", {"act": _signal, "timeout": 60}),
            ("nobody decides", 124, "timeout", {"timeout": 2}),
        )
    ),
    *(
        Fault(
            f"a proxy passes the POST on and answers {name}",
            "a refusal by a proxy",
            125,
            "failure",
            arrange=breaks("submit", does.act_then(code, body, *headers)),
            timeout=3,
            check=both(asked(1), names(str(code))),
        )
        for name, code, body, headers in (
            ("a redirect", 302, b"", (("Location", "/login"),)),
            ("a 403", 403, b"<html>forbidden</html>", (("Content-Type", "text/html"),)),
            ("a 404", 404, b'{"error": "no route"}', ()),
            ("a bare 404", 404, b"", ()),
            ("a 413", 413, b"", ()),
        )
    ),
    Fault(
        "a proxy passes the POST on and answers a 401",
        "a refusal by a proxy",
        0,
        "granted",
        arrange=breaks("submit", does.act_then(401, b'{"error": "who?"}')),
        act=approve,
        check=both(asked(1), posted(1)),
    ),
    Fault(
        "a page for an answer, and the row lands later",
        "a doubled POST",
        125,
        "failure",
        arrange=breaks("submit", _later_than_nonsense),
        check=both(asked(1), names("200")),
    ),
)

# --- whose clock ends it -------------------------------------------------------------------------------------------------


def _expired_first(exchange: Exchange) -> Reply:
    """The platform's clock ends the request just before our withdrawal arrives."""
    exchange.platform.change(exchange.platform.rows[0], "denied", "auto-expired")
    return error(404, "approval not found or already decided")


def _own_timeout(world: World, facts: Facts) -> None:
    assert facts.answer["outcome"] == "timeout"
    assert facts.ending[0]["reason"] == "nobody_decided"


CLOCKS = (
    Fault(
        "both clocks end it",
        "both clocks at once",
        124,
        "timeout",
        arrange=breaks("decide", _expired_first),
        timeout=2,
        check=_own_timeout,
    ),
)

# --- the handshake of the socket -----------------------------------------------------------------------------------------


def _early(data: bytes) -> Arrange:
    """A balancer answers the second connection before anything was asked."""

    def say(channel: Channel, number: int) -> bool:
        if number != 2:
            return False
        channel.send(data)
        return True

    def arrange(world: World) -> None:
        world.platform.at_connect = say

    return arrange


def _wants_origin(world: World) -> None:
    """A platform whose CORS_ORIGINS is set, as its compose file does: 403 without an Origin."""
    world.platform.cors_origin = world.platform.url


def _heard(world: World, facts: Facts) -> None:
    (granted,) = facts.ending
    assert granted["transport"] == "live"
    assert len(world.platform.times("socket")) == 2
    assert not any("origin" in seen.request.headers for seen in world.platform.seen if seen.route != "socket")


HANDSHAKE = (
    *(
        Fault(
            f"the socket answers early with {name}",
            "answered early",
            0,
            "granted",
            paths=SOCKET,
            arrange=_early(data),
            act=approve,
        )
        for name, data in (
            ("a 408", b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
            ("a 503", b"HTTP/1.0 503 Service Unavailable\r\nContent-Type: text/html\r\n\r\n<html>no server</html>"),
        )
    ),
    Fault(
        "a socket that wants an Origin",
        "refused without an Origin",
        0,
        "granted",
        paths=SOCKET,
        arrange=_wants_origin,
        act=approve,
        timeout=60,
        check=both(_heard, within(30)),
    ),
)

ROWS = (*AWAY, *UNREAD, *TWICE, *CLOCKS, *HANDSHAKE)
