"""`request`: every outcome, every option, and every input that makes no sense, against the real embedded server."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from molecule_approve.audit import locking
from molecule_approve.clock import boottime
from tests.callers import Caller, ended, until
from tests.forks import PROGRAM
from tests.integration import behaviours as does

if TYPE_CHECKING:
    from tests.integration.fake_platform import Exchange, FakePlatform
    from tests.integration.raw_http import Reply

# --- outcomes ------------------------------------------------------------------------------------------------------------


def test_an_approval_is_0_and_one_object(caller: Caller) -> None:
    """The object says who approved what, that the name is proved, and that the log holds it."""
    with caller.answering("drop it"):
        told = caller.main("request", "--json", "--", "drop it")
    found = told.object
    assert (told.code, found["outcome"], found["approved"], found["error"]) == (0, "approved", True, None)
    assert (found["action"], found["decided_by"], found["decided_by_verified"]) == ("drop it", "alice", True)
    assert (found["recorded"], found["evidence"]) == (True, "rest")
    assert [record["outcome"] for record in caller.records()] == ["initiated", "requested", "granted"]


@pytest.mark.parametrize("transport", ["auto", "websocket", "poll"])
def test_an_approval_in_words_is_one_line(caller: Caller, transport: str) -> None:
    """Whichever way the answer comes, stdout has the one line."""
    with caller.answering(transport):
        told = caller.main(
            "request", "--transport", transport, "--poll-interval", "1", "--reason", "spring", "--", transport
        )
    assert (told.code, told.out) == (0, "approved by alice\n")
    assert "to decide: molecule-approve approve " in told.err
    assert "reason    spring\n" in told.err


def test_a_denial_is_77_with_its_comment(caller: Caller) -> None:
    """What the approver wrote is told."""
    with caller.answering("drop it", lambda found: caller.desk.decide(found, "denied", comment="not on a Friday")):
        told = caller.main("request", "--", "drop it")
    assert (told.code, told.out) == (77, "denied by alice: not on a Friday\n")


def test_a_denial_in_json(caller: Caller) -> None:
    """77, with the comment as a value."""
    with caller.answering("drop it", "denied"):
        told = caller.main("request", "--json", "--", "drop it")
    assert (told.code, told.object["outcome"], told.object["comment"]) == (77, "denied", None)


def test_nobody_decides(caller: Caller) -> None:
    """124; the request is taken back, and stderr says so."""
    told = caller.main("request", "--timeout", "1", "--expires-in", "60", "--", "drop it")
    assert told.code == 124
    assert re.fullmatch(r"timed out: nobody decided within [1-4] s\n", told.out)
    assert "withdrawing the request: nobody decided in time" in told.err
    assert caller.desk.one(caller.requested())["decided_by"] == "withdrawn"


def test_the_question_expires(caller: Caller) -> None:
    """124 as well, and no person is named."""
    told = caller.main("request", "--json", "--expires-in", "1", "--", "drop it")
    assert (told.code, told.object["outcome"], told.object["decided_by"]) == (124, "expired", None)


def test_somebody_else_takes_it_back(caller: Caller) -> None:
    """124: nobody said no."""
    with caller.answering("drop it", caller.desk.withdraw):
        told = caller.main("request", "--json", "--", "drop it")
    assert (told.code, told.object["outcome"]) == (124, "withdrawn")


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_the_roles_do_not_let_it_ask(caller: Caller, options: tuple[str, ...]) -> None:
    """77, said once on stderr; nothing is asked."""
    caller.configure("rbac:\n  roles: [read-only]\n")
    told = caller.main("request", *options, "--", "never asked")
    assert told.code == 77
    assert told.err.count("not permitted: ") == 1
    assert [record["action"] for record in caller.records()] == ["rbac.deny"]
    if options:
        assert (told.object["outcome"], told.object["error"]["kind"]) == ("not_permitted", "not_permitted")


def test_no_verdict_can_be_had(caller: Caller, platform: FakePlatform) -> None:
    """125 with an error and a hint, within the time given."""
    platform.stop()
    told = caller.main("request", "--json", "--timeout", "1", "--", "drop it")
    assert (told.code, told.object["outcome"], told.object["error"]["kind"]) == (125, "failed", "unavailable")
    assert told.object["error"]["hint"]
    assert "molecule-approve: failed: " in told.err


def test_a_fault_of_the_program_is_one_object_too(caller: Caller) -> None:
    """A broken installation: 125, one object, one sentence, no traceback."""
    (caller.folder / "httpx.py").write_text("raise RuntimeError('broken')")
    caller.set(PYTHONPATH=str(caller.folder))
    told = caller.run("request", "--json", "--", "drop it")
    assert (told.code, told.object["error"]["kind"]) == (125, "failed")
    assert "internal error: RuntimeError: broken" in told.err
    assert "Traceback" not in told.err


@pytest.mark.measured
def test_a_signal_before_there_is_a_gate_is_one_object_too(caller: Caller) -> None:
    """While an import hangs: 130 at once, and nothing was asked."""
    pipe = caller.folder / "pipe"
    os.mkfifo(pipe)
    (caller.folder / "httpx.py").write_text(f"open({str(pipe)!r}).read()")
    caller.set(PYTHONPATH=str(caller.folder))
    with caller.start("request", "--json", "--", "drop it") as process, pipe.open("w"):
        process.send_signal(signal.SIGINT)
        told = ended(process)
    assert (told.code, told.object["outcome"], told.object["error"]["message"]) == (
        130,
        "interrupted",
        "stopped by Ctrl-C (SIGINT)",
    )
    assert caller.records() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_takes_the_question_back(caller: Caller, number: signal.Signals) -> None:
    """128 and the signal; the server shows it withdrawn; stderr says it once."""
    with caller.start("request", "--", "drop it") as process:
        approval_id = caller.requested()
        process.send_signal(number)
        told = ended(process)
    assert (told.code, told.out) == (128 + number, "")
    assert caller.desk.one(approval_id)["decided_by"] == "withdrawn"
    assert told.err.count("; nothing was approved\n") == 1


# --- options -------------------------------------------------------------------------------------------------------------


def test_quiet_leaves_only_errors_on_stderr(caller: Caller) -> None:
    """Nothing at all on a yes; the reason on a failure."""
    with caller.answering("drop it"):
        told = caller.main("request", "--quiet", "--", "drop it")
    assert (told.code, told.out, told.err) == (0, "approved by alice\n", "")
    told = caller.main("request", "-q", "--timeout", "1", "--", "drop it")
    assert (told.code, told.err) == (124, "")
    told = caller.main("request", "-q", "--", "")
    assert told.err.startswith("molecule-approve: failed: the action is empty\n")


@pytest.mark.parametrize(("decision", "code"), [("approved", 0), ("denied", 77)])
def test_the_result_file_holds_the_object_and_the_code(caller: Caller, decision: str, code: int) -> None:
    """One line of JSON, 0600, and nothing else is left in its folder."""
    path = caller.folder / "results" / "one.json"
    path.parent.mkdir()
    with caller.answering(decision, decision):
        told = caller.main("request", "--json", "--result-file", str(path), "--", decision)
    found = json.loads(path.read_text())
    assert found == {**told.object, "exit_code": code}
    assert told.code == code
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_a_result_file_of_an_earlier_run_goes_before_anything_is_asked(caller: Caller) -> None:
    """Nobody reads yesterday's yes while we wait."""
    path = caller.folder / "one.json"
    path.write_text('{"outcome": "approved", "approved": true, "approval_id": "a", "exit_code": 0}\n')
    seen: list[bool] = []

    def answer(approval_id: str) -> None:
        seen.append(path.exists())
        caller.desk.decide(approval_id, "denied")

    with caller.answering("drop it", answer):
        assert caller.main("request", "--result-file", str(path), "--", "drop it").code == 77
    assert seen == [False]
    assert json.loads(path.read_text())["approved"] is False


