"""The inbox page and the page for a wrong address: the files of ``static/``, and the headers that protect them.

The files hold no data; all that the page shows comes from REST.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Self

from .calls import Response
from .refusals import refused

if TYPE_CHECKING:
    from .calls import HttpCall

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
        found = [entry for entry in folder.iterdir() if Path(entry.name).suffix in _TYPES]
        return cls({entry.name: entry.read_bytes() for entry in found})

    async def document(self, call: HttpCall) -> Response:
        """``GET /``: the page."""
        return self._answer(call, DOCUMENT)

    async def part(self, call: HttpCall) -> Response:
        """``GET /static/{name}``: the page's scripts, styles and icon."""
        return self._answer(call, call.path_params["name"])

    def _answer(self, call: HttpCall, name: str) -> Response:
        content = self.files.get(name)
        if content is None:
            raise refused(404, "no such file", "unknown_file")
        # `origins` has checked the Host header: it is one of our own names.
        if name == DOCUMENT:
            content = content.replace(_BASE, f'<base href="{html.escape(call.called.base)}/">'.encode())
        socket = f"ws{call.called.origin.removeprefix('http')}"
        # The policy's grammar has no address in brackets.
        policy = _POLICY.format(socket="" if "[" in socket else socket)
        return Response(content, 200, {**_HEADERS, "Content-Security-Policy": policy}, _TYPES[Path(name).suffix])

    def wrong_address(self, right: str) -> Response:
        """For a browser that called another name: where the page is."""
        address = html.escape(right).encode()
        content = self.files[_WRONG_ADDRESS].replace(b"{address}", address)
        return Response(content, 421, {"Content-Security-Policy": _PLAIN_POLICY}, _TYPES[".html"])
