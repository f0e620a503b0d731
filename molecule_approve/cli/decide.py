"""``approve`` and ``deny``: the approver's side. Both show the complete request, and then ask."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from molecule_approve.clock import Deadline
from molecule_approve.errors import ApprovalError, UsageError
from molecule_approve.lifecycle import outcome_of
from molecule_approve.limits import COMMENT_LIMIT
from molecule_approve.model import Approval, Outcome, Secret, Status, SubmittedRequest
from molecule_approve.safe_text import visible
from molecule_approve.wire import is_uuid

from . import options, output
from .exits import Exit
from .help import CliCommand, commands, option
from .options import READ
from .prompt import ask
from .requests import PENDING_LISTS, find_id
from .signing import Sign, SigningKey
from .status import ended, read_one
from .terminal import marked

if TYPE_CHECKING:
    from molecule_approve.client.inbox import PendingList
    from molecule_approve.client.rest import RestPlatform
    from molecule_approve.model import ApprovalProgress
    from molecule_approve.settings.resolve import Settings

    from .terminal import SheetLine

app = commands()

# `status` needs a workspace and a requester's token, which an approver elsewhere does not have.
READ_FIRST = "read the request with `status ID`, or, as an approver elsewhere, with `pending --json`"
"""What to do where there is no terminal that could show it."""

_WORDS = {Status.APPROVED: "approve", Status.DENIED: "deny"}

Id = Annotated[str, typer.Argument(metavar="ID", help="The request's id, or at least six characters of its beginning.")]
Comment = Annotated[str | None, option("--comment", "TEXT", "Why; the requester sees it.")]
Yes = Annotated[bool, option("--yes", None, "Decide without confirmation; required without a terminal.")]


class DecisionOptions(NamedTuple):
    """The options of a decision, as they were typed."""

    comment: Comment = None
    yes: Yes = False
    sign: Sign = None


def token() -> Secret:
    """The approver's token, from the environment or typed at the terminal without echo.

    Raises:
        UsageError: the variable is not set, and there is no terminal.
    """
    from molecule_approve.settings import resolve, values

    found = resolve.approver_token(os.environ)
    if found is not None:
        return found
    if not output.at_terminal():
        raise UsageError(
            "no approver's token is set",
            hint="set MOLECULE_APPROVER_TOKEN; on the server's machine, `molecule-approve approvers add NAME` makes one",
        )
    return values.token(str(typer.prompt("approver's token", hide_input=True, err=True)))


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Around questions at the terminal: a signal raises, so that the terminal's echo is restored."""
    from .stop import SignalStop

    stop = SignalStop(None)
    stop.install()
    try:
        with stop.open():
            yield
    except typer.Abort:  # the end of the input: no answer
        raise ApprovalError("the input ended: the request is still open") from None


def name_of(queue: PendingList | None) -> str:
    """The name under which a decision is made: the approver's own, or what is sent to a platform that knows none."""
    from molecule_approve.wiring import origin

    return queue.approver if queue and queue.approver else f"{origin().user} (name not verified)"


def _confirmed(platform: RestPlatform, row: Approval, question: str) -> bool:
    """Whether the person at the terminal says yes, having seen the whole request; anything else is a no."""
    from .pending_list import now_utc, timing
    from .terminal import pages

    *earlier, last = pages(timing(row, now_utc()), _lines_to_decide(platform, row))
    for number, page in enumerate(earlier, 1):
        output.write_talk(page)
        if ask(f"page {number} of {len(earlier) + 1}; Enter for the next page, anything else to cancel: ") != "":
            return False
    output.write_talk(last)
    return (ask(f"{question} [y/N]: ") or "").lower() in {"y", "yes"}


def _lines_to_decide(platform: RestPlatform, row: Approval) -> Iterator[SheetLine]:
    """The whole pending request, with what only an approver can read, and under which name it is decided."""
    from molecule_approve.client.inbox import Waiting

    from .sheet import request_lines

    listed = platform.waiting(row.id, Deadline.after(READ)) or Waiting(row)
    row, name = replace(row, is_revoked=listed.approval.is_revoked), name_of(platform.queue(Deadline.after(READ)))
    return request_lines(row, workspace_name=listed.workspace_name, decide_as=name)


def _show(lines: Iterator[SheetLine]) -> None:
    """The complete request on stderr, nothing hidden."""
    from .sheet import sheet

    for line in sheet(lines, sys.stderr):
        output.talk(line)


def _decide(decision: Status, approval: str, given: DecisionOptions, connection: options.ConnectionOptions) -> int:
    from molecule_approve.gate.compose import check_text

    if given.comment is not None:
        check_text(given.comment, "comment", COMMENT_LIMIT)
    if not given.yes and not output.at_terminal():
        raise UsageError("there is no terminal to ask at", hint=f"{READ_FIRST}; then pass --yes")
    settings = connection.settings()  # their errors come before the prompt for the token
    key = None if given.sign is None else SigningKey(given.sign)
    with stoppable(), _platform_of(settings, token(), approval) as (platform, workspace_id):
        row = _seen(platform, workspace_id, approval, word=None if given.yes else _WORDS[decision])
        signed = None if key is None else key.decision(platform, row, decision)
        question = SubmittedRequest(row.id, workspace_id)
        counted = platform.decide(question, decision, given.comment, Deadline.after(READ), signed)
        count = "" if counted is None else f"; {how_far(platform, question, counted)}"
    output.done(marked(f"{decision.value} {visible(question.approval_id + count)}", decision.value, sys.stdout))
    return Exit.OK


