"""Sessions: twelve hours, an hour unused, in the database, as hashes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from websockets.exceptions import InvalidStatus

from molecule_approve.server.database.sqlite import SqliteStore
from molecule_approve.server.database.values import SessionLimits, SessionRow
from molecule_approve.server.run import Running, ServePlan
from molecule_approve.server.tokens import hash_token
from tests.callers import until
from tests.server.desk import desk_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from molecule_approve.paths import Places
    from tests.server.conftest import OpenDesk
    from tests.server.desk import Desk

BOTH_DATABASES = True

HOUR = 3_600.0
LIMITS = SessionLimits(12 * HOUR, HOUR)


class House:
    """A database whose time a test sets, and an approver called alice with one session."""

    def __init__(self, path: Path) -> None:
        self.now = 1_000.0
        self.store = SqliteStore(path, 1, lambda: self.now)
        with self.store.write() as transaction:
            self.alice = transaction.credentials.add_approver("alice", "hash", "now")
        self.begin("first")

    def begin(self, name: str) -> None:
        """Begin a session of alice's."""
        with self.store.write() as transaction:
            transaction.sign_ins.begin(SessionRow(name, f"hash of {name}", self.alice, "a browser"), self.now, LIMITS)

    def use(self, name: str) -> None:
        """Note a call with the session."""
        with self.store.write() as transaction:
            transaction.sign_ins.use([name], transaction.now)

    def owner(self, name: str) -> str | None:
        """Whose the session is, if it is valid."""
        with self.store.read() as transaction:
            found = transaction.credentials.holder(f"hash of {name}", LIMITS)
        return None if found is None else found.name

    def kept(self) -> int:
        """How many sessions are kept."""
        with self.store.read() as transaction:
            return int(transaction.connection.exec_driver_sql("SELECT count(*) FROM sessions").scalar_one())


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    found = House(tmp_path / "server.db")
    yield found
    found.store.close()


def test_a_session_stands_for_who_signed_in(house: House) -> None:
    """Known by its hash alone."""
    assert (house.owner("first"), house.owner("guessed")) == ("alice", None)


def test_it_ends_after_an_hour_without_use(house: House) -> None:
    """Each use starts the hour anew."""
    house.now += HOUR - 1
    house.use("first")
    house.now += HOUR - 1
    assert house.owner("first") == "alice"
    house.now += 1
    assert house.owner("first") is None


def test_it_ends_after_twelve_hours_however_busy(house: House) -> None:
    """Use does not prolong it beyond that; nor does a clock that is set back before its begin."""
    for _ in range(24):
        assert house.owner("first") == "alice"
        house.now += HOUR / 2
        house.use("first")
    assert house.owner("first") is None
    house.now = 999.0
    assert house.owner("first") is None


def test_it_ends_when_its_approver_is_revoked(house: House) -> None:
    """Also if the same name is added again."""
    with house.store.write() as transaction:
        transaction.credentials.revoke_approver("alice", "now")
        transaction.credentials.add_approver("alice", "other", "now")
    assert house.owner("first") is None


def test_it_ends_by_being_ended(house: House) -> None:
    """At once, and only that one; ending it twice is nothing."""
    house.begin("second")
    for _ in range(2):
        with house.store.write() as transaction:
            transaction.sign_ins.end(house.alice, "first")
    assert (house.owner("first"), house.owner("second")) == (None, "alice")


def test_those_that_ended_are_not_kept(house: House) -> None:
    """Whoever signs in sweeps them away."""
    house.begin("second")
    assert house.kept() == 2
    house.now += HOUR
    house.begin("third")
    assert house.kept() == 1


def test_a_session_outlives_the_server(server_places: Places) -> None:
    """After a restart the same browser is still signed in."""
    with Running(ServePlan(server_places)) as server, desk_of(server) as desk:
        session = desk.session()
    with Running(ServePlan(server_places)) as server, desk_of(server, "bob") as desk, desk.client(session) as client:
        assert client.get("/desk/requests").json()["name"] == "alice"


def test_a_call_is_a_use_and_a_handshake_is_none(open_desk: OpenDesk) -> None:
    """A page that was left open dials again and again: its session ends all the same."""
    desk = open_desk(session_idle=1.0)
    session = desk.session()
    began = _used(desk, session)
    # Each call notes the use, once a tenth of the idle time has passed.
    with desk.client(session) as client:
        until(
            lambda: client.get("/desk/requests").status_code == 200 and _used(desk, session) > began,
            "the use is not noted",
        )
    with desk.client(session) as client:
        until(lambda: not _dials(desk, session), "a handshake keeps the session alive")
        assert client.get("/desk/requests").status_code == 401


def _dials(desk: Desk, session: str) -> bool:
    """Whether the page's event stream opens with this session."""
    try:
        with desk.at_desk(session):
            return True
    except InvalidStatus:
        return False


def _used(desk: Desk, session: str) -> float:
    return float(desk.select("SELECT used FROM sessions WHERE token_hash = ?", hash_token(session))[0][0])
