"""``approvers``: who may decide on this machine's embedded server, whether it runs or not, and their sign-in links."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from molecule_approve.errors import ServerError
from molecule_approve.paths import locate, who_serves
from molecule_approve.safe_text import visible

from . import output
from .exits import Exit
from .help import CliCommand, CliGroup
from .serve import server_extra

app = typer.Typer(
    name="approvers",
    help="Manage who may decide on the embedded server.",
    cls=CliGroup,
    epilog="molecule-approve approvers add alice\nmolecule-approve approvers link alice",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The approver, as shown beside a decision.")]


@app.command(cls=CliCommand, epilog="molecule-approve approvers add alice")
def add(name: NameArgument) -> int:
    """Let somebody decide, and print the new token, once and alone, on stdout."""
    with server_extra():
        from molecule_approve.server import credentials

    with credentials.opened(locate(os.environ)) as store:
        credentials.add_approver(store, name, output.answer)
    return Exit.OK


@app.command("list", cls=CliCommand, epilog="molecule-approve approvers list")
def list_approvers() -> int:
    """Show who may decide, and since when."""
    with server_extra():
        from molecule_approve.server import credentials

    with credentials.opened(locate(os.environ)) as store:
        found = credentials.approvers(store)
    for name, since in found:
        output.answer(f"{visible(name)}  since {visible(since)}")
    if not found:
        output.talk("nobody may decide yet: molecule-approve approvers add NAME")
    return Exit.OK


@app.command(cls=CliCommand, epilog="molecule-approve approvers link alice")
def link(name: NameArgument) -> int:
    """Print a sign-in link for the running server's page, good once and for a minute, alone on stdout."""
    with server_extra():
        from molecule_approve.server import credentials

    places = locate(os.environ)
    serving = who_serves(places)
    if serving is None:
        raise ServerError("no server of yours runs here", hint=f"start one: {output.PROGRAM} serve")
    url = serving.url
    with credentials.opened(places) as store:
        credentials.new_code(store, name, tell=lambda code: output.answer(credentials.sign_in_link(url, code)))
    return Exit.OK


@app.command(cls=CliCommand, epilog="molecule-approve approvers revoke alice")
def revoke(name: NameArgument) -> int:
    """Take the right to decide away, at once, also in a running server."""
    with server_extra():
        from molecule_approve.server import credentials

    with credentials.opened(locate(os.environ)) as store:
        credentials.revoke(store, name)
    output.talk(f"{visible(name)} may not decide any more")
    return Exit.OK
