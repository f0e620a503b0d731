"""Deciding at the desk, with a real browser, and with the program that waits for the decision."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from molecule_approve.server import credentials
from tests.callers import ended
from tests.inbox.seat import ARMING, asking

if TYPE_CHECKING:
    from tests.inbox.conftest import NewSeat
    from tests.inbox.seat import Seat
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
        seat.decide(card)
        told = ended(run)
    assert (told.code, told.out) == (0, "approved by alice\n")
    expect(card).to_contain_text("Approved by you")
    expect(seat.history()).to_have_text(re.compile(r"^Approved.*kubectl apply -f x.*alice"))


def test_another_is_denied_with_a_comment(seat: Seat, tmp_path: Path) -> None:
    """The program leaves with 77, and says who and why."""
    with asking(seat.desk, tmp_path, "--", "drop the table") as run:
        card = seat.page.locator(".card")
        card.get_by_label("Comment").fill("not on a Friday")
        seat.decide(card, "deny")
        told = ended(run)
    assert (told.code, told.out) == (77, "denied by alice: not on a Friday\n")
    seat.history().click()
    expect(seat.page.locator(".card")).to_contain_text("Denied by alice")
    expect(seat.page.locator(".remark")).to_have_text("not on a Friday")


def test_a_late_click_is_told_who_won(seat: Seat) -> None:
    """The decision that came between the look and the click is shown, with its author and comment, until one goes on."""
    first = seat.desk.ask("deploy")
    card = seat.armed(first)

    def meanwhile(route: object) -> None:
        seat.desk.decide(first, "denied", comment="I was faster")
        route.continue_()  # type: ignore[attr-defined]  # a Route

    seat.page.route("**/decide", meanwhile)
    seat.decide(card)
    expect(seat.ended(first)).to_contain_text("Too late. Denied by alice")
    expect(card).to_contain_text("I was faster")
    card.get_by_role("button", name="Next request").click()
    expect(card).to_have_count(0)
    expect(seat.page.locator("#empty")).to_be_visible()
    assert seat.status(first) == "denied"


def test_two_tabs_agree(seat: Seat, new_seat: NewSeat) -> None:
    """What is decided in one tab ends in the other one at once, and can no longer be decided there."""
    other = new_seat().sign_in()
    first = seat.desk.ask("deploy")
    other.armed(first)
    seat.decide(seat.armed(first))
    expect(other.ended(first)).to_contain_text("Approved by alice")
    expect(other.card(first).locator(".approve")).to_be_hidden()
    expect(other.history()).to_contain_text("deploy")


def _decisions(seat: Seat) -> list[str]:
    """Filled with each call that decides."""
    calls: list[str] = []
    seat.page.on("request", lambda call: calls.append(call.url) if call.url.endswith("/decide") else None)
    return calls


@pytest.mark.parametrize("verb", ["approve", "deny"])
def test_a_double_click_only_chooses(seat: Seat, verb: str) -> None:
    """Its second click passes no second step, and neither does a quick one on the button that confirms."""
    calls = _decisions(seat)
    card = seat.armed(seat.desk.ask("deploy"))
    seat.page.clock.pause_at(seat.page.evaluate("Date.now() / 1000 + 1"))
    card.locator(f".{verb}").dblclick()
    expect(card.locator(".confirm")).to_be_visible()
    expect(card.locator(".yes")).to_have_attribute("aria-disabled", "true")
    seat.press(card.locator(".yes"))
    card.locator(".yes").dblclick(force=True)
    expect(card).to_have_attribute("data-state", "waiting")
    assert calls == []


@pytest.mark.parametrize("verb", ["approve", "deny"])
@pytest.mark.parametrize(("width", "touch"), [(1280, False), (390, True)])
def test_who_clicks_on_at_one_place_decides_nothing(new_seat: NewSeat, verb: str, width: int, *, touch: bool) -> None:
    """Mouse or finger, however slowly, also at the window's edge, where the question is scrolled into sight."""
    seat = new_seat(viewport={"width": width, "height": 560}, has_touch=touch, is_mobile=touch).sign_in()
    calls = _decisions(seat)
    card = seat.armed(seat.desk.ask("deploy", reason="a reason"))
    button = card.locator(f".{verb}")
    button.evaluate("node => node.scrollIntoView({block: 'end'})")
    box = button.bounding_box()
    assert box is not None
    asked = 0
    for part in (0.02, 0.5, 0.98):
        for _ in range(4):
            seat.armed(str(card.get_attribute("data-id")))
            strike = seat.page.touchscreen.tap if touch else seat.page.mouse.click
            strike(box["x"] + part * box["width"], box["y"] + box["height"] / 2)
            asked += card.locator(".confirm").is_visible()
    assert asked > 0
    assert calls == []
    expect(card).to_have_attribute("data-state", "waiting")


