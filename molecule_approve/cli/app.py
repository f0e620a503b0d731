"""The list of commands. A command's module is imported when the command runs, or for its own help."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from molecule_approve import __version__

from . import output
from .help import CliGroup

if TYPE_CHECKING:
    from collections.abc import Iterator

# In the order of the help. Each sentence is the first of the command's own help, and a test holds the two together: the
# list imports no command.
COMMANDS = {
    "request": ("request", "Ask a person to approve ACTION, wait, and exit 0 only if they do."),
    "run": ("run", "Ask a person to approve COMMAND, and execute exactly that if they do."),
    "wait": ("wait", "Wait for an earlier request, and redeem its approval."),
    "status": ("status", "Show one request, or the newest ones."),
    "withdraw": ("status", "Withdraw a pending request."),
    "pending": ("status", "List the requests that wait for a decision, oldest first."),
    "review": ("review", "Go through the pending requests, and decide each."),
    "approve": ("decide", "Approve a request."),
    "deny": ("decide", "Deny a request."),
    "receipt": ("receipt.app", "Fetch the receipt of a request, or check one."),
    "requests": ("stored_requests", "Move the requests of the embedded server to another database."),
    "approvers": ("approvers", "Manage who may decide on the embedded server."),
    "requesters": ("requesters", "Manage who may ask on the embedded server."),
    "workspaces": ("workspaces", "Manage the workspaces of the embedded server."),
    "policy": ("policy.app", "Check, explain and test the rules of the embedded server."),
    "hook": ("hook.app", "Ask a person before an agent's tool call."),
    "audit": ("audit.app", "Read, verify and export the audit log."),
    "serve": ("serve", "Run the embedded server until SIGINT or SIGTERM."),
    "mcp": ("mcp", "Let an agent request approvals over MCP, on stdin and stdout."),
    "doctor": ("doctor", "Check whether a request would work here, and whether an approval would prove anything."),
    "help": ("help", "Show the help of a command."),
}


class _Commands(dict[str, Any]):
    """The commands by name, each imported on first use."""

    def __missing__(self, name: str) -> Any:  # noqa: ANN401 - typer's own command class has no public name
        module = import_module(f"{__package__}.{COMMANDS[name][0]}")
        made = typer.main.get_command(module.app)
        # A module with several commands becomes a group of them; a family (audit) is a group itself.
        found = made.commands.get(name, made) if isinstance(made, TyperGroup) else made
        found.name = name
        self[name] = found
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def keys(self) -> Any:  # noqa: ANN401 - typer looks for names that resemble a mistyped command
        return COMMANDS.keys()

    def get(self, name: str, default: Any = None) -> Any:  # noqa: ANN401
        return self[name] if name in COMMANDS else default


class LazyGroup(CliGroup):
    """The program itself: importing every command to run one would cost a fifth of the start."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 - typer's own settings, passed on
        super().__init__(**settings)
        self.commands = _Commands()

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401 - typer's own context
        """The names, in the order of the help."""
        del ctx
        return list(COMMANDS)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - typer's own classes
        """The list in the help, without an import of the commands."""
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
    epilog=f"""\
{output.PROGRAM} run -- terraform destroy -auto-approve
{output.PROGRAM} request -- "drop the staging database" && ./drop-staging.sh
{output.PROGRAM} pending
{output.PROGRAM} help run""",
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
    """Ask a person to approve a command or an action, and continue only if they do.

    Exit codes of request and wait: 0 approved, and nothing else; 2 usage error; 8 pending; 77 denied; 124 timed out; 125 no
    verdict. With run, the exit code is the command's own once it has started.
    """
    del version
