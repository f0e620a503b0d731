"""The one boundary: here an exception becomes a message and a number, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence

import typer
from typer._click.exceptions import ClickException

from molecule_approve.errors import ApprovalError, DeliveryError, Interrupted
from molecule_approve.safe_text import visible

from . import exits, output
from .app import app
from .exits import Exit


def main(argv: Sequence[str]) -> int:
    """Run one command and return its exit code. It is never 0 by accident: only a command that says so makes it 0.

    Args:
        argv: the arguments after the program's name.

    """
    output.prepare()
    try:
        command = typer.main.get_command(app)
        # Not the library's own main(): that answers completion variables, and maps a crash to 1.
        with command.make_context(output.PROGRAM, list(argv)) as context:
            code = command.invoke(context)
    except typer.Exit as exc:
        return exc.exit_code
    except ClickException as exc:
        output.talk(f"{output.PROGRAM}: {visible(exc.format_message())}")
        output.talk(f"{output.PROGRAM}: hint: see {output.PROGRAM} --help")
        return Exit.USAGE
    except DeliveryError as exc:
        output.complain(exc)
        return Exit.FAILED
    except ApprovalError as exc:
        output.complain(exc)
        return exits.of_error(exc)
    except Interrupted as exc:
        return 128 + exc.signum
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except Exception as exc:  # noqa: BLE001 - a fault of ours must not look like a verdict, nor show secrets in a traceback
        output.talk(f"{output.PROGRAM}: this is a fault of the program: {visible(f'{type(exc).__name__}: {exc}')}")
        return Exit.FAILED
    # A command that forgot to say how it went has not said yes.
    return code if isinstance(code, int) else Exit.FAILED