def test_a_tap_chooses_and_another_one_confirms(new_seat: NewSeat) -> None:
    """As with the mouse: the first asks, with the comment at hand; the second decides."""
    seat = new_seat(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True).sign_in()
    first = seat.desk.ask("deploy")
    card = seat.armed(first)
    card.locator(".deny").tap()
    expect(card.get_by_role("group", name="Deny this request?")).to_be_focused()
    expect(card.locator(".keys")).to_be_hidden()
    card.get_by_label("Comment").fill("not now")
    seat.asked(card).tap()
    seat.ended(first)
    assert (seat.status(first), seat.desk.one(first)["comment"]) == ("denied", "not now")


def test_one_question_at_a_time(seat: Seat) -> None:
    """Going to another request takes back what was chosen for this one: no panel is left for a stray click."""
    first, second = seat.desk.ask("one"), seat.desk.ask("two")
    seat.armed(first).locator(".approve").click()
    expect(seat.card(first).locator(".confirm")).to_be_visible()
    seat.armed(second).locator(".deny").click()
    expect(seat.card(second).locator(".confirm")).to_be_visible()
    expect(seat.card(first)).to_have_count(0)
    seat.armed(first)
    expect(seat.card(first).locator(".confirm")).to_be_hidden()
    expect(seat.card(first).locator(".choices")).to_be_visible()


def test_buttons_work_only_after_a_moment(new_seat: NewSeat) -> None:
    """A click at the place where a request or a question just appeared does nothing; a second later it is taken."""
    seat = new_seat()
    seat.sign_in()
    seat.page.clock.pause_at(seat.page.evaluate("Date.now() / 1000 + 1"))
    first = seat.desk.ask("deploy")
    card = seat.arrived(first)
    expect(card).to_have_attribute("data-armed", "false")
    seat.page.clock.run_for(ARMING - 200)
    expect(card.locator(".approve")).to_have_attribute("aria-disabled", "true")
    seat.press(card.locator(".approve"))
    expect(card.locator(".confirm")).to_be_hidden()
    seat.page.clock.run_for(200)
    expect(card.locator(".approve")).to_have_attribute("aria-disabled", "false")
    seat.press(card.locator(".approve"))
    expect(card.locator(".confirm")).to_be_visible()
    seat.page.clock.run_for(ARMING - 200)
    seat.press(card.locator(".yes"))
    expect(card).to_have_attribute("data-state", "waiting")
    assert seat.status(first) == "pending"
    seat.page.clock.run_for(200)
    seat.press(card.locator(".yes"))
    seat.ended(first)
    assert seat.status(first) == "approved"


def test_what_comes_under_the_hand_works_only_after_a_moment(new_seat: NewSeat) -> None:
    """The next request's buttons are where those of the one before were; and details that open may move them."""
    seat = new_seat(viewport={"width": 390, "height": 844}).sign_in()
    first, second = seat.desk.ask("one"), seat.desk.ask("two")
    seat.armed(second)
    seat.decide(seat.armed(first), "deny")
    seat.ended(first)
    seat.page.clock.pause_at(seat.page.evaluate("Date.now() / 1000 + 1"))
    seat.card(first).get_by_role("button", name="Next request").click()
    seat.press(seat.card(second).locator(".approve"))
    expect(seat.card(second).locator(".confirm")).to_be_hidden()
    seat.page.clock.run_for(ARMING)
    seat.press(seat.card(second).locator(".approve"))
    expect(seat.card(second).locator(".confirm")).to_be_visible()
    seat.page.clock.run_for(ARMING)
    expect(seat.card(second)).to_have_attribute("data-armed", "true")
    # The buttons are where the text ends: at the window's edge, if the text is longer.
    seat.page.set_viewport_size({"width": 390, "height": 1800})
    seat.page.clock.run_for(ARMING)
    seat.card(second).locator("summary").evaluate("node => { node.closest('.card').style.minHeight = '0'; node.click(); }")
    expect(seat.card(second)).to_have_attribute("data-armed", "false")


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
    expect(card.locator(".confirm")).to_be_hidden()
    approve.click()
    yes = seat.asked(card)
    for start, end in ((card.locator(".back"), yes), (yes, card.locator(".back")), (card.locator(".action"), yes)):
        start.hover()
        seat.page.mouse.down()
        end.hover()
        seat.page.mouse.up()
    expect(card.locator(".confirm")).to_be_visible()
    assert seat.status(first) == "pending"


def test_the_other_mouse_buttons_decide_nothing(seat: Seat) -> None:
    """A right or middle click is no decision."""
    first = seat.desk.ask("deploy")
    card = seat.armed(first)
    card.locator(".approve").click(button="right")
    card.locator(".approve").click(button="middle")
    expect(card.locator(".confirm")).to_be_hidden()
    card.locator(".approve").click()
    for button in ("right", "middle"):
        seat.asked(card).click(button=button)
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
    expect(card.locator(".hint")).to_contain_text("show the long text")
    expect(card.locator(".confirm")).to_be_hidden()
    card.get_by_role("button", name="Show all (2,003 characters, 1 line)").click()
    expect(card.locator(".words:not(.more *)", has_text="END")).to_have_text(text)
    seat.decide(seat.armed(first))
    seat.ended(first)
    assert seat.status(first) == "approved"


