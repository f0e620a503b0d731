"""What a person sees while the gate waits: one live line on a terminal, plain lines everywhere else."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from molecule_approve import signals
from molecule_approve.client.reconnect import StreamState
from molecule_approve.clock import Clock, boottime
from molecule_approve.gate.command import parse
from molecule_approve.gate.gate import Observer
from molecule_approve.limits import PLATFORM_EXPIRY
from molecule_approve.safe_text import visible
from molecule_approve.wire import is_uuid

from . import output
from .sheet import asked, sheet
from .terminal import ERASE, cells, is_same, marked, size_of, styled, written

if TYPE_CHECKING:
    from collections.abc import Callable

    from molecule_approve.audit.chain import Head
    from molecule_approve.errors import ApprovalError
    from molecule_approve.model import ApprovalProgress, SubmittedRequest, Verdict

PLAIN_EVERY = 30.0
"""Seconds between plain lines."""

FRAMES = 2.0
"""Frames a second on a terminal: an hour of waiting must cost almost nothing."""

CLOSING = 1.0
"""Seconds to wait for the terminal to take the last frame."""

MANY = 50
"""Different warnings that are shown: a platform that sends ever new errors must not fill the screen or our memory."""

_WORDS = {
    StreamState.CONNECTING: "connecting",
    StreamState.LIVE: "live",
    StreamState.POLLING: "polling",
    StreamState.RECONNECTING: "reconnecting, polling meanwhile",
}

# The cursor is never hidden: however the process ends, it is visible.


class Scene(NamedTuple):
    """What the first lines show: the request, the platform, the timeout.

    Attributes:
        whom: the platform, in words.
        timeout: seconds that this process waits.
        embedded: whether the platform is this user's embedded server, whose requests expire when they say.
        earlier: whether the request was made before, and is only waited for.
        on_stdout: whether the verdict goes to stdout too; with ``run`` that is the command's.
        signed: whether only signed approvals count here.
    """

    action: str
    reason: str
    whom: str
    timeout: float
    embedded: bool
    earlier: bool = False
    on_stdout: bool = True
    signed: bool = False


class Progress(Observer):
    """An observer that also shows the verdict."""

    def close(self) -> None:
        """Remove the live line. May be called again, and never fails."""

    def finish(self, verdict: Verdict) -> None:
        """Show the verdict; the caller shows errors."""


def span(seconds: float) -> str:
    """A time span as people read it: ``45 s``, ``4:59``, ``1:02:03``."""
    rounded = max(0, round(seconds))
    if rounded < 60:
        return f"{rounded} s"
    minutes, rest = divmod(rounded, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def opening(scene: Scene, submitted: SubmittedRequest) -> list[str]:
    """The first lines: the platform, the request, and the command that decides it."""
    whom = visible(scene.whom)
    if not scene.embedded and scene.timeout > PLATFORM_EXPIRY:
        whom += f", which expires requests after {span(PLATFORM_EXPIRY)}, before the timeout of {span(scene.timeout)},"
    doing = "waiting for" if scene.earlier else "asking"
    what = "" if parse(scene.action) is None else " this command"
    approval_id = visible(submitted.approval_id)
    # The beginning of a UUID is enough, and fits the window. The line is not folded, because people copy it.
    short = approval_id[:8] if is_uuid(approval_id) else approval_id
    sign = " --sign KEY" if scene.signed else ""
    return [
        output.fitted(f"{output.PROGRAM}: {doing} {whom} to approve{what}:"),
        *sheet([*asked(scene.action, scene.reason), ("request", approval_id)], sys.stderr),
        f"{output.PROGRAM}: to decide: {output.PROGRAM} approve {short}{sign}  (or deny)",
    ]


class Silent(Progress):
    """Shows nothing: ``--quiet``. ``on_asked`` is called with the request once the platform has it."""

    def __init__(self, on_asked: Callable[[SubmittedRequest], None]) -> None:
        self._on_asked = on_asked

    def asked(self, submitted: SubmittedRequest) -> None:
        """Pass the id on."""
        self._on_asked(submitted)


class Plain(Silent):
    """One line at the start, one every thirty seconds, one at the end; no control code at all.

    With ``heads`` the audit log's head is shown at the start and at the end, too: a CI job's log is kept where nobody who
    writes the audit log can change it, so it proves later that the log's end was cut off.
    """

    def __init__(
        self, scene: Scene, on_asked: Callable[[SubmittedRequest], None], clock: Clock = boottime, *, heads: bool = False
    ) -> None:
        super().__init__(on_asked)
        self._heads = heads
        self._head: Head | None = None
        self._shown_head: Head | None = None
        self._scene = scene
        self._clock = clock
        self._started = clock()
        self._next = self._started + PLAIN_EVERY
        self._link = StreamState.CONNECTING
        self._troubles = set[str]()
        self._counted = ""

    def _say(self, line: str) -> None:
        output.say(f"{line}")

    def asked(self, submitted: SubmittedRequest) -> None:
        """Show the first lines."""
        output.write_talk("".join(f"{row}\n" for row in opening(self._scene, submitted)))
        super().asked(submitted)

    def link(self, link: StreamState, why: str) -> None:
        """Show a change of the connection once, if it has a reason that somebody can act on."""
        self._link = link
        if why:
            self._once(f"{_WORDS[link]}: {visible(why)}")

    def trouble(self, failure: ApprovalError) -> None:
        """Show each error once."""
        self._once(f"still trying: {visible(failure.message)}")

    def waiting_for_log(self, sentence: str) -> None:
        """Show once that the audit log's lock is waited for."""
        self._once(visible(sentence))

    def _once(self, line: str) -> None:
        if line not in self._troubles and len(self._troubles) < MANY:
            self._troubles.add(line)
            self._say(line)

    def progress(self, progress: ApprovalProgress) -> None:
        """Show how far the request is, whenever that has changed."""
        counted = "" if progress.is_plain else written(visible(progress.sentence), sys.stderr)
        if counted and counted != self._counted:
            self._tell_count(counted)
        self._counted = counted

    def _tell_count(self, counted: str) -> None:
        self._say(counted)

    def withdrawing(self, why: str) -> None:
        """Show that the request is being withdrawn."""
        self._say(f"withdrawing the request: {why}")

    def recorded(self, head: Head) -> None:
        """Show the head after our first record now; the last one follows with the verdict."""
        first, self._head = self._head is None, head
        if first:
            self._show_head()

    def _show_head(self) -> None:
        if self._heads and self._head is not None and self._head != self._shown_head:
            self._shown_head = self._head
            # The id comes from the file, which others can write.
            self._say(f"audit log {visible(self._head.log_id)}: its head is {self._head.seq}:{self._head.hash}")

    def _times(self) -> tuple[str, str]:
        waited = self._clock() - self._started
        return span(waited), span(self._scene.timeout - waited)

    def tick(self) -> None:
        """Show the times every thirty seconds."""
        if self._clock() >= self._next:
            self._next = self._clock() + PLAIN_EVERY
            waited, left = self._times()
            self._say(f"still waiting ({_WORDS[self._link]}): {waited} so far, {left} left")

    def finish(self, verdict: Verdict) -> None:
        """Show the verdict, unless stdout goes to the same place; the caller shows errors."""
        if verdict.error is None and not (self._scene.on_stdout and is_same(sys.stdout, sys.stderr)):
            line = f"{visible(verdict.message)} (after {span(verdict.waited_seconds)})"
            self._say(marked(line, verdict.outcome, sys.stderr))
        self._show_head()


