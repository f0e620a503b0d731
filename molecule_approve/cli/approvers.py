"""``approvers``: the approvers of this machine's embedded server, running or not, and their sign-in links."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from molecule_approve.errors import ServerError
from molecule_approve.paths import locate, who_serves
from molecule_approve.safe_text import visible

from . import output
from .exits import Exit
from .help import CliCommand, CliGroup, commands
from .serve import NOBODY, server_extra

app = commands(
    name="approvers",
    help="Manage who may decide on the embedded server.",
    cls=CliGroup,
    epilog="molecule-approve approvers add alice\nmolecule-approve approvers link alice",
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The approver's name, as shown with a decision.")]


@app.command(cls=CliCommand, epilog="molecule-approve approvers add alice")
def add(name: NameArgument) -> int:
    """Add an approver, and print the token alone on stdout.

    The token is shown once; the server keeps only its hash.
    """
    with server_extra():
        from molecule_approve.server import credentials

    with credentials.opened(locate(os.environ)) as store:
        credentials.add_approver(store, name, output.answer)
    _say(f"this is the token of {name}; it is shown once. approve, deny and review read it from MOLECULE_APPROVER_TOKEN")
    return Exit.OK


def _say(sentence: str) -> None:
    output.say(f"{visible(sentence)}")


@app.command("list", cls=CliCommand, epilog="molecule-approve approvers list")
def list_approvers() -> int:
    """List the approvers, and since when they may decide."""
    with server_extra():
        from molecule_approve.server import credentials

    with credentials.opened(locate(os.environ)) as store:
        found = credentials.approvers(store)
    for name, since in found:
        output.answer(f"{visible(name)}  since {visible(since)}")
    if not found:
        _say(NOBODY)
    return Exit.OK


@app.command(cls=CliCommand, epilog="molecule-approve approvers link alice")
def link(name: NameArgument) -> int:
    """Print a sign-in link for the running server's inbox page, alone on stdout.

    The link works once, within a minute.
    """
    with server_extra():
        from molecule_approve.server import credentials

    places = locate(os.environ)
    serving = who_serves(places)
    if serving is None:
        raise ServerError("no embedded server of this user is running", hint=f"start one: {output.PROGRAM} serve")
    url = serving.url
    with credentials.opened(places) as store:
        credentials.new_code(store, name, tell=lambda code: output.answer(credentials.sign_in_link(url, code)))
    _say(f"this link signs {name} in; it is shown once, and works once, within a minute")
    return Exit.OK


@app.command(cls=CliCommand, epilog="molecule-approve approvers revoke alice")
def revoke(name: NameArgument) -> int:
    """Remove an approver; the token and all sessions end at once, also on a running server."""
    with server_extra():
        from molecule_approve.server import credentials

    with credentials.opened(locate(os.environ)) as store:
        credentials.revoke(store, name)
    _say(f"{name} is not an approver any more")
    return Exit.OK
