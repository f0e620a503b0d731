"""A request, its approvers and everything that may happen to both, in a real database; and what has to come of it.

The model is what a person would say of it: whoever has said yes, and may say it now, counts; one no ends it.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from molecule_approve.clock import utc_now
from molecule_approve.lifecycle import name_key
from molecule_approve.model import WITHDRAWN_BY, Approval, Status
from molecule_approve.server.access import Visitor
from molecule_approve.server.bodies import DecisionBody
from molecule_approve.server.counting import Electorate
from molecule_approve.server.database.values import Draft, Resolution, SessionLimits
from molecule_approve.server.deciding import Counted, Deciding
from molecule_approve.server.outcomes import RequestPath, as_it_is, end
from molecule_approve.server.policies import Policies
from molecule_approve.server.proof_checks import ProofChecks
from molecule_approve.server.refusals import RefusedError, unknown_approval
from molecule_approve.server.self_approval import SelfApproval
from molecule_approve.server.tokens import hash_token
from molecule_approve.settings.policy_yaml import parse_policy

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable

    from molecule_approve.server.counting import Standing
    from molecule_approve.server.database.interface import Store
    from molecule_approve.server.database.transaction import Transaction

    Job = Callable[[Transaction], Approval | Counted | RefusedError]

NAMES = ("alice", "bo", "cy", "di", "el")
RULES = {"two": 2, "anyone": 2, "one": 1, "plain": 1}
"""The rules, and how many approvals each wants; without any rule, one."""

_POLICY = """
version: 1
groups: {{dba: [{members}]}}  # one member is nobody here: a group must not be too small for its rule
rules:
  - {{name: two, match: {{action: two}}, approvers: ["group:dba", el], approvals: 2}}
  - {{name: anyone, match: {{action: anyone}}, approvals: 2}}
  - {{name: one, match: {{action: one}}, approvers: ["group:dba"]}}