@pytest.mark.parametrize("obstacle", ["no folder", "a folder in its place"])
def test_an_approval_whose_file_cannot_be_written_is_125(caller: Caller, obstacle: str) -> None:
    """And stdout has one object, which says no as well."""
    path = caller.folder / "results" / "one.json"
    path.parent.mkdir()

    def answer(approval_id: str) -> None:
        shutil.rmtree(path.parent) if obstacle == "no folder" else path.mkdir()
        caller.desk.decide(approval_id)

    with caller.answering("drop it", answer):
        told = caller.main("request", "--json", "--result-file", str(path), "--", "drop it")
    assert (told.code, told.object["outcome"], told.object["error"]["kind"]) == (125, "failed", "delivery")
    assert [record["action"] for record in caller.records()][-2:] == ["approve", "deliver"]


def test_a_denial_whose_file_cannot_be_written_keeps_its_code(caller: Caller) -> None:
    """77, and stderr says what happened to the file."""
    path = caller.folder / "results" / "one.json"
    path.parent.mkdir()

    def answer(approval_id: str) -> None:
        path.parent.rmdir()
        caller.desk.decide(approval_id, "denied")

    with caller.answering("drop it", answer):
        told = caller.main("request", "--result-file", str(path), "--", "drop it")
    assert (told.code, told.out) == (77, "denied by alice\n")
    assert "cannot write " in told.err


