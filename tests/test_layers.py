"""The house rules of the architecture page, as a table that the code is read against: who may import whom, and how large."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import pytest

import molecule_approve

pytestmark = pytest.mark.usefixtures("untraced")  # it runs nothing of the package

PACKAGE = "molecule_approve"
ROOT = Path(str(molecule_approve.__file__)).parent

FILE_LINES = 400
FUNCTION_LINES = 80

# A pattern names modules below the package: `wire`, `client.wait`, `server.*`. `__init__` is the package itself, `client`
# stands for client/__init__.py. To add a module, put it where its rule is; where a folder has one rule, nothing is to do.
GROUND = ("errors", "model", "executions", "clock", "safe_text", "paths", "limits", "strict_json", "database_url")
PURE = (
    "errors",
    "model",
    "executions",
    "clock",
    "safe_text",
    "lifecycle",
    "wire",
    "limits",
    "strict_json",
    "progress_fields",
    "database_url",
)


@dataclass(frozen=True)
class Rule:
    """These modules may import those of ours, and no others."""

    modules: tuple[str, ...]
    may_import: tuple[str, ...]


# The first rule that names a module holds.
RULES = (
    Rule(("errors", "clock", "safe_text", "limits", "unix_peer", "signals", "database_url"), ()),
    Rule(("model", "paths", "arguments"), ("errors",)),
    Rule(("strict_json", "executions"), ("model",)),
    Rule(("progress_fields",), ("errors", "model")),
    Rule(("lifecycle", "wire"), (*GROUND, "progress_fields")),
    # A folder's own file says what lives there, and imports nothing.
    Rule(
        ("policy", "settings", "audit", "client", "server", "gate", "cli", "cli.audit", "cli.hook", "cli.receipt", "doctor"),
        (),
    ),
    Rule(("proofs",), ()),
    Rule(("integrations", "integrations.hooks", "integrations.hook_files", "integrations.mcp"), ()),
    Rule(("audit.read", "audit.verify", "audit.report", "audit.export", "server.openid"), ()),
    Rule(("policy.*",), (*GROUND, "lifecycle", "policy.*", "proofs.canonical", "proofs.presence")),
    Rule(("proofs.*",), (*PURE, "proofs.*")),
    Rule(
        ("settings.policy_yaml", "settings.policy_cases"),
        (*GROUND, "lifecycle", "settings.*", "policy.*", "proofs.presence"),
    ),
    Rule(("settings.*",), (*GROUND, "settings.*", "policy.*")),
    # Whose a file is that root left behind is known where all folders of the user's are looked at.
    Rule(("audit.files", "audit.receipts"), ("errors", "model", "clock", "paths", "audit.*")),
    Rule(("audit.*",), ("errors", "model", "clock", "safe_text", "strict_json", "signals", "audit.*")),
    # `submit` for the interface of what can stop us; the wait knows the contract, never who implements it.
    Rule(("client.wait",), (*PURE, "client.platform", "client.reconnect", "client.retry", "client.submit")),
    Rule(("client.platform", "client.retry"), PURE),
    Rule(("client.submit", "client.reconnect"), (*PURE, "client.platform", "client.retry")),
    # Whose the folder of the socket is, is looked at by the same code that the server uses.
    Rule(("client.unix",), (*PURE, "paths", "unix_peer", "client.*")),
    Rule(("client.*",), (*PURE, "signals", "client.*")),
    # The server's own folder, socket and token lie in paths; no other part of it looks there.
    Rule(
        (
            *("server.starting", "server.credentials", "server.administration", "server.moving", "server.state_folder"),
            "server.plan",
        ),
        (*PURE, "paths", "audit.*", "policy.*", "server.*"),
    ),
    Rule(("server.http_connection",), (*PURE, "unix_peer", "server.*")),
    Rule(("server.*",), (*PURE, "audit.*", "policy.*", "proofs.*", "server.*")),
    Rule(
        ("gate.*",),
        (
            *(*PURE, "policy.*", "proofs.*", "gate.*", "audit.*"),
            *("client.platform", "client.wait", "client.submit", "client.retry"),
        ),
    ),
    # Puts a gate together from settings: the one place outside cli/ that knows which platform and which journal.
    Rule(("wiring",), (*PURE, "paths", "policy.*", "proofs.*", "settings.*", "gate.*", "client.*", "audit.*")),
    # What a caller in another thread needs of a gate.
    Rule(("calls",), (*GROUND, "client.platform")),
    Rule(("api",), (*GROUND, "arguments", "calls", "settings.*", "gate.*", "wiring")),
    # Looks at everything that a request needs, at the embedded server's approvers, and at installed hooks.
    Rule(
        ("doctor.*",),
        (
            *(*PURE, "paths", "policy.*", "settings.*", "gate.compose", "client.*", "audit.*", "server.reading"),
            *("integrations.hook_files.*", "proofs.*", "wiring", "doctor.*"),
        ),
    ),
    Rule(("integrations.hook_files.*",), (*GROUND, "integrations.hook_files.*")),
    Rule(
        ("integrations.hooks.*",),
        (
            *(*GROUND, "lifecycle", "wire", "wiring", "gate.*", "settings.*", "audit.record", "integrations.hooks.*"),
            *("client.platform", "client.submit", "client.retry"),
        ),
    ),
    Rule(
        ("integrations.mcp.*",),
        (*GROUND, "arguments", "calls", "wiring", "gate.*", "settings.*", "client.*", "integrations.mcp.*"),
    ),
    # Adapters: what one of them may know of us is what any caller of the Python API knows.
    Rule(("integrations.*",), (*GROUND, "api", "integrations.*")),
    Rule(("__init__",), ("api", "errors", "executions", "integrations.decorator", "model")),
    Rule(("__main__",), ("cli.main", "cli.completing", "errors", "model", "integrations.hooks.registry", "cli.hook.start")),
    Rule(("cli.*",), ("*",)),
)

# Who may import a library; one that does not stand here is nobody's.
LIBRARIES: dict[str, tuple[str, ...]] = {
    "httpx": ("client.http", "server.openid.exchanges"),
    "joserfc": ("server.openid.id_token",),
    "h11": ("client.http",),
    "httptools": ("server.call_reader",),
    "websockets": ("client.stream",),
    "sqlalchemy": ("server.database.*",),
    "alembic": ("server.database.upgrade", "server.database.migrations.*"),
    "psycopg": (
        *("server.database.address", "server.database.connecting", "server.database.listener", "server.database.postgres"),
    ),
    "prometheus_client": ("server.metrics",),
    "uvicorn": ("server.http_server", "server.http_connection", "server.connections"),
    "typer": ("cli.*",),
    "yaml": ("settings.strict_yaml",),
    "re2": ("settings.policy_yaml",),
    "cryptography": ("proofs.*", "server.passkeys"),
    "webauthn": ("server.passkeys",),
    "certifi": ("client.dial", "server.openid.exchanges"),
    "mcp": ("integrations.mcp.server", "integrations.mcp.stdio"),
    "mcp_types": ("integrations.mcp.server",),
    "anyio": ("integrations.mcp.server", "integrations.mcp.stdio"),
    "langchain": ("integrations.langchain",),
    "langchain_core": ("integrations.langchain",),
    "langgraph": ("integrations.langchain",),
    "agents": ("integrations.openai_agents",),
    "pydantic_ai": ("integrations.pydantic_ai",),
    "claude_agent_sdk": ("integrations.claude_agent_sdk",),
    "click": (),
    "rich": ("cli.terminal",),
}

# These compute the name of what they load from a table of their own; everywhere else a name must be readable here.
COMPUTED = ("__init__", "cli.app")


# --- reading the code --------------------------------------------------------------------------------------------------


_LOOKED_AT = ast.Import | ast.ImportFrom | ast.Call | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Module:
    """One file: its name below the package, its text, its tree."""

    name: str
    text: str
    tree: ast.Module
    is_package: bool


@dataclass(frozen=True)
class Import:
    """One import statement's target, with its whole dotted name."""

    target: str
    line: int


