"""``wait``: the verdict on an earlier request, and the exit code that a script gates on."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Annotated

import typer

from molecule_approve.clock import Deadline

from . import options
from .gating import GatingCommand, WaitingOptions, judge, scene
from .help import WAITING, commands, option

app = commands()


@app.command(
    "wait",
    cls=options.GateCommand,
    epilog="""
        molecule-approve wait 3f2a1c && ./rotate-keys.sh
        molecule-approve wait --timeout 1h --withdraw "$(cat request.id)"
    """,
)
@options.connected
def wait(
    waiting: WaitingOptions,
    connection: options.ConnectionOptions,
    approval: Annotated[
        str, typer.Argument(metavar="ID", help="The request's id, or at least six characters of its beginning.")
    ],
    action: Annotated[
        str | None,
        option("--action", "TEXT", "The action as it was requested; required if it is not in the local audit log.", WAITING),
    ] = None,
    withdraw: Annotated[
        bool,
        option("--withdraw", None, "Withdraw the request at the timeout or on a signal.", WAITING),
    ] = False,
) -> int:
    """Wait for an earlier request, and redeem its approval.

    Exits as request does. At the timeout it exits 8 (pending) and the request stays open, unless --withdraw is given.
    """

    def run(command: GatingCommand) -> int:
        from molecule_approve import wiring

        from .requests import earlier, find_id

        with command.stop.open():
            settings = waiting.settings(connection)
            end = Deadline.after(settings.timeout.value)
            command.files.clear(settings)
            with options.open_platform(settings) as platform:
                approval_id = find_id(platform, approval, end)
            request, submitted = earlier(wiring.journal(settings), settings.workspace_id.value, approval_id, action)
            progress = command.progress(scene(settings, request.action, earlier=True))
            made = wiring.gate(settings, command.stop, progress)
            # One deadline for everything: finding the id took its part.
            terms = replace(wiring.terms(settings, withdraw=withdraw), timeout=round(end.left(), 3))
        ask = partial(made.gate.resume, request, submitted, terms)
        return judge(settings, made, progress, ask, partial(command.deliver, made, request))

    return waiting.run(None, run)
