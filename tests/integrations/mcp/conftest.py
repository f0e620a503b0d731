"""The SDK of MCP loads for a second: with the first test that needs it, and not where tests are only collected."""

from __future__ import annotations

import pytest

from tests.watching import load_unwatched


@pytest.fixture(scope="session", autouse=True)
def _sdk() -> None:
    load_unwatched("mcp.server")
