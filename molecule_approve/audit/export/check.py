"""Pure: checking an export of one request's records, on any machine, and reporting what proves which record.

Nothing in the document is trusted: whoever made it may have invented all of it. By itself it proves only that
its records fit together. A head that is known from elsewhere (the platform's context, a CI job's log) or the seal's key
proves that they are the log's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from molecule_approve.audit.chain import START, Link, link_of
from molecule_approve.audit.record import RecordAction, RecordOutcome, decode
from molecule_approve.audit.report.executions import NO_EXECUTIONS, ExecutionCount, Executions, executions_in
from molecule_approve.audit.report.receipts import receipts_in
from molecule_approve.audit.seal import Keys, SealKey, is_sealed

from .parse import ExportDocument, ExportedRecord, NotAnExportError, RecordHash, read

FAULTS_KEPT = 20
"""Faults that are reported one by one; all are counted."""


class ForeignHead(NamedTuple):
    """A head that is known from elsewhere, and the records that it proves; none if it was not found."""

    seq: int
    hash: str
    proves: tuple[int, ...]

    @property
    def met(self) -> bool:
        """Whether it proves anything."""
        return bool(self.proves)


class ExportReport(NamedTuple):
    """The result of checking an export. Texts from the document are unescaped: make them visible before printing.

    Attributes:
        whole: whether no fault was found, and every expected head proves a record.
        faults: what is wrong, the first :data:`FAULTS_KEPT`.
        fault_count: how much is wrong.
        log_id, trace_id: what the document is about; empty where it cannot be read.
        records: numbers of the records, in their order.
        outcomes: their outcomes, beside them.
        complete: whether it holds all lines up to the head.
        head: the log's head when it was exported, as the document says.
        expected: the heads that were given, and what each proves.
        sealed: numbers of the records that carry a seal.
        seal_checked: numbers of those whose seal holds under a key that was given.
        executions: what its records say of the request's command; a start that was not approved is a warning, not a fault.
        receipts: numbers of the records whose receipts are in it.
        missing_receipts: numbers of those whose receipts are not, which is a warning: they may have been moved away.
        said: all of this in sentences, the verdict first.
    """

    whole: bool
    faults: tuple[str, ...]
    fault_count: int
    log_id: str = ""
    trace_id: str = ""
    records: tuple[int, ...] = ()
    outcomes: tuple[str, ...] = ()
    complete: bool = False
    head: RecordHash | None = None
    expected: tuple[ForeignHead, ...] = ()
    sealed: tuple[int, ...] = ()
    seal_checked: tuple[int, ...] = ()
    executions: ExecutionCount = NO_EXECUTIONS
    receipts: tuple[int, ...] = ()
    missing_receipts: tuple[int, ...] = ()
    said: tuple[str, ...] = ()


def check(document: bytes, keys: Sequence[SealKey] = (), expected: Sequence[tuple[int, str]] = ()) -> ExportReport:
    """Check an export, whatever the file's bytes are.

    ``keys`` are keys of the log's seals, if there are any. ``expected`` are numbers and hashes of records that are known
    from elsewhere; each has to prove a record.
    """
    try:
        claim = read(document)
    except NotAnExportError as exc:
        fault = str(exc)
        return ExportReport(whole=False, faults=(fault,), fault_count=1, said=(f"not whole: {fault}",))
    return _Check(claim, keys, expected).report()


@dataclass(slots=True)
class _Check:
    """One export, and what was found out about it."""

    claim: ExportDocument
    keys: Sequence[SealKey]
    wanted: Sequence[tuple[int, str]]
    faults: list[str] = field(default_factory=list)
    fault_count: int = 0
    lines: dict[int, tuple[bytes, Link]] = field(default_factory=dict)  # every line of the document, by its number
    seal_checked: list[int] = field(default_factory=list)

    def report(self) -> ExportReport:
        self._check_records()
        self._check_chain()
        self._check_links()
        self._check_marks()
        self._check_seals()
        receipts, missing = self._check_receipts()
        expected = tuple(self._meet(seq, digest) for seq, digest in self.wanted)
        claim = self.claim
        numbers = tuple(record.seq for record in claim.records)
        found = ExportReport(
            whole=self.fault_count == 0,
            faults=tuple(self.faults),
            fault_count=self.fault_count,
            log_id=claim.log_id,
            trace_id=claim.trace_id,
            records=numbers,
            outcomes=tuple(_outcome(record.line) for record in claim.records),
            complete=claim.chain is not None,
            head=claim.head,
            expected=expected,
            sealed=tuple(record.seq for record in claim.records if is_sealed(record.line)),
            seal_checked=tuple(seq for seq in self.seal_checked if seq in numbers),
            executions=self._executions(),
            receipts=receipts,
            missing_receipts=missing,
        )
        return found._replace(said=tuple(_sentences(found, claim)))

    def _executions(self) -> ExecutionCount:
        """What the records say of the request's command; of a complete export, that nothing was granted before it began."""
        found = Executions()
        found.add(executions_in([record.line for record in self.claim.records], ()))
        return found.counted(complete=self.claim.chain is not None)

    def _wrong(self, fault: str) -> None:
        self.fault_count += 1
        if len(self.faults) < FAULTS_KEPT:
            self.faults.append(fault)

    # --- the records, each by itself ---------------------------------------------------------------------------------------

    def _check_records(self) -> None:
        last = 0
        for record in self.claim.records:
            if record.seq <= last:
                self._wrong(f"record {record.seq} comes after record {last}")
            last = record.seq
            link = self._taken(record.line, f"record {record.seq}")
            if link is None:
                continue
            if link.seq != record.seq:
                self._wrong(f"record {record.seq}: its line says that it is record {link.seq}")
            if link.hash != record.hash:
                self._wrong(f"record {record.seq}: expected SHA-256 {record.hash}, found {link.hash}")
            if _trace(record.line) != self.claim.trace_id:
                self._wrong(f"record {record.seq} belongs to another request")
            self._check_neighbours(record, link)

    def _taken(self, line: bytes, name: str) -> Link | None:
        """The link of a line of this log, which is kept under its number; None, and a fault, for any other."""
        link = None if b"\n" in line else link_of(line)
        if link is None:
            self._wrong(f"{name}: its line is not a chained record")
        elif link.log_id != self.claim.log_id:
            self._wrong(f"{name}: its line belongs to another log")
        elif self.lines.setdefault(link.seq, (line, link))[0] != line:
            self._wrong(f"{name}: record {link.seq} has two different lines")
        else:
            return link
        return None

    def _check_neighbours(self, record: ExportedRecord, link: Link) -> None:
        before, after = record.before, record.after
        if before is not None and before.seq != link.seq - 1:
            self._wrong(f"record {record.seq}: the record before it was {before.seq}")
        if before is not None and before.hash != link.prev:
            self._wrong(f"record {record.seq} follows SHA-256 {link.prev}, and the record before it had {before.hash}")
        if link.seq == 1 and link.prev != START:
            self._wrong("record 1 names a record before it")
        if after is None:
            if record.seq < self.claim.head.seq:
                self._wrong(f"record {record.seq}: the record after it is missing, but the log continues")
        elif after.mark.seq != link.seq + 1:
            self._wrong(f"record {record.seq}: the record after it was {after.mark.seq}")
        elif after.prev != link.hash:
            self._wrong(f"record {record.seq}: the record after it follows SHA-256 {after.prev}, found {link.hash}")

    # --- the lines between, and what ties them -----------------------------------------------------------------------

    def _check_chain(self) -> None:
        chain = self.claim.chain
        if chain is None:
            return
        numbers = []
        for place, line in enumerate(chain, 1):
            link = self._taken(line, f"line {place} of the chain")
            if link is not None:
                numbers.append(link.seq)
        first, head = self.claim.records[0].seq, self.claim.head.seq
        # Of numbers that are too many to be there, a range costs nothing, and a list of them all the memory.
        if len(numbers) != head - first + 1 or any(seq != first + at for at, seq in enumerate(numbers)):
            self._wrong(f"the chain does not contain every record from {first} to the head, record {head}")
        known = {record.seq for record in self.claim.records}
        for seq in numbers:
            if seq not in known and _trace(self.lines[seq][0]) == self.claim.trace_id:
                self._wrong(f"record {seq} belongs to this request, but is only in the chain")

    def _check_links(self) -> None:
        """Lines with consecutive numbers: the one names the other."""
        for seq, (_, link) in sorted(self.lines.items()):
            before = self.lines.get(seq - 1)
            if before is not None and before[1].hash != link.prev:
                self._wrong(f"record {seq - 1}: expected SHA-256 {link.prev}, as record {seq} says, found {before[1].hash}")

    def _check_marks(self) -> None:
        """One record has one hash, wherever it is named; and nothing comes after the head."""
        known = {seq: link.hash for seq, (_, link) in self.lines.items()}
        head = self.claim.head
        for name, mark in _marks(self.claim):
            if known.setdefault(mark.seq, mark.hash) != mark.hash:
                self._wrong(f"{name}: record {mark.seq} has SHA-256 {mark.hash} here and {known[mark.seq]} elsewhere")
            if mark.seq > head.seq:
                self._wrong(f"{name} is record {mark.seq}, which comes after the head, record {head.seq}")
        remembered = self.claim.remembered
        if remembered is not None and remembered.log_id != self.claim.log_id:
            self._wrong("the remembered head belongs to another log")
        begun = [
            RecordHash(one.seq, one.hash) for one in self.claim.records if _outcome(one.line) == RecordOutcome.INITIATED
        ]
        if begun != list(self.claim.audit_heads):
            self._wrong("the heads sent to the platform do not match the records")

    # --- seals -------------------------------------------------------------------------------------------------------------

    def _check_seals(self) -> None:
        sealed = sorted(seq for seq, (line, _) in self.lines.items() if is_sealed(line))
        first = next((record.seq for record in self.claim.records if is_sealed(record.line)), None)
        if self.claim.sealed_from != first:
            self._wrong("the first sealed record is not the stated one")
        ours = [key for key in self.keys if key.log_id == self.claim.log_id]
        if self.keys and not ours:
            self._wrong("the given seal keys belong to another log")
        keys = Keys(ours) if ours else None
        for seq, (line, _) in sorted(self.lines.items()):
            asked = keys is not None and seq >= keys.first
            if not is_sealed(line):
                if asked or (sealed and seq > sealed[0]):
                    self._wrong(f"record {seq} has no seal")
            elif keys is not None and asked:
                self._check_seal(seq, line, keys)

    def _check_seal(self, seq: int, line: bytes, keys: Keys) -> None:
        if keys.hold(line, seq):
            self.seal_checked.append(seq)
        else:
            self._wrong(f"record {seq}: its seal is wrong")

    # --- receipts --------------------------------------------------------------------------------------------------------

    def _check_receipts(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The records whose receipts are in the document, and those whose are not. Each must be named, and unchanged."""
        named = receipts_in([record.line for record in self.claim.records])
        there = {one.sha256 for one in self.claim.receipts}
        for receipt in self.claim.receipts:
            if hashlib.sha256(receipt.text).hexdigest() != receipt.sha256:
                self._wrong(f"the receipt with SHA-256 {receipt.sha256} has another one")
        for digest in sorted(there - {one.sha256 for one in named}):
            self._wrong(f"no record names the receipt with SHA-256 {digest}")
        return (
            tuple(one.seq for one in named if one.sha256 in there),
            tuple(one.seq for one in named if one.sha256 not in there),
        )

    # --- heads from elsewhere ----------------------------------------------------------------------------------------

    def _meet(self, seq: int, digest: str) -> ForeignHead:
        """What an expected head proves: the record itself, and those from which the lines lead to it without a gap."""
        line = self.lines.get(seq)
        if line is None:
            named = any(mark == (seq, digest) for _, mark in _marks(self.claim))
            # A number and a hash are copied easily: only lines that lead there show that the records came before it.
            self._wrong(
                f"the expected record {seq} is named, but no lines lead to it (export with --complete)"
                if named
                else f"the expected record {seq} is missing"
            )
            return ForeignHead(seq, digest, ())
        if line[1].hash != digest:
            self._wrong(f"record {seq}: expected SHA-256 {digest}, found {line[1].hash}")
            return ForeignHead(seq, digest, ())
        first = seq
        while first - 1 in self.lines and self.lines[first - 1][1].hash == self.lines[first][1].prev:
            first -= 1
        return ForeignHead(seq, digest, tuple(record.seq for record in self.claim.records if first <= record.seq <= seq))


def _marks(claim: ExportDocument) -> Iterable[tuple[str, RecordHash]]:
    """Every place of the document that names a record and its hash without its line."""
    for record in claim.records:
        if record.before is not None:
            yield f"before record {record.seq}", record.before
        if record.after is not None:
            yield f"after record {record.seq}", record.after.mark
    yield "the head", claim.head
    if claim.remembered is not None:
        yield "the remembered head", claim.remembered.mark
    for mark in claim.audit_heads:
        yield "the head sent to the platform", mark


def _trace(line: bytes) -> object:
    return (decode(line) or {}).get("trace_id")


def _outcome(line: bytes) -> str:
    fields = decode(line) or {}
    seen = f" {fields.get('observed_outcome')}" if fields.get("action") == RecordAction.OBSERVE else ""
    return f"{fields.get('outcome')}{seen}"[:40]


# --- the words -----------------------------------------------------------------------------------------------------------


def _sentences(report: ExportReport, claim: ExportDocument) -> Iterable[str]:
    numbers = _listed(report.records)
    about = f"{numbers} of log {report.log_id}, request {report.trace_id}"
    if report.whole:
        yield f"whole: {about}"
    else:
        yield f"not whole, at {report.fault_count} {'place' if report.fault_count == 1 else 'places'}: {about}"
    yield from report.faults
    yield "outcomes: " + ", ".join(f"{seq} {what}" for seq, what in zip(report.records, report.outcomes, strict=True))
    yield from (f"warning: {odd}" for odd in report.executions.first_odd)
    if report.missing_receipts:
        yield f"warning: the receipts of {_listed(report.missing_receipts)} are not in the export"
    if report.receipts:
        yield f"with the receipts of {_listed(report.receipts)}: `molecule-approve receipt verify` says what they prove"
    if not report.whole:
        yield "a damaged export proves nothing: ask for a new one"
        return
    yield from _proofs(report)
    if not report.complete:
        yield "not proved: that these are all records of the request; export with --complete to prove it"
    if not report.expected and not report.seal_checked:
        yield from _advice(report, claim)


def _proofs(report: ExportReport) -> Iterable[str]:
    proved = {*report.seal_checked, *(seq for one in report.expected for seq in one.proves)}
    for one in report.expected:
        yield f"proved by the expected hash of record {one.seq}: {_listed(one.proves)} of the log, unchanged"
    if report.seal_checked:
        yield f"proved by the seal's key: {_listed(report.seal_checked)}, unchanged since they were written"
    if report.sealed and not report.seal_checked:
        yield "the records are sealed; pass --seal-key-file to check the seals"
    rest = tuple(seq for seq in report.records if seq not in proved)
    if rest:
        yield f"not proved: {_listed(rest)}; the hashes prove only that the records fit together"


def _advice(report: ExportReport, claim: ExportDocument) -> Iterable[str]:
    yield "whoever made this file could have invented all of it; compare it with a head that they cannot change:"
    for mark in claim.audit_heads:
        yield f"pass {mark.seq}:{mark.hash} to --expect, if the platform shows it as audit_head in this request's context"
    if report.complete:
        yield f"or pass any head from record {report.records[-1]} to {claim.head.seq}: all lines between are in the file"
    else:
        yield "an export with --complete can also be compared with later heads of the log"


def _listed(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:20])) + (", …" if len(numbers) > 20 else "")
    return f"record {shown}" if len(numbers) == 1 else f"records {shown}"
