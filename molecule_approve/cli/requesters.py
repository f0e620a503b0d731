"""``requesters``: the tokens of whoever asks on this machine's embedded server: people, jobs and agents."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from molecule_approve.paths import locate, who_serves
from molecule_approve.safe_text import visible

from . import options, output
from .exits import Exit
from .help import CliCommand, CliGroup, commands, option
from .serve import ServerConfig, administered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from molecule_approve.paths import Places
    from molecule_approve.server.administration import NewRequester
    from molecule_approve.server.database.values import RequesterRow

app = commands(
    name="requesters",
    help="Manage who may ask on the embedded server.",
    cls=CliGroup,
    epilog="molecule-approve requesters add deploy-bot --workspace payments\nmolecule-approve requesters list",
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The requester's name, as shown with a request.")]
WorkspaceOption = Annotated[
    str | None, option("--workspace", "W", "The workspace, by its name or id; without it, the server's own (local).")
]
OnlyOption = Annotated[str | None, option("--workspace", "W", "Only in this workspace, by its name or id.")]


@app.command(cls=CliCommand, epilog="molecule-approve requesters add deploy-bot --workspace payments")
def add(name: NameArgument, workspace: WorkspaceOption = None, config: ServerConfig = None) -> int:
    """Add a requester, and print the token alone on stdout; the settings that its client needs are on stderr.

    Give each person, job and agent a token of its own. It is shown once; the server keeps only its hash.
    """
    places = locate(os.environ)
    with administered(config) as store:
        from molecule_approve.server import administration

        added = administration.add_requester(places, store, name, workspace, output.answer)
    _explain(added, _address(places, config))
    return Exit.OK


def _address(places: Places, config: str | None) -> str:
    """The address of the server that runs, or that server.yaml names."""
    from molecule_approve.settings.server_settings import ServerFlags, resolve_server

    serving = who_serves(places)
    if serving is not None:
        return serving.url
    return resolve_server(ServerFlags(config=config), os.environ).public_url.value or "https://SERVER"


def _explain(added: NewRequester, url: str) -> None:
    """Tell the client's settings; the token is on stdout."""
    output.say(f"this is the token of {visible(added.name)}; it is shown once. Its client needs three settings:")
    for setting, value in (
        ("PLATFORM_URL", url),
        ("WORKSPACE_ID", added.workspace.id),
        ("MOLECULE_TOKEN", "TOKEN"),
    ):
        output.talk(f"  {setting}={value}")
    if added.is_approver:
        output.say(
            f"{visible(added.name)} is also an approver: that counts as one person, who may not decide these requests "
            "if there is another approver"
        )


@app.command("list", cls=CliCommand, epilog="molecule-approve requesters list --workspace payments")
def list_requesters(workspace: OnlyOption = None, json: options.Json = False, config: ServerConfig = None) -> int:
    """List the requesters, where they may ask, and since when."""
    with administered(config) as store:
        from molecule_approve.server import administration

        found = administration.requesters(store, workspace)
    if json:
        output.answer_json(
            [
                {
                    "name": one.name,
                    "workspace_id": one.workspace_id,
                    "workspace_name": one.workspace_name,
                    "created_at": one.created_at,
                    "built_in": one.built_in,
                    "server": one.host,
                }
                for one in found
            ]
        )
        return Exit.OK
    for one in found:
        output.answer(
            f"{visible(one.name)}  in {visible(one.workspace_name)}  since {visible(one.created_at)}{_own(one, found)}"
        )
    if not found:
        output.say(f"there is no requester yet: {output.PROGRAM} requesters add NAME")
    return Exit.OK


def _own(one: RequesterRow, listed: Sequence[RequesterRow]) -> str:
    """Whose own requester this is, if it is one of a server; of several servers each is named by its machine."""
    if not one.built_in:
        return ""
    if one.host is not None:
        return f"  (own of the server on {visible(one.host)})"
    shared = any(other.host is not None for other in listed)
    return "  (own of a server that has ended)" if shared else "  (this server's own)"


@app.command(cls=CliCommand, epilog="molecule-approve requesters revoke deploy-bot --workspace payments")
def revoke(name: NameArgument, workspace: OnlyOption = None, config: ServerConfig = None) -> int:
    """Revoke a requester; its token ends at once, also on a running server. Its open requests stay.

    It can redeem no approval any more. Approvers can still deny what it asked for.
    """
    with administered(config) as store:
        from molecule_approve.server import administration

        gone = administration.revoke_requester(store, name, workspace)
    output.say(f"{visible(gone.name)} is not a requester in {visible(gone.workspace_name)} any more; its open requests stay")
    return Exit.OK
