"""What a person sees while the gate waits: one live line on a terminal, plain lines everywhere else."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING, NamedTuple, Protocol

from molecule_approve.client.wait import StreamState
from molecule_approve.clock import Clock, boottime
from molecule_approve.gate.gate import Observer
from molecule_approve.safe_text import visible
from molecule_approve.wire import is_uuid

from . import output
from .sheet import asked, sheet
from .terminal import is_same, marked, size_of, styled

if TYPE_CHECKING:
    from collections.abc import Callable

    from molecule_approve.audit.chain import Head
    from molecule_approve.errors import ApprovalError
    from molecule_approve.model import Question, Verdict

PLAIN_EVERY = 30.0
"""Seconds between plain lines."""

FRAMES = 2.0
"""Frames a second on a terminal: an hour's wait must cost almost nothing."""

PLATFORM_EXPIRY = 600.0
"""Seconds after which the platform is known to expire what nobody has decided."""

CLOSING = 1.0
"""Seconds within which a terminal has to take the last frame."""

MANY = 50
"""Different troubles that are told; a platform that says ever new things must not fill the screen, nor our memory."""

_WORDS = {
    StreamState.CONNECTING: "connecting",
    StreamState.LIVE: "live",
    StreamState.POLLING: "polling",
    StreamState.RECONNECTING: "reconnecting, polling meanwhile",
}

# ECMA-48: to the line's beginning and erase it to its end. The cursor is never hidden, so it need not come back,
# whatever ends us.
_ERASE = "\r\x1b[K"


class Scene(NamedTuple):
    """What is told at the start: what is asked, of whom, for how long.

    Attributes:
        action, reason: the question.
        whom: the platform, in words.
        timeout: seconds that we wait.
        embedded: whether it is this user's embedded server, which says itself when a request expires.
        earlier: whether the question was asked before, and is only waited for.

    """

    action: str
    reason: str
    whom: str
    timeout: float
    embedded: bool
    earlier: bool = False


class Progress(Observer, Protocol):
    """An observer that is also told the end."""

    def close(self) -> None:
        """Nothing may live on the terminal any more. May be called again, and never fails."""
        ...

    def finish(self, verdict: Verdict) -> None:
        """The verdict is known."""
        ...


def span(seconds: float) -> str:
    """A time span as people read it: ``45 s``, ``4:59``, ``1:02:03``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def opening(scene: Scene, question: Question) -> list[str]:
    """The rows that stand above the wait: what is asked, of whom, why, and where to decide it."""
    whom = visible(scene.whom)
    if not scene.embedded and scene.timeout > PLATFORM_EXPIRY:
        whom += f", which may expire the request after {span(PLATFORM_EXPIRY)}, not only after {span(scene.timeout)},"
    doing = "waiting for" if scene.earlier else "asking"
    approval_id = visible(question.approval_id)
    # The beginning of a UUID will do, and fits any window; the line is left whole, for it is there to be copied.
    short = approval_id[:8] if is_uuid(approval_id) else approval_id
    return [
        output.fitted(f"{output.PROGRAM}: {doing} {whom} to approve:"),
        *sheet([*asked(scene.action, scene.reason), ("request", approval_id)], sys.stderr),
        f"{output.PROGRAM}: to decide: {output.PROGRAM} approve {short}  (or deny)",
    ]


class Silent:
    """Says nothing but what is wrong; also the whole of ``--quiet``."""

    def __init__(self, on_asked: Callable[[Question], None]) -> None:
        self._on_asked = on_asked

    def asked(self, question: Question) -> None:
        """Tell whoever wants the id."""
        self._on_asked(question)

    def link(self, link: StreamState, why: str) -> None:
        """Nothing."""

    def trouble(self, failure: ApprovalError) -> None:
        """Nothing: the wait goes on, and the verdict will say what matters."""

    def withdrawing(self, why: str) -> None:
        """Nothing."""

    def recorded(self, head: Head) -> None:
        """Nothing."""

    def tick(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing lives here."""

    def finish(self, verdict: Verdict) -> None:
        """Nothing: errors are the caller's to tell."""


