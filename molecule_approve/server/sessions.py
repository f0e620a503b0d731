"""The sessions of signed-in approvers, in memory only: they end with the server. Signing in is in ``inbox``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .tokens import hash_token, new_token

if TYPE_CHECKING:
    from .limits import Limits


@dataclass(slots=True)
class _Session:
    """One session: the hash of its approver's token, when it began, when it was last used."""

    owner: str
    began: float
    used: float


class Sessions:
    """The open sessions, by the hash of their token; the clock is monotonic, in seconds.

    A session only points to the token of its approver. That token is looked up at each call, so a session ends at once
    when its approver is revoked, also if the same name is added again.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._open: dict[str, _Session] = {}

    def __len__(self) -> int:
        """How many sessions are kept."""
        return len(self._open)

    def begin(self, owner: str) -> str:
        """Begin a session for the approver whose token has this hash; the session's own token, which is not kept."""
        now = self._clock()
        self._open = {key: session for key, session in self._open.items() if self._is_open(session, now)}
        token = new_token()
        self._open[hash_token(token)] = _Session(owner, now, now)
        return token

    def owner(self, session: str, *, used: bool) -> str | None:
        """The hash of the token behind the session, or None if it has ended; ``used`` extends it."""
        found, now = self._open.get(session), self._clock()
        if found is None or not self._is_open(found, now):
            self.end(session)
            return None
        if used:
            found.used = now
        return found.owner

    def end(self, session: str) -> None:
        """End the session."""
        self._open.pop(session, None)

    def _is_open(self, session: _Session, now: float) -> bool:
        limits = self._limits
        return now - session.began < limits.session and now - session.used < limits.session_idle
