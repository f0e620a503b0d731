"""What the desk shows: texts as text and whole, links, times, counts, the list of what was decided, notifications."""

from __future__ import annotations

import itertools
import json
import re
import unicodedata
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from playwright.sync_api import expect

from molecule_approve.safe_text import is_hidden
from molecule_approve.server import administration, credentials

if TYPE_CHECKING:
    from tests.inbox.conftest import NewSeat
    from tests.inbox.seat import Seat
    from tests.server.desk import Desk

HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
ESCAPES = "\x1b[2J\x1b]0;owned\x07\u202egnp\u202c\u200bx\u00a0y"
SHOWN = "U+001B[2JU+001B]0;ownedU+0007U+202EgnpU+202CU+200BxU+00A0y"
LEFT = re.compile(r"\b1:(40|[0-3]\d) left\b")
COMMIT = "6fe2991cd3a9b1c7f0e84d1d1a1f6ab2c07f9e55"


def test_script_and_escapes_in_every_field_are_text(seat: Seat) -> None:
    """Nothing of them runs or is obeyed: markup is shown as it was written, and what hides is written out."""
    bad = HOSTILE + ESCAPES
    job = {"system": bad, "job": bad, "repository": bad, "ref": bad, "commit": bad, bad: bad}
    context = {"user": bad, "host": bad, "folder": bad, "ci": job, bad: {bad: [bad]}, "audit_head": bad}
    first = seat.desk.ask(bad, reason=bad, context=context)
    card = seat.armed(first)
    whole = HOSTILE + SHOWN
    expect(card.locator(".action .words")).to_have_text(whole)
    expect(card.locator(".reason .words")).to_have_text(whole)
    expect(card.locator(".claims")).to_have_text(f"says it runs as {whole}@{whole}")
    expect(seat.row(first).locator(".row-action")).to_have_text(whole)
    for label in ("Folder", "CI system", "CI job", "Repository", "Branch or tag", "Commit", "Audit log"):
        expect(card.locator(".fact", has=seat.page.get_by_text(label, exact=True)).locator("dd")).to_have_text(whole)
    assert card.locator("img, script, a").count() == 0
    assert card.locator(".hidden").count() >= 6 * 10
    expect(card.locator(".reason").get_by_role("img", name="hidden character U+202E")).to_have_text("U+202E")
    card.get_by_label("Comment").fill(HOSTILE)
    seat.decide(card, "deny")
    expect(seat.ended(first).locator(".remark")).to_have_text(HOSTILE)
    expect(seat.history().locator(".row-action")).to_have_text(whole)
    assert seat.page.title() == "Approvals"
    assert not any(is_hidden(character) and character != "\n" for character in seat.page.locator("body").inner_text())


def test_the_page_and_the_terminal_hide_the_same(seat: Seat) -> None:
    """Every code point of the planes in use; a newer browser may know letters that are unassigned to this Python."""
    spans = [(0, 0x34000), (0xDFFF0, 0xE0200), (0xEFFF0, 0xF0010)]
    found = seat.page.evaluate(
        """async spans => {
            const {isHidden} = await import("./static/text.js");
            const hidden = code => isHidden(String.fromCodePoint(code)) ? "1" : "0";
            return spans.map(([from, to]) => Array.from({length: to - from}, (_, at) => hidden(from + at)).join(""));
        }""",
        spans,
    )
    mine = {start + at for (start, _), bits in zip(spans, found, strict=True) for at, bit in enumerate(bits) if bit == "1"}
    python = {code for span in spans for code in range(*span) if is_hidden(chr(code))}
    assert mine - python == set()
    assert {code for code in python - mine if unicodedata.category(chr(code)) != "Cn"} == set()


