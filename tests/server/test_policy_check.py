"""The policy of a server: read and checked at its start, and again on SIGHUP."""

from __future__ import annotations

import asyncio
import logging
import signal
from dataclasses import replace
from logging.handlers import QueueHandler
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest

from molecule_approve.errors import ConfigError
from molecule_approve.paths import Places, locate
from molecule_approve.server import credentials
from molecule_approve.server.activity import Activity
from molecule_approve.server.log_lines import EVENTS
from molecule_approve.server.metrics import Numbers
from molecule_approve.server.plan import OpenIdPlan, ServePlan
from molecule_approve.server.policies import Policies
from molecule_approve.server.policy_check import follow, policy_at_start
from molecule_approve.server.self_approval import SelfApproval
from molecule_approve.server.threads import DatabaseThreads
from molecule_approve.settings.policy_file import read_policy
from tests.callers import PATIENCE, SAYING, ended, start
from tests.server.serving import environment, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from molecule_approve.server.database.interface import Store

TWO = "version: 1\ngroups: {dba: [alice, bo]}\nrules:\n- {name: two, approvers: ['group:dba'], approvals: 2}\n"


@pytest.fixture
def store(server_places: Places) -> Iterator[Store]:
    """A database with the approvers alice and bo."""
    server_places.state.mkdir()
    server_places.state.chmod(0o700)
    with credentials.opened(server_places) as opened:
        for name in ("alice", "bo"):
            credentials.add_approver(opened, name)
        yield opened


@pytest.fixture
def planned(server_places: Places, tmp_path: Path) -> Callable[[str], ServePlan]:
    """A plan with a policy.yaml that says this."""

    def plan(text: str, provider: OpenIdPlan | None = None) -> ServePlan:
        path = tmp_path / "policy.yaml"
        path.write_text(text)
        groups = () if provider is None else provider.groups
        return ServePlan(server_places, openid=provider, read_policy=lambda: read_policy(path, groups, wanted=False))

    return plan


def test_a_policy_about_people_whom_there_are_is_taken(store: Store, planned: Callable[..., ServePlan]) -> None:
    """Names in any letter case; and one that is only handed over is not checked."""
    policy = policy_at_start(planned(TWO.replace("bo]", "BO]")), store)
    assert policy is not None
    assert [rule.name for rule in policy.rules] == ["two"]
    assert policy_at_start(replace(planned(""), read_policy=None, policy=policy), store) is policy


@pytest.mark.parametrize(
    ("text", "place", "why"),
    [
        ("version: 1\ngroups:\n  dba:\n  - alice\n  - Cy\n", "line 5: groups.dba", "there is no approver Cy"),
        ("version: 1\nrules:\n- name: x\n  approvers: [bo, 'user:di']\n", "line 4: rules.approvers", "no approver di"),
        ("version: 1\ndefaults:\n  approvers: [di]\n", "line 3: defaults.approvers", "there is no approver di"),
        ("version: 1\nrules:\n- {name: x, approvals: 3}\n", "line 3: rules.approvals", "3 approvals, and there are 2"),
        ("version: 1\ndefaults: {approvals: 3}\n", "line 2: defaults.approvals", "3 approvals, and there are 2"),
    ],
)
def test_a_policy_that_nobody_could_meet_stops_the_start(
    store: Store, planned: Callable[..., ServePlan], text: str, place: str, why: str
) -> None:
    """With file, line and key."""
    with pytest.raises(ConfigError, match=why) as raised:
        policy_at_start(planned(text), store)
    assert f"policy.yaml, {place}: " in raised.value.message
    assert "approvers add NAME" in raised.value.hint


def test_people_of_the_provider_count(store: Store, planned: Callable[..., ServePlan]) -> None:
    """Those listed by name are known; how many its groups have is not."""
    listed = OpenIdPlan("https://id.example.org", "x", Path("x"), approvers=("Di@example.org",))
    named = "version: 1\nrules:\n- {name: x, approvers: [di@example.org]}\n- {name: y, match: {action: y}, approvals: "
    assert policy_at_start(planned("version: 1\nrules:\n- {name: x, approvers: [di@example.org]}\n", listed), store)
    assert policy_at_start(planned(named.replace("{name: x,", "{name: x, match: {action: x},") + "3}\n", listed), store)
    with pytest.raises(ConfigError, match="there are 3 approvers"):
        policy_at_start(planned("version: 1\ndefaults: {approvals: 4}\n", listed), store)
    grouped = replace(listed, groups={"ops": ("ops",)})
    text = "version: 1\nrules:\n- {name: x, match: {action: x}, approvers: ['group:ops'], approvals: 5}\n"
    assert policy_at_start(planned(f"{text}- {{name: y, approvals: 7}}\n", grouped), store)


def test_one_approval_can_be_asked_for_before_there_is_an_approver(
    server_places: Places, planned: Callable[..., ServePlan]
) -> None:
    """The first one is added while the server runs."""
    server_places.state.mkdir(mode=0o700)
    with credentials.opened(server_places) as empty:
        assert policy_at_start(planned("version: 1\n"), empty) is not None


