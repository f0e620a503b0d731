"""Every exit code of the contract, except those of ``run``, by a real process, on both paths where there are two."""

from __future__ import annotations

import signal
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from tests.integration import behaviours as does
from tests.integration.program import ACTION, PATHS

if TYPE_CHECKING:
    from tests.integration.facts import Facts
    from tests.integration.ledger import Row
    from tests.integration.program import World

both_paths = pytest.mark.parametrize("path", PATHS)


def _ask(world: World, *options: str) -> Row:
    """A request that stands and that nobody waits for."""
    facts = world.run("request", "--no-wait", "--json", *options, "--", ACTION, action=ACTION)
    assert facts.code == 8
    return world.platform.rows[-1]


def _wait(world: World, path: str, row: Row, *options: str, timeout: float = 10.0) -> Facts:
    pace = ("--transport", path, "--poll-interval", "1", "--timeout", f"{timeout:g}")
    return world.run("wait", *pace, "--json", *options, row.id, timeout=timeout)


# --- 0, 77, 124: verdicts -----------------------------------------------------------------------------------------------


@both_paths
def test_0_when_a_person_approves(world: World, path: str) -> None:
    """``request`` leaves with 0, says who it was, and that nothing proves the name."""
    program = world.request(path, answer="")
    world.await_waiting(path)
    world.platform.decide(world.platform.rows[0])
    facts = program.wait()
    assert facts.code == 0
    assert facts.stdout == b"approved by alice (name not verified)\n"


@both_paths
def test_77_when_a_person_denies(world: World, path: str) -> None:
    """``request`` leaves with 77 and names the person."""
    program = world.request(path, answer="")
    world.await_waiting(path)
    world.platform.decide(world.platform.rows[0], "denied", "bob")
    facts = program.wait()
    assert facts.code == 77
    assert facts.stdout == b"denied by bob (name not verified)\n"


def test_77_when_the_roles_do_not_let_it_ask(world: World) -> None:
    """RBAC: nothing is asked, and the log says who was refused what."""
    config = world.folder / "config.yaml"
    config.write_text("rbac:\n  roles: [read-only]\n")
    config.chmod(0o600)
    world.env["WORKSPACE_CONFIG_PATH"] = str(config)
    facts = world.run("request", "--json", "--", ACTION)
    assert (facts.code, facts.answer["outcome"]) == (77, "not_permitted")
    assert [(r["event_type"], r["action"], r["outcome"]) for r in facts.own] == [("rbac", "rbac.deny", "denied")]
    assert (facts.own[0]["attempted_action"], facts.own[0]["roles"]) == ("approve", ["read-only"])
    assert world.platform.connections == []


@both_paths
def test_124_when_nobody_decides(world: World, path: str) -> None:
    """At the deadline the question is taken back, and nobody can approve it any more."""
    facts = world.request(path, timeout=1).wait()
    assert (facts.code, facts.answer["outcome"]) == (124, "timeout")
    assert world.platform.rows[0].decided_by == "withdrawn"
    first, last = (datetime.fromisoformat(record["timestamp"]) for record in (facts.own[0], facts.own[-1]))
    assert (last - first).total_seconds() < 1 + 5


@both_paths
def test_124_when_somebody_else_withdraws(world: World, path: str) -> None:
    """A request that another process took back was denied by nobody."""
    program = world.request(path)
    world.await_waiting(path)
    assert world.run("withdraw", world.platform.rows[0].id).code == 0
    facts = program.wait()
    assert (facts.code, facts.answer["outcome"], facts.answer["decided_by"]) == (124, "withdrawn", None)


# --- 8 ------------------------------------------------------------------------------------------------------------------


def test_8_and_the_bare_id_without_waiting(world: World) -> None:
    """``--no-wait`` prints the id alone, leaves it in the id file, and leaves with 8."""
    facts = world.run("request", "--no-wait", "--id-file", str(world.folder / "id"), "--", ACTION, action=ACTION)
    row = world.platform.rows[0]
    assert (facts.code, facts.stdout) == (8, f"{row.id}\n".encode())
    assert (world.folder / "id").read_text() == f"{row.id}\n"
    assert facts.ending == []


