"""The options that commands share, and the settings and the platform that follow from them.

What reads settings raises UsageError or ConfigError, as ``settings.resolve`` does.
"""

from __future__ import annotations

import contextlib
import inspect
import os
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, get_type_hints

import typer

from molecule_approve.errors import CredentialError, UnavailableError
from molecule_approve.safe_text import visible

from . import output, slips
from .help import CONNECTION, OUTPUT, CliCommand, option

if TYPE_CHECKING:
    from pathlib import Path

    from molecule_approve.client.rest import RestPlatform
    from molecule_approve.model import Secret
    from molecule_approve.settings.resolve import Flags, Settings

Config = Annotated[
    str | None,
    option("--config", "PATH", "config.yaml or its folder. [env:WORKSPACE_CONFIG_PATH]", CONNECTION),
]
PlatformUrl = Annotated[
    str | None,
    option(
        "--platform-url",
        "URL",
        "Address of the platform, or 'local' for your own embedded server. [env:PLATFORM_URL]",
        CONNECTION,
    ),
]
WorkspaceId = Annotated[
    str | None,
    option("--workspace-id", "ID", "The workspace of the requests. [env:WORKSPACE_ID]", CONNECTION),
]
AuditLog = Annotated[
    str | None,
    option("--audit-log", "PATH", "The audit log. [env:AUDIT_LOG_PATH]", CONNECTION),
]
Json = Annotated[bool, option("--json", None, "Print JSON on stdout.", OUTPUT)]
QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print nothing but errors on stderr.", rich_help_panel=OUTPUT)
]

READ = 10.0
"""Seconds that one read for a person may take."""

SHORTEST_ID = 6
"""The least number of characters of an id's beginning; the help says it in words."""


class GateCommand(CliCommand):
    """A command whose 0 means yes: its help ends with 2, so that ``request "$X"`` never says yes to a hostile word."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]  # typer names its copy
        """Parse, and turn the end after ``--help`` into a usage error; ``--timeout 5 minutes`` is another one."""
        given = list(args)
        try:
            left = super().parse_args(ctx, args)
        except typer.Exit as exc:
            raise typer.Exit(2) from exc
        slips.check_durations(self, self.own(ctx, given))
        return left

    def own(self, _ctx: typer.Context, given: list[str]) -> list[str]:
        """The words among which this command's options are."""
        return given[: given.index("--")] if "--" in given else given


class ConnectionOptions(NamedTuple):
    """The options of every command that contacts a platform, as they were typed."""

    config: Config = None
    platform_url: PlatformUrl = None
    workspace_id: WorkspaceId = None
    audit_log: AuditLog = None

    def settings(self, *, quiet: bool = False, **flags: Any) -> Settings:  # noqa: ANN401 - checked where Flags is made
        """All settings, with further fields of ``Flags``; a warning on stderr for each that needs one, unless ``quiet``."""
        from molecule_approve.settings.resolve import Flags

        return settings(Flags(**self._asdict(), **flags), quiet=quiet)

    @contextlib.contextmanager
    def platform(self, approver: Secret | None = None) -> Iterator[tuple[Settings, RestPlatform]]:
        """The settings and the platform they name, until the block ends."""
        found = self.settings()
        with open_platform(found, approver) as platform:
            yield found, platform


@contextlib.contextmanager
def open_platform(
    settings: Settings, approver: Secret | None = None, *, any_workspace: bool = False
) -> Iterator[RestPlatform]:
    """The platform that the settings name, until the block ends; see ``wiring.platform``."""
    from molecule_approve import wiring

    with contextlib.closing(wiring.platform(settings, approver=approver, any_workspace=any_workspace)) as platform:
        try:
            yield platform
        except UnavailableError as exc:
            exc.hint = settings.hint_on_unreachable(exc.hint)
            raise


@contextlib.contextmanager
def approver_platform(settings: Settings, approver: Secret) -> Iterator[RestPlatform]:
    """The platform for an approver, who has to name no workspace where the platform lists the requests of all.

    Raises:
        UsageError: no workspace is set, and the platform has no such list.
    """
    from molecule_approve.clock import Deadline
    from molecule_approve.settings.resolve import require_workspace

    anywhere = not (settings.workspace_id.value or settings.local)
    with named(), open_platform(settings, approver, any_workspace=anywhere) as platform:
        if anywhere and platform.queue(Deadline.after(READ)) is None:
            require_workspace(settings)
        yield platform


@contextlib.contextmanager
def named() -> Iterator[None]:
    """Around calls with the approver's token: if it is refused, the error names the token and its variable."""
    try:
        yield
    except CredentialError as exc:
        hint = "check MOLECULE_APPROVER_TOKEN: it must be the token of an approver who may decide in this workspace"
        if exc.status == HTTPStatus.UNAUTHORIZED:
            # The platform's own sentence speaks of a workspace's token, whoever's it was.
            exc.message = "the platform does not know this approver's token (401)"
            hint = "check MOLECULE_APPROVER_TOKEN: it must be an approver's token, and not be revoked"
        exc.hint = hint
        raise


def connected(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command the options of each group among its parameters, such as ``connection: ConnectionOptions``."""
    parameters = inspect.signature(command, eval_str=True).parameters.values()
    groups = {found.name: found.annotation for found in parameters if hasattr(found.annotation, "_fields")}

    def run(**given: Any) -> int:  # noqa: ANN401 - what typer read
        gathered = {name: group(**{field: given.pop(field) for field in group._fields}) for name, group in groups.items()}
        return command(**gathered, **given)

    kind = inspect.Parameter.KEYWORD_ONLY
    flat: list[inspect.Parameter] = []
    for found in parameters:
        if (group := groups.get(found.name)) is None:
            flat.append(found.replace(kind=kind))
            continue
        of, default = get_type_hints(group, include_extras=True), group._field_defaults
        flat += [inspect.Parameter(name, kind, default=default[name], annotation=of[name]) for name in group._fields]
    # typer reads both.
    run.__signature__ = inspect.Signature(flat)  # type: ignore[attr-defined]  # of every function, says inspect
    run.__annotations__ = {found.name: found.annotation for found in flat}
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    return run


def settings(flags: Flags, *, quiet: bool = False) -> Settings:
    """All settings, with a warning on stderr for each that needs one."""
    from molecule_approve import paths
    from molecule_approve.settings import resolve

    environ = dict(os.environ)
    found = resolve.resolve(flags, environ, paths.locate(environ), at_terminal=output.at_terminal())
    for warning in () if quiet else found.warnings:
        output.say(f"warning: {visible(warning)}")
    return found


def audit_log_path(config: str | None, audit_log: str | None) -> Path:
    """The path of the audit log, for commands that contact no platform."""
    from molecule_approve import paths
    from molecule_approve.settings import resolve

    environ = dict(os.environ)
    flags = resolve.Flags(config=config, audit_log=audit_log)
    return resolve.resolve_audit_log(flags, environ, paths.locate(environ)).value
