"""A server behind the real nginx and Caddy, as the examples say: REST, the event stream, the page, TLS, and who calls."""

from __future__ import annotations

import ssl
from contextlib import ExitStack
from dataclasses import dataclass, replace
from ipaddress import ip_network
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import pytest

from molecule_approve.paths import Places
from molecule_approve.server.limits import Limits
from molecule_approve.server.run import Running
from tests.callers import SAYING, ended, free_port, start, until
from tests.certificates import KeyPair, new_pair
from tests.integration.program import PATHS
from tests.proxies import KINDS, plan_behind, proxy, url_of
from tests.server.desk import PATIENCE, Desk, desk_of
from tests.server.serving import environment

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Behind:
    """A server behind a proxy.

    Attributes:
        url: its public address.
    """

    desk: Desk
    url: str
    pair: KeyPair

    def get(self, path: str, **more: Any) -> httpx.Response:  # noqa: ANN401 - httpx's
        """A call through the proxy, at a path below the public address."""
        trusted = ssl.create_default_context(cafile=str(self.pair.cert))
        return httpx.get(f"{self.url}{path}", verify=trusted, trust_env=False, timeout=PATIENCE, **more)


@pytest.fixture(scope="module", params=KINDS)
def behind(request: pytest.FixtureRequest) -> Iterator[Behind]:
    """One server behind each kind of proxy."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(TemporaryDirectory(prefix="ma-")))
        kind, port, pair = request.param, free_port(), new_pair(home / "tls")
        plan = plan_behind(Places(home / "state", home / "run"), url_of(kind, port))
        here = (ip_network("127.0.0.1"),)
        plan = replace(plan, limits=replace(Limits(), failed_login_rate=3), metrics_from=here)
        server = stack.enter_context(Running(plan))
        desk = stack.enter_context(desk_of(server))
        stack.enter_context(proxy(home, kind, port, urlsplit(server.url).netloc, pair))
        yield Behind(desk, url_of(kind, port), pair)


@pytest.mark.parametrize("path", PATHS)
def test_a_request_is_decided_through_a_proxy(behind: Behind, home: Path, path: str) -> None:
    """By the real program over TLS, on both paths; the event stream is one that stays open."""
    desk = behind.desk
    named = {"PLATFORM_URL": behind.url, "WORKSPACE_ID": desk.workspace_id, "MOLECULE_TOKEN": desk.server.requester.token}
    env = {**environment(home), **named, "SSL_CERT_FILE": str(behind.pair.cert)}
    words = ("request", "--transport", path, "--poll-interval", "1", "--json", "--", "deploy")
    with start(words, env=env, **SAYING) as process:
        until(lambda: _pending(desk), "the request")
        if path == "websocket":
            until(lambda: "molecule_sockets 1.0" in desk.asker.get("/metrics").text, "the event stream")
        assert desk.decide(_pending(desk)[0]).status_code == 200
        told = ended(process)
    assert (told.code, told.object["decided_by"]) == (0, "alice")


def _pending(desk: Desk) -> list[str]:
    return [row["id"] for row in desk.asker.get(desk.path).json() if row["status"] == "pending"]


def test_the_page_and_its_files_are_below_the_public_address(behind: Behind) -> None:
    """Each address that the page names leads to a file of it, also from the page of one request."""
    base = urlsplit(behind.url).path
    page = behind.get("/requests/0190c6a2")
    assert f'<base href="{base}/">' in page.text
    assert f"wss://{urlsplit(behind.url).netloc}" in page.headers["content-security-policy"]
    assert behind.get("/static/inbox.js").headers["content-type"].startswith("text/javascript")
    assert behind.get("/healthz").text == "ok\n"
    assert behind.get("/metrics").status_code == 404


def test_a_client_does_not_choose_its_address_or_the_host(behind: Behind) -> None:
    """Whoever guesses is stopped whatever it says of itself; a foreign name is refused in words, or by Caddy itself."""
    path = f"/workspaces/{behind.desk.workspace_id}/approvals"
    guesses = [{"Authorization": "Bearer wrong", "X-Forwarded-For": f"203.0.113.{number}"} for number in range(5)]
    assert [behind.get(path, headers=headers).status_code for headers in guesses] == [401, 401, 401, 429, 429]
    foreign = behind.get("/", headers={"Host": "evil.example", "Accept": "text/html"})
    if foreign.content:
        assert foreign.status_code == 421
        assert f'<a href="{behind.url}/">' in foreign.text
    else:
        assert foreign.headers["server"] == "Caddy"