class Plain(Silent):
    """One line at the start, one every thirty seconds, one at the end; no control code at all.

    Args:
        scene: what is told at the start.
        on_asked: wants the id.
        clock: for the times.
        heads: also tell the audit log's head, at the start and at the end: a CI job's log is kept where nobody who writes
            the audit log can change it, and shows later that its end was cut off.

    """

    def __init__(
        self, scene: Scene, on_asked: Callable[[Question], None], clock: Clock = boottime, *, heads: bool = False
    ) -> None:
        super().__init__(on_asked)
        self._heads = heads
        self._head: Head | None = None
        self._told: Head | None = None
        self._scene = scene
        self._clock = clock
        self._started = clock()
        self._next = self._started + PLAIN_EVERY
        self._link = StreamState.CONNECTING
        self._troubles = set[str]()

    def _say(self, line: str) -> None:
        output.talk(f"{output.PROGRAM}: {line}")

    def asked(self, question: Question) -> None:
        """The opening."""
        output.write_talk("".join(f"{row}\n" for row in opening(self._scene, question)))
        super().asked(question)

    def link(self, link: StreamState, why: str) -> None:
        """Say it once where it is news that somebody may have to mend."""
        self._link = link
        if why:
            self._once(f"{_WORDS[link]}: {visible(why)}")

    def trouble(self, failure: ApprovalError) -> None:
        """Say each kind of trouble once."""
        self._once(f"still trying: {visible(failure.message)}")

    def _once(self, line: str) -> None:
        if line not in self._troubles and len(self._troubles) < MANY:
            self._troubles.add(line)
            self._say(line)

    def withdrawing(self, why: str) -> None:
        """Say that the question is taken back."""
        self._say(f"taking the request back: {why}")

    def recorded(self, head: Head) -> None:
        """The first record of ours is told at once; the last one when it is known to be the last."""
        first, self._head = self._head is None, head
        if first:
            self._tell_head()

    def _tell_head(self) -> None:
        if self._heads and self._head is not None and self._head != self._told:
            self._told = self._head
            # The id comes from the file, where others write, too.
            self._say(f"audit log {visible(self._head.log_id)}: its head is {self._head.seq}:{self._head.hash}")

    def _times(self) -> tuple[str, str]:
        waited = self._clock() - self._started
        return span(waited), span(self._scene.timeout - waited)

    def tick(self) -> None:
        """Every thirty seconds a sign of life."""
        if self._clock() >= self._next:
            self._next = self._clock() + PLAIN_EVERY
            waited, left = self._times()
            self._say(f"still waiting ({_WORDS[self._link]}): {waited} so far, {left} left")

    def finish(self, verdict: Verdict) -> None:
        """The verdict, unless stdout says it in the same place; an error is told where it is explained."""
        if verdict.error is None and not is_same(sys.stdout, sys.stderr):
            line = f"{visible(verdict.message)} (after {span(verdict.waited_seconds)})"
            self._say(marked(line, verdict.outcome, sys.stderr))
        self._tell_head()


class Spinner(Plain):
    """The live twin: the opening stands, and below it one line lives.

    A thread draws, and while it lives it alone writes: a terminal that somebody stopped (Ctrl-S) blocks whoever writes to
    it, and must keep nobody from taking the question back in time.
    """

    def __init__(self, scene: Scene, on_asked: Callable[[Question], None], clock: Clock = boottime) -> None:
        super().__init__(scene, on_asked, clock)
        self._frame = 0
        self._lively = True
        self._lines = deque[str]()
        self._over = threading.Event()
        self._painter: threading.Thread | None = None

    def asked(self, question: Question) -> None:
        """The opening, and the live line begins."""
        super().asked(question)
        painter = threading.Thread(target=self._paint, name="spinner", daemon=True)
        with contextlib.suppress(RuntimeError):  # no thread to be had: the wait goes on without a spinner
            painter.start()
            self._painter = painter

    def _paint(self) -> None:
        while not self._over.is_set():
            output.write_talk(self._picture())
            self._over.wait(1 / FRAMES)
        self._lively = False
        output.write_talk(self._picture())

    def _picture(self) -> str:
        """What is written at once: the lines that stay, in the live one's place, and that below them."""
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        above = "".join(f"{output.fitted(f'{output.PROGRAM}: {line}')}\n" for line in lines)
        return _ERASE + above + (self._line() if self._lively else "")

    def _say(self, line: str) -> None:
        if self._painter is None:
            super()._say(line)
        else:
            self._lines.append(line)

    def _line(self) -> str:
        """The live line, as much of it as the window holds."""
        self._frame += 1
        turning = "|/-\\"[self._frame % 4]
        waited, left = self._times()
        room = size_of(sys.stderr).columns - 1  # a full line would wrap, and could not be erased any more
        wordings = (
            f"{turning} waiting ({_WORDS[self._link]})  {waited} waited, {left} left",
            f"{turning} {self._link.value}, {waited}, {left} left",
            f"{turning} {waited}, {left} left",
        )
        line = next((text for text in wordings if len(text) <= room), wordings[-1][:room])
        return styled(line, "warning" if self._link is StreamState.RECONNECTING else "open", sys.stderr)

    def tick(self) -> None:
        """Nothing: the line lives by itself."""

    def withdrawing(self, why: str) -> None:
        """The live line ends here."""
        self._lively = False
        super().withdrawing(why)

    def close(self) -> None:
        """The live line goes; what a stopped terminal does not take is not waited for."""
        if self._painter is not None:
            self._over.set()
            self._painter.join(CLOSING)
            self._painter = None
