"""The page below a path of a public address, behind the real nginx: it signs in, listens and decides there."""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, expect

from molecule_approve.server import credentials
from molecule_approve.server.run import Running
from tests.callers import free_port
from tests.certificates import new_pair
from tests.proxies import needs_nginx, plan_behind, proxy, url_of
from tests.server.desk import desk_of

if TYPE_CHECKING:
    from pathlib import Path

    from molecule_approve.paths import Places


@needs_nginx
@pytest.mark.parametrize("kind", ["path removed", "path kept"])
def test_the_page_works_below_a_path(chromium: Browser, house: Places, home: Path, kind: str) -> None:
    """A sign-in link and the way to one lead there; events come by the stream; nothing is asked outside of the path."""
    port, pair = free_port(), new_pair(home / "tls")
    url = url_of(kind, port)
    with Running(plan_behind(house, url)) as server, desk_of(server) as desk, ExitStack() as stack:
        stack.enter_context(proxy(home, kind, port, urlsplit(server.url).netloc, pair))
        context = stack.enter_context(closing(chromium.new_context(ignore_https_errors=True, reduced_motion="reduce")))
        asked: list[str] = []
        context.on("request", lambda request: asked.append(request.url))
        page = context.new_page()
        page.goto(f"{url}/")
        expect(page.locator("#make-link")).to_have_text(f"PLATFORM_URL={url} molecule-approve approvers link")
        page.goto(credentials.sign_in_link(url, desk.code()))
        expect(page.locator("#name")).to_have_text("alice")
        expect(page.locator("#connection")).to_have_text("Live")
        desk.ask("deploy to production")
        expect(page.get_by_text("deploy to production").first).to_be_visible()
        assert page.url == f"{url}/"
        assert [found for found in asked if not found.startswith(f"{url}/")] == []
