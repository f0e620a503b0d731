"""``approve`` and ``deny``: the approver's side. Both show the complete request, and then ask."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from molecule_approve.clock import Deadline
from molecule_approve.errors import ApprovalError, CredentialError, UsageError
from molecule_approve.lifecycle import outcome_of
from molecule_approve.limits import COMMENT_LIMIT
from molecule_approve.model import Approval, Outcome, Secret, Status, SubmittedRequest
from molecule_approve.safe_text import visible

from . import options, output
from .exits import Exit
from .help import CliCommand, commands, option
from .prompt import ask
from .requests import READ, find_id
from .status import ended, read_one
from .terminal import marked

if TYPE_CHECKING:
    from molecule_approve.client.inbox import PendingList
    from molecule_approve.client.rest import RestPlatform

app = commands()

_WORDS = {Status.APPROVED: "approve", Status.DENIED: "deny"}

Id = Annotated[str, typer.Argument(metavar="ID", help="The request's id, or at least six characters of its beginning.")]
Comment = Annotated[str | None, option("--comment", "TEXT", "Why; the requester sees it.")]
Yes = Annotated[bool, option("--yes", None, "Decide without confirmation; required without a terminal.")]


class DecisionOptions(NamedTuple):
    """The options of a decision, as they were typed."""

    comment: Comment = None
    yes: Yes = False


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


def _confirmed(row: Approval, question: str, queue: PendingList | None) -> bool:
    """Whether the person at the terminal says yes, having seen the whole request; anything else is a no."""
    from molecule_approve.client.inbox import Waiting

    from .pending_list import now_utc, timing
    from .sheet import request_lines
    from .terminal import pages

    rows = queue.rows if queue else ()
    listed = next((one for one in rows if one.approval.id == row.id), Waiting(row))
    row = replace(row, is_revoked=listed.approval.is_revoked)
    lines = request_lines(row, workspace_name=listed.workspace_name, decide_as=name_of(queue))
    *earlier, last = pages(timing(row, now_utc()), lines)
    for number, page in enumerate(earlier, 1):
        output.write_talk(page)
        if ask(f"page {number} of {len(earlier) + 1}; Enter for the next page, anything else to cancel: ") != "":
            return False
    output.write_talk(last)
    return (ask(f"{question} [y/N]: ") or "").lower() in {"y", "yes"}


def _show(row: Approval) -> None:
    """The complete request on stderr, nothing hidden."""
    from .sheet import request_lines, sheet

    for line in sheet(request_lines(row), sys.stderr):
        output.talk(line)


def _decide(decision: Status, approval: str, given: DecisionOptions, connection: options.ConnectionOptions) -> int:
    from molecule_approve.gate.compose import check_text

    if given.comment is not None:
        check_text(given.comment, "comment", COMMENT_LIMIT)
    if not given.yes and not output.at_terminal():
        raise UsageError("there is no terminal to ask at", hint="read the request with `status ID`, then pass --yes")
    settings = connection.settings()  # their errors come before the prompt for the token
    with stoppable(), options.open_platform(settings, token()) as platform, named():
        question = _seen(platform, settings.workspace_id.value, approval, word=None if given.yes else _WORDS[decision])
        platform.decide(question, decision, given.comment, Deadline.after(READ))
    output.done(marked(f"{decision.value} {visible(question.approval_id)}", decision.value, sys.stdout))
    return Exit.OK


def _seen(platform: RestPlatform, workspace_id: str, approval: str, word: str | None) -> SubmittedRequest:
    """Show the request, which must be open, and ask to confirm the ``word``; None asks nothing.

    Raises:
        EndedError: the request is not open.
        ApprovalError: the person did not confirm.
    """
    approval_id = find_id(platform, approval, Deadline.after(READ))
    row = read_one(platform, workspace_id, approval_id)
    is_open = outcome_of(row) is Outcome.PENDING
    if word is None or not is_open:
        _show(row)
    if not is_open:
        raise ended(row)
    if word is not None and not _confirmed(row, f"{word} this request?", platform.queue(Deadline.after(READ))):
        raise ApprovalError("not confirmed: the request is still open")
    return SubmittedRequest(approval_id, workspace_id)


@contextlib.contextmanager
def named() -> Iterator[None]:
    """Around calls with the approver's token: if it is refused, the hint names its variable."""
    try:
        yield
    except CredentialError as exc:
        exc.hint = (
            "check MOLECULE_APPROVER_TOKEN: it must be an approver's token"
            if exc.status == HTTPStatus.UNAUTHORIZED
            else "check MOLECULE_APPROVER_TOKEN: it must be the token of an approver who may decide in this workspace"
        )
        raise


@app.command(
    "approve",
    cls=CliCommand,
    epilog="""
        molecule-approve approve 3f2a1c
        molecule-approve approve 3f2a1c --comment "window agreed with ops"
    """,
)
@options.connected
def approve(given: DecisionOptions, connection: options.ConnectionOptions, approval: Id) -> int:
    """Approve a request.

    You decide as the approver whose token is in MOLECULE_APPROVER_TOKEN; if it is not set, the token is asked for at the
    terminal. The request is shown first, and must be confirmed with y.
    """
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
