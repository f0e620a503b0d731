"""``doctor``: its lines in a pipe and at a terminal, its JSON, its exit code, and the request that --ask sends."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from molecule_approve.cli.doctor import ACTION
from tests.integration import behaviours

if TYPE_CHECKING:
    from typing import Any

    from tests.callers import Caller, Told
    from tests.integration.fake_platform import FakePlatform

_LINE = re.compile(r"(ok      |warning |failed  |skipped ) [a-z_.-]+: [^\n]+\Z")


def findings(told: Told) -> dict[str, dict[str, Any]]:
    """The JSON document by check; each object has the four texts."""
    assert told.out.isascii()
    assert told.out.count("\n") == 1
    found: list[dict[str, Any]] = json.loads(told.out)
    assert all(set(one) == {"check", "result", "detail", "advice"} for one in found)
    assert {one["result"] for one in found} <= {"ok", "warning", "failed", "skipped"}
    return {one["check"]: one for one in found}


# --- the lines ---------------------------------------------------------------------------------------------------------


def test_a_pipe_gets_one_plain_line_a_check(caller: Caller) -> None:
    """0 on the embedded server with an approver; the last word is on stderr."""
    told = caller.main("doctor")
    assert told.code == 0
    assert [line for line in told.out.splitlines() if not _LINE.match(line)] == []
    # Other tests of this server may have added more of them.
    assert re.search(r"^ok       server\.approvers: may decide: (.+, )?alice(, .+)?$", told.out, re.MULTILINE)
    assert "; to do: run `molecule-approve serve` as another user" in told.out
    assert re.fullmatch(r"molecule-approve: a request would work here; \d+ warnings?\n", told.err)


def test_a_request_that_would_not_work_is_125(caller: Caller) -> None:
    """All other checks are made all the same."""
    caller.set(PLATFORM_URL="http://127.0.0.1:9", WORKSPACE_ID="w")
    told = caller.main("doctor")
    assert told.code == 125
    assert "failed   platform.connection: cannot connect to 127.0.0.1:9: Connection refused; to do: " in told.out
    assert "machine.ci: " in told.out
    assert "molecule-approve: a request would not work here: 2 checks failed; " in told.err


def test_one_failure_and_no_warning_are_counted_as_such(caller: Caller) -> None:
    """Without a home folder nothing more can be looked at."""
    for name in ("XDG_STATE_HOME", "HOME"):
        caller.patch.delenv(name)
    caller.set(HOME="nowhere")
    told = caller.main("doctor")
    assert told.code == 125
    assert told.out.startswith("failed   settings.places: the home folder 'nowhere' is not an absolute path; to do: set ")
    assert told.err == "molecule-approve: a request would not work here: 1 check failed\n"


@pytest.mark.measured
def test_a_terminal_gets_marks_and_the_advice_below(caller: Caller) -> None:
    """In colours."""
    with caller.terminal("doctor") as terminal:
        assert terminal.end() == 0
    assert "\x1b[1;32m✓\x1b[0m \x1b[1mplatform.token\x1b[0m: the token is accepted" in terminal.seen
    assert "\x1b[33m!\x1b[0m \x1b[1mserver.separation\x1b[0m: an approval proves little" in terminal.seen
    assert "\r\n  \x1b[33mto do: run `molecule-approve serve`" in terminal.seen


@pytest.mark.measured
def test_a_terminal_without_our_characters_gets_plain_marks(caller: Caller) -> None:
    """An encoding that has none of them."""
    with caller.terminal("doctor", env={**os.environ, "NO_COLOR": "1", "PYTHONIOENCODING": "ascii"}) as terminal:
        assert terminal.end() == 0
    assert "\n+ platform.token: the token is accepted" in terminal.seen
    assert "\n! server.separation: " in terminal.seen


def test_text_from_elsewhere_is_made_visible(caller: Caller) -> None:
    """In a line, and in JSON."""
    caller.set(AUDIT_LOG_PATH=str(caller.folder / "a\u202eb" / "log"))
    told = caller.main("doctor")
    assert "\u202e" not in told.out
    caller.set(AUDIT_LOG_PATH=str(caller.folder / "audit.jsonl"), MOLECULE_APPROVER_TOKEN="x")
    assert findings(caller.main("doctor", "--json"))["server.approver_token"]["result"] == "warning"


# --- no secret ---------------------------------------------------------------------------------------------------------

CANARY = "c4n4ry-t0k3n"


@pytest.mark.parametrize("argv", [("doctor",), ("doctor", "--json")])
def test_no_secret_is_printed(caller: Caller, argv: tuple[str, ...]) -> None:
    """From variables, headers, proxies and the token's file; neither where they are right nor where they are invalid."""
    caller.patch.delenv("MOLECULE_TOKEN", raising=False)
    caller.configure(f"approve:\n  headers:\n    X-Key: {CANARY}-header\n")
    file = caller.folder / ".auth_token"
    file.write_text(f"{CANARY}-file\n")
    file.chmod(0o644)
    usual = {"CONFIGS_DIR": str(caller.folder), "PLATFORM_URL": "https://platform.invalid", "WORKSPACE_ID": "w"}
    for more in (
        {"https_proxy": f"http://user:{CANARY}@127.0.0.1:9", "MOLECULE_APPROVER_TOKEN": f"{CANARY}-approver"},
        {"https_proxy": f"socks5://user:{CANARY}@127.0.0.1:9"},
        {"https_proxy": f"http://user:{CANARY}@127.0.0.1:9/path"},
        {"https_proxy": "", "MOLECULE_TOKEN": f"{CANARY} with blanks"},
        {"PLATFORM_URL": f"https://user:{CANARY}@platform.invalid"},
        {"PLATFORM_URL": f"https://platform.invalid/?token={CANARY}"},
        {"MOLECULE_TOKEN": f"{CANARY}-variable", "PLATFORM_URL": "http://127.0.0.1:9"},
        {"headers": f"X-Key: *{CANARY}"},
        {"headers": f"{{X-Key:{CANARY}}}"},
        {"headers": f"X-Key:{CANARY}: x"},
    ):
        if "headers" in more:
            caller.configure(f"approve:\n  headers:\n    {more.pop('headers')}\n")
        caller.set(**(usual | more))
        told = caller.main(*argv)
        assert CANARY not in told.out + told.err, more
        assert told.code == 125
        assert "settings." in told.out


