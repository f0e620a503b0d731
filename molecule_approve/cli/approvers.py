"""``approvers``: the approvers of this machine's embedded server, running or not, and their sign-in links."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from molecule_approve.errors import ServerError, UsageError
from molecule_approve.safe_text import visible

from . import approver_keys, options, output
from .exits import Exit
from .help import CliCommand, CliGroup, commands, option
from .options import READ, ConnectionOptions, PlatformUrl, named, open_platform
from .passkey_link import running_server
from .serve import NOBODY, ServerConfig, administered, server_extra

if TYPE_CHECKING:
    from collections.abc import Sequence

    from molecule_approve.model import JsonValue
    from molecule_approve.server.database.values import ApproverRow

app = commands(
    name="approvers",
    help="Manage who may decide on the embedded server.",
    cls=CliGroup,
    epilog="molecule-approve approvers add alice\nmolecule-approve approvers link",
)

app.add_typer(approver_keys.app)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The approver's name, as shown with a decision.")]

WorkspacesOption = Annotated[
    list[str] | None,
    option("--workspace", "W", "Only in this workspace, by its name or id (repeatable)."),
]


@app.command(
    cls=CliCommand,
    epilog="molecule-approve approvers add alice\nmolecule-approve approvers add bob --workspace payments",
)
def add(name: NameArgument, workspace: WorkspacesOption = None, config: ServerConfig = None) -> int:
    """Add an approver, and print the token alone on stdout.

    The token is shown once; the server keeps only its hash.
    """
    with administered(config) as store:
        from molecule_approve.server import credentials

        credentials.add_approver(store, name, output.answer, workspace or None)
    _say(f"this is the token of {name}; it is shown once. approve, deny and review read it from MOLECULE_APPROVER_TOKEN")
    return Exit.OK


def _say(sentence: str) -> None:
    output.say(f"{visible(sentence)}")


@app.command("list", cls=CliCommand, epilog="molecule-approve approvers list")
def list_approvers(json: options.Json = False, config: ServerConfig = None) -> int:
    """List the approvers, since when they may decide, and where."""
    with administered(config) as store:
        from molecule_approve.server import administration

        found = administration.approvers(store)
    if json:
        output.answer_json([_as_json(one) for one in found])
        return Exit.OK
    for one in found:
        output.answer(f"{visible(one.name)}  since {visible(one.created_at)}{_only(one.workspaces)}")
    if not found:
        _say(NOBODY)
    return Exit.OK


def _as_json(one: ApproverRow) -> JsonValue:
    where: JsonValue = None if one.workspaces is None else [*one.workspaces]
    return {"name": one.name, "created_at": one.created_at, "source": one.source, "workspaces": where}


def _only(workspaces: Sequence[str] | None) -> str:
    if workspaces is None:
        return ""
    return f"  only in {', '.join(map(visible, workspaces))}" if workspaces else "  in no workspace"


@app.command(
    cls=CliCommand,
    epilog="""
        molecule-approve approvers limit bob --workspace payments --workspace web
        molecule-approve approvers limit bob --all-workspaces
    """,
)
def limit(
    name: NameArgument,
    workspace: WorkspacesOption = None,
    everywhere: Annotated[bool, option("--all-workspaces", None, "In all workspaces.")] = False,
    config: ServerConfig = None,
) -> int:
    """Limit where an approver may decide, or lift the limit; the token stays. It holds at once, also on a running server."""
    if bool(workspace) == everywhere:
        raise UsageError("limit needs either --workspace or --all-workspaces", hint="pass one of them")
    with administered(config) as store:
        from molecule_approve.server import administration

        administration.limit_approver(store, name, workspace or None)
    _say(f"{name} may decide in {', '.join(workspace) if workspace else 'all workspaces'}")
    return Exit.OK


@app.command(
    cls=CliCommand,
    epilog="""
        molecule-approve approvers link
        molecule-approve approvers link alice   # on the server's machine
    """,
)
def link(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]", help="On the server's machine, as its user: the approver's name. Without it: of your token."
        ),
    ] = None,
    platform_url: PlatformUrl = None,
    config: ServerConfig = None,
) -> int:
    """Print a sign-in link for the server's page, alone on stdout.

    The link works once, within a minute. Without NAME it signs in the approver whose token is in
    MOLECULE_APPROVER_TOKEN; if that is not set, the token is asked for at the terminal.
    """
    if name is None:
        if config is not None:
            raise UsageError(
                "--config is for a link by NAME, on the server's machine",
                hint="pass NAME; or omit --config for a link by your token",
            )
        return _link_by_token(platform_url)
    if platform_url is not None:
        raise UsageError(
            "a link for NAME is made on the server's machine, without contacting a platform",
            hint="omit NAME for a link by your token, or omit --platform-url",
        )
    return _link_by_name(name, config)


def _link_by_token(platform_url: str | None) -> int:
    from molecule_approve.clock import Deadline

    from .decide import stoppable, token

    settings = ConnectionOptions(platform_url=platform_url).settings()  # its errors come before the prompt for the token
    with stoppable(), open_platform(settings, token(), any_workspace=True) as platform, named():
        found = platform.sign_in_code(Deadline.after(READ))
    if found is None:
        raise ServerError(
            f"{settings.platform_url.value} has no sign-in links", hint="only molecule-approve serve has; check PLATFORM_URL"
        )
    output.answer(f"{(found.url or settings.platform_url.value).rstrip('/')}/#sign-in={found.code}")
    _say_linked(found.name)
    return Exit.OK


def _link_by_name(name: str, config: str | None) -> int:
    with server_extra():
        from molecule_approve.server import credentials

    url = running_server("; for a link by your token from another machine, omit NAME")
    with administered(config) as store:
        credentials.new_code(store, name, tell=lambda code: output.answer(credentials.sign_in_link(url, code)))
    _say_linked(name)
    return Exit.OK


def _say_linked(name: str) -> None:
    _say(f"this link signs {name} in; it is shown once, and works once, within a minute")


@app.command(cls=CliCommand, epilog="molecule-approve approvers revoke alice")
def revoke(name: NameArgument, config: ServerConfig = None) -> int:
    """Remove an approver; the token and all sessions end at once, also on a running server."""
    with administered(config) as store:
        from molecule_approve.server import credentials

        credentials.revoke(store, name)
    _say(f"{name} is not an approver any more")
    return Exit.OK
