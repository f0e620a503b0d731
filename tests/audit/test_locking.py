"""The log's lock: taken at once where it is free, waited for in turn where it is not, and given up in time."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import subprocess
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from molecule_approve.audit import files, locking
from molecule_approve.clock import boottime
from molecule_approve.errors import AuditError, Interrupted
from tests.callers import let_pass, takers, until


def hold(log: Path, pause: Callable[[float], None] = time.sleep, patience: float = 30.0) -> None:
    """Take the lock and give it back."""
    with locking.locked(log, patience=patience, pause=pause, clock=boottime):
        pass


def no_pause(seconds: float) -> None:
    """Fail: nothing should be waited for."""
    pytest.fail(f"waited {seconds} s for a free lock")


def stop(_seconds: float) -> None:
    """A signal comes while the lock is waited for."""
    raise Interrupted(15, "stopped")


@contextmanager
def held(log: Path) -> Iterator[None]:
    """Somebody else holds the lock."""
    with locking.locked(log, patience=0, pause=no_pause, clock=boottime):
        yield


def is_free(log: Path) -> bool:
    """Whether somebody who has nothing to do with this program could lock the file (flock(1))."""
    return subprocess.run(["flock", "--nonblock", files.lock_path(log), "true"], check=False).returncode == 0


def handles() -> int:
    """How many this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def waiters() -> list[threading.Thread]:
    """The threads that wait for a lock."""
    return [thread for thread in threading.enumerate() if thread.name == "audit-lock"]


def all_have_ended() -> bool:
    """Once the lock is free, no thread stays behind."""
    for thread in waiters():
        thread.join(30)
    return not waiters() and not locking._deserted


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log that is not there yet."""
    return tmp_path / "audit.jsonl"


def test_a_free_lock_is_had_at_once_and_freed(log: Path) -> None:
    """Nothing is waited for, the lock file stays, and the next one has the lock at once."""
    hold(log, no_pause)
    hold(log, no_pause, patience=0)
    assert stat.S_IMODE(files.lock_path(log).stat().st_mode) == 0o600


def test_a_held_lock_is_waited_for_no_longer_than_told(log: Path) -> None:
    """The error says how long that was; with no patience nothing is waited for."""
    with held(log):
        for patience in (0.0, 0.05):
            before = boottime()
            with pytest.raises(AuditError, match=f"within {patience:g} s"):
                hold(log, patience=patience)
            assert patience <= boottime() - before < patience + 5
    assert all_have_ended()


@pytest.mark.parametrize(("patience", "told"), [(30.0, 1), (2.0, 0)])
def test_a_long_wait_is_told_once(log: Path, patience: float, told: int) -> None:
    """After two seconds, with the log and the time that it may take; nobody is told of a wait that is over by then."""
    now, said, looks = [0.0], list[str](), list[int]()

    def turn_the_clock(_seconds: float) -> None:
        looks.append(len(said))
        now[0] += 1.5

    def hold_for(seconds: float) -> None:
        with locking.locked(log, patience=seconds, pause=turn_the_clock, clock=lambda: now[0], tell=said.append):
            pytest.fail("the lock was held twice")

    with held(log), pytest.raises(AuditError, match="cannot lock"):
        hold_for(patience)
    assert said == [f"waiting for the lock of the audit log {log}, which another process holds (30 s at most)"] * told
    assert looks[:3] == [0, 0, 1][: len(looks)]
    assert all_have_ended()


def test_whoever_waits_gets_the_lock_as_soon_as_it_is_free(log: Path) -> None:
    """It needs no more looks than the one that is due; the thread that waits for it takes no signal."""
    with held(log):
        done = threading.Thread(target=hold, args=(log,))
        done.start()
        until(lambda: blocked(log) == 1)
        assert waiters()[0].native_id not in {None, *takers()}
    done.join(30)
    assert not done.is_alive()
    assert all_have_ended()


def blocked(log: Path) -> int:
    """How many wait for the lock in the kernel's queue; proc_locks(5)."""
    inode = f":{files.lock_path(log).stat().st_ino} "
    return sum(" -> " in line and inode in line for line in Path("/proc/locks").read_text().splitlines())


def test_who_came_first_is_served_first(log: Path) -> None:
    """Eight wait for one lock, and have it in the order in which they came."""
    served: list[int] = []

    def take(number: int) -> None:
        with locking.locked(log, patience=30, pause=time.sleep, clock=boottime):
            served.append(number)

    threads = [threading.Thread(target=take, args=(number,)) for number in range(8)]
    with held(log):
        for number, thread in enumerate(threads):
            thread.start()
            while blocked(log) <= number:
                os.sched_yield()
    for thread in threads:
        thread.join(30)
    assert served == list(range(8))


