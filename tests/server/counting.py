"""A desk at a server whose policy wants several approvals: the people of the tests of counting, and what they ask."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from molecule_approve.server.run import Running, ServePlan
from molecule_approve.settings.policy_yaml import parse_policy
from tests.server.desk import Desk, desk_of

if TYPE_CHECKING:
    from molecule_approve.paths import Places

TWO_OF_DBA = b"""
version: 1
groups: {dba: [alice, bo, cy]}
rules:
  - {name: two, match: {action: "drop*"}, approvers: ["group:dba"], approvals: 2}
  - {name: said, match: {action: "tidy*"}, comment: required}
  - {name: signed, match: {action: "sign*"}, presence: signature}
  - {name: no-prod, match: {action: "*prod*"}, outcome: deny, message: use the pipeline}
"""


@dataclass(frozen=True)
class RuledDesk(Desk):
    """A desk whose approvers are alice, bo, cy and di; of the group ``dba`` are all but di.

    Attributes:
        tokens: of bo, cy and di; alice's is the desk's own.
    """

    tokens: dict[str, str]

    def token_of(self, name: str) -> str:
        """The approver's token."""
        return self.tokens.get(name) or self.decider.headers["Authorization"].removeprefix("Bearer ")

    def decide_as(self, name: str, approval_id: str, decision: str = "approved") -> str:
        """Decide as somebody; the status that the answer says."""
        with self.client(self.token_of(name)) as client:
            answer = client.post(f"{self.path}/{approval_id}/decide", json={"decision": decision})
            assert answer.status_code == 200, answer.text
            return str(answer.json()["status"])


@contextmanager
def ruled_desk(places: Places, database: object = None) -> Iterator[RuledDesk]:
    """A desk at a new server with this policy."""
    plan = ServePlan(places, database=database, policy=parse_policy(TWO_OF_DBA, Path("policy.yaml")))  # type: ignore[arg-type]  # what new_database gives
    with Running(plan) as server, desk_of(server) as desk:
        tokens = {name: server.add_approver(name) for name in ("bo", "cy", "di")}
        yield RuledDesk(server, desk.asker, desk.decider, tokens)
