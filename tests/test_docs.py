"""The pages say what is true: generated parts, manual pages, command lines, variables, links, and examples that are data.

The examples that are programs are run in tests/integration/test_readme_scripts.py and test_readme_tools.py.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from molecule_approve.audit.journal import Journal
from molecule_approve.audit.record import Record
from molecule_approve.cli.app import COMMANDS, app
from molecule_approve.cli.serve import plan_of
from molecule_approve.errors import UsageError
from molecule_approve.integrations.mcp.requests import refusal
from molecule_approve.model import Outcome, Verdict
from molecule_approve.paths import Places, SystemPlace
from molecule_approve.policy.hook_rules import Then, decide
from molecule_approve.server.plan import OpenIdPlan
from molecule_approve.settings import resolve
from molecule_approve.settings.config_yaml import APPROVE_KEYS, GROUPS, SERVER_KEYS, SERVER_LISTS
from molecule_approve.settings.server_settings import ServerFlags, resolve_server
from tests.pages import NAMED, PAGES, ROOT, SNIPPETS, TEXT, blocks, prose

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


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder with README.md and docs/ as they are."""
    shutil.copy(ROOT / "README.md", tmp_path)
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    return tmp_path


DOCTORED = (
    ("README.md", "| 77 | denied", "| 78 | denied"),
    ("docs/cli.md", "| 124 | timed out", "| 123 | timed out"),
    ("docs/cli.md", "  --result-file PATH", "  --result-path PATH"),
    ("docs/json.md", "| `already_used` | 125", "| `already_used` | 0"),
    ("docs/settings.md", "| `APPROVAL_TIMEOUT` | 300", "| `APPROVAL_TIMEOUT` | 3000"),
    ("docs/man/molecule-approve-request.1", r"\fB\-\-result\-file\fR", r"\fB\-\-result\-path\fR"),
)
"""A page, a beginning of a line in each of its generated parts, and what somebody made of it."""


def test_what_is_out_of_date_is_found_and_mended(copy: Path) -> None:
    """--check names the page and the line of each and changes nothing; without it every page is as it should be."""
    pages = {copy / page: (ROOT / page).read_bytes() for page, _, _ in DOCTORED}
    for page, line, doctored in DOCTORED:
        (copy / page).write_bytes((copy / page).read_bytes().replace(line.encode(), doctored.encode(), 1))
    before = {path: path.read_bytes() for path in pages}
    found = docs("--check", str(copy))
    assert found.returncode == 1
    wanted = [text for page, line, doctored in DOCTORED for text in (f"--- {page}", f"-{doctored}", f"+{line}")]
    assert [text for text in wanted if f"\n{text}" not in f"\n{found.stdout}"] == []
    assert {path: path.read_bytes() for path in pages} == before
    assert docs(str(copy)).returncode == 0
    assert {path: path.read_bytes() for path in pages} == pages


def test_a_part_that_is_missing_is_an_error(copy: Path) -> None:
    """A marker that somebody removed does not pass for a page without faults."""
    path = copy / "docs" / "settings.md"
    path.write_text(path.read_text(encoding="utf-8").replace("<!-- generated: environment -->", ""), encoding="utf-8")
    found = docs("--check", str(copy))
    assert found.returncode == 1
    assert "the generated parts should be" in found.stderr


# --- manual pages ----------------------------------------------------------------------------------------------------------

MANUAL = sorted((ROOT / "docs" / "man").glob("*.1"))


def test_a_manual_page_of_a_command_that_is_gone_goes_too(copy: Path) -> None:
    """--check names it, and `make docs` removes it; one that is missing comes back."""
    gone = copy / "docs" / "man" / "molecule-approve-ask.1"
    gone.write_text('.TH MOLECULE-APPROVE-ASK 1 "2026-01-01"\n', encoding="utf-8")
    (copy / "docs" / "man" / "molecule-approve-wait.1").unlink()
    found = docs("--check", str(copy))
    assert found.returncode == 1
    assert "--- docs/man/molecule-approve-ask.1" in found.stdout
    assert "--- docs/man/molecule-approve-wait.1" in found.stdout
    assert docs(str(copy)).returncode == 0
    assert sorted(path.name for path in gone.parent.iterdir()) == [path.name for path in MANUAL]


