"""``audit tail`` as a shell, a pipe, a terminal and a person with Ctrl-C see it."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from molecule_approve.audit.journal import Journal
from molecule_approve.audit.record import Record
from molecule_approve.cli.main import main

TAIL = [sys.executable, "-m", "molecule_approve", "audit", "tail"]


def record(
    outcome: str = "granted", *, resource: str = "deploy", trace_id: str = "trace-1", event: str = "approval"
) -> Record:
    return Record("2026-04-27T10:00:00.000000Z", event, "ws", "alice", "approve", resource, outcome, trace_id)


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configured log, in an environment where nothing else is configured."""
    for name in ("CI", "NO_COLOR", "FORCE_COLOR", "PLATFORM_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("WORKSPACE_CONFIG_PATH", raising=False)
    monkeypatch.setenv("AUDIT_LOG_PATH", str(tmp_path / "log" / "audit.jsonl"))
    return tmp_path / "log" / "audit.jsonl"


@pytest.fixture
def journal(log: Path) -> Journal:
    """A log of twelve records, one line of another tool, and one that is no record."""
    journal = Journal(log)
    for number in range(12):
        outcome = "denied" if number % 3 == 0 else "granted"
        journal.append(record(outcome, resource=f"deploy {number}", trace_id=f"trace-{number}"), patience=0)
    with log.open("ab") as file:
        file.write(b'{"event_type":"memory","outcome":"granted","resource":"x"}\n\xff\x1b[31m raw\n')
    return journal


@pytest.fixture
def start(log: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """The real program, with pipes; none stays behind."""
    started: list[subprocess.Popen[bytes]] = []

    def run(*args: str, stdout: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen([*TAIL, *args], stdout=stdout, stderr=subprocess.PIPE, bufsize=0))
        return started[-1]

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def next_line(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], 30)[0], "nothing was shown"
    return process.stdout.readline()


def on_a_terminal(*args: str) -> str:
    """What the program writes on a terminal."""
    master, slave = pty.openpty()
    process = subprocess.Popen([*TAIL, *args], stdout=slave, stderr=subprocess.PIPE)
    os.close(slave)
    shown = b""
    while True:
        assert select.select([master], [], [], 30)[0], "the program hangs"
        try:
            block = os.read(master, 65_536)
        except OSError:  # the last handle of the other side is closed
            break
        if not block:
            break
        shown += block
    os.close(master)
    assert process.communicate(timeout=30)[1] == b""
    assert process.returncode == 0
    return shown.decode()


def test_a_pipe_gets_the_last_lines_byte_for_byte(
    journal: Journal, log: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Ten lines, as they stand in the file, those of other tools among them; `-n` changes the number."""
    every = log.read_bytes().splitlines(keepends=True)
    for args, count in (([], 10), (["-n", "3"], 3), (["--lines", "0"], 0), (["-n", "99"], 14), (["--json"], 10)):
        assert main(["audit", "tail", *args]) == 0
        out, err = capfdbinary.readouterr()
        assert out == b"".join(every[len(every) - count :])
        assert err == b""


def test_filters_choose_records(journal: Journal, capfd: pytest.CaptureFixture[str]) -> None:
    """By outcome, event, trace and time; the number counts what is wanted, and with --since all are wanted."""
    for args, count in (
        (["--outcome", "denied"], 4),
        (["--outcome", "denied", "-n", "2"], 2),
        (["--outcome", "granted"], 9),
        (["--event-type", "memory"], 1),
        (["--trace", "trace-1"], 3),
        (["--since", "2026-04-27T10:00:00Z"], 12),
        (["--since", "2026-04-27T10:00:00Z", "-n", "1"], 1),
        (["--since", "1s"], 0),
    ):
        assert main(["audit", "tail", *args]) == 0
        assert capfd.readouterr().out.count("\n") == count, args


def test_a_long_log_is_shown_whole(log: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """More than one write's worth comes out complete."""
    log.parent.mkdir(mode=0o700)
    log.write_bytes(b"".join(b"%d\n" % number for number in range(50_000)))
    assert main(["audit", "tail", "-n", "50000"]) == 0
    assert capfdbinary.readouterr().out == log.read_bytes()


@pytest.mark.parametrize("args", [["--since", "5 parsecs"], ["-n", "-1"], ["-n", "x"], ["--unknown"], ["extra"]])
def test_wrong_arguments_are_usage_errors(journal: Journal, args: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    """2, a sentence and a hint, and nothing on stdout."""
    assert main(["audit", "tail", *args]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert "hint: " in err


def test_a_log_that_is_not_there_or_no_file_is_not_done(log: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """125, and the sentence names the path; also for the path of the option."""
    assert main(["audit", "tail"]) == 125
    assert str(log) in capfd.readouterr().err
    assert main(["audit", "tail", "--audit-log", str(log.parent.parent)]) == 125
    assert "hint: name another one" in capfd.readouterr().err


def test_a_terminal_gets_a_coloured_line_a_record(journal: Journal) -> None:
    """Readable, with a colour for the outcome, and a mark where nothing vouches for the line; nothing raw."""
    shown = on_a_terminal("-n", "3")
    assert shown.count("\r\n") == 3
    first, second, third = shown.splitlines()
    assert "\x1b[1;32mgranted" in first
    assert "deploy 11" in first
    assert "nothing vouches for this line" not in first
    assert "nothing vouches for this line" in second
    assert r"\xff\x1b[31m raw" in third


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb"), ("CI", "true")])
def test_colours_are_left_out_where_they_are_not_wanted(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """NO_COLOR, a dumb terminal and CI get the same words without a control code."""
    monkeypatch.setenv(name, value)
    shown = on_a_terminal("-n", "3")
    assert "\x1b" not in shown
    assert "  2026-04-27 10:00:00Z  granted    deploy 11  by alice; trace trace-11" in shown


def test_json_on_a_terminal_is_made_visible(journal: Journal) -> None:
    """The file's own lines, but nothing that a terminal would obey."""
    shown = on_a_terminal("-n", "2", "--json")
    assert '{"event_type":"memory","outcome":"granted","resource":"x"}\r\n' in shown
    assert "\\xff\\x1b[31m raw\r\n" in shown
    assert "\x1b" not in shown


def test_following_shows_records_as_they_come(
    journal: Journal, start: Callable[..., subprocess.Popen[bytes]], log: Path
) -> None:
    """The last records first, then each new one at once; through a rename; and Ctrl-C is 130."""
    process = start("-f", "-n", "1", "--outcome", "denied")
    assert b"deploy 9" in next_line(process)
    journal.append(record("granted", resource="not wanted"), patience=1)
    journal.append(record("denied", resource="new"), patience=1)
    assert b'"resource":"new"' in next_line(process)
    log.rename(log.with_name("audit.jsonl.1"))
    journal.append(record("denied", resource="after"), patience=1)
    assert b'"resource":"after"' in next_line(process)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130


def test_a_notice_goes_to_stderr(journal: Journal, start: Callable[..., subprocess.Popen[bytes]], log: Path) -> None:
    """What a reader must know stands beside the records, not among them."""
    process = start("-f", "-n", "1")
    next_line(process)
    log.write_bytes(b"new\n")
    assert next_line(process) == b"new\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 143
    assert process.stderr is not None
    assert b"was cut from" in process.stderr.read()


def test_a_reader_that_goes_away_is_no_error(
    journal: Journal, start: Callable[..., subprocess.Popen[bytes]], log: Path
) -> None:
    """0, without a word, whether something is being written or the log is quiet."""
    quiet = start("-f", "-n", "1")
    next_line(quiet)
    assert quiet.stdout is not None
    quiet.stdout.close()
    assert quiet.wait(30) == 0
    reader, writer = os.pipe()
    os.close(reader)
    busy = start("-n", "5", stdout=writer)
    os.close(writer)
    assert busy.wait(30) == 0
    for process in (quiet, busy):
        assert process.stderr is not None
        assert process.stderr.read() == b""


def test_output_that_cannot_be_written_is_not_done(journal: Journal, start: Callable[..., subprocess.Popen[bytes]]) -> None:
    """A full disk behind stdout is no reader that went away: 125."""
    with Path("/dev/full").open("wb") as full:
        process = start("-n", "5", stdout=full.fileno())
        assert process.wait(30) == 125
    assert process.stderr is not None
    assert b"No space left" in process.stderr.read()


def test_a_quiet_follower_costs_almost_nothing(journal: Journal, start: Callable[..., subprocess.Popen[bytes]]) -> None:
    """Between two looks it sleeps: less than a hundredth of a second of CPU for each second."""
    process = start("-f", "-n", "1")
    next_line(process)
    ticks = os.sysconf("SC_CLK_TCK")

    def used() -> float:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / ticks

    before = used()
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], 2)[0] == []
    assert used() - before <= 0.03


def test_completion_knows_the_words() -> None:
    """The filters' values are offered at TAB."""
    from molecule_approve.cli import audit_tail  # noqa: PLC0415 - beside its one use

    assert "granted" in audit_tail._outcomes()
    assert "rbac" in audit_tail._event_types()
