"""PostgreSQL: what a transaction promises, and what becomes of it when the database, or the way to it, breaks."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

pytest.importorskip("psycopg")

from molecule_approve.model import Status
from molecule_approve.server.database import attempts
from molecule_approve.server.database.address import parse
from molecule_approve.server.database.postgres import PostgresStore
from molecule_approve.server.database.values import (
    Draft,
    LostConnectionError,
    NameTakenError,
    RaceError,
    Resolution,
    StoreError,
    UnknownCommitError,
)
from tests.callers import let_pass, until
from tests.server.commits import CommitProxy

if TYPE_CHECKING:
    from molecule_approve.server.database.transaction import Transaction
    from tests.server.postgres import Cluster

OpenStore = Callable[..., PostgresStore]

PATIENCE = 0.3


@pytest.fixture
def open_store(postgres_url: str) -> Iterator[OpenStore]:
    """Opens stores of one database; each is closed at the end."""
    with ExitStack() as stack:

        def opened(url: str = postgres_url, patience: float = PATIENCE, **more: str) -> PostgresStore:
            store = PostgresStore(parse(url), patience, **more)  # type: ignore[arg-type]  # the tests name them rightly
            stack.callback(store.close)
            return store

        yield opened


@pytest.fixture
def store(open_store: OpenStore) -> PostgresStore:
    """A store of an empty database, with a workspace."""
    found = open_store()
    with found.write() as transaction:
        transaction.credentials.put_workspace("w", "local", "now")
    return found


def _ask(transaction: Transaction, approval_id: str = "a", seconds: float = 60.0, key: str | None = None) -> None:
    transaction.requests.insert(
        Draft(approval_id, "w", key or "t", key is not None, "deploy", "", None, "now", transaction.now + seconds, "bob"),
        1_000,
    )


def _decide(store: PostgresStore, name: str = "alice", approval_id: str = "a") -> bool:
    with store.write() as transaction:
        resolution = Resolution(Status.APPROVED, name, "now", True)
        return transaction.requests.end("w", approval_id, resolution, transaction.now) is not None


def _status(store: PostgresStore, approval_id: str = "a") -> str | None:
    with store.read() as transaction:
        found = transaction.requests.one("w", approval_id)
        return None if found is None else found.approval.status.value


def _value(transaction: Transaction, statement: str) -> object:
    return transaction.connection.exec_driver_sql(statement).scalar()


# --- what holds on each connection


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("off", "on"), ("local", "on"), ("remote_write", "on"), ("on", "on"), ("remote_apply", "remote_apply")],
)
def test_a_commit_is_durable_whatever_the_database_is_set_to(
    postgres_cluster: Cluster, postgres_url: str, open_store: OpenStore, theirs: str, ours: str
) -> None:
    """Less than `on` is raised to it; more is left."""
    name = postgres_url.rpartition("/")[2]
    postgres_cluster.run(f"ALTER DATABASE {name} SET synchronous_commit = {theirs}")
    with open_store().write() as transaction:
        assert _value(transaction, "SHOW synchronous_commit") == ours


def test_no_statement_waits_for_ever(store: PostgresStore) -> None:
    """Locks, statements and abandoned transactions have an end, and a dead peer is noticed."""
    names = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout", "tcp_keepalives_idle")
    with store.write() as transaction:
        assert [_value(transaction, f"SHOW {name}") for name in names] == ["300ms", "10s", "5s", "5"]


def test_a_reader_sees_one_moment_and_changes_nothing(store: PostgresStore) -> None:
    """What is committed meanwhile shows in the next transaction; a write is refused."""
    with store.read() as transaction:
        assert transaction.requests.count_open("w") == 0
        with store.write() as writing:
            _ask(writing)
        assert transaction.requests.count_open("w") == 0
        with pytest.raises(StoreError, match="read-only"), store.read() as reading:
            _ask(reading, "b")
    with store.read() as transaction:
        assert transaction.requests.count_open("w") == 1


def test_times_are_the_databases(store: PostgresStore) -> None:
    """One clock for all servers: the transaction's time is what the database says, and stays."""
    with store.write() as transaction:
        now = transaction.now
        assert now == transaction.now
        later = _value(transaction, "SELECT extract(epoch FROM clock_timestamp())")
        assert now <= float(str(later)) < now + 60


# --- races


