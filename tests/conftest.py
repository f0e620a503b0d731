"""Fixtures that the tests of several folders share: a real embedded server on a free port, and callers of the program."""

from __future__ import annotations

# The first of all, because it says who watches the others.
from tests.watching import imports_are_watched, servers_unwatched, unwatched, watched

# isort: split
import functools
import gc
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import httpx
import pytest
import typer

from molecule_approve.paths import Places
from molecule_approve.server.limits import Limits
from molecule_approve.server.run import Running, ServePlan
from tests.callers import Caller, signals_kept
from tests.forks import Allowed, load
from tests.integration.fake_platform import FakePlatform
from tests.server.desk import Desk, desk_of
from tests.server.postgres import Cluster, NewDatabase, cluster, missing

_WAITING = "tests/integration/test_faults.py"
"""Its tests wait most of their time: at the end of the run, alone, they would leave the processors idle."""


_OF_SERVERS = "tests/server/"
"""Its tests alone are those whose servers coverage watches."""

_OF_ONE_BROWSER = "tests/inbox/"
"""Its tests share a browser as long as no other test comes between them."""


def _kept_together(item: pytest.Item) -> str:
    return _OF_ONE_BROWSER if item.nodeid.startswith(_OF_ONE_BROWSER) else item.nodeid.partition("::")[0]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spread the tests that wait over the whole run, between the other files."""
    waiting = [item for item in items if item.nodeid.startswith(_WAITING)]
    others = [item for item in items if not item.nodeid.startswith(_WAITING)]
    files = [list(group) for _, group in groupby(others, _kept_together)]
    items.clear()
    placed = done = 0
    for file in files:
        items.extend(file)
        done += len(file)
        due = len(waiting) * done // len(others)
        items.extend(waiting[placed:due])
        placed = due
    items.extend(waiting[placed:])


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let `make soak` start what is otherwise forked."""
    parser.addoption("--real-starts", action="store_true", help="start every program as a shell does, fork none")


def pytest_configure(config: pytest.Config) -> None:
    """Hear Ctrl-C and a hangup, also where the tests run in the background: callers inherit it; and make commands once."""
    default = ((signal.SIGHUP, signal.SIG_DFL), (signal.SIGQUIT, signal.SIG_DFL))
    for number, usual in ((signal.SIGINT, signal.default_int_handler), *default):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)
    if getattr(config.option, "numprocesses", None):  # it runs no test itself
        sys.settrace(None)
    # Habits of some machines, which a user's has not: a program that gets them differs, and is not forked.
    for name in ("PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"):
        os.environ.pop(name, None)
    # The program runs one command and ends; here one process runs thousands, and making them anew each time takes 15 ms.
    typer.main.get_command = functools.cache(typer.main.get_command)
    # Tests ask servers by httpx, which reads all certificates of the machine for each client: 25 ms, also for http://.
    httpx._transports.default.create_ssl_context = functools.cache(httpx.create_ssl_context)  # type: ignore[attr-defined]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Measure the processes of a test only where it says so, because that costs three times as much; fork them otherwise.

    Of a test with both databases, the run with SQLite is measured: what is PostgreSQL's alone has tests of its own.
    """
    Allowed.now = not (item.config.getoption("--real-starts") or item.get_closest_marker("started"))
    with pytest.MonkeyPatch.context() as patch, _look(item):
        if item.get_closest_marker("measured") is None:
            for name in [name for name in os.environ if name.startswith("COVERAGE_")]:
                patch.delenv(name)
        return (yield)


def _look(item: pytest.Item) -> AbstractContextManager[None]:
    callspec = getattr(item, "callspec", None)
    if callspec is not None and callspec.params.get("database_kind") == "postgresql":
        return unwatched()
    return nullcontext() if item.nodeid.startswith(_OF_SERVERS) else servers_unwatched()


@pytest.fixture
def untraced() -> Iterator[None]:
    """Coverage looks away, in threads too: for the same few lines a million times, or where other tests run all of them."""
    with unwatched():
        yield


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup() -> Generator[None, object, object]:
    """Coverage sees what a fixture does."""
    with watched():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call() -> Generator[None, object, object]:
    """Coverage sees the test itself."""
    with watched():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Generator[None, object, object]:
    """Coverage sees what fixtures do in the end."""
    with watched():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Measure what the package does when it is imported, in one process for all; and nothing of pytest at its work."""
    if imports_are_watched():
        load()
    gc.disable()
    with unwatched():
        found = yield
    gc.enable()
    gc.freeze()  # thousands of tests, which stay to the end: no look for garbage goes through them
    sys.settrace(None)
    return found


