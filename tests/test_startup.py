"""What a start may load: nothing heavy for help, nothing before the POST that only the wait needs. Real processes tell."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.callers import Caller
    from tests.integration.fake_platform import FakePlatform

# Python runs this at its start: it writes down which modules are there when the process connects for the first time, which
# is just before the POST, and when it ends (by os._exit, which raises no audit event, so that is wrapped).
_HOOK = """
import json, os, sys
def write(name, modules=json):
    with open(os.path.join(os.environ["MODULES"], name), "x") as file:
        file.write(modules.dumps(sorted(set(sys.modules) - BEFORE)))
def hook(event, arguments, seen=[]):
    if event == "socket.connect" and not seen:
        seen.append(event)
        write("connect")
leave = os._exit
def end(code):
    write("end")
    leave(code)
os._exit = end
sys.addaudithook(hook)
BEFORE = set(sys.modules)
"""

HEAVY = {
    "asyncio", "click", "httpx", "pydantic", "rich", "sqlalchemy", "sqlite3", "uvicorn", "websockets", "yaml",
}  # fmt: skip


@pytest.fixture
def observed(caller: Caller) -> Caller:
    """A caller whose processes write down what they loaded."""
    for name in [name for name in os.environ if name.startswith("COV")]:
        caller.patch.delenv(name)  # what measures the tests loads modules of its own
    (caller.folder / "sitecustomize.py").write_text(_HOOK)
    caller.set(PYTHONPATH=str(caller.folder), MODULES=str(caller.folder))
    return caller


def _loaded(caller: Caller, moment: str) -> set[str]:
    return {name.partition(".")[0] for name in json.loads((caller.folder / moment).read_text())}


@pytest.mark.parametrize(
    "argv", [("--help",), ("--version",), ("request", "--help"), ("serve", "--help"), ("review", "--help")]
)
def test_help_loads_nothing_heavy(observed: Caller, argv: tuple[str, ...]) -> None:
    """No HTTP, no YAML, no server, though all of it is installed."""
    observed.run(*argv)
    found = _loaded(observed, "end")
    assert "typer" in found
    assert not found & (HEAVY | {"socket", "ssl", "email"})


@pytest.mark.parametrize("platform_url", ["local", "the platform"])
def test_the_post_goes_out_before_anything_that_only_the_wait_needs(
    observed: Caller, platform: FakePlatform, platform_url: str
) -> None:
    """By then httpx is there, and no websockets, asyncio, rich, pydantic, click, YAML; nor TLS over http."""
    if platform_url == "local":
        observed.set(PLATFORM_URL="local")
    told = observed.run("request", "--transport", "websocket", "--timeout", "3", "--", "x")
    assert told.code == 124
    found = _loaded(observed, "connect")
    assert {"httpx", "typer"} <= found
    assert not found & (HEAVY - {"httpx"})
    assert "websockets" in _loaded(observed, "end")


def test_the_whole_of_a_client_loads_no_asyncio(observed: Caller) -> None:
    """From the question to the verdict, with the stream."""
    with observed.answering("drop it"):
        assert observed.run("request", "--", "drop it").code == 0
    assert not _loaded(observed, "end") & (HEAVY - {"httpx", "websockets"})


def test_at_a_terminal_it_is_as_light(observed: Caller) -> None:
    """The live line is drawn without Rich."""
    with observed.terminal("request", "--timeout", "1", "--", "x") as terminal:
        assert terminal.end() == 124
    assert not _loaded(observed, "end") & {"rich", "pygments", "asyncio"}


@pytest.mark.parametrize(
    ("argv", "shown", "typed"), [(("review",), "quit? ", "q\r"), (("pending", "--watch"), "live", "\x03")]
)
def test_the_desk_in_a_terminal_is_as_light(observed: Caller, argv: tuple[str, ...], shown: str, typed: str) -> None:
    """Pages and tables are drawn without Rich, and what is live needs no asyncio."""
    token = observed.desk.decider.headers["Authorization"].removeprefix("Bearer ")
    observed.set(MOLECULE_APPROVER_TOKEN=token)
    observed.desk.ask()
    with observed.terminal(*argv) as terminal:
        terminal.until(shown)
        terminal.type(typed)
        terminal.end()
    assert not _loaded(observed, "end") & (HEAVY - {"httpx", "websockets"})


def test_click_is_kept_out_although_it_is_installed(observed: Caller) -> None:
    """With uvicorn it comes, and httpx would import it with rich and pygments."""
    assert observed.run("-c", "import click", program=(sys.executable,)).code == 0
    assert observed.run("status").code == 0
    assert "click" not in _loaded(observed, "connect")
