"""Waiting for a log to change: told by the system, or by short waits where it does not tell."""

from __future__ import annotations

import ctypes
import itertools
import os
import resource
import select
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from molecule_approve.audit.files import head_path
from molecule_approve.audit.read import watch as watching
from molecule_approve.audit.read.watch import LOOK, POLL, Watch, library_for
from molecule_approve.errors import Interrupted


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "log"
    folder.mkdir()
    (folder / "audit.jsonl").write_bytes(b"1\n")
    return folder / "audit.jsonl"


@pytest.fixture
def watch(path: Path) -> Iterator[Watch]:
    with closing(Watch(path, library_for(path))) as one:
        yield one


class Pauses:
    """Lets something happen in each pause; after the last one, somebody interrupts."""

    def __init__(self, *steps: Callable[[], object]) -> None:
        self.steps = list(steps)
        self.seconds: list[float] = []

    def __call__(self, seconds: float, descriptor: int | None) -> None:
        self.seconds.append(seconds)
        if not self.steps:
            raise Interrupted(2, "enough")
        self.steps.pop(0)()
        select.select([] if descriptor is None else [descriptor], [], [], 0)


def waits(watch: Watch, *steps: Callable[[], object]) -> int:
    """How many of these steps a wait outlasts, until it ends or they do."""
    pauses = Pauses(*steps)
    try:
        watch.wait(pauses)
    except Interrupted:
        return len(steps) + 1
    return len(pauses.seconds)


def write(path: Path) -> Callable[[], object]:
    def act() -> None:
        with path.open("ab") as file:
            file.write(b"x\n")

    return act


def nothing() -> None:
    """Happens."""


@pytest.mark.parametrize(
    "change",
    [
        lambda path: write(path)(),
        lambda path: path.rename(path.with_name("audit.jsonl.1")),
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: (path.with_name("new").write_bytes(b"y"), path.with_name("new").replace(path)),
    ],
)
def test_whatever_happens_to_the_log_ends_the_wait_at_once(
    watch: Watch, path: Path, change: Callable[[Path], object]
) -> None:
    """An append, a rename, a deletion, a truncation, another file of that name."""
    assert watch.is_notified()
    assert waits(watch, lambda: change(path), nothing) == 1


def test_what_happens_beside_the_log_ends_no_wait(watch: Watch, path: Path) -> None:
    """An archive, or another tool's file in the folder, costs no look; what is private to the log is not even told."""
    head_path(path).parent.mkdir()
    assert waits(watch, write(path.with_name("audit.jsonl.1")), write(path), nothing) == 2
    assert waits(watch, write(head_path(path)), nothing) == 3
    for _ in range(5_000):
        write(path.with_name("other"))()
    assert waits(watch, nothing) == 2  # all of that was taken in one go
    write(path)()
    assert waits(watch, nothing) == 1


def test_a_wait_is_never_longer_than_a_few_seconds(path: Path) -> None:
    """An event that was lost hides nothing for ever: at the latest then somebody looks."""
    times = itertools.count(0.0, 2.0)
    with closing(Watch(path, library_for(path), clock=lambda: next(times))) as watch:
        pauses = Pauses(nothing, nothing)
        watch.wait(pauses)
        assert pauses.seconds == [LOOK - 2.0, LOOK - 4.0]
        assert watch.is_notified()


@pytest.mark.parametrize("exchange", ["renamed above", "gone above"])
def test_a_folder_above_that_is_exchanged_is_noticed(tmp_path: Path, exchange: str) -> None:
    """Nothing tells of that; after a few seconds the folder is compared with its name, and the new one is watched."""
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    times = itertools.count(0.0, 3.0)
    with closing(Watch(folder / "audit.jsonl", library_for(folder), clock=lambda: next(times))) as watch:
        (tmp_path / "a").rename(tmp_path / "old")
        if exchange == "renamed above":
            folder.mkdir(parents=True)
        watch.wait(Pauses(nothing))
        assert not watch.is_notified()
        pauses = Pauses(nothing)
        watch.wait(pauses)
        assert pauses.seconds == [POLL]
        assert watch.is_notified() is (exchange == "renamed above")


def test_a_watch_that_is_lost_is_taken_up_again(watch: Watch, path: Path) -> None:
    """Where the folder goes away, and comes again, waits are short meanwhile."""

    def remove() -> None:
        path.unlink()
        path.parent.rmdir()

    assert waits(watch, remove) == 1
    assert not watch.is_notified()
    pauses = Pauses(path.parent.mkdir)
    watch.wait(pauses)
    assert pauses.seconds == [POLL]
    assert watch.is_notified()
    assert waits(watch, write(path)) == 1
    renamed = path.parent.with_name("other")
    assert waits(watch, lambda: path.parent.rename(renamed)) == 1
    assert not watch.is_notified()


def test_too_many_events_are_a_reason_to_look(watch: Watch, path: Path) -> None:
    """The system drops events that nobody takes, and says so."""
    names = [path.with_name(f"n{number}") for number in range(2)]
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    handles = [os.open(name, os.O_WRONLY | os.O_CREAT) for name in names]
    for number in range(limit + 10):
        os.write(handles[number % 2], b"x")  # alternating, or the system would make one event of them
    for handle in handles:
        os.close(handle)
    assert waits(watch, nothing) == 1
    assert watch.is_notified()


def test_where_the_system_has_none_left_we_look(path: Path) -> None:
    """No descriptor, no library, a network folder: waits are short, and nothing fails."""
    library = library_for(path)
    assert library is not None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open(path, os.O_RDONLY)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        watch = Watch(path, library)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with closing(watch):
        assert not watch.is_notified()
    for one in (Watch(path, None), Watch(path.with_name("missing") / "x", library), Watch(path / "x", library)):
        with closing(one):
            assert not one.is_notified()
            pauses = Pauses(nothing)
            one.wait(pauses)
            assert pauses.seconds == [POLL]


def test_a_network_folder_is_not_watched(path: Path, tmp_path: Path) -> None:
    """What another machine writes there, this one is not told."""
    device = path.stat().st_dev
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"1 0 {os.major(device)}:{os.minor(device)} / / rw - nfs4 server:/ rw\n")
    assert library_for(path, mounts=mounts) is None
    assert isinstance(library_for(path), ctypes.CDLL)
    assert watching.LOOK > watching.POLL
