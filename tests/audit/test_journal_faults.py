"""Every system call of one append, and of one rotation, fails in turn: nothing acknowledged is lost, the next append works.

The calls are counted, and made to fail, by strace on a real writer; a death is at the entry of a call, so that the state
between any two calls on the log's files is met. A short write cannot be injected (strace only pretends): there a file may
really not grow, or a disk is really full.
"""

from __future__ import annotations

import itertools
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from molecule_approve.audit.files import head_path
from molecule_approve.audit.journal import Journal
from molecule_approve.errors import AuditError
from tests.audit import standing
from tests.audit.crew import Crew, Ended, is_whole, why_no_strace, write_once
from tests.audit.records import record

if TYPE_CHECKING:
    from molecule_approve.audit.record import Record

pytestmark = pytest.mark.usefixtures("untraced")  # the journal's own tests run all of it

LIMIT = 900
"""Bytes that three records have, so that the fourth begins a new file."""

STRANGER = b"a file that somebody else put here\n"

GROWING = frozenset({"openat", "mkdir", "write", "pwrite64", "linkat", "rename", "fsync"})
"""What can answer that the disk is full."""

ERRORS = ("EIO", "ENOSPC", "EDQUOT", "EACCES", "EROFS", "EMFILE", "ENOMEM", "EINTR")
"""What a system may answer."""

KILL = "signal=KILL"

KILLED = ("fresh", "sealed", "archive's name taken")
FAILED = ("fresh", "sealed", "rotation due")
"""What the suite has the time for: between them every call of an append and of a rotation. The soak tries all."""


@pytest.fixture(scope="module")
def crew() -> Iterator[Crew]:
    """Forks the writers that are struck."""
    with Crew() as found:
        yield found


@dataclass
class Scene:
    """A log before the append that is struck.

    Attributes:
        log: its path.
        limit: bytes at which it is rotated.
        what: what the writer does.
        before: the records that stand in it.
        key: the first key's text, where it is sealed.
        strangers: how many files of others stand in the way.

    """

    log: Path
    limit: int | None = None
    what: str = "append"
    before: list[standing.Standing] = field(default_factory=list)
    key: str = ""
    strangers: int = 0

    @property
    def journal(self) -> Journal:
        return Journal(self.log, limit=self.limit)


def _numbered(number: int) -> Record:
    return record("initiated", f"trace-{number}", mark=f"before-{number}")


def _fresh(scene: Scene) -> None:
    """No file and no folder yet."""


def _ordinary(scene: Scene) -> None:
    journal = Journal(scene.log, limit=None)
    for number in range(3):
        journal.append(_numbered(number), patience=0)


def _due(scene: Scene) -> None:
    _ordinary(scene)
    scene.limit = LIMIT


def _taken(scene: Scene) -> None:
    """Another file has the name that the archive would get."""
    _due(scene)
    scene.log.with_name(f"{scene.log.name}.000000000001-000000000003").write_bytes(STRANGER)
    scene.strangers = 1


def _half_done(scene: Scene) -> None:
    """A rotation was killed: one file has two names."""
    _ordinary(scene)
    os.link(scene.log, scene.log.with_name(f"{scene.log.name}.000000000001-000000000003"))


def _rotate(scene: Scene) -> None:
    _ordinary(scene)
    scene.what = "rotate"


def _torn(scene: Scene) -> None:
    """A power cut left half a line."""
    _ordinary(scene)
    with scene.log.open("ab") as file:
        file.write(b'{"timestamp":"2026')


def _sealed(scene: Scene) -> None:
    scene.key = scene.journal.init(_numbered(0), new_key=False, patience=0).to_text()
    for number in (1, 2):
        scene.journal.append(_numbered(number), patience=0)


def _sealed_due(scene: Scene) -> None:
    _sealed(scene)
    scene.limit = LIMIT


def _grant(scene: Scene) -> None:
    """The search for an earlier grant reads the archive, too."""
    _ordinary(scene)
    scene.journal.rotate(patience=0)
    scene.what = "grant"


Prepare = Callable[[Scene], None]
SITUATIONS: dict[str, Prepare] = {
    "fresh": _fresh,
    "ordinary": _ordinary,
    "rotation due": _due,
    "sealed": _sealed,
    "audit rotate": _rotate,
    "archive's name taken": _taken,
    "rotation half done": _half_done,
    "torn": _torn,
    "sealed, rotation due": _sealed_due,
    "grant": _grant,
}


def _is_kept(scene: Scene, ended: Ended, after: list[standing.Standing]) -> None:
    """What stood before stands, and of the struck record all or nothing; all, if it was acknowledged."""
    assert after[: len(scene.before)] == scene.before
    new = [record.fields.get("mark", record.fields.get("reason")) for record in after[len(scene.before) :]]
    # The archive with the last record could not be opened: that is said, and the chain goes on from the remembered head.
    unreadable = ["unreadable"] * (re.search(r"jsonl\.0.* = -1 .*INJECTED", ended.struck) is not None)
    assert new in ([], ["struck-0"], ["torn_line", "struck-0"], ["torn_line"], [*unreadable, "struck-0"]), new
    if ended.said is not None and "seq" in ended.said:
        standing.keeps(after, [ended.said])


