"""``audit verify`` as a shell and a person see it."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import pty
import re
import select
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from molecule_approve.audit.files import head_path
from molecule_approve.audit.journal import Journal
from molecule_approve.audit.record import Record
from molecule_approve.audit.verify.report import ExpectedHead, Source
from molecule_approve.cli.audit import verify
from molecule_approve.cli.main import main
from tests.callers import ended, start

if TYPE_CHECKING:
    from molecule_approve.model import JsonValue
    from tests.callers import Caller
    from tests.integration.fake_platform import FakePlatform


@pytest.fixture
def journal(log: Path) -> Journal:
    """A log of twelve records and two lines of other tools."""
    journal = Journal(log)
    for number in range(12):
        journal.append(
            Record("2026-04-27T10:00:00.000000Z", "approval", "ws", "alice", "approve", f"deploy {number}", "granted", "t"),
            patience=0,
        )
    with log.open("ab") as file:
        file.write(b'{"event_type":"memory","outcome":"granted","resource":"x"}\n\xff\x1b[31m raw\n')
    return journal


def test_a_log_that_is_not_there_or_no_file_is_not_done(log: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """125, and the sentence names the path; also for the path of the option."""
    assert main(["audit", "verify"]) == 125
    assert str(log) in capfd.readouterr().err
    assert main(["audit", "verify", "--audit-log", str(log.parent.parent)]) == 125
    assert "hint: set another path" in capfd.readouterr().err


def test_verify_says_whole_or_not_by_its_exit_code(journal: Journal, log: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """0 for a whole log, 65 after any change, with the line."""
    assert main(["audit", "verify"]) == 0
    assert capfd.readouterr().out.startswith(
        "whole: 12 records, 1 to 12, 2 unchained lines (written by other tools)\nhead: "
    )
    log.write_bytes(log.read_bytes().replace(b"deploy 5", b"deploy 6"))
    assert main(["audit", "verify"]) == 65
    out = capfd.readouterr().out
    assert out.startswith("not whole, at 1 place: 12 records")
    assert "first damage: audit.jsonl, line 6: changed: " in out


def test_verify_finds_a_cut_end(journal: Journal, log: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The remembered head beside the log knows what is missing, also when the whole log is gone."""
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:10]))
    assert main(["audit", "verify"]) == 65
    assert "missing: records 11 to 12" in capfd.readouterr().out
    log.unlink()
    assert main(["audit", "verify"]) == 65
    assert "missing: records 1 to 12" in capfd.readouterr().out


def verified(capfd: pytest.CaptureFixture[str], *args: str) -> tuple[int, dict[str, Any]]:
    """The exit code and the JSON object."""
    code = main(["audit", "verify", "--json", *args])
    return code, json.loads(capfd.readouterr().out)


def test_json_is_one_object_whatever_happens(journal: Journal, log: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Whole, not whole, and not to be checked."""
    code, found = verified(capfd)
    assert (code, found["whole"], found["records"], found["other_lines"]) == (0, True, 12, 2)
    assert found["head"]["hash"] == hashlib.sha256(log.read_bytes().splitlines()[11]).hexdigest()
    log.write_bytes(log.read_bytes().replace(b"deploy 5", b"deploy 6"))
    code, found = verified(capfd)
    assert (code, found["whole"], found["first_break"]["line"]) == (65, False, 6)
    code, found = verified(capfd, "--audit-log", str(log.parent))
    assert (code, found["whole"], found["error"]["kind"]) == (125, None, "audit")
    assert main(["audit", "verify", "--audit-log", str(log.parent)]) == 125
    assert capfd.readouterr().out == ""


def test_a_head_that_is_known_from_elsewhere_must_be_met(
    journal: Journal, log: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """--expect takes a head as verify prints it, several times; what is no head is a usage error."""
    digests = [hashlib.sha256(line).hexdigest() for line in log.read_bytes().splitlines()]
    assert main(["audit", "verify", "--expect", f"3:{digests[2]}", "--expect", f"12:{digests[11].upper()}"]) == 0
    assert "heads found that are known from elsewhere: 2" in capfd.readouterr().out
    code, found = verified(capfd, "--expect", f"3:{digests[3]}")
    assert (code, found["first_break"]["line"]) == (65, 3)
    assert found["expected"][-1] == {"seq": 3, "hash": digests[3], "source": "given", "met": False}
    for text in ("3", "0:" + "a" * 64, "3:abc", f"3:{digests[2]} "):
        assert main(["audit", "verify", "--expect", text]) == 2
        assert "SEQ:HASH" in capfd.readouterr().err


def test_what_was_removed_on_purpose_is_said_with_from(
    journal: Journal, log: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Without it a log whose beginning is missing is not whole, and the output says how to say so."""
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[4:]))
    assert main(["audit", "verify"]) == 65
    out = capfd.readouterr().out
    assert "missing archive: records 1 to 4, before audit.jsonl; as one archive" in out
    assert "audit.jsonl.000000000001-000000000004" in out
    assert "--from 5" in out
    assert main(["audit", "verify", "--from", "5"]) == 0
    assert main(["audit", "verify", "--from", "4"]) == 65
    assert main(["audit", "verify", "--from", "0"]) == 2