def test_every_command_has_a_manual_page() -> None:
    """Families and their members too."""
    names = {path.stem for path in MANUAL}
    assert {f"molecule-approve-{command}" for command in COMMANDS} <= names
    assert {"molecule-approve", "molecule-approve-audit-verify", "molecule-approve-approvers-add"} <= names


@pytest.mark.skipif(shutil.which("mandoc") is None, reason="mandoc is not installed on this machine")
def test_mandoc_finds_no_fault_in_the_manual_pages() -> None:
    """Not even a warning."""
    command = ["mandoc", "-T", "lint", "-W", "warning", *map(str, MANUAL)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (found.returncode, found.stdout + found.stderr) == (0, "")


@pytest.mark.skipif(shutil.which("mandoc") is None, reason="mandoc is not installed on this machine")
def test_a_manual_page_shows_what_help_says() -> None:
    """Every option of `request`, its placeholder and its sentence, and the exit codes, as a reader sees them."""
    command = ["mandoc", "-T", "utf8", "-O", "width=200", str(ROOT / "docs" / "man" / "molecule-approve-request.1")]
    page = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    seen = re.sub(".\b", "", page)  # bold and underlined letters are overstruck
    assert "molecule-approve request [OPTIONS] ACTION" in seen
    assert "--context KEY=VALUE" in seen
    assert "How long to wait for a decision: 90s, 5m, 1h30m. [env:APPROVAL_TIMEOUT]" in seen
    assert re.search(r"^ +77 +a person or a rule of the server denied it", seen, re.MULTILINE)


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
    """Every command line in the pages' blocks and in their running text."""
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
            # `receipt ID` is short for `receipt show ID`.
            short = command.commands.get("show") if command.name == "receipt" else None
            command, known = command.commands.get(word) or short, {"--help"}
            if command is None:
                return f"{word} is no command in {words}"
        elif not command.params:
            return f"{word} is one word too many in {words}"
    return None


def test_every_command_line_can_be_understood() -> None:
    """Commands and options exist under the names that the pages use."""
    lines = shown()
    assert len(lines) > 60
    assert [found for words in lines if (found := complaint(words))] == []


@pytest.mark.parametrize(
    "line",
    [
        "molecule-approve rerun -- rm",
        "molecule-approve request --reasons x -- y",
        "FOO=1 molecule-approve audit shows",
        "x | sh -c 'molecule-approve doctors && y'",
        'MOLECULE=$(molecule-approve approvers rename "x")',
    ],
)
def test_a_command_line_that_is_wrong_is_found_out(line: str) -> None:
    """Also behind variables, in pipes, in quotes and in substitutions."""
    assert [words for words in command_lines(line) if complaint(words)] != []


def test_every_make_target_exists() -> None:
    """What the pages tell to make, the Makefile makes."""
    named = {
        word for line in re.findall(r"^make ([a-z -]+)", "\n".join(blocks("sh")), re.MULTILINE) for word in line.split()
    }
    named |= set(re.findall(r"`make ([a-z-]+)`|make ([a-z]+-check)", TEXT)[0]) - {""}
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert {"demo", "test", "docs"} <= named
    assert named - targets == set()


def test_every_way_to_install_names_what_there_is() -> None:
    """pip, pipx and uv, each with an extra of the project."""
    lines = [shlex.split(line, comments=True) for line in SNIPPETS["install"].splitlines()]
    assert [line[:-1] for line in lines] == [["pip", "install"], ["pipx", "install"], ["uv", "tool", "install"]]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert {line[-1] for line in lines} <= {f".[{extra}]" for extra in extras}


# --- settings --------------------------------------------------------------------------------------------------------------

PROMISED = {
    "PLATFORM_URL", "WORKSPACE_ID", "MOLECULE_TOKEN", "MOLECULE_APPROVER_TOKEN", "APPROVAL_TIMEOUT", "AUDIT_LOG_PATH",
    "AUDIT_LOG_ROTATE_AT", "APPROVAL_POLL_INTERVAL", "APPROVAL_USE_WEBSOCKET", "APPROVAL_ALLOW_HTTP",
    "WORKSPACE_CONFIG_PATH", "CONFIGS_DIR", "MOLECULE_SERVER_CONFIG",
}  # fmt: skip
"""The variables of the command line's contract."""

_VARIABLE = re.compile(r"[A-Z]{2,}(?:_[A-Z]+)+\Z")


def variables_in(path: Path) -> set[str]:
    """The texts in a module that look like a variable's name."""
    texts = (node.value for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Constant))
    return {text for text in texts if isinstance(text, str) and _VARIABLE.match(text)}