@pytest.mark.measured
def test_with_a_result_file_stdout_may_fail(caller: Caller) -> None:
    """A pipe cannot swallow the verdict: 0, and the file says so."""
    path = caller.folder / "one.json"
    with Path("/dev/full").open("w") as full, caller.answering("drop it"):
        told = caller.run("request", "--json", "--result-file", str(path), "--", "drop it", stdout=full)
    assert told.code == 0
    assert json.loads(path.read_text())["exit_code"] == 0


def test_the_id_file_is_there_while_it_waits(caller: Caller) -> None:
    """Another process can withdraw by it."""
    path = caller.folder / "id"
    with caller.start("request", "--id-file", str(path), "--", "drop it") as process:
        until(lambda: path.exists() and path.read_text())
        assert caller.main("withdraw", "--id-file", str(path)).code == 0
        assert ended(process).code == 124


def test_an_id_file_that_cannot_be_written_ends_it(caller: Caller, platform: FakePlatform) -> None:
    """125, and the question is taken back: nobody would find it."""
    path = caller.folder / "ids" / "id"
    path.parent.mkdir()

    def vanish(exchange: Exchange) -> Reply | None:
        path.parent.rmdir()
        return exchange.default()

    platform.on("submit", vanish)
    told = caller.main("request", "--json", "--id-file", str(path), "--", "drop it")
    assert (told.code, told.object["error"]["kind"]) == (125, "delivery")
    assert platform.rows[0].decided_by == "withdrawn"


def _obstacle(folder: Path, name: str) -> str:
    path = folder / "there"
    match name:
        case "a folder":
            path.mkdir()
        case "a pipe":
            os.mkfifo(path)
        case "a link":
            path.symlink_to(folder / "elsewhere")
        case "a device":
            return "/dev/null"
        case "no folder":
            return str(path / "one")
        case "a folder that takes nothing":
            return "/proc/one"
        case _:
            return ""
    return str(path)


@pytest.mark.parametrize("option", ["--result-file", "--id-file"])
@pytest.mark.parametrize(
    "name", ["a folder", "a pipe", "a link", "a device", "no folder", "a folder that takes nothing", "no name"]
)
def test_a_file_that_cannot_be_put_there_is_2(caller: Caller, option: str, name: str) -> None:
    """Found out before anything is asked, and told as an object too."""
    told = caller.main("request", "--json", option, _obstacle(caller.folder, name), "--", "never asked")
    assert (told.code, told.object["error"]["kind"]) == (2, "usage")
    assert option in told.err
    assert "hint: " in told.err
    assert caller.records() == []