def test_of_two_decisions_one_wins(store: PostgresStore) -> None:
    """The second waits for the first, and finds that the request has ended."""
    with store.write() as transaction:
        _ask(transaction)
    with ThreadPoolExecutor(1) as pool:
        with store.write() as transaction:
            resolution = Resolution(Status.DENIED, "alice", "now", True)
            assert transaction.requests.end("w", "a", resolution, transaction.now) is not None
            second = pool.submit(_decide, store, "bob")
            until(lambda: _waits(store))
        assert second.result() is False
    assert _status(store) == "denied"


def _waits(store: PostgresStore) -> bool:
    """Whether a transaction waits for a lock."""
    with store.read() as transaction:
        return bool(_value(transaction, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))


def test_a_decision_that_waited_beyond_the_expiry_does_not_count(open_store: OpenStore, store: PostgresStore) -> None:
    """It looks at the clock when it gets the row, and not when it began."""
    patient = open_store(patience=20.0)
    with store.write() as transaction:
        _ask(transaction, seconds=0.6)
    with ThreadPoolExecutor(1) as pool:
        with suppress(RuntimeError), store.write() as transaction:
            resolution = Resolution(Status.DENIED, "alice", "now", True)
            transaction.requests.end("w", "a", resolution, transaction.now)
            late = pool.submit(_decide, patient, "bob")
            until(lambda: _waits(store))
            let_pass(0.7)
            raise RuntimeError
        with pytest.raises(RaceError, match="time was over"):
            late.result()
    assert _status(store) == "pending"


def test_a_key_that_is_used_twice_at_once_makes_one_request(store: PostgresStore) -> None:
    """The loser of the race runs again, and finds the winner's."""
    barrier, met = threading.Barrier(2), set[int]()

    def job(transaction: Transaction) -> bool:
        if transaction.requests.keyed("w", "k") is not None:
            return False
        if threading.get_ident() not in met:
            met.add(threading.get_ident())
            barrier.wait(5)
        _ask(transaction, f"id {threading.get_ident()}", key="k")
        return True

    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(attempts.write, store, job, 5.0) for _ in range(2)]
        assert sorted(run.result() for run in runs) == [False, True]


def test_a_lock_that_nobody_releases_ends_the_wait(store: PostgresStore) -> None:
    """After the patience; nothing was stored, and another try may succeed."""
    with store.write() as transaction:
        _ask(transaction)
    with store.write() as transaction:
        transaction.requests.end("w", "a", Resolution(Status.DENIED, "alice", "now", True), transaction.now)
        with pytest.raises(RaceError, match="lock timeout"):
            _decide(store)


def test_when_all_connections_are_in_use_it_says_so(store: PostgresStore) -> None:
    """A thread too many waits for its patience."""
    with ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(store.read())
        with pytest.raises(LostConnectionError, match="all connections"), store.read():
            pass


# --- failures


def test_what_a_job_raises_undoes_it(store: PostgresStore) -> None:
    """An error of ours passes unchanged."""

    def job(transaction: Transaction) -> None:
        _ask(transaction)
        raise NameTakenError("alice")

    with pytest.raises(NameTakenError):
        attempts.write(store, job, 0)
    assert _status(store) is None


def test_a_failed_statement_is_never_taken_for_stored(store: PostgresStore) -> None:
    """PostgreSQL answers the commit of a failed transaction with a rollback, and no error."""

    def job(transaction: Transaction) -> None:
        transaction.credentials.put_workspace("another", "another", "now")
        with suppress(Exception):
            transaction.connection.exec_driver_sql("SELECT nonsense")

    with pytest.raises(StoreError, match="nothing was stored"):
        attempts.write(store, job, 0)
    with store.read() as transaction:
        assert not transaction.credentials.has_workspace("another")


def test_an_error_says_no_value(store: PostgresStore) -> None:
    """People's texts stay out of the messages."""
    with store.write() as transaction:
        _ask(transaction, "s3cret")
    with pytest.raises(RaceError) as caught, store.write() as transaction:
        _ask(transaction, "s3cret")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT], ids=["restarted", "crashed"])
def test_a_database_that_comes_back_is_used_again(
    postgres_cluster: Cluster, store: PostgresStore, number: signal.Signals
) -> None:
    """The old connections fail once, all together, and nothing that was stored is lost."""
    with store.write() as transaction:
        _ask(transaction)
    with postgres_cluster.away(number):
        with pytest.raises(LostConnectionError):
            _status(store)
        with pytest.raises(LostConnectionError, match="Connection refused"):
            _status(store)
    assert _status(store) == "pending"


