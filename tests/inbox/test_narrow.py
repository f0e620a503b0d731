"""Windows of any width: the bar beside a long name, a phone's rows, and commands that the page names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.inbox.seat import link_for

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.inbox.conftest import NewSeat
    from tests.server.desk import Desk

MAIL = "maria.gonzalez@example.org"
WIDTHS = (320, 360, 390, 641, 660, 700, 768, 844, 900, 1024, 1025, 1280)
TWO_LINES = 96
"""Pixels that the bar may take: its two lines on the smallest phones."""

BLOCKED = "globalThis.Notification = class extends EventTarget { static permission = 'denied'; };"

# What of the bar's parts is divided, covers another one, or reaches out of the window.
BAR = """() => {
    const shown = [...document.querySelectorAll(".bar *")]
        .filter(part => part.checkVisibility() && !part.closest("svg") && part.getBoundingClientRect().width > 1);
    const boxes = shown.filter(part => part.matches(".brand, .views a, .dot, #connection, button, .person"))
        .map(part => [part.id || part.textContent, part.getBoundingClientRect()]);
    const lines = part => {
        const all = document.createRange();
        all.selectNodeContents(part);
        return new Set([...all.getClientRects()].map(line => Math.round(line.top))).size;
    };
    const divided = shown.filter(part => part.children.length === 0 && lines(part) > 1).map(part => part.textContent);
    const covered = boxes.flatMap(([name, box], at) => boxes.slice(at + 1)
        .filter(([, other]) => box.right > other.left + 1 && other.right > box.left + 1
            && box.bottom > other.top + 1 && other.bottom > box.top + 1)
        .map(([other]) => `${name} and ${other}`));
    const out = boxes.filter(([, box]) => box.left < 0 || box.right > innerWidth).map(([name]) => name);
    return {divided, covered, out, height: document.querySelector(".bar").offsetHeight,
        sideways: document.documentElement.scrollWidth > innerWidth};
}"""

# The words of the commands that are shown, each on so many lines; a word that is longer than a line may be divided.
DIVIDED = """() => [...document.querySelectorAll("code")].filter(code => code.checkVisibility()).flatMap(code => {
    const texts = [], walker = document.createTreeWalker(code, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) texts.push(walker.currentNode);
    const places = texts.flatMap(node => [...node.data].map((_, at) => [node, at]));
    const room = code.parentElement.clientWidth - 2 * parseFloat(getComputedStyle(code.parentElement).paddingLeft);
    return [...code.textContent.matchAll(/\\S+/gu)].filter(({0: word, index}) => {
        const range = document.createRange();
        range.setStart(...places[index]);
        const [node, at] = places[index + word.length - 1];
        range.setEnd(node, at + 1);
        const lines = [...range.getClientRects()].filter(line => line.width > 0);
        const width = lines.reduce((sum, line) => sum + line.width, 0);
        return new Set(lines.map(line => Math.round(line.top))).size > 1 && width < room;
    }).map(([word]) => word);
})"""


def _widths(page: Page, first: int, last: int, step: int) -> list[tuple[int, str]]:
    """The words of commands that are divided, in windows from the first width to the last."""
    found = []
    for width in range(first, last, step):
        page.set_viewport_size({"width": width, "height": 900})
        found += [(width, word) for word in page.evaluate(DIVIDED)]
    return found


@pytest.mark.parametrize("name", ["alice", MAIL])
def test_the_bar_has_room_for_every_name(new_seat: NewSeat, desk: Desk, name: str) -> None:
    """In no width is a word divided or covered, or the page wider than its window; a long name is cut, and told in full."""
    if name != "alice":
        desk.server.add_approver(name)
    for number in range(101):
        desk.ask(f"step {number}")
    seat = new_seat()
    seat.page.add_init_script(BLOCKED)
    seat.page.goto(link_for(desk, name))
    seat.live()
    expect(seat.page.locator("#notify")).to_have_text("Notifications blocked")
    expect(seat.page.locator("#count")).to_have_text("101")
    found = {}
    for width in WIDTHS:
        seat.page.set_viewport_size({"width": width, "height": 700})
        found[width] = seat.page.evaluate(BAR)
    wanted = {"divided": [], "covered": [], "out": [], "sideways": False}
    assert {width: {**seen, "height": seen["height"] <= TWO_LINES} for width, seen in found.items()} == {
        width: {**wanted, "height": True} for width in WIDTHS
    }
    expect(seat.page.locator("#show-sessions")).to_have_attribute("title", f"{name}: your sessions")


def test_a_thumb_reaches_the_buttons_of_a_small_phone(new_seat: NewSeat, desk: Desk) -> None:
    """The page is as wide as the screen in every view, so that nothing lies over the button that is tapped."""
    desk.server.add_approver(MAIL)
    asked = [desk.ask("deploy " * 60, reason="a release " * 40) for _ in range(20)][-1]
    seat = new_seat(viewport={"width": 320, "height": 568}, has_touch=True, is_mobile=True)
    seat.page.goto(link_for(desk, MAIL))
    seat.live()
    for path in ("history", "sessions", f"requests/{asked}"):
        seat.page.goto(f"{desk.server.url}/{path}")
        seat.live() if path.startswith("requests") else expect(seat.page.locator("#name")).to_have_text(MAIL)
        assert seat.page.evaluate("[innerWidth, document.documentElement.scrollWidth]") == [320, 320]
    card = seat.armed(asked)
    card.locator(".deny").tap()
    expect(card.locator(".confirm")).to_be_visible()


def test_a_phones_row_names_the_workspace_beside_a_long_requester(new_seat: NewSeat, desk: Desk) -> None:
    """The name is cut, as there are several workspaces; where there is one, the name has the whole line."""
    asked = desk.ask_as("nightly-terraform-runner-of-the-house@ci.example.org")
    seat = new_seat(viewport={"width": 390, "height": 844}).sign_in()
    who, where = seat.row(asked).locator(".row-who"), seat.row(asked).locator(".row-workspace")
    expect(where).to_be_hidden()
    alone = who.evaluate("node => node.clientWidth")
    desk.add_workspace("other", "production", "token-of-other")
    with desk.client("token-of-other") as other:
        other.post("/workspaces/other/approvals", json={"action": "elsewhere"})
    expect(where).to_be_visible()
    assert where.evaluate("node => node.clientWidth >= 64")
    assert 100 < who.evaluate("node => node.clientWidth") <= alone - 64


def test_words_of_the_commands_that_the_page_names_stay_whole(new_seat: NewSeat, desk: Desk) -> None:
    """At the door, in the empty inbox and beside the passkeys, in every width: only one longer than a line is divided."""
    seat = new_seat()
    seat.page.goto(desk.server.url)
    command = f"PLATFORM_URL={desk.server.url} molecule-approve approvers link"
    expect(seat.page.locator("#make-link")).to_have_text(command)
    found = _widths(seat.page, 320, 700, 20)
    seat.sign_in()
    expect(seat.page.locator("#empty code")).to_have_text('molecule-approve request -- "deploy to production"')
    found += _widths(seat.page, 320, 500, 20)
    seat.page.get_by_role("link", name="Sessions").click()
    expect(seat.page.locator("#get-passkey code")).to_be_visible()
    found += _widths(seat.page, 320, 500, 20)
    assert found == []
