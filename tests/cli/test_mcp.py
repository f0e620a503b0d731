"""``mcp``: what keeps it from starting. What it serves is tested in tests/integrations/mcp/."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from molecule_approve.cli import mcp
from tests.watching import load_unwatched

if TYPE_CHECKING:
    from tests.callers import Caller


@pytest.fixture(scope="module", autouse=True)
def _sdk() -> None:
    load_unwatched("mcp.server")


def test_without_its_extra_it_says_how_to_install_it(caller: Caller) -> None:
    """125 and the line to type."""
    caller.patch.setitem(sys.modules, "molecule_approve.integrations.mcp.server", None)
    told = caller.main("mcp")
    assert (told.code, told.out) == (125, "")
    assert told.err == (
        "molecule-approve: the library of the MCP server is not installed\n"
        "molecule-approve: hint: pip install 'molecule-approve[mcp]'\n"
    )


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        (("--platform-url", "http://127.0.0.1:9"), 2, "no workspace is set"),
        (("--timeout", "soon"), 2, "'soon' is not a duration"),
        (("--config", "none.yaml"), 125, "none.yaml"),
    ],
)
def test_settings_that_cannot_work_are_told_at_the_start(
    caller: Caller, argv: tuple[str, str], code: int, says: str
) -> None:
    """To whoever sets the host up, on stderr; nothing on stdout."""
    told = caller.main("mcp", *argv)
    assert (told.code, told.out) == (code, "")
    assert says in told.err


def test_a_warning_of_the_server_is_one_line_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever a platform put into it."""
    mcp._complain("warning: cannot\nread")
    assert capsys.readouterr() == ("", "molecule-approve: warning: cannot\\nread\n")