def test_no_wait_prints_the_bare_id(caller: Caller) -> None:
    """8; the question stands for an hour."""
    told = caller.main("request", "--no-wait", "--", "drop it")
    row = caller.desk.one(told.out.strip())
    assert (told.code, row["status"], row["action"]) == (8, "pending", "drop it")
    told = caller.main("request", "--no-wait", "--json", "--", "drop it")
    assert (told.code, told.object["outcome"], told.object["approved"]) == (8, "pending", False)


def test_a_key_takes_a_pending_request_up(caller: Caller) -> None:
    """The same id twice; other text, and a request that has ended, are 125."""
    options = ("request", "--no-wait", "--idempotency-key", "job 7", "--")
    first, second = caller.main(*options, "drop it"), caller.main(*options, "drop it")
    assert (first.code, second.code, first.out) == (8, 8, second.out)
    assert caller.main(*options, "drop more").code == 125
    caller.desk.decide(first.out.strip())
    told = caller.main(*options, "drop it")
    assert told.code == 125
    assert f"wait {first.out.strip()}" in told.err


def test_the_context_reaches_the_approver(caller: Caller) -> None:
    """Who, where, which job, and what the caller adds."""
    caller.set(GITHUB_ACTIONS="true", GITHUB_SERVER_URL="https://git.example", GITHUB_REPOSITORY="a/b", GITHUB_RUN_ID="7")
    told = caller.main("request", "--no-wait", "--context", "ticket=OPS=12", "--context", "empty=", "--", "drop it")
    context = caller.desk.one(told.out.strip())["context"]
    assert (context["user"], context["ticket"], context["empty"]) == ("tester", "OPS=12", "")
    assert context["ci"]["job"] == "https://git.example/a/b/actions/runs/7"
    assert set(context["audit_head"]) == {"log_id", "seq", "hash", "file"}


def test_no_secret_reaches_the_approver_or_a_log_by_the_context(own: Caller) -> None:
    """A token in it, or in its keys, is replaced before it is sent: the platform keeps what it gets, and so does its log."""
    token = os.environ["MOLECULE_TOKEN"]
    given = ("--context", f"header=Bearer {token}", "--context", f"{token}=x")
    found = own.main("request", "--no-wait", *given, "--", "drop it").out.strip()
    own.desk.decide(found)
    told = {"header": "Bearer [secret removed]", "[secret removed]": "x"}
    seen, kept = own.desk.one(found)["context"], own.desk.journal()[-1]["context"]
    assert kept == seen
    for context in (seen, own.records()[0]["context"]):
        assert {name: value for name, value in context.items() if name in told} == told
    assert token not in json.dumps([seen, own.desk.journal(), own.records()])


def test_a_verified_approver_can_be_demanded(caller: Caller) -> None:
    """The embedded server can prove the name."""
    with caller.answering("drop it"):
        assert caller.main("request", "--require-verified-approver", "--", "drop it").code == 0


def test_a_platform_that_cannot_verify_is_refused_before_asking(caller: Caller, platform: FakePlatform) -> None:
    """125, and the platform never saw the question."""
    told = caller.main("request", "--json", "--require-verified-approver", "--", "drop it")
    assert told.code == 125
    assert "does not verify who approves" in told.object["error"]["message"]
    assert platform.count("submit") == 0


def test_the_platforms_ten_minutes_are_said_first(caller: Caller, platform: FakePlatform) -> None:
    """Where more was given."""
    told = caller.main("request", "--no-wait", "--timeout", "20m", "--", "drop it")
    assert "which expires requests after 10:00, before the timeout of 20:00," in told.err.splitlines()[0]


def test_what_a_platform_said_is_told_as_not_verified(caller: Caller, platform: FakePlatform) -> None:
    """On the platform anybody could have sent the name."""
    platform.on("list", does.each_row(status="approved", decided_by="al\x1bice"))
    told = caller.main("request", "--", "drop it")
    assert (told.code, told.out) == (0, "approved by al\\x1bice (name not verified)\n")