@both_paths
def test_8_when_the_time_of_a_wait_is_over(world: World, path: str) -> None:
    """``wait`` without ``--withdraw`` leaves the question standing, and writes no ending."""
    row = _ask(world)
    facts = _wait(world, path, row, timeout=1)
    assert (facts.code, facts.answer["outcome"], row.status) == (8, "pending", "pending")
    assert facts.ending == []


@both_paths
def test_124_when_the_time_of_a_withdrawing_wait_is_over(world: World, path: str) -> None:
    """``wait --withdraw`` takes the question back."""
    row = _ask(world)
    facts = _wait(world, path, row, "--withdraw", timeout=1)
    assert (facts.code, row.decided_by) == (124, "withdrawn")


def test_8_for_the_status_of_what_is_pending(world: World) -> None:
    """``status`` reports, also by the beginning of an id."""
    row = _ask(world)
    assert world.run("status", row.id[:8]).code == 8


# --- wait: one yes, one 0 -----------------------------------------------------------------------------------------------


@both_paths
def test_an_approval_is_used_up_by_the_first_wait(world: World, path: str) -> None:
    """The first ``wait`` is 0, the second 125; ``status`` repeats the yes and gates nothing."""
    row = _ask(world)
    world.platform.decide(row)
    first, second = _wait(world, path, row), _wait(world, path, row)
    assert (first.code, second.code, second.answer["error"]["kind"]) == (0, 125, "already_used")
    assert world.run("status", row.id).code == 0


@both_paths
def test_a_wait_reports_a_denial(world: World, path: str) -> None:
    """``wait`` on what bob denied is 77."""
    row = _ask(world)
    world.platform.decide(row, "denied", "bob")
    assert _wait(world, path, row).code == 77


def test_an_approval_of_other_text_is_none(world: World) -> None:
    """``wait --action`` with another text than was asked is refused by our log, and else by the platform's row."""
    row = _ask(world)
    world.platform.decide(row)
    other = ("--action", "drop the production database")
    assert _wait(world, "poll", row, *other, timeout=1).code == 2
    world.log = world.folder / "another.jsonl"
    world.env["AUDIT_LOG_PATH"] = str(world.log)
    assert _wait(world, "poll", row, *other, timeout=1).code == 125
    assert _wait(world, "poll", row, timeout=1).code == 2


# --- 2 ------------------------------------------------------------------------------------------------------------------

_USAGE = {
    "no action": ("request",),
    "empty action": ("request", "--", ""),
    "blank action": ("request", "--", " \t"),
    "help as the action": ("request", "--help"),
    "version as the action": ("request", "--version"),
    "long action": ("request", "--", "x" * 5_000),
    "long reason": ("request", "--reason", "x" * 16_385, "--", "x"),
    "large context": ("request", "--context", f"k={'x' * 70_000}", "--", "x"),
    "surrogate in the action": ("request", "--", "a\udcffb"),
    "two actions": ("request", "one", "two"),
    "unknown option": ("request", "--yes", "--", "x"),
    "bad duration": ("request", "--timeout", "5 parsecs", "--", "x"),
    "too long": ("request", "--timeout", "25h", "--", "x"),
    "no time": ("request", "--timeout", "0", "--", "x"),
    "context without =": ("request", "--context", "key", "--", "x"),
    "unknown transport": ("request", "--transport", "pigeon", "--", "x"),
    "help of wait": ("wait", "--help"),
    "help of status": ("status", "--help"),
    "wait without an id": ("wait",),
    "unknown command": ("please",),
    "no command": (),
}


@pytest.mark.parametrize("name", _USAGE)
def test_2_when_it_makes_no_sense(world: World, name: str) -> None:
    """Nothing is asked, nothing is recorded, nothing is 0."""
    facts = world.run(*_USAGE[name])
    assert facts.code == 2
    assert (world.platform.connections, facts.lines) == ([], ())


@pytest.mark.parametrize(
    "action", ["--help", "--version", "-q", "--no-wait", "approved", "a\nb", "\x1b[2K\u202e", "::error::x"]
)
def test_a_hostile_action_is_asked_as_it_is(world: World, action: str) -> None:
    """After ``--`` any word is only text: it is asked, shown visibly, and says nothing by itself."""
    facts = world.request("poll", action=action, timeout=1).wait()
    assert facts.code == 124
    assert world.platform.rows[0].action == action


