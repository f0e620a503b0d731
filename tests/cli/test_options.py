"""What commands share: settings with their warnings, and help that is no yes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.callers import Caller


@pytest.mark.parametrize("command", ["status", "pending"])
def test_every_command_says_the_warnings(caller: Caller, command: str) -> None:
    """Once, on stderr, with the source."""
    told = caller.main(command, "--workspace-id", "another")
    assert told.code == 0
    assert told.err.count("molecule-approve: warning: --workspace-id is not used") == 1


def test_quiet_says_no_warnings(caller: Caller) -> None:
    """Warnings are no errors."""
    caller.set(WORKSPACE_ID="another")
    told = caller.main("request", "--no-wait", "--quiet", "--", "x")
    assert (told.code, told.err) == (8, "")
    assert "warning" in caller.main("request", "--no-wait", "--", "x").err


@pytest.mark.parametrize(("command", "code"), [("request", 2), ("wait", 2), ("status", 2), ("pending", 0)])
def test_help_of_a_command_whose_0_means_yes_is_2(caller: Caller, command: str, code: int) -> None:
    """It is shown all the same."""
    told = caller.main(command, "--help")
    assert told.code == code
    assert told.out.startswith(f"Usage: molecule-approve {command} ")


def test_flags_come_before_the_environment(caller: Caller) -> None:
    """The audit log that is named is the one that is written."""
    other = caller.folder / "other.jsonl"
    assert caller.main("request", "--no-wait", "--audit-log", str(other), "--", "x").code == 8
    assert (other.exists(), caller.log.exists()) == (True, False)