# --- --ask -------------------------------------------------------------------------------------------------------------


def test_without_ask_nothing_is_requested(caller: Caller, platform: FakePlatform) -> None:
    """And no record is written."""
    assert caller.main("doctor").code == 0
    assert (platform.rows, caller.records()) == ([], [])


@pytest.mark.parametrize("decision", ["approved", "denied"])
def test_any_decision_proves_the_way(own: Caller, decision: str) -> None:
    """The approver reads that nothing depends on it; both are 0, and recorded."""
    assert "nothing depends on your decision" in ACTION
    with own.answering(ACTION, lambda found: own.desk.decide(found, decision)):
        told = own.main("doctor", "--ask", "--json")
    assert told.code == 0
    assert findings(told)["request"]["detail"] == f"a decision came back: {decision} by alice"
    assert own.records()[-1]["outcome"] == {"approved": "granted", "denied": "denied"}[decision]


def test_without_a_decision_the_way_is_not_proven(own: Caller) -> None:
    """125, and the request is withdrawn."""
    told = own.main("doctor", "--ask", "--timeout", "1")
    assert told.code == 125
    said = r"failed   request: no decision came back: timed out: nobody decided within [1-9] s; to do: tell an "
    assert re.search(said, told.out)
    assert "would not work here: 1 check failed" in told.err
    assert own.records()[-1]["outcome"] == "timeout"


def test_where_a_check_fails_nothing_is_requested(caller: Caller) -> None:
    """It would only fail again, later."""
    caller.set(PLATFORM_URL="http://127.0.0.1:9", WORKSPACE_ID="w")
    told = caller.main("doctor", "--ask")
    assert told.code == 125
    assert "skipped  request: nothing was requested: a check failed\n" in told.out
    assert caller.records() == []


def test_a_request_that_is_refused_fails(caller: Caller, platform: FakePlatform) -> None:
    """With the platform's reason."""
    platform.on("submit", behaviours.status(400, "no more requests today"))
    told = caller.main("doctor", "--ask")
    assert told.code == 125
    assert "no decision came back: gate failed: the platform refused the request (400): no more requests today" in told.out
    assert "; to do: " in told.out.splitlines()[-1]


def test_ctrl_c_withdraws_the_request(own: Caller) -> None:
    """130, as everywhere."""
    process = own.start("doctor", "--ask", "--timeout", "60")
    own.requested()
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "failed   request: no decision came back: " in out
    assert own.records()[-1]["outcome"] == "withdrawn"


def test_a_request_that_cannot_be_made_fails(caller: Caller) -> None:
    """A CI job whose address is too long for the context of a request."""
    caller.set(GITLAB_CI="true", CI_JOB_URL="x" * 70_000)
    told = caller.main("doctor", "--ask", "--json")
    assert told.code == 125
    assert findings(told)["request"]["detail"].startswith("the context has 70")


def test_ctrl_c_before_the_request_ends_it_at_once(caller: Caller) -> None:
    """130, and nothing was requested: the signal comes while the context is gathered."""
    armed = [True]

    def hook(event: str, _: object) -> None:
        if armed and event == "socket.gethostname":
            armed.clear()
            signal.raise_signal(signal.SIGINT)

    sys.addaudithook(hook)  # it cannot be removed
    told = caller.main("doctor", "--ask")
    assert told.code == 130
    assert "failed   request: interrupted: stopped by Ctrl-C (SIGINT)\n" in told.out
    assert caller.records() == []
