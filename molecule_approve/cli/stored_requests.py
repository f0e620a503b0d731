"""``requests import``: moves what the embedded server has stored from SQLite to PostgreSQL."""

from __future__ import annotations

import os
from typing import Annotated

from molecule_approve.errors import UsageError
from molecule_approve.paths import locate

from . import output
from .exits import Exit
from .help import CliCommand, CliGroup, commands, option
from .serve import server_extra

app = commands(
    name="requests",
    help="Move the requests of the embedded server to another database.",
    cls=CliGroup,
    epilog="molecule-approve requests import --database postgresql://approve@db.example.org/approve",
)


@app.callback()
def requests() -> None:
    """Move the requests of the embedded server to another database."""


@app.command(
    "import",
    cls=CliCommand,
    epilog="molecule-approve requests import --database postgresql://approve@db.example.org/approve",
)
def import_state(
    database: Annotated[
        str | None, option("--database", "URL", "The empty PostgreSQL database. Without it: that of server.yaml.")
    ] = None,
    config: Annotated[str | None, option("--config", "FILE", "The server's settings, instead of server.yaml.")] = None,
) -> int:
    """Copy everything from this user's SQLite database into an empty PostgreSQL database.

    Requests, decisions, approvers, requesters, workspaces and sessions are copied, all or nothing. The server must not
    run. The SQLite file stays as it is.
    """
    from molecule_approve.settings.server_settings import ServerFlags, resolve_server

    with server_extra():
        from molecule_approve.server import moving

    settings = resolve_server(ServerFlags(config=config, database=database), os.environ)
    if settings.database.value is None:
        raise UsageError("--database is missing", hint="name the empty PostgreSQL database, here or in server.yaml")
    counts = moving.move(locate(os.environ), settings.database.value)
    output.answer(f"{counts['approvals']} requests, {counts['approvers']} approvers, {counts['requesters']} requesters")
    output.say("they are copied; from now on start the server with this database. The SQLite file is kept.")
    return Exit.OK
