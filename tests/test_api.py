"""The Python API: the same gate without a terminal, from threads, loops and programs of others."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from molecule_approve import api, request_approval, request_approval_sync
from molecule_approve.errors import Interrupted
from molecule_approve.model import Outcome
from tests.callers import KEYS, PATIENCE, Caller
from tests.integration import behaviours as does

if TYPE_CHECKING:
    from tests.integration.fake_platform import FakePlatform

_AWAY: dict[str, object] = {"action": "x", "workspace_id": "w", "platform_url": "http://127.0.0.1:9"}


def test_an_approval(caller: Caller) -> None:
    """A verdict that says who, and the older tool's keys in as_dict."""
    with caller.answering("drop it"):
        verdict = request_approval_sync("drop it", "spring", context={"a=b": "c=d"})
    assert (verdict.approved, verdict.outcome, verdict.recorded) == (True, Outcome.APPROVED, True)
    found = verdict.as_dict()
    assert set(found) == KEYS | {"message"}
    assert (found["approved"], found["decided_by"], found["message"], found["error"]) == (
        True,
        "alice",
        "approved by alice",
        None,
    )
    row = caller.desk.one(str(found["approval_id"]))
    assert (row["reason"], row["context"]["a=b"]) == ("spring", "c=d")


def test_a_secret_in_the_context_is_not_sent(caller: Caller) -> None:
    """The platform keeps the context, and shows it to whoever decides."""
    server = caller.desk.server
    token = server.requester.token
    caller.set(PLATFORM_URL=server.url, WORKSPACE_ID=server.requester.workspace_id, MOLECULE_TOKEN=token)
    with caller.answering("drop it"):
        verdict = request_approval_sync("drop it", context={"header": token})
    assert caller.desk.one(str(verdict.approval_id))["context"]["header"] == "[secret removed]"


def test_a_denial_and_a_timeout_are_verdicts(caller: Caller) -> None:
    """None of them is approved."""
    with caller.answering("drop it", "denied"):
        assert request_approval_sync("drop it", transport="poll", poll_interval=1).outcome is Outcome.DENIED
    verdict = request_approval_sync("drop it", timeout="1s", expires_in=60)
    assert (verdict.outcome, verdict.approved) == (Outcome.TIMEOUT, False)
    assert request_approval_sync("drop it", expires_in=1).outcome is Outcome.EXPIRED


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"action": ""}, "usage"),
        ({"action": "x", "timeout": "5 parsecs"}, "usage"),
        ({"action": "x", "timeout": float("nan")}, "usage"),
        ({"action": "x", "expires_in": float("inf")}, "usage"),
        ({"action": "x", "transport": "pigeon"}, "usage"),
        ({"action": "x", "context": {"user": "root"}}, "usage"),
        ({"action": "x", "platform_url": "https://p.invalid"}, "usage"),
        ({"action": "x", "config": "/nowhere/config.yaml"}, "configuration"),
        ({"action": "x", "audit_log": "/proc/audit.jsonl"}, "audit"),
        ({"action": "x", "idempotency_key": "a\nb"}, "usage"),
        ({**_AWAY, "require_verified_approver": True}, "unavailable"),
        (_AWAY, "unavailable"),
    ],
)
def test_every_failure_is_a_verdict(caller: Caller, given: dict[str, object], kind: str) -> None:
    """With an error of a stable kind, and no yes."""
    verdict = request_approval_sync(**{"timeout": 1, **given})  # type: ignore[arg-type]  # also what makes no sense
    assert (verdict.approved, verdict.outcome) == (False, Outcome.FAILED)
    assert verdict.error is not None
    assert verdict.error.kind == kind
    assert verdict.as_dict()["message"] == f"gate failed: {verdict.error.message}"


def test_what_is_given_comes_before_the_environment(caller: Caller) -> None:
    """The log, the address and the workspace."""
    other = caller.folder / "other.jsonl"
    with caller.answering("drop it"):
        verdict = request_approval_sync("drop it", platform_url="local", audit_log=other)
    assert verdict.approved
    assert (other.exists(), caller.log.exists()) == (True, False)


