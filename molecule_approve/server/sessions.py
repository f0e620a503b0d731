"""Who is signed in at the desk: sessions, in memory only, so that they end with the server. How one signs in: ``desk``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .tokens import hash_token, new_token

if TYPE_CHECKING:
    from .limits import Limits


@dataclass(slots=True)
class _Session:
    """One session: for whose token it stands, when it began, when it was last used."""

    owner: str
    began: float
    used: float


class Sessions:
    """The open sessions, by the hash of their token.

    A session stands for the token of the approver who signed in, and says nothing by itself: that token's hash is looked
    up at each call, so that who is revoked (and perhaps named anew) is out at once.

    Args:
        settings: how long a session lasts, and how long unused.
        clock: seconds that never jump.

    """

    def __init__(self, settings: Limits, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._open: dict[str, _Session] = {}

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._open)

    def begin(self, owner: str) -> str:
        """A new session for the approver whose token has this hash; its token, which is not kept."""
        now = self._clock()
        self._open = {key: session for key, session in self._open.items() if self._lasts(session, now)}
        token = new_token()
        self._open[hash_token(token)] = _Session(owner, now, now)
        return token

    def owner(self, session: str, *, used: bool) -> str | None:
        """The hash of the token that the session stands for, or None if it has ended; ``used``: it is in use now."""
        found, now = self._open.get(session), self._clock()
        if found is None or not self._lasts(found, now):
            self.end(session)
            return None
        if used:
            found.used = now
        return found.owner

    def end(self, session: str) -> None:
        """Forget it."""
        self._open.pop(session, None)

    def _lasts(self, session: _Session, now: float) -> bool:
        settings = self._settings
        return now - session.began < settings.session and now - session.used < settings.session_idle
