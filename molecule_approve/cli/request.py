"""``request``: a request, a verdict, and the exit code that a script gates on."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import Annotated

import typer

from molecule_approve.errors import UsageError

from . import options
from .gating import AskingOptions, BindingOptions, GatingCommand, WaitingOptions, judge, scene
from .help import RUNNING, WAITING, commands, option

app = commands()


class RequestCommand(options.GateCommand):
    """The action is one word; with ``--for`` it is a command of any number."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]  # typer names its copy
        """Parse, and refuse an action of several words."""
        left = super().parse_args(ctx, args)
        several = (ctx.params["words"] or [])[1:]
        if several and not ctx.params["for_command"]:
            ctx.fail(f"Got unexpected extra arguments ({' '.join(several)})")
        return left


@app.command(
    "request",
    cls=RequestCommand,
    epilog="""
        molecule-approve request -- "drop the staging database" && ./drop-staging.sh
        molecule-approve request --timeout 10m --context ticket=OPS-12 -- "rebuild staging"
        id=$(molecule-approve request --no-wait -- "rotate the keys")   # exits 8
        id=$(molecule-approve request --for -- terraform destroy)   # exits 8
    """,
)
@options.connected
def request(
    asking: AskingOptions,
    waiting: WaitingOptions,
    binding: BindingOptions,
    connection: options.ConnectionOptions,
    words: Annotated[
        list[str],
        typer.Argument(metavar="ACTION", help="What is to be done, in at most 4,096 characters, as one argument: quote it."),
    ],
    for_command: Annotated[
        bool,
        option(
            "--for",
            None,
            "Request approval of the command after --, for `run --approval ID` later, on any machine; exits 8 (pending).",
            RUNNING,
        ),
    ] = False,
    no_wait: Annotated[
        bool,
        option("--no-wait", None, "Do not wait: print the request's id and exit 8 (pending).", WAITING),
    ] = False,
) -> int:
    """Ask a person to approve ACTION, wait, and exit 0 only if they do.

    Other exit codes: 2 usage error, 8 pending (with --no-wait or --for), 77 denied, 124 timed out, 125 no verdict.
    """
    no_wait = no_wait or for_command

    def run(command: GatingCommand) -> int:
        from molecule_approve import wiring

        if any(binding) and not for_command:
            raise UsageError("--strict and --keep-env are about a command", hint="add --for: request --for -- COMMAND")
        # Nothing is requested yet: a signal ends even an import that hangs (a network file system) at once.
        with command.stop.open():
            action, hidden = words[0], None
            if for_command:
                with contextlib.closing(binding.bind(words, any_host=True)) as bound:
                    action, hidden = bound.command.text, bound.command.secrets
            settings = waiting.settings(connection)
            request = asking.compose(settings, action, wait=not no_wait, hidden=hidden)
            progress = command.progress(scene(settings, action, request.reason), wait=not no_wait)
            made = wiring.gate(settings, command.stop, progress)
            terms = wiring.terms(settings, wait=not no_wait)
            command.files.clear(settings)
        ask = partial(made.gate.request, request, terms, made.permit)
        return judge(settings, made, progress, ask, partial(command.deliver, made, request))

    return waiting.run(asking.id_file, run, id_alone=no_wait)