def test_what_a_pause_raises_leaves_nothing_behind(log: Path) -> None:
    """A signal that comes while the lock is waited for passes; the thread gives its turn away, and no handle stays."""
    hold(log)
    before = handles()
    with held(log), pytest.raises(Interrupted):
        hold(log, stop)
    assert all_have_ended()
    hold(log, no_pause, patience=0)
    assert handles() == before


@contextmanager
def forked() -> Iterator[None]:
    """A process with all our handles lives on, until the block ends."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that threads stay behind is what this is about
        child = os.fork()
    if child == 0:
        os.close(writing)
        os.read(reading, 1)
        os._exit(len(locking._deserted))
    try:
        yield
    finally:
        os.close(writing)
        os.close(reading)
        assert os.waitpid(child, 0)[1] == 0


def test_a_process_forked_while_the_lock_is_held_does_not_keep_it(log: Path) -> None:
    """Its handles are the same ones, and it may live for long."""
    with ExitStack() as stack:
        with held(log):
            stack.enter_context(forked())
            assert not is_free(log)
        assert is_free(log)


def test_a_process_forked_while_the_lock_is_waited_for_does_not_keep_it(log: Path) -> None:
    """Neither where whoever waits has it in the end, nor where only the thread comes to its turn."""
    with ExitStack() as stack:
        with held(log):
            waiting = threading.Thread(target=hold, args=(log,))
            waiting.start()
            while blocked(log) < 1:
                os.sched_yield()
            with pytest.raises(AuditError):
                hold(log, patience=0.05)
            while blocked(log) < 2:
                os.sched_yield()
            stack.enter_context(forked())
        waiting.join(30)
        assert all_have_ended()
        assert is_free(log)


def test_who_gives_up_again_and_again_leaves_one_thread(log: Path) -> None:
    """A server may meet a lock that is held for ever every few seconds; it gets the lock all the same once it is free."""
    with held(log):
        for _ in range(3):
            with pytest.raises(AuditError):
                hold(log, patience=0.01)
        assert len(waiters()) == 1

        def let_go(_seconds: float) -> None:
            free.set()

        free = threading.Event()
        late = threading.Thread(target=hold, args=(log, let_go))
        late.start()
        assert free.wait(30)
        assert len(waiters()) == 1
    late.join(30)
    assert not late.is_alive()
    assert all_have_ended()


def test_without_another_thread_the_lock_is_tried_at_intervals(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the user's process limit is reached, a free lock is found all the same, and no handle stays."""

    def refuse(_: object) -> None:
        raise RuntimeError("can't start new thread")

    with held(log):
        monkeypatch.setattr(threading.Thread, "start", refuse)
        before = handles()
        with pytest.raises(AuditError, match="cannot lock"):
            hold(log, patience=0.1)
        assert handles() == before
    assert all_have_ended()


def test_a_turn_that_comes_to_nothing_is_no_end(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system refuses the thread's call (no memory for locks), the lock is tried at intervals."""
    flock = fcntl.flock

    def no_memory(handle: int, how: int) -> None:
        if how == fcntl.LOCK_EX:
            raise OSError(errno.ENOLCK, "")
        flock(handle, how)

    freed = threading.Event()

    def let_go(seconds: float) -> None:
        if seconds:
            freed.set()
        let_pass(seconds)

    with held(log):
        monkeypatch.setattr(fcntl, "flock", no_memory)
        late = threading.Thread(target=hold, args=(log, let_go))
        late.start()
        assert freed.wait(30)
    late.join(30)
    assert not late.is_alive()


def test_a_lock_file_that_was_deleted_is_made_again(log: Path) -> None:
    """Whoever deletes the lock file against all advice does not make two of us write at once: the name decides."""
    with held(log):
        late = threading.Thread(target=hold, args=(log,))
        late.start()
        while not blocked(log):
            os.sched_yield()
        files.lock_path(log).unlink()
        hold(log, no_pause, patience=0)
    late.join(30)
    assert not late.is_alive()


def test_a_lock_that_the_system_refuses_is_an_error(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the system says about a lock becomes a sentence."""

    def refuse(_handle: int, _how: int) -> None:
        raise OSError(errno.ENOLCK, "")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(AuditError, match="cannot be locked: No locks available"):
        hold(log)