@cache
def _parsed(text: str) -> ast.Module:
    return ast.parse(text)


@cache
def _nodes(tree: ast.Module) -> list[ast.AST]:
    """What the rules look at: one walk through a tree takes longer than all of them."""
    return [node for node in ast.walk(tree) if isinstance(node, _LOOKED_AT)]


def read_package(root: Path) -> dict[str, Module]:
    """Every module of the package, by name."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = list(path.relative_to(root).with_suffix("").parts)
        is_package = parts[-1] == "__init__"
        if is_package and len(parts) > 1:
            parts.pop()
        text = path.read_text(encoding="utf-8")
        found[".".join(parts)] = Module(".".join(parts), text, _parsed(text), is_package)
    return found


def base_of(module: Module, level: int) -> list[str]:
    """The package that a relative import with that many dots starts from."""
    whole = [PACKAGE] if module.name == "__init__" else [PACKAGE, *module.name.split(".")]
    folder = whole if module.is_package else whole[:-1]
    return folder[: len(folder) - (level - 1)]


def imports(module: Module) -> Iterator[Import]:
    """Everything that the module imports, wherever the statement stands, for types alone as well."""
    for node in _nodes(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            base = [*(base_of(module, node.level) if node.level else []), *(node.module.split(".") if node.module else [])]
            for alias in node.names:
                yield Import(".".join([*base, alias.name]), node.lineno)
        elif isinstance(node, ast.Call) and _called(node) in {"import_module", "__import__"}:
            argument = node.args[0] if node.args else None
            if not isinstance(argument, ast.Constant) and module.name in COMPUTED:
                continue
            text = argument.value if isinstance(argument, ast.Constant) and isinstance(argument.value, str) else "?"
            dots = len(text) - len(text.lstrip("."))
            yield Import(".".join([*(base_of(module, dots) if dots else []), text.lstrip(".")]), node.lineno)


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def own_name(target: str, modules: dict[str, Module]) -> str | None:
    """The module of ours that a dotted name means; None where it is not ours."""
    first, *rest = target.split(".")
    if first != PACKAGE:
        return None
    while rest and ".".join(rest) not in modules:
        rest.pop()  # a name in a module, not a module
    return ".".join(rest) or "__init__"


def matches(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether one of the patterns names the module."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


# --- the rules ---------------------------------------------------------------------------------------------------------


def broken_rules(root: Path) -> list[str]:
    """Each breach as one sentence; none in a house that is in order."""
    modules = read_package(root)
    graph = {name: _own_imports(module, modules) for name, module in modules.items()}
    found = [sentence for module in modules.values() for sentence in _breaches(module, graph[module.name])]
    return found + [f"{' -> '.join(circle)} is a circle" for circle in circles(graph)]


def _own_imports(module: Module, modules: dict[str, Module]) -> dict[str, int]:
    found: dict[str, int] = {}
    for entry in imports(module):
        name = own_name(entry.target, modules)
        if name is not None:
            found.setdefault(name, entry.line)
    return found


def _breaches(module: Module, own: dict[str, int]) -> Iterator[str]:
    yield from _breaches_of_layers(module, own)
    yield from _breaches_of_libraries(module)
    if not ast.get_docstring(module.tree):
        yield f"{module.name} does not say what lives there"
    if len(module.text.splitlines()) > FILE_LINES:
        yield f"{module.name} has more than {FILE_LINES} lines"
    for node in _nodes(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _length(node) > FUNCTION_LINES:
            yield f"{module.name}:{node.lineno}: {node.name} has more than {FUNCTION_LINES} lines"


def _length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _breaches_of_layers(module: Module, own: dict[str, int]) -> Iterator[str]:
    rule = next((rule for rule in RULES if matches(module.name, rule.modules)), None)
    if rule is None:
        yield f"{module.name} stands in no layer"
        return
    for name, line in own.items():
        if not matches(name, rule.may_import):
            yield f"{module.name}:{line}: must not import {name}"


def _breaches_of_libraries(module: Module) -> Iterator[str]:
    for entry in imports(module):
        library = entry.target.split(".")[0]
        if library == PACKAGE or library in sys.stdlib_module_names:
            continue
        if not matches(module.name, LIBRARIES.get(library, ())):
            yield f"{module.name}:{entry.line}: must not import {library}"


def circles(graph: dict[str, dict[str, int]]) -> list[list[str]]:
    """The circles in who imports whom, each once."""
    found: list[list[str]] = []
    done: set[str] = set()

    def visit(name: str, way: list[str]) -> None:
        if name in way:
            found.append([*way[way.index(name) :], name])
        elif name not in done:
            for following in graph[name]:
                visit(following, [*way, name])
            done.add(name)

    for name in graph:
        visit(name, [])
    return found


# --- the house is in order ---------------------------------------------------------------------------------------------


def test_the_package_keeps_the_house_rules() -> None:
    """Layers, libraries, circles, docstrings and sizes."""
    assert broken_rules(ROOT) == []


def test_every_rule_is_about_somebody() -> None:
    """A table that names modules or libraries which are gone proves nothing."""
    modules = read_package(ROOT)
    patterns = [pattern for rule in RULES for pattern in rule.modules]
    assert [pattern for pattern in patterns if not any(fnmatchcase(name, pattern) for name in modules)] == []
    used = {entry.target.split(".")[0] for module in modules.values() for entry in imports(module)}
    assert set(LIBRARIES) - used == {"click"}


def class_homes(root: Path) -> dict[str, list[str]]:
    """In which modules a class of each name is defined; an underscore in front makes no other name of it."""
    found: dict[str, list[str]] = {}
    for module in read_package(root).values():
        for node in _nodes(module.tree):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name.lstrip("_"), []).append(module.name)
    return found


def test_one_class_has_the_name() -> None:
    """A reader who knows what a name means in one room knows it in every other."""
    assert {name: homes for name, homes in class_homes(ROOT).items() if len(homes) > 1} == {}


def test_a_doctored_package_with_one_name_for_two_classes_is_found_out(tmp_path: Path) -> None:
    """Also where one of them is private."""
    package = build(tmp_path, {"model": "class Link: ...\n", "client/wait": "def f():\n    class _Link: ...\n"})
    assert class_homes(package)["Link"] == ["client.wait", "model"]


EXPANDS = {"settings.values"}
"""Where a text's ``~`` becomes a folder: elsewhere the exception of an unknown user would be told as a fault of ours."""


