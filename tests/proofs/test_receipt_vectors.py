"""The whole receipt in docs/examples/receipt: what docs/receipts.md says of it holds, here and in two other languages."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from molecule_approve.proofs.canonical import canonical
from molecule_approve.proofs.keys_file import parse_keys
from molecule_approve.proofs.receipt import TYPE, check_receipt, parse_receipt
from molecule_approve.proofs.ssh import parse_ssh_key
from molecule_approve.proofs.statement import context_digest, parse_statement
from tests.pages import PAGES, ROOT, SNIPPETS

VECTORS = ROOT / "docs" / "examples" / "receipt"
PAGE = PAGES["docs/receipts.md"]


def test_the_receipt_holds_by_the_keys_beside_it() -> None:
    """By both people's."""
    keys = (VECTORS / "approvers.keys").read_bytes()
    checks = check_receipt(parse_receipt((VECTORS / "receipt.json").read_bytes()), parse_keys(keys))
    assert [check.sentence for check in checks if not check.passed] == []
    assert checks[-1].sentence == "2 of 2 approvals are proven: alice, bo"
    assert "verified the person" in checks[-2].sentence


def test_the_statement_beside_it_is_that_of_the_receipt() -> None:
    """Byte for byte, and so is its signature."""
    text = (VECTORS / "statement.json").read_bytes().decode()
    first = parse_receipt((VECTORS / "receipt.json").read_bytes()).receipt.decisions[0]
    assert first.statement == text == parse_statement(text).text
    assert first.proof == {"kind": "ssh", "signature": (VECTORS / "statement.sig").read_text()}
    name, _, line = (VECTORS / "allowed_signers").read_text().partition(" ")
    key = parse_keys((VECTORS / "approvers.keys").read_bytes()).keys_of(name)[0].key
    assert key == parse_ssh_key(line)


def test_the_page_has_the_hashes_of_the_code() -> None:
    """Of the context, of what was signed, of what the server signed, and of the file."""
    data = (VECTORS / "receipt.json").read_bytes()
    found = json.loads(data)
    assert canonical(found) + b"\n" == data
    signed = parse_receipt(data)
    del found["server"]["signature"]
    assert signed.signed == hashlib.sha256(TYPE.encode() + b"\n" + canonical(found)).digest()
    alice = parse_statement((VECTORS / "statement.json").read_bytes().decode())
    digests = {
        "the context": context_digest(signed.receipt.context),
        "what alice signed": alice.digest.hex(),
        "what the server signed": signed.signed.hex(),
        "the file `receipt.json`": hashlib.sha256(data).hexdigest(),
    }
    for what, digest in digests.items():
        assert f"| {what} | `{digest}` |" in PAGE


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the vectors."""
    return Path(shutil.copytree(VECTORS, tmp_path / "receipt"))


def run(folder: Path, *command: str) -> tuple[int, str]:
    """The exit code and what it printed."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout


def change(folder: Path, name: str) -> None:
    """Change one character of a decision's statement, in the file that a program reads."""
    path = folder / name
    path.write_text(path.read_text().replace("schema r", "Schema r"))


INSTRUCTIONS = {
    "receipt-python": (
        (sys.executable, "-c"),
        "receipt.json",
        "aad6180acc3b857fca62fbac8e5d174f78f11b38eb54e55e53e55652041685b3",
    ),
    "receipt-node": (("node", "-e"), "receipt.json", "bo signed this statement"),
}


@pytest.mark.parametrize("name", INSTRUCTIONS)
def test_the_instructions_of_the_page_check_the_vectors(folder: Path, name: str) -> None:
    """In Python and in Node.js; and each of them finds out a changed statement."""
    command, file, said = INSTRUCTIONS[name]
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    code, out = run(folder, *command, SNIPPETS[name])
    assert (code, said in out) == (0, True), out
    change(folder, file)
    assert run(folder, *command, SNIPPETS[name])[0] != 0