def test_what_poses_as_a_mark_is_told_from_one(seat: Seat) -> None:
    """Where a hidden character is written in plain letters, no two texts look alike; other texts stay as they are."""
    texts = [
        "".join(parts) for size in range(6) for parts in itertools.product(("[", "U+000A", "]", "\n", "\u202e"), repeat=size)
    ]
    kept = ["deploy", "a[0] = [[1], 2]", "U+202E", "[u+]"]
    shown = seat.page.evaluate(
        "async texts => { const {plain} = await import('./static/text.js'); return texts.map(plain); }", texts + kept
    )
    assert len(set(shown[: len(texts)])) == len(texts)
    assert shown[len(texts) :] == kept
    assert shown[texts.index("[U+000A]")] == "[[U+000A]"
    assert shown[texts.index("\n")] == "[U+000A]"


def test_links_lead_only_where_they_say(seat: Seat) -> None:
    """A job's, a repository's and a commit's page, with the host set off; opened apart from this page."""
    ci = {"system": "GitHub Actions", "job": "https://ci.example/run/1", "repository": "https://ci.example/shop"}
    first = seat.desk.ask("deploy", context={"ci": {**ci, "commit": COMMIT}, "site": "https://ci.example/"})
    links = seat.shown(first).locator("a")
    wanted = [ci["job"], ci["repository"], f"{ci['repository']}/commit/{COMMIT}"]
    expect(links).to_have_text(wanted)
    for link, address in zip(links.all(), wanted, strict=True):
        assert link.get_attribute("href") == address
        assert link.get_attribute("rel") == "noopener noreferrer"
        assert link.locator("strong").inner_text() == "ci.example"


def test_other_addresses_are_only_text(seat: Seat) -> None:
    """Other schemes, a name that poses as the host, letters of another alphabet: shown, not linked."""
    posing = ("https://github.com@evil.example/", "https://ex\u0430mple.com/", "//evil", "https://evil.example:x/")
    for address in ("javascript:alert(1)", "data:text/html,x", *posing):
        card = seat.shown(seat.desk.ask("deploy", context={"ci": {"system": "Jenkins", "job": address}}))
        expect(card.locator(".fact", has_text="CI job").locator("dd")).to_have_text(address)
        assert card.locator("a").count() == 0


def test_all_of_a_context_is_shown(seat: Seat) -> None:
    """Keys that pose as ours under a heading of their own; nested values as JSON in Details, which must be opened."""
    session = "0b1f1a52-7a39-4d1c-9d9f-0a3c8f3f1f6e"
    context: dict[str, Any] = {
        "user": 1,
        "ci": "none",
        "Workspace": "the boss",
        "session": session,
        "deep": {"a": [1, None]},
    }
    first = seat.desk.ask("deploy", context=context)
    card = seat.armed(first)
    expect(card.locator(".details dl").first).not_to_contain_text("the boss")
    expect(card.locator(".details .context dt")).to_have_text(["user", "ci", "Workspace", "deep"])
    expect(card.locator(".details .context dd")).to_have_text(["1", "none", "the boss", "in Details"])
    more = card.locator(".more")
    for text in (session, first, "JSON"):
        expect(more.get_by_text(text, exact=True)).to_be_hidden()
    seat.press(card.locator(".approve"))
    expect(card.locator(".hint")).to_contain_text("open Details")
    expect(card.locator(".confirm")).to_be_hidden()
    more.locator("summary").click()
    expect(more.locator(".raw dd")).to_have_text(json.dumps(context, indent=2))
    expect(more.get_by_text(session, exact=True)).to_be_visible()
    seat.decide(seat.armed(first))
    seat.ended(first)


def test_words_of_a_command_stay_whole(seat: Seat) -> None:
    """In a narrow window too no word or option is divided, but one that is longer than a line."""
    seat.page.set_viewport_size({"width": 390, "height": 844})
    command = "kubectl rollout restart deploy/api-gateway --dry-run=client --output-directory=/srv/x -n prod-eu-west-1 " * 2
    card = seat.shown(seat.desk.ask(command + "x" * 200))
    pieces = card.locator(".action .piece")
    heights = pieces.evaluate_all("nodes => nodes.map(node => node.getClientRects().length * node.offsetHeight)")
    assert len(set(heights[:-1])) == 1
    assert heights[-1] > 2 * heights[0]
    expect(card.locator(".action .words")).to_have_text(command + "x" * 200)
    assert seat.page.evaluate("document.documentElement.scrollWidth") == 390