def home_folders(root: Path) -> list[str]:
    """Which modules expand a ``~`` or ask for the home folder themselves."""
    return [
        module.name
        for module in read_package(root).values()
        for node in _nodes(module.tree)
        if isinstance(node, ast.Call) and (_called(node) == "expanduser" or ast.unparse(node) == "Path.home()")
    ]


def test_one_module_expands_a_home_folder() -> None:
    """All others get the sentence that it has for a user who does not exist."""
    assert set(home_folders(ROOT)) == EXPANDS


def test_a_doctored_package_that_expands_a_home_folder_is_found_out(tmp_path: Path) -> None:
    """By pathlib and by os.path, and by its other name."""
    files = {"wire": "Path('~').expanduser()\n", "paths": "os.path.expanduser('~')\n", "clock": "Path.home()\n"}
    assert home_folders(build(tmp_path, files)) == ["clock", "paths", "wire"]


# --- the checker can fail ----------------------------------------------------------------------------------------------

DOC = '"""A doctored module."""\n'


def build(root: Path, files: dict[str, str]) -> Path:
    """A small package: file names without their ending, every module with a docstring."""
    package = root / PACKAGE
    for name, text in {"__init__": "", "errors": "", "model": "from .errors import X\n", **files}.items():
        path = package / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(DOC + text, encoding="utf-8")
    return package


