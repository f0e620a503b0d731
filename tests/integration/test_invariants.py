"""The checker finds nothing in a good run, and something in a doctored one, for every rule."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.integration.facts import Facts
from tests.integration.invariants import RULES, violations
from tests.integration.program import new_world

if TYPE_CHECKING:
    from tests.integration.program import World

TASK = "7c1d3f62-0000-4000-8000-000000000001"
ID = "adc54aaf-0bc7-4f39-933b-1dc14862f7c9"
SPACE = "119f277d-99bc-43cd-a94b-c536b78e9ff6"


def _chain(*records: dict[str, Any]) -> tuple[bytes, ...]:
    """These records as the lines of a whole log."""
    lines: list[bytes] = []
    previous = "0" * 64
    for number, record in enumerate(records, 1):
        line = json.dumps({**record, "log_id": "one", "seq": number, "prev": previous}).encode()
        previous = hashlib.sha256(line).hexdigest()
        lines.append(line)
    return tuple(lines)


def _said(outcome: str, **extras: object) -> dict[str, Any]:
    return {"event_type": "approval", "action": "approve", "outcome": outcome, "trace_id": TASK, **extras}


_BEGUN = (_said("initiated", task_id=TASK), _said("requested", approval_id=ID))
_ROW = {"id": ID, "workspace_id": SPACE, "task_id": TASK, "action": "deploy", "status": "approved", "decided_by": "alice"}


def _answer(outcome: str, **fields: object) -> bytes:
    found = {"outcome": outcome, "approved": outcome == "approved", "approval_id": ID, "trace_id": TASK, "recorded": True}
    return json.dumps({**found, **fields}).encode() + b"\n"


GOOD = Facts(
    argv=("request", "--json", "--", "deploy"),
    code=0,
    stdout=_answer("approved"),
    stderr=b"asked\n",
    seconds=1.0,
    timeout=2.0,
    action="deploy",
    workspace=SPACE,
    secrets=("hush-hush",),
    lines=_chain(*_BEGUN, _said("granted", approval_id=ID, decided_by="alice")),
    rows=(_ROW,),
    history=((ID, "pending", "approved", "alice"),),
    live_peak={TASK: 1},
    reads=(0.0, 0.1, 0.2, 1.2),
    attempts=(0.0, 1.0, 2.5),
)
DENIED = replace(
    GOOD,
    code=77,
    stdout=_answer("denied"),
    lines=_chain(*_BEGUN, _said("denied", approval_id=ID, decided_by="bob")),
    rows=({**_ROW, "status": "denied", "decided_by": "bob"},),
)
TIMED_OUT = replace(
    GOOD,
    code=124,
    stdout=_answer("timeout"),
    lines=_chain(*_BEGUN, _said("timeout", approval_id=ID)),
    rows=({**_ROW, "status": "denied", "decided_by": "withdrawn"},),
)
TORN_VERIFY = replace(GOOD, argv=("audit", "verify"), code=65, lines=GOOD.lines[1:], stdout=b"")
TAIL = replace(GOOD, argv=("audit", "tail", "--json"), stdout=b"\n".join(GOOD.lines) + b"\n")


DIGEST, OTHER = "a" * 64, "b" * 64
COMMAND = f"true\nprogram: /bin/true sha256:{OTHER}\ndigest: sha256:{DIGEST}"
_GRANT = _said("granted", approval_id=ID, decided_by="alice", resource=COMMAND)


def _executed(outcome: str, digest: str = DIGEST, resource: str = COMMAND) -> dict[str, Any]:
    return {**_said(outcome, approval_id=ID, resource=resource, digest=digest), "action": "execute"}


RAN = replace(
    GOOD,
    argv=("run", "--", "true"),
    stdout=b"",
    action=COMMAND,
    lines=_chain(*_BEGUN, _GRANT, _executed("started"), _executed("finished")),
    rows=({**_ROW, "action": COMMAND},),
)


def _ran(*records: dict[str, Any]) -> Facts:
    return replace(RAN, lines=_chain(*_BEGUN, *records))


def _row(**fields: object) -> Facts:
    return replace(GOOD, rows=({**_ROW, **fields},))


def _lines(*records: dict[str, Any], base: Facts = GOOD) -> Facts:
    return replace(base, lines=_chain(*records))


def _edited(edit: Callable[[list[bytes]], object]) -> Facts:
    lines = list(GOOD.lines)
    edit(lines)
    return replace(GOOD, lines=tuple(lines))


DOCTORED = {
    "genuine: nothing on the platform": ("genuine", replace(GOOD, rows=())),
    "genuine: still open there": ("genuine", _row(status="pending", decided_by=None)),
    "genuine: denied there": ("genuine", _row(status="denied")),
    "genuine: by nobody": ("genuine", _row(decided_by=" ")),
    "genuine: expired": ("genuine", _row(decided_by="auto-expired")),
    "genuine: another action": ("genuine", _row(action="deploy everything")),
    "genuine: another workspace": ("genuine", _row(workspace_id="other")),
    "genuine: another task": ("genuine", _row(task_id="other")),
    "recorded: no grant": ("recorded_once", _lines(*_BEGUN, _said("failure"))),
    "recorded: granted twice": (
        "recorded_once",
        _lines(*_BEGUN, *[_said("granted", approval_id=ID, decided_by="alice")] * 2),
    ),
    "recorded: says that it is not": ("recorded_once", replace(GOOD, stdout=_answer("approved", recorded=False))),
    "default: a crash": ("no_by_default", replace(GOOD, code=1, stdout=b"")),
    "default: a traceback": ("no_by_default", replace(GOOD, stderr=b"Traceback (most recent call last):\n")),
    "default: 0 for something else": ("no_by_default", replace(GOOD, stdout=b"help\n")),
    "default: approved, not 0": ("no_by_default", replace(GOOD, code=125)),
    "lost: a line removed": ("nothing_lost", _edited(lambda lines: lines.pop(1))),
    "lost: a line changed": ("nothing_lost", _edited(lambda lines: lines.__setitem__(0, lines[0].replace(b"in", b"un", 1)))),
    "lost: lines exchanged": ("nothing_lost", _edited(lambda lines: lines.reverse())),
    "lost: a line that is no record": ("nothing_lost", _edited(lambda lines: lines.insert(1, b"{"))),
    "lost: verified although it is not": ("nothing_lost", replace(TORN_VERIFY, code=0)),
    "lost: not verified although it is": ("nothing_lost", replace(GOOD, argv=("audit", "verify"), code=65)),
    "lost: torn": ("nothing_lost", replace(GOOD, torn=True)),
    "ending: two": ("one_ending", _lines(*_BEGUN, _said("granted", decided_by="alice"), _said("timeout"))),
    "ending: none": ("one_ending", replace(TIMED_OUT, lines=_chain(*_BEGUN))),
    "ending: another code": ("one_ending", replace(DENIED, code=124)),
    "ending: another word in the log": ("one_ending", _lines(*_BEGUN, _said("denied"))),
    "ending: denied by nobody": ("one_ending", replace(DENIED, rows=TIMED_OUT.rows)),
    "ending: timed out although decided": ("one_ending", replace(TIMED_OUT, rows=DENIED.rows)),
    "ending: another name": ("one_ending", _lines(*_BEGUN, _said("granted", approval_id=ID, decided_by="eve"))),
    "bounded: too long": ("bounded", replace(GOOD, seconds=15.5)),
    "bounded: reads": ("bounded", replace(GOOD, reads=(0.0, 0.1, 0.2, 0.3, 0.4))),
    "bounded: reconnect storm": ("bounded", replace(GOOD, attempts=(0.0, 0.3))),
    "question: two at once": ("one_question", replace(GOOD, live_peak={TASK: 2})),
    "question: left open": ("one_question", replace(TIMED_OUT, rows=({**_ROW, "status": "pending", "decided_by": None},))),
    "decided: twice": ("decided_once", replace(GOOD, history=GOOD.history * 2)),
    "decided: changed afterwards": ("decided_once", replace(GOOD, history=((ID, "denied", "pending", "x"),))),
    "decided: the log says both": (
        "decided_once",
        _lines(*_BEGUN, _said("granted", approval_id=ID), _said("denied", approval_id=ID)),
    ),
    "secret: argument": ("no_secret", replace(GOOD, argv=(*GOOD.argv, "hush-hush"))),
    "secret: stdout": ("no_secret", replace(GOOD, stdout=GOOD.stdout + b"hush-hush")),
    "secret: stderr": ("no_secret", replace(GOOD, stderr=b"Bearer hush-hush")),
    "secret: result file": ("no_secret", replace(GOOD, result=b"hush-hush")),
    "secret: log": ("no_secret", _lines(*_BEGUN, _said("granted", approval_id=ID, decided_by="alice", url="hush-hush"))),
    "secret: elsewhere": ("no_secret", replace(GOOD, strays=1)),
    "characters: escape": ("no_raw_character", replace(GOOD, stderr=b"\x1b[2K")),
    "characters: bidi": ("no_raw_character", replace(GOOD, stdout="\u202e".encode())),
    "characters: invisible": ("no_raw_character", replace(GOOD, stderr="\u200b".encode())),
    "characters: blank": ("no_raw_character", replace(GOOD, stderr="\u3164".encode())),
    "characters: no UTF-8": ("no_raw_character", replace(GOOD, stderr=b"\xff")),
    "characters: an order": ("no_raw_character", replace(GOOD, stderr=b"asked\n::set-output name=x::y\n")),
    "characters: bell on a terminal": ("no_raw_character", replace(GOOD, terminal=True, stderr=b"\x07")),
    "characters: log": ("no_raw_character", _edited(lambda lines: lines.append(b'{"x": "\x9b"}'))),
    "run: 0 and nothing started": ("run_once", _ran(_GRANT)),
    "run: not granted": ("run_once", _ran(_executed("started"))),
    "run: granted afterwards": ("run_once", _ran(_executed("started"), _GRANT)),
    "run: started twice": ("run_once", _ran(_GRANT, _executed("started"), _executed("finished"), _executed("started"))),
    "run: another digest": ("run_once", _ran(_GRANT, _executed("started", digest=OTHER))),
    "run: another command": ("run_once", _ran(_GRANT, _executed("started", OTHER, COMMAND.replace(DIGEST, OTHER)))),
    "run: another command on the platform": ("run_once", replace(RAN, rows=({**_ROW, "action": "deploy"},))),
    "run: denied on the platform": ("run_once", replace(RAN, rows=({**_ROW, "action": COMMAND, "status": "denied"},))),
    "follower: one left out": ("follower_complete", replace(TAIL, stdout=GOOD.lines[0] + b"\n" + GOOD.lines[2])),
    "follower: one doubled": ("follower_complete", replace(TAIL, stdout=b"\n".join((*GOOD.lines, GOOD.lines[-1])))),
    "follower: one made up": ("follower_complete", replace(TAIL, stdout=b"{}")),
}


@pytest.mark.parametrize(
    "good",
    [GOOD, DENIED, TIMED_OUT, RAN, TAIL, TORN_VERIFY],
    ids=["approved", "denied", "timed out", "ran", "tail", "verify"],
)
def test_nothing_is_wrong_with_a_good_run(good: Facts) -> None:
    """What ended as it should passes every rule."""
    assert violations(good) == []


def test_each_fault_of_a_start_is_told_by_itself() -> None:
    """A second start, one that was not granted before, and one of something else; no more and no less."""
    told = {name: violations(facts) for name, (_, facts) in DOCTORED.items() if name.startswith("run: ")}
    assert (
        told["run: not granted"]
        == told["run: granted afterwards"]
        == [f"run_once: {ID} was started, and not granted before"]
    )
    assert told["run: started twice"] == [f"run_once: {ID} was started twice"]
    assert told["run: another digest"] == [f"run_once: {ID} was started with another digest than the approved action's"]


def test_nothing_is_wrong_with_a_real_run(world: World) -> None:
    """One command that exits with 3, and one that takes the place of the program: each start is seen, and fits."""
    for number, (options, code, script) in enumerate((((), 3, "exit 3"), (("--exec",), 0, "exit 0")), 1):
        program = world.start("run", "--timeout", "10", *options, "--", "sh", "-c", script, timeout=10)
        world.platform.await_rows(number)
        world.platform.decide(world.platform.rows[-1])
        facts = program.wait()
        assert (facts.code, [record["outcome"] for record in facts.own].count("started")) == (code, 1)
        assert violations(facts) == []


@pytest.mark.parametrize("name", DOCTORED)
def test_a_doctored_run_is_found(name: str) -> None:
    """Each doctored run breaks the rule that it was made for."""
    rule, facts = DOCTORED[name]
    assert rule in {found.split(":")[0] for found in violations(facts)}


def test_every_rule_can_fail() -> None:
    """No rule is without a doctored run."""
    assert {rule for rule, _ in DOCTORED.values()} == {rule.__name__ for rule in RULES}


def test_what_reaches_another_address_is_a_stray_if_it_tells_of_its_world() -> None:
    """A program that is sent elsewhere is found; a call that was meant for whoever had that port before is not."""
    world = new_world(None)
    world.env["PLATFORM_URL"] = world.elsewhere.url
    with httpx.Client(trust_env=False) as client:
        client.get(f"{world.elsewhere.url}/workspaces/{SPACE}/approvals", headers={"Authorization": "Bearer other"})
    world.run("status", ID)
    assert [facts.strays for facts in world.end()] == [len(world.elsewhere.seen) - 1]
    assert len(world.elsewhere.seen) > 1
