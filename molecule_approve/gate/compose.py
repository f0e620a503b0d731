"""Composes a request: what it may contain, and where it comes from. Text that is too long is refused, never cut.

What is not valid is refused with a UsageError, by every function.
"""

from __future__ import annotations

import json
import re
import urllib.parse
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from molecule_approve.audit.record import mask
from molecule_approve.errors import UsageError
from molecule_approve.limits import ACTION_LIMIT, CONTEXT_LIMIT, EXPIRY_LIMIT, REASON_LIMIT
from molecule_approve.model import ApprovalRequest, JsonValue, Secret
from molecule_approve.wire import key_task_id

_RESERVED = frozenset({"user", "host", "folder", "ci", "audit_head"})


class Origin(NamedTuple):
    """Who requests, and where, for the approver to see."""

    user: str
    host: str
    folder: str


def check_text(text: str, what: str, limit: int) -> str:
    """Return the text if it can be sent unchanged.

    Raises:
        UsageError: it is too long, or contains a NUL or a lone surrogate, which the platform would change or refuse.
    """
    if len(text) > limit:
        raise UsageError(
            f"the {what} has {len(text)} characters; the limit is {limit}",
            hint="shorten it, or put a link or a hash into --context",
        )
    if "\0" in text:
        raise UsageError(f"the {what} contains a NUL character", hint="remove it")
    if re.search("[\ud800-\udfff]", text):
        raise UsageError(f"the {what} contains bytes that are not UTF-8, or a lone surrogate", hint="encode it as UTF-8")
    return text


def check_action(action: str) -> str:
    """Return the action if it is valid: 1 to 4,096 characters, not blank."""
    if not action.strip():
        raise UsageError("the action is empty", hint="name what is about to be done: molecule-approve request -- ACTION")
    return check_text(action, "action", ACTION_LIMIT)


def check_key(key: str) -> str:
    """Return the idempotency key if it is valid in a header."""
    if not re.fullmatch(r"[!-~](?:[ -~]{0,253}[!-~])?", key):
        raise UsageError(
            "the idempotency key must be 1 to 255 printable ASCII characters", hint="for example the id of a job"
        )
    return key


def check_expiry(seconds: float) -> float:
    """Return the expiry in seconds if it is valid: 1 second to 30 days."""
    if not 1.0 <= seconds <= EXPIRY_LIMIT:  # also NaN
        raise UsageError(f"expiry {seconds:g} s is out of range (1 s to 30 d)", hint="set another expiry or timeout")
    return seconds


def parse_context(pairs: Sequence[str]) -> dict[str, JsonValue]:
    """Parse the pairs of ``--context``.

    Raises:
        UsageError: one has no ``=``, or its key is blank, reserved or a duplicate.
    """
    found: list[tuple[str, str]] = []
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"--context must be KEY=VALUE, not {pair[:80]!r}", hint="for example: --context ticket=OPS-12")
        found.append((key, value))
    return check_context(found)


def check_context(pairs: Iterable[tuple[str, str]]) -> dict[str, JsonValue]:
    """Return the caller's context if it can be sent.

    Raises:
        UsageError: a key is blank, reserved or a duplicate, or a text cannot be sent.
    """
    found: dict[str, JsonValue] = {}
    for key, value in pairs:
        if not key.strip() or key in _RESERVED or key in found:
            raise UsageError(f"context key {key[:80]!r} is blank, reserved or a duplicate", hint="use another key")
        found[check_text(key, "context key", 256)] = check_text(value, "context", CONTEXT_LIMIT)
    return found


