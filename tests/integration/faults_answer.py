"""The fault table's rows in which there is an answer, and a wrong one: REST, and what the platform says."""

from __future__ import annotations

from datetime import timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

from tests.integration import behaviours as does
from tests.integration.fault import (
    Arrange,
    Fault,
    approve,
    approve_soon,
    approve_unseen,
    asked,
    both,
    breaks,
    names,
    posted,
    within,
)
from tests.integration.ledger import now

if TYPE_CHECKING:
    from tests.integration.facts import Facts
    from tests.integration.fake_platform import Behaviour, Exchange
    from tests.integration.program import Program, World
    from tests.integration.raw_http import Reply

SOCKET = ("websocket",)
POLL = ("poll",)
_RETRY_AFTER = "429 with any kind of Retry-After"
_SHAPES = {
    "not JSON": b"<html>It works!</html>",
    "wrong shape": b'{"approvals": []}',
    "wrong shape of a row": b'[{"id": 7}]',
    "deep": b"[" * 100_000 + b"]" * 100_000,
    "doubled keys": b'[{"id": "a", "id": "b", "action": "x", "status": "approved", "task_id": ""}]',
    "not JSON, no UTF-8": b'["\xff\xfe"]',
}


# --- REST ----------------------------------------------------------------------------------------------------------------


def _example(name: str) -> str:
    return next(example for example in ("not JSON", "wrong shape", "deep", "doubled keys") if name.startswith(example))


def _wait_a_second(world: World, facts: Facts) -> None:
    first, second = world.platform.times("submit")
    assert second - first >= 0.95


def _limited(*headers: tuple[str, str]) -> Arrange:
    return breaks("submit", does.status(429, "rate limit exceeded", *headers), does.FIRST)


def _dated(world: World) -> None:
    _limited(("Retry-After", format_datetime(now() + timedelta(seconds=1), usegmt=True)))(world)


def _redirected(code: int, route: str) -> Arrange:
    def arrange(world: World) -> None:
        target = f"{world.elsewhere.url}/workspaces/{world.platform.workspace}/approvals"
        world.platform.on(route, does.redirect(code, target))

    return arrange


def _small(world: World) -> None:
    assert world.programs[0].peak_kib() < 150 * 1024


def _small_and_approved(world: World, path: str, program: Program) -> None:
    world.await_waiting(path)
    _small(world)
    approve(world, path, program)


def _small_at_the_end(route: str, how: Behaviour) -> Arrange:
    """Break this route so; the program is measured when it takes its question back."""

    def arrange(world: World) -> None:
        world.platform.on(route, how)

        def behave(exchange: Exchange) -> Reply | None:
            _small(world)
            return exchange.default()

        world.platform.on("decide", behave)

    return arrange


def _fails(name: str, example: str, arrange: Arrange, **more: Any) -> Fault:  # noqa: ANN401 - fields of Fault
    return Fault(name, example, 125, "failure", arrange=arrange, **{"timeout": 3.0, **more})


def _passes(name: str, example: str, arrange: Arrange, **more: Any) -> Fault:  # noqa: ANN401 - fields of Fault
    return Fault(name, example, 0, "granted", arrange=arrange, **{"act": approve, **more})


REST = (
    _passes("Retry-After in seconds", _RETRY_AFTER, _limited(("Retry-After", "1")), check=_wait_a_second),
    _passes("Retry-After as a date", _RETRY_AFTER, _dated),
    *(
        _passes(f"Retry-After {value!r}", _RETRY_AFTER, _limited(("Retry-After", value)))
        for value in ("soon", "-5", "", "1e309", "Thu, 01 Jan 1970 00:00:00 GMT")
    ),
    _passes("no Retry-After", _RETRY_AFTER, _limited()),
    _fails(
        "a huge Retry-After",
        _RETRY_AFTER,
        breaks("submit", does.status(429, "slow down", ("Retry-After", "86400"))),
        timeout=60,
        check=both(within(30), posted(1)),
    ),
    _passes("429 on a read", _RETRY_AFTER, breaks("list", does.status(429, "x", ("Retry-After", "1")), does.FIRST)),
    Fault(
        "429 on every read",
        _RETRY_AFTER,
        124,
        "timeout",
        arrange=breaks("list", does.status(429, "x", ("Retry-After", "86400"))),
        timeout=2,
    ),
    *(
        _passes(f"{code} on the first POST", str(code), breaks("submit", does.status(code), does.FIRST))
        for code in (500, 502, 503, 504)
    ),
    *(
        _passes(f"{code} on the first read", str(code), breaks("list", does.status(code), does.FIRST))
        for code in (500, 502, 503, 504)
    ),
    _fails("500 on every POST", "500", breaks("submit", does.status(500)), timeout=6, check=names("WORKSPACE_ID")),
    _fails("503 on every POST", "503", breaks("submit", does.status(503)), timeout=1),
    *(
        _fails(f"{code} on the POST", "redirects", _redirected(code, "submit"), check=names(str(code)))
        for code in (301, 302, 303, 307, 308)
    ),
    _fails("302 on a read", "redirects", _redirected(302, "list"), check=names("302")),
    _passes("302 on the socket", "redirects", _redirected(302, "socket"), paths=SOCKET, act=approve_soon),
    _fails("slow bytes of the 201", "slow bytes", breaks("submit", does.drip(0.05)), timeout=2),
    Fault("slow bytes of a list", "slow bytes", 124, "timeout", arrange=breaks("list", does.drip(0.05)), timeout=2),
    _passes("an endless 201", "endless", breaks("submit", does.endless), act=_small_and_approved),
    _fails("an endless list", "endless", _small_at_the_end("list", does.endless), timeout=6),
    _passes("a bomb for a 201", "compressed bombs", breaks("submit", does.bomb()), act=_small_and_approved),
    _fails("a bomb for a list", "compressed bombs", _small_at_the_end("list", does.bomb()), timeout=6),
    *(_fails(f"list: {name}", _example(name), breaks("list", does.answers(body))) for name, body in _SHAPES.items()),
    *(
        _passes(f"201: {name}", _example(name), breaks("submit", does.act_then(201, body)), check=asked(1))
        for name, body in _SHAPES.items()
    ),
    _fails(
        "a 201 from something else",
        "not JSON",
        breaks("submit", does.answers(b"<html>It works!</html>", 201)),
        check=names("It works!"),
    ),
    _passes("401 on the second read", "401 once the token was good", breaks("list", does.status(401), range(2, 3))),
    _passes("401 on the first POST", "401 once the token was good", breaks("submit", does.status(401), range(1, 3))),
    _fails("401 on every POST", "401 once the token was good", breaks("submit", does.status(401)), timeout=1),
    _fails("403 on the POST", "401 once the token was good", breaks("submit", does.status(403)), check=posted(1)),
)


