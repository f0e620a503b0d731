"""The desk by keyboard alone: going from request to request, choosing, confirming, and deciding nothing by a stray key."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.callers import ended
from tests.inbox.seat import ARMING, asking

if TYPE_CHECKING:
    from playwright.sync_api import Locator

    from tests.inbox.seat import Seat


@pytest.fixture
def card(seat: Seat) -> Locator:
    """One request, armed, with the focus on it."""
    found = seat.armed(seat.desk.ask("deploy"))
    seat.page.keyboard.press("j")
    expect(found).to_be_focused()
    return found


def chosen(card: Locator) -> Locator:
    """What asks for the confirmation, once it would take one."""
    expect(card.locator(".confirm")).to_be_focused()
    card.page.clock.fast_forward(ARMING)
    expect(card.locator(".yes")).to_have_attribute("aria-disabled", "false")
    return card.locator(".confirm")


@pytest.mark.parametrize(("key", "code"), [("a", 0), ("d", 77)])
def test_keyboard_alone_decides(seat: Seat, tmp_path: Path, key: str, code: int) -> None:
    """A or d chooses for what is shown, wherever the focus is, Shift with the same key confirms; the program is answered."""
    with asking(seat.desk, tmp_path, "--", "deploy") as run:
        card = seat.page.locator(".card[data-armed=true]")
        card.wait_for()
        seat.page.keyboard.press(key)
        chosen(card)
        seat.page.keyboard.press(f"Shift+{key.upper()}")
        assert ended(run).code == code
    assert "by you" in seat.heard()


def test_j_and_k_go_through_the_list(seat: Seat) -> None:
    """In its order, and they stop at its ends."""
    found = [seat.desk.ask(f"step {number}") for number in range(3)]
    seat.row(found[2]).wait_for()
    expect(seat.card(found[0])).to_be_visible()
    for key, at in (("j", 1), ("j", 2), ("j", 2), ("k", 1), ("k", 0), ("k", 0)):
        seat.page.keyboard.press(key)
        expect(seat.card(found[at])).to_be_focused()
        expect(seat.row(found[at])).to_have_attribute("aria-current", "true")
        assert seat.page.url == f"{seat.desk.server.url}/requests/{found[at]}"
    # The list is filtered by what is typed; the keys go through what is left.
    seat.page.keyboard.press("/")
    seat.page.keyboard.type("step 2")
    expect(seat.row(found[0])).to_be_hidden()
    seat.page.keyboard.press("Escape")
    seat.page.keyboard.press("j")
    expect(seat.card(found[2])).to_be_focused()


def test_a_word_typed_by_mistake_decides_nothing(seat: Seat, card: Locator) -> None:
    """Every key but the confirming one takes a choice back; Enter and space do nothing."""
    for word in ("today", "Add a day", "add", "aa", "dA"):
        for letter in word:
            # Slowly: it is not the moment of rest that saves us here.
            seat.page.clock.fast_forward(ARMING)
            seat.page.keyboard.press(f"Shift+{letter}" if letter.isupper() else letter)
        seat.page.keyboard.press("Escape")
        for key in ("Enter", "Space"):
            seat.page.keyboard.press(key)
    expect(card).to_have_attribute("data-state", "waiting")
    assert seat.desk.one(str(card.get_attribute("data-id")))["status"] == "pending"


def test_escape_goes_back(seat: Seat, card: Locator) -> None:
    """The buttons are back, and the focus is on the request."""
    expect(card).to_have_attribute("data-armed", "true")
    seat.page.keyboard.press("a")
    chosen(card)
    seat.page.keyboard.press("Escape")
    expect(card.locator(".confirm")).to_be_hidden()
    expect(card.locator(".choices")).to_be_visible()
    expect(card).to_be_focused()


def test_enter_on_the_button_only_chooses(seat: Seat, card: Locator) -> None:
    """Also held down; the button that confirms must be gone to, and pressed."""
    card.locator(".approve").focus()
    for _ in range(3):  # a key that is held down
        seat.page.keyboard.down("Enter")
    seat.page.keyboard.up("Enter")
    chosen(card)
    expect(card).to_have_attribute("data-state", "waiting")
    seat.page.keyboard.press("Tab")
    expect(card.locator(".yes")).to_be_focused()
    seat.page.keyboard.press("Enter")
    expect(card).to_have_attribute("data-state", "ended")


def test_enter_held_down_on_the_button_that_confirms_decides_nothing(seat: Seat, card: Locator) -> None:
    """From before it worked until long after: it must be let go and pressed anew."""
    card.locator(".approve").focus()
    seat.page.keyboard.press("Enter")
    seat.page.keyboard.press("Tab")
    expect(card.locator(".yes")).to_be_focused()
    for _ in range(3):
        seat.page.keyboard.down("Enter")
        seat.page.clock.fast_forward(ARMING)
    expect(card.locator(".yes")).to_have_attribute("aria-disabled", "false")
    seat.page.keyboard.down("Enter")
    seat.page.keyboard.up("Enter")
    expect(card).to_have_attribute("data-state", "waiting")
    seat.page.keyboard.press("Enter")
    expect(card).to_have_attribute("data-state", "ended")


def test_typing_a_comment_triggers_nothing(seat: Seat, card: Locator) -> None:
    """C goes into the field, where letters are letters and Enter is a new line; Escape leaves it."""
    seat.page.keyboard.press("c")
    comment = card.get_by_label("Comment")
    expect(comment).to_be_focused()
    seat.page.keyboard.type("a d j k ? AD\nok")
    expect(comment).to_have_value("a d j k ? AD\nok")
    expect(seat.page.locator("#help")).to_be_hidden()
    expect(card.locator(".confirm")).to_be_hidden()
    seat.page.keyboard.press("Escape")
    expect(card).to_be_focused()


def test_a_long_text_is_opened_by_o(seat: Seat) -> None:
    """A says why it cannot be approved yet; o opens the text, and then it can; nothing else has the focus."""
    found = seat.armed(seat.desk.ask("deploy", reason="long " * 200))
    seat.page.locator("body").focus()
    seat.page.keyboard.press("a")
    expect(found.locator(".confirm")).to_be_hidden()
    assert "show the long text" in seat.heard()
    expect(found.locator(".hint")).to_have_class("hint told")
    seat.page.keyboard.press("o")
    expect(found.locator(".unfold")).to_have_attribute("aria-expanded", "true")
    # Without a click into it, the request scrolls too.
    seat.page.set_viewport_size({"width": 1280, "height": 420})
    seat.page.evaluate("document.activeElement.blur()")
    pane = seat.page.locator("#detail")
    for key, moved in (("Space", "scrollTop > 0"), ("Home", "scrollTop === 0"), ("End", "scrollTop > 99")):
        seat.page.keyboard.press(key)
        assert pane.evaluate(f"node => node.{moved}"), key
    expect(found).to_have_attribute("data-armed", "true")
    seat.page.keyboard.press("a")
    chosen(found)


def test_the_keys_are_told_and_can_be_switched_off(seat: Seat, card: Locator) -> None:
    """? shows them; without the tick no letter does anything, here and after a reload, until it is set again."""
    seat.page.keyboard.press("?")
    help_ = seat.page.get_by_role("dialog", name="Keyboard")
    expect(help_).to_be_visible()
    help_.get_by_role("checkbox").uncheck()
    help_.get_by_role("button", name="Close").click()
    expect(help_).to_be_hidden()
    card.focus()
    seat.page.keyboard.press("a")
    expect(card.locator(".confirm")).to_be_hidden()
    seat.page.reload()
    seat.live()
    expect(card).to_be_visible()
    seat.page.keyboard.press("j")
    expect(card).not_to_be_focused()


def test_the_focus_stays_when_the_list_changes(seat: Seat, card: Locator) -> None:
    """Others come, end and go; who writes a comment goes on writing it, and the text stays, also while another is shown."""
    first = str(card.get_attribute("data-id"))
    card.get_by_label("Comment").focus()
    seat.page.keyboard.type("half a ")
    other = seat.desk.ask("another")
    seat.row(other).wait_for()
    seat.desk.decide(other)
    expect(seat.row(other)).to_have_count(0)
    seat.page.keyboard.type("word")
    expect(card.get_by_label("Comment")).to_have_value("half a word")
    third = seat.desk.ask("third")
    seat.shown(third)
    expect(seat.shown(first).get_by_label("Comment")).to_have_value("half a word")


def test_after_a_decision_the_focus_goes_on(seat: Seat, card: Locator) -> None:
    """The button that goes to the next request has it; there Enter leads, and the list has one line less."""
    first, second = str(card.get_attribute("data-id")), seat.desk.ask("next")
    seat.row(second).wait_for()
    seat.page.keyboard.press("d")
    chosen(card)
    seat.page.keyboard.press("Shift+D")
    expect(card).to_have_attribute("data-state", "ended")
    expect(card.get_by_role("button", name="Next request")).to_be_focused()
    seat.page.keyboard.press("Enter")
    expect(seat.card(second)).to_be_focused()
    expect(seat.row(first)).to_have_count(0)