def test_every_variable_stands_in_the_pages() -> None:
    """Those of the contract have a row, and those that the settings' code reads are the same."""
    rows = set(re.findall(r"^\| `([A-Z_]+)` \|", TEXT, re.MULTILINE))
    assert rows == PROMISED
    settings = ROOT / "molecule_approve" / "settings"
    readers = ("resolve", "given", "server_settings")
    assert set().union(*(variables_in(settings / f"{reader}.py") for reader in readers)) == PROMISED
    for module in ("paths", "settings/urls", "cli/audit/tail", "cli/request", "cli/output"):
        # README writes the proxies' variables in small letters, as is usual.
        names = variables_in(ROOT / "molecule_approve" / f"{module}.py") - {"HTTPS_PROXY", "ALL_PROXY"}
        assert {name for name in names if f"`{name}`" not in TEXT} <= {"NO_PROXY"}


def test_the_example_of_config_yaml_is_understood(tmp_path: Path) -> None:
    """It holds every key that there is, and each value arrives."""
    path = tmp_path / "config.yaml"
    path.write_text(SNIPPETS["config"], encoding="utf-8")
    nowhere = Places(tmp_path / "state", tmp_path / "run")
    found = resolve.resolve(resolve.Flags(config=str(path)), {"CONFIGS_DIR": str(tmp_path)}, nowhere, at_terminal=False)
    assert found.platform_url.value == "https://platform.example.org"
    assert (found.timeout.value, found.poll_interval.value) == (900.0, 5.0)
    assert found.headers.value == {"X-Molecule-Org-Id": "42", "Origin": "https://canvas.example.org"}
    assert found.audit_rotate_at.value == 64 * 1024**2
    assert found.allowed_actions.value == {"deployer": frozenset({"approve"})}
    assert [rule.then for rule in found.hooks.value] == ["pass", "ask"]
    assert {key for key in (*APPROVE_KEYS, "headers", "hooks") if f"\n  {key}:" not in SNIPPETS["config"]} == set()


def test_the_example_of_server_yaml_is_understood(tmp_path: Path) -> None:
    """It holds every key that there is."""
    path = tmp_path / "server.yaml"
    path.write_text(SNIPPETS["server-config"], encoding="utf-8")
    found = resolve_server(ServerFlags(config=str(path)), {})
    assert set(found.sources()) == set(found.__slots__) - {"path"} | {"openid.client_secret_file"}
    keys = {key.rpartition(".")[2] for key in (*SERVER_KEYS, *SERVER_LISTS, GROUPS)}
    assert {key for key in keys if f"{key}: " not in SNIPPETS["server-config"]} == set()


def test_the_example_of_a_provider_is_understood(tmp_path: Path) -> None:
    """The server gets it as it stands."""
    path = tmp_path / "server.yaml"
    path.write_text(SNIPPETS["openid-config"], encoding="utf-8")
    plan = plan_of(resolve_server(ServerFlags(config=str(path)), {}), Places(tmp_path / "state", tmp_path / "run"))
    assert plan.openid == OpenIdPlan(
        issuer="https://login.example.org/realms/staff",
        client_id="molecule-approve",
        client_secret_file=tmp_path / "openid-secret",
        approvers=("alice@example.org",),
        groups_claim="groups",
        groups={"approvers": ("platform-team", "security")},
        scopes=("email", "profile", "groups"),
    )


def test_the_example_of_the_system_s_file_is_understood(tmp_path: Path) -> None:
    """Every key that it locks holds."""
    path = tmp_path / "config.yaml"
    path.write_text(SNIPPETS["system-config"], encoding="utf-8")
    place = SystemPlace(path, os.geteuid())
    nowhere = Places(tmp_path / "state", tmp_path / "run", place)
    environ = {"CONFIGS_DIR": "/nowhere"}
    found = resolve.resolve(resolve.Flags(), environ, nowhere, at_terminal=False)
    assert found.hooks.source == f"{path}: approve.hooks"
    assert found.allow_http.source.startswith(f"{path}, line ")
    assert found.approver_keys.source.startswith(f"{path}, line ")
    for key in ("platform_url", "workspace_id", "audit_log", "require_verified_approver"):
        assert getattr(found, key).source.startswith(f"{path}, line ")
        flags: Any = {key: "/other"}
        with pytest.raises(UsageError, match="which is locked"):
            resolve.resolve(resolve.Flags(**flags), environ, nowhere, at_terminal=False)


