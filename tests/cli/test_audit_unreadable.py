"""What cannot be checked is no proof, neither of a whole log nor of a changed one; and reading needs no room on a disk."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import resource
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from molecule_approve.audit.journal import Journal
from molecule_approve.audit.record import Record
from tests.callers import Caller, Told
from tests.forks import PROGRAM

TRACE = "7d444840-9dc0-11d1-b245-5ffdce74fad2"

Pack = Callable[[bytes], bytes]


def stored(data: bytes) -> bytes:
    """Packed without compressing: what is changed in it is changed in the text, and only the sum at its end tells."""
    return gzip.compress(data, 0)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Three requests of three records, each in a file of its own; the last is the live one."""
    log = tmp_path / "log" / "audit.jsonl"
    for number in (2, 1, 0):
        for outcome in ("initiated", "requested", "granted"):
            trace = TRACE.replace("7d44", f"7d4{number}")
            record = Record("2026-01-01T00:00:00Z", "approval", "ws", "ws", "approve", "drop it", outcome, trace, {})
            Journal(log).append(record, patience=1)
        if number:
            log.rename(log.with_name(f"audit.jsonl.{number}"))
    return log


def packed(log: Path, number: int, pack: Pack = gzip.compress, suffix: str = ".gz") -> Path:
    """An archive, compressed."""
    path = log.with_name(f"audit.jsonl.{number}")
    found = path.with_name(f"{path.name}{suffix}")
    found.write_bytes(pack(path.read_bytes()))
    path.unlink()
    return found


def audit(caller: Caller, log: Path, *arguments: str) -> Told:
    """``audit`` over this log."""
    return caller.main("audit", *arguments, "--audit-log", str(log))


def audit_without_room(log: Path, *arguments: str) -> Told:
    """The same in a process of its own, which may write no file."""
    command = [*PROGRAM, "audit", *arguments, "--audit-log", str(log)]
    environ = {"PATH": os.environ["PATH"], "HOME": str(log.parent.parent)}
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # noqa: E731
    found = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=60, preexec_fn=limit)
    return Told(found.returncode, found.stdout, found.stderr)


@pytest.mark.parametrize("changed", [False, True])
def test_an_unreadable_archive_is_125_and_a_changed_record_65(caller: Caller, log: Path, changed: bool) -> None:
    """The gap that the archive leaves is not counted as damage; a record that was changed is, whatever else is there."""
    packed(log, 1).write_bytes(b"no gzip")
    if changed:
        lines = log.read_bytes().splitlines(keepends=True)
        log.write_bytes(lines[0] + lines[1].replace(b"drop it", b"drop at") + lines[2])
    done = audit(caller, log, "verify")
    assert (done.code, "cannot be checked" in done.out) == (65 if changed else 125, True), done


def _flip(data: bytes) -> bytes:
    return data.replace(b"drop it", b"drop at", 1)


def _halve(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _garble(data: bytes) -> bytes:
    return data[:40] + b"\xff\x00" * 40 + data[120:]


@pytest.mark.parametrize(
    ("pack", "suffix", "harm"),
    [
        (stored, ".gz", _flip),
        (stored, ".gz", _halve),
        (gzip.compress, ".gz", _garble),
        (gzip.compress, ".gz", lambda data: data[:-8] + b"\0" * 8),
        (bz2.compress, ".bz2", _garble),
        (lzma.compress, ".xz", _garble),
        (bytes, ".zst", bytes),
    ],
)
@pytest.mark.parametrize("which", ["oldest", "newest", "before an empty live file", "the only one"])
def test_a_damaged_archive_is_125_wherever_it_stands(
    caller: Caller, log: Path, pack: Pack, suffix: str, harm: Pack, which: str
) -> None:
    """What it unpacks to, or that it does not, says nothing about the log: no change, no gap, no end that was cut off."""
    path = packed(log, 2 if which == "oldest" else 1, pack, suffix)
    path.write_bytes(harm(path.read_bytes()))
    if which in {"before an empty live file", "the only one"}:
        log.write_bytes(b"")  # what is remembered of the log's end is then not to be found
    if which == "the only one":
        log.with_name("audit.jsonl.2").unlink()
    done = audit(caller, log, "verify")
    assert done.code == 125, done
    assert f"cannot be checked: the audit log's archive {path} " in done.out
    assert "because some archives cannot be read" in done.out or "not whole, at 1 place" in done.out


def test_an_end_that_was_cut_off_the_live_file_is_65_beside_an_unreadable_archive(caller: Caller, log: Path) -> None:
    """No archive holds what comes after the live file's records."""
    packed(log, 2).write_bytes(b"no gzip")
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:2]))
    done = audit(caller, log, "verify")
    assert (done.code, done.out.startswith("not whole, at 2 places")) == (65, True), done


@pytest.mark.parametrize(
    "arguments",
    [["verify"], ["tail", "-n", "9"], ["show", TRACE.replace("7d44", "7d42")], ["stats"]],
    ids=lambda found: found[0],
)
def test_archives_are_read_where_no_file_can_be_written(caller: Caller, log: Path, arguments: list[str]) -> None:
    """A temporary folder that is full, or away, matters to nobody who only reads."""
    for number, pack, suffix in ((2, gzip.compress, ".gz"), (1, bz2.compress, ".bz2")):
        packed(log, number, pack, suffix)
    done = audit_without_room(log, *arguments)
    assert (done.code, done.err) == (0, ""), done
    assert done.out == audit(caller, log, *arguments).out


@pytest.mark.parametrize("harm", [lambda _: b"no gzip", _flip])
@pytest.mark.parametrize("arguments", [["show"], ["show", "--json"], ["export"], ["export", "--complete"]], ids=" ".join)
def test_a_request_that_may_have_records_in_an_unreadable_archive_is_125(
    caller: Caller, log: Path, arguments: list[str], harm: Pack
) -> None:
    """Nothing shows that the log is damaged: neither where the request itself is cut in two, nor its neighbours."""
    path = packed(log, 1, stored)
    path.write_bytes(harm(path.read_bytes()))
    done = audit(caller, log, *arguments, TRACE.replace("7d44", "7d42"))
    assert done.code == 125, done
    assert f"the audit log's archive {path} cannot be unpacked: " in done.err
    assert "left out" not in done.err
    assert not (arguments[0] == "export" and done.out)


def test_an_archive_that_is_older_than_a_request_lacks_nothing_of_it(caller: Caller, log: Path) -> None:
    """Its story is whole, and so is its export where the record just before it can be read."""
    path = packed(log, 2)
    path.write_bytes(b"no gzip")
    os.utime(path, (0, 0))
    for command in ("show", "export"):
        done = audit(caller, log, command, TRACE.replace("7d44", "7d40"))
        assert (done.code, done.err) == (0, ""), done
    path = packed(log, 1)
    path.write_bytes(b"no gzip")
    os.utime(path, (0, 0))
    assert audit(caller, log, "show", TRACE.replace("7d44", "7d40")).code == 0