def test_a_file_by_itself(journal: Journal, log: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """An archive that was copied, also by a link to it and compressed; a file without a record proves nothing."""
    lines = log.read_bytes().splitlines(keepends=True)
    copy = tmp_path / "copy.gz"
    copy.write_bytes(gzip.compress(b"".join(lines[4:8])))
    (tmp_path / "link").symlink_to(copy)
    assert main(["audit", "verify", str(tmp_path / "link")]) == 0
    assert "whole: 4 records, 5 to 8\nonly this file was verified" in capfd.readouterr().out
    (tmp_path / "other").write_bytes(b"nothing\n")
    assert main(["audit", "verify", str(tmp_path / "other")]) == 125
    assert "neither an audit log nor an export" in capfd.readouterr().err
    assert main(["audit", "verify", str(tmp_path / "none")]) == 125
    assert main(["audit", "verify", "/proc/self/mem"]) == 125  # opens, and cannot be read at its beginning
    assert "Input/output error" in capfd.readouterr().err
    for option in (["--from", "5"], ["--against-platform"]):
        assert main(["audit", "verify", str(copy), *option]) == 2


def test_an_export_is_known_by_its_format(
    journal: Journal, log: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """It is checked as one, whole or not; a log that speaks of exports is a log."""
    export = tmp_path / "export.json"
    journal.append(
        Record("2026-04-27T10:00:00.000000Z", "approval", "ws", "ws", "approve", "x", "initiated", "trace-of-one"),
        patience=0,
    )
    assert main(["audit", "export", "trace-of-one", "-o", str(export)]) == 0
    capfd.readouterr()
    assert main(["audit", "verify", str(export)]) == 0
    assert capfd.readouterr().out.startswith("whole")
    code, found = verified(capfd, str(export), "--expect", "13:" + "0" * 64)
    assert (code, found["whole"], found["records"], found["trace_id"]) == (65, False, [13], "trace-of-one")
    export.write_bytes(export.read_bytes()[:-9])
    assert main(["audit", "verify", str(export)]) == 65
    text = "molecule-approve/audit-export"
    path = tmp_path / "log2" / "audit.jsonl"
    Journal(path).append(
        Record("2026-04-27T10:00:00.000000Z", "approval", "w", "w", "approve", text, "denied", "t"), patience=0
    )
    capfd.readouterr()
    assert main(["audit", "verify", str(path)]) == 0
    assert capfd.readouterr().out.startswith("whole: 1 record, 1 to 1\n")


def test_seals_are_checked_with_the_keys_of_a_file(
    journal: Journal, log: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """One key a line, comments allowed; who else can read it is warned of; no message repeats what is in it."""
    assert main(["audit", "init", "--seal"]) == 0
    key = capfd.readouterr().out.strip()
    file = tmp_path / "keys"
    file.write_text(f"# ours\n\n{key}  # the first\n")
    file.chmod(0o600)
    code, found = verified(capfd, "--seal-key-file", str(file))
    assert (code, found["seal"]) == (0, {"records": 1, "sealed_from": 13, "checked_from": 13})
    file.chmod(0o640)
    assert main(["audit", "verify", "--seal-key-file", str(file)]) == 0
    assert "is readable by others" in capfd.readouterr().err
    file.chmod(0o600)
    other = key[:6] + "0" * 8 + key[14:]
    for text, said in (("", "no key"), (key[:-1], "line 1"), (f"{key}\n{other}", "several logs"), ("\xff", "line 1")):
        file.write_text(text, encoding="latin-1")
        assert main(["audit", "verify", "--seal-key-file", str(file)]) == 2
        err = capfd.readouterr().err
        assert said in err or "cannot read" in err
        assert key.split(":")[3][:20] not in err
    assert main(["audit", "verify", "--seal-key-file", str(tmp_path / "none")]) == 2
    file.write_text(other)
    assert main(["audit", "verify", "--seal-key-file", str(file)]) == 125
    assert "belongs to log" in capfd.readouterr().err


@pytest.mark.usefixtures("untraced")
def test_the_heads_that_the_platform_keeps_are_compared(caller: Caller) -> None:
    """A log that was cut off, exchanged or deleted, with all beside it, is found by what the requests' contexts hold.

    Another log of the same workspace, in another place, is no damage.
    """
    assert caller.main("request", "--no-wait", "deploy").code == 8
    assert caller.main("request", "--no-wait", "deploy again").code == 8
    told = caller.main("audit", "verify", "--against-platform")
    assert told.code == 0
    assert "compared with 2 heads" in told.out
    lines = caller.log.read_bytes().splitlines(keepends=True)
    caller.log.write_bytes(b"".join(lines[:2]))
    head_path(caller.log).unlink()
    assert caller.main("audit", "verify").code == 0
    told = caller.main("audit", "verify", "--against-platform", "--json")
    assert told.code == 65
    found = json.loads(told.out)
    assert found["platform"]["compared"] == 2
    assert found["gaps"] == [{"first": 3, "last": 3, "after": caller.log.name, "before": None}]
    caller.log.unlink()
    Journal(caller.log).append(
        Record("2026-04-27T10:00:00.000000Z", "approval", "w", "w", "approve", "x", "denied", "t"), patience=0
    )
    told = caller.main("audit", "verify", "--against-platform")
    assert (told.code, "another log: expected record 1 of log " in told.out) == (65, True)
    elsewhere = caller.log.with_name("other.jsonl")
    caller.log.rename(elsewhere)
    told = caller.main("audit", "verify", "--against-platform", "--audit-log", str(elsewhere))
    # Other tests' requests stand on the same server.
    assert told.code == 0
    assert re.search(r"no head of this log, so nothing was compared; [0-9]+ of logs in other places", told.out)
    head_path(caller.log).unlink()
    told = caller.main("audit", "verify", "--against-platform")
    assert (told.code, "cut off: expected the records up to 3, found none" in told.out) == (65, True)


def test_a_context_without_a_head_is_passed_over() -> None:
    """The platform keeps what anybody sent: only what can be a head is compared."""
    good: dict[str, JsonValue] = {"log_id": "l", "seq": 1, "hash": "a" * 64}
    assert verify._head_in({"audit_head": good}) == ExpectedHead(1, "a" * 64, "l", Source.PLATFORM)
    odds: list[JsonValue] = [None, 7, {}]
    odds += [{**good, "seq": 0}, {**good, "seq": True}, {**good, "hash": "x"}, {**good, "log_id": []}]
    for odd in odds:
        assert verify._head_in({"audit_head": odd}) is None
        assert verify._place_in({"user": "u", "host": "h", "audit_head": odd}) == {}


def test_a_platform_that_shows_no_heads_leaves_nothing_to_compare(platform: FakePlatform, caller: Caller) -> None:
    """It says so; one that cannot be reached is an error, in JSON as well."""
    assert caller.main("request", "--no-wait", "deploy").code == 8
    told = caller.main("audit", "verify", "--against-platform")
    assert told.code == 0
    assert "the platform lists 1 request but no head of this log, so nothing was compared" in told.out
    platform.stop()
    told = caller.main("audit", "verify", "--against-platform", "--json")
    assert (told.code, json.loads(told.out)["error"]["kind"]) == (125, "unavailable")


@pytest.mark.measured
def test_a_reader_that_is_gone_is_not_told(journal: Journal, log: Path) -> None:
    """125, and nothing more is tried on stdout."""
    reader, writer = os.pipe()
    os.close(reader)
    with start(("audit", "verify", "--json"), stdout=writer, stderr=subprocess.PIPE, text=True) as process:
        os.close(writer)
        done = ended(process)
    assert done.code == 125
    assert "cannot write to stdout" in done.err


def test_a_terminal_gets_the_answer_and_a_clean_line(journal: Journal, log: Path) -> None:
    """The real program at a terminal: a short log shows no meter at all."""
    master, slave = pty.openpty()
    process = start(("audit", "verify"), stdout=slave, stderr=slave)
    os.close(slave)
    assert select.select([master], [], [], 30)[0]
    assert os.read(master, 65_536).startswith(b"whole: 12 records")
    assert process.wait(30) == 0
    os.close(master)
