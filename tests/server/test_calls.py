"""Calls and answers, as ASGI has them."""

from __future__ import annotations

import asyncio

import pytest

from molecule_approve.server.bodies import read_body
from tests.server.calling import called


def test_a_header_that_stands_twice_has_two_values() -> None:
    """The first one is what is read where there should be one."""
    headers = called(headers=[(b"a", b"1"), (b"b", b"\xe4"), (b"a", b"2")]).headers
    assert (headers.get("a"), headers.all("a"), headers.get("b")) == ("1", ["1", "2"], "\xe4")
    assert (headers.get("c"), headers.all("c")) == (None, [])
    assert headers.has_any(frozenset({"b", "c"}))
    assert not headers.has_any(frozenset({"c"}))


def test_a_parameter_keeps_all_its_values() -> None:
    """Also the empty one."""
    assert called(query_string=b"a=1&a=&b=x%20y").query == {"a": ["1", ""], "b": ["x y"]}


def test_a_caller_that_has_gone_is_no_fault_of_the_server() -> None:
    """Neither while its body is read, nor while its handshake is answered."""

    async def scene() -> list[type[Exception]]:
        ends: list[type[Exception]] = []
        for work in (read_body(called(), 10), called(type="websocket").accept(None)):
            with pytest.raises(ConnectionError) as caught:
                await work
            ends.append(caught.type)
        return ends

    assert asyncio.run(scene()) == [ConnectionAbortedError] * 2
