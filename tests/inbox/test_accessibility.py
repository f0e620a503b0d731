"""Everybody can sit at the desk: axe-core finds nothing in any state, and nothing reaches out of a narrow window."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from molecule_approve.gate.command import BoundCommand, BoundFile, FileRole, UnboundFile
from tests.inbox.axe import AXE, look
from tests.inbox.seat import Seat, link_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.inbox.conftest import NewSeat

LONG = "a long line of words, and more of them; " * 40
COMMAND = BoundCommand(
    ("./deploy.sh", "a b", "x" * 700),
    (BoundFile(FileRole.PROGRAM, "/srv/deploy.sh", "a" * 64), BoundFile(FileRole.INTERPRETER, "/bin/sh", "b" * 64)),
    "/srv",
    "build-7",
    "ann (uid 1000)",
    unbound=(UnboundFile("disk.img", "2 bytes, more than 1"),),
    kept=(("LD_LIBRARY_PATH", "/x" * 60),),
    dropped=("BASH_ENV",),
    remarks=("it can run other commands",),
)
JOB = {
    "system": "GitHub Actions",
    "job": "https://ci.example/run/1",
    "repository": "https://ci.example/x",
    "commit": "c" * 40,
}


def _confirm(seat: Seat) -> None:
    expect(seat.page.locator(".card")).to_have_attribute("data-armed", "true")
    seat.page.keyboard.press("d")
    expect(seat.page.locator(".confirm")).to_be_visible()
    expect(seat.page.locator(".card")).to_have_attribute("data-armed", "true")


def _many(seat: Seat) -> None:
    context = {"user": "mara", "host": "h" * 80, "folder": "/f" * 60, "ci": JOB, "ticket": "x" * 90, "plan": LONG}
    seat.desk.add_workspace("other", "production", "token-of-other")
    with seat.desk.client("token-of-other") as other:
        other.post("/workspaces/other/approvals", json={"action": "plain words", "expires_in": 50})
    seat.desk.ask(COMMAND.text)
    seat.armed(seat.desk.ask("x" * 300 + " --flag \u202e", reason=LONG, context=context))


def _command(seat: Seat) -> None:
    seat.page.keyboard.press("k")
    expect(seat.page.locator(".card .kind")).to_be_visible()


def _open(seat: Seat) -> None:
    seat.page.keyboard.press("Escape")
    seat.page.keyboard.press("j")
    seat.page.locator(".card summary").click()
    for button in seat.page.locator(".card .unfold").all():
        button.click()


def _ended(seat: Seat) -> None:
    shown = str(seat.page.locator(".card").get_attribute("data-id"))
    seat.desk.decide(shown, "denied", comment="so it is " * 20)
    seat.ended(shown)


def _history(seat: Seat) -> None:
    seat.desk.decide(seat.desk.ask("third"))
    seat.desk.withdraw(seat.desk.ask("fourth"))
    expect(seat.history()).to_have_count(3)
    seat.history().first.click()
    expect(seat.page.locator(".card .badge")).to_have_text("Withdrawn")


def _missing(seat: Seat) -> None:
    seat.page.goto(f"{seat.desk.server.url}/requests/none")
    expect(seat.page.locator("#note")).to_contain_text("no request with this address")


def _help(seat: Seat) -> None:
    seat.page.keyboard.press("?")
    expect(seat.page.get_by_role("dialog")).to_be_visible()


def _lost(seat: Seat) -> None:
    seat.page.keyboard.press("Escape")
    seat.desk.server.stop()
    expect(seat.page.locator("#lost")).to_be_visible()


@pytest.fixture
def examined(new_seat: NewSeat) -> Seat:
    """A tab with axe-core in it, whatever the page's policy says: it comes from the test, not from the page."""
    seat = new_seat()
    seat.page.add_init_script(AXE)
    return seat


def test_axe_finds_nothing_at_the_desk(examined: Seat) -> None:
    """Empty, full, folded, opened, choosing, ended, with the help, without a connection."""
    examined.sign_in()
    states: dict[str, Callable[[Seat], None]] = {
        "empty": lambda _: None,
        "many": _many,
        "command": _command,
        "confirm": _confirm,
        "open": _open,
        "ended": _ended,
        "history": _history,
        "missing": _missing,
        "help": _help,
        "lost": _lost,
    }
    look(examined, states)


def test_axe_finds_nothing_at_the_door(examined: Seat) -> None:
    """Before signing in, after a link that was used, and where another approver's link asks."""

    def door(seat: Seat) -> None:
        seat.page.goto(seat.desk.server.url)

    def refused(seat: Seat) -> None:
        link = link_for(seat.desk)
        seat.page.goto(link)
        seat.live()
        seat.page.get_by_role("button", name="Sign out").click()
        expect(seat.page.locator("#why")).to_contain_text("signed out")
        seat.page.goto(link)
        expect(seat.page.locator("#why")).to_contain_text("already used")

    def asking(seat: Seat) -> None:
        seat.desk.server.add_approver("bob")
        seat.sign_in()
        seat.page.goto(link_for(seat.desk, "bob"))
        expect(seat.page.locator("#change")).to_have_attribute("aria-disabled", "false")

    look(examined, {"door": door, "refused": refused, "asking": asking})


def test_arrivals_and_results_are_announced(seat: Seat) -> None:
    """Politely, in a region that adds up; what was there before the page came is not news."""
    region = seat.page.locator("#announcements")
    assert region.get_attribute("aria-live") == "polite"
    expect(region).to_have_text("")
    first = seat.desk.ask("deploy", context={"user": "mara", "host": "laptop"})
    name = seat.desk.one(first)["requested_by"]
    expect(region).to_contain_text(f"New request from {name}: deploy")
    seat.decide(seat.armed(first))
    expect(region).to_contain_text("Approved by you: deploy")
    seat.page.reload()
    seat.live()
    expect(region).to_have_text("")


def test_a_screen_readers_click_only_chooses(seat: Seat) -> None:
    """It comes without a pointer; what it chose is asked about, by a group that has the focus and a name."""
    first = seat.desk.ask("deploy")
    card = seat.armed(first)
    card.get_by_role("button", name="Deny").dispatch_event("click")
    expect(card.get_by_role("group", name="Deny this request?")).to_be_focused()
    yes = card.get_by_role("button", name="Yes, deny")
    expect(yes).to_have_attribute("aria-disabled", "false")
    yes.dispatch_event("click")
    seat.ended(first)
    assert seat.status(first) == "denied"
