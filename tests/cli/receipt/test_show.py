"""``receipt ID``, as a shell and a person see it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from molecule_approve.proofs.canonical import canonical
from tests.server.signer import Signer

if TYPE_CHECKING:
    from tests.callers import Caller
    from tests.integration.fake_platform import FakePlatform


@pytest.fixture
def approved(own: Caller) -> str:
    """The id of a request that alice approved with her key."""
    approval_id = own.desk.ask("deploy", context={"host": "build-7"})
    Signer(own.desk, "alice").decide(approval_id)
    return approval_id


@pytest.mark.parametrize("words", [("receipt",), ("receipt", "show")], ids=["short", "show"])
def test_the_receipt_is_one_canonical_line(own: Caller, approved: str, words: tuple[str, ...]) -> None:
    """On stdout, by the beginning of the id; in both spellings of the command."""
    told = own.main(*words, approved[:8])
    assert told.code == 0, told.err
    found = json.loads(told.out)
    assert told.out.encode() == canonical(found) + b"\n"
    assert (found["subject"]["request"], found["decisions"][0]["by"]) == (approved, "alice")


def test_it_is_written_to_a_new_file(own: Caller, approved: str) -> None:
    """Also where the option comes first; a file that is there is left alone."""
    path = own.folder / "receipt.json"
    assert own.main("receipt", "--output", str(path), approved).code == 0
    first = path.read_bytes()
    assert json.loads(first)["subject"]["request"] == approved
    again = own.main("receipt", "show", approved, "-o", str(path))
    assert (again.code, path.read_bytes()) == (2, first)
    assert "already exists" in again.err


def test_an_approver_gets_it_with_the_own_token(seated: Caller, approved: str) -> None:
    """And who has a wrong one is told which variable holds it."""
    assert seated.main("receipt", approved).code == 0
    seated.set(MOLECULE_APPROVER_TOKEN="wrong")
    told = seated.main("receipt", approved)
    assert told.code == 125
    assert "MOLECULE_APPROVER_TOKEN" in told.err


def test_a_request_that_waits_has_none(own: Caller) -> None:
    """The server says why."""
    told = own.main("receipt", own.desk.ask())
    assert (told.code, told.out) == (125, "")
    assert "only an ended one has a receipt" in told.err


def test_of_an_unknown_id_the_hint_says_where_the_ids_are(own: Caller) -> None:
    """Whoever mistyped one finds it there."""
    told = own.main("receipt", "12345678-1234-1234-1234-123456789012")
    assert (told.code, told.out) == (125, "")
    assert "the platform has no request 12345678-1234-1234-1234-123456789012 in this workspace" in told.err
    assert "`molecule-approve pending` lists the requests that wait" in told.err


def test_the_platform_has_none(caller: Caller, platform: FakePlatform) -> None:
    """Only the embedded server signs receipts."""
    row = platform.add(platform.workspace, {"action": "deploy", "reason": "", "task_id": "t"})
    platform.decide(row)
    told = caller.main("receipt", row.id)
    assert told.code == 125
    assert "this platform gives no receipts" in told.err


def test_without_an_id_the_help_is_shown(caller: Caller) -> None:
    """With 2; and both commands have a help of their own."""
    told = caller.main("receipt")
    assert (told.code, told.out) == (2, "")
    assert told.err == caller.main("receipt", "--help").out
    assert "Usage: molecule-approve receipt show" in caller.main("receipt", "show", "-h").out
    assert caller.main("receipt", "abc").code == 2