"""


class Crash(Exception):  # noqa: N818 - of a server, not of ours
    """A server is killed before its commit."""


@dataclass
class Model:
    """One request as it has to be. Persons are known by ``name_key``, credentials by a number.

    Attributes:
        active: the credential of each approver who is not revoked.
        yes: with which credential somebody has approved.

    """

    rule: str
    requester: str
    active: dict[str, int] = field(default_factory=dict)
    members: set[str] = field(default_factory=set)
    elsewhere: set[str] = field(default_factory=set)
    named: set[str] = field(default_factory=set)
    yes: dict[str, int] = field(default_factory=dict)
    status: str = "pending"

    def may(self, person: str) -> bool:
        """Whether the person may approve the request now."""
        if person not in self.active or person in self.elsewhere:
            return False
        if person == self.requester and len(self.active) > 1:
            return False
        if self.rule in {"two", "one"}:
            return person in self.named and (person in self.members or person == "el")
        return True

    @property
    def counting(self) -> set[str]:
        """Who counts now."""
        return {
            person for person, credential in self.yes.items() if self.active.get(person) == credential and self.may(person)
        }

    def decide(self, person: str, *, approves: bool) -> None:
        """Somebody decides."""
        if self.status != "pending" or not self.may(person):
            return
        if not approves:
            self.status = "denied"
            return
        self.yes[person] = self.active[person]
        if len(self.counting) >= RULES[self.rule]:
            self.status = "approved"

    def retract(self, person: str) -> None:
        """Somebody takes a yes back."""
        if self.status == "pending" and person in self.active and person not in self.elsewhere:
            self.yes.pop(person, None)


class Poll:
    """The same request in a database, and the words for what may happen to it. ``store`` is open."""

    def __init__(self, store: Store, rule: str, requester: str) -> None:
        self._store = store
        self._self_approval = SelfApproval()
        self.policies = Policies(self._self_approval)
        self.deciding = Deciding(self._self_approval, self.policies.is_member, ProofChecks("server", ()).check)
        self.workspace, self._other = str(uuid.uuid4()), str(uuid.uuid4())
        self._tokens: dict[str, str] = {}
        self._ids: dict[str, str] = {}
        with store.write() as transaction:
            for one in transaction.decisions.people_now().values():  # of an earlier walk
                assert transaction.credentials.revoke_approver(one.name, utc_now())
            for workspace in (self.workspace, self._other):
                transaction.credentials.put_workspace(workspace, workspace[:8], utc_now())
        for name in reversed(NAMES):
            self.add(name)
        self.replace_policy(NAMES[:3], is_there=rule != "plain")
        self.ask(rule, requester)

    def ask(self, rule: str, requester: str) -> None:
        """Ask what comes under this rule; from now on it is about that request."""
        self.path = RequestPath(self.workspace, str(uuid.uuid4()))
        draft = Draft(
            id=self.path.approval_id,
            workspace_id=self.workspace,
            task_id="",
            keyed=False,
            action=rule,
            reason="",
            context=None,
            created_at=utc_now(),
            expires=2e10,
            requested_by=requester,
        )
        with self._store.write() as transaction:
            ruled, denial = self.policies.apply(transaction, draft)
            assert denial is None
            assert transaction.requests.insert(ruled, 10) is not None

    # --- people and the policy

    def add(self, name: str) -> None:
        """Add an approver."""
        token = str(uuid.uuid4())
        with self._store.write() as transaction:
            self._ids[name_key(name)] = transaction.credentials.add_approver(name, hash_token(token), utc_now())
        self._tokens[name_key(name)] = token

    def revoke(self, person: str) -> None:
        """Revoke an approver, whose name has some spelling."""
        with self._store.write() as transaction:
            found = transaction.decisions.people_now()[person]
            assert transaction.credentials.revoke_approver(found.name, utc_now())

    def limit(self, person: str, *, elsewhere: bool) -> None:
        """Let an approver decide in another workspace only, or everywhere."""
        with self._store.write() as transaction:
            transaction.administration.limit_approver(self._ids[person], [self._other] if elsewhere else None)

    def provide(self, person: str, *groups: str) -> None:
        """Let the provider say that an approver is in these groups, and in no others."""
        with self._store.write() as transaction:
            transaction.decisions.set_groups(self._ids[person], groups)

    def replace_policy(self, members: Iterable[str], *, is_there: bool = True) -> None:
        """Put another policy in force, whose group has these members."""
        text = _POLICY.format(members=", ".join(["nobody", *members]))
        self.policies.policy = parse_policy(text.encode(), Path("policy.yaml")) if is_there else None

    # --- what people do

    def decide(self, person: str, *, approves: bool, mode: str = "") -> str:
        """Decide as somebody: the status, ``counted``, or the refusal's code."""
        body = DecisionBody(Status.APPROVED if approves else Status.DENIED, None, None)
        visitor, now = self._visitor(person), utc_now()

        def job(transaction: Transaction) -> Approval | Counted | RefusedError:
            approver = visitor.approver(transaction, self.workspace)
            return self.deciding.decide(transaction, approver, self.path, body, now)

        return self._run(job, mode)

    def retract(self, person: str, mode: str = "") -> str:
        """Retract somebody's approval."""
        visitor, now = self._visitor(person), utc_now()

        def job(transaction: Transaction) -> Counted | RefusedError:
            return self.deciding.retract(transaction, visitor.approver(transaction, self.workspace), self.path, now)

        return self._run(job, mode)

    def withdraw(self, mode: str = "") -> str:
        """Withdraw the request."""
        resolution = Resolution(Status.DENIED, WITHDRAWN_BY, utc_now())
        return self._run(lambda transaction: end(transaction, self.path, resolution, unknown_approval()), mode)

    def expire(self) -> None:
        """Let its time be over; nobody has noticed yet."""
        with self._store.write() as transaction:
            mark = "?" if transaction.connection.dialect.name == "sqlite" else "%s"
            statement = f"UPDATE approvals SET expires = 1.0 WHERE id = {mark}"
            transaction.connection.exec_driver_sql(statement, (self.path.approval_id,))

    def redeem(self) -> bool:
        """Redeem the approval; whether there was one."""
        with self._store.write() as transaction:
            found = transaction.requests.redeem(self.workspace, self.path.approval_id, str(uuid.uuid4()), utc_now())
        assert found is not None
        return found.redeemed_by is not None

    def _visitor(self, person: str) -> Visitor:
        return Visitor(hash_token(self._tokens[person]), None, SessionLimits(1.0, 1.0))

    # --- transactions that break

    def _run(self, job: Job, mode: str) -> str:
        """Run a job. ``crash`` kills it before its commit; ``lost`` and ``unsent`` run it again for want of an answer."""
        if mode in {"crash", "unsent"}:
            try:
                with self._store.write() as transaction:
                    _answer(job, transaction)
                    raise Crash
            except Crash:
                pass
        first = "" if mode in {"crash", "unsent"} else self._committed(job, again=False)
        if mode in {"lost", "unsent"}:
            second = self._committed(job, again=True)
            assert first in {"", second}, (first, second)
            return second
        return first

    def _committed(self, job: Job, *, again: bool) -> str:
        with self._store.write() as transaction:
            transaction.again = again
            return _answer(job, transaction)

    # --- how it is

    def row(self) -> Approval:
        """The request."""
        with self._store.write() as transaction:
            stored = transaction.requests.one(self.workspace, self.path.approval_id)
            assert stored is not None
            return as_it_is(transaction, stored.approval)

    def standing(self) -> Standing:
        """How far it is."""
        with self._store.read() as transaction:
            stored = transaction.requests.one(self.workspace, self.path.approval_id)
            assert stored is not None
            electorate = Electorate.now(transaction, self.policies.is_member, self._self_approval)
            return electorate.standing(stored.approval, transaction.decisions.of_request(self.path.approval_id))


