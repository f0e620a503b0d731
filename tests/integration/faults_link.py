"""The fault table's rows in which there is no connection, or no good one: the platform is away, and the socket."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.integration import behaviours as does
from tests.integration.fake_platform import FakePlatform
from tests.integration.fake_words import event
from tests.integration.fault import (
    Act,
    Arrange,
    Fault,
    approve,
    approve_soon,
    approve_unseen,
    asked,
    both,
    breaks,
    names,
    nothing,
    posted,
    within,
)
from tests.integration.proxy import Proxy

if TYPE_CHECKING:
    from tests.integration.facts import Facts
    from tests.integration.fake_platform import Behaviour
    from tests.integration.ledger import Row
    from tests.integration.program import Program, World

SOCKET = ("websocket",)
_CERTIFICATE = Path(__file__).with_name("untrusted.pem")


def _at_connect(how: Any) -> Arrange:  # noqa: ANN401 - a function of the connection
    def arrange(world: World) -> None:
        world.platform.at_connect = how

    return arrange


def _no_such_host(world: World) -> None:
    world.env["PLATFORM_URL"] = "https://no-such-host.invalid"


def _restart_decided(world: World, path: str, _: Program) -> None:
    world.await_waiting(path)
    world.platform.stop(abruptly=True)
    world.platform.change(world.platform.rows[0], "approved", "alice")
    world.platform.start()


def _tls(*, trusted: bool) -> Arrange:
    """A platform behind TLS, with a certificate that nobody vouches for unless the user says so."""

    def arrange(world: World) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(_CERTIFICATE)
        world.move_to(FakePlatform(tls=context).start())
        if trusted:
            world.env["SSL_CERT_FILE"] = str(_CERTIFICATE)

    return arrange


def _never_told(world: World, facts: Facts) -> None:
    """Nobody was told the token: no request came through."""
    assert world.platform.seen == []


def _proxied(world: World) -> None:
    """Proxies of the environment see neither loopback nor http://."""
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        world.env[name] = world.elsewhere.url


def _through_proxy(delay: float = 0.0) -> Arrange:
    def arrange(world: World) -> None:
        world.proxy = Proxy(world.platform.port)
        world.proxy.delay = delay
        world.proxy.__enter__()
        world.closing.append(world.proxy.__exit__)
        world.env["PLATFORM_URL"] = world.proxy.url

    return arrange


def _half_close(proxy: Proxy) -> None:
    proxy.half_close()
    proxy.resume()


def _stalled(cut: Callable[[Proxy], object]) -> Act:
    """The connection becomes a black hole, alice approves, and then the connection ends in this way."""

    def act(world: World, path: str, _: Program) -> None:
        world.await_waiting(path)
        assert world.proxy is not None
        world.proxy.stall()
        world.platform.decide(world.platform.rows[0])
        cut(world.proxy)

    return act


def _stay_away(world: World, path: str, _: Program) -> None:
    world.await_waiting(path)
    world.platform.stop(abruptly=True)


AWAY = (
    Fault("refused", "refused", 125, "failure", arrange=lambda w: w.platform.leave(), timeout=1, cut_off=True),
    Fault("no such host", "no such host", 125, "failure", arrange=_no_such_host, timeout=1, cut_off=True),
    Fault(
        "a certificate that nobody vouches for",
        "refused",
        125,
        "failure",
        arrange=_tls(trusted=False),
        timeout=2,
        check=both(_never_told, names("certificate")),
    ),
    Fault("a certificate that the user vouches for", "refused", 0, "granted", arrange=_tls(trusted=True), act=approve),
    Fault("a proxy in the environment", "refused", 0, "granted", arrange=_proxied, act=approve),
    Fault("black hole", "refused", 125, "failure", arrange=_at_connect(does.silent), timeout=1, cut_off=True),
    Fault(
        "killed before the POST",
        "killed before the POST",
        0,
        "granted",
        arrange=_at_connect(does.cut_first),
        act=approve,
        check=both(asked(1), posted(1)),
    ),
    Fault(
        "killed during the POST",
        "killed during the POST",
        0,
        "granted",
        arrange=_at_connect(does.cut_in_request),
        act=approve,
        check=asked(1),
    ),
    Fault(
        "killed after the POST",
        "killed after the POST",
        0,
        "granted",
        arrange=breaks("submit", does.act_then_drop, does.FIRST),
        act=approve,
        check=both(asked(1), posted(1)),
    ),
    Fault(
        "restarted, decided meanwhile",
        "restarted while we wait and decided meanwhile",
        0,
        "granted",
        act=_restart_decided,
        check=asked(1),
    ),
    Fault(
        "killed while we wait, and gone",
        "restarted while we wait and decided meanwhile",
        125,
        "failure",
        act=_stay_away,
        timeout=2,
        cut_off=True,
    ),
)


# --- the socket ----------------------------------------------------------------------------------------------------------


def _goodbye(world: World, path: str, program: Program) -> None:
    world.await_waiting(path)
    world.platform.mute = True
    world.platform.decide(world.platform.rows[0])
    world.platform.say_goodbye()