@pytest.mark.parametrize("word", ["--help", "--version", "--no-wait", "--install-completion", "--show-completion", "-h"])
def test_a_hostile_word_without_dashes_before_it_is_no_yes(world: World, word: str) -> None:
    """``request "$X"`` never exits 0 because of what X is, nor because of completion variables."""
    world.env |= {"_MOLECULE_APPROVE_COMPLETE": "complete_bash", "COMP_WORDS": "x", "COMP_CWORD": "1"}
    assert world.run("request", word).code == 2


# --- 125 ----------------------------------------------------------------------------------------------------------------


def _away(world: World) -> None:
    world.platform.leave()
    world.cut_off = True


def _wrong_token(world: World) -> None:
    world.env["MOLECULE_TOKEN"] = "no-such-token"


def _forbidden(world: World) -> None:
    world.platform.on("submit", does.status(403))


def _nonsense(world: World) -> None:
    world.platform.on("submit", does.answers(b"<html>", 201))


def _no_log(world: World) -> None:
    world.log.mkdir()


def _bad_config(world: World) -> None:
    world.env["WORKSPACE_CONFIG_PATH"] = str(world.folder / "none.yaml")


def _rejected(world: World) -> None:
    world.platform.on("submit", does.status(400, "invalid request body"))


_FAILURES: dict[str, Callable[[World], None]] = {
    "unavailable": _away,
    "credential": _wrong_token,
    "credential, 403": _forbidden,
    "protocol": _nonsense,
    "rejected": _rejected,
    "audit": _no_log,
    "configuration": _bad_config,
}


@pytest.mark.parametrize("name", _FAILURES)
def test_125_when_no_verdict_could_be_had(world: World, name: str) -> None:
    """Each kind of failure is named, in one sentence and with a hint, and none is a yes; no wait has begun by then."""
    _FAILURES[name](world)
    facts = world.request("websocket", timeout=1 if name == "unavailable" else 20).wait()
    assert (facts.code, facts.answer["error"]["kind"]) == (125, name.partition(",")[0])
    assert facts.answer["error"]["message"]
    assert facts.answer["error"]["hint"]


def test_125_when_a_verified_name_is_wanted_and_cannot_be_had(world: World) -> None:
    """The platform proves no names, so that nothing is asked of it then."""
    facts = world.request("poll", "--require-verified-approver", timeout=2).wait()
    assert facts.code == 125
    assert world.platform.rows == []


def test_125_for_a_key_that_was_used(world: World) -> None:
    """Yesterday's yes is no answer to today's question."""
    row = _ask(world, "--idempotency-key", "deploy-4.2")
    world.platform.decide(row)
    facts = world.request("poll", "--idempotency-key", "deploy-4.2").wait()
    assert (facts.code, facts.answer["error"]["kind"]) == (125, "key_used")
    assert len(world.platform.rows) == 1


def test_a_key_takes_up_what_is_pending(world: World) -> None:
    """The same key and text ask nothing anew, and wait for the same request."""
    row = _ask(world, "--idempotency-key", "deploy-4.2")
    program = world.request("poll", "--idempotency-key", "deploy-4.2")
    world.platform.await_count("list", 3)
    world.platform.decide(row)
    assert program.wait().code == 0
    assert len(world.platform.rows) == 1


# --- 129, 130, 143 ------------------------------------------------------------------------------------------------------


@both_paths
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
def test_128_and_the_signal_when_it_was_stopped(world: World, number: signal.Signals, path: str) -> None:
    """The question is taken back and the object says interrupted."""
    program = world.request(path)
    world.await_waiting(path)
    program.signal(number)
    facts = program.wait()
    assert (facts.code, facts.answer["outcome"]) == (128 + number, "interrupted")
    assert world.platform.rows[0].decided_by == "withdrawn"


@pytest.mark.parametrize("withdraw", [True, False])
def test_a_stopped_wait_takes_back_only_what_it_was_told_to(world: World, withdraw: bool) -> None:
    """``wait`` leaves the question standing unless ``--withdraw`` was given."""
    row = _ask(world)
    options = ("--withdraw",) if withdraw else ()
    world.cut_off = not withdraw
    pace = ("--transport", "poll", "--poll-interval", "1", "--timeout", "10")
    program = world.start("wait", *pace, "--json", *options, row.id)
    world.platform.await_count("list", 3)
    program.signal(signal.SIGTERM)
    assert program.wait().code == 143
    assert row.decided_by == ("withdrawn" if withdraw else None)
