"""The wheel, built and installed for real without any extra: what is in it, and that it works from there."""

from __future__ import annotations

import email.message
import email.parser
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pages import ROOT

COMPLETIONS = {
    "completions/molecule-approve.bash": "share/bash-completion/completions/molecule-approve",
    "completions/_molecule-approve": "share/zsh/site-functions/_molecule-approve",
    "completions/molecule-approve.fish": "share/fish/vendor_completions.d/molecule-approve.fish",
}

# The libraries of the environment that runs the tests serve the fresh one, those of the extra hidden: nothing is downloaded.
_BORROW = """
import importlib.abc, sys
class _Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
        return None
sys.meta_path.insert(0, _Missing())
"""


def pip(*arguments: str) -> None:
    """Run pip quietly.

    Raises:
        AssertionError: it failed; what it said.

    """
    command = [sys.executable, "-m", "pip", *arguments, "--quiet", "--disable-pip-version-check", "--no-input"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, as `make package` builds it; without a fresh build environment where hatchling is at hand."""
    folder = tmp_path_factory.mktemp("wheel")
    at_hand = ["--no-build-isolation"] if importlib.util.find_spec("hatchling") else []
    pip("wheel", "--no-deps", *at_hand, "--wheel-dir", str(folder), str(ROOT))
    [found] = folder.iterdir()
    return found


@pytest.fixture(scope="module")
def contents(wheel: Path) -> Iterator[zipfile.ZipFile]:
    """What is in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        yield archive


@pytest.fixture(scope="module")
def metadata(contents: zipfile.ZipFile) -> email.message.Message:
    """What the wheel says of itself."""
    [name] = [name for name in contents.namelist() if name.endswith(".dist-info/METADATA")]
    return email.parser.Parser().parsestr(contents.read(name).decode())


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel in it and the extras out of reach; its folder."""
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=60)
    pip("--python", str(folder / "bin" / "python"), "install", "--no-deps", "--no-index", str(wheel))
    [site] = folder.glob("lib/python*/site-packages")
    (site / "hiding.py").write_text(_BORROW.format(names={"uvicorn", "sqlalchemy", "mcp", "mcp_types", "anyio"}))
    borrowed = sysconfig.get_paths()["purelib"]
    # Its own files come first, and the checkout, which the borrowed folder may point to, never.
    (site / "borrowed.pth").write_text(f"import hiding\n{borrowed}\n")
    return folder


def run(installed: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the installed console script in a folder and an environment of its own."""
    clean = {
        "PATH": os.defpath,
        "HOME": str(installed),
        "XDG_STATE_HOME": str(installed / "state"),
        "LANG": "C.UTF-8",
        **env,
    }
    command = [str(installed / "bin" / "molecule-approve"), *arguments]
    return subprocess.run(
        command, cwd=installed, env=clean, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False
    )


# --- what is in it ---------------------------------------------------------------------------------------------------------


def test_the_wheel_holds_the_package_and_nothing_else(contents: zipfile.ZipFile) -> None:
    """Every module of the package, its data, and no tests, benchmarks or tools."""
    files = set(contents.namelist())
    there = [path for path in (ROOT / "molecule_approve").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    package = {str(path.relative_to(ROOT)) for path in there}
    assert package <= files
    assert {"molecule_approve/py.typed", "molecule_approve/server/static/inbox.html"} <= package
    others = {name.split("/")[0] for name in files} - {"molecule_approve"}
    assert {name.rpartition(".")[2] for name in others} == {"dist-info", "data"}


def test_the_wheel_holds_the_licence(contents: zipfile.ZipFile) -> None:
    """The text itself, as it stands in the project."""
    [name] = [name for name in contents.namelist() if name.endswith("/licenses/LICENSE")]
    assert contents.read(name) == (ROOT / "LICENSE").read_bytes()


@pytest.mark.parametrize("source", COMPLETIONS)
def test_the_wheel_installs_the_completions(installed: Path, source: str) -> None:
    """Each where its shell looks, byte for byte, and not empty."""
    found = (installed / COMPLETIONS[source]).read_bytes()
    assert found == (ROOT / source).read_bytes()
    assert len(found) > 100


def test_the_wheel_installs_the_manual_pages(installed: Path) -> None:
    """All of them where `man` looks, byte for byte."""
    pages = {path.name: path.read_bytes() for path in (ROOT / "docs" / "man").iterdir()}
    assert {path.name: path.read_bytes() for path in (installed / "share" / "man" / "man1").iterdir()} == pages
    assert len(pages) > 20


@pytest.mark.skipif(shutil.which("man") is None, reason="man is not installed on this machine")
@pytest.mark.parametrize(
    "words", [("molecule-approve",), ("molecule-approve", "request"), ("molecule-approve-audit-verify",)]
)
def test_man_finds_the_installed_pages(installed: Path, words: tuple[str, ...]) -> None:
    """With the environment's share/man in MANPATH, by the command's words or with dashes between them."""
    env = {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "MANPATH": str(installed / "share" / "man")}
    found = subprocess.run(["man", "--where", *words], env=env, capture_output=True, text=True, timeout=30, check=False)
    assert found.stdout.splitlines()[0].endswith(f"/{'-'.join(words)}.1"), found.stderr


@pytest.mark.skipif(importlib.util.find_spec("hatchling") is None, reason="hatchling is not installed here")
def test_the_sdist_holds_what_the_tests_need(tmp_path: Path) -> None:
    """Whoever unpacks it can build, test and read: package, tests, pages, scripts."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60, check=True)
    [path] = tmp_path.iterdir()
    with tarfile.open(path) as archive:
        files = {name.partition("/")[2] for name in archive.getnames()}
    wanted = ("README.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "docs/cli.md", "docs/man/molecule-approve.1")
    assert {*wanted, "docs/images/overview.svg", ".ci/docs.py", ".ci/man.py", "tests/pages.py"} <= files


def test_the_metadata_says_what_the_project_says(metadata: email.message.Message) -> None:
    """Name, version, licence, Python, and README as the description."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    fields = ("Name", "Version", "License-Expression", "Requires-Python", "Summary")
    keys = ("name", "version", "license", "requires-python", "description")
    assert [metadata[field] for field in fields] == [project[key] for key in keys]
    assert "# molecule-approve" in metadata.get_payload()


def test_the_dependencies_carry_their_bounds(metadata: email.message.Message) -> None:
    """Typer's in both directions (0.29 costs 1.5 starts more), and the server's libraries only in their extra."""
    needs = metadata.get_all("Requires-Dist") or []
    plain = {need.replace(" ", "") for need in needs if "extra" not in need}
    assert plain & {"typer<0.29,>=0.26", "typer>=0.26,<0.29"}
    names = {re.split("[;<>=]", need)[0].lower() for need in plain}
    assert names == {"typer", "rich", "httpx", "h11", "websockets", "certifi", "pyyaml"}
    server = [need for need in needs if "extra == 'server'" in need or 'extra == "server"' in need]
    assert {need.split(">")[0].strip().lower() for need in server} == {
        "uvicorn",
        "httptools",
        "sqlalchemy",
        "alembic",
        "prometheus-client",
        "cryptography",
    }
    assert any(need.startswith("mcp<3,>=2.3; extra") for need in needs)


def test_the_oldest_versions_are_those_that_the_project_allows() -> None:
    """What `make lowest` installs: of each library the bound itself; of one without a bound any."""
    found = subprocess.run([sys.executable, ROOT / ".ci" / "lowest"], capture_output=True, text=True, timeout=30, check=True)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = ("server", "postgres", "openid", "passkeys", "proofs", "rules")
    needs = [*project["dependencies"], *(need for extra in extras for need in project["optional-dependencies"][extra])]
    bounds: dict[str, str] = {}
    for need in needs:
        name, _, version = need.split(",")[0].partition(">=")
        if not need.startswith(project["name"]):  # an extra that needs another one names the program itself
            bounds[name] = max(
                bounds.get(name, ""), version, key=lambda text: [int(part) for part in text.split(".") if part]
            )
    assert found.stdout.split() == [f"{name}=={version}" if version else name for name, version in bounds.items()]
    assert {"certifi", "typer==0.26"} <= set(found.stdout.split())


# --- that it works ---------------------------------------------------------------------------------------------------------


def test_it_is_the_installed_package_that_runs(installed: Path) -> None:
    """Not the checkout."""
    python = str(installed / "bin" / "python")
    text = "import molecule_approve, importlib.util as u; print(molecule_approve.__file__, u.find_spec('typer') is not None)"
    found = subprocess.run([python, "-c", text], cwd=installed, capture_output=True, text=True, timeout=30, check=True)
    path, typer = found.stdout.split()
    assert Path(path).is_relative_to(installed)
    assert typer == "True"


def test_the_console_script_says_its_version(installed: Path, metadata: email.message.Message) -> None:
    """The one of the metadata."""
    found = run(installed, "--version")
    assert (found.returncode, found.stdout) == (0, f"molecule-approve {metadata['Version']}\n")


def test_the_console_script_never_says_yes_to_help(installed: Path) -> None:
    """`request --help` prints the help and leaves with 2; `--help` alone is no gate."""
    assert run(installed, "--help").returncode == 0
    found = run(installed, "request", "--help")
    assert found.returncode == 2
    assert found.stdout.startswith("Usage: molecule-approve request")


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        (("serve",), "server"),
        (("approvers", "add", "alice"), "server"),
        (("approvers", "list"), "server"),
        (("mcp",), "mcp"),
    ],
)
def test_without_its_extra_a_command_says_how_to_install_it(installed: Path, command: tuple[str, ...], extra: str) -> None:
    """125, and the line that mends it; no traceback."""
    found = run(installed, *command)
    assert found.returncode == 125
    assert f"pip install 'molecule-approve[{extra}]'" in found.stderr
    assert "Traceback" not in found.stderr


def test_without_the_extra_asking_works_up_to_the_network(installed: Path) -> None:
    """Settings, audit log and client are all there; only nobody listens."""
    log = installed / "audit.jsonl"
    env = {"PLATFORM_URL": "http://127.0.0.1:1", "WORKSPACE_ID": "w", "AUDIT_LOG_PATH": str(log)}
    found = run(installed, "request", "--timeout", "1", "--json", "--", "x", **env)
    assert found.returncode == 125
    assert '"kind":"unavailable"' in found.stdout.replace(" ", "")
    assert '"initiated"' in log.read_text()