GOOD = {
    "client/http": "import httpx\nfrom molecule_approve.errors import X\nfrom . import dial\n",
    "client/dial": "from ..model import Endpoint\n",
    "server/app": "from . import http_server\n",
    "server/http_server": "import uvicorn\n",
    "cli/main": "import typer\nfrom molecule_approve import model\nfrom molecule_approve.client.http import Http\n",
    "__main__": "from .cli.main import main\n",
}


def test_a_good_package_breaks_no_rule(tmp_path: Path) -> None:
    """What the doctored ones below are made from."""
    assert broken_rules(build(tmp_path, GOOD)) == []


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        # layers: absolute, relative, through the folder, for types only, inside a function, by import_module
        ({"client/dial": "import molecule_approve.server.app\n"}, "client.dial:2: must not import server.app"),
        ({"client/dial": "from molecule_approve.server.app import app\n"}, "client.dial:2: must not import server.app"),
        ({"client/dial": "from molecule_approve.server import app\n"}, "client.dial:2: must not import server.app"),
        ({"client/dial": "from ..server.app import app\n"}, "client.dial:2: must not import server.app"),
        ({"client/dial": "from ..server import app as other\n"}, "client.dial:2: must not import server.app"),
        ({"client/dial": "from .. import cli\n", "cli/__init__": ""}, "client.dial:2: must not import cli"),
        (
            {"client/rest": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..cli.main import X\n"},
            "client.rest:4: must not import cli.main",
        ),
        ({"client/rest": "def f():\n    from ..cli.main import X\n"}, "client.rest:3: must not import cli.main"),
        (
            {"client/rest": "import importlib\nimportlib.import_module('molecule_approve.cli.main')\n"},
            "client.rest:3: must not import cli.main",
        ),
        (
            {"client/rest": "from importlib import import_module\nimport_module('..cli.main', __package__)\n"},
            "client.rest:3: must not import cli.main",
        ),
        ({"client/dial": "x = 'httpx'\n__import__(x)\n"}, "client.dial:3: must not import ?"),
        ({"client/dial": "__import__()\n"}, "client.dial:2: must not import ?"),
        ({"server/app": "from molecule_approve.client.dial import X\n"}, "server.app:2: must not import client.dial"),
        ({"server/app": "from molecule_approve.cli.main import X\n"}, "server.app:2: must not import cli.main"),
        ({"server/app": "from molecule_approve.paths import X\n", "paths": ""}, "server.app:2: must not import paths"),
        (
            {"server/app": "from molecule_approve.settings.resolve import X\n", "settings/resolve": ""},
            "server.app:2: must not import settings.resolve",
        ),
        ({"errors": "from .model import X\n", "model": ""}, "errors:2: must not import model"),
        ({"wire": "from .policy.roles import X\n", "policy/roles": ""}, "wire:2: must not import policy.roles"),
        ({"settings/resolve": "from ..wire import X\n", "wire": ""}, "settings.resolve:2: must not import wire"),
        ({"audit/chain": "from molecule_approve.wire import X\n", "wire": ""}, "audit.chain:2: must not import wire"),
        ({"client/wait": "from .http import X\n"}, "client.wait:2: must not import client.http"),
        ({"client/platform": "from .dial import X\n"}, "client.platform:2: must not import client.dial"),
        ({"gate/gate": "from ..client.http import X\n"}, "gate.gate:2: must not import client.http"),
        (
            {"gate/gate": "from ..settings.resolve import X\n", "settings/resolve": ""},
            "gate.gate:2: must not import settings.resolve",
        ),
        ({"gate/gate": "from ..server import app\n"}, "gate.gate:2: must not import server.app"),
        ({"__init__": "def f():\n    from .cli.main import X\n"}, "__init__:3: must not import cli.main"),
        (
            {"__init__": "from .settings.resolve import X\n", "settings/resolve": ""},
            "__init__:2: must not import settings.resolve",
        ),
        ({"__main__": "from .client.http import X\n"}, "__main__:2: must not import client.http"),
        ({"cli/__init__": "from .main import X\n"}, "cli:2: must not import cli.main"),
        ({"elsewhere": ""}, "elsewhere stands in no layer"),
        ({"elsewhere/deep": ""}, "elsewhere.deep stands in no layer"),
        # libraries
        ({"client/dial": "import httpx\n"}, "client.dial:2: must not import httpx"),
        ({"client/dial": "def f():\n    import h11\n"}, "client.dial:3: must not import h11"),
        ({"client/http": "from websockets.sync import client\n"}, "client.http:2: must not import websockets"),
        ({"server/app": "import sqlalchemy as sa\n"}, "server.app:2: must not import sqlalchemy"),
        ({"server/app": "import uvicorn\n"}, "server.app:2: must not import uvicorn"),
        ({"client/dial": "import starlette.requests\n"}, "client.dial:2: must not import starlette"),
        ({"gate": "import typer\n"}, "gate:2: must not import typer"),
        ({"gate": "from rich import console\n"}, "gate:2: must not import rich"),
        ({"lifecycle": "import yaml\n"}, "lifecycle:2: must not import yaml"),
        ({"cli/main": "import click\n"}, "cli.main:2: must not import click"),
        ({"cli/main": "import requests\n"}, "cli.main:2: must not import requests"),
        # sizes
        ({"errors": "x = 1\n" * 400}, "errors has more than 400 lines"),
        ({"errors": "def f():\n" + "    x = 1\n" * 80}, "errors:2: f has more than 80 lines"),
        ({"errors": "class A:\n    async def f(self):\n" + "        x = 1\n" * 80}, "errors:3: f has more than 80 lines"),
    ],
)
def test_a_doctored_package_is_found_out(tmp_path: Path, files: dict[str, str], complaint: str) -> None:
    """Each rule, broken once, is the one complaint."""
    assert broken_rules(build(tmp_path, {**GOOD, **files})) == [complaint]


