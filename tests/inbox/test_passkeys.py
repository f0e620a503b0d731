"""Passkeys in a real browser: enrolled by a link and by another passkey, and decisions that they sign."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from molecule_approve.proofs.keys_file import parse_keys
from molecule_approve.proofs.receipt import check_receipt, parse_receipt
from molecule_approve.proofs.statement import Statement, parse_statement, parse_subject
from molecule_approve.server import enrolment
from molecule_approve.server.limits import Limits
from molecule_approve.server.run import Running
from molecule_approve.server.starting import ServePlan
from molecule_approve.settings.policy_yaml import parse_policy
from tests.callers import until
from tests.inbox.authenticator import VirtualAuthenticator
from tests.inbox.axe import AXE, look
from tests.inbox.seat import Seat, link_for
from tests.integration.proxy import Proxy
from tests.server.desk import Desk, desk_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Locator, Route

    from molecule_approve.paths import Places
    from tests.inbox.conftest import NewSeat

POLICY = b"""
version: 1
rules:
  - {name: two, match: {action: "drop*"}, approvals: 2, presence: required}
  - {name: touched, match: {action: "touch*"}, presence: required}
"""
HELD = """() => {
    const get = navigator.credentials.get.bind(navigator.credentials);
    globalThis.asked = new Promise(hold => {
        navigator.credentials.get = ({publicKey}) =>
            new Promise(give => hold(() => get({publicKey}).then(found => (give(found), null))));
    });
}"""
"""The page asks for a passkey only once this is called: ``asked.then(ask => ask())``; the page cannot stop it then."""
REFUSED = "Not decided: the passkey was not used: it was refused, took too long, or is not on this device."


@pytest.fixture
def desk(house: Places) -> Iterator[Desk]:
    """A server with the policy; its approvers are alice and bo."""
    limits = replace(Limits(), rate=1_000_000, unauthenticated_rate=1_000_000)
    plan = ServePlan(house, limits=limits, policy=parse_policy(POLICY, Path("policy.yaml")))
    with Running(plan) as server, desk_of(server) as found:
        server.add_approver("bo")
        yield found


@dataclass
class KeySeat:
    """A tab with an authenticator of its own."""

    seat: Seat
    authenticator: VirtualAuthenticator


def place(desk: Desk) -> str:
    """The address at which passkeys work."""
    return f"http://localhost:{urlsplit(desk.server.url).port}"


def invitation(desk: Desk, name: str = "alice") -> str:
    """A fresh link by which a passkey is enrolled."""
    with desk.server.opened() as store:
        return str(enrolment.enrolment_link(desk.server.url, enrolment.new_key_code(store, name)))


def enrol(seat: Seat, link: str, label: str = "laptop") -> Locator:
    """Follow the link and create a passkey; what the panel says then."""
    seat.page.goto(link)
    seat.page.get_by_label("A name for it").fill(label)
    seat.page.get_by_role("button", name="Create passkey").click()
    return seat.page.locator("#enrol-why")


@pytest.fixture
def empty(new_seat: NewSeat) -> KeySeat:
    """A tab with an authenticator that has no passkey; nobody is signed in."""
    seat = new_seat()
    return KeySeat(seat, VirtualAuthenticator.of(seat))


@pytest.fixture
def alice(empty: KeySeat) -> KeySeat:
    """Alice, signed in where passkeys work, with a passkey of hers."""
    expect(enrol(empty.seat, invitation(empty.seat.desk))).to_contain_text("The passkey “laptop” is enrolled.")
    empty.seat.sign_in(place(empty.seat.desk))
    return empty


def _stored(desk: Desk) -> list[tuple[Any, ...]]:
    return desk.select("SELECT label, rp_id, added_by FROM approver_keys ORDER BY added_at")


def _proofs(desk: Desk, approval_id: str) -> list[tuple[str, str | None]]:
    return [(one["by"], one["proof"]) for one in desk.one(approval_id)["decisions"]]


def _failures(desk: Desk, approval_id: str) -> list[str]:
    """What a keys file with the approver's passkey finds wrong in the request's receipt, without the server."""
    [(credential_id, key)] = desk.select("SELECT credential_id, public_key FROM approver_keys")
    keys = f"approvals 1\nalice passkey localhost {place(desk)} {credential_id} {key} presence=verified\n"
    receipt = desk.asker.get(f"{desk.path}/{approval_id}/receipt").json()["receipt"]
    checks = check_receipt(parse_receipt(json.dumps(receipt).encode()), parse_keys(keys.encode()))
    return [check.sentence for check in checks if not check.passed]


# --- signing


def test_a_passkey_approves_what_the_rule_wants_signed(alice: KeySeat) -> None:
    """The button says so; what is signed is what the page shows, whatever numbers and characters the context has."""
    seat, numbers = alice.seat, [1.0, -0.0, 0.1, 1e-7, 1e21, 1e25, 5e-324, 12345678901234567890, -(2**63)]
    context = {"n": numbers, "s": 'ü\u2028"\\\x7f\x01\U0001f600', "z": [None, True, {"\U0001f600": 1, "\ufb33": 2}]}
    asked = seat.desk.ask("touch this\nÄ \u202e", reason="why\n\tnot", context=context)
    card = seat.armed(asked)
    expect(card.locator(".rule")).to_contain_text("Rule touched asks for one approval with a passkey, or a hardware SSH key")
    card.locator("summary").click()
    seat.page.clock.fast_forward(1_000)
    card.locator(".approve").click()
    expect(card.locator(".yes")).to_have_text("Yes, approve with passkey")
    expect(card.locator(".sign")).to_be_hidden()
    seat.asked(card).click()
    expect(seat.ended(asked).locator(".people")).to_contain_text("alice (you) approved with a passkey")
    assert _proofs(seat.desk, asked) == [("alice", "passkey")]
    [(text,)] = seat.desk.select("SELECT statement FROM decisions")
    said = parse_statement(text)
    assert _failures(seat.desk, asked) == []
    assert said == Statement(parse_subject(seat.desk.one(asked)["subject"]), "approved", "alice", said.at)


def test_elsewhere_a_passkey_is_offered(alice: KeySeat) -> None:
    """A decision is signed if the box is checked, and not otherwise; also a denial."""
    seat = alice.seat
    plain, signed, denied = (seat.desk.ask(action) for action in ("plain", "signed", "denied"))
    seat.decide(seat.armed(plain))
    seat.ended(plain)
    for asked, verb in ((signed, "approve"), (denied, "deny")):
        card = seat.armed(asked)
        card.locator(f".{verb}").click()
        card.get_by_label("Sign it with my passkey").check()
        seat.asked(card).click()
        seat.ended(asked)
    assert [_proofs(seat.desk, one) for one in (plain, signed, denied)] == [
        [("alice", "session")],
        [("alice", "passkey")],
        [("alice", "passkey")],
    ]


def test_who_has_no_passkey_is_told_what_is_wanted(new_seat: NewSeat) -> None:
    """The button to approve is off, and the one to deny works."""
    seat = new_seat().sign_in()
    seat.page.goto(place(seat.desk))
    expect(seat.page.locator("#sign-in")).to_be_visible()
    seat.sign_in(place(seat.desk))
    asked = seat.desk.ask("touch this")
    card = seat.armed(asked)
    expect(card.locator(".hint")).to_contain_text("To approve, rule touched asks for a passkey, or a hardware SSH key")
    expect(card.locator(".hint")).to_contain_text("you have no passkey here")
    expect(card.get_by_role("button", name="Approve")).to_have_attribute("aria-disabled", "true")
    seat.decide(card, "deny")
    seat.ended(asked)
    assert seat.status(asked) == "denied"


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_a_loopback_number_leads_to_the_name(alice: KeySeat, host: str) -> None:
    """No passkey can be bound to a number: a link leads to the same request under localhost, where one signs in again."""
    seat, port = alice.seat, urlsplit(alice.seat.desk.server.url).port
    asked = seat.desk.ask("touch this")
    seat.sign_in(f"http://{host}:{port}")
    card = seat.armed(asked)
    expect(card.locator(".hint")).to_have_text(re.compile(rf"passkeys work only at {re.escape(place(seat.desk))}\.$"))
    link = card.get_by_role("link", name=f"Open this request at {place(seat.desk)}; you sign in there again")
    expect(link).to_have_attribute("href", f"{place(seat.desk)}/requests/{asked}")
    link.click()
    # This browser is signed in there already.
    expect(seat.card(asked)).to_be_visible()
    seat.decide(seat.armed(asked))
    seat.ended(asked)
    assert _proofs(seat.desk, asked) == [("alice", "passkey")]


def test_a_forwarded_port_has_to_be_the_servers_own(alice: KeySeat) -> None:
    """Behind `ssh -L` with another port the page says which one it has to be; a link to enrol says it too."""
    seat, port = alice.seat, urlsplit(alice.seat.desk.server.url).port
    asked = seat.desk.ask("touch this")
    why = f"passkeys work only at {place(seat.desk)}; if you come through ssh -L, use the server's own port"
    assert port is not None
    with Proxy(port) as tunnel:
        seat.sign_in(f"http://localhost:{tunnel.port}")
        hint = seat.armed(asked).locator(".hint")
        expect(hint).to_contain_text(f"{why}: ssh -L {port}:127.0.0.1:{port}.")
        seat.page.goto(invitation(seat.desk).replace(str(port), str(tunnel.port)))
        expect(seat.page.locator("#enrol-why")).to_contain_text(why)


def test_without_the_person_nothing_is_signed(alice: KeySeat) -> None:
    """The authenticator does not know the finger: the page says that the passkey was not used, and asks again."""
    seat, asked = alice.seat, alice.seat.desk.ask("touch this")
    alice.authenticator.verify(False)
    card = seat.armed(asked)
    seat.decide(card)
    expect(card.locator(".hint")).to_have_text(REFUSED)
    assert seat.status(asked) == "pending"
    alice.authenticator.verify(True)
    seat.page.clock.fast_forward(1_000)
    seat.decide(seat.armed(asked))
    seat.ended(asked)


def test_without_a_touch_nothing_is_signed(alice: KeySeat) -> None:
    """The page waits for the passkey, and no longer than the request waits: a touch that comes later signs nothing."""
    seat, asked = alice.seat, alice.seat.desk.ask("touch this")
    alice.authenticator.touch(False)
    card = seat.armed(asked)
    seat.decide(card)
    expect(card.locator(".hint")).to_have_text("Waiting for your passkey…")
    assert seat.status(asked) == "pending"
    seat.desk.withdraw(asked)
    expect(seat.ended(asked).locator(".said")).to_have_text("Withdrawn by the requester")
    alice.authenticator.touch(True)
    # A browser asks for one passkey at a time.
    seat.page.evaluate("navigator.credentials.get({publicKey: {challenge: new Uint8Array(32)}}).then(() => null)")
    assert [one["signCount"] for one in alice.authenticator.credentials()] == [2]


def test_a_signature_that_comes_too_late_is_not_sent(alice: KeySeat) -> None:
    """The request ended while the passkey signed."""
    seat, asked = alice.seat, alice.seat.desk.ask("touch this")
    bodies = _bodies(seat)
    seat.page.evaluate(HELD)
    card = seat.armed(asked)
    seat.decide(card)
    expect(card.locator(".hint")).to_have_text("Waiting for your passkey…")
    seat.desk.withdraw(asked)
    seat.ended(asked)
    seat.page.evaluate("asked.then(ask => ask())")
    # Calls are made in their order: this one would come after it.
    seat.page.evaluate("fetch('health').then(() => null)")
    assert bodies == []
    assert seat.complaints() == []


def test_the_page_signs_nothing_that_it_does_not_show(alice: KeySeat) -> None:
    """A server, or who is on the way to it, has another action signed than the page shows: the passkey is not even asked."""
    seat = alice.seat

    def misled(route: Route) -> None:
        answer = route.fetch()
        said = answer.json()
        said["subject"] |= {"action": "touch that", "context_sha256": "0" * 64, "approvals": 2}
        route.fulfill(response=answer, body=json.dumps(said))

    seat.page.route("**/desk/requests/*", misled)
    asked = seat.desk.ask("touch this", context={"a": 1})
    card = seat.armed(asked)
    seat.decide(card)
    why = "what would be signed is not what this page shows (action, context, number of approvals); reload the page"
    expect(card.locator(".hint")).to_have_text(f"Not decided: {why}.")
    assert seat.status(asked) == "pending"


def _bodies(seat: Seat, change: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """What the page sends to decide, from now on; changed on the way, if that is wanted."""
    found: list[dict[str, Any]] = []

    def seen(route: Route) -> None:
        found.append(json.loads(route.request.post_data or "{}"))
        route.continue_(post_data=json.dumps(found[-1] | (change or {})))

    seat.page.route("**/decide", seen)
    return found


def test_an_assertion_is_worth_nothing_a_second_time(alice: KeySeat) -> None:
    """For the same request after the approval was retracted, for another request, and for another decision."""
    seat, asked = alice.seat, alice.seat.desk.ask("drop this")
    bodies = _bodies(seat)
    card = seat.armed(asked)
    seat.decide(card)
    expect(card.locator(".progress")).to_contain_text("1 of 2: alice")
    seat.page.clock.fast_forward(1_000)
    card.get_by_role("button", name="Retract my approval").click()
    expect(card.locator(".progress")).to_contain_text("0 of 2")
    other = seat.desk.ask("drop that")
    for approval_id, more, code in (
        (asked, {}, "proof_used"),
        (other, {}, "statement"),
        (asked, {"decision": "denied"}, "statement"),
    ):
        refused = seat.desk.decide(approval_id, **{**bodies[0], **more})
        assert refused.json()["code"] == code
    assert seat.desk.one(asked)["approvals"]["have"] == 0


def test_a_copied_passkey_is_noticed(alice: KeySeat) -> None:
    """Its counter is behind that of the one that was used meanwhile: the server refuses it, and the page says why."""
    seat, [copy] = alice.seat, alice.authenticator.credentials()
    first, second = seat.desk.ask("touch this"), seat.desk.ask("touch that")
    seat.decide(seat.armed(first))
    seat.ended(first)
    alice.authenticator.send("removeCredential", credentialId=copy["credentialId"])
    alice.authenticator.put(copy)
    card = seat.armed(second)
    seat.decide(card)
    expect(card.locator(".hint")).to_contain_text("Response sign count of 2 was not greater than current count of 2")
    assert seat.status(second) == "pending"


def test_a_removed_passkey_signs_nothing(alice: KeySeat) -> None:
    """Also in a page that was open before."""
    seat, asked = alice.seat, alice.seat.desk.ask("touch this")
    card = seat.armed(asked)
    seat.desk.change("UPDATE approver_keys SET removed_at = added_at")
    seat.decide(card)
    expect(card.locator(".hint")).to_contain_text("alice has no such key here")
    assert seat.status(asked) == "pending"


# --- enrolling


def test_a_link_enrols_one_passkey(empty: KeySeat) -> None:
    """It says for whom; the code leaves the address bar; a used link, an old one and a wrong one enrol nothing."""
    seat, link = empty.seat, invitation(empty.seat.desk)
    seat.page.goto(link)
    expect(seat.page.get_by_role("heading", name="Add a passkey for alice")).to_be_visible()
    assert seat.page.evaluate("location.href") == f"{place(seat.desk)}/"
    expect(enrol(seat, link)).to_contain_text("The passkey “laptop” is enrolled. Sign in to use it.")
    assert _stored(seat.desk) == [("laptop", "localhost", "administrator")]
    seat.page.get_by_role("button", name="Go to the inbox").click()
    expect(seat.page.get_by_role("heading", name="Sign in to decide")).to_be_visible()
    old = invitation(seat.desk)
    seat.desk.change("UPDATE key_codes SET made = made - 600")
    for wrong in (link, old, f"{place(seat.desk)}/#enrol=wrong"):
        seat.page.goto(wrong)
        expect(seat.page.locator("#enrol-why")).to_contain_text("was already used, or is older than ten minutes")
        expect(seat.page.get_by_role("button", name="Create passkey")).to_be_hidden()
    assert len(_stored(seat.desk)) == 1


def test_a_link_that_expires_while_it_is_open_enrols_nothing(empty: KeySeat) -> None:
    """The passkey is made, and the server does not take it."""
    seat = empty.seat
    seat.page.goto(invitation(seat.desk))
    seat.page.get_by_role("button", name="Create passkey").click()
    expect(seat.page.get_by_label("A name for it")).to_be_focused()
    seat.desk.change("DELETE FROM key_codes")
    seat.page.get_by_label("A name for it").fill("laptop")
    seat.page.get_by_label("A name for it").press("Enter")
    expect(seat.page.locator("#enrol-why")).to_contain_text("was already used, or is older than ten minutes")
    assert _stored(seat.desk) == []


def test_without_the_person_no_passkey_is_made(empty: KeySeat) -> None:
    """The link can be used again."""
    empty.authenticator.verify(False)
    expect(enrol(empty.seat, invitation(empty.seat.desk))).to_contain_text("No passkey was added: the passkey was not used")
    empty.authenticator.verify(True)
    empty.seat.page.get_by_role("button", name="Create passkey").click()
    expect(empty.seat.page.locator("#enrol-why")).to_contain_text("is enrolled")


def test_a_link_at_a_number_leads_to_the_name(empty: KeySeat) -> None:
    """With its code, which is still valid there."""
    seat, link = empty.seat, invitation(empty.seat.desk)
    seat.page.goto(link.replace("localhost", "127.0.0.1"))
    expect(seat.page.locator("#enrol-why")).to_contain_text(f"passkeys work only at {place(seat.desk)}")
    seat.page.get_by_role("link", name=f"Add it at {place(seat.desk)}").click()
    expect(seat.page.get_by_label("A name for it")).to_be_visible()


def test_a_passkey_vouches_for_another(alice: KeySeat) -> None:
    """In the view of one's sessions, which lists them; a second one on the same authenticator is refused by it."""
    seat = alice.seat
    seat.page.goto(f"{place(seat.desk)}/sessions")
    keys = seat.page.locator("#passkey-list li")
    expect(keys).to_contain_text(["laptop"])
    seat.page.get_by_label("A name for another passkey").fill("again")
    seat.page.get_by_role("button", name="Add a passkey").click()
    expect(seat.page.locator("#passkey-failed")).to_contain_text("this authenticator has a passkey for you already")
    alice.authenticator.touch(False)
    seat.page.evaluate(HELD)
    other = VirtualAuthenticator(alice.authenticator.tools, {"transport": "usb"}).plugged()
    seat.page.get_by_label("A name for another passkey").fill("security key")
    seat.page.get_by_label("A name for another passkey").press("Enter")
    until(other.credentials, "the other authenticator made no passkey")
    # A person takes the one out of the computer before touching the other.
    other.send("removeVirtualAuthenticator")
    alice.authenticator.touch(True)
    seat.page.evaluate("asked.then(ask => ask())")
    expect(keys).to_have_count(2)
    expect(keys.last).to_contain_text("security key")
    [(_, _, first), (_, _, second)] = _stored(seat.desk)
    assert (first, seat.desk.select("SELECT label FROM approver_keys WHERE id = ?", second)) == (
        "administrator",
        [("laptop",)],
    )


