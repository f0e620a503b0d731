"""What the audit log costs, as one table of ratios from one interleaved run: against plain writing, GNU tail, and hashing.

Run it with ``make bench``. It needs no network, some 1.4 GB in the folder of temporary files (or fewer: ``--large``), and
two minutes. Single times say little on a machine that others use too: read the ratios, which are taken pair by pair. It
judges nothing; the goals stand in the table to be compared.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import select
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from molecule_approve.audit.journal import Journal
from molecule_approve.audit.record import Record

if TYPE_CHECKING:
    from molecule_approve.model import JsonValue

PROGRAM = [str(Path(sys.executable).parent / "molecule-approve")]
HASH = "import hashlib, sys; print(hashlib.file_digest(open(sys.argv[1], 'rb'), 'sha256').hexdigest())"
PASS = [sys.executable, "-c", "pass"]
MIB = 1 << 20
NOW = "2026-04-27T10:00:00.000000Z"


@dataclass
class Row:
    """One figure: its samples and what they are compared with, pair by pair, in milliseconds; and the goal as it was set."""

    name: str
    goal: str
    against: str
    size: int = 0
    samples: list[float] = field(default_factory=list)
    base: list[float] = field(default_factory=list)

    def text(self) -> str:
        """The row of the table: median, 99th percentile, the base's median, the median of the ratios, megabytes a second."""
        ordered = sorted(self.samples)
        p99 = ordered[min(len(ordered) - 1, round(0.99 * (len(ordered) - 1)))]
        middle = statistics.median(ordered)
        ratio = statistics.median(ours / theirs for ours, theirs in zip(self.samples, self.base, strict=True))
        rate = f"{self.size / middle / 1e3:6.0f} MB/s" if self.size else ""
        numbers = f"{middle:9.3f} {p99:9.3f} {statistics.median(self.base):9.3f} {ratio:7.2f} x"
        return f"{self.name:<38} {numbers} {rate:>11}   {self.against:<28} {self.goal}"


def took(work: Callable[[], object]) -> float:
    """Milliseconds."""
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) * 1e3


def record(number: int) -> Record:
    """As long as the program's own: some 650 bytes."""
    trace = f"7d444840-9dc0-11d1-b245-{number:012d}"
    extras: dict[str, JsonValue] = {
        "invocation": f"9b2c1f6e-3a55-4a1e-8d0f-{number:012d}",
        "approval_id": f"1f0e9c2a-77aa-4c55-b0b5-{number:012d}",
        "timeout_seconds": 300.0,
        "transport": "websocket",
        "host": "build-7.example.org",
        "audit_head": f"{number}:{'0' * 64}",
    }
    return Record(NOW, "approval", "ws-1", "ws-1", "approve", "deploy to production " + "x" * 60, "requested", trace, extras)


# --- appending ---------------------------------------------------------------------------------------------------------