def _without_credentials(url: str) -> str:
    """The address without user and password, which some CI systems include; empty if it is not an address."""
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError:
        return ""
    return urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _ci_job(environ: Mapping[str, str]) -> dict[str, str]:
    """The job's address, repository, ref and commit, from the variables that the usual CI systems set."""
    get, found = environ.get, tuple[str, ...]()
    if get("GITHUB_ACTIONS") == "true":
        repository = f"{get('GITHUB_SERVER_URL', '')}/{get('GITHUB_REPOSITORY', '')}"
        job = f"{repository}/actions/runs/{get('GITHUB_RUN_ID', '')}"
        found = ("GitHub Actions", job, repository, get("GITHUB_REF", ""), get("GITHUB_SHA", ""))
    elif get("GITLAB_CI"):
        names = ("CI_JOB_URL", "CI_PROJECT_URL", "CI_COMMIT_SHA")
        ref = _ref(get("CI_COMMIT_TAG"), get("CI_MERGE_REQUEST_REF_PATH"), get("CI_COMMIT_BRANCH"))
        found = _job_of(environ, "GitLab", names, ref)
    elif get("BUILDKITE"):
        names = ("BUILDKITE_BUILD_URL", "BUILDKITE_REPO", "BUILDKITE_COMMIT")
        number = get("BUILDKITE_PULL_REQUEST", "").replace("false", "")
        found = _job_of(environ, "Buildkite", names, _ref(get("BUILDKITE_TAG"), _pull(number), get("BUILDKITE_BRANCH")))
    elif get("JENKINS_URL"):
        names = ("BUILD_URL", "GIT_URL", "GIT_COMMIT")
        branch = get("BRANCH_NAME") or get("GIT_BRANCH", "").removeprefix("origin/")
        found = _job_of(environ, "Jenkins", names, _ref(get("TAG_NAME"), _pull(get("CHANGE_ID", "")), branch))
    else:
        return {}
    return dict(zip(("system", "job", "repository", "ref", "commit"), found, strict=True))


def _job_of(environ: Mapping[str, str], system: str, names: tuple[str, str, str], ref: str) -> tuple[str, ...]:
    job, repository, commit = (environ.get(name, "") for name in names)
    return system, job, repository, ref, commit


def _pull(number: str) -> str:
    return number and f"refs/pull/{number}/head"


def _ref(tag: str | None, pull: str | None, branch: str | None) -> str:
    """What is built, as git names it. The branch of a pull request may have any name, also that of a protected branch."""
    return (tag and f"refs/tags/{tag}") or pull or (branch and f"refs/heads/{branch}") or ""


def context_of(
    origin: Origin, environ: Mapping[str, str], extra: Mapping[str, JsonValue], secrets: Sequence[Secret] = ()
) -> dict[str, JsonValue]:
    """The whole context of a request, with known secrets masked: the platform and two audit logs keep it.

    Raises:
        UsageError: it is larger than 63 KiB.
    """
    context: dict[str, JsonValue] = {"user": origin.user, "host": origin.host, "folder": origin.folder}
    job = {key: _without_credentials(value) for key, value in _ci_job(environ).items()}
    if job:
        context["ci"] = {key: value for key, value in job.items() if value}
    context.update(extra)
    clean = _scrubbed(context, secrets)
    size = len(json.dumps(clean))
    if size > CONTEXT_LIMIT - 1_024:  # the rest is for the audit log's head
        raise UsageError(f"the context has {size} bytes; the limit is 63 KiB", hint="shorten what --context adds")
    return clean


def _scrubbed(values: Mapping[str, JsonValue], secrets: Sequence[Secret]) -> dict[str, JsonValue]:
    """The values as text that can be sent: folder names and variables may contain any bytes."""
    found: dict[str, JsonValue] = {}
    for key, value in values.items():
        name = mask(key, secrets)
        if isinstance(value, dict):
            found[name] = _scrubbed(value, secrets)
        else:
            found[name] = mask(sendable(value), secrets) if isinstance(value, str) else value
    return found


def sendable(text: str) -> str:
    """The text with U+FFFD for each NUL and each byte that is not UTF-8."""
    return re.sub("[\0\ud800-\udfff]", "\ufffd", text)


def compose(
    workspace_id: str,
    action: str,
    reason: str,
    *,
    context: Mapping[str, JsonValue],
    expires_in: float | None,
    idempotency_key: str | None,
) -> ApprovalRequest:
    """A valid request with new ids; with an idempotency key the task id follows from the key.

    Raises:
        UsageError: a part of it is not valid.
    """
    trace_id = str(uuid.uuid4())
    key = None if idempotency_key is None else check_key(idempotency_key)
    return ApprovalRequest(
        workspace_id=workspace_id,
        action=check_action(action),
        reason=check_text(reason, "reason", REASON_LIMIT),
        task_id=trace_id if key is None else key_task_id(workspace_id, key),
        trace_id=trace_id,
        context=context,
        expires_in=None if expires_in is None else check_expiry(expires_in),
        idempotency_key=key,
    )