class Spinner(Plain):
    """The first lines, and one live line below them.

    Only a thread writes while the line lives: a terminal that was stopped (Ctrl-S) blocks its writer, and must not delay
    the withdrawal.
    """

    def __init__(self, scene: Scene, on_asked: Callable[[SubmittedRequest], None], clock: Clock = boottime) -> None:
        super().__init__(scene, on_asked, clock)
        self._frame = 0
        self._lively = True
        self._lines = deque[str]()
        self._over = threading.Event()
        self._painter: threading.Thread | None = None

    def asked(self, submitted: SubmittedRequest) -> None:
        """Show the first lines, and start the live line."""
        super().asked(submitted)
        painter = threading.Thread(target=self._paint, name="spinner", daemon=True)
        # No thread can be started: the wait goes on without a live line.
        with contextlib.suppress(RuntimeError), signals.held():
            painter.start()
            self._painter = painter

    def _paint(self) -> None:
        while not self._over.is_set():
            output.write_talk(self._picture())
            self._over.wait(1 / FRAMES)
        self._lively = False
        output.write_talk(self._picture())

    def _picture(self) -> str:
        """The next output: new permanent lines in the live line's place, and the live line below them."""
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        above = "".join(f"{output.fitted(f'{output.PROGRAM}: {line}')}\n" for line in lines)
        return ERASE + above + (self._line() if self._lively else "")

    def _say(self, line: str) -> None:
        if self._painter is None:
            super()._say(line)
        else:
            self._lines.append(line)

    def _line(self) -> str:
        """The live line, in the longest wording that fits the window."""
        self._frame += 1
        turning = "|/-\\"[self._frame % 4]
        waited, left = self._times()
        room = size_of(sys.stderr).columns - 1  # a full line would wrap, and could not be erased any more
        count = f": {self._counted}" if self._counted else ""
        wordings = (
            *([f"{turning} waiting ({_WORDS[self._link]}){count}  {waited} waited, {left} left"] if count else ()),
            *([f"{turning} waiting{count}  {left} left", f"{turning}{count[1:]}"] if count else ()),
            f"{turning} waiting ({_WORDS[self._link]})  {waited} waited, {left} left",
            f"{turning} {self._link.value}, {waited}, {left} left",
            f"{turning} {waited}, {left} left",
        )
        line = next((text for text in wordings if cells(text, strict=True) <= room), wordings[-1][:room])
        return styled(line, "warning" if self._link is StreamState.RECONNECTING else "open", sys.stderr)

    def tick(self) -> None:
        """Nothing: the thread draws the live line."""

    def _tell_count(self, counted: str) -> None:
        """Nothing: the live line has it."""

    def withdrawing(self, why: str) -> None:
        """End the live line."""
        self._lively = False
        super().withdrawing(why)

    def close(self) -> None:
        """Remove the live line, without waiting long for a stopped terminal."""
        if self._painter is not None:
            self._over.set()
            self._painter.join(CLOSING)
            self._painter = None
