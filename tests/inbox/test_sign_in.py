"""Signing in, staying, leaving; and a connection that is lost and comes back."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from molecule_approve.paths import Places
from molecule_approve.server import credentials
from molecule_approve.server.limits import Limits
from molecule_approve.server.run import Running
from molecule_approve.server.starting import ServePlan
from tests.callers import until
from tests.inbox.seat import ARMING, Seat, link_for
from tests.integration.proxy import Proxy
from tests.server.desk import Desk, desk_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.inbox.conftest import NewSeat

ENDED = "Your session has ended"


def signed_out(seat: Seat, why: str) -> None:
    """The way in is shown, with the reason, and nothing of the desk is left."""
    expect(seat.page.get_by_role("heading", name="Sign in to decide")).to_be_visible()
    expect(seat.page.locator("#why")).to_contain_text(why)
    expect(seat.page.locator("#lost")).to_be_hidden()
    expect(seat.page.get_by_text("molecule-approve approvers link NAME")).to_be_visible()
    expect(seat.page.locator(".card")).to_have_count(0)
    assert seat.page.evaluate("localStorage.getItem('molecule-desk.session')") is None


def test_a_link_signs_in_once(seat: Seat, new_seat: NewSeat) -> None:
    """The code leaves the address bar and the history at once; the session lasts over a reload, and sets no cookie."""
    expect(seat.page.locator("#name")).to_have_text("alice")
    assert seat.page.evaluate("location.href") == f"{seat.desk.server.url}/"
    seat.page.reload()
    seat.live()
    assert seat.context.cookies() == []
    link, other = link_for(seat.desk), new_seat()
    other.page.goto(link)
    other.live()
    third = new_seat()
    third.page.goto(link)
    signed_out(third, "was already used, or is older than a minute")
    # Who is signed in already is told the same, and goes on.
    seat.page.goto(link)
    expect(seat.page.locator("#why")).to_contain_text("was already used")
    seat.page.get_by_role("button", name="Back to the inbox").click()
    expect(seat.live().page.locator("#name")).to_have_text("alice")


def test_without_a_link_it_says_how_to_get_one(new_seat: NewSeat) -> None:
    """And a link that is then pasted into the same tab is taken, though it loads no page."""
    seat = new_seat()
    seat.page.goto(seat.desk.server.url)
    expect(seat.page.get_by_text("molecule-approve approvers link NAME")).to_be_visible()
    expect(seat.page.locator("#why")).to_be_hidden()
    seat.page.goto(link_for(seat.desk))
    seat.live()


def _follow(seat: Seat, name: str) -> str:
    """Follow a link of this approver in a tab whose clock stands; the session that the server gave for it."""
    link = link_for(seat.desk, name)
    seat.page.clock.pause_at(seat.page.evaluate("Date.now() / 1000 + 1"))
    with seat.page.expect_response("**/desk/session") as answered:
        seat.page.goto(link)
    return str(answered.value.json()["token"])


def _held(seat: Seat) -> str:
    """The session of this browser."""
    return str(seat.page.evaluate("localStorage.getItem('molecule-desk.session')"))


def _is_over(seat: Seat, token: str) -> None:
    """The server knows the session no more."""
    with seat.desk.client(token) as client:
        until(lambda: client.get("/desk/list").status_code == 401, "the session is still good")


def test_the_link_of_another_approver_changes_nobody_without_a_question(seat: Seat) -> None:
    """It says who is here and who would come; the session that is not wanted ends. One's own link asks nothing."""
    seat.desk.server.add_approver("bob")
    before = _held(seat)
    offered = _follow(seat, "bob")
    submitted = seat.page.get_by_role("heading", name="Change who is signed in?")
    expect(submitted).to_be_focused()
    expect(seat.page.locator("#ask-why")).to_contain_text("signed in as alice")
    expect(seat.page.locator("#ask-why")).to_contain_text("signs in bob")
    # Neither a click meant for something else nor a key answers.
    seat.page.get_by_role("button", name="Sign in as bob").click(force=True)
    seat.page.keyboard.press("Enter")
    seat.page.keyboard.press("Space")
    assert _held(seat) == before
    seat.page.clock.run_for(ARMING)
    seat.page.get_by_role("button", name="Stay as alice").click()
    seat.live()
    expect(seat.page.locator("#name")).to_have_text("alice")
    assert _held(seat) == before
    _is_over(seat, offered)
    offered = _follow(seat, "bob")
    seat.page.clock.run_for(ARMING)
    seat.page.get_by_role("button", name="Sign in as bob").click()
    expect(seat.live().page.locator("#name")).to_have_text("bob")
    assert _held(seat) == offered
    _is_over(seat, before)
    again = _follow(seat, "bob")
    until(lambda: _held(seat) == again, "one's own link was not taken")
    seat.live()


