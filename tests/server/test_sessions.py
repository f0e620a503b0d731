"""Sessions: twelve hours, an hour unused, in memory, as hashes."""

from __future__ import annotations

from molecule_approve.server.limits import Limits
from molecule_approve.server.sessions import Sessions
from molecule_approve.server.tokens import hash_token

HOUR = 3_600.0


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def _begun() -> tuple[Sessions, Clock, str]:
    clock = Clock()
    sessions = Sessions(Limits(), clock)
    return sessions, clock, hash_token(sessions.begin("alice's token, hashed"))


def test_a_session_stands_for_who_signed_in() -> None:
    """Known by its hash alone; each is another."""
    sessions, _, session = _begun()
    assert sessions.owner(session, used=True) == "alice's token, hashed"
    assert sessions.owner(hash_token("guessed"), used=True) is None
    other = sessions.begin("bob's token, hashed")
    assert sessions.owner(other, used=True) is None
    assert sessions.owner(hash_token(other), used=True) == "bob's token, hashed"


def test_it_ends_after_an_hour_without_use() -> None:
    """Each use starts the hour anew; what is no use does not."""
    sessions, clock, session = _begun()
    clock.now += HOUR - 1
    assert sessions.owner(session, used=True)
    clock.now += HOUR - 1
    assert sessions.owner(session, used=False)
    clock.now += 1
    assert sessions.owner(session, used=True) is None
    assert len(sessions) == 0


def test_it_ends_after_twelve_hours_however_busy() -> None:
    """Use does not prolong it beyond that."""
    sessions, clock, session = _begun()
    for _ in range(24):
        assert sessions.owner(session, used=True)
        clock.now += HOUR / 2
    assert sessions.owner(session, used=True) is None


def test_it_ends_by_being_ended() -> None:
    """At once, and only that one; ending it twice is nothing."""
    sessions, _, session = _begun()
    other = hash_token(sessions.begin("alice's token, hashed"))
    sessions.end(session)
    sessions.end(session)
    assert sessions.owner(session, used=True) is None
    assert sessions.owner(other, used=True)


def test_those_that_ended_are_not_kept() -> None:
    """Whoever signs in sweeps them away: they fill no memory."""
    sessions, clock, _ = _begun()
    sessions.begin("bob's token, hashed")
    assert len(sessions) == 2
    clock.now += HOUR
    sessions.begin("alice's token, hashed")
    assert len(sessions) == 1
