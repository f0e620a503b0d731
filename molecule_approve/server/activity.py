"""What happens in the server, told to its log and counted for ``/metrics``; never what a request says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from molecule_approve.lifecycle import outcome_of
from molecule_approve.model import Outcome
from molecule_approve.wire import instant

from .log_lines import EVENTS, STRANGERS, note

if TYPE_CHECKING:
    from collections.abc import Mapping

    from molecule_approve.model import Approval
    from molecule_approve.policy.approval_rules import Policy

    from .metrics import Numbers
    from .senders import Sender

_HOST_LENGTH = 300
"""Characters of a foreign Host header in the log."""

_BY_A_PERSON = frozenset({Outcome.APPROVED, Outcome.DENIED})


class Activity:
    """One method for each kind of event. Each is one line of the log."""

    def __init__(self, numbers: Numbers) -> None:
        self.numbers = numbers

    def started(self, url: str, sources: Mapping[str, str]) -> None:
        """The server answers calls. ``sources`` says where each setting comes from that is not a default."""
        note(EVENTS, "started", url=url, settings=dict(sources) or None)

    def policy_read(self, policy: Policy | None) -> None:
        """These rules are in force from now on."""
        path, rules = (None, 0) if policy is None else (policy.path, len(policy.rules))
        note(EVENTS, "policy_read", path=path, rules=rules)

    def stopping(self) -> None:
        """The server accepts no more calls."""
        note(EVENTS, "stopping")

    def requested(self, approval: Approval) -> None:
        """A request was made."""
        self.numbers.requests += 1
        note(EVENTS, "requested", **_named(approval), expires_at=approval.expires_at)

    def ended(self, approval: Approval) -> None:
        """A request ended: somebody decided it, it expired, or its requester took it back."""
        outcome = outcome_of(approval)
        begun, end = instant(approval.created_at), instant(approval.decided_at)
        waited = 0.0 if begun is None or end is None else round(max(0.0, (end - begun).total_seconds()), 3)
        self.numbers.ended(outcome, waited)
        if outcome in _BY_A_PERSON:
            decided = {"outcome": outcome.value, "decided_by": approval.decided_by}
            note(EVENTS, "decided", **_named(approval), **decided, waited_seconds=waited)
        else:
            note(EVENTS, outcome.value, **_named(approval), waited_seconds=waited)

    def redeemed(self, approval: Approval) -> None:
        """An approval was used up."""
        self.numbers.redeemed += 1
        note(EVENTS, "redeemed", **_named(approval))

    def signed_in(self, name: str, way: str, sender: Sender) -> None:
        """An approver signed in to the page, by a ``code``, a ``token`` or ``openid``."""
        self.numbers.logins["ok"] += 1
        note(EVENTS, "signed_in", approver=name, way=way, address=_address(sender))

    def code_made(self, name: str, sender: Sender) -> None:
        """An approver made a sign-in link."""
        note(EVENTS, "link_made", approver=name, address=_address(sender))

    def key_added(self, name: str, label: str, added_by: str) -> None:
        """An approver enrolled a key; ``added_by`` is what vouches for it."""
        note(EVENTS, "key_added", approver=name, key=label, added_by=added_by)

    def key_removed(self, name: str, key_id: str) -> None:
        """An approver removed one of their keys."""
        note(EVENTS, "key_removed", approver=name, key=key_id)

    def signed_out(self, name: str) -> None:
        """An approver ended a session."""
        note(EVENTS, "signed_out", approver=name)

    def login_failed(self, sender: Sender) -> None:
        """A call had a wrong token or sign-in code."""
        self.numbers.logins["failed"] += 1
        note(STRANGERS, "login_failed", address=_address(sender))

    def host_refused(self, host: str, sender: Sender) -> None:
        """A call named another host than this server."""
        note(STRANGERS, "host_refused", host=host[:_HOST_LENGTH], address=_address(sender))


def _named(approval: Approval) -> dict[str, str | None]:
    return {"approval_id": approval.id, "workspace_id": approval.workspace_id, "requested_by": approval.requested_by}


def _address(sender: Sender) -> str:
    return "unix" if sender.over_unix else str(sender.address)
