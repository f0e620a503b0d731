"""A request under a rule: how far it is, who may decide it, what the rule asks for, and an approval that is retracted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from molecule_approve.server import administration
from molecule_approve.server.limits import Limits
from molecule_approve.server.run import Running
from molecule_approve.server.starting import ServePlan
from molecule_approve.settings.policy_yaml import parse_policy
from tests.inbox.axe import AXE, look
from tests.inbox.seat import Seat, link_for
from tests.server.desk import Desk, desk_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import WebSocketRoute

    from molecule_approve.paths import Places
    from tests.inbox.conftest import NewSeat

POLICY = b"""
version: 1
groups: {dba: [alice, bo, cy]}
rules:
  - {name: no-prod, match: {action: "*prod*"}, outcome: deny, message: use the pipeline}
  - {name: two, match: {action: "drop*"}, approvers: ["group:dba"], approvals: 2}
  - {name: explained, match: {action: "tidy*"}, comment: required}
  - {name: four-eyes, match: {action: "mine*"}, self_approval: false}
  - {name: touched, match: {action: "touch*"}, presence: required}
"""


@pytest.fixture
def desk(house: Places) -> Iterator[Desk]:
    """A server with the policy; its approvers are alice, bo, cy and di."""
    limits = replace(Limits(), rate=1_000_000, unauthenticated_rate=1_000_000)
    plan = ServePlan(house, limits=limits, policy=parse_policy(POLICY, Path("policy.yaml")))
    with Running(plan) as server, desk_of(server) as found:
        for name in ("bo", "cy", "di"):
            server.add_approver(name)
        yield found


def _as(new_seat: NewSeat, name: str) -> Seat:
    """Somebody else's tab."""
    seat = new_seat()
    seat.page.goto(link_for(seat.desk, name))
    return seat.live()


def test_approvals_are_counted_in_every_open_page(seat: Seat, new_seat: NewSeat) -> None:
    """In the list and beside it: how many, by whom, and for whom it waits; the last approval ends it everywhere."""
    asked = seat.desk.ask("drop the table")
    bo = _as(new_seat, "bo")
    card, others = seat.armed(asked), bo.armed(asked)
    expect(card.locator(".progress")).to_have_text("0 of 2; waiting for dba (alice, bo, cy)")
    expect(card.locator(".rule")).to_have_text("Rule two asks for approvals by 2 people.")
    expect(seat.row(asked).locator(".row-count")).to_have_text("0 of 2")
    seat.decide(card)
    for one in (card, others):
        expect(one.locator(".progress")).to_have_text("1 of 2: alice; waiting for dba (bo, cy)")
    expect(card.locator(".people")).to_contain_text("alice (you) approved just now")
    expect(card.locator(".choices")).to_be_hidden()
    expect(card.locator(".hint")).to_have_text("You have approved this; it waits for dba (bo, cy).")
    expect(bo.row(asked).locator(".row-count")).to_have_text("1 of 2")
    assert "Your approval counts: 1 of 2." in seat.heard()
    assert seat.status(asked) == "pending"
    bo.page.clock.fast_forward(1_000)
    bo.decide(bo.armed(asked))
    expect(seat.ended(asked).locator(".said")).to_have_text("Approved by bo")
    for somebody in (seat, bo):
        expect(somebody.ended(asked).locator(".progress")).to_have_text("2 of 2: alice, bo")
        expect(somebody.ended(asked).locator(".people li")).to_have_count(2)


def test_enough_approvals_that_count_again_want_one_more(seat: Seat, new_seat: NewSeat) -> None:
    """An approver was away while the other one approved: the page says so, and offers it to who has approved, too."""
    asked = seat.desk.ask("drop the table")
    assert seat.desk.decide(asked).json()["approvals"] == {"have": 1, "need": 2}
    bo = _as(new_seat, "bo")
    with seat.desk.server.opened() as store:
        administration.limit_approver(store, "alice", [administration.add_workspace(store, "other")])
        bo.decide(bo.armed(asked))
        expect(bo.card(asked).locator(".progress")).to_contain_text("1 of 2: bo")
        administration.limit_approver(store, "alice", None)
    seat.page.reload()
    card = seat.armed(asked)
    expect(card.locator(".progress")).to_have_text("2 of 2: alice, bo; one more approval ends it")
    expect(card.get_by_role("button", name="Retract my approval")).to_be_visible()
    seat.decide(card)
    expect(seat.ended(asked).locator(".progress")).to_have_text("2 of 2: alice, bo")
    assert seat.status(asked) == "approved"


def test_an_approval_is_shown_before_the_list_is_read_again(seat: Seat) -> None:
    """The event names the request: it is read at once, and the list a moment later, of this page's clock."""
    asked = seat.desk.ask("drop the table")
    card = seat.armed(asked)
    seat.page.clock.pause_at(seat.page.evaluate("Date.now() / 1000 + 1"))
    assert seat.desk.decide(asked).json()["approvals"] == {"have": 1, "need": 2}
    expect(card.locator(".progress")).to_have_text("1 of 2: alice; waiting for dba (bo, cy)")


