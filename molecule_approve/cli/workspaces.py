"""``workspaces``: the workspaces of this machine's embedded server, which keep the requests of teams apart."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from molecule_approve.safe_text import visible

from . import options, output
from .exits import Exit
from .help import CliCommand, CliGroup, commands
from .serve import ServerConfig, administered

app = commands(
    name="workspaces",
    help="Manage the workspaces of the embedded server.",
    cls=CliGroup,
    epilog="molecule-approve workspaces add payments\nmolecule-approve workspaces list",
)


@app.command(cls=CliCommand, epilog="molecule-approve workspaces add payments")
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The workspace's name, as shown with its requests.")],
    config: ServerConfig = None,
) -> int:
    """Add a workspace, and print its id alone on stdout."""
    with administered(config) as store:
        from molecule_approve.server import administration

        workspace_id = administration.add_workspace(store, name)
    output.done(workspace_id)
    again = f"{output.PROGRAM} requesters add NAME --workspace {shlex.quote(name)}"
    output.say(f"this is the id of {visible(name)}; let somebody ask there: {visible(again)}")
    return Exit.OK


@app.command("list", cls=CliCommand, epilog="molecule-approve workspaces list")
def list_workspaces(json: options.Json = False, config: ServerConfig = None) -> int:
    """List the workspaces: name, id, how many may ask there, and how many requests are open."""
    with administered(config) as store:
        from molecule_approve.server import administration

        found = administration.workspaces(store)
    if json:
        output.answer_json(
            [
                {
                    "name": one.name,
                    "id": one.id,
                    "created_at": one.created_at,
                    "requesters": [*one.requesters],
                    "open_requests": one.open_requests,
                }
                for one in found
            ]
        )
        return Exit.OK
    for one in found:
        counts = f"{_count(len(one.requesters), 'requester')}, {_count(one.open_requests, 'open request')}"
        output.answer(f"{visible(one.name)}  {visible(one.id)}  {counts}")
    if not found:
        output.say(f"there is no workspace yet: {output.PROGRAM} serve makes one, or {output.PROGRAM} workspaces add NAME")
    return Exit.OK


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


@app.command(cls=CliCommand, epilog="molecule-approve workspaces remove payments")
def remove(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The workspace's name or id.")], config: ServerConfig = None
) -> int:
    """Remove a workspace that has no requesters and no open requests. Its earlier requests are kept."""
    with administered(config) as store:
        from molecule_approve.server import administration

        gone = administration.remove_workspace(store, name)
    output.say(f"the workspace {visible(gone.name)} is removed; nobody can ask or decide there any more")
    return Exit.OK
