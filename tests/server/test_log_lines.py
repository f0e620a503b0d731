"""The server's log: one line an event, as text or JSON, that no text from elsewhere can break."""

from __future__ import annotations

import json
import logging
import threading
from typing import TYPE_CHECKING

import pytest

from molecule_approve.server import log_lines
from molecule_approve.server.log_lines import EVENTS, LineFormatter, note, written
from molecule_approve.server.log_throttle import LogThrottle
from tests.callers import until

if TYPE_CHECKING:
    from tests.server.conftest import OpenDesk


def _lines(*, as_json: bool) -> list[str]:
    """What two events, a library's sentence, a fault and a warning of ours become."""
    lines: list[str] = []
    with written(lines.append, as_json=as_json):
        note(EVENTS, "decided", approval_id="0190", decided_by="Al ice\x1b[31m", waited_seconds=1.5, outcome=None)
        note(EVENTS, "started", settings={"port": "--port"})
        logging.getLogger("library").warning("it %s\n::error::", "broke")
        try:
            raise ValueError("inside\x1b")
        except ValueError:
            logging.getLogger("library").exception("a fault")
        log_lines.warn("a sentence")
    return lines


def test_text_is_for_people() -> None:
    """Time, event and fields on one line; a control character, or an order to a log reader, is shown."""
    decided, started, broke, fault, said = _lines(as_json=False)
    assert decided[:4].isdigit()
    assert decided[27:] == ' decided approval_id=0190 decided_by="Al ice\\x1b[31m" waited_seconds=1.5'
    assert started.endswith(' started settings={"port": "--port"}')
    assert broke == "it broke\n\\x3a:error::"
    assert fault.startswith("a fault\nTraceback ")
    assert fault.endswith("ValueError: inside\\x1b")
    assert said.endswith(' warning message="a sentence"')


def test_a_quote_in_a_text_ends_no_field() -> None:
    """Who names a host or a requester so adds no field to the line."""
    lines: list[str] = []
    with written(lines.append, as_json=False):
        note(EVENTS, "host_refused", host='a" address="10.0.0.7', address="203.0.113.9")
    assert lines[0].endswith(r' host_refused host="a\" address=\"10.0.0.7" address=203.0.113.9')


def test_json_is_for_programs() -> None:
    """Each line is one object with time, level and event."""
    decided, started, broke, fault, said = (json.loads(line) for line in _lines(as_json=True))
    assert decided.pop("time").endswith("Z")
    assert decided == {
        "level": "info",
        "event": "decided",
        "approval_id": "0190",
        "decided_by": "Al ice\x1b[31m",
        "waited_seconds": 1.5,
    }
    assert (started["event"], started["settings"]) == ("started", {"port": "--port"})
    assert (broke["event"], broke["level"], broke["message"]) == ("log", "warning", "it broke\n::error::")
    assert fault["message"].startswith("a fault\nTraceback ")
    assert (said["event"], said["level"], said["message"]) == ("warning", "warning", "a sentence")


@pytest.mark.usefixtures("untraced")
def test_a_reader_that_takes_no_line_holds_nothing_up() -> None:
    """Lines wait up to a number, then they are dropped; the end does not wait for who never reads."""
    lines: list[str] = []
    reads, stuck = threading.Event(), threading.Event()

    def write(line: str) -> None:
        stuck.set()
        reads.wait()
        lines.append(line)

    with written(write, as_json=False):
        note(EVENTS, "first")
        stuck.wait()
        for number in range(log_lines._QUEUE + 50):
            note(EVENTS, "more", number=number)
    assert lines == []
    reads.set()
    until(lambda: len(lines) == log_lines._QUEUE + 1, "all that waited")
    assert lines[-1].endswith(f"number={log_lines._QUEUE - 1}")