Events = asyncio.Queue[logging.LogRecord]


@pytest.fixture
def events() -> Iterator[Events]:
    """What the server logs."""
    queue: Events = asyncio.Queue()
    handler = QueueHandler(queue)
    EVENTS.addHandler(handler)
    before = EVENTS.level
    EVENTS.setLevel(logging.INFO)
    yield queue
    EVENTS.setLevel(before)
    EVENTS.removeHandler(handler)


def test_what_cannot_be_read_again_changes_nothing(
    store: Store, planned: Callable[..., ServePlan], tmp_path: Path, events: Events
) -> None:
    """A file that is invalid, gone or about strangers is warned about, and the next valid one is taken."""
    warned: asyncio.Queue[str] = asyncio.Queue()
    plan = replace(planned(TWO), warn=warned.put_nowait)
    policies, wanted = Policies(SelfApproval(), policy_at_start(plan, store)), asyncio.Event()
    path, before = tmp_path / "policy.yaml", policies.policy

    async def read_again() -> None:
        database = DatabaseThreads(store, lambda _: None)
        task = asyncio.create_task(follow(plan, database, policies, Activity(Numbers()), wanted))
        for text, why in (
            ("version: 2\n", f"{path}, line 1: version: is not 1"),
            (None, f"{path} does not exist"),
            (TWO.replace("bo", "cy"), f"{path}, line 2: groups.dba: there is no approver cy"),
        ):
            path.unlink() if text is None else path.write_text(text)
            wanted.set()
            said = await asyncio.wait_for(warned.get(), PATIENCE)
            assert said == f"the policy was not read again: {why}; the one that was read before stays in force"
            assert policies.policy is before
        path.write_text("version: 1\n")
        wanted.set()
        assert (await asyncio.wait_for(events.get(), PATIENCE)).msg == "policy_read"
        task.cancel()
        database.close()

    asyncio.run(read_again())
    assert policies.policy is not None
    assert policies.policy.rules == ()


def test_a_policy_that_was_handed_over_stays(store: Store, server_places: Places, events: Events) -> None:
    """There is no file to read again."""
    policies, wanted = Policies(SelfApproval()), asyncio.Event()

    async def read_again() -> None:
        database, plan = DatabaseThreads(store, lambda _: None), ServePlan(server_places)
        task = asyncio.create_task(follow(plan, database, policies, Activity(Numbers()), wanted))
        wanted.set()
        assert (await asyncio.wait_for(events.get(), PATIENCE)).msg == "policy_read"
        task.cancel()
        database.close()

    asyncio.run(read_again())
    assert policies.policy is None


def _line_about_it(stream: IO[str]) -> str:
    return next(line for line in stream if "policy" in line)


def test_a_server_reads_its_policy_at_the_start_and_on_sighup(home: Path) -> None:
    """From its state folder; without a terminal SIGHUP never stops it."""
    env = environment(home)
    with start(("approvers", "add", "alice"), env=env, **SAYING) as process:
        assert ended(process).code == 0
    path = locate(env).state / "policy.yaml"
    path.write_text("version: 1\nrules: [{name: all}]\n")
    with serving(home, through=("setsid", "--wait")) as (process, url):
        assert url.startswith("http://")
        assert process.stderr is not None
        assert f"policy_read path={path} rules=1" in _line_about_it(process.stderr)
        path.write_text("version: 1\n")
        process.send_signal(signal.SIGHUP)
        assert f"policy_read path={path} rules=0" in _line_about_it(process.stderr)
        path.write_text("version: 1\nrule: []\n")
        process.send_signal(signal.SIGHUP)
        assert f"not read again: {path}, line 2: rule: unknown key" in _line_about_it(process.stderr)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0


@pytest.mark.parametrize("where", ["option", "server.yaml", "state"])
def test_a_server_with_an_invalid_policy_does_not_start(home: Path, where: str) -> None:
    """125, with file, line and key, wherever it was named; so with one that others can write."""
    env = environment(home)
    state = locate(env).state
    state.mkdir(parents=True, mode=0o700)
    path = state / "policy.yaml" if where == "state" else home / "rules.yaml"
    path.write_text("version: 1\nrules:\n- {name: x, approvers: [nobody]}\n")
    (home / "server.yaml").write_text("policy: rules.yaml\n")
    options = {"option": ["--policy", str(path)], "server.yaml": ["--config", str(home)], "state": []}[where]

    def said() -> str:
        with start(("serve", "--port", "0", *options), env=env, **SAYING) as process:
            told = ended(process)
        assert (told.code, told.out) == (125, "")
        return told.err

    assert f"{path}, line 3: rules.approvers: there is no approver nobody" in said()
    path.chmod(0o666)
    assert f"other users can write {path}" in said()
    if where != "state":
        path.unlink()
        assert f"{path} does not exist" in said()