def test_signing_out_ends_it_in_every_tab(seat: Seat) -> None:
    """The other tab shows the way in too; the session is no good any more."""
    other = Seat.take(seat.context, seat.desk)
    other.page.goto(seat.desk.server.url)
    other.live()
    token = seat.page.evaluate("localStorage.getItem('molecule-desk.session')")
    seat.page.get_by_role("button", name="Sign out").click()
    signed_out(seat, "You are signed out")
    expect(other.page.locator("body[data-view=sign-in]")).to_be_attached()
    _is_over(seat, token)


def test_signing_out_without_the_servers_word_says_so(seat: Seat) -> None:
    """A portal's page is no "ended": here the session is gone, and the server still has it."""
    token = _held(seat)
    seat.misled("**/desk/session/end", status=200, content_type="text/html", body="<h1>Welcome</h1>")
    seat.page.get_by_role("button", name="Sign out").click()
    signed_out(seat, "The server did not confirm it")
    with seat.desk.client(token) as client:
        assert client.get("/desk/list").status_code == 200


def test_an_expired_session_shows_the_way_in(seat: Seat) -> None:
    """Taken away under an open page: the click decides nothing, and says why."""
    first = seat.desk.ask("deploy")
    card = seat.armed(first)
    card.locator(".approve").click()
    place = seat.place(seat.asked(card))
    with credentials.opened(seat.desk.server.places) as store:
        credentials.revoke(store, "alice")
    # Sooner than the server looks for what was revoked, or just after, when the button is gone: the end is the same.
    seat.page.mouse.click(*place)
    signed_out(seat, ENDED)
    assert seat.status(first) == "pending"


def test_a_server_that_starts_again_knows_the_session(seat: Seat, house: Places) -> None:
    """The page is told that it restarts, and comes back by itself, still signed in, without an alarm in between."""
    port = int(seat.desk.server.url.rpartition(":")[2])
    seat.desk.server.stop()
    expect(seat.page.locator("body[data-connection=returning]")).to_be_attached()
    expect(seat.page.locator("#connection")).to_have_text("Reconnecting…")
    with Running(ServePlan(house, port=port)):
        seat.live()
    expect(seat.page.locator("#name")).to_have_text("alice")


def test_a_revoked_session_never_tries_again(seat: Seat) -> None:
    """The way in is shown at once, and nothing of the lost connection with it, also where the connection was lost before."""
    seat.misled("**/desk/list", status=502)
    seat.desk.ask("deploy")
    expect(seat.page.locator("#lost")).to_be_visible()
    with credentials.opened(seat.desk.server.places) as store:
        credentials.revoke(store, "alice")
    seat.page.unroute("**/desk/list")
    signed_out(seat, ENDED)
    expect(seat.page.locator("#lost")).to_be_hidden()
    expect(seat.page.get_by_text("Trying again")).to_be_hidden()


def test_what_was_typed_is_there_after_signing_in_again(seat: Seat) -> None:
    """For the same person, in the same tab, at the same request."""
    first = seat.desk.ask("deploy")
    seat.armed(first).get_by_label("Comment").fill("half a word")
    with seat.desk.client(_held(seat)) as client:
        assert client.post("/desk/session/end").status_code == 200
    signed_out(seat, ENDED)
    seat.page.goto(link_for(seat.desk))
    expect(seat.live().card(first).get_by_label("Comment")).to_have_value("half a word")


