"""``approvers``: the approvers of this machine's embedded server, running or not, and their sign-in links."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from molecule_approve.errors import ServerError, UsageError
from molecule_approve.paths import locate, who_serves
from molecule_approve.safe_text import visible

from . import output
from .exits import Exit
from .help import CliCommand, CliGroup, commands
from .options import ConnectionOptions, PlatformUrl, open_platform
from .requests import READ
from .serve import NOBODY, administered, server_extra

app = commands(
    name="approvers",
    help="Manage who may decide on the embedded server.",
    cls=CliGroup,
    epilog="molecule-approve approvers add alice\nmolecule-approve approvers link",
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The approver's name, as shown with a decision.")]


@app.command(cls=CliCommand, epilog="molecule-approve approvers add alice")
def add(name: NameArgument) -> int:
    """Add an approver, and print the token alone on stdout.

    The token is shown once; the server keeps only its hash.
    """
    with server_extra():
        from molecule_approve.server import credentials

    with administered() as store:
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

    with administered() as store:
        found = credentials.approvers(store)
    for name, since in found:
        output.answer(f"{visible(name)}  since {visible(since)}")
    if not found:
        _say(NOBODY)
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
) -> int:
    """Print a sign-in link for the server's page, alone on stdout.

    The link works once, within a minute. Without NAME it signs in the approver whose token is in
    MOLECULE_APPROVER_TOKEN; if that is not set, the token is asked for at the terminal.
    """
    if name is None:
        return _link_by_token(platform_url)
    if platform_url is not None:
        raise UsageError(
            "a link for NAME is made on the server's machine, without contacting a platform",
            hint="omit NAME for a link by your token, or omit --platform-url",
        )
    return _link_by_name(name)


def _link_by_token(platform_url: str | None) -> int:
    from molecule_approve.clock import Deadline

    from .decide import named, stoppable, token

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


def _link_by_name(name: str) -> int:
    with server_extra():
        from molecule_approve.server import credentials

    places = locate(os.environ)
    serving = who_serves(places)
    if serving is None:
        hint = f"start one: {output.PROGRAM} serve; for a link by your token from another machine, omit NAME"
        raise ServerError("no embedded server of this user is running", hint=hint)
    url = serving.url
    with administered() as store:
        credentials.new_code(store, name, tell=lambda code: output.answer(credentials.sign_in_link(url, code)))
    _say_linked(name)
    return Exit.OK


def _say_linked(name: str) -> None:
    _say(f"this link signs {name} in; it is shown once, and works once, within a minute")


@app.command(cls=CliCommand, epilog="molecule-approve approvers revoke alice")
def revoke(name: NameArgument) -> int:
    """Remove an approver; the token and all sessions end at once, also on a running server."""
    with server_extra():
        from molecule_approve.server import credentials

    with administered() as store:
        credentials.revoke(store, name)
    _say(f"{name} is not an approver any more")
    return Exit.OK
