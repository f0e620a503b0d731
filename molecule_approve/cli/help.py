"""How help looks: options in groups, examples as they are typed; and ``help COMMAND``, which shows it too."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from molecule_approve.errors import UsageError
from molecule_approve.safe_text import visible

from . import output

ASK, RUNNING, FILTERS, WAITING, OUTPUT, CONNECTION = (
    "What to ask",
    "What to run",
    "Filters",
    "Waiting",
    "Output",
    "Connection",
)
"""The groups of options. One that is in none of them stands under "Options"."""

_ORDER = ("Arguments", ASK, RUNNING, FILTERS, WAITING, OUTPUT, CONNECTION, "Options")


class _Page:
    """The help page of a command or of a family of them."""

    epilog: str | None

    def get_help_option_names(self, ctx: Any) -> list[str]:  # noqa: ANN401 - typer's own context
        """``-h`` too, wherever the command stands."""
        del ctx
        return ["-h", "--help"]

    def format_options(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - typer's own classes
        """Arguments, then the options by group, then the commands of a family."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):  # type: ignore[attr-defined]  # typer's, and it names no public base class
            is_option = param.param_type_name == "option"
            title = (param.rich_help_panel or "Options") if is_option else "Arguments"
            groups.setdefault(title, []).append(param.get_help_record(ctx))
        for title in sorted(groups, key=_ORDER.index):
            with formatter.section(title):
                formatter.write_dl(groups[title])
        if isinstance(self, TyperGroup):
            self.format_commands(ctx, formatter)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - typer's own classes
        """The examples, which are copied: no line is broken."""
        del ctx
        with formatter.section("Examples"):
            for line in examples(self.epilog):
                formatter.write(f"{'':>{formatter.current_indent}}{line}\n")


class CliCommand(_Page, TyperCommand):
    """One command; its ``epilog`` holds examples, one a line."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:  # noqa: ANN401 - typer's own context
        """``ACTION``, where typer writes ``{ACTION}``."""
        return [piece.strip("{}") for piece in super().collect_usage_pieces(ctx)]


class CliGroup(_Page, TyperGroup):
    """A family of commands; without one of them it shows its help."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - typer's own context
        """Show the help where nothing is asked for, and leave with 2: nothing was done."""
        if not args and not ctx.resilient_parsing:
            output.talk(ctx.get_help())
            raise typer.Exit(2)
        return super().parse_args(ctx, args)


def examples(epilog: str | None) -> list[str]:
    """The examples of a command, one a line."""
    return [line.strip() for line in (epilog or "").strip().splitlines()]


def commands(**settings: Any) -> typer.Typer:  # noqa: ANN401 - typer's own settings
    """A place for commands; help, errors and completion are ours, not typer's."""
    return typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, **settings)


def option(name: str, metavar: str | None, text: str, group: str | None = None, **more: Any) -> Any:  # noqa: ANN401 - as typer's
    """One option of a group; ``metavar`` is its value in the help, None for a switch. ``more`` are settings of typer's."""
    return typer.Option(name, metavar=metavar, help=text, rich_help_panel=group, **more)


app = commands()


@app.command("help", cls=CliCommand, epilog="molecule-approve help request\nmolecule-approve help audit verify")
def show_help(
    ctx: typer.Context,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[COMMAND]...", help="The command, such as audit verify.")
    ] = None,
) -> int:
    """Show the help of a command."""
    context: Any = ctx.parent
    for word in words or []:
        found = context.command.get_command(context, word) if isinstance(context.command, TyperGroup) else None
        if found is None:
            raise UsageError(
                f"no such command: {visible(' '.join(words or []))}", hint=f"`{output.PROGRAM} help` lists the commands"
            )
        context = typer.Context(found, info_name=word, parent=context)
    output.answer(context.get_help())
    return 0
