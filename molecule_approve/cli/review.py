"""``review``: goes through the pending requests, one at a time, and asks for a decision on each.

Nothing is decided by accident: an answer is a word and Enter, typed after the prompt was shown. How requests are read is in
``pending_list``, how one is laid out in ``sheet`` and ``terminal``.
"""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from molecule_approve.clock import Deadline
from molecule_approve.errors import (
    ApprovalError,
    DecisionRefusedError,
    EndedError,
    Interrupted,
    OwnRequestError,
    SigningError,
    UnavailableError,
    UsageError,
)
from molecule_approve.lifecycle import name_key
from molecule_approve.limits import COMMENT_LIMIT
from molecule_approve.model import Status, SubmittedRequest
from molecule_approve.safe_text import visible

from . import options, output
from .decide import READ_FIRST, how_far, name_of, stoppable, token
from .exits import Exit
from .help import CliCommand, commands
from .options import READ
from .prompt import ask
from .signing import Sign, SigningKey
from .status import verdict_of
from .terminal import marked

if TYPE_CHECKING:
    from molecule_approve.client.inbox import PendingList, Waiting
    from molecule_approve.client.rest import RestPlatform
    from molecule_approve.model import Approval, Secret
    from molecule_approve.settings.resolve import Settings

app = commands()

_ANSWERS = {word[:length]: word for word in ("approve", "deny", "skip", "quit") for length in (1, len(word))}
_STATUS = {"approve": Status.APPROVED, "deny": Status.DENIED}
_ALLOWED = "write approve (a), deny (d), skip (s) or quit (q), and press Enter"
_UNKNOWN = "it is not known whether the decision was made; `molecule-approve status` shows it"


@app.command("review", cls=CliCommand, epilog="molecule-approve review\nmolecule-approve review --sign ~/.ssh/id_ed25519_sk")
@options.connected
def review(connection: options.ConnectionOptions, sign: Sign = None) -> int:
    """Go through the pending requests, and decide each.

    You decide as the approver whose token is in MOLECULE_APPROVER_TOKEN; if it is not set, the token is asked for.
    """
    if not output.at_terminal():
        raise UsageError("there is no terminal to ask at", hint=f"{READ_FIRST}; then `approve` or `deny` it with --yes")
    settings = connection.settings()
    key = None if sign is None else SigningKey(sign)
    # The summary is written after the stop is gone: no signal can interrupt it.
    with contextlib.ExitStack() as summary, stoppable():
        approver = token()
        with options.approver_platform(settings, approver) as platform:
            session = _ReviewSession(settings, approver, platform, key)
            summary.callback(lambda: output.done(session.summary()))
            session.run()
    return Exit.OK


