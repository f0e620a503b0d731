"""README and CHANGELOG say what is true: generated parts, command lines, variables, links, and the examples that are data.

The examples that are programs are run in tests/integration/test_readme_scripts.py and test_readme_tools.py.
"""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from molecule_approve import config
from molecule_approve.audit.journal import Journal
from molecule_approve.audit.record import Record
from molecule_approve.cli.app import COMMANDS, app
from molecule_approve.config_yaml import APPROVE_KEYS
from molecule_approve.model import Outcome, Verdict
from molecule_approve.places import Places
from tests.readme import README, ROOT, SNIPPETS, TEXT, blocks, prose

DOCS = ROOT / ".ci" / "docs.py"

# --- generated parts -------------------------------------------------------------------------------------------------------


def docs(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the generator."""
    command = [sys.executable, str(DOCS), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_generated_parts_are_current() -> None:
    """What `make docs-check` runs finds nothing to change; else `make docs` is to be run."""
    found = docs("--check")
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("line", "doctored"),
    [
        ("| 77 | denied", "| 78 | denied"),
        ("| `already_used` | 125", "| `already_used` | 0"),
        ("| `APPROVAL_TIMEOUT` | 300", "| `APPROVAL_TIMEOUT` | 3000"),
        ("  --result-file PATH", "  --result-path PATH"),
    ],
)
def test_a_part_that_is_out_of_date_is_found_and_mended(tmp_path: Path, line: str, doctored: str) -> None:
    """In each of the parts: --check names the line and changes nothing, and without it the page is as it should be."""
    page = tmp_path / "README.md"
    page.write_text(TEXT.replace(line, doctored, 1), encoding="utf-8")
    before = page.read_bytes()
    found = docs("--check", str(page))
    assert found.returncode == 1
    assert f"-{doctored}" in found.stdout
    assert f"+{line}" in found.stdout
    assert page.read_bytes() == before
    assert docs(str(page)).returncode == 0
    assert page.read_bytes() == README.read_bytes()


def test_a_part_that_is_missing_is_an_error(tmp_path: Path) -> None:
    """A marker that somebody removed does not pass for a page without faults."""
    page = tmp_path / "README.md"
    page.write_text(TEXT.replace("<!-- generated: environment -->", ""), encoding="utf-8")
    assert docs("--check", str(page)).returncode not in {0, None}


# --- command lines ---------------------------------------------------------------------------------------------------------

_OPERATOR = re.compile(r"[();<>|&\[\]{}]+\Z")


def command_lines(text: str) -> Iterator[list[str]]:
    """The words behind each `molecule-approve` that stands where a command may, quoted scripts included."""
    for line in text.splitlines():
        if "molecule-approve" not in line:
            continue
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words = list(lexer)
        for place, word in enumerate(words):
            if word == "molecule-approve":
                rest = words[place + 1 :]
                yield rest[: next((at for at, one in enumerate(rest) if _OPERATOR.match(one)), len(rest))]
            elif " " in word:
                yield from command_lines(word)


def shown() -> list[list[str]]:
    """Every command line in README's blocks and in its running text."""
    spans = re.findall(r"`([^`\n]+)`", prose().replace("\\|", "|"))
    # In running text the program's name is often left out: `audit verify`.
    named = [f"molecule-approve {span}" if span.split()[0] in COMMANDS else span for span in spans]
    return [words for text in (*blocks("sh", "bash", "make", "yaml"), *named) for words in command_lines(text)]


def complaint(words: list[str]) -> str | None:
    """Why the program would not understand these words, or None."""
    command: Any = typer.main.get_command(app)
    known = {"--help"}
    for word in words:
        known |= {option for param in command.params for option in (*param.opts, *param.secondary_opts)}
        if word == "--":
            return None
        if word.startswith("-"):
            if word.split("=")[0] not in known:
                return f"{word} is no option in {words}"
        elif hasattr(command, "commands"):
            command, known = command.commands.get(word), {"--help"}
            if command is None:
                return f"{word} is no command in {words}"
        elif not command.params:
            return f"{word} is one word too many in {words}"
    return None


def test_every_command_line_can_be_understood() -> None:
    """Commands and options exist under the names that README uses."""
    lines = shown()
    assert len(lines) > 60
    assert [found for words in lines if (found := complaint(words))] == []


@pytest.mark.parametrize(
    "line",
    [
        "molecule-approve run -- rm",
        "molecule-approve request --reasons x -- y",
        "FOO=1 molecule-approve audit shows",
        "x | sh -c 'molecule-approve doctor && y'",
        'MOLECULE=$(molecule-approve approvers rename "x")',
    ],
)
def test_a_command_line_that_is_wrong_is_found_out(line: str) -> None:
    """Also behind variables, in pipes, in quotes and in substitutions."""
    assert [words for words in command_lines(line) if complaint(words)] != []


def test_every_make_target_exists() -> None:
    """What README tells to make, the Makefile makes."""
    named = {
        word for line in re.findall(r"^make ([a-z -]+)", "\n".join(blocks("sh")), re.MULTILINE) for word in line.split()
    }
    named |= set(re.findall(r"`make ([a-z-]+)`|make ([a-z]+-check)", TEXT)[0]) - {""}
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert {"demo", "test", "docs"} <= named
    assert named - targets == set()


# --- settings --------------------------------------------------------------------------------------------------------------

PROMISED = {
    "PLATFORM_URL", "WORKSPACE_ID", "MOLECULE_TOKEN", "MOLECULE_APPROVER_TOKEN", "APPROVAL_TIMEOUT", "AUDIT_LOG_PATH",
    "AUDIT_LOG_ROTATE_AT", "APPROVAL_POLL_INTERVAL", "APPROVAL_USE_WEBSOCKET", "APPROVAL_ALLOW_HTTP",
    "WORKSPACE_CONFIG_PATH", "CONFIGS_DIR",
}  # fmt: skip
"""The variables of the command line's contract."""

_VARIABLE = re.compile(r"[A-Z]{2,}(?:_[A-Z]+)+\Z")


def variables_in(path: Path) -> set[str]:
    """The texts in a module that look like a variable's name."""
    texts = (node.value for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Constant))
    return {text for text in texts if isinstance(text, str) and _VARIABLE.match(text)}