def test_roles_hold_here_too(caller: Caller) -> None:
    """Not permitted is an outcome of its own."""
    caller.configure("rbac:\n  roles: [read-only]\n")
    assert request_approval_sync("x").outcome is Outcome.NOT_PERMITTED


def test_in_a_running_loop_many_questions_wait_at_once(caller: Caller) -> None:
    """More than the loop's own pool has threads; each is asked, and each gets its own answer."""

    async def main() -> list[bool]:
        verdicts = await asyncio.gather(*(request_approval(f"question {number}", timeout=15) for number in range(12)))
        return [verdict.approved for verdict in verdicts]

    asked: set[str] = set()
    with caller.desk.listening() as socket:

        def decide_when_all_stand() -> None:
            ids: dict[str, str] = {}
            while len(ids) < 12:
                event = socket.event()
                if event["event"] == "APPROVAL_REQUESTED":
                    ids[event["payload"]["action"]] = event["payload"]["approval_id"]
            asked.update(ids)
            for action, found in ids.items():
                caller.desk.decide(found, "denied" if action.endswith("7") else "approved")

        thread = threading.Thread(target=decide_when_all_stand)
        thread.start()
        answers = asyncio.run(main())
        thread.join(PATIENCE)
    assert len(asked) == 12
    assert answers == [number != 7 for number in range(12)]


def test_the_synchronous_call_works_in_a_running_loop(caller: Caller) -> None:
    """It blocks the loop, and that is all."""

    async def main() -> bool:
        return request_approval_sync("drop it").approved

    with caller.answering("drop it"):
        assert asyncio.run(main())


@pytest.mark.parametrize("transport", ["websocket", "poll"])
def test_cancelling_withdraws_promptly(caller: Caller, transport: str) -> None:
    """The cancellation comes through, and by then nobody can approve any more."""

    async def main() -> None:
        task = asyncio.create_task(request_approval("drop it", transport=transport))
        approval_id = await asyncio.to_thread(caller.requested)
        task.cancel()
        begun = asyncio.get_running_loop().time()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.get_running_loop().time() - begun < 3
        assert caller.desk.one(approval_id)["decided_by"] == "withdrawn"

    asyncio.run(main())
    assert caller.records()[-1]["outcome"] == "withdrawn"


def test_cancelling_breaks_a_call_off_that_is_not_answered(caller: Caller, platform: FakePlatform) -> None:
    """While the POST hangs; what may have arrived is taken back."""
    platform.on("submit", does.act_then_hold)

    async def main() -> None:
        task = asyncio.create_task(request_approval("drop it", transport="poll"))
        await asyncio.to_thread(platform.await_count, "submit", 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 5)

    asyncio.run(main())
    assert platform.rows[0].decided_by == "withdrawn"


def test_a_cancellation_in_a_pause_ends_it(caller: Caller, platform: FakePlatform) -> None:
    """Between two tries of asking."""
    platform.on("submit", does.status(503, "not yet", ("Retry-After", "8")))

    async def main() -> None:
        task = asyncio.create_task(request_approval("drop it", transport="poll", timeout=30))
        await asyncio.to_thread(platform.await_count, "submit", 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 5)

    asyncio.run(main())
    assert platform.rows == []


def test_control_c_in_the_synchronous_call_withdraws(caller: Caller) -> None:
    """KeyboardInterrupt comes through, and by then nobody can approve any more."""

    def press() -> None:
        caller.requested()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    presser = threading.Thread(target=press)
    presser.start()
    with pytest.raises(KeyboardInterrupt):
        request_approval_sync("drop it")
    presser.join(PATIENCE)
    assert caller.desk.one(caller.requested())["decided_by"] == "withdrawn"
    assert caller.records()[-1]["outcome"] == "withdrawn"