class _ReviewSession:
    """One run of the command: the requests that were shown, and their outcomes."""

    def __init__(self, settings: Settings, approver: Secret, platform: RestPlatform, key: SigningKey | None = None) -> None:
        from .pending_list import PendingRequests

        self._settings = settings
        self._approver = approver
        self._platform = platform
        self._key = key
        self._pending = PendingRequests(platform, settings.workspace_id.value, approver=True)
        self._tally = Counter[str]()
        self._ended = set[str]()  # decided here, or reported as ended
        self._skipped = set[str]()
        self._seen: dict[str, Waiting] = {}
        self._total, self._unseen, self._name = 0, False, ""

    def summary(self) -> str:
        """The decisions and what still waits, on one line."""
        from .pending_list import UNSEEN

        results = ("approved", "denied", "skipped")
        done = (
            ", ".join(f"{self._tally[result]} {result}" for result in results if self._tally[result])
            or "nothing was decided"
        )
        more = f"; {UNSEEN}" if self._unseen else ""
        return f"{done}; {self._total or 'nothing'} still {'waits' if self._total < 2 else 'wait'}{more}"

    def run(self) -> None:
        """Show each request until all are decided or skipped, or the person quits."""
        while (found := self._next()) is not None:
            if found.own:
                self._skip_own(found.approval)
                continue
            if why := self._why_others(found.approval):
                output.say(f"skipped {visible(f'{found.approval.id}: {why}')}")
                self._skip(found.approval)
                continue
            answer = self._answer(found)
            if answer == "quit":
                return
            if answer == "skip":
                self._skip(found.approval)
            elif not self._settle(found, answer):
                return

    def _skip(self, row: Approval) -> None:
        self._skipped.add(row.id)
        self._tally["skipped"] += 1

    def _skip_own(self, row: Approval) -> None:
        output.say(f"skipped {visible(row.id)}: you made this request, so another approver has to decide it")
        self._skip(row)

    def _why_others(self, row: Approval) -> str:
        """Why the request waits for others and not for this approver; empty if it does not."""
        progress, me = row.progress, name_key(self._name)
        if progress is None or progress.is_plain:
            return ""
        if progress.have >= progress.need:  # somebody's approval counts again; one more decision ends it
            return ""
        if me in map(name_key, progress.approved_by):
            return f"you have approved it; {progress.sentence}"
        able = {name_key(person) for group in progress.waiting_for for person in group.people}
        return f"rule {progress.rule} leaves it to others; {progress.sentence}" if able and me not in able else ""

    def _next(self) -> Waiting | None:
        """The oldest pending request that was not skipped; requests that ended meanwhile are reported."""
        queue = self._pending.read(Deadline.after(READ))
        self._report_ended(queue)
        self._seen = {one.approval.id: one for one in queue.rows}
        self._total, self._unseen, self._name = queue.total, queue.unseen, name_of(queue)
        return next((one for one in queue.rows if one.approval.id not in self._skipped), None)

    def _report_ended(self, queue: PendingList) -> None:
        still = {one.approval.id for one in queue.rows}
        for approval_id, one in self._seen.items():
            if approval_id not in still | self._ended:
                output.say(f"meanwhile {visible(approval_id)} ended: {visible(self._how_ended(one.approval))}")

    def _how_ended(self, row: Approval) -> str:
        try:
            with self._at(row.workspace_id) as platform:
                found = platform.fetch(SubmittedRequest(row.id, row.workspace_id), Deadline.after(READ)).approval
        except ApprovalError:
            found = None  # it has ended; how it ended is only information
        return "the platform does not show how" if found is None else verdict_of(found).message

    @contextlib.contextmanager
    def _at(self, workspace_id: str) -> Iterator[RestPlatform]:
        """The platform for the workspace of this request."""
        from molecule_approve import wiring

        ours = self._settings.workspace_id
        if workspace_id == ours.value:
            yield self._platform
            return
        settings = replace(self._settings, workspace_id=ours.swap(workspace_id))
        with contextlib.closing(wiring.platform(settings, approver=self._approver)) as platform:
            yield platform

    # --- one request ---------------------------------------------------------------------------------------------------

    def _answer(self, found: Waiting) -> str:
        """The person's answer to this request, which is shown completely before."""
        from .sheet import request_lines
        from .terminal import pages

        lines = request_lines(found.approval, workspace_name=found.workspace_name, decide_as=self._name)
        *earlier, last = pages(self._heading(found.approval), lines)
        for number, page in enumerate(earlier, 1):
            output.write_talk(page)
            question = f"page {number} of {len(earlier) + 1}; Enter for the next, skip or quit: "
            answer = self._ask(question, {"", "skip", "quit"})
            if answer:
                return answer
        output.write_talk(last)
        return self._ask("approve, deny, skip or quit? ", set(_ANSWERS.values()))

    def _heading(self, row: Approval) -> str:
        """Our own words only: a requester's text has a margin."""
        from .pending_list import now_utc, timing

        others = self._total - 1
        more = f"{others or 'nothing'} more {'waits' if others < 2 else 'wait'}"
        return "; ".join(filter(None, (timing(row, now_utc()), more)))

    @staticmethod
    def _ask(question: str, allowed: set[str]) -> str:
        """One of the allowed answers, asked for until it is one. The end of the input quits."""
        while (line := ask(question)) is not None:
            answer = _ANSWERS.get(line.lower(), "" if not line else "?")
            if answer in allowed:
                return answer
            output.talk(_ALLOWED if "" not in allowed else "there are more pages: press Enter, or write skip or quit")
        return "quit"

    def _settle(self, found: Waiting, answer: str) -> bool:
        """Make the decision; False if the person ended the input at the comment."""
        row = found.approval
        with self._at(row.workspace_id) as platform:
            wanted = row.progress is not None and row.progress.comment
            verifies = platform.verifies_approvers(Deadline.after(READ))
            comment = self._comment(answer, wanted=wanted) if verifies else ""
            if comment is None:
                return False
            self._decide(platform, row, _STATUS[answer], comment or None)
        return True

    @staticmethod
    def _comment(answer: str, *, wanted: bool) -> str | None:
        """A comment for the requester, empty only if the request's rule does not want one; None if the input ended."""
        from molecule_approve.gate.compose import check_text

        how = "this request's rule wants one" if wanted else "Enter for none"
        while (line := ask(f"{answer}: comment ({how}, Ctrl-D to cancel): ")) is not None:
            if wanted and not line:
                continue
            try:
                return check_text(line, "comment", COMMENT_LIMIT)
            except UsageError as exc:
                output.complain(exc)
        return None

    def _decide(self, platform: RestPlatform, row: Approval, decision: Status, comment: str | None) -> None:
        try:
            submitted = SubmittedRequest(row.id, row.workspace_id)
            signed = None if self._key is None else self._key.decision(platform, row, decision)
            counted = platform.decide(submitted, decision, comment, Deadline.after(READ), signed)
        except SigningError as exc:
            output.complain(exc)  # the request is shown again
            return
        except EndedError as exc:
            output.say(f"{visible(exc.message)}")
        except OwnRequestError:  # a second approver was added since it was read
            self._skip_own(row)
            return
        except DecisionRefusedError as exc:
            output.complain(exc)
            self._skip(row)
            return
        except UnavailableError as exc:
            # The next read shows whether it is still open.
            output.complain(exc)
            output.say(f"{_UNKNOWN}")
            return
        except Interrupted:
            output.talk(f"\n{output.PROGRAM}: {_UNKNOWN}")
            raise
        else:
            self._tally[decision.value] += 1
            count = "" if counted is None else f"; {how_far(platform, submitted, counted)}"
            output.talk(marked(f"{decision.value} {visible(row.id + count)}", decision.value, sys.stderr))
            if counted is not None:
                self._skipped.add(row.id)
                return
        self._ended.add(row.id)
        self._total -= 1
