"""Signing in with a token and through a provider, and one's sessions, in the real browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from molecule_approve.paths import Places
from molecule_approve.server.limits import Limits
from molecule_approve.server.plan import OpenIdPlan
from molecule_approve.server.run import Running, ServePlan
from tests.callers import until
from tests.inbox.seat import ARMING, Seat
from tests.inbox.test_sign_in import ENDED, signed_out
from tests.server.desk import Desk, desk_of
from tests.server.openid.real import real_provider

if TYPE_CHECKING:
    from tests.inbox.conftest import NewSeat

CAROL = "carol@example.org"
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@pytest.fixture
def provided(home: Path, tmp_path: Path) -> Iterator[Desk]:
    """Another server, whose approvers sign in through a real provider; alice is added by hand, as everywhere."""
    secret = tmp_path / "secret"
    secret.write_text("secret")
    secret.chmod(0o600)
    people = ({"sub": "carol", "email": CAROL, "email_verified": True}, {"sub": "bob", "email": "bob@example.org"})
    limits = replace(Limits(), rate=1_000_000, unauthenticated_rate=1_000_000)
    with real_provider(*people) as issuer:
        openid = OpenIdPlan(issuer, "approvals", secret, approvers=(CAROL,))
        plan = ServePlan(Places(home / "far", home / "off"), limits=limits, openid=openid)
        with Running(plan) as server, desk_of(server) as found:
            yield found


def _token(desk: Desk) -> str:
    return str(desk.decider.headers["authorization"]).removeprefix("Bearer ")


def _stored(seat: Seat) -> str:
    """All that this tab and this browser keep for the page."""
    kept = seat.page.evaluate("[{...localStorage}, {...sessionStorage}, location.href, history.state]")
    return json.dumps([kept, seat.context.cookies()])


def test_a_token_opens_the_page_and_is_kept_nowhere(new_seat: NewSeat) -> None:
    """It leaves the field at once, is in no storage and no address, and is sent once; the session alone is kept."""
    seat = new_seat()
    seat.page.goto(seat.desk.server.url)
    field = seat.page.get_by_label("Your approver's token")
    expect(field).to_have_attribute("type", "password")
    expect(field).to_have_attribute("autocomplete", "off")
    sent: list[str] = []
    seat.page.on("request", lambda request: sent.append(f"{request.url} {request.all_headers()} {request.post_data}"))
    seat.page.get_by_role("button", name="Sign in", exact=True).click()
    expect(field).to_be_focused()
    field.fill("guessed")
    field.press("Enter")
    signed_out(seat, "This is not the token of an approver here")
    expect(field).to_have_value("")
    token = _token(seat.desk)
    field.fill(f" {token}\n")
    seat.page.get_by_role("button", name="Sign in", exact=True).click()
    expect(field).to_have_value("")
    expect(seat.live().page.locator("#name")).to_have_text("alice")
    assert token not in _stored(seat)
    assert [line.split(" ", 1)[0] for line in sent if token in line] == [f"{seat.desk.server.url}/desk/session"]
    expect(seat.page.locator("#openid")).to_be_hidden()


def test_the_token_of_somebody_else_asks_first(seat: Seat) -> None:
    """As a link does: a session that is there is not put under another name by mistake."""
    bob = seat.desk.server.add_approver("bob")
    # A link that is good for nothing shows the ways in, and the way back.
    seat.page.goto(f"{seat.desk.server.url}/#sign-in=none")
    expect(seat.page.get_by_role("button", name="Back to the inbox")).to_be_visible()
    seat.page.get_by_label("Your approver's token").fill(bob)
    seat.page.get_by_label("Your approver's token").press("Enter")
    expect(seat.page.get_by_role("heading", name="Change who is signed in?")).to_be_focused()
    seat.page.clock.run_for(ARMING)
    seat.page.get_by_role("button", name="Sign in as bob").click()
    expect(seat.live().page.locator("#name")).to_have_text("bob")


def _at_provider(seat: Seat, who: str) -> None:
    """Go to the provider, and say yes there."""
    seat.page.get_by_role("button", name="Sign in with 127.0.0.1").click()
    seat.page.get_by_role("button", name=who, exact=True).click()


def test_somebody_signs_in_through_the_provider_and_ends_the_other_sessions(provided: Desk, new_seat: NewSeat) -> None:
    """Signs in there, decides here, sees each session with its browser, ends one, and then all others."""
    seat, other, third = new_seat(provided), new_seat(provided, user_agent=BROWSER), new_seat(provided)
    for one in (seat, other, third):
        one.page.goto(provided.server.url)
        _at_provider(one, "carol")
        expect(one.live().page.locator("#name")).to_have_text(CAROL)
        assert one.page.evaluate("location.href") == f"{provided.server.url}/"
        assert one.page.evaluate("sessionStorage.length") == 0
    assert seat.context.cookies(provided.server.url) == []
    found = provided.ask("deploy")
    seat.decide(seat.armed(found))
    until(lambda: seat.status(found) == "approved", "it was not decided")
    assert provided.one(found)["decided_by"] == CAROL
    seat.page.get_by_role("link", name="Sessions").click()
    rows = seat.page.locator(".session")
    expect(rows).to_have_count(3)
    expect(rows.filter(has_text="this one")).to_have_count(1)
    expect(rows.filter(has_text="this one").get_by_role("button")).to_have_count(0)
    seat.page.get_by_role("button", name="End the session of Firefox on Linux").click()
    expect(rows).to_have_count(2)
    signed_out(other, ENDED)
    seat.page.get_by_role("button", name="End all others").click()
    expect(rows).to_have_count(1)
    signed_out(third, ENDED)
    expect(seat.page.get_by_role("button", name="End all others")).to_be_hidden()
    seat.page.reload()
    expect(seat.page.locator(".session")).to_have_count(1)
    seat.page.get_by_role("button", name="Sign out").click()
    signed_out(seat, "You are signed out")


def test_whoever_the_provider_knows_is_not_yet_an_approver(provided: Desk, new_seat: NewSeat) -> None:
    """The page says so; also where the person says no at the provider, and when the provider is away."""
    seat = new_seat(provided)
    seat.page.goto(provided.server.url)
    _at_provider(seat, "bob")
    signed_out(seat, "the provider has not verified this e-mail address")
    assert seat.page.evaluate("location.href") == f"{provided.server.url}/"
    seat.page.get_by_role("button", name="Sign in with 127.0.0.1").click()
    seat.page.get_by_role("button", name="Deny").click()
    signed_out(seat, "you or the provider refused")
    seat.misled("**/desk/openid/start", status=503, json={"error": "the sign-in failed: it does not answer", "code": "x"})
    seat.page.get_by_role("button", name="Sign in with 127.0.0.1").click()
    signed_out(seat, "it does not answer")


def test_a_link_to_somebody_elses_sign_in_does_nothing(provided: Desk, new_seat: NewSeat) -> None:
    """Nothing of it is sent; and an address that promises another page leads to none."""
    seat = new_seat(provided).sign_in()
    sent: list[str] = []
    seat.page.on("request", lambda request: sent.append(request.url))
    seat.page.goto(f"{provided.server.url}/desk/openid/return?code=c&state=s&next=https://evil.example#//evil.example")
    expect(seat.page.locator("#why")).to_contain_text("this tab did not begin that sign-in")
    assert seat.page.evaluate("location.href") == f"{provided.server.url}/"
    assert not any(url.endswith("/desk/openid/return") for url in sent)
    seat.page.get_by_role("button", name="Back to the inbox").click()
    expect(seat.live().page.locator("#name")).to_have_text("alice")


def test_an_address_that_is_none_is_not_followed(provided: Desk, new_seat: NewSeat) -> None:
    """What answers in the server's place cannot make the page run a script."""
    seat = new_seat(provided)
    seat.page.goto(provided.server.url)
    seat.misled("**/desk/openid/start", status=201, json={"address": "javascript:document.body.remove()"})
    seat.page.get_by_role("button", name="Sign in with 127.0.0.1").click()
    signed_out(seat, "the answer is not from the server")
