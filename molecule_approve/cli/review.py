"""``review``: goes through what waits, one request at a time, and takes a word for each.

Nothing decides by accident: a word and Enter, typed after the question stood there. How a request is read is ``waiting``'s
matter, how it fits the window ``paging``'s.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from molecule_approve.clock import Deadline
from molecule_approve.errors import ApprovalError, EndedError, Interrupted, UnavailableError, UsageError
from molecule_approve.model import Question, Status
from molecule_approve.safe_text import visible

from . import options, output
from .decide import named, stoppable, token
from .exits import Exit
from .help import CliCommand
from .prompt import ask
from .requests import READ
from .status import verdict_of

if TYPE_CHECKING:
    from molecule_approve.client.inbox import Queue, Waiting
    from molecule_approve.client.rest import RestPlatform
    from molecule_approve.model import Approval, Secret
    from molecule_approve.settings.resolve import Settings

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

COMMENT = 4_096
"""Characters that a comment may have."""

_WORDS = {word[:length]: word for word in ("approve", "deny", "skip", "quit") for length in (1, len(word))}
_STATUS = {"approve": Status.APPROVED, "deny": Status.DENIED}
_SENTENCE = "write approve (a), deny (d), skip (s) or quit (q), and press Enter"
_UNKNOWN = "it is not known whether that was decided; `molecule-approve status` shows it"


@app.command("review", cls=CliCommand, epilog="molecule-approve review")
@options.connected
def review(connection: options.ConnectionOptions) -> int:
    """Go through the pending requests, and decide each.

    The approver is the owner of the token in MOLECULE_APPROVER_TOKEN, or the token is asked for.
    """
    if not output.at_terminal():
        raise UsageError(
            "there is no terminal to ask at", hint="read with `pending` and `status`, then `approve` or `deny` with --yes"
        )
    settings = connection.settings()
    with stoppable(), named():
        approver = token()
        with options.open_platform(settings, approver) as platform:
            sitting = _Sitting(settings, approver, platform)
            try:
                sitting.run()
            finally:
                output.done(sitting.summary())
    return Exit.OK


def _lines(found: Waiting) -> list[tuple[str, str]]:
    """The whole request, and what is known of who asks."""
    from .pending_list import who, workspace
    from .sheet import parts

    return [("workspace", workspace(found)), ("who", who(found.approval)), *parts(found.approval)]


class _Sitting:
    """One sitting at the desk: what was shown, and what became of it."""

    def __init__(self, settings: Settings, approver: Secret, platform: RestPlatform) -> None:
        from .pending_list import PendingRequests

        self._settings = settings
        self._approver = approver
        self._platform = platform
        self._desk = PendingRequests(platform, settings.workspace_id.value, approver=True)
        self._tally = Counter[str]()
        self._over = set[str]()  # what we ended, or saw ended
        self._skipped = set[str]()
        self._seen: dict[str, Waiting] = {}
        self._total, self._unseen = 0, False

    def summary(self) -> str:
        """What was done, on one line."""
        from .pending_list import UNSEEN

        words = ("approved", "denied", "skipped")
        done = ", ".join(f"{self._tally[word]} {word}" for word in words if self._tally[word]) or "nothing was decided"
        more = f"; {UNSEEN}" if self._unseen else ""
        return f"{done}; {self._total or 'nothing'} still {'waits' if self._total < 2 else 'wait'}{more}"

    def run(self) -> None:
        """Until nothing more waits that was not skipped, or the person has had enough."""
        while (found := self._next()) is not None:
            word = self._heard(found)
            if word == "quit":
                return
            if word == "skip":
                self._skipped.add(found.approval.id)
                self._tally["skipped"] += 1
            elif not self._settle(found, word):
                return

    def _next(self) -> Waiting | None:
        """The oldest that waits and was not skipped; who won is told of what ended since it was seen."""
        queue = self._desk.read(Deadline.after(READ))
        self._tell_ended(queue)
        self._seen = {one.approval.id: one for one in queue.rows}
        self._total, self._unseen = queue.total, queue.unseen
        return next((one for one in queue.rows if one.approval.id not in self._skipped), None)

    def _tell_ended(self, queue: Queue) -> None:
        still = {one.approval.id for one in queue.rows}
        for approval_id, one in self._seen.items():
            if approval_id not in still | self._over:
                output.talk(
                    f"{output.PROGRAM}: meanwhile {visible(approval_id)} ended: {visible(self._ending(one.approval))}"
                )

    def _ending(self, row: Approval) -> str:
        try:
            with self._at(row.workspace_id) as platform:
                found = platform.fetch(Question(row.id, row.workspace_id), Deadline.after(READ)).approval
        except ApprovalError:
            found = None  # that it has ended is certain; how, is only good to know
        return "the platform does not show how" if found is None else verdict_of(found).message

    @contextlib.contextmanager
    def _at(self, workspace_id: str) -> Iterator[RestPlatform]:
        """The platform as the workspace of this request sees it."""
        from molecule_approve import wiring

        ours = self._settings.workspace_id
        if workspace_id == ours.value:
            yield self._platform
            return
        settings = replace(self._settings, workspace_id=ours.swap(workspace_id))
        with contextlib.closing(wiring.platform(settings, approver=self._approver)) as platform:
            yield platform

    # --- one request ---------------------------------------------------------------------------------------------------

    def _heard(self, found: Waiting) -> str:
        """What the person says to this request, which was shown whole before."""
        from .paging import pages

        *earlier, last = pages(self._heading(found.approval), _lines(found))
        for number, page in enumerate(earlier, 1):
            output.write_talk(page)
            question = f"page {number} of {len(earlier) + 1}; Enter for the next, skip or quit: "
            word = self._word(question, {"", "skip", "quit"})
            if word:
                return word
        output.write_talk(last)
        return self._word("approve, deny, skip or quit? ", set(_WORDS.values()))

    def _heading(self, row: Approval) -> str:
        """Our own words alone: what a requester may choose stands to the right of a margin."""
        from .pending_list import age, now_utc, seconds_left
        from .progress import span

        now, others = now_utc(), self._total - 1
        seconds = seconds_left(row, now)
        still = "" if seconds is None else f", {span(seconds)} left"
        more = f"{others or 'nothing'} more {'waits' if others < 2 else 'wait'}"
        return f"asked {age(row, now)} ago{still}; {more}"

    @staticmethod
    def _word(question: str, allowed: set[str]) -> str:
        """One of the allowed words; asked again until it is one. The end of the input quits."""
        while (line := ask(question)) is not None:
            word = _WORDS.get(line.lower(), "" if not line else "?")
            if word in allowed:
                return word
            output.talk(_SENTENCE if "" not in allowed else "the rest is not read yet: press Enter, or write skip or quit")
        return "quit"

    def _settle(self, found: Waiting, word: str) -> bool:
        """Decide as the person says; False where they take it back by ending the input."""
        row = found.approval
        with self._at(row.workspace_id) as platform:
            comment = self._comment(word) if platform.verifies_approvers(Deadline.after(READ)) else ""
            if comment is None:
                return False
            self._decide(platform, row, _STATUS[word], comment or None)
        return True

    @staticmethod
    def _comment(word: str) -> str | None:
        """Why, for the requester; empty for nothing; None where the input has ended."""
        from molecule_approve.gate.compose import check_text

        while (line := ask(f"{word}; a comment (Enter for none, Ctrl-D to decide nothing): ")) is not None:
            try:
                return check_text(line, "comment", COMMENT)
            except UsageError as exc:
                output.complain(exc)
        return None

    def _decide(self, platform: RestPlatform, row: Approval, decision: Status, comment: str | None) -> None:
        try:
            platform.decide(Question(row.id, row.workspace_id), decision, comment, Deadline.after(READ))
        except EndedError as exc:
            output.talk(f"{output.PROGRAM}: {visible(exc.message)}")
        except UnavailableError as exc:
            # It is looked at again: still there, or ended, and by whom.
            output.complain(exc)
            output.talk(f"{output.PROGRAM}: {_UNKNOWN}")
            return
        except Interrupted:
            output.talk(f"\n{output.PROGRAM}: {_UNKNOWN}")
            raise
        else:
            output.talk(f"{decision.value} {visible(row.id)}")
            self._tally[decision.value] += 1
        self._over.add(row.id)
        self._total -= 1
