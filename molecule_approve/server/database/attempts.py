"""Runs a job in a transaction, and again where that may help: after a lost race, or a connection that broke.

Only shared databases have such errors; with SQLite there is one attempt.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from .values import LostConnectionError, RaceError, UnknownCommitError

if TYPE_CHECKING:
    from .interface import Store
    from .transaction import Transaction

_T = TypeVar("_T")

_Errors = tuple[type[Exception], ...]

_PASSING: _Errors = (LostConnectionError, RaceError, UnknownCommitError)

_PAUSES = (0.01, 0.5)
"""Seconds between two attempts: at first, and at most."""


def read(store: Store, job: Callable[[Transaction], _T], patience: float) -> _T:
    """Run the job in a transaction that only reads; again for so many seconds.

    Raises:
        StoreError: the database cannot answer, also after its patience.
    """

    def attempt(_again: bool) -> _T:
        with store.read() as transaction:
            return job(transaction)

    return _repeated(attempt, patience, _PASSING, again=False)


def write(store: Store, job: Callable[[Transaction], _T], patience: float, *, alone: bool = True, again: bool = False) -> _T:
    """Run the job in a transaction that may write; again for so many seconds.

    It may run several times, and must change nothing but the transaction. If the answer of a commit was lost, it runs with
    ``transaction.again`` set, and has to find out by what it reads whether its work is done. A job that is not ``alone``,
    but several, runs again only after a lost connection.

    Raises:
        StoreError: the database cannot answer, also after its patience.
    """

    def attempt(again: bool) -> _T:
        with store.write() as transaction:
            transaction.again = again
            return job(transaction)

    return _repeated(attempt, patience, _PASSING if alone else (LostConnectionError,), again=again)


def _repeated(attempt: Callable[[bool], _T], patience: float, passing: _Errors, *, again: bool) -> _T:
    end, pause = time.monotonic() + patience, _PAUSES[0]
    while True:
        try:
            return attempt(again)
        except passing as exc:
            again = again or isinstance(exc, UnknownCommitError)
            if time.monotonic() + pause > end:
                raise
        time.sleep(pause)
        pause = min(pause * 2, _PAUSES[1])