def test_what_strangers_cause_is_throttled() -> None:
    """One line a minute of each kind; the next one says how many are missing."""
    now = [0.0]
    throttle = LogThrottle(lambda: now[0])

    def passed() -> str | None:
        record = logging.makeLogRecord({"msg": "host_refused", log_lines.FIELDS: {"host": "evil.example"}})
        return LineFormatter(as_json=False).format(record) if throttle.filter(record) else None

    assert str(passed()).endswith(" host_refused host=evil.example")
    assert [passed(), passed()] == [None, None]
    now[0] = 60.0
    assert str(passed()).endswith(" host_refused host=evil.example not_logged=2")


def test_each_refused_host_is_told_and_many_of_them_fill_no_log() -> None:
    """Whoever looks for the name that they called finds it; beyond sixteen a minute all others count together."""
    now = [0.0]
    throttle = LogThrottle(lambda: now[0])

    def passed(host: str) -> str | None:
        record = logging.makeLogRecord({"msg": "host_refused", log_lines.FIELDS: {"host": host}})
        return str(getattr(record, log_lines.FIELDS)) if throttle.filter(record) else None

    first = [f"{number}.example" for number in range(16)]
    assert [passed(host) for host in first] == [str({"host": host}) for host in first]
    assert [passed(host) for host in first] == [None] * 16
    now[0] = 30.0
    assert [passed(f"{number}.invalid") for number in range(100)] == ["{'host': '0.invalid'}"] + [None] * 99
    now[0] = 60.0
    assert passed("1.example") == "{'host': '1.example', 'not_logged': 1}"
    assert passed("late.example") == "{'host': 'late.example'}"  # in the place of 0.example
    now[0] = 90.0
    later = [passed(f"{number}.test") for number in range(100)]
    assert later == [*(f"{{'host': '{number}.test'}}" for number in range(14)), later[14], *[None] * 85]
    assert later[14] == f"{{'host': '14.test', 'not_logged': {99 + 1 + 14}}}"


def test_every_event_is_one_line_without_what_the_request_says(open_desk: OpenDesk) -> None:
    """From the start to the end of a server; with ids, names and times, and no action, reason, comment or token."""
    lines: list[str] = []
    with written(lines.append, as_json=True):
        desk = open_desk(expiry=0.2)
        secret = "drop table customers"
        approved = desk.ask(secret, reason=secret, expires_in=60)
        desk.decide(approved, comment=secret)
        desk.redeem(approved)
        desk.withdraw(desk.ask(secret, expires_in=60))
        expired = desk.ask(secret)
        until(lambda: desk.one(expired)["status"] == "denied", "expired")
        session = desk.session()
        with desk.client(session) as page, desk.client("wrong") as guess:
            assert page.post("/desk/session/end").status_code == 200
            assert guess.get(desk.path).status_code == 401
            assert guess.get(desk.path, headers={"Host": "evil.example"}).status_code == 421
        desk.server.stop()
    events = [json.loads(line) for line in lines]
    assert [event["event"] for event in events if event["event"] not in {"login_failed", "host_refused"}] == [
        *("started", "requested", "decided", "redeemed", "requested", "withdrawn", "requested", "expired"),
        *("signed_in", "signed_out", "stopping"),
    ]
    decided = next(event for event in events if event["event"] == "decided")
    assert (decided["approval_id"], decided["outcome"], decided["decided_by"]) == (approved, "approved", "alice")
    assert 0 <= decided["waited_seconds"] < 60
    assert decided["workspace_id"] == desk.workspace_id
    assert next(event for event in events if event["event"] == "signed_in")["approver"] == "alice"
    for word in (secret, session, desk.server.requester.token, str(desk.decider.headers["authorization"])[7:]):
        assert word not in "".join(lines)
    strangers = {event["event"]: event for event in events if event["event"] in {"login_failed", "host_refused"}}
    for event in strangers.values():
        assert event["address"] == "127.0.0.1"


@pytest.mark.parametrize("as_json", [True, False])
def test_after_the_block_the_process_logs_as_before(*, as_json: bool) -> None:
    """A program that embeds the server has a log of its own."""
    before = (EVENTS.level, list(logging.getLogger().handlers))
    with written(lambda _: None, as_json=as_json):
        assert EVENTS.level == logging.INFO
    assert (EVENTS.level, list(logging.getLogger().handlers)) == before
