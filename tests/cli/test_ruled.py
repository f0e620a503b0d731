"""`request` and `run` at a server with rules: how a refusal and a denial by a rule look."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from molecule_approve.client.rest import RestPlatform
from molecule_approve.clock import Deadline
from molecule_approve.errors import RejectedError
from molecule_approve.model import ApprovalRequest, Endpoint, Secret
from molecule_approve.server.run import Running, ServePlan
from molecule_approve.settings.policy_yaml import parse_policy
from tests.server.desk import desk_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from molecule_approve.paths import Places
    from tests.callers import Caller

POLICY = b"""
version: 1
rules:
- {name: no-prod, match: {action: "*prod*"}, outcome: deny, message: use the pipeline}
- {name: no-true, match: {command: ["true", "*"]}, outcome: deny, message: not here}
- {name: why, match: {action: "tidy*"}, reason: required}
- {name: many, match: {action: "many*"}, approvals: 2}
"""


@pytest.fixture
def ruled(caller: Caller, server_places: Places) -> Iterator[Caller]:
    """A caller at a server with these rules, and alice as its approver."""
    policy = parse_policy(POLICY, Path("policy.yaml"))
    with Running(ServePlan(server_places, policy=policy)) as server, desk_of(server) as desk:
        requester = server.requester
        caller.set(PLATFORM_URL=server.url, WORKSPACE_ID=requester.workspace_id, MOLECULE_TOKEN=requester.token)
        yield replace(caller, desk=desk)


def test_a_denial_by_a_rule_is_a_denial(ruled: Caller) -> None:
    """77 at once, with the rule's name and message, in the log too."""
    told = ruled.main("request", "--", "drop prod")
    assert told.code == 77
    assert "denied by policy:no-prod: use the pipeline" in told.err
    record = ruled.records()[-1]
    assert (record["outcome"], record["decided_by"], record["comment"]) == ("denied", "policy:no-prod", "use the pipeline")


def test_a_command_is_known_by_its_words(ruled: Caller) -> None:
    """However it is called; and it does not run."""
    for program in ("true", "/bin/true"):
        told = ruled.main("run", "--", program, "x")
        assert told.code == 77
        assert "denied by policy:no-true: not here" in told.err
    assert {record["action"] for record in ruled.records()} == {"approve"}


@pytest.mark.parametrize(
    ("words", "sentence", "hint"),
    [
        (("request", "--", "tidy up"), "rule why wants a reason", "nothing was requested; say why with --reason TEXT"),
        (("request", "--", "many things"), "and only 1 person could give one", "policy explain"),
        (("run", "--", "true", "hidden secret"), "some of them are not shown in the request", "policy explain"),
    ],
)
def test_what_the_rules_refuse_is_not_requested(ruled: Caller, words: tuple[str, ...], sentence: str, hint: str) -> None:
    """125 with the server's sentence and a hint, and the server has stored nothing."""
    ruled.set(MY_SECRET="hidden secret")
    told = ruled.main(*words)
    assert told.code == 125
    assert sentence in told.err
    assert hint in told.err
    assert ruled.desk.select("SELECT count(*) FROM approvals")[0][0] == 0
    assert [record["outcome"] for record in ruled.records()] == ["initiated", "failure"]


def test_a_rule_that_is_met_leads_to_an_approval(ruled: Caller) -> None:
    """0, as without rules."""
    with ruled.answering("tidy up"):
        assert ruled.main("request", "--reason", "it is full", "--", "tidy up").code == 0


def test_a_refusal_leaves_nothing_to_look_for(ruled: Caller) -> None:
    """The server says that it stored nothing, so the gate does not search for the request in order to withdraw it."""
    server, deadline = ruled.desk.server, Deadline.after(15.0)
    where = Endpoint(server.url, server.requester.workspace_id, Secret(server.requester.token))
    with closing(RestPlatform(where)) as platform:
        for action in ("tidy up", "many things"):
            asked = ApprovalRequest(where.workspace_id, action, "", str(uuid4()), "trace", {})
            with pytest.raises(RejectedError) as raised:
                platform.submit(asked, deadline)
            assert raised.value.maybe_sent is False
