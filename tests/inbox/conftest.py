"""Fixtures of the browser's tests: a real Chromium, a server of one's own, and seats at its desk.

One browser serves the tests of this folder that follow one another, and ends before any other test: Playwright keeps an
event loop in this thread, in which other tests start theirs.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from molecule_approve.paths import Places
from molecule_approve.server.limits import Limits
from molecule_approve.server.run import Running
from molecule_approve.server.starting import ServePlan
from tests.inbox.seat import PATIENCE, Seat
from tests.server.desk import Desk, desk_of

NewSeat = Callable[..., Seat]


@pytest.fixture(autouse=True)
def unmeasured(untraced: None) -> None:
    """The modules' own tests reach every branch."""


_open = ExitStack()
_browsers: list[Browser] = []


@pytest.fixture
def chromium() -> Browser:
    """The Chromium of this machine. Without one these tests are skipped."""
    if not _browsers:
        _browsers.append(_open.enter_context(_launched()))
    return _browsers[0]


@contextmanager
def _launched() -> Iterator[Browser]:
    # The same engine without the windows around it takes a third of the time.
    names = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium-headless-shell")
    # Chromium's sandbox refuses to run as root.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, object, object]:
    """End the browser where the tests of another folder follow, or none."""
    try:
        return (yield)
    finally:
        if nextitem is None or nextitem.path.parent != item.path.parent:
            _browsers.clear()
            _open.close()


@pytest.fixture
def house(home: Path) -> Places:
    """The folders of the user who runs the server, where the program looks for them too."""
    return Places(home / "state" / "molecule-approve", home / "run" / "molecule-approve")


@pytest.fixture
def desk(house: Places) -> Iterator[Desk]:
    """A server of this test's own; its approver is alice."""
    plan = ServePlan(house, limits=replace(Limits(), rate=1_000_000, unauthenticated_rate=1_000_000))
    with Running(plan) as server, desk_of(server) as found:
        yield found


@pytest.fixture
def new_seat(chromium: Browser, desk: Desk) -> Iterator[NewSeat]:
    """Opens tabs, each in a browser profile of its own; nothing may complain in any of them."""
    seats: list[Seat] = []

    def opened(at: Desk = desk, **options: object) -> Seat:
        context = chromium.new_context(**{"reduced_motion": "reduce", **options})  # type: ignore[arg-type]  # the tests name them rightly
        seats.append(Seat.take(context, at))
        return seats[-1]

    yield opened
    for seat in seats:
        seat.context.close()
    assert [fault for seat in seats for fault in seat.complaints()] == []


@pytest.fixture
def seat(new_seat: NewSeat) -> Seat:
    """A person who has signed in."""
    return new_seat().sign_in()
