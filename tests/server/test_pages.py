"""The page's files: complete, of the right types, under headers that let nothing else run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

import molecule_approve

if TYPE_CHECKING:
    import httpx

    from tests.server.conftest import OpenDesk
    from tests.server.desk import Desk

STATIC = Path(str(molecule_approve.__file__)).parent / "server" / "static"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


def _policy(answer: httpx.Response) -> dict[str, str]:
    directives = (part.strip().partition(" ") for part in answer.headers["content-security-policy"].split(";"))
    return {name: value for name, _, value in directives}


def test_the_page_is_there_for_anybody(shared_desk: Desk) -> None:
    """Without a token: it holds no data, and it is what asks for one."""
    with shared_desk.client(None) as stranger:
        answer = stranger.get("/")
    assert (answer.status_code, answer.headers["content-type"]) == (200, TYPES[".html"])
    assert answer.content == (STATIC / "inbox.html").read_bytes()
    assert "set-cookie" not in answer.headers


def test_every_file_of_the_page_is_served_as_what_it_is(shared_desk: Desk) -> None:
    """Byte for byte, and the browser may not guess another type."""
    with shared_desk.client(None) as stranger:
        for path in STATIC.iterdir():
            answer = stranger.get(f"/static/{path.name}")
            assert (answer.status_code, answer.headers["content-type"]) == (200, TYPES[path.suffix]), path.name
            assert answer.content == path.read_bytes()
            assert answer.headers["x-content-type-options"] == "nosniff"


def test_what_the_page_names_is_there(shared_desk: Desk) -> None:
    """Every script, style and icon of it, all from its own server, and none of it inline."""
    text = (STATIC / "inbox.html").read_text()
    named = re.findall(r"(?:src|href)=\"([^\"#]+)\"", text)
    assert named
    with shared_desk.client(None) as stranger:
        assert [name for name in named if stranger.get(name).status_code != 200] == []
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:", text) == []


def test_nothing_but_its_own_files_runs(shared_desk: Desk) -> None:
    """No inline script, no form, no frame, no text that becomes markup, no calls but to its own server."""
    with shared_desk.client(None) as stranger:
        answer = stranger.get("/")
    assert _policy(answer) == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "connect-src": f"'self' ws://{urlsplit(shared_desk.server.url).netloc}",
        "base-uri": "'self'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    told = {name: answer.headers[name] for name in ("cross-origin-opener-policy", "cross-origin-resource-policy")}
    assert set(told.values()) == {"same-origin"}
    assert (answer.headers["referrer-policy"], answer.headers["cache-control"]) == ("no-referrer", "no-store")
    assert "camera=()" in answer.headers["permissions-policy"]


def test_the_socket_is_allowed_under_the_name_that_was_called(shared_desk: Desk) -> None:
    """Each of the server's own names is an origin of its own."""
    port = urlsplit(shared_desk.server.url).port
    with shared_desk.client(None) as stranger:
        answer = stranger.get("/", headers={"Host": f"LOCALHOST:{port}"})
    assert _policy(answer)["connect-src"] == f"'self' ws://localhost:{port}"
    with shared_desk.client(None) as stranger:
        answer = stranger.get("/", headers={"Host": f"[::1]:{port}"})
    assert _policy(answer)["connect-src"] == "'self'"  # the grammar has no address in brackets


@pytest.mark.parametrize(
    "name",
    [
        "nothing.js",
        "inbox",
        "..%2fpages.py",
        "%2e%2e/pages.py",
        "..%5cpages.py",
        "inbox.html%00",
        "<script>",
        "%3Cscript%3E",
    ],
)
def test_nothing_else_is_served(shared_desk: Desk, name: str) -> None:
    """404 for what is not among the page's files, wherever it lies, and the name is not repeated."""
    with shared_desk.client(None) as stranger:
        answer = stranger.get(f"/static/{name}")
    assert answer.status_code == 404
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "script" not in answer.text


def test_no_stranger_shuts_an_approver_out_of_the_page(open_desk: OpenDesk) -> None:
    """Who has no credential yet gets the page and signs in, however many calls others made with none or a wrong one."""
    desk = open_desk(unauthenticated_rate=1, failed_login_rate=1)
    with desk.client(None) as stranger, desk.client("wrong") as guesser:
        assert [stranger.get("/health").status_code for _ in range(2)] == [200, 429]
        assert [guesser.get(desk.path).status_code for _ in range(2)] == [401, 429]
        assert [stranger.get(path).status_code for path in ("/", "/static/inbox.js", "/")] == [200, 200, 200]
    with desk.client(desk.session()) as approver:
        assert approver.get("/desk/requests").status_code == 200