def test_a_long_option_is_divided_where_the_line_is_full(seat: Seat) -> None:
    """In a narrow window its first "-" does not stand alone, as if it were a word of its own."""
    seat.page.set_viewport_size({"width": 390, "height": 844})
    card = seat.shown(seat.desk.ask("terraform apply -auto-approve -target=" + "x" * 60))
    widths = card.locator(".action .piece").last.evaluate(
        "node => { const all = document.createRange(); all.selectNodeContents(node);"
        " return [...all.getClientRects()].map(line => line.width); }"
    )
    assert len(widths) > 1
    assert widths[0] == max(widths)


def test_large_numbers_keep_their_digits(seat: Seat) -> None:
    """Beyond 2^53 too, nested or in our own fields; a browser that cannot do that says that it cannot."""
    large = 9_007_199_254_740_993
    context = {"n": large, "deep": [-large, 1e300, 0.5], "user": large, "ci": large}
    card = seat.shown(seat.desk.ask("deploy", context=context))
    for label in ("n", "ci", "user"):
        fact = card.locator(".context .fact", has=seat.page.get_by_text(label, exact=True))
        expect(fact.locator("dd")).to_have_text(str(large))
    expect(card.locator(".raw dd")).to_have_text(json.dumps(context, indent=2))
    seat.page.add_init_script("delete JSON.rawJSON; delete JSON.isRawJSON")
    seat.page.reload()
    fact = card.locator(".context .fact", has=seat.page.get_by_text("n", exact=True))
    expect(fact.locator("dd")).to_have_text(f"about {large - 1} (this browser cannot show it exactly)")


def test_the_countdown_turns(new_seat: NewSeat, desk: Desk) -> None:
    """It says what is left, and until when in full; in the last minute it looks urgent."""
    seat = new_seat(timezone_id="UTC", locale="en-GB")
    first = desk.ask("deploy", expires_in=100)
    seat.sign_in()
    left = seat.armed(first).locator(".left")
    expect(left).to_have_text(LEFT)
    ends = desk.one(first)["expires_at"]
    seconds, really = left.evaluate(
        "(shown, ends) => [shown.textContent.match(/\\d+/g), (Date.parse(ends) - Date.now()) / 1000]", ends
    )
    assert abs(60 * int(seconds[0]) + int(seconds[1]) - really) < 5
    title = str(left.get_attribute("title"))
    assert title.startswith("until ")
    assert str(int(ends[:4])) in title
    assert ends[14:16] in title
    expect(left).not_to_have_text(":".join(seconds) + " left")
    expect(left).to_have_text(LEFT)
    expect(left).not_to_have_class("left soon")
    seat.page.clock.fast_forward(60_000)
    expect(left).to_have_class("left soon")
    ring = seat.card(first).locator(".ring-left")
    assert 50 < float(ring.get_attribute("stroke-dashoffset") or "nan") < 100
    expect(seat.card(first).locator(".asked")).to_have_text("1 min ago")
    seat.page.clock.fast_forward(60_000)
    expect(left).to_have_text("time is up")


def test_title_and_icon_count_what_waits(seat: Seat) -> None:
    """From nothing to two and back."""
    expect(seat.page).to_have_title("Approvals")
    first, second = seat.desk.ask("one"), seat.desk.ask("two")
    expect(seat.page).to_have_title("(2) Approvals")
    icon = seat.page.locator("link[rel=icon]")
    assert ">2</text>" in unquote(str(icon.get_attribute("href")))
    expect(seat.page.locator("#count")).to_have_text("2")
    for approval_id in (first, second):
        seat.desk.decide(approval_id)
    expect(seat.page).to_have_title("Approvals")
    assert "</text>" not in unquote(str(icon.get_attribute("href")))
    expect(seat.page.locator("#count")).to_be_hidden()