def test_a_passkey_is_removed_by_its_owner(alice: KeySeat) -> None:
    """In two steps; a double click only asks. Whoever has none any more needs a new link."""
    seat = alice.seat
    seat.page.goto(f"{place(seat.desk)}/sessions")
    seat.page.get_by_role("button", name="Remove the passkey laptop").dblclick()
    expect(seat.page.get_by_role("button", name="Yes, remove laptop")).to_be_visible()
    assert seat.page.locator("#passkey-list li").count() == 1
    seat.page.get_by_role("button", name="Yes, remove laptop").click()
    expect(seat.page.locator("#passkey-list li")).to_have_count(0)
    expect(seat.page.locator("#no-passkey")).to_contain_text("You have no passkey here")
    assert seat.desk.select("SELECT removed_at IS NULL FROM approver_keys") == [(0,)]
    assert "The passkey is removed." in seat.heard()


def test_who_has_no_passkey_is_told_how_to_get_one(new_seat: NewSeat) -> None:
    """In the view of one's sessions: an administrator makes a link; nothing can be added there."""
    seat = new_seat()
    seat.sign_in(place(seat.desk))
    seat.page.goto(f"{place(seat.desk)}/sessions")
    expect(seat.page.locator("#no-passkey")).to_contain_text("molecule-approve approvers keys add NAME --passkey")
    expect(seat.page.get_by_role("button", name="Add a passkey")).to_be_hidden()