def _answer(job: Job, transaction: Transaction) -> str:
    try:
        answered = job(transaction)
    except RefusedError as exc:
        answered = exc
    if isinstance(answered, RefusedError):
        return str(answered.body.get("code"))
    return "counted" if isinstance(answered, Counted) else answered.status.value


class Walk:
    """A random walk over everything that may happen, in the database and in the model at once."""

    def __init__(self, store: Store, random: random.Random) -> None:
        self._random = random
        rule, requester = random.choice(list(RULES)), random.choice(["bot", "Alice", "BO"])
        self.poll = Poll(store, rule, requester)
        self.model = Model(rule, name_key(requester))
        self.model.active = {name: number for number, name in enumerate(NAMES)}
        self.model.members = set(NAMES[:3])
        # Whom the rule names is settled when it is asked: nobody who joins later, and not the requester.
        named = {*NAMES[:3], "el"} if rule == "two" else set(NAMES[:3])
        self.model.named = named - {self.model.requester}
        self.refused = self.redeemed = False
        self.steps: list[str] = []

    def step(self) -> None:
        """One thing happens; the database and the model still agree."""
        weights = {self._decide: 10, self._retract: 3, self._revoke: 1, self._add: 2, self._regroup: 2, self._limit: 1}
        (happens,) = self._random.choices([*weights, self._end], [*weights.values(), 0.2])
        happens()
        self.check()

    def _person(self) -> str:
        return self._random.choice(NAMES)

    def _mode(self) -> str:
        return self._random.choice(["", "", "", "crash", "lost", "unsent"])

    def _note(self, *words: object) -> None:
        self.steps.append(" ".join(map(str, words)))

    def _decide(self) -> None:
        person, approves, mode = self._person(), self._random.random() < 0.93, self._mode()
        self._note(person, "approves" if approves else "denies", mode)
        self.poll.decide(person, approves=approves, mode=mode)
        if mode != "crash":
            self.refused = self.refused or (not approves and self.model.status == "pending" and self.model.may(person))
            self.model.decide(person, approves=approves)

    def _retract(self) -> None:
        person, mode = self._person(), self._mode()
        self._note(person, "retracts", mode)
        self.poll.retract(person, mode)
        if mode != "crash":
            self.model.retract(person)

    def _revoke(self) -> None:
        person = self._person()
        if person in self.model.active and len(self.model.active) > 1:
            self._note(person, "is revoked")
            self.poll.revoke(person)
            del self.model.active[person]

    def _add(self) -> None:
        gone = [name for name in NAMES if name not in self.model.active]
        if gone:
            person = self._random.choice(gone)
            name = self._random.choice([person, person.upper(), person.title()])
            self._note(name, "is added")
            self.poll.add(name)
            self.model.active[person] = len(self.steps) + 100
            self.model.elsewhere.discard(person)

    def _regroup(self) -> None:
        members = [name for name in NAMES if self._random.random() < 0.7]
        is_there = self.model.rule != "plain" and self._random.random() < 0.9
        self._note("the group is", *members, "" if is_there else "and there is no policy")
        self.poll.replace_policy(members, is_there=is_there)
        self.model.members = set(members) if is_there else set()

    def _limit(self) -> None:
        person, elsewhere = self._person(), self._random.random() < 0.5
        if person in self.model.active:
            self._note(person, "decides", "elsewhere" if elsewhere else "everywhere")
            self.poll.limit(person, elsewhere=elsewhere)
            (self.model.elsewhere.add if elsewhere else self.model.elsewhere.discard)(person)

    def _end(self) -> None:
        mode = self._random.choice(["expire", "", "crash", "lost"])
        self._note("it ends", mode)
        if mode == "expire":
            self.poll.expire()
        else:
            self.poll.withdraw(mode)
        if mode != "crash" and self.model.status == "pending":
            self.model.status = "denied"

    def check(self) -> None:
        """Compare, and look at what must never be, whatever the model says."""
        row, now = self.poll.row(), self.poll.standing()
        assert row.status.value == self.model.status, self.steps
        if row.status is Status.PENDING and self.model.rule != "plain":
            assert {name_key(name) for name in now.counting} == self.model.counting, self.steps
        if row.status is Status.APPROVED:
            assert not self.refused, self.steps
            assert len({name_key(name) for name in now.counting}) >= RULES[self.model.rule] or row.requirement is None
        self.redeemed = self.poll.redeem()
        assert self.redeemed == (row.status is Status.APPROVED), self.steps