def test_the_example_of_rules_is_understood(tmp_path: Path) -> None:
    """Each rule of the page about agents does what stands beside it."""
    path = tmp_path / "config.yaml"
    path.write_text(SNIPPETS["hooks"], encoding="utf-8")
    nowhere = Places(tmp_path / "state", tmp_path / "run")
    found = resolve.resolve(resolve.Flags(config=str(path)), {"CONFIGS_DIR": str(tmp_path)}, nowhere, at_terminal=False)
    calls = (("Bash", "git status"), ("Bash", "terraform destroy"), ("mcp__memory__read", None), ("Write", None))
    assert [decide(found.hooks.value, *call) for call in calls] == [Then.PASS, Then.DENY, Then.PASS, Then.ASK]


# --- examples that are data ------------------------------------------------------------------------------------------------


def test_the_json_example_has_the_keys_of_the_program() -> None:
    """The same keys in the same order."""
    assert list(json.loads(SNIPPETS["json"])) == list(Verdict(Outcome.APPROVED).as_json())


def mcp_hosts() -> dict[str, dict[str, Any]]:
    """How each host of docs/mcp.md starts the server, by the name of its snippet."""
    words = shlex.split(SNIPPETS["mcp-claude-code"])
    start = words.index("--")
    found = {"mcp-claude-code": {"command": words[start + 1], "args": words[start + 2 :]}}
    found["mcp-codex"] = tomllib.loads(SNIPPETS["mcp-codex"])["mcp_servers"]["approvals"]
    for name in ("mcp-gemini", "mcp-cursor", "mcp-claude-desktop"):
        found[name] = json.loads(SNIPPETS[name])["mcpServers"]["approvals"]
    return found


@pytest.mark.parametrize("name", mcp_hosts())
def test_every_host_starts_a_server_that_there_is(name: str) -> None:
    """With options that it knows, and with more time for a call than a call takes."""
    host = mcp_hosts()[name]
    assert Path(host["command"]).name == "molecule-approve"
    assert host["args"][0] == "mcp"
    assert complaint(host["args"]) is None
    assert host.get("tool_timeout_sec", 300) >= 60
    assert host.get("timeout", 300_000) >= 60_000


def test_the_report_of_a_tool_has_the_keys_of_the_program() -> None:
    """The same keys, and an approval for the text that was requested."""
    shown = json.loads(SNIPPETS["mcp-report"])
    assert set(shown) == set(refusal(UsageError("x")))
    assert (shown["allowed"], shown["approved_action"]) == (True, shown["action"])


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
    """What the five lines of docs/audit-log.md say of a log."""
    lines = SNIPPETS["verify"]
    assert len(lines.splitlines()) == 5
    return subprocess.run([sys.executable, "-c", lines, str(path)], capture_output=True, timeout=60, check=False).returncode


def test_the_five_line_verifier_accepts_a_whole_log(tmp_path: Path) -> None:
    """And is not troubled by another tool's line."""
    assert verifies(a_log(tmp_path)) == 0


@pytest.mark.parametrize("damage", ["edit", "delete", "swap", "double", "behead"])
def test_the_five_line_verifier_finds_damage(tmp_path: Path, damage: str) -> None:
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


def anchors(page: str) -> set[str]:
    """The names of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#{1,6} (.+)$", prose(PAGES[page]), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: str) -> list[str]:
    """The targets of a page's links and pictures."""
    return re.findall(r"(?:\]\(|<img src=\")([^)\s\"]+)[)\"]", prose(PAGES[page]))


def is_lost(page: str, link: str) -> bool:
    """Whether a link inside leads nowhere: to no file of the project, or to no heading of the page."""
    path, _, anchor = link.partition("#")
    target = (ROOT / page).parent / path if path else ROOT / page
    if not target.resolve().is_relative_to(ROOT.resolve()) or not target.exists():
        return True
    return bool(anchor) and anchor not in anchors(str(target.resolve().relative_to(ROOT.resolve())))


def test_every_link_inside_leads_somewhere() -> None:
    """To a heading of a page, or to a file of the project."""
    found = [(page, link) for page in PAGES for link in links(page) if not link.startswith("https://")]
    assert len(found) > 40
    assert [(page, link) for page, link in found if is_lost(page, link)] == []


