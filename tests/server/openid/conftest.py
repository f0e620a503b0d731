"""Fixtures: a provider that lies as it is told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.server.openid.provider import Provider, serving


@pytest.fixture
def provider() -> Iterator[Provider]:
    """A provider of this test's own."""
    with serving() as found:
        yield found
