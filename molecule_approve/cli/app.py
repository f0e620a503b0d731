"""Assembles the commands; no logic. A command's module is imported when that command is used, or when help lists it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from molecule_approve import __version__

from . import output

if TYPE_CHECKING:
    from collections.abc import Iterator

# In the order in which help shows them: ask, look, decide, look back, serve. The sentence is what help says in its list,
# so that help imports no command; a test holds it against the command's own.
COMMANDS = {
    "request": ("request", "Ask a person to approve ACTION, wait, and exit 0 only if they do."),
    "wait": ("request", "Take up the wait for an earlier request, and use its approval up."),
    "status": ("status", "Show how one request stands, or the workspace's newest."),
    "withdraw": ("status", "Take a pending request back."),
    "pending": ("status", "Show what waits for a decision, oldest first."),
    "review": ("review", "Go through what waits, one request at a time, and decide each."),
    "approve": ("decide", "Approve a request, as the person whose token is given."),
    "deny": ("decide", "Deny a request, as the person whose token is given."),
    "approvers": ("approvers", "Say who may decide on the embedded server."),
    "audit": ("audit.app", "Read, verify and export the audit log."),
    "serve": ("serve", "Run the embedded platform until SIGINT or SIGTERM."),
}


class _Commands(dict[str, Any]):
    """The commands by name, each made on first use."""

    def __missing__(self, name: str) -> Any:  # noqa: ANN401 - typer's own command class has no public name
        module = import_module(f"{__package__}.{COMMANDS[name][0]}")
        made = typer.main.get_command(module.app)
        # A module with several commands of its own gives a group of them; a family (audit) is one itself.
        found = made.commands.get(name, made) if isinstance(made, TyperGroup) else made
        found.name = name
        self[name] = found
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def keys(self) -> Any:  # noqa: ANN401 - typer looks for words that resemble a mistyped command
        return COMMANDS.keys()

    def get(self, name: str, default: Any = None) -> Any:  # noqa: ANN401
        return self[name] if name in COMMANDS else default


class LazyGroup(TyperGroup):
    """The program itself: importing every command to run one would cost a fifth of the start."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 - typer's own settings, passed on
        super().__init__(**settings)
        self.commands = _Commands()

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401 - typer's own context
        """The names, in our order."""
        del ctx
        return list(COMMANDS)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - typer's own classes
        """The list in the help, without importing what it lists."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, sentence) for name, (_, sentence) in COMMANDS.items()])


app = typer.Typer(
    name=output.PROGRAM,
    cls=LazyGroup,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"max_content_width": 100},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        output.answer(f"{output.PROGRAM} {__version__}")
        raise typer.Exit(0)


@app.callback(no_args_is_help=False)
def program(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Ask a person first, and let the exit code answer.

    0 is a verified approval of this very request and nothing else; 77 a no, 124 too late, 125 no verdict.
    """
    del version