def test_oldest_first_and_the_newest_decision_first(seat: Seat) -> None:
    """What waits in the order in which it was asked, or in another one; what was decided the other way round."""
    found = [seat.desk.ask(f"step {number}") for number in range(3)]
    expect(seat.page.locator("#waiting .row-action")).to_have_text(["step 0", "step 1", "step 2"])
    soonest = seat.desk.ask("step 3", expires_in=600)
    order = seat.page.locator("#waiting .row-action")
    expect(order).to_have_text(["step 0", "step 1", "step 2", "step 3"])
    for name, wanted in (("Newest first", "3210"), ("Least time left first", "3012"), ("Least time left first", "0123")):
        seat.page.get_by_role("button", name=name).click()
        expect(order).to_have_text([f"step {number}" for number in wanted])
    seat.desk.withdraw(soonest)
    expect(seat.row(soonest)).to_have_count(0)
    seat.desk.decide(found[1], "denied", comment="no")
    seat.desk.decide(found[0], "approved")
    rows = seat.history()
    expect(rows.locator(".row-action")).to_have_text(["step 0", "step 1", "step 3"])
    expect(rows.locator(".row-by")).to_have_text([", by alice", ", by alice", ", by \u2013"])
    expect(rows.locator(".outcome")).to_have_text(["Approved", "Denied", "Withdrawn"])
    # What ends meanwhile comes in at the top.
    seat.desk.decide(found[2])
    expect(rows.locator(".row-action")).to_have_text(["step 2", "step 0", "step 1", "step 3"])


def test_a_line_says_who_asks_where_and_how_long_it_waits(new_seat: NewSeat, desk: Desk) -> None:
    """The credential's name, not the one that is claimed; the beginning of the action; the workspace if there are two."""
    desk.add_workspace("other", "production", "token-of-other")
    with desk.client("token-of-other") as other:
        body = {"action": "deploy it\nnow", "context": {"user": "mallory", "host": "x"}, "expires_in": 7_300}
        first = str(other.post("/workspaces/other/approvals", json=body).json()["approval_id"])
    asked = desk.one(desk.ask("local thing"))
    seat = new_seat().sign_in()
    row = seat.row(first)
    expect(row).to_have_text(re.compile(r"^production ?deploy it …, workspace production, requested \d+s, time left 2h$"))
    expect(row).not_to_contain_text("mallory")
    expect(seat.shown(first).locator(".who-line")).to_have_text(re.compile("^production requested "))
    expect(seat.card(first).locator(".claims")).to_have_text("says it runs as mallory@x")
    seat.page.get_by_label("Workspace").select_option("local")
    expect(row).to_be_hidden()
    expect(seat.row(asked["id"])).to_be_visible()
    seat.page.get_by_label("Filter pending requests").fill("nothing of it")
    expect(seat.page.locator("#none")).to_have_text("No pending request matches.")


def test_a_thousand_requests_are_lines_and_only_what_changes_is_written(seat: Seat) -> None:
    """A new request adds one line to the list; the others, and the request that is shown, are not touched."""
    ids = [seat.desk.ask(f"step {number}") for number in range(40)]
    seat.row(ids[-1]).wait_for()
    expect(seat.card(ids[0])).to_be_visible()
    seat.page.evaluate(
        """() => {
            globalThis.written = [];
            const seen = changes => changes.filter(one => one.target.id === "waiting")
                .forEach(one => written.push(one.addedNodes.length));
            new MutationObserver(seen).observe(document.querySelector(".split"), {childList: true, subtree: true});
        }"""
    )
    seat.row(seat.desk.ask("another")).wait_for()
    seat.desk.decide(ids[7])
    expect(seat.row(ids[7])).to_have_count(0)
    assert seat.page.evaluate("written") == [1, 0]
    assert seat.page.locator(".card").count() == 1