@pytest.mark.parametrize("link", ["docs/nowhere.md", "docs/cli.md#nowhere", "#nowhere", "../elsewhere.md"])
def test_a_link_that_leads_nowhere_is_found_out(link: str) -> None:
    """A missing page, a missing heading, and a file outside the project."""
    assert is_lost("README.md", link)


def test_every_page_is_reached_from_readme() -> None:
    """README names each page of docs/, and CONTRIBUTING.md."""
    assert {page for page in PAGES if page != "README.md"} - {link.partition("#")[0] for link in links("README.md")} == set()


def test_a_snippet_that_stands_twice_is_the_same() -> None:
    """README and docs/ show the same quick start, so that one test runs both."""
    assert [name for name, block in NAMED if block != SNIPPETS[name]] == []


def test_readme_stays_short() -> None:
    """It is read in two minutes."""
    assert len(PAGES["README.md"].splitlines()) <= 180


def test_the_pictures_are_small_and_have_a_description() -> None:
    """Each picture in docs/images is shown with a text for who cannot see it, and weighs less than 60 KB."""
    page = PAGES["README.md"]
    shown = {path: text for text, path in re.findall(r"!\[([^\]]+)\]\(([^)]+)\)", page)}
    shown |= dict(re.findall(r'<img src="([^"]+)" width="\d+" alt="([^"]+)">', page))
    files = {str(path.relative_to(ROOT)): path.stat().st_size for path in (ROOT / "docs" / "images").iterdir()}
    assert set(files) == set(shown)
    assert min(map(len, shown.values())) > 50
    assert max(files.values()) < 60_000


def test_the_top_level_holds_what_the_architecture_names() -> None:
    """No new file or folder beside the package without a place on the page for who changes the code."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if found.returncode != 0:
        pytest.skip("this is not a git checkout")
    there = {path.partition("/")[0] for path in found.stdout.split("\0") if path}
    named = re.search(r"<!-- top level -->\n```text\n(.*?)```", PAGES["docs/architecture.md"], re.DOTALL)
    assert named is not None
    assert there == {line.split()[0].rstrip("/") for line in named[1].splitlines()}


def test_nothing_of_one_machine_stands_there() -> None:
    """No home folder, no temporary one, no trace of who wrote it where; in no page and no drawing."""
    files = [*MANUAL, *(ROOT / "docs" / "images").glob("*.svg"), ROOT / "CHANGELOG.md"]
    pages = [TEXT, *(path.read_text(encoding="utf-8") for path in files)]
    assert [found for page in pages for found in re.findall(r"(?<![\w$.~])/(?:root|home|tmp|work|Users)\b", page)] == []


def test_the_changelog_has_its_form() -> None:
    """Keep a Changelog: what is not released first, then versions with a date; only the known kinds of change."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    releases = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert releases[0] == "Unreleased"
    assert [line for line in releases[1:] if not re.match(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d\Z", line)] == []
    kinds = set(re.findall(r"^### (.+)$", text, re.MULTILINE))
    assert kinds - {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"} == set()


# --- the architecture ------------------------------------------------------------------------------------------------------

_PLACE = re.compile(r"`([\w./]+\.py)`(?:\s+`([\w.]+)`)?")


def definitions(path: Path) -> set[str]:
    """What a module defines: functions, classes, and `Class.method`."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            inner = (one.name for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef))
            found |= {f"{node.name}.{name}" for name in inner}
    return found


def is_there(place: str, name: str) -> bool:
    """Whether a page's place in the code exists: a file of the project or the package, and what is named in it."""
    path = next((path for path in (ROOT / place, ROOT / "molecule_approve" / place) if path.exists()), None)
    return path is not None and (not name or name in definitions(path))


def test_every_place_in_the_code_exists() -> None:
    """The walks of docs/architecture.md and the house rules lead along functions that are there."""
    places = _PLACE.findall(PAGES["docs/architecture.md"] + PAGES["CONTRIBUTING.md"])
    assert len([name for _, name in places if name]) > 50
    assert [(place, name) for place, name in places if not is_there(place, name)] == []


@pytest.mark.parametrize(("place", "name"), [("nowhere.py", ""), ("gate.py", "nothing"), ("gate.py", "Gate.nothing")])
def test_a_place_that_is_gone_is_found_out(place: str, name: str) -> None:
    """A file, a function or a method that was renamed."""
    assert not is_there(place, name)
