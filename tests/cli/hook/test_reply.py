"""The one answer of a hook, whoever says it."""

from __future__ import annotations

import io
import json
import threading

import pytest

from molecule_approve.cli.hook.reply import Reply, Watchdog
from molecule_approve.clock import Deadline
from molecule_approve.errors import DeliveryError
from molecule_approve.integrations.hooks.interface import HookAnswer
from molecule_approve.integrations.hooks.registry import HOSTS
from tests.cli.hook.hosts import denial

GEMINI = HOSTS["gemini"]
YES = HookAnswer('{"decision": "allow"}', "", 0)


class HeldStream(io.StringIO):
    """A stream that nobody reads: a write ends when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.writing, self.go_on = threading.Event(), threading.Event()

    def write(self, text: str) -> int:
        """Wait, then write."""
        self.writing.set()
        assert self.go_on.wait(20)
        return super().write(text)


def test_an_answer_is_a_line() -> None:
    """And silence is nothing."""
    stream = io.StringIO()
    Reply(GEMINI, stream).say(YES)
    Reply(GEMINI, stream).say(HookAnswer("", "", 0))
    assert stream.getvalue() == '{"decision": "allow"}\n'


def test_a_no_is_the_hosts_object_and_the_reason_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """In one visible line, with our name in front."""
    stream = io.StringIO()
    assert Reply(GEMINI, stream).deny("a\nb\x1b") == 2
    assert denial("gemini", json.loads(stream.getvalue())) == "molecule-approve: a\\nb\\x1b"
    assert capsys.readouterr().err == "molecule-approve: a\\nb\\x1b\n"


def test_a_no_may_leave_stderr_to_others(capsys: pytest.CaptureFixture[str]) -> None:
    """The parser's own message stands there."""
    Reply(GEMINI, io.StringIO()).deny("x", quiet=True)
    assert capsys.readouterr().err == ""


def test_a_second_answer_is_not_written() -> None:
    """The first counts; the exit code of a second no blocks all the same, and a yes after a no cannot be said."""
    stream = io.StringIO()
    reply = Reply(GEMINI, stream)
    reply.deny("first")
    before = stream.getvalue()
    assert reply.deny("second") == 2
    with pytest.raises(DeliveryError, match="told no already"):
        reply.say(YES)
    assert stream.getvalue() == before


def test_a_stream_that_is_closed() -> None:
    """A yes cannot be said; a no blocks by its exit code."""
    closed = io.StringIO()
    closed.close()
    for stream in (None, closed):
        with pytest.raises(DeliveryError, match="it is closed"):
            Reply(GEMINI, stream).say(YES)
        assert Reply(GEMINI, stream).deny("x") == 2


def test_the_watchdog_says_no_and_leaves() -> None:
    """At its time."""
    stream, left = io.StringIO(), threading.Event()
    codes: list[int] = []

    def leave(code: int) -> None:
        codes.append(code)
        left.set()

    with Watchdog(Reply(GEMINI, stream), Deadline.after(0.05), leave):
        assert left.wait(20)
    assert codes == [2]
    assert "the hook was stuck" in denial("gemini", json.loads(stream.getvalue()))


def test_the_watchdog_does_nothing_where_the_hook_ends() -> None:
    """It is gone with it."""
    stream = io.StringIO()
    with Watchdog(Reply(GEMINI, stream), Deadline.after(60)) as watchdog:
        pass
    watchdog._thread.join(20)
    assert not watchdog._thread.is_alive()
    assert stream.getvalue() == ""


def test_the_watchdog_leaves_although_the_answer_cannot_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody reads stdout, and the command waits in its write: the exit code blocks, with the reason on stderr."""
    stream, left = HeldStream(), threading.Event()
    reply = Reply(GEMINI, stream)
    writer = threading.Thread(target=reply.say, args=(YES,))
    writer.start()
    assert stream.writing.wait(20)
    with Watchdog(reply, Deadline.after(0), lambda _: left.set()):
        assert left.wait(20)
    assert "the hook was stuck" in capsys.readouterr().err
    stream.go_on.set()
    writer.join(20)
    assert stream.getvalue() == '{"decision": "allow"}\n'