# Headless Chromium shows no notifications: what the page hands to the browser is looked at.
_NOTICES = """
    globalThis.noticed = [];
    globalThis.Notification = class extends EventTarget {
        static permission = "default";
        static async requestPermission() { return (this.permission = "ANSWER"); }
        constructor(title, options) { super(); noticed.push([title, options.body]); }
        close() {}
    };
    document.hasFocus = () => false;
"""


def test_notifications_only_after_they_were_allowed(new_seat: NewSeat) -> None:
    """The browser is asked by a button alone; then a request is announced, with what hides written out."""
    seat = new_seat()
    seat.page.add_init_script(_NOTICES.replace("ANSWER", "granted"))
    seat.sign_in()
    seat.row(seat.desk.ask("before")).wait_for()
    assert seat.page.evaluate("[Notification.permission, noticed.length]") == ["default", 0]
    button = seat.page.get_by_role("button", name="Notify me")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    asked = seat.desk.ask("de\u200bploy", context={"user": "mara", "host": "laptop"})
    seat.row(asked).wait_for()
    name = seat.desk.one(asked)["requested_by"]
    assert seat.page.evaluate("noticed") == [["New approval request", f"{name}: de[U+200B]ploy"]]
    button.click()
    expect(button).to_have_attribute("aria-pressed", "false")


def test_blocked_notifications_say_so(new_seat: NewSeat) -> None:
    """Nothing is announced, and the button says why."""
    seat = new_seat()
    seat.page.add_init_script(_NOTICES.replace("ANSWER", "denied"))
    seat.sign_in()
    seat.page.locator("#notify").click()
    expect(seat.page.locator("#notify")).to_have_text("Notifications blocked")
    seat.row(seat.desk.ask("deploy")).wait_for()
    assert seat.page.evaluate("noticed") == []


def test_a_requester_that_was_revoked_is_called_so(seat: Seat) -> None:
    """In its line, in the request, and in the history: what is approved now, nobody redeems."""
    places = seat.desk.server.places
    with credentials.opened(places) as store:
        token = administration.add_requester(places, store, "bot", None).token
    with seat.desk.client(token) as bot:
        asked = bot.post(seat.desk.path, json={"action": "deploy"}).json()["approval_id"]
    with credentials.opened(places) as store:
        administration.revoke_requester(store, "bot", None)
    seat.page.reload()  # it may have read the request before
    expect(seat.armed(asked).locator(".who")).to_have_text("bot (revoked)")
    expect(seat.row(asked).locator(".row-who")).to_have_text("bot (revoked)")
    seat.decide(seat.armed(asked), "deny")
    seat.ended(asked)
    expect(seat.history().locator(".row-who")).to_have_text("bot (revoked)")


def test_a_request_that_went_out_of_sight_cannot_be_decided(seat: Seat) -> None:
    """Its approver was limited to another workspace: a sentence is left, and neither card nor row; both may come back."""
    desk, places = seat.desk, seat.desk.server.places
    desk.add_workspace("other", "production", "token-of-other")

    def limited(*workspaces: str) -> None:
        with credentials.opened(places) as store:
            administration.limit_approver(store, "alice", workspaces or None)

    def gone(approval_id: str) -> None:
        expect(seat.page.locator("#note")).to_have_text(re.compile("no request with this address"))
        expect(seat.page.locator(".card")).to_have_count(0)
        expect(seat.row(approval_id)).to_have_count(0)
        expect(seat.page.locator("#detail")).to_be_focused()

    with desk.client("token-of-other") as other:

        def happens() -> None:
            assert other.post("/workspaces/other/approvals", json={"action": "elsewhere"}).status_code == 201

        first = desk.ask("deploy")
        card = seat.armed(first)
        card.locator(".approve").click()
        yes = seat.asked(card)
        limited("other")
        yes.click()
        gone(first)
        assert seat.status(first) == "pending"
        limited()
        happens()
        expect(seat.card(first)).to_be_visible()
        seat.shown(first)
        limited("other")
        happens()
        gone(first)