# --- words that would deceive --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "argv",
    [
        ("--help",),
        ("--version",),
        ("-h",),
        ("-q",),
        ("--json",),
        ("--no-wait",),
        ("--install-completion",),
        ("--show-completion",),
        ("--timeout=1",),
        ("-",  "-q", "two", "words"),
        ("x", "--help"),
    ],
)  # fmt: skip
def test_a_word_in_place_of_the_action_never_says_yes(caller: Caller, argv: tuple[str, ...]) -> None:
    """2, whatever help or hint is printed."""
    told = caller.main("request", *argv)
    assert told.code == 2
    assert caller.records() == []


@pytest.mark.parametrize("action", ["--help", "--version", "-", "--", "wait", "$(reboot)"])
def test_behind_two_dashes_every_word_is_text(caller: Caller, action: str) -> None:
    """It is asked as it is."""
    told = caller.main("request", "--no-wait", "--", action)
    assert (told.code, caller.desk.one(told.out.strip())["action"]) == (8, action)


@pytest.mark.parametrize(
    "name", ["_MOLECULE_APPROVE_COMPLETE", "_MOLECULE-APPROVE_COMPLETE", "_TYPER_COMPLETE_ARGS", "COMP_WORDS"]
)
@pytest.mark.parametrize("value", ["request", "complete_bash", "bash_source"])
def test_completion_variables_say_nothing_about_a_request(caller: Caller, name: str, value: str) -> None:
    """A real process with them asks as ever, and leaves with 8."""
    told = caller.run("request", "--no-wait", "--", "drop it", env={**os.environ, name: value, "COMP_CWORD": "1"})
    assert told.code == 8


@pytest.mark.parametrize(
    ("action", "shown"),
    [
        ("a\nb", "a\n          b"),
        ("a\\nb", "a\\\\nb"),
        ("\x1b[2Kb", "\\x1b[2Kb"),
        ("a\u202eb", "a\\u202eb"),
        ("a\x9bb", "a\\x9bb"),
        ("::error::x", "\\x3a:error::x"),
        ("##[error]", "\\x23#[error]"),
    ],
)
def test_hostile_text_is_asked_as_it_is_and_shown_visibly(caller: Caller, action: str, shown: str) -> None:
    """Nothing is lost on the way to the approver, and nothing raw reaches the log of a job."""
    told = caller.main("request", "--no-wait", "--reason", action, "--", action)
    row = caller.desk.one(told.out.strip())
    assert (row["action"], row["reason"]) == (action, action)
    assert f"to approve:\naction    {shown}\nreason    {shown}\n" in told.err
    assert not set(told.err) & set("\x1b\u202e\x9b")


# --- bad input -----------------------------------------------------------------------------------------------------------

