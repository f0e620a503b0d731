"""Looks at the page with axe-core, as people with disabilities would: state by state, in both themes and both widths."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.inbox.seat import Seat

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
# A theme changes colours only, and a width none, but what has a name or is shown as a sign.
LOOKS = [(1280, "light"), (1280, "dark"), (390, "light")]
RULES = [{}, {"runOnly": ["color-contrast", "link-in-text-block"]}, {"runOnly": ["button-name", "label", "link-name"]}]
RUN = """async rules => (await axe.run(document, rules)).violations.map(
    found => [found.id, found.nodes.map(node => [node.html.slice(0, 200), node.failureSummary])])"""


def look(seat: Seat, states: dict[str, Callable[[Seat], None]]) -> None:
    """Go from state to state, and look at each in both themes, and in both widths."""
    found = []
    for name, reach in states.items():
        reach(seat)
        for (width, scheme), rules in zip(LOOKS, RULES, strict=True):
            seat.page.set_viewport_size({"width": width, "height": 900})
            seat.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]  # one of its words
            found += [(name, width, scheme, fault) for fault in seat.page.evaluate(RUN, rules)]
            if seat.page.evaluate("document.documentElement.scrollWidth") > width:
                found.append((name, width, scheme, "it reaches out of the window"))
    assert found == [], "\n".join(map(str, found))