# --- the answer ----------------------------------------------------------------------------------------------------------


def _expire(world: World, path: str, program: Program) -> None:
    world.await_waiting(path)
    world.platform.change(world.platform.rows[0], "denied", "auto-expired")


def _nobody_named(world: World, facts: Facts) -> None:
    assert facts.answer["outcome"] == "expired"
    assert facts.answer["decided_by"] is None
    assert facts.ending[0]["actor"] == world.platform.workspace
    assert "decided_by" not in facts.ending[0]


def _approved_by(name: str) -> Any:  # noqa: ANN401 - an act
    def act(world: World, path: str, program: Program) -> None:
        world.await_waiting(path)
        world.platform.decide(world.platform.rows[0], by=name)

    return act


def crowd(world: World, path: str, _: Program) -> None:
    """Once the program waits, fifty others ask, and then alice approves the first."""
    world.await_waiting(path)
    for number in range(50):
        world.platform.add(world.platform.workspace, {"action": f"later {number}"})
    world.platform.decide(world.platform.rows[0])


def _crowd_and_lie(world: World, path: str, _: Program) -> None:
    world.await_waiting(path)
    for number in range(50):
        world.platform.add(world.platform.workspace, {"action": f"later {number}"})
    row = world.platform.rows[0]
    world.platform.publish(row.workspace, does.approved_event(row, row.workspace))


def _by_event(world: World, facts: Facts) -> None:
    assert facts.answer["evidence"] == "event"


def _never(name: str, example: str, arrange: Arrange, **more: Any) -> Fault:  # noqa: ANN401 - fields of Fault
    settings = {"act": approve_unseen, "timeout": 2.0, "cut_off": True, **more}
    return Fault(name, example, 125, "failure", arrange=arrange, **settings)


ANSWER = (
    _passes("201 lost", "201 lost", breaks("submit", does.act_then_drop, does.FIRST), check=both(asked(1), posted(1))),
    _fails("201 never sent", "201 lost", breaks("submit", does.act_then_hold), timeout=1),
    _passes("201 without an id", "201 without an id", breaks("submit", does.act_then(201, b'{"status": "pending"}'))),
    _passes(
        "201 with an id that is none",
        "201 without an id",
        breaks("submit", does.act_then(201, b'{"approval_id": "../../admin", "status": "pending"}')),
    ),
    *(
        _passes(f"{code} instead of 201", "201 with another status", breaks("submit", does.act_as(code)), check=asked(1))
        for code in (200, 202)
    ),
    _fails("200 and nothing done", "201 with another status", breaks("submit", does.answers(b"{}"))),
    Fault(
        "our row is missing",
        "our row missing from the list",
        124,
        "timeout",
        arrange=breaks("list", does.rows_changed(lambda _: [])),
        timeout=2,
    ),
    _never("our row, approved, is missing", "our row missing from the list", breaks("list", does.answers(b"[]"))),
    _never("another action", "our row with another action", breaks("list", does.each_row(action="something else"))),
    _never("another task", "our row with another action", breaks("list", does.each_row(task_id="t-1"))),
    _never(
        "another id",
        "our row with another action",
        breaks("list", does.each_row(id="00000000-0000-4000-8000-0", task_id="")),
    ),
    Fault("auto-expired", "auto-expired", 124, "timeout", act=_expire, check=_nobody_named, timeout=5),
    _never("approved by auto-expired", "auto-expired", lambda _: None, act=_approved_by("auto-expired")),
    _never("approved by nobody", "auto-expired", lambda _: None, act=_approved_by("")),
    _never("approved by a blank", "auto-expired", lambda _: None, act=_approved_by("  ")),
    *(
        _never(f"status {word!r}", "unknown status", breaks("list", does.each_row(status=word)))
        for word in ("granted", "APPROVED", "")
    ),
    Fault("crowded out", "our row missing from the list", 0, "granted", paths=SOCKET, act=crowd, check=_by_event),
    _never("crowded out, polling", "our row missing from the list", lambda _: None, paths=POLL, act=crowd),
    Fault(
        "crowded out, and the event lies",
        "our row missing from the list",
        125,
        "failure",
        paths=SOCKET,
        act=_crowd_and_lie,
    ),
)

ROWS = (*REST, *ANSWER)
