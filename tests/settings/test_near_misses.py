"""A misspelt setting is told, and nobody else's variable is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import molecule_approve
from molecule_approve.settings.near_misses import SECTIONS, VARIABLES, misspelt, near_misses

OTHERS = (  # noqa: SIM905 - as a list it would be a screen long
    "CI HOME PATH LANG TERM SHELL "
    "USER PWD TMPDIR XDG_STATE_HOME XDG_CONFIG_DIRS GITHUB_TOKEN "
    "GITHUB_WORKSPACE GITHUB_RUN_ID GITHUB_SERVER_URL RUNNER_WORKSPACE CI_JOB_TOKEN CI_SERVER_URL "
    "CI_API_V4_URL CI_PROJECT_ID BUILDKITE_AGENT_ACCESS_TOKEN BUILD_URL WORKSPACE JENKINS_URL "
    "TF_WORKSPACE AUDIT_LOG CONFIG_DIR_BASE CODESPACES_WORKSPACE_ID MY_PLATFORM_URL PLATFORM "
    "APPROVAL_STATUS VAULT_TOKEN "
).split()


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("APPROVAL_TIMOUT", "APPROVAL_TIMEOUT"),
        ("APPROVAL_TIMEOUTS", "APPROVAL_TIMEOUT"),
        ("PLATFROM_URL", "PLATFORM_URL"),
        ("PLATFORM_URI", "PLATFORM_URL"),
        ("WORKSPACEID", "WORKSPACE_ID"),
        ("MOLECULE_APPROVR_TOKEN", "MOLECULE_APPROVER_TOKEN"),
        ("AUDIT_LOGPATH", "AUDIT_LOG_PATH"),
        ("platform_url", "PLATFORM_URL"),
        ("aprove", "approve"),
        ("Approve", "approve"),
        ("approval", "approve"),
        ("rback", "rbac"),
    ],
)
def test_a_slip_is_told_with_the_right_name(name: str, right: str) -> None:
    """One letter or two at one place, in whatever letters."""
    assert list(near_misses([name], VARIABLES | SECTIONS)) == [(name, right)]


def test_each_slip_is_a_warning() -> None:
    """Of the environment and of config.yaml, with what was meant."""
    assert misspelt(["APPROVAL_TIMOUT", "HOME"], ["aprove", "rbac"]) == [
        "APPROVAL_TIMOUT is not a setting; did you mean APPROVAL_TIMEOUT?",
        "config.yaml: aprove: is not a section of this program; did you mean approve:?",
    ]


def test_what_is_ours_or_somebody_elses_is_not_told() -> None:
    """Every right name, and what usual CI systems and shells set."""
    assert list(near_misses([*VARIABLES, *OTHERS], VARIABLES)) == []
    assert list(near_misses(["approve", "rbac", "runtime", "initial_prompt", "tier", "plugins"], SECTIONS)) == []


def test_every_variable_that_the_program_reads_is_known() -> None:
    """A name that is read and does not stand in the list would be told as a slip of another one."""
    package = Path(str(molecule_approve.__file__)).parent
    read = {
        name
        for path in (*package.glob("*.py"), *package.glob("settings/*.py"), *package.glob("gate/*.py"))
        for name in re.findall(r'"((?:APPROVAL|AUDIT_LOG|CONFIGS|MOLECULE|PLATFORM|WORKSPACE)_[A-Z_]+)"', path.read_text())
    }
    events = {name for name in read if re.fullmatch("APPROVAL_([A-Z]+(ED|WN)|PROGRESS)", name)}
    told = {"MOLECULE_APPROVAL_ID", "MOLECULE_APPROVED_BY"}  # to a command that run starts
    assert read - events - told == VARIABLES