@pytest.fixture
def home() -> Iterator[Path]:
    """A home with a short name: a Unix socket's path has 107 bytes at most, and pytest's own folders use most of them."""
    with tempfile.TemporaryDirectory(prefix="ma-") as folder:
        yield Path(folder)


@pytest.fixture
def server_places(home: Path) -> Places:
    """The folders of a user who has never run a server."""
    return Places(home / "state", home / "run")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of a module that says ``BOTH_DATABASES`` with SQLite and with PostgreSQL, but those of one kind."""
    if getattr(metafunc.module, "BOTH_DATABASES", False) and "database_kind" in metafunc.fixturenames:
        one = metafunc.definition.get_closest_marker("sqlite_only") is not None
        kinds = ["sqlite", *([] if one else [pytest.param("postgresql", marks=pytest.mark.slow)])]
        metafunc.parametrize("database_kind", kinds, indirect=True, scope="module")


@pytest.fixture(scope="module")
def database_kind(request: pytest.FixtureRequest) -> str:
    """Which database a test's servers use: `sqlite` or `postgresql`."""
    return str(getattr(request, "param", "sqlite"))


@pytest.fixture(scope="module")
def new_database(database_kind: str, request: pytest.FixtureRequest) -> NewDatabase:
    """Makes an empty database inside ``with``: the address that a server is given."""
    if database_kind == "sqlite":
        return nullcontext
    found: Cluster = request.getfixturevalue("postgres_cluster")
    return found.secret


@pytest.fixture
def live_server(server_places: Places, new_database: NewDatabase) -> Iterator[Running]:
    """An embedded server in a thread: ``url``, ``places``, ``requester`` (workspace and token), ``add_approver(name)``."""
    with new_database() as database, Running(ServePlan(server_places, database=database)) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[Cluster]:
    """A real PostgreSQL, one for all tests of this process; where there is none, they are skipped and say so."""
    if missing():
        pytest.skip(missing())
    with cluster() as found:
        yield found


@pytest.fixture
def postgres_url(postgres_cluster: Cluster) -> Iterator[str]:
    """The address of an empty PostgreSQL database."""
    with postgres_cluster.database() as url:
        yield url


@pytest.fixture
def served_url(postgres_cluster: Cluster) -> Iterator[str]:
    """The address of a PostgreSQL database for servers, which may have served others before."""
    with postgres_cluster.served() as url:
        yield url


@pytest.fixture(scope="session")
def common_desk() -> Iterator[Desk]:
    """One embedded server for all callers, who look at their own requests only. A socket wants a short path."""
    home = Path(tempfile.mkdtemp(prefix="ma."))
    places = Places(home / "state" / "molecule-approve", home / "run" / "molecule-approve")
    with (
        Running(ServePlan(places, limits=replace(Limits(), rate=1_000_000, unauthenticated_rate=1_000_000))) as server,
        desk_of(server) as desk,
    ):
        yield desk
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def caller(
    common_desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Caller]:
    """A caller whose platform is the common embedded server, with a log of their own and nothing of our environment."""
    for name in os.environ:
        if not name.startswith(("COV", "PATH", "PYTEST", "LANG", "LC_")):
            monkeypatch.delenv(name)
    home = common_desk.server.places.state.parent.parent
    found = Caller(tmp_path, common_desk, monkeypatch, capsys)
    found.set(
        HOME=str(tmp_path),
        USER="tester",
        TERM="xterm",
        LANG="C.UTF-8",
        XDG_STATE_HOME=str(home / "state"),
        XDG_RUNTIME_DIR=str(home / "run"),
        PLATFORM_URL="local",
        AUDIT_LOG_PATH=str(found.log),
        CONFIGS_DIR=str(tmp_path / "none"),
        APPROVAL_TIMEOUT="15",
    )
    with signals_kept():
        yield found


@pytest.fixture
def platform(caller: Caller) -> Iterator[FakePlatform]:
    """The same caller's platform is a faithful fake of the real one."""
    found = FakePlatform().start()
    caller.set(PLATFORM_URL=found.url, WORKSPACE_ID=found.workspace, MOLECULE_TOKEN=found.token)
    yield found
    found.stop()
