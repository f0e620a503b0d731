"""``python -m molecule_approve`` and the installed command: the one place where the process ends.

Nothing heavy is imported before a signal can be answered: Python would die of SIGINT with a traceback and exit code 1 in
the middle of an import.
"""

from __future__ import annotations

import contextlib
import gc
import io
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

COMPLETE = "_MOLECULE_APPROVE_COMPLETE"
"""Set by the completion scripts to the command whose ids are wanted; means nothing where there are any arguments."""


_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

MANAGING = frozenset({"install", "uninstall", "status", "test"})
"""The commands of ``hook`` that no agent's program starts."""

BLOCKED = 2
"""The exit code of a hook that blocks the tool call; after another one most hosts make it."""


_hosts: dict[str, Any] = {}
"""The hosts of hooks, once they are imported: in a signal's handler, or beside an import that hangs, that might not end."""


def _is_hook(argv: Sequence[str]) -> bool:
    """Whether an agent's program waits for our answer. In doubt it does."""
    return argv[:1] == ["hook"] and not MANAGING.intersection(argv[1:2])


def _leave(signum: int, frame: FrameType | None) -> NoReturn:
    """Nothing was sent yet, so there is nothing to withdraw: exit as the signal says; a hook blocks."""
    del frame
    for number in _STOPS:
        signal.signal(number, signal.SIG_IGN)  # a second one would interrupt the answer to the first
    os._exit(_block(f"stopped by signal {signum}") if _is_hook(sys.argv[1:]) else 128 + signum)


def _block(why: str) -> int:
    """Tell the host no in every way that is left: its own object on stdout, the reason on stderr."""
    reason = f"molecule-approve: cannot run: {why}; nothing was approved"
    if sys.__stdout__ is not None:  # else its number may be another file's by now
        with contextlib.suppress(LookupError, OSError):
            os.write(1, f"{_hosts[sys.argv[2]].deny(reason).stdout}\n".encode())
    with contextlib.suppress(OSError):
        os.write(2, f"{reason}\n".encode(errors="backslashreplace"))
    return BLOCKED


def _write_utf8() -> None:
    """What a hook says is UTF-8, for PYTHONIOENCODING may name an encoding that its host does not read, or that fails."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def _watch_signals() -> None:
    for signum in _STOPS:
        # A background job has SIGINT ignored, nohup SIGHUP: that stays.
        if signal.getsignal(signum) is not signal.SIG_IGN:
            signal.signal(signum, _leave)


def run() -> NoReturn:
    """Run the command line and leave with its exit code, at once.

    Python's own way out takes 25 to 280 ms after the verdict (threads to join, modules to unload); everything is written
    and flushed by then, so the process just ends.
    """
    _watch_signals()
    # Imports make objects that stay: looking through them for garbage again and again is a twentieth of the start.
    gc.set_threshold(50_000)
    code = 125
    try:
        if COMPLETE in os.environ and not sys.argv[1:]:
            from .cli import completing  # noqa: PLC0415 - TAB is answered without what commands need

            code = completing.answer(os.environ[COMPLETE], os.environ)
        else:
            if _is_hook(sys.argv[1:]):
                from .cli.hook.start import WATCH  # noqa: PLC0415 - it needs nothing that may be broken

                WATCH.begin(_block)
                _write_utf8()
                from .integrations.hooks.registry import HOSTS  # noqa: PLC0415 - a hook's no, whatever breaks later

                _hosts.update(HOSTS)
            from .cli.main import main  # noqa: PLC0415 - the signals come first

            code = main(sys.argv[1:])
    except BaseException as exc:  # noqa: BLE001 - a broken installation, say: a traceback's exit code would be 1
        with contextlib.suppress(Exception):
            sys.stderr.write(f"molecule-approve: cannot run: {type(exc).__name__}: {exc}\n")
            sys.stderr.write("molecule-approve: hint: install molecule-approve again; nothing was approved\n")
            sys.stderr.flush()
    finally:
        if code not in {0, BLOCKED} and _is_hook(sys.argv[1:]):
            code = _block("the hook failed, and stderr says why")
        os._exit(code)


if __name__ == "__main__":
    run()