def _torn_end(log: Path) -> bytes:
    return log.read_bytes().rpartition(b"\n")[2] if log.exists() else b""


def _goes_on(after: list[standing.Standing], final: list[standing.Standing], torn: bytes) -> None:
    """The next record follows; a torn line is named, and nothing is called damage that is none."""
    assert final[: len(after)] == after
    new = [record.fields.get("mark", record.fields.get("reason")) for record in final[len(after) :]]
    lacks_only_its_newline = torn.endswith(b'"}')
    assert new == ["struck-0"] * lacks_only_its_newline + ["torn_line"] * bool(torn) + ["before-99"]


def _is_rotated(scene: Scene) -> None:
    """A rotation that was due, or half done, is done by now; no file was overwritten, and none has two names."""
    files = [path for path in scene.log.parent.glob("audit.jsonl*") if path.suffix not in standing.BESIDE]
    assert [path.stat().st_nlink for path in files] == [1] * len(files)
    assert sum(path.read_bytes() == STRANGER for path in files) == scene.strangers
    if scene.limit is not None:
        assert scene.before[0].line not in scene.log.read_bytes()


@dataclass
class Range:
    """Where writers are struck: each in a folder of its own."""

    crew: Crew
    folder: Path
    used: int = 0

    def scene(self, situation: str) -> Scene:
        """The situation, made afresh."""
        self.used += 1
        scene = Scene(self.folder / f"{self.used}" / "state" / "audit.jsonl")
        scene.log.parent.parent.mkdir()
        SITUATIONS[situation](scene)
        scene.before = standing.history(scene.log)
        return scene

    def check(self, scene: Scene, ended: Ended) -> None:
        """What must hold after a fault: at once, after the next plain append, and for the proof."""
        after = standing.history(scene.log)
        _is_kept(scene, ended, after)
        torn = _torn_end(scene.log)
        scene.journal.append(_numbered(99), patience=0)
        final = standing.history(scene.log)
        _goes_on(after, final, torn)
        if scene.key:
            standing.check_seals(final, scene.key)
        _is_rotated(scene)
        assert is_whole(scene.log)

    def strike(self, situation: str, fault: str) -> Ended:
        """One record, and one call of its writer struck."""
        scene = self.scene(situation)
        ended = write_once(self.crew, scene.log, limit=scene.limit, what=scene.what, fault=fault)
        self.check(scene, ended)
        return ended

    def strike_all(self, situation: str, kind: str, names: frozenset[str] | None = None) -> None:
        """One append for each of its calls, in which that call is struck; on demand only calls of these names."""
        calm = self.strike(situation, "")
        assert calm.said is not None
        assert "error" not in calm.said
        assert len(calm.calls) > 20
        for call in calm.calls:
            if names is None or call.name in names:
                ended = self.strike(situation, f"{call.name}:{kind}:when={call.number}")
                # A death leaves nobody who says anything; after an error the writer lives and says one thing or the other.
                assert (ended.code, ended.said is None) == ((-9, True) if kind == KILL else (0, False)), call
                assert kind == KILL or ended.struck, call


@pytest.fixture
def ground(crew: Crew, tmp_path: Path) -> Range:
    """Where writers are struck."""
    return Range(crew, tmp_path)


needs_strace = pytest.mark.skipif(bool(why_no_strace()), reason=why_no_strace() or "never")


@needs_strace
@pytest.mark.parametrize("situation", KILLED)
def test_a_death_at_any_system_call_loses_nothing(situation: str, ground: Range) -> None:
    """Killed at the entry of each call in turn: the record stands whole or not at all, and the next append goes on."""
    ground.strike_all(situation, KILL)


@needs_strace
@pytest.mark.parametrize("situation", FAILED)
def test_an_io_error_at_any_system_call_loses_nothing(situation: str, ground: Range) -> None:
    """EIO in each call in turn."""
    ground.strike_all(situation, "error=EIO")


@needs_strace
@pytest.mark.parametrize("situation", FAILED)
def test_a_full_disk_at_any_system_call_loses_nothing(situation: str, ground: Range) -> None:
    """ENOSPC in each call in turn that can give it."""
    ground.strike_all(situation, "error=ENOSPC", GROWING)


@needs_strace
@pytest.mark.soak
@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("kind", [KILL, *(f"error={error}" for error in ERRORS)])
def test_anything_at_any_system_call_loses_nothing(situation: str, kind: str, ground: Range) -> None:
    """The whole product: a death and each error, in each call, in each situation."""
    ground.strike_all(situation, kind)