def test_the_address_of_a_request_leads_to_it(seat: Seat, new_seat: NewSeat) -> None:
    """Signed in at once; signed out after signing in, in whichever tab; with a way back; another address leads nowhere."""
    first, second = seat.desk.ask("one"), seat.desk.ask("two")
    address = f"{seat.desk.server.url}/requests/{second}"
    seat.page.goto(address)
    expect(seat.card(second)).to_be_visible()
    expect(seat.page.get_by_role("link", name=re.compile("two"))).to_have_attribute("href", address)
    seat.shown(first)
    seat.page.go_back()
    expect(seat.card(second)).to_be_visible()
    other = new_seat()
    other.page.goto(address)
    signed_out(other, "")
    expect(other.page.locator("#wanted")).to_be_visible()
    tab = Seat.take(other.context, seat.desk)
    tab.sign_in()
    for one in (tab, other):
        expect(one.live().card(second)).to_be_visible()
        assert one.page.url == address
    seat.desk.withdraw(second)
    other.page.goto(address)
    expect(other.card(second).locator(".badge")).to_have_text("Withdrawn")
    other.page.goto(f"{seat.desk.server.url}/requests/javascript:alert(1)")
    other.live()
    assert other.page.url.startswith(seat.desk.server.url)


def test_a_portal_that_answers_is_no_server(seat: Seat) -> None:
    """Its pages, whatever their status, are a lost connection: nobody is signed out by them, and nothing is shown."""
    first = seat.desk.ask("deploy")
    card = seat.armed(first)
    for status in (200, 401, 403):
        seat.misled("**/desk/list", status=status, content_type="text/html", body="<h1>Please sign in</h1>")
        other = seat.desk.ask("another")
        expect(seat.page.locator("#lost")).to_be_visible()
        expect(card.locator(".approve")).to_have_attribute("aria-disabled", "true")
        seat.page.unroute("**/desk/list")
        # Or it has come back by itself by now.
        seat.page.locator("#retry").dispatch_event("click")
        seat.live()
        seat.row(other).wait_for()
    expect(card).to_have_attribute("data-state", "waiting")


def test_a_lost_connection_comes_back(home: Path, new_seat: NewSeat) -> None:
    """While it is gone it is seen, and nothing can be decided; then what happened meanwhile is there."""
    places = Places(home / "far", home / "off")
    with (
        Running(
            ServePlan(places, "127.0.0.2", limits=replace(Limits(), rate=1_000_000, unauthenticated_rate=1_000_000))
        ) as server,
        desk_of(server) as desk,
    ):
        port = int(server.url.rpartition(":")[2])
        # The page must be at an address with the server's own port: Host and Origin are checked.
        with Proxy(port, ("127.0.0.1", port), "127.0.0.2") as proxy:
            _lose_and_find(new_seat(desk), desk, proxy)


def _lose_and_find(seat: Seat, desk: Desk, proxy: Proxy) -> None:
    seat.sign_in(proxy.url)
    first = desk.ask("before")
    card = seat.armed(first)
    seat.page.route("**/desk/list", lambda route: route.abort())
    proxy.cut()
    expect(seat.page.locator("#lost")).to_contain_text("Trying again")
    expect(card.locator(".approve")).to_have_attribute("aria-disabled", "true")
    expect(card.locator(".deny")).to_have_attribute("aria-disabled", "true")
    expect(card.locator(".hint")).to_contain_text("No connection")
    seat.press(card.locator(".approve"))
    desk.decide(first, "denied")
    second = desk.ask("meanwhile")
    seat.page.unroute("**/desk/list")
    # Without a click: it tries again by itself.
    expect(seat.ended(first)).to_contain_text("Denied by alice")
    seat.live()
    expect(seat.page.locator("#lost")).to_be_hidden()
    seat.decide(seat.armed(second))
    seat.ended(second)
    assert "Connection lost" in seat.heard()
    assert "Connected again" in seat.heard()
