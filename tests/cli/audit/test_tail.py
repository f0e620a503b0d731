"""``audit tail`` as a shell, a pipe, a terminal and a person with Ctrl-C see it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from molecule_approve.audit.journal import Journal
from molecule_approve.cli.main import main
from tests.audit.records import record
from tests.callers import start as launch

TAIL = ("audit", "tail")


@pytest.fixture
def journal(log: Path) -> Journal:
    """A log of twelve records, one line of another tool, and one that is no record."""
    journal = Journal(log)
    for number in range(12):
        outcome = "denied" if number % 3 == 0 else "granted"
        journal.append(record(outcome, f"trace-{number}", resource=f"deploy {number}", actor="alice"), patience=0)
    with log.open("ab") as file:
        file.write(b'{"event_type":"memory","outcome":"granted","resource":"x"}\n\xff\x1b[31m raw\n')
    return journal


@pytest.fixture
def start(log: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """The real program, with pipes; none stays behind."""
    started: list[subprocess.Popen[bytes]] = []

    def run(*args: str, stdout: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
        started.append(launch((*TAIL, *args), stdout=stdout, stderr=subprocess.PIPE, bufsize=0))
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
    process = launch((*TAIL, *args), stdout=slave, stderr=subprocess.PIPE)
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
        (["--outcome", "approved"], 9),
        (["--event-type", "memory"], 1),
        (["--actor", "alice", "-n", "99"], 12),
        (["--actor", "al"], 0),
        (["--trace", "trace-1"], 3),
        (["--since", "2026-04-27T10:00:00Z"], 12),
        (["--since", "2026-04-27T10:00:00Z", "-n", "1"], 1),
        (["--since", "1s"], 0),
    ):
        assert main(["audit", "tail", *args]) == 0
        assert capfd.readouterr().out.count("\n") == count, args


def test_an_outcome_that_no_record_has_is_an_error(journal: Journal, capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing would be found and nothing said; the words are listed."""
    assert main(["audit", "tail", "--outcome", "aproved"]) == 2
    found = capfd.readouterr()
    assert found.out == ""
    assert "no record has the outcome 'aproved'" in found.err
    assert "granted, denied, timeout" in found.err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ((), "molecule-approve: no record has the outcome expired\n"),
        (("--actor", "alice"), "molecule-approve: no record that fits the other filters has the outcome expired\n"),
        (("-n", "0"), ""),
    ],
)
def test_an_outcome_that_nothing_had_yet_is_told(
    journal: Journal, capfd: pytest.CaptureFixture[str], more: tuple[str, ...], said: str
) -> None:
    """In the word that was asked for: silence could as well mean that the log was not looked at."""
    assert main(["audit", "tail", "--outcome", "expired", *more]) == 0
    assert capfd.readouterr() == ("", said)