def test_what_the_server_refuses_is_told_and_can_be_tried_again(seat: Seat) -> None:
    """The sentence stands at the request, which is still there, with its comment."""
    first = seat.desk.ask("deploy")
    seat.page.route("**/decide", lambda route: route.fulfill(status=503, json={"error": "the database is away"}), times=1)
    card = seat.armed(first)
    card.get_by_label("Comment").fill("well")
    seat.decide(card)
    expect(card.locator(".hint")).to_have_text("Not decided: the database is away.")
    seat.decide(seat.armed(first))
    seat.ended(first)
    assert seat.desk.one(first)["comment"] == "well"


_PAGE = {"content_type": "text/html", "body": "<h1>Welcome to the guests' network</h1>"}
_OTHER = "00000000-0000-4000-8000-000000000000"


def _foreign(approval_id: str) -> Iterator[dict[str, Any]]:
    """Answers to "approve" that the server did not give, or that do not say that this request is approved."""
    yield from ({**_PAGE, "status": status} for status in (200, 201, 401, 403, 404, 409, 502))
    yield {"status": 204}
    yield {"status": 302, "headers": {"Location": "/"}}
    for status, body in [
        (200, {}),
        (200, None),
        (200, [approval_id, "approved"]),
        (200, {"approval_id": approval_id}),
        (200, {"status": "approved"}),
        (200, {"approval_id": _OTHER, "status": "approved"}),
        (200, {"approval_id": approval_id, "status": "denied"}),
        (200, {"approval_id": approval_id, "status": "pending"}),
        (409, {"approval_id": _OTHER, "status": "approved", "decided_by": "mallory"}),
    ]:
        yield {"status": status, "json": body}


def test_what_does_not_say_that_it_is_decided_is_no_success(seat: Seat) -> None:
    """A portal's page with 200, a redirect, another request's answer: the page says that it does not know, and stays."""
    first = seat.desk.ask("deploy")
    for answer in _foreign(first):
        seat.page.evaluate("document.getElementById('announcements').replaceChildren()")
        seat.misled("**/decide", **answer)
        card = seat.armed(first)
        seat.decide(card)
        expect(card.locator(".hint")).to_contain_text("The list will show whether it was decided.")
        assert "by you" not in seat.heard()
        assert "Too late" not in seat.heard()
        seat.page.unroute("**/decide")
    assert seat.status(first) == "pending"
    seat.decide(seat.armed(first))
    expect(seat.ended(first)).to_contain_text("Approved by you")


def test_an_answer_that_never_came_is_looked_up(seat: Seat) -> None:
    """The decision arrived and its answer did not: the page says that it does not know, reads, and then knows."""
    first = seat.desk.ask("deploy")

    def swallow(route: object) -> None:
        seat.desk.decide(first, "approved")
        route.abort()  # type: ignore[attr-defined]  # a Route

    seat.page.route("**/decide", swallow)
    seat.decide(seat.armed(first))
    expect(seat.ended(first)).to_contain_text("Approved by alice")
    assert "The server did not answer" in seat.heard()


def test_what_ends_otherwise_says_so(seat: Seat, desk: Desk) -> None:
    """Taken back, and run out: the request, its line and the history say which, each with a badge of its own."""
    first = desk.ask("one")
    seat.shown(first)
    desk.withdraw(first)
    expect(seat.ended(first)).to_contain_text("Withdrawn by the requester")
    expect(seat.card(first).locator(".badge")).to_have_text("Withdrawn")
    expect(seat.row(first).locator(".outcome.withdrawn")).to_be_visible()
    second = desk.ask("two", expires_in=3)
    seat.shown(second)
    expect(seat.row(first)).to_have_count(0)
    expect(seat.ended(second)).to_contain_text("Expired nobody decided in time")
    expect(seat.card(second).locator(".badge")).to_have_text("Expired")
    expect(seat.history().locator(".outcome")).to_have_text(["Expired", "Withdrawn"])


def test_ones_own_request_is_decided_by_another_approver(seat: Seat) -> None:
    """The only approver may decide it, which is said; as soon as there is another one there are no buttons, and a reason."""
    name = seat.desk.one(seat.desk.ask("before"))["requested_by"]
    token = seat.desk.server.add_approver(name)
    with credentials.opened(seat.desk.server.places) as store:
        credentials.revoke(store, "alice")
    seat.page.locator("#token").fill(token)
    seat.page.get_by_role("button", name="Sign in", exact=True).click()
    seat.live()
    first, second = seat.desk.ask("one"), seat.desk.ask("two")
    card = seat.armed(first)
    expect(card.locator(".hint")).to_contain_text("As the only approver you may decide it")
    seat.decide(card)
    seat.ended(first)
    seat.desk.server.add_approver("bob")
    seat.row(second).click()
    card = seat.card(second)
    for part in (".choices", ".comment", ".confirm"):
        expect(card.locator(part)).to_be_hidden()
    expect(card.locator(".hint")).to_have_text("You requested this yourself, so another approver must decide it.")
    seat.page.keyboard.press("a")
    expect(card.locator(".confirm")).to_be_hidden()
    assert "another approver must decide it" in seat.heard()
    seat.history().first.click()
    expect(seat.card(first).locator(".said")).to_have_text(f"Approved by {name}, who requested it")
