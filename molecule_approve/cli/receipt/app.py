"""The family of ``receipt``: ``receipt ID`` is short for ``receipt show ID``."""

from __future__ import annotations

from typing import Any

from molecule_approve.cli.help import CliCommand, CliGroup, commands

from . import show, verify


class ReceiptGroup(CliGroup):
    """Takes an id, or its options, where a command is expected: no id has a command's name."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - typer's own context
        """Parse, with ``show`` in front of what belongs to it."""
        own = {*self.commands, *self.get_help_option_names(ctx)}
        if args and args[0] not in own:
            args = ["show", *args]
        return super().parse_args(ctx, args)


app = commands(
    name="receipt",
    help="Fetch the receipt of a request, or check one.",
    cls=ReceiptGroup,
    epilog="molecule-approve receipt 3f2a1c\nmolecule-approve receipt verify receipt.json --approvers approvers.keys",
)
for command, examples in (
    (
        show.show,
        "molecule-approve receipt 3f2a1c > receipt.json\nmolecule-approve receipt show 3f2a1c --output receipt.json",
    ),
    (verify.verify, "molecule-approve receipt verify receipt.json --approvers approvers.keys"),
):
    app.command(cls=CliCommand, epilog=examples)(command)
