"""The process behind ``crew.py``: it has the audit log's modules loaded, and forks a writer for each order.

A fork costs a millisecond where a start of Python costs sixty. Orders are JSON lines on stdin. Answers go to stdout, each in
one call and shorter than a pipe's atomic write, so that no kill leaves half of one and no writer's runs into another's.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import os
import resource
import select
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from molecule_approve.audit import rotation
from molecule_approve.audit.journal import Journal
from molecule_approve.audit.read import archives
from molecule_approve.audit.record import Record, RecordOutcome
from molecule_approve.errors import AuditError, UsedError
from tests.audit.records import record

Order = dict[str, Any]

LOADED = (archives, rotation)
"""What an append loads on demand: a start of its own for each fault would only cost time."""

TOGETHER = 5
"""Records that are appended together."""

PR_SET_PTRACER = 0x59616D61
ANYBODY = ctypes.c_ulong(-1)

CYCLE = (RecordOutcome.INITIATED, RecordOutcome.REQUESTED, RecordOutcome.GRANTED)


def record_for(order: Order, number: int) -> Record:
    """In a storm of requests: asked, taken, granted; a grant is searched for before it is written."""
    outcome = {"requests": CYCLE[number % 3], "grant": RecordOutcome.GRANTED}.get(order["what"], RecordOutcome.INITIATED)
    trace = f"{order['name']}-{number // 3}"
    mark: Order = {"mark": f"{order['name']}-{number}"}
    more = mark if outcome is RecordOutcome.INITIATED else mark | {"approval_id": trace}
    return record(outcome, trace, actor=order["name"], resource="x" * (number * 37 % 700), **more)


def say(**fields: object) -> None:
    os.write(1, json.dumps(fields).encode() + b"\n")


def write_once(journal: Journal, order: Order, number: int) -> None:
    """One record, and what its writer was told."""
    if order["what"] == "rotate":
        archive = journal.rotate(patience=0)
        say(archive=None if archive is None else archive.name)
        return
    if order["what"] == "together":
        records = [record_for(order, number) for number in range(TOGETHER)]
        heads = journal.append_all(records, patience=order["patience"])
        marks = [record.extras["mark"] for record in records]
        say(told=[{"seq": head.seq, "hash": head.hash, "mark": mark} for head, mark in zip(heads, marks, strict=False)])
        return
    told = record_for(order, number)
    if told.outcome is RecordOutcome.GRANTED:
        head = journal.grant(told, approval_id=told.trace_id, patience=order["patience"])
    else:
        head = journal.append(told, patience=order["patience"])
    say(seq=head.seq, hash=head.hash, mark=told.extras["mark"])


def once(order: Order) -> None:
    """One record, when we are told to go on: by then somebody traces us."""
    if sys.platform == "linux":
        # Where only ancestors may trace, everybody may trace this one; elsewhere the call fails, and nothing is lost.
        ctypes.CDLL(None).prctl(PR_SET_PTRACER, ANYBODY, 0, 0, 0)
    say(pid=os.getpid())
    os.read(0, 1)
    if order["room"] is not None:
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["room"], hard))
    try:
        write_once(Journal(Path(order["log"]), limit=order["limit"]), order, 0)
    except (AuditError, UsedError) as error:
        say(error=error.message)


def storm(order: Order) -> None:
    """Records without an end, until we are killed or nobody listens."""
    say(started=os.getpid())
    journal = Journal(Path(order["log"]), limit=order["limit"])
    for number in itertools.count():
        write_once(journal, order, number)
        select.select([], [], [], order["pause"])


def become(work: Any, order: Order) -> NoReturn:  # noqa: ANN401 - one of the two functions above
    """The child's whole life; no exception of it may reach the loop that forks."""
    code = 1
    try:
        work(order)
        code = 0
    except BaseException as error:  # noqa: BLE001 - told to the test, which fails
        say(fault=repr(error))
    finally:
        os._exit(code)


def orders() -> Iterator[Order]:
    """One at a time, and byte by byte: what follows an order is the child's."""
    line = b""
    while byte := os.read(0, 1):
        line += byte
        if byte == b"\n":
            yield json.loads(line)
            line = b""


def main() -> None:
    """Fork for each order. Nobody waits for a writer of a storm; the end of a single one is told."""
    for order in orders():
        is_storm = order["do"] == "storm"
        signal.signal(signal.SIGCHLD, signal.SIG_IGN if is_storm else signal.SIG_DFL)
        child = os.fork()
        if child == 0:
            become(storm if is_storm else once, order)
        if not is_storm:
            say(end=os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


if __name__ == "__main__":
    main()
