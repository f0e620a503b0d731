"""A person at the desk: a tab of a real browser, signed in or not, and the words to look and to decide."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from playwright.sync_api import expect

from molecule_approve.server import credentials
from tests.callers import SAYING, start

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from playwright.sync_api import BrowserContext, Locator, Page

    from tests.server.desk import Desk

PATIENCE = 30_000.0
"""Milliseconds after which a test stops waiting for the page."""

ARMING = 1_000
"""Milliseconds from a request's appearance to the moment its buttons work: card.js."""

STATUS = "Failed to load resource"
"""What the browser's console says of every answer that is no 2xx; the page deals with those."""


def link_for(desk: Desk, name: str = "alice", url: str | None = None) -> str:
    """A fresh sign-in link."""
    with credentials.opened(desk.server.places) as store:
        return credentials.sign_in_link(url or desk.server.url, credentials.new_code(store, name))


@dataclass
class Seat:
    """One tab.

    Attributes:
        page: the tab.
        faults: what its console complained about: errors of the script, and whatever the policy forbade.

    """

    context: BrowserContext
    page: Page
    desk: Desk
    faults: list[str] = field(default_factory=list)

    @classmethod
    def take(cls, context: BrowserContext, desk: Desk) -> Seat:
        """Open a tab; nothing is shown in it yet."""
        context.set_default_timeout(PATIENCE)
        seat = cls(context, context.new_page(), desk)
        # The page's clock goes on as ever, and can be put forward: nobody waits here for the moment of arming.
        seat.page.clock.install()
        seat.page.on("pageerror", lambda error: seat.faults.append(str(error)))
        seat.page.on("console", lambda said: seat.faults.append(said.text) if said.type == "error" else None)
        return seat

    def complaints(self) -> list[str]:
        """What nobody expects to find in the console."""
        return [fault for fault in self.faults if STATUS not in fault and "WebSocket connection to" not in fault]

    def sign_in(self, url: str | None = None) -> Seat:
        """Follow a fresh link, and wait until the desk is live."""
        self.page.goto(link_for(self.desk, url=url))
        return self.live()

    def live(self) -> Seat:
        """Wait until the desk listens, and has read what waits."""
        expect(self.page.locator("body[data-view=inbox][data-connection=live]")).to_be_attached()
        return self

    def row(self, approval_id: str) -> Locator:
        """A request's line in the list of what is pending."""
        return self.page.locator(f'#waiting .row[data-id="{approval_id}"]')

    def card(self, approval_id: str) -> Locator:
        """A request, if it is the one that is shown in full."""
        return self.page.locator(f'.card[data-id="{approval_id}"]')

    def shown(self, approval_id: str) -> Locator:
        """The same, chosen from the list."""
        self.row(approval_id).click()
        expect(self.card(approval_id)).to_be_visible()
        return self.card(approval_id)

    def arrived(self, approval_id: str) -> Locator:
        """The same in a page whose clock stands still, which is put forward in small steps until the card is there.

        The page gathers events for a moment of its own clock before it reads, and an event takes its own time to come.
        """
        deadline = time.monotonic() + PATIENCE / 1000
        while self.card(approval_id).count() == 0:
            assert time.monotonic() < deadline, "the card did not come"
            self.page.clock.run_for(20)
        return self.card(approval_id)

    def armed(self, approval_id: str) -> Locator:
        """The same, after the moment in which its buttons rest."""
        expect(self.row(approval_id)).to_be_visible()
        if self.row(approval_id).get_attribute("aria-current") is None:
            self.shown(approval_id)
        expect(self.card(approval_id)).to_be_visible()
        self.page.clock.fast_forward(ARMING)
        expect(self.page.locator(f'.card[data-id="{approval_id}"][data-armed=true]')).to_be_visible()
        return self.card(approval_id)

    def ended(self, approval_id: str) -> Locator:
        """A request that is shown, as soon as it has ended."""
        expect(self.page.locator(f'.card[data-id="{approval_id}"][data-state=ended]')).to_be_visible()
        return self.card(approval_id)

    def decide(self, card: Locator, verb: str = "approve") -> None:
        """Choose with the mouse, wait until the question takes an answer, and confirm."""
        card.locator(f".{verb}").click()
        self.asked(card).click()

    def asked(self, card: Locator) -> Locator:
        """The button that confirms, after the moment in which it rests."""
        expect(card.locator(".confirm")).to_be_visible()
        self.page.clock.fast_forward(ARMING)
        expect(card.locator(".yes")).to_have_attribute("aria-disabled", "false")
        return card.locator(".yes")

    def press(self, button: Locator) -> None:
        """Press and release where the button is, whether or not it works: as a hand does that does not look."""
        self.page.mouse.click(*self.place(button))

    def place(self, button: Locator) -> tuple[float, float]:
        """Where a button is."""
        button.scroll_into_view_if_needed()
        box = button.bounding_box()
        assert box is not None
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def misled(self, path: str, **answer: Any) -> None:  # noqa: ANN401 - what Route.fulfill takes
        """Let something on the way answer calls of this path in the server's place."""
        self.page.route(path, lambda route: route.fulfill(**answer))

    def history(self) -> Locator:
        """The lines of the history, which is opened."""
        self.page.get_by_role("link", name="History").click()
        return self.page.locator("#ended .row")

    def heard(self) -> str:
        """All that a screen reader was told."""
        return self.page.locator("#announcements").inner_text()

    def status(self, approval_id: str) -> str:
        """What the server holds of a request."""
        return str(self.desk.one(approval_id)["status"])


@contextmanager
def asking(
    desk: Desk, folder: Path, *argv: str, command: str = "request", **variables: str
) -> Iterator[subprocess.Popen[str]]:
    """A real ``request`` or ``run`` in a process of its own, which waits; its user runs this desk's server."""
    state, run = desk.server.places.state.parent, desk.server.places.runtime.parent
    kept = {name: value for name, value in os.environ.items() if name.startswith(("COV", "PATH"))}
    env: dict[str, Any] = {
        **kept,
        "LANG": "C.UTF-8",
        "HOME": str(folder),
        "USER": "tester",
        "XDG_STATE_HOME": str(state),
        "XDG_RUNTIME_DIR": str(run),
        "PLATFORM_URL": "local",
        "AUDIT_LOG_PATH": str(folder / "audit.jsonl"),
        "CONFIGS_DIR": str(folder / "none"),
        **variables,
    }
    process = start((command, "--timeout", "20", *argv), env=env, cwd=folder, **SAYING)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
