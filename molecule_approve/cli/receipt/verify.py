"""``receipt verify``: checks a receipt on any machine, against keys that its user keeps."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from molecule_approve.cli import options, output
from molecule_approve.cli.deliver import failure_as_json
from molecule_approve.cli.exits import Exit
from molecule_approve.cli.help import option
from molecule_approve.errors import ApprovalError, ConfigError
from molecule_approve.safe_text import visible

if TYPE_CHECKING:
    from molecule_approve.cli.deliver import JsonObject
    from molecule_approve.model import JsonValue
    from molecule_approve.proofs.keys_file import KeyRing
    from molecule_approve.proofs.receipt import ReceiptCheck
    from molecule_approve.proofs.statement import Subject


def verify(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The receipt.", show_default=False)],
    approvers: Annotated[
        str, option("--approvers", "PATH", "The keys that count, and how many people have to have signed.")
    ],
    json: options.Json = False,
) -> int:
    """Check a receipt against your own keys, without the server.

    The keys in the receipt do not count. A sentence is printed for each check. Exit codes: 0 all of them hold, 65 one does
    not, 125 a file cannot be read.
    """
    with failure_as_json(json=json, form=_unchecked):
        ring, data = _keys(Path(approvers)), _read(Path(file))
        subject, checks = _checked(data, ring)
    holds = all(check.passed for check in checks)
    if json:
        output.answer_json(_as_json(data, subject, checks, holds=holds))
    else:
        _tell(subject, checks, holds=holds)
    return Exit.OK if holds else Exit.NOT_WHOLE


def _unchecked(told: JsonObject) -> JsonValue:
    """What ``--json`` says where the receipt could not be checked."""
    return {"holds": None, "error": told["error"]}


def _read(path: Path) -> bytes:
    from molecule_approve.proofs.receipt import LIMIT

    try:
        with path.open("rb") as file:
            return file.read(LIMIT + 1)
    except OSError as exc:
        raise ApprovalError(f"cannot read {path}: {exc.strerror}", hint="check the path") from exc


def _keys(path: Path) -> KeyRing:
    from molecule_approve.proofs.faults import ProofError
    from molecule_approve.proofs.keys_file import parse_keys

    try:
        ring = parse_keys(_read(path))
        ring.check()
    except ProofError as exc:
        raise ConfigError(f"--approvers: {path}: {exc}", hint="docs/receipts.md describes the file") from exc
    return ring


def _checked(data: bytes, ring: KeyRing) -> tuple[Subject | None, Sequence[ReceiptCheck]]:
    """What the receipt is about, and all that was checked; what is not a receipt is about nothing."""
    from molecule_approve.proofs.faults import ProofError
    from molecule_approve.proofs.receipt import ReceiptCheck, check_receipt, parse_receipt

    try:
        signed = parse_receipt(data)
    except ProofError as exc:
        return None, [ReceiptCheck(False, f"it cannot be read as a receipt: {exc}")]
    return signed.receipt.subject, check_receipt(signed, ring)


def _as_json(data: bytes, subject: Subject | None, checks: Sequence[ReceiptCheck], *, holds: bool) -> JsonValue:
    return {
        "holds": holds,
        "receipt_sha256": hashlib.sha256(data).hexdigest(),
        "subject": None if subject is None else asdict(subject),
        "checks": [{"passed": check.passed, "sentence": check.sentence} for check in checks],
    }


def _tell(subject: Subject | None, checks: Sequence[ReceiptCheck], *, holds: bool) -> None:
    output.answer("the receipt holds" if holds else "the receipt does not hold")
    for check in checks:
        output.answer(f"{'ok' if check.passed else 'failed'}: {visible(check.sentence)}", foreign=True)
    if subject is not None:
        output.answer(f"request: {visible(subject.request)}, of workspace {visible(subject.workspace)}", foreign=True)
        output.answer(f"action: {visible(subject.action)}", foreign=True)
