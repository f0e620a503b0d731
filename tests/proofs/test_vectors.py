"""The statement, the signature and the instructions of docs/receipts.md, in three languages."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from molecule_approve.proofs.ssh import check_ssh_signature, parse_ssh_key
from molecule_approve.proofs.statement import TYPE, parse_statement
from tests.pages import SNIPPETS

STATEMENT = parse_statement(SNIPPETS["statement"].removesuffix("\n"))


def run(folder: Path, command: list[str], text: str) -> str:
    """What the instructions print, in a folder with the files that the page names."""
    (folder / "tag").write_text(f"{TYPE}\n", encoding="utf-8")
    (folder / "statement").write_text(STATEMENT.text, encoding="utf-8")
    (folder / "statement.sig").write_text(SNIPPETS["statement-signature"], encoding="utf-8")
    (folder / "allowed").write_text(SNIPPETS["statement-allowed"], encoding="utf-8")
    return subprocess.run([*command, text], cwd=folder, capture_output=True, text=True, check=True, timeout=30).stdout


def test_the_signature_of_the_page_is_the_one_of_the_statement() -> None:
    """Our own code takes it."""
    key = parse_ssh_key(SNIPPETS["statement-allowed"].partition(" ")[2])
    check_ssh_signature(SNIPPETS["statement-signature"], key, STATEMENT.signed_line)


def test_a_shell_checks_it(tmp_path: Path) -> None:
    """With what every system has."""
    assert run(tmp_path, ["sh", "-ec"], SNIPPETS["statement-shell"]).startswith('Good "molecule-approve@v1" signature')


def test_python_finds_the_signed_line(tmp_path: Path) -> None:
    """Without this package."""
    assert run(tmp_path, [sys.executable, "-Ic"], SNIPPETS["statement-python"]).encode() == STATEMENT.signed_line


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_javascript_finds_the_signed_line(tmp_path: Path) -> None:
    """Without any library."""
    assert run(tmp_path, ["node", "-e"], SNIPPETS["statement-javascript"]).encode() == STATEMENT.signed_line