def measure_append(folder: Path, rounds: int) -> Row:
    """One writer: our append, then the same bytes written and synced."""
    row = Row("append, one writer", "", "os.write + os.fsync")
    journal = Journal(folder / "one" / "audit.jsonl", limit=None)
    journal.append(record(0), patience=0)
    line = journal.path.read_bytes()
    plain = os.open(folder / "plain", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for number in range(rounds):
        row.samples.append(took(partial(journal.append, record(number), patience=1)))
        row.base.append(took(lambda: plain_append(plain, line)))
    os.close(plain)
    return row


def plain_append(handle: int, line: bytes) -> None:
    os.write(handle, line)
    os.fsync(handle)


def measure_crowd(folder: Path, rounds: int, each: int = 40) -> Row:
    """Eight writers at once: the time for each record, all of them together."""
    row = Row("append, eight writers, a record", "", "os.write + os.fsync, eight")
    log, plain = folder / "eight" / "audit.jsonl", folder / "plain8"
    Journal(log, limit=None).append(record(0), patience=0)
    line = log.read_bytes()

    def ours() -> None:
        journal = Journal(log, limit=None)
        for number in range(each):
            journal.append(record(number), patience=60)

    def theirs() -> None:
        handle = os.open(plain, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        for _ in range(each):
            plain_append(handle, line)

    for _ in range(rounds):
        row.samples.append(took(lambda: crowd(ours)) / (8 * each))
        row.base.append(took(lambda: crowd(theirs)) / (8 * each))
    return row


def crowd(work: Callable[[], None]) -> None:
    """Eight processes do it at once."""
    children = [child(work) for _ in range(8)]
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    assert codes == [0] * 8


def child(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return pid


# --- a log of any size -------------------------------------------------------------------------------------------------


def lines(size: int) -> Iterator[bytes]:
    """A chained log of about so many bytes; as our own encoder writes it, but much faster."""
    digest, number, resource = "0" * 64, 0, "deploy to production " + "x" * 60
    begun = f'{{"timestamp":"{NOW}","event_type":"approval","workspace_id":"ws-1","actor":"ws-1","action":"approve",'
    begun += f'"resource":"{resource}","outcome":"'
    note = f'"transport":"websocket","note":"{"n" * 120}","log_id":"0a3d7c52-8f0e-4a57-9a2e-0d5a3f1f7c11"'
    while size > 0:
        number += 1
        # Each request begins and ends: open ones would be remembered.
        outcome = "initiated" if number % 2 else "granted"
        trace = f"7d444840-9dc0-11d1-b245-{(number + 1) // 2:012d}"
        told = f'{outcome}","trace_id":"{trace}","invocation":"{trace}",{note},"seq":{number},"prev":"{digest}"}}'
        line = (begun + told).encode()
        digest = hashlib.sha256(line).hexdigest()
        size -= len(line) + 1
        yield line + b"\n"


def written(path: Path, pieces: Iterable[bytes]) -> Path:
    path.parent.mkdir(mode=0o700)
    with path.open("wb") as file:
        file.writelines(pieces)
    path.chmod(0o600)
    return path


def run(command: list[str]) -> None:
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)


def ours(*words: str | Path) -> list[str]:
    return [*PROGRAM, "audit", *map(str, words)]


def measure_tail(small: Path, large: Path, rounds: int) -> list[Row]:
    """The last ten records of a small log and of a large one, each against GNU tail, and one against the other."""
    rows = [
        Row("tail -n 10, 1 MiB", "", "GNU tail"),
        Row(f"tail -n 10, {large.stat().st_size // MIB} MiB", "", "GNU tail"),
        Row(f"tail -n 10, {large.stat().st_size // MIB} MiB", "1.0 x", "ours, 1 MiB"),
        Row("tail -n 10, 1 MiB", "", "python -c pass"),
    ]
    for _ in range(rounds):
        on_small, on_large = (took(partial(run, ours("tail", "-n", "10", "--audit-log", log))) for log in (small, large))
        gnu_small, gnu_large = (took(partial(run, ["tail", "-n", "10", str(log)])) for log in (small, large))
        pairs = [(on_small, gnu_small), (on_large, gnu_large), (on_large, on_small), (on_small, took(lambda: run(PASS)))]
        for row, (sample, base) in zip(rows, pairs, strict=True):
            row.samples.append(sample)
            row.base.append(base)
    return rows


def measure_follow(folder: Path, rounds: int) -> Row:
    """From just before an append to its line in the follower's pipe; against the same with plain writing and GNU tail."""
    row = Row("tail -f: before the append -> shown", "shown <= 5 ms after", "plain write, GNU tail -f")
    journal, plain = Journal(folder / "follow" / "audit.jsonl"), folder / "followed"
    journal.append(record(0), patience=0)
    line = journal.path.read_bytes()
    plain.write_bytes(line)
    handle = os.open(plain, os.O_WRONLY | os.O_APPEND)
    with (
        following(ours("tail", "-f", "-n", "1", "--audit-log", journal.path)) as our_pipe,
        following(["tail", "-f", "-n", "1", str(plain)]) as their_pipe,
    ):
        for number in range(rounds):
            append = partial(journal.append, record(number), patience=1)
            row.samples.append(took(partial(shown, our_pipe, append)))
            row.base.append(took(lambda: shown(their_pipe, lambda: plain_append(handle, line))))
            time.sleep(0.01)  # both are waiting again
    os.close(handle)
    return row


@contextmanager
def following(command: list[str]) -> Iterator[int]:
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        pipe = process.stdout.fileno()
        line_of(pipe)
        time.sleep(0.5)  # it has begun to wait
        try:
            yield pipe
        finally:
            process.kill()


def shown(pipe: int, write: Callable[[], object]) -> None:
    write()
    line_of(pipe)


def line_of(pipe: int) -> None:
    data = b""
    while not data.endswith(b"\n"):
        assert select.select([pipe], [], [], 10)[0], "nothing was shown"
        data += os.read(pipe, 65_536)


def measure_verify(log: Path, rounds: int) -> list[Row]:
    """The proof on one core and on two, against one process that hashes the same bytes; start-up included in both."""
    size = log.stat().st_size
    cores = sorted(os.sched_getaffinity(0))
    one = Row("verify, one core", ">= 220 MB/s", "hashing, one core", size)
    two = Row("verify, two cores", "", "hashing, one core", size)
    gain = Row("verify, two cores", "<= 0.67 x", "verify, one core", size)
    for _ in range(rounds):
        hashing = took(lambda: on(cores[:1], [sys.executable, "-c", HASH, str(log)]))
        alone = took(lambda: on(cores[:1], ours("verify", "--audit-log", log)))
        both = took(lambda: on(cores[:2], ours("verify", "--audit-log", log)))
        for row, sample, base in ((one, alone, hashing), (two, both, hashing), (gain, both, alone)):
            row.samples.append(sample)
            row.base.append(base)
    return [one, two, gain]


def on(cores: list[int], command: list[str]) -> None:
    """Run it on these cores only: a child inherits ours."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        run(command)
    finally:
        os.sched_setaffinity(0, before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "-n", "--rounds", type=int, default=15, help="rounds of what starts processes (15); the rest has more"
    )
    parser.add_argument("--large", type=int, default=1024, help="MiB of the large log (1024)")
    parser.add_argument("--proved", type=int, default=256, help="MiB of the log that is verified (256)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = [measure_append(folder, given.rounds * 40), measure_crowd(folder, max(3, given.rounds // 3))]
        small = written(folder / "small" / "audit.jsonl", lines(MIB))
        rows += measure_verify(
            written(folder / "proved" / "audit.jsonl", lines(given.proved * MIB)), max(3, given.rounds // 3)
        )
        rows += measure_tail(small, written(folder / "large" / "audit.jsonl", lines(given.large * MIB)), given.rounds)
        rows.append(measure_follow(folder, given.rounds * 20))
    print(f"n = {given.rounds}, Python {sys.version.split()[0]}, {os.cpu_count()} cores")
    print(f"{'milliseconds':<38} {'median':>9} {'p99':>9} {'base':>9} {'ratio':>9} {'':>11}   {'against':<28} goal")
    for row in rows:
        print(row.text())


if __name__ == "__main__":
    main()
