"""What all adapters share: without its library an adapter names its extra; options and arguments are read alike."""

from __future__ import annotations

import asyncio
import importlib
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from molecule_approve.integrations import tool_requests
from molecule_approve.model import Outcome, Verdict
from tests.pages import ROOT

if TYPE_CHECKING:
    from tests.callers import Caller

ADAPTERS = {
    "langchain": "langchain.agents.middleware",
    "openai_agents": "agents",
    "pydantic_ai": "pydantic_ai.capabilities",
    "claude_agent_sdk": "claude_agent_sdk",
}
"""Each adapter, and what it loads first."""


def test_every_adapter_is_known_here() -> None:
    """A file of the folder is an adapter of a library, or our own part."""
    files = {path.stem for path in Path(str(tool_requests.__file__)).parent.glob("*.py")}
    assert set(ADAPTERS) <= files


@pytest.mark.parametrize(("adapter", "library"), ADAPTERS.items())
def test_without_its_library_an_adapter_names_the_extra(monkeypatch: pytest.MonkeyPatch, adapter: str, library: str) -> None:
    """With the line that installs it; and pyproject has that extra."""
    name = f"molecule_approve.integrations.{adapter}"
    monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, library, None)
    extra = adapter.replace("_", "-")
    with pytest.raises(ImportError, match="cannot be imported") as found:
        importlib.import_module(name)
    assert str(found.value).endswith(f"; pip install 'molecule-approve[{extra}]'")
    assert extra in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ({"path": "/srv/ü", "force": True}, 'rm {"path": "/srv/ü", "force": true}'),
        ({}, "rm {}"),
        ('{"path":"\\u002fetc"}', 'rm {"path": "/etc"}'),
        ('{"path": 1, "path": 2}', r'rm "{\"path\": 1, \"path\": 2}"'),
        ("free text", 'rm "free text"'),
    ],
)
def test_the_whole_call_is_what_is_requested(caller: Caller, arguments: object, shown: str) -> None:
    """JSON in one form, whoever wrote it; text that is no JSON, or that could be read in two ways, as it is."""
    with caller.answering(shown):
        verdict = tool_requests.request("rm", arguments, {}, "", {})
    assert (verdict.outcome, verdict.action) == (Outcome.APPROVED, shown)


def test_facts_come_after_the_context_of_the_options_and_empty_ones_are_left_out(caller: Caller) -> None:
    """What the adapter knows for sure cannot be replaced."""
    with caller.answering("rm 1"):
        tool_requests.request("rm", 1, {"agent": "A", "session": ""}, "", {"context": {"agent": "B", "ticket": "7"}})
    context = caller.desk.one(caller.requested())["context"]
    assert (context["agent"], context["ticket"], "session" in context) == ("A", "7", False)


def nested(depth: int) -> list[object]:
    """Lists in lists."""
    found: list[object] = []
    for _ in range(depth):
        found = [found]
    return found


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("arguments", [float("nan"), {"a", "b"}, nested(100_000)], ids=["no number", "a set", "too deep"])
def test_what_cannot_be_shown_is_a_failure_and_requests_nothing(
    caller: Caller, arguments: object, asynchronous: bool
) -> None:
    """It is a verdict, and no exception that a framework could take for something else."""
    given = ("rm", arguments, dict[str, str](), "", tool_requests.RequestOptions())
    verdict = asyncio.run(tool_requests.request_async(*given)) if asynchronous else tool_requests.request(*given)
    assert (verdict.outcome, caller.records()) == (Outcome.FAILED, [])
    assert "cannot be shown to an approver" in verdict.message


def test_a_refusal_is_one_line_that_hides_nothing() -> None:
    """Whatever the tool is called."""
    assert tool_requests.refusal("r\nm\x1b[2J", Verdict(Outcome.DENIED)).startswith(r"r\nm\x1b[2J was not run: denied")
