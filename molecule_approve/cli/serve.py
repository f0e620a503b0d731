"""``serve``: the embedded platform, run until it is told to stop. What it does is in ``server/``."""

from __future__ import annotations

import getpass
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from molecule_approve.errors import ServerError, UsageError
from molecule_approve.safe_text import visible

from . import output
from .exits import Exit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from molecule_approve.server.run import Prepared

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@contextmanager
def server_extra() -> Iterator[None]:
    """Around the import of what the extra ``server`` brings.

    Raises:
        ServerError: it is not installed.

    """
    try:
        yield
    except ImportError as exc:
        hint = "pip install 'molecule-approve[server]', or use another platform"
        raise ServerError("the libraries of the embedded server are not installed", hint=hint) from exc


@app.command()
def serve(
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="The loopback address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", metavar="NUMBER", min=0, max=65_535, help="The port; 0 takes a free one.")
    ] = 8788,
    anonymous: Annotated[
        bool,
        typer.Option("--anonymous-requests", help="Let clients without a token ask, list and listen; never decide."),
    ] = False,
) -> int:
    """Run the embedded platform until SIGINT or SIGTERM; one line on stdout, its address, when it is ready."""
    from molecule_approve.places import locate  # noqa: PLC0415 - help needs none of it

    with server_extra():
        from molecule_approve.server import run  # noqa: PLC0415
    plan = run.Plan(locate(os.environ), host, port, anonymous, complain=_complain)
    run.serve(plan, _welcome)
    return Exit.OK


def _complain(sentence: str) -> None:
    output.talk(f"{output.PROGRAM}: {visible(sentence)}")


def _welcome(server: Prepared) -> None:
    """Say what must be known, and last of all, on stdout, the address: whoever waits for that line can ask at once."""
    from molecule_approve.server import credentials  # noqa: PLC0415 - loaded by now

    if server.plan.anonymous:
        _complain("clients without a token may ask, list and listen (--anonymous-requests)")
    if not credentials.approvers(server.store):
        _first_approver(server)
    output.answer(server.url)


def _first_approver(server: Prepared) -> None:
    from molecule_approve.config import in_ci  # noqa: PLC0415 - help needs neither
    from molecule_approve.server import credentials  # noqa: PLC0415

    if not output.at_terminal() or in_ci(os.environ):
        _complain("nobody may decide yet: molecule-approve approvers add NAME")
        return
    try:
        name = getpass.getuser()
        token = credentials.add_approver(server.store, name)
    except (UsageError, OSError, KeyError):
        # An account without a name, or with one that would deceive: its owner chooses another.
        _complain("nobody may decide yet: molecule-approve approvers add NAME")
        return
    output.talk(f"You may decide, as {name}, with this token; it is shown once:")
    output.talk(f"  {token}")
    output.talk("Keep it where no program that asks can read it; approve and deny want it in MOLECULE_APPROVER_TOKEN.")