def how_far(platform: RestPlatform, submitted: SubmittedRequest, counted: ApprovalProgress) -> str:
    """How far the request is now that it was counted, with names if these can be read; not made visible yet."""
    try:
        row = platform.fetch(submitted, Deadline.after(READ)).approval
    except ApprovalError:
        row = None  # the decision was made all the same
    return counted.sentence if row is None or row.progress is None else row.progress.sentence


def _retract(approval: str, given: DecisionOptions, connection: options.ConnectionOptions) -> int:
    """Retract the approver's approval; it is not confirmed, because it allows nothing."""
    if given.comment is not None:
        raise UsageError("--comment is for a decision, and --retract makes none", hint="omit one of the two")
    settings = connection.settings()
    with stoppable(), _platform_of(settings, token(), approval) as (platform, workspace_id):
        question = SubmittedRequest(find_id(platform, approval, Deadline.after(READ)), workspace_id)
        counted = how_far(platform, question, platform.retract(question, Deadline.after(READ)))
    output.done(f"retracted {visible(f'{question.approval_id}; {counted}')}")
    return Exit.OK


@contextlib.contextmanager
def _platform_of(settings: Settings, approver: Secret, approval: str) -> Iterator[tuple[RestPlatform, str]]:
    """The platform, as of the workspace that is set; if none is, of the request with this id, or beginning of an id.

    Raises:
        UsageError: no workspace is set, and not exactly one request is found.
    """
    ours = settings.workspace_id
    with options.approver_platform(settings, approver) as platform:
        if ours.value or settings.local:
            yield platform, ours.value
            return
        workspace_id = _workspace_of(platform, approval)
    settings = replace(settings, workspace_id=ours.swap(workspace_id))
    with options.approver_platform(settings, approver) as platform:
        yield platform, workspace_id


def _workspace_of(platform: RestPlatform, approval: str) -> str:
    """The workspace of the request with this id, or of the pending one with this beginning of its id.

    Raises:
        UsageError: not exactly one is found.
    """
    from molecule_approve.client.inbox import PendingList

    if is_uuid(approval) and (known := platform.waiting(approval.lower(), Deadline.after(READ))) is not None:
        return known.approval.workspace_id
    queue = platform.queue(Deadline.after(READ)) or PendingList((), 0)
    found = [one.approval for one in queue.rows if one.approval.id.startswith(approval.lower())]
    if len(found) == 1 and len(approval) >= options.SHORTEST_ID:
        return found[0].workspace_id
    listed = len(queue.rows)
    searched = f"the {listed} oldest of {queue.total} pending requests" if queue.total > listed else "the pending requests"
    raise UsageError(
        f"{len(found) or 'none'} of {searched} begin{'s' * (len(found) < 2)} with '{approval[:80]}'",
        hint=f"pass all of the id, or set WORKSPACE_ID to the request's workspace; {PENDING_LISTS}",
    )


def _seen(platform: RestPlatform, workspace_id: str, approval: str, word: str | None) -> Approval:
    """Show the request, which must be open, and ask to confirm the ``word``; None asks nothing. The request as it was shown.

    Raises:
        EndedError: the request is not open.
        ApprovalError: the person did not confirm.
    """
    from .sheet import request_lines

    approval_id = find_id(platform, approval, Deadline.after(READ))
    row = read_one(platform, workspace_id, approval_id)
    is_open = outcome_of(row) is Outcome.PENDING
    if not is_open:
        _show(request_lines(row))
        raise ended(row)
    if word is None:
        _show(_lines_to_decide(platform, row))
    elif not _confirmed(platform, row, f"{word} this request?"):
        raise ApprovalError("not confirmed: the request is still open")
    return row


@app.command(
    "approve",
    cls=CliCommand,
    epilog="""
        molecule-approve approve 3f2a1c
        molecule-approve approve 3f2a1c --comment "window agreed with ops"
        molecule-approve approve 3f2a1c --retract
        molecule-approve approve 3f2a1c --sign ~/.ssh/id_ed25519_sk
    """,
)
@options.connected
def approve(
    given: DecisionOptions,
    connection: options.ConnectionOptions,
    approval: Id,
    retract: Annotated[
        bool, option("--retract", None, "Retract your approval, while the request waits for other people's.")
    ] = False,
) -> int:
    """Approve a request.

    You decide as the approver whose token is in MOLECULE_APPROVER_TOKEN; if it is not set, the token is asked for at the
    terminal. The request is shown first, and must be confirmed with y.
    """
    if retract:
        return _retract(approval, given, connection)
    return _decide(Status.APPROVED, approval, given, connection)


@app.command(
    "deny",
    cls=CliCommand,
    epilog="""
        molecule-approve deny 3f2a1c
        molecule-approve deny 3f2a1c --comment "not on a Friday"
    """,
)
@options.connected
def deny(given: DecisionOptions, connection: options.ConnectionOptions, approval: Id) -> int:
    """Deny a request.

    You decide as the approver whose token is in MOLECULE_APPROVER_TOKEN; if it is not set, the token is asked for at the
    terminal. The request is shown first, and must be confirmed with y.
    """
    return _decide(Status.DENIED, approval, given, connection)
