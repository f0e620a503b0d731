"""Requests a person's approval of an agent's tool call. Whatever breaks in here is a verdict, and never an approval."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NoReturn, TypedDict

from molecule_approve.api import request_approval, request_approval_sync
from molecule_approve.errors import UsageError
from molecule_approve.model import Verdict
from molecule_approve.safe_text import visible
from molecule_approve.strict_json import StrictJsonError, loads


class RequestOptions(TypedDict, total=False):
    """What every adapter hands on to :func:`molecule_approve.request_approval`, with the same meaning.

    There is no ``idempotency_key``: one key can belong to one request only, and an adapter makes many.
    """

    context: Mapping[str, str] | None
    timeout: float | str | None
    expires_in: float | str | None
    transport: str | None
    poll_interval: float | str | None
    require_verified_approver: bool | None
    platform_url: str | None
    workspace_id: str | None
    audit_log: str | os.PathLike[str] | None
    config: str | os.PathLike[str] | None


def checked(options: RequestOptions) -> RequestOptions:
    """The options, if each is known: a misspelt one is found where the adapter is made, not at the first call.

    Raises:
        UsageError: there is no such option.
    """
    if unknown := sorted(set(options) - RequestOptions.__optional_keys__):
        raise UsageError(
            f"unknown option {unknown[0]}=", hint=f"use one of {', '.join(sorted(RequestOptions.__optional_keys__))}"
        )
    return options


def missing(library: str, extra: str, cause: ImportError) -> NoReturn:
    """Raise ImportError that says which extra of this package brings the library."""
    raise ImportError(f"{library} cannot be imported ({cause}); pip install 'molecule-approve[{extra}]'") from cause


def request(tool: str, arguments: object, facts: Mapping[str, str], reason: str, options: RequestOptions) -> Verdict:
    """Request approval of this call, and wait.

    Args:
        tool: the tool's name.
        arguments: all arguments of the call: a value of JSON, or its text.
        facts: what else the approver should know of the call; beside the context of the options.
        reason: why.
        options: of the adapter.
    """
    try:
        return request_approval_sync(**_request(tool, arguments, facts, reason, options))
    except Exception as exc:  # noqa: BLE001 - whatever it is, the tool must not run
        return Verdict.of_error(exc)


async def request_async(
    tool: str, arguments: object, facts: Mapping[str, str], reason: str, options: RequestOptions
) -> Verdict:
    """The same for asyncio; cancelling it withdraws the request."""
    try:
        return await request_approval(**_request(tool, arguments, facts, reason, options))
    except Exception as exc:  # noqa: BLE001 - whatever it is, the tool must not run
        return Verdict.of_error(exc)


def refusal(tool: str, verdict: Verdict) -> str:
    """Why the tool was not run, as one line for the model."""
    return visible(f"{tool} was not run: {verdict.message}")


def _request(tool: str, arguments: object, facts: Mapping[str, str], reason: str, options: RequestOptions) -> dict[str, Any]:
    context = {**(options.get("context") or {}), **{key: value for key, value in facts.items() if value}}
    return {**options, "action": _action(tool, arguments), "reason": reason, "context": context}


def _action(tool: str, arguments: object) -> str:
    """The whole call on one line: what cannot be written as JSON cannot be shown, and is refused."""
    if isinstance(arguments, str):
        with suppress(StrictJsonError):  # then the text is shown as it is, in quotes
            arguments = loads(arguments)
    try:
        return f"{tool} {json.dumps(arguments, ensure_ascii=False, allow_nan=False)}"
    except (TypeError, ValueError, RecursionError) as exc:
        raise UsageError(f"the arguments of {tool} cannot be shown to an approver: {exc}") from exc
