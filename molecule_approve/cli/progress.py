"""What a person sees while the gate waits: one live line on a terminal, plain lines everywhere else."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from molecule_approve.client.wait import Link
from molecule_approve.clock import boottime
from molecule_approve.gate import Observer
from molecule_approve.model import Outcome, Verdict
from molecule_approve.safe_text import visible

from . import output

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from molecule_approve.errors import ApprovalError
    from molecule_approve.model import Question

PLAIN_EVERY = 30.0
"""Seconds between plain lines."""

FRAMES = 2.0
"""Frames a second on a terminal: an hour's wait must cost almost nothing."""

PLATFORM_EXPIRY = 600.0

_WORDS = {
    Link.CONNECTING: "connecting",
    Link.LIVE: "live",
    Link.POLLING: "polling",
    Link.RECONNECTING: "reconnecting, polling meanwhile",
}


@dataclass(frozen=True, slots=True)
class Scene:
    """What is told at the start: what is asked, of whom, for how long.

    Attributes:
        action, reason: the question.
        whom: the platform, in words.
        timeout: seconds that we wait.
        embedded: whether it is this user's embedded server, which says itself when a request expires.

    """

    action: str
    reason: str
    whom: str
    timeout: float
    embedded: bool


class Progress(Observer, Protocol):
    """An observer that is also told the end."""

    def finish(self, verdict: Verdict) -> None:
        """The verdict is known; nothing lives on the terminal any more."""
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
    """The lines that stand above the wait."""
    lines = [f"asking {visible(scene.whom)} to approve: {visible(scene.action)}"]
    if scene.reason:
        lines.append(f"reason: {visible(scene.reason)}")
    lines.append(f"to decide: molecule-approve approve {visible(question.approval_id)}  (or deny)")
    if not scene.embedded and scene.timeout > PLATFORM_EXPIRY:
        lines.append(
            f"the platform may expire the request after {span(PLATFORM_EXPIRY)}, sooner than the {span(scene.timeout)} given"
        )
    return lines


class Silent:
    """Says nothing but what is wrong; also the whole of ``--quiet``."""

    def __init__(self, on_asked: Callable[[Question], None]) -> None:
        self._on_asked = on_asked

    def asked(self, question: Question) -> None:
        """Tell whoever wants the id."""
        self._on_asked(question)

    def link(self, link: Link, why: str) -> None:
        """Nothing."""

    def trouble(self, failure: ApprovalError) -> None:
        """Nothing: the wait goes on, and the verdict will say what matters."""

    def withdrawing(self, why: str) -> None:
        """Nothing."""

    def tick(self) -> None:
        """Nothing."""

    def finish(self, verdict: Verdict) -> None:
        """Nothing: errors are the caller's to tell."""


class Plain(Silent):
    """One line at the start, one every thirty seconds, one at the end; no control code at all."""

    def __init__(self, scene: Scene, on_asked: Callable[[Question], None]) -> None:
        super().__init__(on_asked)
        self._scene = scene
        self._started = boottime()
        self._next = self._started + PLAIN_EVERY
        self._link = Link.CONNECTING
        self._troubles = set[str]()

    def _say(self, line: str) -> None:
        output.talk(f"{output.PROGRAM}: {line}")

    def asked(self, question: Question) -> None:
        """The opening lines."""
        for line in opening(self._scene, question):
            self._say(line)
        super().asked(question)

    def link(self, link: Link, why: str) -> None:
        """Say it once where it is news that somebody may have to mend."""
        self._link = link
        if why:
            self._once(f"{_WORDS[link]}: {visible(why)}")

    def trouble(self, failure: ApprovalError) -> None:
        """Say each kind of trouble once."""
        self._once(f"still trying: {visible(failure.message)}")

    def _once(self, line: str) -> None:
        if line not in self._troubles and len(self._troubles) < 50:
            self._troubles.add(line)
            self._say(line)

    def withdrawing(self, why: str) -> None:
        """Say that the question is taken back."""
        self._say(f"taking the request back: {why}")

    def tick(self) -> None:
        """Every thirty seconds a sign of life."""
        now = boottime()
        if now >= self._next:
            self._next = now + PLAIN_EVERY
            waited = now - self._started
            self._say(
                f"still waiting ({_WORDS[self._link]}): {span(waited)} so far, {span(self._scene.timeout - waited)} left"
            )

    def finish(self, verdict: Verdict) -> None:
        """How it ended, unless stdout says the same to the same person."""
        if verdict.outcome is not Outcome.FAILED:
            self._say(f"{visible(verdict.message)} (after {span(verdict.waited_seconds)})")


class Spinner(Plain):
    """The live twin: the opening stands, and below it one line lives."""

    def __init__(self, scene: Scene, on_asked: Callable[[Question], None]) -> None:
        super().__init__(scene, on_asked)
        self._console: Console | None = None
        self._live: Live | None = None
        self._frame = 0

    def _screen(self) -> Console:
        if self._console is None:
            from rich.console import Console  # noqa: PLC0415 - only a terminal needs rich, and only once the POST is out

            self._console = Console(file=sys.stderr, force_terminal=True, highlight=False, markup=False, emoji=False)
        return self._console

    def _say(self, line: str) -> None:
        if self._live is None:
            super()._say(line)
        else:
            self._screen().print(f"{output.PROGRAM}: {line}", soft_wrap=True)

    def asked(self, question: Question) -> None:
        """The opening lines, and the live one begins."""
        super().asked(question)
        from rich.live import Live  # noqa: PLC0415

        self._live = Live(
            console=self._screen(),
            get_renderable=self._line,
            refresh_per_second=FRAMES,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def _line(self) -> Text:
        from rich.text import Text  # noqa: PLC0415

        self._frame += 1
        waited = boottime() - self._started
        turning = "|/-\\"[self._frame % 4]
        state = _WORDS[self._link]
        line = f"{turning} waiting ({state})  {span(waited)} waited, {span(self._scene.timeout - waited)} left"
        return Text(line, style="yellow" if self._link is Link.RECONNECTING else "cyan", no_wrap=True, overflow="ellipsis")

    def tick(self) -> None:
        """Nothing: the line lives by itself."""

    def withdrawing(self, why: str) -> None:
        """The live line ends here."""
        self._stop()
        super().withdrawing(why)

    def _stop(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def finish(self, verdict: Verdict) -> None:
        """The live line goes, the cursor comes back; the last line stays where stdout goes elsewhere."""
        self._stop()
        if not output.is_terminal(sys.stdout):
            super().finish(verdict)