@needs_strace
@pytest.mark.parametrize("error", ["EIO", pytest.param("EMFILE", marks=pytest.mark.soak)])
def test_no_error_makes_one_approval_open_two_gates(error: str, ground: Range) -> None:
    """The earlier grant stands in an archive; whichever call fails, it is never granted again."""
    scene = _granted_in_an_archive(ground)
    calls = write_once(ground.crew, scene.log, what="grant").calls
    assert len(calls) > 20
    for call in calls:
        ended = write_once(ground.crew, scene.log, what="grant", fault=f"{call.name}:error={error}:when={call.number}")
        assert ended.struck, call
        assert ended.said is not None
        assert "error" in ended.said, call
    assert standing.history(scene.log) == scene.before


@pytest.mark.parametrize(("remembered", "older"), [(True, False), (True, True), (False, False)])
def test_an_archive_that_cannot_be_unpacked_is_named_and_grants_nothing(
    ground: Range, *, remembered: bool, older: bool
) -> None:
    """The chain goes on from the remembered head, nobody is said to have deleted anything, and no use is ruled out."""
    scene = _granted_in_an_archive(ground, older=older)
    scene.log.unlink()
    max(scene.log.parent.glob("audit.jsonl.0*")).unlink()
    scene.log.with_name("audit.jsonl.1.gz").write_bytes(b"no gzip at all")
    if not remembered:
        head_path(scene.log).unlink()
    with pytest.raises(AuditError, match=r"cannot tell whether .*: cannot read .*audit\.jsonl\.1\.gz") as caught:
        scene.journal.grant(_numbered(5), approval_id="struck-0", patience=0)
    assert "audit verify" in caught.value.hint
    scene.journal.append(_numbered(6), patience=0)
    first = scene.before[-1].seq + 1 if remembered else 1
    recovered, written = standing.records(scene.log.read_bytes())
    assert (recovered.seq, written.seq) == (first, first + 1)
    assert (recovered.fields["reason"], recovered.fields["unreadable"]) == ("unreadable", ["audit.jsonl.1.gz"])
    assert written.fields["mark"] == "before-6"
    assert (recovered.fields["log_id"] == scene.before[0].fields["log_id"]) is remembered
    assert not is_whole(scene.log)


def _granted_in_an_archive(ground: Range, *, older: bool = False) -> Scene:
    """With another archive before it, on demand."""
    scene = ground.scene("ordinary")
    if older:
        scene.journal.rotate(patience=0)
    assert "seq" in (write_once(ground.crew, scene.log, what="grant", traced=False).said or {})
    scene.journal.rotate(patience=0)
    scene.journal.append(_numbered(9), patience=0)
    scene.before = standing.history(scene.log)
    return scene


@pytest.mark.parametrize("situation", ["fresh", "ordinary", "rotation due", "sealed", "torn"])
def test_a_write_that_is_cut_short_loses_nothing(situation: str, ground: Range) -> None:
    """A file that may really not grow takes nothing, one byte, half a record, or all but the newline; each is closed."""
    calm = ground.scene(situation)
    told = write_once(ground.crew, calm.log, limit=calm.limit, traced=False)
    assert told.said is not None
    length = len(standing.history(calm.log)[-1].line)
    for fitting in (0, 1, length // 2, length):
        scene = ground.scene(situation)
        size = scene.log.stat().st_size if scene.limit is None and scene.before else 0
        ended = write_once(ground.crew, scene.log, limit=scene.limit, traced=False, room=size + fitting)
        assert ended.said is not None
        assert "File too large" in ended.said["error"]
        ground.check(scene, ended)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", folder], capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip("only root can mount a tiny disk; a file that may not grow is tried above")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("limit", [None, 5_000])
def test_a_disk_that_fills_up_loses_nothing(tiny_disk: Path, limit: int | None) -> None:
    """Appended until no record fits, also while files are rotated; once there is space again, the log goes on."""
    log = tiny_disk / "state" / "audit.jsonl"
    journal = Journal(log, limit=limit)
    filler = tiny_disk / "filler"
    filler.write_bytes(bytes(4096 * 4))
    told: list[dict[str, object]] = []

    def fill() -> None:
        for number in itertools.count():
            head = journal.append(_numbered(number), patience=0)
            told.append({"seq": head.seq, "hash": head.hash, "mark": f"before-{number}"})

    with pytest.raises(AuditError, match="No space left") as caught:
        fill()
    assert caught.value.hint == "the disk is full: free some space"
    assert len(told) > 50
    standing.keeps(standing.history(log), told)
    filler.unlink()
    journal.append(_numbered(len(told) + 1), patience=0)
    found = standing.history(log)
    standing.keeps(found, told)
    assert [record.fields["reason"] for record in found if "reason" in record.fields] in ([], ["torn_line"])