def test_a_passkey_that_is_enrolled_in_another_tab_is_found(alice: KeySeat, new_seat: NewSeat) -> None:
    """As soon as the person comes back to the tab that waits for it."""
    seat = new_seat()
    seat.page.goto(link_for(seat.desk, "bo", place(seat.desk)))
    asked = seat.desk.ask("touch this")
    card = seat.live().armed(asked)
    expect(card.locator(".hint")).to_contain_text("you have no passkey here")
    seat.desk.change(
        "UPDATE approver_keys SET approver_id = (SELECT id FROM approvers WHERE name = 'bo')",
    )
    seat.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    seat.page.clock.fast_forward(1_000)
    expect(card.get_by_role("button", name="Approve")).to_have_attribute("aria-disabled", "false")


def test_axe_finds_nothing_around_passkeys(empty: KeySeat) -> None:
    """While one is enrolled, in the list of one's own, where it signs, and where the address can have none."""
    seat, port = empty.seat, urlsplit(empty.seat.desk.server.url).port
    seat.page.add_init_script(AXE)

    def invited(seat: Seat) -> None:
        seat.page.goto(invitation(seat.desk))
        expect(seat.page.get_by_label("A name for it")).to_be_visible()

    def enrolled(seat: Seat) -> None:
        expect(enrol(seat, invitation(seat.desk), "a laptop with a long name " * 2)).to_contain_text("is enrolled")

    def listed(seat: Seat) -> None:
        seat.sign_in(place(seat.desk))
        seat.page.goto(f"{place(seat.desk)}/sessions")
        expect(seat.page.locator("#passkey-list li")).to_have_count(1)

    def confirmed(action: str) -> Callable[[Seat], None]:
        def asked(seat: Seat) -> None:
            seat.page.goto(f"{place(seat.desk)}/")
            card = seat.live().armed(seat.desk.ask(action))
            card.locator(".approve").click()
            expect(seat.asked(card)).to_be_visible()

        return asked

    def elsewhere(seat: Seat) -> None:
        seat.sign_in(f"http://127.0.0.1:{port}")
        expect(seat.armed(seat.desk.ask("touch this")).locator(".sign-there")).to_be_visible()

    look(
        seat,
        {
            "invited": invited,
            "enrolled": enrolled,
            "listed": listed,
            "offered": confirmed("deploy"),
            "wanted": confirmed("touch that"),
            "elsewhere": elsewhere,
        },
    )