def test_every_variable_stands_in_readme() -> None:
    """Those of the contract have a row, and those that the settings' code reads are the same."""
    rows = set(re.findall(r"^\| `([A-Z_]+)` \|", TEXT, re.MULTILINE))
    assert rows == PROMISED
    assert variables_in(ROOT / "molecule_approve" / "config.py") - {"DEFAULT_URL"} == PROMISED
    for module in ("places", "addresses", "cli/audit_tail", "cli/request", "cli/output"):
        # README writes the proxies' variables in small letters, as is usual.
        names = variables_in(ROOT / "molecule_approve" / f"{module}.py") - {"HTTPS_PROXY", "ALL_PROXY"}
        assert {name for name in names if f"`{name}`" not in TEXT} <= {"NO_PROXY"}


def test_the_example_of_config_yaml_is_understood(tmp_path: Path) -> None:
    """It holds every key that there is, and each value arrives."""
    path = tmp_path / "config.yaml"
    path.write_text(SNIPPETS["config"], encoding="utf-8")
    nowhere = Places(tmp_path / "state", tmp_path / "run")
    found = config.resolve(config.Flags(config=str(path)), {"CONFIGS_DIR": str(tmp_path)}, nowhere, at_terminal=False)
    assert found.platform_url.value == "https://platform.example.org"
    assert (found.timeout.value, found.poll_interval.value) == (900.0, 5.0)
    assert found.headers.value == {"X-Molecule-Org-Id": "42", "Origin": "https://canvas.example.org"}
    assert found.audit_rotate_at.value == 64 * 1024**2
    assert found.allowed_actions.value == {"deployer": frozenset({"approve"})}
    assert {key for key in (*APPROVE_KEYS, "headers") if f"\n  {key}:" not in SNIPPETS["config"]} == set()


# --- examples that are data ------------------------------------------------------------------------------------------------


def test_the_json_example_has_the_keys_of_the_program() -> None:
    """The same keys in the same order."""
    assert list(json.loads(SNIPPETS["json"])) == list(Verdict(Outcome.APPROVED).as_json())


def a_log(folder: Path) -> Path:
    """A log of five records, with another tool's line among them."""
    path = folder / "audit.jsonl"
    log = Journal(path)
    for number in range(5):
        time = f"2026-04-27T10:00:0{number}.000000Z"
        log.append(Record(time, "approval", "w", "w", "approve", "rm -rf x", "initiated", f"trace {number}"), patience=2.0)
        if number == 2:
            with path.open("a", encoding="ascii") as file:
                file.write('{"event_type":"delegation"}\n')
    return path


def verifies(path: Path) -> int:
    """What README's five lines say of a log."""
    lines = SNIPPETS["verify"]
    assert len(lines.splitlines()) == 5
    return subprocess.run([sys.executable, "-c", lines, str(path)], capture_output=True, timeout=60, check=False).returncode


def test_readmes_verifier_accepts_a_whole_log(tmp_path: Path) -> None:
    """And is not troubled by another tool's line."""
    assert verifies(a_log(tmp_path)) == 0


@pytest.mark.parametrize("damage", ["edit", "delete", "swap", "double", "behead"])
def test_readmes_verifier_finds_damage(tmp_path: Path, damage: str) -> None:
    """Whatever was done in the middle or at the beginning."""
    path = a_log(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    lines = {
        "edit": [lines[0], lines[1].replace(b"rm -rf x", b"rm -rf y"), *lines[2:]],
        "delete": [lines[0], *lines[2:]],
        "swap": [lines[1], lines[0], *lines[2:]],
        "double": [lines[0], lines[0], *lines[1:]],
        "behead": lines[1:],
    }[damage]
    path.write_bytes(b"".join(lines))
    assert verifies(path) == 1


# --- links, and what must not stand there ----------------------------------------------------------------------------------


def anchors() -> set[str]:
    """The names of the headings, as GitHub makes them."""
    headings = re.findall(r"^#{1,6} (.+)$", prose(), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_link_inside_leads_somewhere() -> None:
    """To a heading of the page, or to a file of the project."""
    links = re.findall(r"\]\(([^)]+)\)", prose())
    assert len(links) > 15
    inside = [link for link in links if not link.startswith("https://")]
    lost = [link for link in inside if link.startswith("#") and link[1:] not in anchors()]
    assert lost + [link for link in inside if not link.startswith("#") and not (ROOT / link).exists()] == []


def test_nothing_of_one_machine_stands_there() -> None:
    """No home folder, no temporary one, no trace of who wrote it where."""
    pages = [TEXT, (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")]
    assert [found for page in pages for found in re.findall(r"(?<![\w$.~])/(?:root|home|tmp|work|Users)\b", page)] == []


def test_the_changelog_has_its_form() -> None:
    """Keep a Changelog: what is not released first, then versions with a date; only the known kinds of change."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    releases = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert releases[0] == "Unreleased"
    assert [line for line in releases[1:] if not re.match(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d\Z", line)] == []
    kinds = set(re.findall(r"^### (.+)$", text, re.MULTILINE))
    assert kinds - {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"} == set()
