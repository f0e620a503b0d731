"""What may be asked, and where the question comes from. Nothing here is ever cut: what is too long is refused."""

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
    """Who asks, and where: what a person who decides wants to know."""

    user: str
    host: str
    folder: str


def check_text(text: str, what: str, limit: int) -> str:
    """The text as it is, if it can be asked whole.

    Raises:
        UsageError: it is too long, or holds a NUL or a lone surrogate, which the platform would change or refuse.

    """
    if len(text) > limit:
        raise UsageError(
            f"the {what} has {len(text)} characters; at most {limit} can be asked", hint="nothing is ever cut off"
        )
    if "\0" in text:
        raise UsageError(f"the {what} holds a NUL character", hint="remove it")
    if re.search("[\ud800-\udfff]", text):
        raise UsageError(
            f"the {what} holds bytes that are no UTF-8, or a lone surrogate", hint="the platform would change it"
        )
    return text


def check_action(action: str) -> str:
    """The action, if it can be asked: 1 to 4,096 characters, not blank.

    Raises:
        UsageError: it cannot.

    """
    if not action.strip():
        raise UsageError("the action is empty", hint="say what is about to be done: molecule-approve request -- ACTION")
    return check_text(action, "action", ACTION_LIMIT)


def check_key(key: str) -> str:
    """The idempotency key, if it can stand in a header.

    Raises:
        UsageError: it cannot.

    """
    if not re.fullmatch(r"[!-~](?:[ -~]{0,253}[!-~])?", key):
        raise UsageError("the idempotency key must be 1 to 255 printable ASCII characters", hint="a job's id is a good key")
    return key


def check_expiry(seconds: float) -> float:
    """How long a question stands, if it can stand so long: 1 second to 30 days.

    Raises:
        UsageError: it cannot.

    """
    if not 1.0 <= seconds <= EXPIRY_LIMIT:  # also what is no number at all
        raise UsageError(f"a question cannot stand for {seconds:g} s", hint="it may stand from 1 s to 30 d")
    return seconds


def parse_context(pairs: Sequence[str]) -> dict[str, JsonValue]:
    """The pairs of ``--context``.

    Raises:
        UsageError: one has no ``=``, no key, a key of ours or the key of another one.

    """
    found: list[tuple[str, str]] = []
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"--context wants KEY=VALUE, not {pair[:80]!r}", hint="for example --context ticket=OPS-12")
        found.append((key, value))
    return check_context(found)


def check_context(pairs: Iterable[tuple[str, str]]) -> dict[str, JsonValue]:
    """What the caller wants the approver to know, if it can be told whole.

    Raises:
        UsageError: a key is blank, one of ours or there twice, or a text cannot be sent.

    """
    found: dict[str, JsonValue] = {}
    for key, value in pairs:
        if not key.strip() or key in _RESERVED or key in found:
            raise UsageError(f"the context key {key[:80]!r} is blank, ours or given twice", hint="use another key")
        found[check_text(key, "context key", 256)] = check_text(value, "context", CONTEXT_LIMIT)
    return found


def _without_credentials(url: str) -> str:
    """An address without the user and password that CI systems put into some of theirs; nothing where it is none."""
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError:
        return ""
    return urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _ci_job(environ: Mapping[str, str]) -> dict[str, str]:
    """The job's address, repository and commit, from the variables that the usual CI systems set."""
    get = environ.get
    if get("GITHUB_ACTIONS") == "true":
        repository = f"{get('GITHUB_SERVER_URL', '')}/{get('GITHUB_REPOSITORY', '')}"
        job = f"{repository}/actions/runs/{get('GITHUB_RUN_ID', '')}"
        return {"system": "GitHub Actions", "job": job, "repository": repository, "commit": get("GITHUB_SHA", "")}
    if get("GITLAB_CI"):
        names = ("GitLab", "CI_JOB_URL", "CI_PROJECT_URL", "CI_COMMIT_SHA")
    elif get("BUILDKITE"):
        names = ("Buildkite", "BUILDKITE_BUILD_URL", "BUILDKITE_REPO", "BUILDKITE_COMMIT")
    elif get("JENKINS_URL"):
        names = ("Jenkins", "BUILD_URL", "GIT_URL", "GIT_COMMIT")
    else:
        return {}
    return {"system": names[0], "job": get(names[1], ""), "repository": get(names[2], ""), "commit": get(names[3], "")}


def context_of(
    origin: Origin, environ: Mapping[str, str], extra: Mapping[str, JsonValue], secrets: Sequence[Secret] = ()
) -> dict[str, JsonValue]:
    """The whole context of a question, without the secrets that are known: whoever is asked, and two logs, keep it.

    Raises:
        UsageError: it is larger than 64 KiB.

    """
    context: dict[str, JsonValue] = {"user": origin.user, "host": origin.host, "folder": origin.folder}
    job = {key: _without_credentials(value) for key, value in _ci_job(environ).items()}
    if job:
        context["ci"] = {key: value for key, value in job.items() if value}
    context.update(extra)
    clean = _scrubbed(context, secrets)
    size = len(json.dumps(clean))
    if size > CONTEXT_LIMIT - 1_024:  # room for the audit log's head
        raise UsageError(f"the context has {size} bytes; at most 63 KiB can be sent", hint="send less with --context")
    return clean


def _scrubbed(values: Mapping[str, JsonValue], secrets: Sequence[Secret]) -> dict[str, JsonValue]:
    """The values as text that can be sent: a folder's name and a variable may hold any bytes."""
    found: dict[str, JsonValue] = {}
    for key, value in values.items():
        name = mask(key, secrets)
        if isinstance(value, dict):
            found[name] = _scrubbed(value, secrets)
        else:
            found[name] = mask(sendable(value), secrets) if isinstance(value, str) else value
    return found


def sendable(text: str) -> str:
    """The text with U+FFFD for what cannot be sent: a NUL, and bytes that are no UTF-8."""
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
    """A request that can be asked, with fresh ids; with a key the task id is the key's.

    Raises:
        UsageError: something in it cannot be asked.

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
