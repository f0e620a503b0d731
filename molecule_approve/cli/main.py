"""The one boundary: only here an exception becomes a message and an exit code."""

from __future__ import annotations

import errno
from collections.abc import Sequence

import typer

from molecule_approve.errors import ApprovalError, DeliveryError, Interrupted, ours

from . import exits, output, slips
from .app import app
from .exits import Exit


def main(argv: Sequence[str]) -> int:
    """Run one command, given the arguments after the program's name; its exit code, 0 only if the command returned 0."""
    output.prepare()
    try:
        command = typer.main.get_command(app)
        # Not typer's own main(): it reads completion variables, and maps a crash to 1.
        with command.make_context(output.PROGRAM, list(argv)) as context:
            code = command.invoke(context)
    except typer.Exit as exc:
        return exc.exit_code
    except slips.ArgumentsError as exc:
        output.complain(slips.explained(exc, argv))
        return Exit.USAGE
    except Interrupted as exc:
        return 128 + exc.signum
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of the help closed the pipe
        return Exit.FAILED
    except OSError as exc:  # help written to a full device
        error: ApprovalError = DeliveryError(f"cannot write to stdout: {exc.strerror or exc}", hint="is the disk full?")
        output.complain(error if exc.errno == errno.ENOSPC else ours(exc))
        return Exit.FAILED
    except Exception as exc:  # noqa: BLE001 - a bug must not look like a verdict, nor show secrets in a traceback
        error = ours(exc)
        output.complain(error)
        return exits.of_error(error)
    # A command without a code did not succeed.
    return code if isinstance(code, int) else Exit.FAILED
