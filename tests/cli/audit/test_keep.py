"""``audit rotate`` and ``audit init``: what the owner of a log does with it, and what is told where, and how often."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from molecule_approve.audit.sealing import state_path
from tests.audit import standing

if TYPE_CHECKING:
    from tests.callers import Caller, Told

KEY = re.compile(r"seal1:[0-9a-f-]{36}:[1-9][0-9]*:[0-9a-f]{64}\n")


def first_key(caller: Caller) -> str:
    """The text of the first key of a log that is sealed from now on."""
    told = caller.main("audit", "init", "--seal")
    assert told.code == 0
    assert KEY.fullmatch(told.out)
    return told.out.strip()


def untold(caller: Caller, *argv: str) -> Told:
    """The command, with a stdout that takes nothing."""
    with Path("/dev/full").open("w", encoding="ascii") as full, caller.patch.context() as patch:
        patch.setattr(sys, "stdout", full)
        return caller.main(*argv)


# --- rotate ----------------------------------------------------------------------------------------------------------------


def test_rotate_prints_the_archives_path(caller: Caller) -> None:
    """Alone on stdout; the log goes on in a new file."""
    assert caller.main("audit", "init").code == 0
    told = caller.main("audit", "rotate")
    archive = caller.log.with_name("audit.jsonl.000000000001-000000000001")
    assert (told.code, told.out, told.err) == (0, f"{archive}\n", "")
    assert archive.exists()
    assert caller.log.read_bytes() == b""
    assert caller.main("audit", "init").out.startswith("2:")
    assert len(standing.history(caller.log)) == 2


def test_without_a_record_there_is_nothing_to_rotate(caller: Caller) -> None:
    """125, and nothing is made."""
    told = caller.main("audit", "rotate")
    assert (told.code, told.out) == (125, "")
    assert f"the audit log {caller.log} has no records to archive" in told.err
    assert not caller.log.exists()


def test_rotate_takes_the_log_that_is_named(caller: Caller) -> None:
    """By its option; a name with a control character is shown visibly."""
    other = caller.folder / "other.jsonl"
    assert caller.main("audit", "init", "--audit-log", str(other)).code == 0
    assert caller.main("audit", "rotate", "--audit-log", str(other)).out == f"{other}.000000000001-000000000001\n"
    assert not caller.log.exists()


@pytest.mark.parametrize("command", [("rotate",), ("init",)])
def test_what_is_done_is_done_whoever_reads_it(caller: Caller, command: tuple[str, ...]) -> None:
    """A reader that is gone does not undo it: 0, and stderr says that it could not be told."""
    assert caller.main("audit", "init").code == 0
    told = untold(caller, "audit", *command)
    assert told.code == 0
    assert "the answer could not be told" in told.err
    assert len(standing.history(caller.log)) == (1 if command == ("rotate",) else 2)


# --- init ------------------------------------------------------------------------------------------------------------------


def test_init_begins_a_log_and_prints_its_head(caller: Caller) -> None:
    """One record that says who and where; the head is what `audit verify --expect` takes."""
    caller.set(WORKSPACE_ID="the-workspace")
    told = caller.main("audit", "init")
    (record,) = standing.history(caller.log)
    assert (told.code, told.out, told.err) == (0, f"1:{record.hash}\n", "")
    fields = record.fields
    assert [fields[name] for name in ("event_type", "action", "outcome", "resource", "actor", "workspace_id")] == [
        "audit",
        "init",
        "success",
        "audit.jsonl",
        "tester",
        "the-workspace",
    ]
    assert fields["host"]
    assert "sealing" not in fields
    assert not state_path(caller.log).exists()


def test_init_never_rotates(caller: Caller) -> None:
    """The wanted size is not its business; with `never` a large log stays one file."""
    assert caller.main("audit", "init").code == 0
    with caller.log.open("ab") as file:
        file.write(b"x" * 17_000_000 + b"\n")
    assert caller.main("audit", "init").code == 0
    assert [path.name for path in caller.folder.glob("audit.jsonl.0*")] == []


def test_the_first_key_is_printed_once_and_stored_nowhere(caller: Caller) -> None:
    """On stdout alone; stderr says what to do with it, and repeats no part of it."""
    told = caller.main("audit", "init", "--seal")
    assert told.code == 0
    assert KEY.fullmatch(told.out)
    key = told.out.strip().rpartition(":")[2]
    assert "is sealed from record 1 on. Keep the key where nobody who can write the log can read it" in told.err
    assert "--seal-key-file" in told.err
    assert key not in told.err
    files = [path for path in caller.folder.rglob("*") if path.is_file()]
    assert state_path(caller.log) in files
    assert all(key.encode() not in path.read_bytes() for path in files)
    (record,) = standing.history(caller.log)
    assert record.fields["sealing"] == "hmac-sha256"
    standing.check_seals([record], told.out.strip())


def test_a_log_is_sealed_once(caller: Caller) -> None:
    """A second first key is given only to who asks for it; each counts from its own record on."""
    first = first_key(caller)
    told = caller.main("audit", "init", "--seal")
    assert (told.code, told.out) == (125, "")
    assert "is sealed already" in told.err
    assert "hint: pass --new-key to create a new key" in told.err
    told = caller.main("audit", "init", "--seal", "--new-key")
    assert told.code == 0
    assert told.out.split(":")[2] == "2"
    found = standing.history(caller.log)
    standing.check_seals(found[:1], first)
    standing.check_seals(found, told.out.strip())


def test_a_new_key_is_one_for_seals(caller: Caller) -> None:
    """Without --seal it is a usage error; nothing is written."""
    told = caller.main("audit", "init", "--new-key")
    assert (told.code, told.out) == (2, "")
    assert "--new-key requires --seal" in told.err
    assert not caller.log.exists()


def test_a_key_that_could_not_be_told_is_125(caller: Caller) -> None:
    """Nobody has it, so another one must be begun; the hint says how, and that works."""
    told = untold(caller, "audit", "init", "--seal")
    assert told.code == 125
    assert (
        "hint: the key is stored nowhere else: create another one with `molecule-approve audit init --seal --new-key`"
        in told.err
    )
    assert caller.main("audit", "init", "--seal", "--new-key").code == 0


def test_a_log_whose_key_is_lost_says_so(caller: Caller) -> None:
    """125 with the way on, for a record and for a request, before anything is asked."""
    first_key(caller)
    state_path(caller.log).unlink()
    for argv in (("audit", "init"), ("request", "--", "x")):
        told = caller.main(*argv)
        assert told.code == 125
        assert "its key file is missing" in told.err
        assert "run `molecule-approve audit init --seal --new-key` for a new key" in told.err
    assert len(standing.history(caller.log)) == 1


# --- a sealed request ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("answer", "code"), [("approved", 0), ("denied", 77)])
def test_all_records_of_a_request_are_sealed(caller: Caller, answer: str, code: int) -> None:
    """From the first to the ending, also when the log becomes an archive in between."""
    key = first_key(caller)
    assert caller.main("audit", "rotate").code == 0
    with caller.answering("drop it", answer):
        assert caller.main("request", "--", "drop it").code == code
    found = standing.history(caller.log)
    standing.check_seals(found, key)
    ending = "granted" if answer == "approved" else "denied"
    assert [record.fields["outcome"] for record in found] == ["success", "initiated", "requested", ending]


def test_a_sealed_log_is_proved_with_its_first_key_and_its_heads(caller: Caller) -> None:
    """What was printed at the beginning proves the log and its archives; one forged record is found."""
    key, kept = first_key(caller), caller.folder / "key.txt"
    kept.write_text(f"{key}\n")
    kept.chmod(0o600)
    head = caller.main("audit", "init").out.strip()
    assert caller.main("audit", "rotate").code == 0
    assert caller.main("request", "--no-wait", "--", "drop it").code == 8
    command = ("audit", "verify", "--seal-key-file", str(kept), "--expect", head)
    assert caller.main(*command).code == 0
    caller.log.write_bytes(caller.log.read_bytes().replace(b"drop it", b"drop at"))
    assert caller.main(*command).code == 65