def test_a_cancellation_at_once(caller: Caller) -> None:
    """Before the thread has begun: nothing is left standing."""

    async def main() -> None:
        task = asyncio.create_task(request_approval("drop it"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert [record["outcome"] for record in caller.records()][-1:] in ([], ["withdrawn"])


def test_a_stop_before_there_is_a_platform_is_seen_by_the_first_check() -> None:
    """Once: what takes the question back is not stopped again."""
    stop = api._ThreadStop()
    stop.pull()
    with pytest.raises(Interrupted):
        stop.check()
    stop.check()


def test_no_signal_handler_is_touched(caller: Caller) -> None:
    """They are the program's that calls."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    with caller.answering("drop it"):
        request_approval_sync("drop it")
    assert [signal.getsignal(number) for number in numbers] == before


def test_nothing_is_printed(caller: Caller) -> None:
    """Neither on stdout nor on stderr."""
    caller.capture.readouterr()
    request_approval_sync("drop it", timeout=1)
    assert caller.capture.readouterr() == ("", "")


def test_without_an_event_loop_no_asyncio_is_loaded(caller: Caller) -> None:
    """The synchronous call in a fresh process."""
    script = "import sys; from molecule_approve import request_approval_sync as ask; ask('x', timeout=1, transport='poll'); "
    told = caller.run("-c", script + "print('asyncio' in sys.modules)", program=(sys.executable,))
    assert told.out == "False\n"


_ODD: list[tuple[dict[str, object], str]] = [
    ({"action": None}, "action= must be a str, not NoneType"),
    ({"action": b"x"}, "action= must be a str, not bytes"),
    ({"action": 7}, "action= must be a str, not int"),
    ({"action": "\ud800"}, "lone surrogate"),
    ({"reason": None}, "reason= must be a str"),
    ({"context": ["a"]}, "context= must be a mapping, not list"),
    ({"context": {1: "a"}}, "a key of context= must be a str"),
    ({"context": {"a": None}}, "a value of context= must be a str"),
    ({"timeout": True}, "timeout= must be a str, not bool"),
    ({"timeout": "soon"}, "timeout="),
    ({"timeout": float("inf")}, "timeout="),
    ({"expires_in": "soon"}, "expires_in="),
    ({"expires_in": object()}, "expires_in= must be a str"),
    ({"poll_interval": []}, "poll_interval= must be a str"),
    ({"transport": 1}, "transport= must be a str"),
    ({"require_verified_approver": "no"}, "require_verified_approver= must be True, False or None"),
    ({"idempotency_key": 7}, "idempotency_key= must be a str"),
    ({"platform_url": 7}, "platform_url= must be a str"),
    ({"workspace_id": b"w"}, "workspace_id= must be a str"),
    ({"config": 7}, "config= must be a str"),
    ({"audit_log": 7}, "audit_log= must be a str"),
    ({"audit_log": "\0"}, ""),
]


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize(("given", "says"), _ODD)
def test_an_odd_argument_is_a_verdict(caller: Caller, given: dict[str, object], says: str, asynchronous: bool) -> None:
    """Of kind usage, with a sentence that names the argument and no option; no bare exception."""
    arguments: dict[str, object] = {"action": "never asked", "timeout": 1, **given}
    if asynchronous:  # noqa: SIM108 - two calls, each with its own types
        verdict = asyncio.run(request_approval(**arguments))  # type: ignore[arg-type]  # also what makes no sense
    else:
        verdict = request_approval_sync(**arguments)  # type: ignore[arg-type]
    assert (verdict.approved, verdict.outcome) == (False, Outcome.FAILED)
    assert verdict.error is not None
    assert says in verdict.error.message
    assert "--" not in verdict.error.message
    if says:
        assert verdict.error.kind == "usage"


def test_a_time_is_understood_as_people_give_it(caller: Caller) -> None:
    """Seconds, text, or a timedelta; and a number in the context is text."""
    with caller.answering("drop it"):
        verdict = request_approval_sync(
            "drop it",
            timeout=timedelta(seconds=30),  # type: ignore[arg-type]  # understood all the same
            expires_in="5m",
            context={"count": 7},  # type: ignore[dict-item]  # likewise
        )
    assert verdict.approved
