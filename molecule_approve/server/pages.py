"""The inbox page and the page for a wrong address: the files of ``static/``, and the headers that protect them.

The files hold no data; all that the page shows comes from REST.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Self

from starlette.responses import Response

from .origins import CALLED
from .refusals import refused

if TYPE_CHECKING:
    from starlette.requests import Request

    from .origins import CalledAddress

DOCUMENT = "inbox.html"

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}

# Only our own files run, nothing is sent elsewhere, and no other page can frame this one or reach its window.
# Browsers that do not count ws:// among 'self' need the socket's origin by name. The document names its base.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self' {socket}; "
    "base-uri 'self'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
_BASE = b'<base href="/">'
"""Stands in the document, and is replaced by the path below which the browser sees this server."""

_WRONG_ADDRESS = "wrong-address.html"
_PLAIN_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

_HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
}


@dataclass(frozen=True, slots=True)
class Pages:
    """The handlers. The files are read once.

    These calls are not counted: refusing one costs as much, and would lock out an approver who is not signed in yet.
    """

    files: Mapping[str, bytes]

    @classmethod
    def packaged(cls) -> Self:
        """The page of this package."""
        folder = resources.files(__package__) / "static"
        found = [entry for entry in folder.iterdir() if _type(entry.name) is not None]
        return cls({entry.name: entry.read_bytes() for entry in found})

    async def document(self, request: Request) -> Response:
        """``GET /``: the page."""
        return self._answer(request, DOCUMENT)

    async def part(self, request: Request) -> Response:
        """``GET /static/{name}``: the page's scripts, styles and icon."""
        return self._answer(request, request.path_params["name"])

    def _answer(self, request: Request, name: str) -> Response:
        content = self.files.get(name)
        if content is None:
            raise refused(404, "no such file", "unknown_file")
        # `origins` has checked the Host header: it is one of our own names.
        called: CalledAddress = request.scope[CALLED]
        if name == DOCUMENT:
            content = content.replace(_BASE, f'<base href="{html.escape(called.base)}/">'.encode())
        policy = _POLICY.format(socket=f"ws{called.origin.removeprefix('http')}")
        return Response(content, headers={**_HEADERS, "Content-Security-Policy": policy}, media_type=_type(name))

    def wrong_address(self, home: str | None) -> Response:
        """For a browser that called another name: where the page is."""
        address = html.escape(home or "http://localhost:8788/").encode()
        content = self.files[_WRONG_ADDRESS].replace(b"{address}", address)
        return Response(content, 421, {"Content-Security-Policy": _PLAIN_POLICY}, _type(_WRONG_ADDRESS))


def _type(name: str) -> str | None:
    return next((kind for ending, kind in _TYPES.items() if name.endswith(ending)), None)
