"""``policy explain``: which rule a request comes under, why, and who would have to approve it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from molecule_approve.cli import options, output
from molecule_approve.cli.exits import Exit
from molecule_approve.cli.help import option
from molecule_approve.cli.serve import ServerConfig, administered
from molecule_approve.limits import WORKSPACE_NAME

from . import files
from .views import explanation_lines

if TYPE_CHECKING:
    from molecule_approve.model import JsonValue
    from molecule_approve.policy.approval_rules import Policy, PossibleApprover
    from molecule_approve.settings.server_settings import ServerSettings


class _House(NamedTuple):
    """What an explanation is about: a policy, its approvers (None if only those whom it names are known), a workspace."""

    policy: Policy
    people: Sequence[PossibleApprover] | None
    self_approval: bool | None
    workspace: tuple[str, str]


def explain_action(
    words: Annotated[list[str], typer.Argument(metavar="ACTION", help="What would be requested, as one argument.")],
    requester: Annotated[
        str | None, option("--as", "REQUESTER", "The requester's name. [default: yours on this machine]")
    ] = None,
    workspace: Annotated[str, option("--workspace", "W", "The workspace, by its name or id.")] = WORKSPACE_NAME,
    context: Annotated[
        list[str] | None,
        option("--context", "KEY=VALUE", "A part of the context (repeatable); of the CI job ci.repository and ci.ref."),
    ] = None,
    run: Annotated[bool, option("--run", None, "ACTION is a command of any number of words, as run requests it.")] = False,
    policy: Annotated[
        str | None, option("--policy", "FILE", "Another policy; then nobody is known but whom it names.")
    ] = None,
    json: options.Json = False,
    config: ServerConfig = None,
) -> int:
    """Say which rule of the server a request would come under, why, and who would have to approve it.

    Nothing is requested. Without --policy this is the policy of this machine's server, with the approvers in its database.
    """
    from molecule_approve.errors import UsageError
    from molecule_approve.policy.approval_rules import AskedRequest
    from molecule_approve.policy.explanation import explain
    from molecule_approve.server.users import user_name
    from molecule_approve.settings.server_settings import ServerFlags, resolve_server

    if len(words) > 1 and not run:
        raise UsageError("the action has several words", hint="quote it, or add --run if it is a command")
    settings = resolve_server(ServerFlags(config=config, policy=policy), os.environ)
    house = _of_file(settings, workspace) if policy is not None else _of_server(settings, config, workspace)
    name, workspace_id = house.workspace
    claims = _context(context or [])
    action = _command(words, claims) if run else words[0]
    asked = AskedRequest(action, "", name, workspace_id, requester or user_name(), claims)
    found = explain(house.policy, asked, house.people, self_approval=house.self_approval)
    if json:
        output.answer_json({"file": house.policy.path, **found.as_json()})
        return Exit.OK
    for line in explanation_lines(found, house.policy.path):
        output.answer(line, foreign=True)
    return Exit.OK


def _command(words: list[str], context: Mapping[str, JsonValue]) -> str:
    """What ``run`` would request here; of a program that is not here, or cannot be bound, what its words and context say."""
    from molecule_approve.cli.gating import BindingOptions
    from molecule_approve.errors import NotExecutableError, NotFoundError
    from molecule_approve.policy.command_words import bound_text

    try:
        with contextlib.closing(BindingOptions().bind(words)) as bound:
            return bound.command.text
    except (NotFoundError, NotExecutableError):
        return bound_text(words, words[0], context)


def _of_file(settings: ServerSettings, workspace: str) -> _House:
    from molecule_approve.settings.policy_file import provider_groups

    assert settings.policy.value is not None  # noqa: S101 - it was typed
    policy = files.read_policy(settings.policy.value, provider_groups(settings))
    return _House(policy, None, settings.self_approval.value, (workspace, workspace))


def _of_server(settings: ServerSettings, config: str | None, workspace: str) -> _House:
    """This machine's server: its policy, and the people in its database."""
    from molecule_approve.paths import locate, who_serves
    from molecule_approve.settings.policy_file import provider_groups, read_policy, server_policy

    places = locate(os.environ)
    state, serving = places.state, who_serves(places)
    if serving is not None and serving.policy and settings.policy.value is None:  # serve --policy
        policy = read_policy(Path(serving.policy), provider_groups(settings), wanted=True)
    else:
        policy = server_policy(settings, state)
    with administered(config) as store, store.read() as transaction:
        from molecule_approve.server.names import the_workspace
        from molecule_approve.server.policies import people_of
        from molecule_approve.server.self_approval import SelfApproval

        names = (workspace, workspace)
        # A server that has never been started has no workspace, and its policy can be explained all the same.
        if workspace != WORKSPACE_NAME or transaction.administration.find_workspace(workspace) is not None:
            found = the_workspace(transaction, workspace)
            names = (found.name, found.id)
        own = not SelfApproval(settings.self_approval.value).is_refused(transaction)
        # Without a policy a request may wait for its first approver.
        people = None if policy is None else people_of(transaction, names[1])
    return _House(policy or _no_rules(state), people, own, names)


def _no_rules(state: Path) -> Policy:
    from molecule_approve.policy.approval_rules import DEFAULTS, ApprovalRule, Policy
    from molecule_approve.settings.policy_file import FILE_NAME

    output.say(f"there is no {state / FILE_NAME}: any approver may approve")
    return Policy((), ApprovalRule(DEFAULTS), {}, lambda *_: False, str(state / FILE_NAME))


def _context(pairs: Sequence[str]) -> dict[str, JsonValue]:
    """The context that a request from here would have, but for what the pairs say otherwise."""
    from molecule_approve import wiring
    from molecule_approve.gate.compose import parse_context

    here: dict[str, JsonValue] = {**wiring.origin()._asdict()}
    named = [pair.partition("=") for pair in pairs]
    here |= {key: value for key, equals, value in named if equals and key in here}
    found = here | parse_context([pair for pair, (key, *_) in zip(pairs, named, strict=True) if key not in here])
    ci: dict[str, JsonValue] = {key: found.pop(f"ci.{key}") for key in ("repository", "ref") if f"ci.{key}" in found}
    return {**found, "ci": ci} if ci else found
