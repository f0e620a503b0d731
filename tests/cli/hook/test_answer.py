"""``hook HOST`` as a host calls it: every outcome is its yes or its no, and whatever breaks is its no."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.cli.hook.hosts import call, event

if TYPE_CHECKING:
    from tests.callers import Caller, Told

COMMAND = "terraform destroy -auto-approve"


def decision(told: Told) -> str:
    """The word of the answer."""
    return str(json.loads(told.out)["hookSpecificOutput"]["permissionDecision"])


def test_an_approval_is_the_hosts_yes(caller: Caller) -> None:
    """One object on stdout, nothing on stderr, 0."""
    with caller.answering(COMMAND):
        told = call(caller, "claude-code", event("claude-code"))
    assert (told.code, decision(told), told.err) == (0, "allow", "")
