"""The family of ``hook``: one command a host, and those that put it into the host's settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

from molecule_approve.cli import options
from molecule_approve.cli.help import WAITING, CliCommand, CliGroup, commands, option
from molecule_approve.integrations.hooks.registry import HOSTS

from . import install, status, trial
from .answer import HookCommand, respond

if TYPE_CHECKING:
    from molecule_approve.integrations.hooks.interface import Host

Limit = Annotated[
    str | None,
    option(
        "--limit",
        "TIME",
        "When the host gives a hook up, as its settings say; this one ends earlier. [default: the host's default]",
        WAITING,
    ),
]
AnswerAfterYes = Annotated[
    str,
    option("--answer", "allow|none", "After an approval: allow the call, or leave it to the host's own rules.", WAITING),
]

app = commands(
    name="hook",
    help="Ask a person before an agent's tool call.",
    cls=CliGroup,
    epilog="molecule-approve hook install claude-code\nmolecule-approve hook test claude-code",
)
for managing, examples in (
    (install.install, "molecule-approve hook install claude-code\nmolecule-approve hook install codex --print"),
    (install.uninstall, "molecule-approve hook uninstall claude-code"),
    (status.status, "molecule-approve hook status"),
    (trial.test, "molecule-approve hook test claude-code"),
):
    app.command(cls=CliCommand, epilog=examples)(managing)


def _plain(host: Host) -> Callable[..., int]:
    def hook(connection: options.ConnectionOptions, limit: Limit = None) -> int:
        return respond(host, limit, connection)

    return hook


def _with_answer(host: Host) -> Callable[..., int]:
    def hook(connection: options.ConnectionOptions, limit: Limit = None, answer: AnswerAfterYes = "allow") -> int:
        return respond(host, limit, connection, answer)

    return hook


for name, host in HOSTS.items():
    command = (_with_answer if name == "claude-code" else _plain)(host)
    command.__doc__ = f"""Answer a hook of {host.title}.

    It reads the tool call from stdin, and asks a person about it.
    Exits 0 if the call may be made, and 2, which blocks it, in every other case.
    """
    app.command(name, cls=HookCommand, epilog=f"molecule-approve hook {name} --limit 3600 < event.json")(
        options.connected(command)
    )