_USAGE = {
    "no action": ((), "Missing argument"),
    "an empty action": (("--", ""), "the action is empty"),
    "a blank action": (("--", " \t\n"), "the action is empty"),
    "a long action": (("--", "x" * 5_000), "the action has 5000 characters; the limit is 4096"),
    "a long reason": (("--reason", "x" * 16_385, "--", "x"), "the reason has 16385 characters"),
    "a lone surrogate": (("--", "a\udcff"), "not UTF-8, or a lone surrogate"),
    "a surrogate as the reason": (("--reason", "\udcff", "--", "x"), "the reason contains bytes"),
    "a NUL": (("--", "a\0b"), "the action contains a NUL character"),
    "a large context": (("--context", f"k={'x' * 65_000}", "--", "x"), "the limit is 63 KiB"),
    "a longer context": (("--context", f"k={'x' * 66_000}", "--", "x"), "the context has 66000 characters"),
    "no = in the context": (("--context", "key", "--", "x"), "--context must be KEY=VALUE, not 'key'"),
    "no key in the context": (("--context", "=x", "--", "x"), "context key '' is blank"),
    "a key of ours": (("--context", "user=root", "--", "x"), "context key 'user' is blank, reserved or a duplicate"),
    "a key twice": (("--context", "a=1", "--context", "a=2", "--", "x"), "context key 'a'"),
    "parsecs": (("--timeout", "5 parsecs", "--", "x"), "--timeout: '5 parsecs' is not a duration"),
    "no time": (("--timeout", "0", "--", "x"), "--timeout: '0' is out of range"),
    "parsecs to stand": (("--expires-in", "5 parsecs", "--", "x"), "--expires-in: '5 parsecs' is not a duration"),
    "no time to stand": (("--expires-in", "0", "--", "x"), "expiry 0 s is out of range"),
    "an age to stand": (("--expires-in", "31d", "--", "x"), "expiry 2.6784e+06 s is out of range"),
    "a fast poll": (("--poll-interval", "0.1", "--", "x"), "--poll-interval: '0.1' is out of range"),
    "a pigeon": (("--transport", "pigeon", "--", "x"), "--transport: 'pigeon' is not a transport"),
    "an empty key": (("--idempotency-key", "", "--", "x"), "the idempotency key must be"),
    "a key with a line break": (("--idempotency-key", "a\nb", "--", "x"), "the idempotency key must be"),
    "two actions": (("one", "two"), "the action is one argument, and 2 were given"),
    "an unknown option": (("--yes", "--", "x"), "No such option: --yes"),
    "a bad address": (("--platform-url", "ftp://x", "--", "x"), "--platform-url: the address does not start with"),
    "an address with a password": (("--platform-url", "https://a:hunter2@x", "--", "x"), "the address has a user"),
    "a strange workspace": (("--platform-url", "https://x", "--workspace-id", "../x", "--", "x"), "--workspace-id: "),
}


@pytest.mark.parametrize("option", [("--strict",), ("--keep-env", "HOME")])
def test_options_about_a_command_are_wrong_without_one(caller: Caller, option: tuple[str, ...]) -> None:
    """They would have no effect on a text, and whoever passes them believes that they have."""
    done = caller.main("request", *option, "--", "x")
    assert done.code == 2
    assert "hint: add --for" in done.err


@pytest.mark.parametrize("name", _USAGE)
def test_bad_input_is_2_and_one_sentence_with_a_hint(caller: Caller, name: str) -> None:
    """Nothing is asked, nothing is recorded, no traceback, no secret."""
    argv, sentence = _USAGE[name]
    told = caller.main("request", *argv)
    assert (told.code, told.out) == (2, "")
    assert sentence in told.err.splitlines()[0]
    assert told.err.splitlines()[1].startswith("molecule-approve: hint: ")
    assert "Traceback" not in told.err
    assert "hunter2" not in told.err
    assert caller.records() == []


_VARIABLES = {
    "MOLECULE_TOKEN": "to\nken",
    "PLATFORM_URL": "http://x:99999",
    "APPROVAL_TIMEOUT": "5 parsecs",
    "APPROVAL_POLL_INTERVAL": "0",
    "APPROVAL_USE_WEBSOCKET": "perhaps",
    "APPROVAL_ALLOW_HTTP": "perhaps",
    "WORKSPACE_ID": "a/b",
    "AUDIT_LOG_PATH": "",
}


@pytest.mark.parametrize("name", _VARIABLES)
def test_a_bad_variable_is_2_and_named(caller: Caller, name: str) -> None:
    """The sentence names the variable; with --json it is an object."""
    caller.set(**{"PLATFORM_URL": "https://platform.invalid", name: _VARIABLES[name]})
    told = caller.main("request", "--json", "--", "x")
    assert (told.code, told.object["error"]["kind"]) == (2, "usage")
    assert name in told.object["error"]["message"]
    assert told.object["error"]["hint"]


_CONFIGS = {
    "no YAML": "rbac: [",
    "twice": "rbac: {}\nrbac: {}\n",
    "a wrong type": "rbac: 7\n",
    "an unknown role": "rbac:\n  roles: [emperor]\n",
    "an unknown key": "approve:\n  tiemout: 3\n",
    "a bad duration": "approve:\n  poll_interval: 5 parsecs\n",
}


