"""Deciding at the desk, with a real browser, and with the program that waits for the decision."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.callers import ended
from tests.desk.seat import ARMING, asking

if TYPE_CHECKING:
    from tests.desk.conftest import NewSeat
    from tests.desk.seat import Seat
    from tests.server.desk import Desk


def test_a_request_arrives_and_is_approved(seat: Seat, tmp_path: Path) -> None:
    """It appears without a reload with all that is known of it; after a click the program that asked leaves with 0."""
    expect(seat.page.locator("#empty")).to_be_visible()
    with asking(
        seat.desk, tmp_path, "--reason", "release day", "--context", "ticket=OPS-12", "--", "kubectl apply -f x"
    ) as run:
        card = seat.page.locator(".card")
        expect(card.locator(".action")).to_have_text("kubectl apply -f x")
        for text in ("release day", "tester", str(tmp_path), "ticket", "OPS-12"):
            expect(card).to_contain_text(text)
        card.locator(".approve").click()
        told = ended(run)
    assert (told.code, told.out) == (0, "approved by alice\n")
    expect(seat.page.locator(".past .verdict")).to_contain_text("Approved by alice")


def test_another_is_denied_with_a_comment(seat: Seat, tmp_path: Path) -> None:
    """The program leaves with 77, and says who and why."""
    with asking(seat.desk, tmp_path, "--", "drop the table") as run:
        card = seat.page.locator(".card")
        card.get_by_label("Comment").fill("not on a Friday")
        card.locator(".deny").click()
        told = ended(run)
    assert (told.code, told.out) == (77, "denied by alice: not on a Friday\n")
    expect(seat.page.locator(".past-comment")).to_have_text("not on a Friday")


def test_a_late_click_is_told_who_won(seat: Seat) -> None:
    """The decision that came between the look and the click is shown, with its author and comment, until it is dismissed."""
    first = seat.desk.ask("deploy")
    card = seat.armed(first)

    def meanwhile(route: object) -> None:
        seat.desk.decide(first, "denied", comment="I was faster")
        route.continue_()  # type: ignore[attr-defined]  # a Route

    seat.page.route("**/decide", meanwhile)
    card.locator(".approve").click()
    expect(seat.ended(first)).to_contain_text("Too late. Denied by alice")
    expect(card).to_contain_text("I was faster")
    card.get_by_role("button", name="Dismiss").click()
    expect(card).to_have_count(0)
    assert seat.status(first) == "denied"


def test_two_tabs_agree(seat: Seat, new_seat: NewSeat) -> None:
    """What is decided in one tab ends in the other one at once, and can no longer be decided there."""
    other = new_seat().sign_in()
    first = seat.desk.ask("deploy")
    other.armed(first)
    seat.armed(first).locator(".approve").click()
    expect(other.ended(first)).to_contain_text("Approved by alice")
    expect(other.card(first).locator(".approve")).to_be_hidden()
    expect(other.page.locator(".past")).to_contain_text("deploy")


def test_a_double_click_decides_once(seat: Seat) -> None:
    """One call, and the next request, which may come to lie under the pointer, stays as it is."""
    calls: list[str] = []
    seat.page.on("request", lambda call: calls.append(call.url) if call.url.endswith("/decide") else None)
    first, second = seat.desk.ask("one"), seat.desk.ask("two")
    seat.armed(second)
    seat.armed(first).locator(".approve").dblclick()
    seat.ended(first)
    assert len(calls) == 1
    assert (seat.status(first), seat.status(second)) == ("approved", "pending")


def test_buttons_work_only_after_a_moment(new_seat: NewSeat) -> None:
    """A click at the place where a request just appeared does nothing; a second later it decides."""
    seat = new_seat()
    seat.sign_in()
    seat.page.clock.pause_at(seat.page.evaluate("Date.now() / 1000 + 1"))
    first = seat.desk.ask("deploy")
    card = seat.arrived(first)
    expect(card).to_have_attribute("data-armed", "false")
    seat.page.clock.run_for(ARMING - 200)
    expect(card.locator(".approve")).to_have_attribute("aria-disabled", "true")
    seat.press(card.locator(".approve"))
    expect(card).to_have_attribute("data-state", "waiting")
    seat.page.clock.run_for(200)
    expect(card.locator(".approve")).to_have_attribute("aria-disabled", "false")
    assert seat.status(first) == "pending"
    seat.press(card.locator(".approve"))
    seat.ended(first)
    assert seat.status(first) == "approved"


def test_what_moved_works_only_after_a_moment(seat: Seat) -> None:
    """When a card goes away, the buttons of those that move up are let go for a moment."""
    first, second = seat.desk.ask("one"), seat.desk.ask("two")
    seat.armed(second)
    seat.armed(first).locator(".deny").click()
    seat.ended(first)
    card = seat.card(second)
    # Seen by the page itself, in the moment after the first card went.
    seat.page.evaluate(
        """id => {
            const card = document.querySelector(`[data-id="${id}"]`);
            const seen = () => card.dataset.armed === "false" && (document.body.dataset.rested = "yes");
            new MutationObserver(seen).observe(card, {attributes: true});
        }""",
        second,
    )
    seat.card(first).get_by_role("button", name="Dismiss").click()
    expect(seat.page.locator("body")).to_have_attribute("data-rested", "yes")
    expect(card).to_have_attribute("data-armed", "true")


def test_a_press_that_began_elsewhere_is_none(seat: Seat) -> None:
    """Pressed beside the button and released on it, or the other way round: nothing."""
    first = seat.desk.ask("deploy")
    card = seat.armed(first)
    approve, deny = card.locator(".approve"), card.locator(".deny")
    for start, end in ((deny, approve), (approve, deny), (card.locator(".action"), approve)):
        start.hover()
        seat.page.mouse.down()
        end.hover()
        seat.page.mouse.up()
    expect(card).to_have_attribute("data-state", "waiting")
    assert seat.status(first) == "pending"


def test_the_other_mouse_buttons_decide_nothing(seat: Seat) -> None:
    """A right or middle click is no decision."""
    first = seat.desk.ask("deploy")
    card = seat.armed(first)
    card.locator(".approve").click(button="right")
    card.locator(".approve").click(button="middle")
    expect(card).to_have_attribute("data-state", "waiting")


@pytest.mark.parametrize("field", ["action", "reason", "context"])
def test_a_long_text_must_be_opened_before_it_is_approved(seat: Seat, field: str) -> None:
    """Approve says so and does nothing until the text was opened; it is there to its last word. Deny works at once."""
    text = "word " * 400 + "END"
    asked: dict[str, Any] = {"action": "deploy", field: {"plan": text} if field == "context" else text}
    first = seat.desk.ask(**asked)
    card = seat.armed(first)
    expect(card.locator(".deny")).to_have_attribute("aria-disabled", "false")
    seat.press(card.locator(".approve"))
    expect(card.locator(".hint")).to_contain_text("open the long text")
    assert seat.status(first) == "pending"
    card.get_by_role("button", name="Show all of it (2,003 characters, 1 line)").click()
    expect(card.locator(".words", has_text="END")).to_have_text(text)
    seat.armed(first).locator(".approve").click()
    seat.ended(first)
    assert seat.status(first) == "approved"


def test_what_the_server_refuses_is_told_and_can_be_tried_again(seat: Seat) -> None:
    """The sentence stands at the request, which is still there, with its comment."""
    first = seat.desk.ask("deploy")
    seat.page.route("**/decide", lambda route: route.fulfill(status=503, json={"error": "the database is away"}), times=1)
    card = seat.armed(first)
    card.get_by_label("Comment").fill("well")
    card.locator(".approve").click()
    expect(card.locator(".hint")).to_have_text("Not decided: the database is away.")
    seat.armed(first).locator(".approve").click()
    seat.ended(first)
    assert seat.desk.one(first)["comment"] == "well"


def test_an_answer_that_never_came_is_looked_up(seat: Seat) -> None:
    """The decision arrived and its answer did not: the page says that it does not know, reads, and then knows."""
    first = seat.desk.ask("deploy")

    def swallow(route: object) -> None:
        seat.desk.decide(first, "approved")
        route.abort()  # type: ignore[attr-defined]  # a Route

    seat.page.route("**/decide", swallow)
    seat.armed(first).locator(".approve").click()
    expect(seat.ended(first)).to_contain_text("Approved by alice")
    assert "No answer came" in seat.heard()


def test_what_ends_otherwise_says_so(seat: Seat, desk: Desk) -> None:
    """Taken back, and run out: the cards say which, and the list below too."""
    first, second = desk.ask("one"), desk.ask("two", expires_in=1)
    seat.card(first).wait_for()
    desk.withdraw(first)
    expect(seat.ended(first)).to_contain_text("Withdrawn taken back by who asked")
    expect(seat.ended(second)).to_contain_text("Expired nobody decided in time")
    expect(seat.page.locator(".past .word")).to_have_text(["Expired", "Withdrawn"])