def test_two_modules_may_compute_what_they_load(tmp_path: Path) -> None:
    """The package's public names and the commands are tables."""
    computed = "from importlib import import_module\nname = 'x'\nimport_module(f'.{name}', __name__)\n"
    assert broken_rules(build(tmp_path, {"__init__": computed, "cli/app": computed})) == []
    assert broken_rules(build(tmp_path, {"lifecycle": computed})) == ["lifecycle:4: must not import ?"]


def test_a_module_without_a_docstring_is_found_out(tmp_path: Path) -> None:
    """A comment is none."""
    package = build(tmp_path, {})
    (package / "lifecycle.py").write_text("# Who may ask.\n", encoding="utf-8")
    assert broken_rules(package) == ["lifecycle does not say what lives there"]


@pytest.mark.parametrize(
    ("files", "circle"),
    [
        ({"audit/a": "from . import b\n", "audit/b": "from .a import X\n"}, "audit.a -> audit.b -> audit.a is a circle"),
        ({"audit/a": "from .a import X\n"}, "audit.a -> audit.a is a circle"),
        (
            {
                "audit/a": "from .b import X\n",
                "audit/b": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .c import X\n",
                "audit/c": "def f():\n    from .a import X\n",
            },
            "audit.a -> audit.b -> audit.c -> audit.a is a circle",
        ),
    ],
)
def test_a_circle_is_found_out(tmp_path: Path, files: dict[str, str], circle: str) -> None:
    """Of one, two or three modules, for types or inside a function alike."""
    assert broken_rules(build(tmp_path, files)) == [circle]


def test_the_largest_allowed_file_and_function_pass(tmp_path: Path) -> None:
    """The bounds themselves are allowed."""
    function = "def f():\n" + "    x = 1\n" * (FUNCTION_LINES - 1)
    filler = "x = 1\n" * (FILE_LINES - 1 - FUNCTION_LINES)
    assert broken_rules(build(tmp_path, {"errors": function + filler})) == []
