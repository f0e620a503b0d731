"""Which handler answers which method and path."""

from __future__ import annotations

import pytest

from molecule_approve.server.calls import HttpCall, Response
from molecule_approve.server.routes import Routes, RouteSpec


async def _handler(_call: HttpCall) -> Response:
    return Response(b"")


async def _unknown(_call: HttpCall) -> Response:
    return Response(b"", 404)


ROUTES = Routes(
    [
        RouteSpec("GET", "/", _handler, ()),
        RouteSpec("GET", "/a/{first}", _handler, ()),
        RouteSpec("GET", "/a/{first}/b/{second}", _handler, ()),
        RouteSpec("POST", "/a//c", _handler, ()),
    ],
    _unknown,
)


@pytest.mark.parametrize(
    ("method", "path", "params"),
    [
        ("GET", "/", {}),
        ("HEAD", "/a/x", {"first": "x"}),
        ("GET", "/a/{first}", {"first": "{first}"}),
        ("GET", "/a/x/b/y z", {"first": "x", "second": "y z"}),
        ("POST", "/a//c", {}),
    ],
)
def test_a_route_fits_segment_by_segment(method: str, path: str, params: dict[str, str]) -> None:
    """What stands in the place of a parameter is its value; HEAD is answered as GET."""
    assert ROUTES.find(method, path) == (_handler, params)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("POST", "/"), ("", "/"), ("GET", ""), ("GET", "a/x")),
        *(("GET", "/a/"), ("GET", "/a/x/"), ("GET", "/a/x/c/y"), ("GET", "/a/x\n/b"), ("GET", "//a/x"), ("GET", "/a/x\0")),
        *(("GET", "/a//b/y"), ("POST", "/a/x/c"), ("POST", "/A//c")),
    ],
)
def test_anything_else_is_unknown(method: str, path: str) -> None:
    """Another method, an empty parameter, a slash too many, other letter case, a NUL."""
    assert ROUTES.find(method, path) == (_unknown, {})
