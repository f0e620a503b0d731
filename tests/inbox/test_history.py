"""The history: page by page, searched by what, who, when and outcome; each search and each request has an address."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from molecule_approve.server.limits import Limits
from molecule_approve.server.run import Running
from molecule_approve.server.starting import ServePlan
from tests.server.desk import Desk, desk_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from molecule_approve.paths import Places
    from tests.inbox.conftest import NewSeat
    from tests.inbox.seat import Seat

PAGE = 16
"""Requests that one step shows: eight calls, each of which gives two."""


@pytest.fixture
def desk(house: Places) -> Iterator[Desk]:
    """A server that looks at three ended requests in each call, and gives two."""
    limits = replace(Limits(), rate=1_000_000, unauthenticated_rate=1_000_000, history_lines=2, history_examined=3)
    with Running(ServePlan(house, limits=limits)) as server, desk_of(server) as found:
        yield found


@pytest.fixture
def ids(desk: Desk) -> list[str]:
    """Twenty ended requests, the earliest first: the second was approved, the third withdrawn, the others denied."""
    found = [desk.ask(f"step {number}", reason="a release" if number == 3 else "") for number in range(20)]
    for number, approval_id in enumerate(found):
        if number == 2:
            desk.withdraw(approval_id)
        else:
            desk.decide(approval_id, "approved" if number == 1 else "denied", comment="no")
    return found


def _shown(seat: Seat) -> list[str]:
    """The actions of the rows."""
    return seat.page.locator("#ended .row-action").all_inner_texts()


def _search(seat: Seat, words: str, count: int) -> None:
    """Wait until these words stand in the address, and so many rows are there."""
    expect(seat.page).to_have_url(f"{seat.desk.server.url}/history{words}")
    expect(seat.page.locator("#ended .row")).to_have_count(count)


def test_the_past_is_shown_page_by_page(new_seat: NewSeat, ids: list[str]) -> None:
    """Older ones on demand; a request is shown beside its line, and its address leads to it from anywhere."""
    seat = new_seat().sign_in()
    expect(seat.history()).to_have_count(PAGE)
    assert seat.page.url == f"{seat.desk.server.url}/history"
    expect(seat.page.locator("#note")).to_have_text("Choose a request to see it here.")
    seat.page.get_by_role("button", name="Show older requests").click()
    expect(seat.page.locator("#ended .row")).to_have_count(len(ids))
    expect(seat.page.get_by_role("button", name="Show older requests")).to_be_hidden()
    assert _shown(seat) == [f"step {number}" for number in reversed(range(20))]
    seat.page.locator("#ended .row").last.click()
    expect(seat.card(ids[0])).to_contain_text("Denied by alice")
    expect(seat.card(ids[0]).locator(".remark")).to_have_text("no")
    assert seat.page.url == f"{seat.desk.server.url}/requests/{ids[0]}"
    seat.page.keyboard.press("k")
    expect(seat.card(ids[1]).locator(".badge")).to_have_text("Approved")
    seat.page.reload()
    expect(seat.card(ids[1])).to_be_visible()
    seat.page.go_back()
    expect(seat.history()).to_have_count(PAGE)


def test_the_past_is_searched(new_seat: NewSeat, ids: list[str]) -> None:
    """What is searched for stands in the address, over a reload; what is found is far back, and nothing says so."""
    seat = new_seat().sign_in()
    expect(seat.history()).to_have_count(PAGE)
    what = seat.page.get_by_label("Search actions, reasons and comments")
    what.fill("RELEASE step")
    _search(seat, "?q=RELEASE+step", 1)
    assert _shown(seat) == ["step 3"]
    seat.page.reload()
    expect(what).to_have_value("RELEASE step")
    _search(seat, "?q=RELEASE+step", 1)
    what.fill("")
    seat.page.get_by_label("Outcome").select_option("Approved")
    _search(seat, "?outcome=approved", 1)
    expect(seat.page.locator("#ended .row")).to_have_text(re.compile("^Approved"))
    seat.page.get_by_label("Outcome").select_option("Any")
    seat.page.get_by_label("Requester or approver").fill("nobody")
    _search(seat, "?who=nobody", 0)
    expect(seat.page.locator("#found")).to_have_text("No ended request matches.")
    seat.page.get_by_label("Requester or approver").fill("ALICE")
    _search(seat, "?who=ALICE", PAGE)
    seat.page.get_by_label("To", exact=True).fill("2020-01-01")
    _search(seat, "?who=ALICE&until=2020-01-01", 0)
    seat.page.get_by_label("To", exact=True).fill("")
    seat.page.get_by_label("From", exact=True).fill("2020-01-01")
    _search(seat, "?who=ALICE&since=2020-01-01", PAGE)
    # What ends meanwhile comes in at the top.
    seat.page.goto(f"{seat.desk.server.url}/history?q=late")
    expect(seat.page.locator("#found")).to_have_text("No ended request matches.")
    seat.desk.decide(seat.desk.ask("late"))
    _search(seat, "?q=late", 1)
    assert len(ids) == 20


def test_an_outcome_that_there_is_not_asks_for_any(new_seat: NewSeat, ids: list[str]) -> None:
    """An address that names it shows every request, and the search goes on from there."""
    seat = new_seat().sign_in()
    seat.page.goto(f"{seat.desk.server.url}/history?outcome=foo&who=alice")
    expect(seat.page.locator("#ended .row")).to_have_count(PAGE)
    expect(seat.page.get_by_label("Outcome")).to_have_value("")
    seat.page.get_by_label("Outcome").select_option("Approved")
    _search(seat, "?who=alice&outcome=approved", 1)
    assert len(ids) == 20
