"""Reads the policy at the start and again when it is asked to, and checks whom it names against the database."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from molecule_approve.errors import ConfigError
from molecule_approve.lifecycle import name_key

from .refusals import RefusedError

if TYPE_CHECKING:
    from molecule_approve.policy.approval_rules import Policy

    from .activity import Activity
    from .database.interface import Store
    from .database.transaction import Transaction
    from .plan import ServePlan
    from .policies import Policies
    from .threads import DatabaseThreads


def policy_at_start(plan: ServePlan, store: Store) -> Policy | None:
    """The policy with which the server starts.

    Raises:
        ConfigError: its file is invalid; or it names somebody who is not an approver, or asks for more approvals than there
            are people; with file, line and key.
    """
    if plan.read_policy is None:
        return plan.policy
    policy = plan.read_policy()
    if policy is not None:
        with store.read() as transaction:
            _check_people(policy, plan, transaction)
    return policy


def _check_people(policy: Policy, plan: ServePlan, transaction: Transaction) -> None:
    listed, groups = ((), ()) if plan.openid is None else (plan.openid.approvers, tuple(plan.openid.groups))
    known = {*transaction.decisions.people_now(), *map(name_key, listed)}
    for person in policy.named:
        if name_key(person.name) not in known:
            raise ConfigError(
                f"{policy.source(person.line, person.key)}: there is no approver {person.name}",
                hint="add the person with `molecule-approve approvers add NAME`, or correct the name",
            )
    for rule in (*policy.rules, policy.defaults):
        # A rule that names its approvers was checked when the file was parsed. A server may start without any approver, so a
        # rule that asks for one approval is never refused.
        if rule.approvers is None and not rule.deny and rule.approvals > max(1, len(known)) and not groups:
            section = "defaults" if rule is policy.defaults else "rules"
            place = policy.source(policy.line_of(rule, "approvals"), f"{section}.approvals")
            raise ConfigError(
                f"{place}: rule {rule.name} asks for {rule.approvals} approvals, and there are {len(known)} approvers",
                hint="add approvers with `molecule-approve approvers add NAME`, or ask for fewer approvals",
            )


async def follow(
    plan: ServePlan, database: DatabaseThreads, policies: Policies, activity: Activity, wanted: asyncio.Event
) -> None:
    """Read the policy again each time it is ``wanted``. What cannot be used changes nothing, and is warned about."""
    while True:
        await wanted.wait()
        wanted.clear()
        try:
            policies.policy = await _read_again(plan, database, policies.policy)
        except (ConfigError, RefusedError) as exc:
            plan.warn(f"the policy was not read again: {exc}; the one that was read before stays in force")
        else:
            activity.policy_read(policies.policy)


async def _read_again(plan: ServePlan, database: DatabaseThreads, before: Policy | None) -> Policy | None:
    """The policy as its file says it now.

    Raises:
        ConfigError: as :func:`policy_at_start`; or there is a policy, and its file is gone.
        RefusedError: the database does not answer.
    """
    policy = before if plan.read_policy is None else await asyncio.to_thread(plan.read_policy)
    if policy is None and before is not None:
        raise ConfigError(f"{before.path} does not exist", hint="to serve without rules, stop and start the server")
    if policy is not None:
        await database.read(partial(_check_people, policy, plan))
    return policy