def test_a_job_waits_for_a_short_restart(postgres_cluster: Cluster, store: PostgresStore) -> None:
    """It is tried again until its patience is over."""
    with store.write() as transaction:
        _ask(transaction)
    with ThreadPoolExecutor(1) as pool:
        with postgres_cluster.away():
            reading = pool.submit(attempts.read, store, lambda transaction: transaction.requests.count_open("w"), 20.0)
            let_pass(0.1)
        assert reading.result() == 1


def test_a_database_that_stands_still_is_given_up(
    postgres_cluster: Cluster, store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No thread waits for it for ever."""
    monkeypatch.setattr("molecule_approve.server.database.connecting._SILENCE", 1.0)
    assert _status(store) is None
    postgres_cluster.freeze()
    try:
        with pytest.raises(LostConnectionError):
            _status(store)
    finally:
        postgres_cluster.thaw()
    until(lambda: attempts.read(store, lambda transaction: transaction.requests.count_open("w") == 0, 5.0))


@pytest.mark.parametrize("reaches", [True, False], ids=["stored", "lost"])
def test_a_commit_without_an_answer_is_unknown(
    postgres_cluster: Cluster, postgres_url: str, open_store: OpenStore, store: PostgresStore, reaches: bool
) -> None:
    """Stored or not, the error says that it is not known; run again, the job finds out, and the work is done once."""
    runs: list[bool] = []

    def job(transaction: Transaction) -> None:
        runs.append(transaction.again)
        if transaction.requests.one("w", "a") is None:
            _ask(transaction)

    with CommitProxy(postgres_cluster.port) as proxy:
        far = open_store(postgres_url.replace(str(postgres_cluster.port), str(proxy.port)))
        proxy.break_next(reaches=reaches)
        with pytest.raises(UnknownCommitError, match="connection"), far.write() as transaction:
            _ask(transaction, "first")
        assert _status(store, "first") == ("pending" if reaches else None)
        proxy.break_next(reaches=reaches)
        attempts.write(far, job, 5.0)
        far.close()
    assert (proxy.broken, runs[0], runs[-1]) == (2, False, True)
    assert _status(store) == "pending"


# --- opening


def test_many_servers_may_start_at_once(postgres_url: str, open_store: OpenStore) -> None:
    """One makes the tables, the others wait for it."""
    with ThreadPoolExecutor(6) as pool:
        stores = list(pool.map(lambda _: open_store(), range(6)))
    assert [_status(one) for one in stores] == [None] * 6


def test_a_database_of_a_newer_program_is_refused(open_store: OpenStore, store: PostgresStore) -> None:
    """With the revision that it has, and the one that this program knows."""
    with store.write() as transaction:
        transaction.connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreError, match="newer program: it has revision 9999"):
        open_store()


def test_an_older_database_is_upgraded_unless_that_is_refused(open_store: OpenStore, store: PostgresStore) -> None:
    """What refuses it is asked before anything is changed."""
    with store.write() as transaction:
        transaction.connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0003'")

    def refuse() -> None:
        raise StoreError("others use it")

    with pytest.raises(StoreError, match="others use it"):
        open_store(before_upgrade=refuse)
    with store.read() as transaction:
        assert _value(transaction, "SELECT version_num FROM alembic_version") == "0003"


def test_another_encoding_is_refused(postgres_cluster: Cluster, open_store: OpenStore) -> None:
    """Texts of people are kept as they are only in UTF-8."""
    postgres_cluster.run("CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    try:
        with pytest.raises(StoreError, match="encoding is LATIN1") as caught:
            open_store(postgres_cluster.url("latin"))
        assert caught.value.hint.startswith("create it with ENCODING 'UTF8'")
    finally:
        postgres_cluster.run("DROP DATABASE latin")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("/test_", "/no_"), "does not exist"),
        (("postgres@", "nobody@"), 'role "nobody" does not exist'),
        (("127.0.0.1", "127.0.0.1:1,127.0.0.1"), None),
    ],
    ids=["database", "role", "one of two hosts"],
)
def test_what_cannot_be_reached_is_said(
    postgres_url: str, open_store: OpenStore, change: tuple[str, str], said: str | None
) -> None:
    """In PostgreSQL's own words, in one line; of several hosts one is enough."""
    url = postgres_url.replace(*change)
    if said is None:
        assert _status(open_store(url)) is None
        return
    with pytest.raises(StoreError, match=said) as caught:
        open_store(url)
    assert "\n" not in str(caught.value)


def test_it_has_nothing_to_check(store: PostgresStore) -> None:
    """There is no file that could be removed."""
    check = partial(store.check)
    check()


def test_an_old_postgresql_is_refused(open_store: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its version and the one that is needed."""
    monkeypatch.setattr("molecule_approve.server.database.postgres.OLDEST", 99)
    with pytest.raises(StoreError, match=r"PostgreSQL \d+ is too old") as caught:
        open_store()
    assert caught.value.hint == "use 99 or later"


def test_a_connection_that_cannot_be_set_up_is_closed(open_store: OpenStore) -> None:
    """Python would warn of one that is left open."""
    with pytest.raises(StoreError, match="lock_timeout"):
        open_store(patience=-5.0)


def test_a_commit_that_the_database_refuses_stored_nothing(store: PostgresStore) -> None:
    """That is known, unlike a commit without an answer."""
    with store.write() as transaction:
        transaction.connection.exec_driver_sql("CREATE TABLE late (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)")

    def job(transaction: Transaction) -> None:
        transaction.connection.exec_driver_sql("INSERT INTO late VALUES (1), (1)")

    with pytest.raises(RaceError):
        attempts.write(store, job, 0)


_OF_0003 = """
CREATE TABLE workspaces (id varchar PRIMARY KEY, name varchar NOT NULL, token_hash varchar NOT NULL UNIQUE,
    created_at varchar NOT NULL);
CREATE TABLE approvers (name varchar PRIMARY KEY, token_hash varchar NOT NULL UNIQUE, created_at varchar NOT NULL);
CREATE TABLE sign_in_codes (code_hash varchar PRIMARY KEY, token_hash varchar NOT NULL, made float NOT NULL);
CREATE TABLE approvals (number bigserial PRIMARY KEY, id varchar NOT NULL UNIQUE, workspace_id varchar NOT NULL,
    task_id varchar NOT NULL, key_id varchar, action varchar NOT NULL, reason varchar NOT NULL, context varchar,
    status varchar NOT NULL, created_at varchar NOT NULL, expires float NOT NULL, decided_by varchar, decided_at varchar,
    verified boolean NOT NULL, claimed_by varchar, comment varchar, used_by varchar, used_at varchar,
    UNIQUE (workspace_id, key_id));
CREATE INDEX approvals_of_workspace ON approvals (workspace_id, number);
CREATE INDEX approvals_of_task ON approvals (workspace_id, task_id, number);
CREATE INDEX approvals_open ON approvals (workspace_id) WHERE status IN ('pending', 'escalated');
CREATE INDEX approvals_due ON approvals (expires) WHERE status IN ('pending', 'escalated');
CREATE INDEX approvals_pending ON approvals (number) WHERE status = 'pending';
CREATE TABLE journal (number bigserial PRIMARY KEY, approval_id varchar NOT NULL UNIQUE, recorded_at varchar NOT NULL,
    journaled boolean NOT NULL);
CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY);
INSERT INTO alembic_version VALUES ('0003');
"""

_COLUMNS = """
SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns
WHERE table_schema = 'public' ORDER BY 1, 2
"""


def test_the_migrations_make_what_a_new_database_has(
    postgres_cluster: Cluster, postgres_url: str, open_store: OpenStore
) -> None:
    """Of the tables before them: every column with its type, and every index."""
    with postgres_cluster.database() as new:
        open_store(new).close()
        for statement in _OF_0003.split(";")[:-1]:
            postgres_cluster.run(statement, postgres_url.rpartition("/")[2])
        open_store()
        indexes = "SELECT tablename, indexname FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1, 2"
        for query in (_COLUMNS, indexes):
            old, fresh = (postgres_cluster.run(query, url.rpartition("/")[2]) for url in (postgres_url, new))
            assert old == fresh


def test_statements_stay_prepared_from_one_transaction_to_the_next(
    store: PostgresStore, postgres_cluster: Cluster, postgres_url: str
) -> None:
    """PostgreSQL plans each of them once for a connection; and anew, without an error, once somebody has changed a table."""

    def job(transaction: Transaction) -> int:
        transaction.requests.one("w", "a")
        return int(transaction.connection.execute(sa.text("SELECT count(*) FROM pg_prepared_statements")).scalar_one())

    for _ in range(10):
        attempts.read(store, job, PATIENCE)
    prepared = attempts.read(store, job, PATIENCE)
    postgres_cluster.run("ALTER TABLE approvals ALTER COLUMN comment TYPE varchar(100000)", postgres_url.rpartition("/")[2])
    assert (prepared > 0, attempts.read(store, job, PATIENCE) >= 0) == (True, True)