@pytest.mark.parametrize("name", _CONFIGS)
def test_a_broken_config_is_125_and_named(caller: Caller, name: str) -> None:
    """The sentence names the file."""
    caller.configure(_CONFIGS[name])
    told = caller.main("request", "--json", "--", "x")
    assert (told.code, told.object["error"]["kind"]) == (125, "configuration")
    assert "config.yaml" in told.object["error"]["message"]


@pytest.mark.parametrize("what", ["named and missing", "open to others", "no workspace"])
def test_a_setting_that_is_missing_or_unsafe_stops_it(caller: Caller, what: str) -> None:
    """125 for files, 2 for what nobody named."""
    caller.configure("approve: {}\n")
    if what == "named and missing":
        (caller.folder / "config.yaml").unlink()
    elif what == "open to others":
        (caller.folder / "config.yaml").chmod(0o666)
    else:
        caller.set(PLATFORM_URL="https://platform.invalid")
    told = caller.main("request", "--", "x")
    assert told.code == (2 if what == "no workspace" else 125)
    assert "hint: " in told.err


def test_an_audit_log_that_cannot_be_written_is_125(caller: Caller) -> None:
    """Refused before anything is asked."""
    caller.log.mkdir()
    told = caller.main("request", "--json", "--", "never asked")
    assert (told.code, told.object["error"]["kind"]) == (125, "audit")
    assert told.object["approval_id"] is None


def test_a_folder_that_was_removed_under_us_is_a_usage_error(caller: Caller) -> None:
    """A file named without a folder cannot be put anywhere."""
    gone = caller.folder / "gone"
    gone.mkdir()
    caller.patch.chdir(gone)
    gone.rmdir()
    told = caller.main("request", "--json", "--result-file", "one.json", "--", "x")
    assert (told.code, told.object["error"]["kind"]) == (2, "usage")


# --- nobody left to tell -------------------------------------------------------------------------------------------------


def _without_a_reader(caller: Caller, *options: str, program: tuple[str, ...] = PROGRAM) -> int:
    """Start it with a pipe as stderr whose reader goes away between the approval and its delivery; stdout is a file."""
    reader, writer = os.pipe()
    out = caller.folder / "out"
    with (
        out.open("w") as file,
        caller.start("request", *options, "--", "drop it", program=program, stdout=file, stderr=writer) as process,
    ):
        os.close(writer)
        approval_id = caller.requested()
        # As long as the log is locked, an approval that was redeemed is not delivered.
        with locking.locked(caller.log, patience=5.0, pause=time.sleep, clock=boottime):
            caller.desk.decide(approval_id)
            until(lambda: _is_redeemed(caller, approval_id))
            os.close(reader)
        return ended(process).code


def _is_redeemed(caller: Caller, approval_id: str) -> bool:
    with contextlib.closing(sqlite3.connect(caller.desk.server.places.database)) as database:
        found = database.execute("SELECT used_by FROM approvals WHERE id = ?", (approval_id,)).fetchone()
    return found[0] is not None


def test_an_approval_that_nobody_is_left_to_hear_is_none(caller: Caller) -> None:
    """Found at that moment: 125, and the log says that it was not delivered."""
    assert _without_a_reader(caller) == 125
    assert caller.records()[-1]["action"] == "deliver"


def test_nohup_means_that_nobody_is_expected(caller: Caller) -> None:
    """SIGHUP ignored at the start: the same approval is 0."""
    assert _without_a_reader(caller, program=("/bin/sh", "-c", 'trap "" HUP; exec "$@"', "sh", *PROGRAM)) == 0


def test_a_result_file_is_somebody_to_tell(caller: Caller) -> None:
    """0, and the file says so."""
    path = caller.folder / "one.json"
    assert _without_a_reader(caller, "--result-file", str(path)) == 0
    assert json.loads(path.read_text())["approved"] is True
