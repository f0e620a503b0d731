"""From a key to a yes that is proven without the server: every step by the installed program, and checked by OpenSSH."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from molecule_approve.audit.receipts import receipt_path
from molecule_approve.proofs.statement import TYPE
from tests.callers import until
from tests.pages import SNIPPETS
from tests.proofs.signing import generated, public_text

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.program import World


def kept(world: World, key: Path) -> Path:
    """The file of keys that this machine keeps, as the server's administrator exports it."""
    added = world.run("approvers", "keys", "add", "alice", "--ssh", f"{key}.pub")
    exported = world.run("approvers", "keys", "list", "--export")
    assert (added.code, exported.code) == (0, 0)
    path = world.folder / "approvers.keys"
    path.write_bytes(exported.stdout.replace(b"# approvals 1\n", b"approvals 1\n"))
    config = world.folder / "config.yaml"
    config.write_text(f"approve: {{approver_keys: {path}}}")
    for file in (path, config):
        file.chmod(0o644)
    world.env["WORKSPACE_CONFIG_PATH"] = str(config)
    return path


@pytest.mark.skipif(os.geteuid() != 0, reason="the file of keys has to be root's")
def test_a_signed_approval_is_proven_to_the_end(local: World) -> None:
    """The gate says yes, the receipt verifies offline, the export holds it, and ssh-keygen finds alice's signature good."""
    key = generated(local.folder, "ed25519")
    keys = kept(local, key)
    assert local.served is not None
    program = local.request("websocket", timeout=30)
    until(lambda: b'"requested"' in local.log_text())
    approval_id = str(local.served.rows()[-1]["id"])
    local.env["MOLECULE_APPROVER_TOKEN"] = local.served.approver
    assert local.run("approve", "--yes", "--sign", str(key), approval_id).code == 0
    facts = program.wait()
    assert facts.code == 0
    assert f"to decide: molecule-approve approve {approval_id[:8]} --sign KEY  (or deny)".encode() in facts.stderr
    granted = json.loads(local.log_lines()[-1])
    path = receipt_path(local.log, granted["receipt_sha256"])
    shown = local.run("receipt", approval_id)
    assert (shown.code, shown.stdout) == (0, path.read_bytes())
    assert local.run("receipt", "verify", str(path), "--approvers", str(keys)).code == 0
    exported = local.run("audit", "export", granted["trace_id"])
    assert json.loads(exported.stdout)["receipts"] == [{"sha256": granted["receipt_sha256"], "text": path.read_text()}]
    assert good_for_openssh(local.folder, json.loads(path.read_bytes()), key)


def good_for_openssh(folder: Path, receipt: dict[str, Any], key: Path) -> bool:
    """Whether ``ssh-keygen -Y verify`` accepts the first decision's signature, as the page about receipts has it."""
    (decision,) = receipt["decisions"]
    (folder / "allowed").write_text(f"alice {public_text(key)}")
    (folder / "tag").write_text(f"{TYPE}\n")
    (folder / "statement").write_text(decision["statement"])
    (folder / "statement.sig").write_text(decision["proof"]["signature"])
    script = ["sh", "-e", "-c", SNIPPETS["statement-shell"]]
    return subprocess.run(script, cwd=folder, capture_output=True, timeout=30, check=False).returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="the file of keys has to be root's")
def test_an_approval_by_the_token_alone_is_none(local: World) -> None:
    """The server counts it, and the gate does not."""
    kept(local, generated(local.folder, "ed25519"))
    assert local.served is not None
    program = local.request("websocket", timeout=30)
    until(lambda: b'"requested"' in local.log_text())
    assert local.served.decide(str(local.served.rows()[-1]["id"])) == 200
    facts = program.wait()
    assert (facts.code, facts.answer["error"]["kind"]) == (125, "receipt")
