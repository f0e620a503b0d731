"""``receipt ID``: who decided an ended request, with the proofs, as one file that the server has signed."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from molecule_approve.cli import options, output
from molecule_approve.cli.exits import Exit
from molecule_approve.cli.new_file import write_new
from molecule_approve.clock import Deadline

if TYPE_CHECKING:
    from collections.abc import Iterator

    from molecule_approve.client.rest import RestPlatform
    from molecule_approve.settings.resolve import Settings


@options.connected
def show(
    connection: options.ConnectionOptions,
    approval: Annotated[
        str, typer.Argument(metavar="ID", help="The request's id, or at least six characters of its beginning.")
    ],
    target: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="PATH", help="Write to this file, which must not exist yet. [default: stdout]"
        ),
    ] = None,
) -> int:
    """Write the receipt of an ended request: every decision, with the proof that came with it, signed by the server.

    It proves nothing by itself: receipt verify checks it against keys that you keep.
    """
    from molecule_approve.cli.requests import find_id
    from molecule_approve.proofs.canonical import canonical

    settings = connection.settings()
    with _opened(settings) as platform:
        approval_id = find_id(platform, approval, Deadline.after(options.READ))
        receipt = canonical(platform.receipt(approval_id, Deadline.after(options.READ)))
    if target is None:
        output.raw_bytes(receipt + b"\n")
    else:
        write_new(Path(target), receipt + b"\n")
    return Exit.OK


@contextlib.contextmanager
def _opened(settings: Settings) -> Iterator[RestPlatform]:
    """The platform, as the approver whose token is set, or else as the workspace."""
    from molecule_approve.settings.resolve import approver_token

    approver = approver_token(os.environ)
    with contextlib.ExitStack() as stack:
        if approver is not None:
            stack.enter_context(options.named())
        yield stack.enter_context(options.open_platform(settings, approver))
