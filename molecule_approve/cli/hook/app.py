"""The commands of ``hook``, put together."""

from __future__ import annotations

from molecule_approve.cli.help import CliCommand, CliGroup, commands

from . import install, status

app = commands(
    name="hook",
    help="Ask a person before an agent's tool call.",
    cls=CliGroup,
    epilog="molecule-approve hook install claude-code\nmolecule-approve hook test claude-code",
)
for command, examples in (
    (install.install, "molecule-approve hook install claude-code\nmolecule-approve hook install codex --print"),
    (install.uninstall, "molecule-approve hook uninstall claude-code"),
    (status.status, "molecule-approve hook status"),
):
    app.command(cls=CliCommand, epilog=examples)(command)