def test_an_event_type_that_nobody_wrote_is_an_error(journal: Journal, log: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Where it has found nothing; ours are known always, and other tools' where they stand in this log, an archive too."""
    assert journal.rotate(patience=0) is not None
    journal.append(record("granted", resource="newer"), patience=0)
    assert main(["audit", "tail", "--event-type", "aproval"]) == 2
    found = capfd.readouterr()
    assert found.out == ""
    assert "no record has the event type 'aproval'" in found.err
    assert "hint: one of: approval, rbac, audit, memory\n" in found.err
    for word, more in (("rbac", ()), ("memory", ()), ("memory", ("--outcome", "granted")), ("memory", ("-n", "0"))):
        assert main(["audit", "tail", "--event-type", word, *more]) == 0
        assert capfd.readouterr().err == ""
    with log.open("ab") as file:
        file.write(b"".join(b'{"event_type":"tool %02d"}\n{"event_type":7}\n' % number for number in range(30)))
    assert main(["audit", "tail", "--event-type", "aproval"]) == 2
    assert "rbac, audit, memory, tool 00, " in (said := capfd.readouterr().err)
    assert said.endswith("tool 15, …\n")


@pytest.mark.measured
def test_who_follows_waits_also_for_what_nobody_wrote_yet(
    journal: Journal, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    """Another tool may begin to write it: a warning; none for a word that stands in the log."""
    known, unknown = start("-f", "--event-type", "memory"), start("-f", "--event-type", "notes")
    assert b'"memory"' in next_line(known)
    assert unknown.stderr is not None
    assert select.select([unknown.stderr], [], [], 30)[0]
    assert b"warning: --event-type: no record has the event type 'notes'" in unknown.stderr.readline()
    journal.append(record("granted", event="notes"), patience=1)
    assert b'"notes"' in next_line(unknown)
    for process in (known, unknown):
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(30) == 0
    assert known.stderr is not None
    assert known.stderr.read() == b""


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
    assert "hint: set another path" in capfd.readouterr().err


def test_a_terminal_gets_a_coloured_row_a_record(journal: Journal) -> None:
    """A header, then readable rows, with a colour for the outcome, and a mark where nothing vouches for the line."""
    header, first, second, third = on_a_terminal("-n", "3").splitlines()
    assert header.startswith("\x1b[1m  TIME (UTC)")
    assert "\x1b[1;32mgranted" in first
    assert "deploy 11" in first
    assert "unchained" not in first
    assert "unchained" in second
    assert "\x1b[1;32m" not in second
    assert r"\xff\x1b[31m raw" in third


@pytest.mark.parametrize(
    ("environ", "coloured"),
    [
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
        ({"CI": "true"}, False),
        ({"CI": "true", "FORCE_COLOR": "1"}, True),
    ],
)
def test_colours_are_left_out_where_they_are_not_wanted(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], coloured: bool
) -> None:
    """NO_COLOR, a dumb terminal and CI get the same words without a control code, but for FORCE_COLOR."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    shown = on_a_terminal("-n", "3")
    assert ("\x1b" in shown) is coloured
    assert "deploy 11  approval" not in shown
    assert coloured or "  04-27 10:00:00  granted    deploy 11" in shown


@pytest.mark.measured
def test_rows_fit_the_window_also_when_its_size_changes(journal: Journal, log: Path) -> None:
    """What comes after the change fits the new width, below a header of its own."""
    master, slave = pty.openpty()
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    process = launch((*TAIL, "-f", "-n", "1"), stdout=slave, stderr=subprocess.PIPE)
    os.close(slave)
    shown = b""

    def until(lines: int) -> None:
        nonlocal shown
        while shown.count(b"\n") < lines:
            assert select.select([master], [], [], 30)[0], "nothing was shown"
            shown += os.read(master, 65_536)

    try:
        until(2)
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
        journal.append(record("granted", resource="x" * 200), patience=1)
        until(4)
    finally:
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=30)[1] == b""
        os.close(master)
    assert process.returncode == 130
    rows = [re.sub(r"\x1b\[[\d;]*m", "", row) for row in shown.decode().splitlines()]
    assert rows[0].endswith("TRACE")
    assert rows[2] == "  TIME UTC  OUTCOME    ACTION"
    assert rows[3] == f"  10:00:00  granted    {'x' * 16}…"


@pytest.mark.measured
def test_json_on_a_terminal_is_made_visible(journal: Journal) -> None:
    """The file's own lines, but nothing that a terminal would obey."""
    shown = on_a_terminal("-n", "2", "--json")
    assert '{"event_type":"memory","outcome":"granted","resource":"x"}\r\n' in shown
    assert "\\xff\\u001b[31m raw\r\n" in shown
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
    assert b"was truncated from" in process.stderr.read()


@pytest.mark.measured
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


@pytest.mark.measured
def test_output_that_cannot_be_written_is_not_done(journal: Journal, start: Callable[..., subprocess.Popen[bytes]]) -> None:
    """A full disk behind stdout is no reader that went away: 125."""
    with Path("/dev/full").open("wb") as full:
        process = start("-n", "5", stdout=full.fileno())
        assert process.wait(30) == 125
    assert process.stderr is not None
    assert b"No space left" in process.stderr.read()


@pytest.mark.started
def test_a_quiet_follower_costs_almost_nothing(journal: Journal, start: Callable[..., subprocess.Popen[bytes]]) -> None:
    """It is told when something happens, and sleeps until then: who looks ten times a second wakes up ten times."""
    process = start("-f", "-n", "1")
    next_line(process)

    def woken() -> int:
        status = Path(f"/proc/{process.pid}/status").read_text()
        return int(re.findall(r"^voluntary_ctxt_switches:\t(\d+)$", status, re.MULTILINE)[0])

    assert process.stdout is not None
    assert select.select([process.stdout], [], [], 0.2)[0] == []
    before = woken()
    assert select.select([process.stdout], [], [], 0.7)[0] == []
    assert woken() - before <= 2


@pytest.mark.measured
def test_a_log_in_a_folder_that_is_not_there_yet_is_waited_for(
    log: Path, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    """That there is none is said, and its first record is shown when it comes; or nobody waits any more."""
    patient, other = start("-f"), start("-f")
    for process in (patient, other):
        assert process.stderr is not None
        assert select.select([process.stderr], [], [], 30)[0]
        assert process.stderr.readline() == f"molecule-approve: there is no audit log {log} yet\n".encode()
    assert other.stdout is not None
    other.stdout.close()
    assert other.wait(30) == 0
    Journal(log).append(record("granted"), patience=1)
    assert next_line(patient) == log.read_bytes()


def test_the_last_lines_in_a_pipe_need_no_heavy_module(journal: Journal) -> None:
    """No table, no compression, no temporary file, nothing of inotify: none is needed."""
    code = "import sys; from molecule_approve.cli.main import main; main(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COV")}  # it loads its own
    done = subprocess.run(
        [sys.executable, "-c", code, "audit", "tail", "-n", "3"], capture_output=True, check=True, timeout=60, env=environ
    )
    assert done.stdout.count(b"\n") == 3
    heavy = {"rich", "gzip", "tempfile", "ctypes", "yaml", "httpx", "molecule_approve.cli.audit.table"}
    assert not heavy & set(done.stderr.decode().split())


def test_a_rotation_is_not_seen_by_who_follows(
    journal: Journal, log: Path, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    """The last records come from the archive, the next ones from the new file, each byte for byte."""
    archive = journal.rotate(patience=1)
    assert archive is not None
    process = start("-f", "-n", "2")
    assert [next_line(process) for _ in range(2)] == archive.read_bytes().splitlines(keepends=True)[-2:]
    for _ in range(3):
        journal.append(record("granted"), patience=1)
        assert next_line(process) == log.read_bytes()
        assert journal.rotate(patience=1) is not None


def test_completion_knows_the_words() -> None:
    """The filters' values are offered at TAB."""
    from molecule_approve.cli.audit import tail  # noqa: PLC0415 - beside its one use

    assert "granted" in tail._outcomes()
    assert "rbac" in tail._event_types()