def _muted(world: World, path: str, program: Program) -> None:
    world.await_waiting(path)
    world.platform.mute = True
    world.platform.decide(world.platform.rows[0])


def _doubled(world: World, path: str, program: Program) -> None:
    approve(world, path, program)
    row = world.platform.rows[0]
    for _ in range(50):
        world.platform.publish(row.workspace, does.approved_event(row, row.workspace, decided_by="alice"))


def _foreign(row: Row, workspace: str) -> list[str | bytes]:
    other = {"approval_id": "00000000-0000-4000-8000-000000000000"}
    strangers: list[str | bytes] = [does.approved_event(row, workspace, **other) for _ in range(200)]
    return [*strangers, does.approved_event(row, "00000000-0000-4000-8000-000000000001")]


def _reordered(row: Row, workspace: str) -> list[str | bytes]:
    return [
        does.approved_event(row, workspace, decision="denied"),
        does.approved_event(row, workspace),
        event("APPROVAL_REQUESTED", workspace, {"approval_id": row.id, "action": row.action}),
    ]


def _malformed(row: Row, workspace: str) -> list[str | bytes]:
    return [
        "",
        "null",
        "[]",
        '{"event": 1}',
        '{"event": "APPROVAL_APPROVED", "payload": []}',
        '{"event": "APPROVAL_APPROVED", "payload": {"approval_id": {"a": 1}}}',
        "[" * 50_000,
        f'{{"event": "APPROVAL_APPROVED", "event": "APPROVAL_DENIED", "payload": {{"approval_id": "{row.id}"}}}}',
        does.approved_event(row, workspace, approval_id=row.id + "\u202e"),
    ]


def _few_reads(world: World, facts: Facts) -> None:
    assert len(facts.reads) <= 3


def _flat(world: World) -> None:
    world.platform.dialect = "flat"


def _socket_row(name: str, example: str, how: Behaviour, code: int = 0, ending: str = "granted", **more: Any) -> Fault:  # noqa: ANN401 - fields of Fault
    settings = {"act": approve_soon, "arrange": breaks("socket", how), **more}
    return Fault(name, example, code, ending, paths=SOCKET, **settings)


STREAM = (
    Fault("stalled, then cut", "half-open", 0, "granted", arrange=_through_proxy(), act=_stalled(Proxy.cut)),
    Fault("stalled, then resumed", "half-open", 0, "granted", arrange=_through_proxy(), act=_stalled(Proxy.resume)),
    Fault(
        "stalled for good",
        "half-open",
        125,
        "failure",
        arrange=_through_proxy(),
        act=_stalled(lambda _: None),
        timeout=2,
        cut_off=True,
    ),
    Fault(
        "half-closed",
        "half-open",
        0,
        "granted",
        arrange=_through_proxy(),
        act=_stalled(_half_close),
    ),
    Fault("every piece is slow", "slow", 0, "granted", arrange=_through_proxy(0.1), act=approve),
    *(_socket_row(f"socket refused with {code}", f"refused with {code}", does.status(code)) for code in (401, 403, 404)),
    _socket_row("socket refused with 429", "refused with 429", does.status(429, "slow", ("Retry-After", "59"))),
    *(_socket_row(f"socket refused with {code}", "refused with 5xx", does.status(code)) for code in (500, 502, 503)),
    _socket_row("socket closes at once", "accepts and closes at once", does.close_at_once),
    _socket_row("socket cut at once", "accepts and closes at once", does.cut_at_once),
    _socket_row("socket closes and lingers", "accepts and closes at once", does.close_and_linger),
    Fault("clean close", "clean close in mid-wait", 0, "granted", paths=SOCKET, act=_goodbye, timeout=60, check=within(30)),
    _socket_row("half-open", "half-open", does.deaf, timeout=2),
    _socket_row("handshake never answered", "half-open", does.hold, act=approve_unseen, timeout=2),
    _socket_row("handshake answered slowly", "slow", does.dripping_socket(0.05), act=approve_unseen, timeout=2),
    _socket_row("handshake answered wrongly", "slow", does.wrong_accept, act=approve_unseen),
    Fault("dropped events", "dropped events", 0, "granted", paths=SOCKET, act=_muted, timeout=2),
    Fault("doubled events", "doubled events", 0, "granted", paths=SOCKET, act=_doubled, check=_few_reads),
    _socket_row("reordered events", "reordered events", does.frames(_reordered), 124, "timeout", act=nothing, timeout=2),
    _socket_row("foreign events", "foreign events", does.frames(_foreign), act=approve, check=_few_reads),
    _socket_row("malformed events", "malformed events", does.frames(_malformed), act=approve),
    _socket_row("huge frames", "huge frames", does.huge_frame),
    Fault(
        "the flat dialect",
        "doubled events",
        0,
        "granted",
        paths=SOCKET,
        arrange=_flat,
        act=approve,
        timeout=60,
        check=within(30),
    ),
)

ROWS = (*AWAY, *STREAM)
