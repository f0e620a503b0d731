"""The options that commands share, and how they become settings."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperCommand

from molecule_approve.safe_text import visible

from . import output

if TYPE_CHECKING:
    from pathlib import Path

    from molecule_approve.settings.resolve import Flags, Settings

Config = Annotated[
    str | None, typer.Option("--config", metavar="PATH", help="config.yaml, or the folder it is in. [WORKSPACE_CONFIG_PATH]")
]
PlatformUrl = Annotated[
    str | None,
    typer.Option("--platform-url", metavar="URL", help="Base address of the platform, or 'local'. [PLATFORM_URL]"),
]
WorkspaceId = Annotated[
    str | None, typer.Option("--workspace-id", metavar="ID", help="The workspace that asks. [WORKSPACE_ID]")
]
AuditLog = Annotated[str | None, typer.Option("--audit-log", metavar="PATH", help="The audit log. [AUDIT_LOG_PATH]")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing on stderr but errors.")]


SHORTEST_ID = 6
"""Characters of an id that are asked for at least, where its beginning will do; the help says so in words."""


class GateCommand(TyperCommand):
    """A command whose 0 means yes: its help ends with 2, so that ``request "$X"`` never says yes to a hostile word."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]  # typer names its copy
        """Parse, and turn the end after ``--help`` into a usage error."""
        try:
            return super().parse_args(ctx, args)
        except typer.Exit as exc:
            raise typer.Exit(2) from exc


def settings(flags: Flags, *, quiet: bool = False) -> Settings:
    """All settings, with a warning on stderr for each that needs one.

    Raises:
        UsageError, ConfigError: see ``config.resolve``.

    """
    from molecule_approve import paths  # noqa: PLC0415 - help needs neither
    from molecule_approve.settings import resolve as config  # noqa: PLC0415 - help needs neither

    environ = dict(os.environ)
    found = config.resolve(flags, environ, paths.locate(environ), at_terminal=output.at_terminal())
    for warning in () if quiet else found.warnings:
        output.talk(f"{output.PROGRAM}: warning: {visible(warning)}")
    return found


def audit_log_path(config: str | None, audit_log: str | None) -> Path:
    """Where the audit log is, for commands that speak to nobody.

    Raises:
        UsageError, ConfigError: see ``config.resolve_audit_log``.

    """
    from molecule_approve import paths  # noqa: PLC0415
    from molecule_approve.settings import resolve as configuration  # noqa: PLC0415 - help needs neither

    environ = dict(os.environ)
    flags = configuration.Flags(config=config, audit_log=audit_log)
    return configuration.resolve_audit_log(flags, environ, paths.locate(environ)).value