def test_an_approval_whose_event_was_missed_is_shown(new_seat: NewSeat) -> None:
    """With the next list, which has another number."""
    seat = new_seat()

    def lossy(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()
        server.on_message(lambda said: socket.send(str(said).replace("APPROVAL_PROGRESS", "SOMETHING_ELSE")))

    seat.page.route_web_socket("**/ws", lossy)
    asked = seat.sign_in().desk.ask("drop the table")
    card = seat.armed(asked)
    seat.desk.decide(asked)
    expect(card.locator(".progress")).to_have_text("1 of 2: alice; waiting for dba (bo, cy)")


def test_an_approval_is_retracted(seat: Seat) -> None:
    """By a button that rests for a moment, as the others do; the choice is there again, and nothing counts."""
    asked = seat.desk.ask("drop the table")
    card = seat.armed(asked)
    seat.decide(card)
    retract = card.get_by_role("button", name="Retract my approval")
    expect(retract).to_have_attribute("aria-disabled", "true")
    seat.press(retract)
    seat.page.clock.fast_forward(1_000)
    expect(retract).to_have_attribute("aria-disabled", "false")
    expect(card.locator(".progress")).to_contain_text("1 of 2: alice")
    retract.click()
    expect(card.locator(".progress")).to_have_text("0 of 2; waiting for dba (alice, bo, cy)")
    expect(retract).to_be_hidden()
    expect(card.locator(".choices")).to_be_visible()
    assert "Your approval is retracted." in seat.heard()


def test_a_retraction_that_comes_too_late_is_told(seat: Seat) -> None:
    """The request has ended meanwhile, which the page did not hear."""
    asked = seat.desk.ask("drop the table")
    card = seat.armed(asked)
    seat.decide(card)
    seat.page.clock.fast_forward(1_000)
    retract = card.get_by_role("button", name="Retract my approval")
    expect(retract).to_have_attribute("aria-disabled", "false")
    body = '{"error": "alice has not approved this request", "code": "nothing_to_retract"}'
    seat.misled("**/retract", status=409, body=body, content_type="application/json")
    retract.click()
    expect(card.locator(".hint")).to_have_text("Not retracted: alice has not approved this request.")


def test_who_may_not_decide_sees_who_may(new_seat: NewSeat) -> None:
    """A sentence stands where the buttons would be, and the keys do nothing."""
    di = _as(new_seat, "di")
    asked = di.desk.ask("drop the table")
    card = di.armed(asked)
    expect(card.locator(".choices")).to_be_hidden()
    expect(card.locator(".hint")).to_have_text("You cannot decide this: by rule two, only dba (alice, bo, cy) can.")
    di.page.keyboard.press("a")
    expect(card.locator(".confirm")).to_be_hidden()


def test_a_rule_can_leave_ones_own_request_to_others(seat: Seat) -> None:
    """Whatever the server's setting is: it is said, and there are no buttons."""
    asked = seat.desk.ask_as("alice", action="mine")
    card = seat.armed(asked)
    expect(card.locator(".hint")).to_have_text("You requested this yourself, so another approver must decide it.")
    expect(card.locator(".choices")).to_be_hidden()


def test_a_comment_that_the_rule_wants_comes_first(seat: Seat) -> None:
    """Both buttons are off until there is one, also after it is removed again."""
    asked = seat.desk.ask("tidy up")
    card = seat.armed(asked)
    expect(card.locator(".hint")).to_have_text("Write a comment first: rule explained asks for one.")
    for name in ("Approve", "Deny"):
        expect(card.get_by_role("button", name=name, exact=True)).to_have_attribute("aria-disabled", "true")
    card.locator(".comment").fill("it is full")
    for name in ("Approve", "Deny"):
        expect(card.get_by_role("button", name=name, exact=True)).to_have_attribute("aria-disabled", "false")
    card.locator(".comment").fill(" ")
    expect(card.get_by_role("button", name="Deny")).to_have_attribute("aria-disabled", "true")
    card.locator(".comment").fill("it is full")
    seat.decide(card)
    expect(seat.ended(asked).locator(".people")).to_contain_text("it is full")


def test_a_request_under_no_rule_looks_as_ever(seat: Seat) -> None:
    """The policy's defaults ask for no more than a server without one does, so nothing is said."""
    card = seat.armed(seat.desk.ask("deploy"))
    expect(card.locator(".standing")).to_be_hidden()
    expect(card.locator(".hint")).to_be_hidden()


def test_a_request_that_a_rule_denied_says_so(seat: Seat) -> None:
    """In the history and beside it, with the rule's message."""
    asked = seat.desk.ask("change prod")
    rows = seat.history()
    expect(rows).to_have_count(1)
    expect(rows.first.locator(".row-by")).to_contain_text("policy:no-prod")
    rows.first.click()
    expect(seat.card(asked).locator(".said")).to_have_text("Denied by policy:no-prod, a rule of this server")
    expect(seat.card(asked).locator(".remark")).to_have_text("use the pipeline")


def test_axe_finds_nothing_under_a_rule(new_seat: NewSeat) -> None:
    """Waiting for others, approved by oneself, retracting, left to others, without the comment that is wanted, denied."""
    seat = new_seat()
    seat.page.add_init_script(AXE)
    seat.sign_in()
    asked = seat.desk.ask("drop the table " + "x" * 200)

    def approved(seat: Seat) -> None:
        seat.decide(seat.armed(asked))
        expect(seat.card(asked).get_by_role("button", name="Retract my approval")).to_be_visible()

    def excluded(seat: Seat) -> None:
        seat.page.goto(link_for(seat.desk, "di"))
        seat.page.clock.fast_forward(1_000)
        seat.page.get_by_role("button", name="Sign in as di").click()
        expect(seat.live().shown(asked).locator(".hint")).to_contain_text("You cannot decide this")

    def denied(seat: Seat) -> None:
        seat.desk.ask("change prod")
        seat.history().first.click()
        expect(seat.page.locator(".card .said")).to_contain_text("policy:no-prod")

    look(
        seat,
        {
            "waiting": lambda seat: expect(seat.armed(asked).locator(".progress")).to_be_visible(),
            "approved": approved,
            "comment": lambda seat: expect(seat.armed(seat.desk.ask("tidy up")).locator(".hint")).to_be_visible(),
            "excluded": excluded,
            "denied": denied,
        },
    )
