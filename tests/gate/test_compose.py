"""What may be asked, and where a question says that it comes from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from molecule_approve.errors import UsageError
from molecule_approve.gate import compose
from molecule_approve.gate.compose import Origin

if TYPE_CHECKING:
    from molecule_approve.model import ApprovalRequest

ORIGIN = Origin("ada", "host", "/srv/app")


@pytest.mark.parametrize("action", ["x", "x" * 4_096, " padded ", "a\nb", "\x1b[2K", "\u202e", "☠", "\u200b"])
def test_what_can_be_asked_is_asked_as_it_is(action: str) -> None:
    """Nothing is cut, stripped or changed."""
    assert compose.check_action(action) == action


@pytest.mark.parametrize("action", ["", " ", "\t\n\u3000", "x" * 4_097, "a\0", "\ud800", "a\udcff"])
def test_what_cannot_be_asked_is_refused(action: str) -> None:
    """With a hint."""
    with pytest.raises(UsageError) as caught:
        compose.check_action(action)
    assert caught.value.hint


@pytest.mark.parametrize("key", ["a", "job 7", "~" * 255])
def test_a_key_is_what_a_header_can_carry(key: str) -> None:
    """Printable ASCII, no blank at its ends."""
    assert compose.check_key(key) == key


@pytest.mark.parametrize("key", ["", " a", "a ", "a\n", "ü", "a\tb", "x" * 256])
def test_another_key_is_refused(key: str) -> None:
    """It would be changed on the way."""
    with pytest.raises(UsageError):
        compose.check_key(key)


@pytest.mark.parametrize("seconds", [1.0, 300.0, 30 * 86_400.0])
def test_how_long_a_question_may_stand(seconds: float) -> None:
    """One second to thirty days."""
    assert compose.check_expiry(seconds) == seconds


@pytest.mark.parametrize("seconds", [0.0, 0.9, -1.0, 30 * 86_400.1, float("inf"), float("nan")])
def test_how_long_it_may_not(seconds: float) -> None:
    """Also what is no number."""
    with pytest.raises(UsageError):
        compose.check_expiry(seconds)


def test_the_pairs_of_context() -> None:
    """The first = parts key and value."""
    assert compose.parse_context(["a=b=c", "d="]) == {"a": "b=c", "d": ""}


@pytest.mark.parametrize(
    "pairs",
    [["a"], ["=a"], [" =a"], ["a=1", "a=2"], ["user=x"], ["audit_head=x"], ["k\0=x"], ["k=\ud800"], [f"{'k' * 257}=x"]],
)
def test_pairs_that_make_no_sense(pairs: list[str]) -> None:
    """Refused with a hint."""
    with pytest.raises(UsageError) as caught:
        compose.parse_context(pairs)
    assert caught.value.hint


_JOBS = {
    "GitHub Actions": (
        {
            "GITHUB_ACTIONS": "true",
            "GITHUB_SERVER_URL": "https://git.example",
            "GITHUB_REPOSITORY": "a/b",
            "GITHUB_RUN_ID": "7",
            "GITHUB_SHA": "abc",
            "GITHUB_REF": "refs/heads/main",
        },
        ("https://git.example/a/b/actions/runs/7", "https://git.example/a/b", "refs/heads/main", "abc"),
    ),
    "GitLab": (
        {
            "GITLAB_CI": "true",
            "CI_JOB_URL": "https://git.example/-/jobs/7",
            "CI_PROJECT_URL": "https://git.example/a",
            "CI_COMMIT_SHA": "abc",
            "CI_COMMIT_BRANCH": "main",
        },
        ("https://git.example/-/jobs/7", "https://git.example/a", "refs/heads/main", "abc"),
    ),
    "Buildkite": (
        {
            "BUILDKITE": "true",
            "BUILDKITE_BUILD_URL": "https://ci.example/7",
            "BUILDKITE_REPO": "https://user:hunter2@git.example/a",
            "BUILDKITE_COMMIT": "abc",
            "BUILDKITE_BRANCH": "main",
            "BUILDKITE_PULL_REQUEST": "false",
        },
        ("https://ci.example/7", "https://git.example/a", "refs/heads/main", "abc"),
    ),
    "Jenkins": (
        {
            "JENKINS_URL": "https://ci.example",
            "BUILD_URL": "https://ci.example/job/7",
            "GIT_URL": "git@git.example:a/b",
            "GIT_COMMIT": "abc",
            "GIT_BRANCH": "origin/main",
        },
        ("https://ci.example/job/7", "git@git.example:a/b", "refs/heads/main", "abc"),
    ),
}


@pytest.mark.parametrize("system", _JOBS)
def test_a_job_is_known_by_its_variables(system: str) -> None:
    """Its address, repository, ref and commit; never a password."""
    environ, (job, repository, ref, commit) = _JOBS[system]
    context = compose.context_of(ORIGIN, environ, {"ticket": "OPS-12"})
    assert context == {
        "user": "ada",
        "host": "host",
        "folder": "/srv/app",
        "ci": {"system": system, "job": job, "repository": repository, "ref": ref, "commit": commit},
        "ticket": "OPS-12",
    }


@pytest.mark.parametrize(
    ("system", "changed", "ref"),
    [
        ("GitHub Actions", {"GITHUB_REF": "refs/pull/3/merge"}, "refs/pull/3/merge"),
        ("GitLab", {"CI_COMMIT_TAG": "v1", "CI_COMMIT_BRANCH": ""}, "refs/tags/v1"),
        ("GitLab", {"CI_MERGE_REQUEST_REF_PATH": "refs/merge-requests/3/head"}, "refs/merge-requests/3/head"),
        ("Buildkite", {"BUILDKITE_TAG": "v1"}, "refs/tags/v1"),
        ("Buildkite", {"BUILDKITE_PULL_REQUEST": "3"}, "refs/pull/3/head"),
        ("Jenkins", {"BRANCH_NAME": "feature/x"}, "refs/heads/feature/x"),
        ("Jenkins", {"BRANCH_NAME": "PR-3", "CHANGE_ID": "3"}, "refs/pull/3/head"),
        ("Jenkins", {"TAG_NAME": "v1"}, "refs/tags/v1"),
    ],
)
def test_a_tag_and_a_pull_request_are_no_branch(system: str, changed: dict[str, str], ref: str) -> None:
    """Whatever the branch of a pull request is called, it is not the protected one of that name."""
    context = compose.context_of(ORIGIN, {**_JOBS[system][0], **changed}, {})
    assert isinstance(context["ci"], dict)
    assert context["ci"]["ref"] == ref


@pytest.mark.parametrize("system", _JOBS)
def test_a_job_without_a_ref_has_none(system: str) -> None:
    """It is left out, as everything that is empty."""
    environ = {name: value for name, value in _JOBS[system][0].items() if not name.endswith(("_REF", "BRANCH"))}
    context = compose.context_of(ORIGIN, environ, {})
    assert isinstance(context["ci"], dict)
    assert "ref" not in context["ci"]


def test_outside_a_job_there_is_none() -> None:
    """And what is empty or no address is left out."""
    assert "ci" not in compose.context_of(ORIGIN, {"CI": "true"}, {})
    environ = {"BUILDKITE": "true", "BUILDKITE_REPO": "https://[broken"}
    assert compose.context_of(ORIGIN, environ, {})["ci"] == {"system": "Buildkite"}


def test_bytes_that_are_no_text_do_not_stop_the_question() -> None:
    """A folder's name and a variable may hold any bytes: what cannot be sent is replaced."""
    context = compose.context_of(
        Origin("a\udcff", "h", "/\0"), {"GITLAB_CI": "1", "CI_COMMIT_SHA": "\udc80"}, {"deep": ["kept"]}
    )
    assert (context["user"], context["folder"]) == ("a\ufffd", "/\ufffd")
    assert context["ci"] == {"system": "GitLab", "commit": "\ufffd"}
    assert context["deep"] == ["kept"]


def test_a_context_that_is_too_large_is_refused() -> None:
    """Counted as it is sent."""
    compose.context_of(ORIGIN, {}, {"k": "x" * 64_000})
    with pytest.raises(UsageError, match="the limit is 63 KiB"):
        compose.context_of(ORIGIN, {}, {"k": "ü" * 20_000})


def test_a_request_has_an_id_of_its_own() -> None:
    """Fresh each time; with a key always the key's."""

    def made(key: str | None = None) -> ApprovalRequest:
        return compose.compose("w", "a", "r", context={"k": "v"}, expires_in=60.0, idempotency_key=key)

    first, second = made(), made()
    assert first.task_id == first.trace_id != second.task_id
    keyed, again = made("k"), made("k")
    assert keyed.task_id == again.task_id != keyed.trace_id
    assert (keyed.idempotency_key, keyed.expires_in, json.dumps(dict(keyed.context))) == ("k", 60.0, '{"k": "v"}')
    assert compose.compose("w", "a", "", context={}, expires_in=None, idempotency_key=None).expires_in is None
