"""The exit codes, and two tables that lead to them: from an outcome, and from an error. Scripts rely on them."""

from __future__ import annotations

import signal
from enum import IntEnum

from molecule_approve import errors
from molecule_approve.model import Outcome, Verdict


class Exit(IntEnum):
    """The exit codes. 0 is a verified approval of this very request; for other commands, "done".

    A code that a failure to start can produce is never a verdict: not 1 (a Python crash), not 126 and 127.
    """

    OK = 0
    """A person approved this request; for commands that do not gate: done."""
    USAGE = 2
    """Wrong options or arguments, nothing was requested; also ``--help`` on the commands that gate."""
    ENDED = 3
    """``approve``, ``deny``, ``withdraw``: the request had already ended otherwise."""
    PENDING = 8
    """Requested, not decided yet."""
    NOT_WHOLE = 65
    """``audit verify``: the log, or ``audit export``: what was exported of it, is not whole (EX_DATAERR in sysexits.h).

    Also ``receipt verify``: the receipt does not hold; ``policy test``: a case is decided otherwise than it expects;
    ``policy diff``: than by the old policy.
    """
    DENIED = 77
    """A person or a rule of the server denied it, or the roles do not permit the request (EX_NOPERM in sysexits.h)."""
    TIMED_OUT = 124
    """Nobody decided in time, as in timeout(1)."""
    FAILED = 125
    """No verdict, or the command failed, as in env(1) and docker."""
    NOT_EXECUTABLE = 126
    """``run``: the command cannot be executed, as in env(1); nothing was requested."""
    NOT_FOUND = 127
    """``run``: the command does not exist, as in env(1); nothing was requested."""


_OF_OUTCOME = {
    Outcome.APPROVED: Exit.OK,
    Outcome.DENIED: Exit.DENIED,
    Outcome.TIMEOUT: Exit.TIMED_OUT,
    Outcome.EXPIRED: Exit.TIMED_OUT,
    Outcome.WITHDRAWN: Exit.TIMED_OUT,
    Outcome.PENDING: Exit.PENDING,
    Outcome.NOT_PERMITTED: Exit.DENIED,
    Outcome.FAILED: Exit.FAILED,
}

_OF_ERROR: dict[type[errors.ApprovalError], Exit] = {
    errors.UsageError: Exit.USAGE,
    errors.NotPermittedError: Exit.DENIED,
    errors.EndedError: Exit.ENDED,
    errors.NotExecutableError: Exit.NOT_EXECUTABLE,
    errors.NotFoundError: Exit.NOT_FOUND,
    errors.ApprovalError: Exit.FAILED,
}

_NOTHING_REQUESTED = {
    kind.kind: _OF_ERROR[kind] for kind in (errors.UsageError, errors.NotExecutableError, errors.NotFoundError)
}


def of_verdict(verdict: Verdict) -> int:
    """The exit code of a verdict; 128 + the signal for an interrupted one."""
    if verdict.outcome is Outcome.INTERRUPTED:
        return 128 + (verdict.signum or 0)
    if verdict.error is not None and verdict.error.kind in _NOTHING_REQUESTED:
        return _NOTHING_REQUESTED[verdict.error.kind]
    return _OF_OUTCOME[verdict.outcome]


def of_error(error: errors.ApprovalError) -> int:
    """The exit code of an error, by the nearest of its classes that the table names."""
    return next(_OF_ERROR[kind] for kind in type(error).__mro__ if kind in _OF_ERROR)


def command_end(exit_code: int, signum: int | None) -> str:
    """How an approved command ended: ``exited with 3``, ``was ended by SIGTERM``."""
    if signum is None:
        return f"exited with {exit_code}"
    try:
        name = signal.Signals(signum).name
    except ValueError:  # most real-time signals have no name
        name = f"signal {signum}"
    return f"was ended by {name}"
