"""The Python API: the same gate without a terminal, from threads, loops and programs of others."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from molecule_approve import api, request_approval, request_approval_sync, run_approved, wiring
from molecule_approve.calls import ThreadStop
from molecule_approve.errors import DeliveryError
from molecule_approve.executions import Executed, Execution
from molecule_approve.gate.binding import bind
from molecule_approve.model import Outcome, Verdict
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


@pytest.mark.usefixtures("untraced")
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
    ({"context": {"a": 10**5000}}, "a value of context= is too large a number"),
    ({"timeout": True}, "timeout= must be a number of seconds or a text like 5m, not bool"),
    ({"timeout": 10**400}, "timeout= is too large a number of seconds"),
    ({"timeout": -(10**5000)}, "timeout= is too large a number of seconds"),
    ({"timeout": "soon"}, "timeout="),
    ({"timeout": float("inf")}, "timeout="),
    ({"expires_in": "soon"}, "expires_in="),
    ({"expires_in": object()}, "expires_in= must be a number of seconds or a text like 5m, not object"),
    ({"expires_in": 10**400}, "expires_in= is too large a number of seconds"),
    ({"poll_interval": []}, "poll_interval= must be a number of seconds or a text like 5m, not list"),
    ({"poll_interval": 10**400}, "poll_interval= is too large a number of seconds"),
    ({"transport": 1}, "transport= must be a str"),
    ({"require_verified_approver": "no"}, "require_verified_approver= must be True, False or None, not str"),
    ({"require_verified_approver": 10**5000}, "require_verified_approver= must be True, False or None, not int"),
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


# --- running what was approved ---------------------------------------------------------------------------------------------


def _action(argv: Sequence[str]) -> str:
    """What the approver reads of this command."""
    bound = bind(argv, wiring.origin(), os.environ)
    bound.close()
    return bound.command.text


def test_an_approved_command_runs_and_its_exit_code_is_told(caller: Caller) -> None:
    """With who approved it in its environment, and with the records of its start and its end."""
    argv = ["sh", "-c", 'echo "$MOLECULE_APPROVED_BY $MOLECULE_APPROVAL_ID" >"$0"; exit 3', str(caller.folder / "said")]
    with caller.answering(_action(argv)):
        done = run_approved([*argv[:-1], Path(argv[-1])], "spring", context={"a": "b"})
    assert (done.approved, done.verdict.decided_by) == (True, "alice")
    assert done.execution.executed is Executed.FINISHED
    assert (done.execution.child_exit_code, done.execution.child_signal, done.execution.error) == (3, None, None)
    assert (caller.folder / "said").read_text() == f"alice {done.verdict.approval_id}\n"
    assert [record["outcome"] for record in caller.records()][-3:] == ["granted", "started", "finished"]
    assert {record["digest"] for record in caller.records()[-2:]} == {done.execution.digest}
    row = caller.desk.one(str(done.verdict.approval_id))
    assert (row["reason"], row["context"]["a"]) == ("spring", "b")


def test_a_command_that_a_signal_ended(caller: Caller) -> None:
    """128 + the signal, as a shell says it."""
    argv = ["sh", "-c", "kill -KILL $$"]
    with caller.answering(_action(argv)):
        done = run_approved(argv)
    assert (done.execution.child_exit_code, done.execution.child_signal) == (137, signal.SIGKILL)


def test_a_denied_command_does_not_run(caller: Caller) -> None:
    """Nor one that nobody decided about."""
    argv = ["touch", str(caller.folder / "ran")]
    with caller.answering(_action(argv), "denied"):
        denied = run_approved(argv)
    late = run_approved(argv, timeout=1)
    assert (denied.verdict.outcome, late.verdict.outcome) == (Outcome.DENIED, Outcome.TIMEOUT)
    for done in (denied, late):
        assert (done.approved, done.execution) == (False, Execution(Executed.NO, done.execution.digest))
        assert done.execution.digest is not None
    assert not (caller.folder / "ran").exists()


def test_a_program_that_changed_meanwhile_does_not_run(caller: Caller) -> None:
    """Approved, and no approval: what was approved is not there any more."""
    script = caller.folder / "deploy"
    script.write_text("#!/bin/sh\ntrue\n")
    script.chmod(0o755)

    def exchange(approval_id: str) -> None:
        script.write_text(f"#!/bin/sh\ntouch {caller.folder}/ran\n")
        caller.desk.decide(approval_id)

    with caller.answering(_action([str(script)]), exchange):
        done = run_approved([script])
    assert (done.approved, done.verdict.outcome, done.execution.executed) == (False, Outcome.FAILED, Executed.NO)
    assert done.execution.error is not None
    assert (done.execution.error.kind, done.verdict.error) == ("changed", done.execution.error)
    assert not (caller.folder / "ran").exists()
    assert caller.records()[-1]["outcome"] == "refused"


def test_a_used_key_runs_nothing_again(caller: Caller) -> None:
    """The command of the first call ran once."""
    argv = ["sh", "-c", 'echo ran >>"$0"', str(caller.folder / "ran")]
    with caller.answering(_action(argv)):
        first = run_approved(argv, idempotency_key="night 1")
    (caller.folder / "ran").rename(caller.folder / "was")  # an argument's file would be bound
    second = run_approved(argv, idempotency_key="night 1", timeout=5)
    assert (first.approved, second.approved, second.execution.executed) == (True, False, Executed.NO)
    assert second.verdict.error is not None
    assert second.verdict.error.kind == "key_used"
    assert not (caller.folder / "ran").exists()


@pytest.mark.parametrize(
    ("given", "kind", "says"),
    [
        ({"argv": ["no-such-command"]}, "not_found", "command not found: no-such-command"),
        ({"argv": ["/etc/passwd"]}, "not_executable", "not an executable file"),
        ({"argv": "rm -rf x"}, "usage", "argv= must be a list of str, not str"),
        ({"argv": []}, "usage", "argv= is empty"),
        ({"argv": None}, "usage", "argv= must be a list of str, not NoneType"),
        ({"argv": ["echo", 7]}, "usage", "a word of argv= must be a str, not int"),
        ({"argv": ["echo", "a\0b"]}, "usage", "a word of argv= has a NUL"),
        ({"argv": ["echo", "\ud800"]}, "usage", "is not UTF-8"),
        ({"argv": ["true"], "keep_env": "PATH"}, "usage", "keep_env= must be a list of str, not str"),
        ({"argv": ["true"], "strict": "no"}, "usage", "strict= must be True, False or None"),
        ({"argv": ["true"], "timeout": "soon"}, "usage", "timeout="),
    ],
)
def test_a_command_that_cannot_run_is_a_verdict(caller: Caller, given: dict[str, object], kind: str, says: str) -> None:
    """Nobody is asked."""
    done = run_approved(**{"timeout": 1, **given})  # type: ignore[arg-type]  # also what makes no sense
    assert (done.approved, done.verdict.outcome, done.execution.executed) == (False, Outcome.FAILED, Executed.NO)
    assert done.verdict.error is not None
    assert done.verdict.error.kind == kind
    assert says in done.verdict.error.message
    assert caller.records() == []


def test_a_variable_is_kept_on_demand(caller: Caller) -> None:
    """And shown; without that it is dropped. Too large a file is refused where that is demanded."""
    caller.set(PYTHONPATH="/nowhere")
    with (caller.folder / "large").open("wb") as file:
        file.truncate((1 << 30) + 1)
    assert "keeps: PYTHONPATH=/nowhere" in str(run_approved(["true"], keep_env=["PYTHONPATH"], timeout=1).verdict.action)
    assert "drops: PYTHONPATH" in str(run_approved(["true"], timeout=1).verdict.action)
    refused = run_approved(["cat", str(caller.folder / "large")], strict=True, timeout=1)
    assert refused.verdict.error is not None
    assert (refused.verdict.error.kind, refused.verdict.error.hint) == ("usage", "omit strict=")


_RUN = "import json, sys; from molecule_approve import run_approved; done = run_approved(json.loads(sys.argv[1])); "


def _run(caller: Caller, argv: Sequence[str], script: str, **options: object) -> tuple[int, str, str]:
    """Run an approved command from a Python program of its own."""
    with (
        caller.answering(_action(argv)),
        caller.start("-c", script, json.dumps(argv), program=(sys.executable,), **options) as process,
    ):
        out, err = process.communicate("typed\n" if "stdin" in options else None, PATIENCE)
    return process.returncode, out, err


def test_the_streams_are_those_of_the_caller(caller: Caller) -> None:
    """What comes on stdin reaches the command, and what it writes goes where it would without us."""
    argv = ["sh", "-c", 'read -r line; echo "out $line"; echo "err $line" >&2; exit 4']
    script = _RUN + "sys.exit(done.execution.child_exit_code)"
    assert _run(caller, argv, script, stdin=-1) == (4, "out typed\n", "err typed\n")


def test_no_signal_is_touched_for_a_command(caller: Caller) -> None:
    """Handlers and mask stay; in the command, SIGPIPE has its usual effect, which Python ignores."""
    argv = ["sh", "-c", "kill -PIPE $$"]
    numbers = sorted(signal.valid_signals())
    before = [signal.getsignal(number) for number in numbers], signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with caller.answering(_action(argv)):
        done = run_approved(argv)
    assert done.execution.child_signal == signal.SIGPIPE
    assert ([signal.getsignal(number) for number in numbers], signal.pthread_sigmask(signal.SIG_BLOCK, ())) == before


@pytest.mark.measured
def test_an_exit_code_that_is_lost_is_no_success(caller: Caller) -> None:
    """Where SIGCHLD is ignored, the kernel keeps no exit code: the command was started, and no more is claimed."""
    script = "import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN); " + _RUN
    told = "print(done.approved, done.execution.executed, done.execution.child_exit_code, done.verdict.error.message[:41])"
    lost = "the command has run, but its exit code is"
    assert _run(caller, ["true"], script + told) == (0, f"False started None {lost}\n", "")


def test_control_c_while_the_command_runs_is_raised_after_its_end(caller: Caller) -> None:
    """So its end is recorded, and nothing of ours is left running."""
    pipe = caller.folder / "pipe"
    os.mkfifo(pipe)

    def press() -> None:
        with pipe.open("w"):  # waits until the command reads
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    presser = threading.Thread(target=press)
    presser.start()
    argv = ["cat", str(pipe)]
    with caller.answering(_action(argv)), pytest.raises(KeyboardInterrupt):
        run_approved(argv)
    presser.join(PATIENCE)
    assert caller.records()[-1]["outcome"] == "finished"


def test_a_stop_between_the_approval_and_the_start_starts_nothing() -> None:
    """The launcher says so before the start is recorded, and once more before it happens."""
    stop = ThreadStop()
    stop.pull()
    with pytest.raises(DeliveryError, match="the approval came too late"):
        api._PlainLauncher(stop).announce(Execution(Executed.STARTED))


def test_what_became_of_a_command_has_no_truth_value() -> None:
    """`if run_approved(…)` would take a denial for a success."""
    done = api.CommandRun(Verdict(Outcome.DENIED), Execution(Executed.NO))
    with pytest.raises(TypeError, match=r"use \.approved"):
        bool(done)
