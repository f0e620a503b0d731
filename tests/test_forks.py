"""A forked program is what a started one is, as far as the system can tell: most tests rest on that."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from molecule_approve.audit.journal import Journal
from tests.audit.records import record
from tests.callers import PATIENCE, until
from tests.forks import Allowed, Fork

if TYPE_CHECKING:
    import subprocess

    from tests.callers import Caller

FOLLOW = ("audit", "tail", "-f", "--json")


def _seen(process: subprocess.Popen[str]) -> dict[str, object]:
    """What the system shows of it: descriptors, folder, signals, limits, and whose child, group and terminal it is in."""
    place = Path(f"/proc/{process.pid}")
    status = dict(line.split(":\t", 1) for line in (place / "status").read_text().splitlines())
    stat = (place / "stat").read_text().rpartition(")")[2].split()
    files = {path.name: re.sub(r"\d+", "N", str(path.readlink())) for path in (place / "fd").iterdir()}
    shown = ("Umask", "PPid", "Threads", "SigBlk", "SigIgn", "SigCgt")
    return {
        **{name: status[name] for name in shown},
        "files": files,
        "folder": (place / "cwd").readlink(),
        "limits": (place / "limits").read_text(),
        "leads its group, its session": [number == str(process.pid) for number in stat[2:4]],
        "controls its terminal": int(stat[4]) != 0,
    }


def _following(process: subprocess.Popen[str]) -> dict[str, object]:
    """The same of one that follows, once it waits for the log to grow."""
    until(lambda: "inotify" in str(_seen(process)["files"]))
    return _seen(process)


def _told(caller: Caller, *, forks: bool, session: bool) -> tuple[dict[str, object], bytes, int]:
    """What the system shows of a follower, its first line, and its exit code on Ctrl-C."""
    Allowed.now = forks
    with caller.start(*FOLLOW, cwd=caller.folder, start_new_session=session) as process:
        assert isinstance(process, Fork) == forks
        assert process.stdout is not None
        line = process.stdout.readline()
        seen = _following(process)
        process.send_signal(signal.SIGINT)
        return seen, line.encode(), process.wait(PATIENCE)


@pytest.mark.parametrize("session", [False, True])
def test_a_fork_is_what_a_start_is(caller: Caller, session: bool) -> None:
    """The same descriptors, folder, signals, limits, parent and group, and the same end."""
    Journal(caller.log).append(record("granted", "one"), patience=0)
    forked = _told(caller, forks=True, session=session)
    assert forked == _told(caller, forks=False, session=session)
    assert forked[2] == 130


def test_a_fork_at_a_terminal_is_what_a_start_is(caller: Caller) -> None:
    """It leads a session of its own there, and Ctrl-C reaches it."""
    Journal(caller.log).append(record("granted", "one"), patience=0)
    seen = []
    for forks in (True, False):
        Allowed.now = forks
        with caller.terminal(*FOLLOW, cwd=caller.folder) as terminal:
            assert isinstance(terminal.process, Fork) == forks
            terminal.until("one")
            seen.append(_following(terminal.process))
            terminal.type("\x03")
            assert terminal.end() == 130
    assert seen[0] == seen[1]
    assert seen[0]["controls its terminal"]


def test_it_has_the_environment_and_the_streams_of_a_start(caller: Caller) -> None:
    """What it says does not differ either, with an odd byte in its arguments and a log that cannot be: both fail as one."""
    odd = os.fsdecode(b"a\xffb")
    told = []
    for forks in (True, False):
        Allowed.now = forks
        with caller.start("request", "--no-wait", "--", odd, env={**os.environ, "AUDIT_LOG_PATH": "/nowhere/at/all"}) as one:
            told.append((*one.communicate(timeout=PATIENCE), one.returncode))
    assert told[0] == told[1]
