"""``status``, ``pending`` and ``withdraw``: show requests, and withdraw one. They redeem nothing."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from molecule_approve.audit.record import OF_OUTCOME, is_as_asked
from molecule_approve.clock import Deadline, utc_now
from molecule_approve.errors import AuditError, DeliveryError, EndedError, UnknownApprovalError, UsageError
from molecule_approve.lifecycle import answers, outcome_of, self_approved
from molecule_approve.model import Approval, ApprovalRequest, Failure, Outcome, SubmittedRequest, Verdict
from molecule_approve.safe_text import visible
from molecule_approve.wire import instant

from . import exits, options, output
from .deliver import failure_as_json, in_array
from .exits import Exit
from .help import CliCommand, commands, option
from .options import READ
from .requests import PENDING_LISTS, find_id
from .sheet import one_line, request_lines, sheet
from .terminal import columns_of, marked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from molecule_approve.audit.report.story import Story
    from molecule_approve.audit.search import FoundRequest
    from molecule_approve.client.inbox import PendingList, Waiting
    from molecule_approve.client.rest import RestPlatform
    from molecule_approve.settings.resolve import Settings

app = commands()


def verdict_of(row: Approval) -> Verdict:
    """The state of a request as a verdict, without a wait and without a record."""
    outcome = outcome_of(row)
    requested, now = instant(row.created_at), instant(utc_now())
    until = instant(row.decided_at) or now
    error = Failure("protocol", "the platform returned an unknown status") if outcome is Outcome.FAILED else None
    return Verdict(
        outcome=outcome,
        action=row.action,
        approval_id=row.id,
        requested_by=row.requested_by,
        decided_by=row.decided_by,
        decided_by_verified=row.decided_by_verified,
        self_approved=self_approved(row),
        comment=row.comment,
        decided_at=row.decided_at,
        requested_at=row.created_at,
        expires_at=row.expires_at,
        waited_seconds=max(0.0, (until - requested).total_seconds()) if requested and until else 0.0,
        trace_id=row.task_id or None,
        error=error,
        decisions=row.decisions,
        progress=row.progress,
    )


def line_of(waiting: Waiting, workspace_id: str) -> str:
    """One request on one line, for people of this workspace; another one is named as the platform names it."""
    row = waiting.approval
    of = "" if row.workspace_id == workspace_id else f" of workspace {waiting.workspace_name or row.workspace_id}"
    count = "" if row.progress is None or row.progress.is_plain else f" ({row.progress.sentence})"
    how = f"{status_text(verdict_of(row))}{visible(count + of)}"
    return f"{visible(row.id)}  {visible(row.created_at or '')}  {how}  {one_line(row.action)}"


def status_text(verdict: Verdict) -> str:
    """How a request stands, in a few words."""
    by = f" by {verdict.decided_by or 'nobody'}" if verdict.outcome in {Outcome.APPROVED, Outcome.DENIED} else ""
    return f"{verdict.outcome.value}{visible(by)}"


def read_one(platform: RestPlatform, workspace_id: str, approval_id: str) -> Approval:
    """One request, by its id.

    Raises:
        UnknownApprovalError: the platform does not list it.
    """
    row = platform.fetch(SubmittedRequest(approval_id, workspace_id), Deadline.after(READ)).approval
    if row is None:
        raise UnknownApprovalError(
            f"the platform does not list a request {approval_id}",
            hint=f"check the id, WORKSPACE_ID and PLATFORM_URL; the platform lists the newest fifty; {PENDING_LISTS}",
        )
    return row


def _show_list(rows: Sequence[Waiting], workspace_id: str, *, json: bool, nothing: str, with_status: bool = False) -> None:
    """One JSON array; at a terminal a table, with the status or with the workspaces; elsewhere a line for each request."""
    requests = [one.approval for one in rows]
    if json:
        output.answer_json([verdict_of(row).as_json() for row in requests])
    elif not rows:
        output.say(f"{nothing}")
    elif (columns := columns_of(sys.stdout)) is not None:
        from .pending_list import now_utc
        from .request_table import request_table

        verdicts = [verdict_of(row) for row in requests if with_status]
        statuses = [(verdict.outcome, status_text(verdict)) for verdict in verdicts]
        for line in request_table(rows, now_utc(), columns, statuses):
            output.answer(line, foreign=True)
    else:
        for one in rows:
            output.answer(line_of(one, workspace_id), foreign=True)


def _show_one(row: Approval) -> None:
    """A line for a script; at a terminal the whole request below it."""
    verdict = verdict_of(row)
    message = visible(verdict.message)
    if not output.is_terminal(sys.stdout):
        output.answer(f"{message}  ({one_line(row.action)})")
        return
    output.answer(marked(message, verdict.outcome, sys.stdout), foreign=True)
    output.answer("\n".join(sheet(request_lines(row), sys.stdout)))


def ended(row: Approval) -> EndedError:
    """The error of a request that is not open any more."""
    return EndedError(f"the request had already ended: {verdict_of(row).message}")


@app.command(
    "status",
    cls=options.GateCommand,
    epilog="""
        molecule-approve status
        molecule-approve status 3f2a1c
    """,
)
@options.connected
def status(
    connection: options.ConnectionOptions,
    approval: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="One request: its id, or at least six characters of its beginning.")
    ] = None,
    limit: Annotated[
        int | None,
        option("--limit", "N", "List the N newest requests; the Molecule platform lists 50 at most.", min=1),
    ] = None,
    json: options.Json = False,
) -> int:
    """Show one request, or the newest ones.

    With an ID it exits as request does, with 8 while the request is pending. It does not redeem the approval: a script that
    acts on it uses wait.
    """
    with failure_as_json(json=json, form=in_array if approval is None else dict):
        if approval is not None and limit is not None:
            raise UsageError("--limit is for the list, and an ID was given", hint="omit one of the two")
        with connection.platform() as (settings, platform):
            if approval is not None:
                return _status(platform, settings, approval, json=json)
            _list_newest(platform, settings.workspace_id.value, limit, json=json)
            return Exit.OK


def _list_newest(platform: RestPlatform, workspace_id: str, limit: int | None, *, json: bool) -> None:
    from molecule_approve.client.inbox import Waiting

    deadline = Deadline.after(READ)
    requests = platform.list_requests(deadline)[-(limit or 0) :]
    if not json:
        from .pending_list import PendingRequests

        # A table shows details of each request; a line only how far one is that waits.
        is_table = output.is_terminal(sys.stdout)
        shown = [row for row in requests if is_table or outcome_of(row) is Outcome.PENDING]
        details = PendingRequests(platform, workspace_id, approver=False).with_details(shown, deadline)
        requests = [{one.id: one for one in details}.get(row.id, row) for row in requests]
    _show_list([Waiting(row) for row in requests], workspace_id, json=json, nothing="no requests", with_status=True)


def _status(platform: RestPlatform, settings: Settings, approval: str, *, json: bool) -> int:
    row = read_one(platform, settings.workspace_id.value, find_id(platform, approval, Deadline.after(READ)))
    verdict = verdict_of(row)
    try:
        if json:
            output.answer_json(verdict.as_json())
        else:
            _show_one(row)
    except DeliveryError as exc:
        if verdict.approved:
            raise
        output.complain(exc)  # the exit code still says it
    try:
        _observe(settings, row)
    except AuditError as exc:
        output.complain(exc, "warning: ")
    return exits.of_verdict(verdict)


def _observe(settings: Settings, row: Approval) -> None:
    """Record how a request ended that is open in the local audit log; no process may be waiting for it any more.

    Raises:
        AuditError: the log cannot be read or written.
    """
    outcome = OF_OUTCOME.get(outcome_of(row))
    if outcome is None:
        return
    from molecule_approve import wiring
    from molecule_approve.audit.read import history
    from molecule_approve.audit.report import story
    from molecule_approve.gate.records import observation

    log = wiring.journal(settings)
    for found in story.still_open(lambda _: history.backwards(log.path), row.id):
        if answers(row, _question(found, row.id)):
            log.append(observation(found, row, outcome, by="status", now=utc_now()), patience=2.0)


def _question(story: Story, approval_id: str) -> SubmittedRequest:
    """The request in the log; an action that was cut or masked there is not compared."""
    action = story.asked if is_as_asked(story.asked) else None
    return SubmittedRequest(approval_id, story.first("workspace_id"), action, story.first("task_id") or None)


@app.command(
    "pending",
    cls=CliCommand,
    epilog="""
        molecule-approve pending
        molecule-approve pending --watch
    """,
)
@options.connected
def pending(
    connection: options.ConnectionOptions,
    watch: Annotated[bool, option("--watch", None, "Show a live table until Ctrl-C.")] = False,
    json: options.Json = False,
) -> int:
    """List the requests that wait for a decision, oldest first."""
    from molecule_approve.settings.resolve import approver_token

    if watch:
        _must_watch(json=json)
    with failure_as_json(json=json, form=in_array):
        approver = approver_token(os.environ)
        settings = connection.settings()
        opened = options.open_platform(settings) if approver is None else options.approver_platform(settings, approver)
        with opened as platform:
            if watch:
                from .pending_watch import watch as live

                live(settings, platform, approver=approver is not None)
            queue = _read_queue(platform, settings, approver=approver is not None, json=json)
        _show_queue(queue, settings.workspace_id.value, json=json)
    return Exit.OK


def _read_queue(platform: RestPlatform, settings: Settings, *, approver: bool, json: bool) -> PendingList:
    """What waits; for people with all that the platform tells of each."""
    deadline = Deadline.after(READ)
    if not json:
        from .pending_list import PendingRequests

        return PendingRequests(platform, settings.workspace_id.value, approver=approver).read(deadline)
    queue = platform.queue(deadline) if approver else None
    return queue or platform.open_requests(deadline)


def _show_queue(queue: PendingList, workspace_id: str, *, json: bool) -> None:
    """The pending requests, and a note on stderr if there are more."""
    from .pending_list import UNSEEN

    rows = queue.rows
    nothing = f"nothing that is listed waits: {UNSEEN}" if queue.unseen else "nothing waits for a decision"
    _show_list(rows, workspace_id, json=json, nothing=nothing)
    if queue.total > len(rows):
        output.say(f"{len(rows)} of {queue.total} that wait are shown, the oldest")
    elif rows and queue.unseen:
        output.say(f"{UNSEEN}")


def _must_watch(*, json: bool) -> None:
    from .pending_watch import must_draw

    if json:
        raise UsageError("--watch and --json exclude each other", hint="omit one of them")
    must_draw()


@app.command(
    "withdraw",
    cls=CliCommand,
    epilog="""
        molecule-approve withdraw 3f2a1c
        molecule-approve withdraw --id-file request.id
    """,
)
@options.connected
def withdraw(
    connection: options.ConnectionOptions,
    approval: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="The request's id, or at least six characters of its beginning.")
    ] = None,
    id_file: Annotated[str | None, option("--id-file", "PATH", "Read the id from this file, instead of ID.")] = None,
) -> int:
    """Withdraw a pending request."""
    wanted = _wanted_id(approval, id_file)
    with connection.platform() as (settings, platform):
        approval_id = find_id(platform, wanted, Deadline.after(READ))
        ours = _withdraw(platform, SubmittedRequest(approval_id, settings.workspace_id.value))
        found, failure = _asked(settings, approval_id)
        _withdraw_duplicates(settings, platform, found)
    try:
        if ours:
            _record(settings, approval_id, found, failure)
    finally:
        output.done(f"withdrawn {visible(approval_id)}")
    return Exit.OK


def _withdraw(platform: RestPlatform, submitted: SubmittedRequest) -> bool:
    """Withdraw it; False if it was withdrawn before.

    Raises:
        EndedError: it has ended otherwise.
    """
    if platform.withdraw(submitted, Deadline.after(READ)).withdrawn:
        return True
    row = read_one(platform, submitted.workspace_id, submitted.approval_id)
    if outcome_of(row) is not Outcome.WITHDRAWN:
        raise ended(row)
    return False


def _asked(settings: Settings, approval_id: str) -> tuple[FoundRequest | None, AuditError | None]:
    """What our log knows of the request, or why that cannot be read."""
    from molecule_approve import wiring

    try:
        return wiring.journal(settings).find(approval_id), None
    except AuditError as exc:
        return None, exc


def _withdraw_duplicates(settings: Settings, platform: RestPlatform, found: FoundRequest | None) -> None:
    """Withdraw the other open rows of the same request, if our log knows it: a proxy may have doubled its POST."""
    from molecule_approve.gate.withdrawal import DUPLICATES, Withdrawer

    if found is None or found.task_id is None or found.action is None:
        return
    workspace_id, action, task_id = settings.workspace_id.value, found.action, found.task_id
    request = ApprovalRequest(workspace_id, action, "", task_id, found.trace_id)
    search = Withdrawer(platform, request, Deadline.after(DUPLICATES), lambda exc: output.complain(exc, "warning: "))
    search.withdraw_duplicates(SubmittedRequest(found.approval_id, workspace_id, action, task_id))


def _wanted_id(approval: str | None, id_file: str | None) -> str:
    if (approval is None) == (id_file is None):
        raise UsageError("withdraw needs either an ID or --id-file", hint="pass one of them")
    if id_file is None:
        return approval or ""
    try:
        with open(id_file, encoding="ascii") as file:  # noqa: PTH123 - as the user wrote it
            return file.read(200).strip()
    except (OSError, ValueError) as exc:
        raise UsageError(f"cannot read --id-file {id_file!r}", hint="pass the file that `request --id-file` wrote") from exc


def _record(settings: Settings, approval_id: str, found: FoundRequest | None, failure: AuditError | None) -> None:
    """Record the withdrawal.

    Raises:
        AuditError: the log cannot be written, and it is not optional. The request is withdrawn all the same.
    """
    from molecule_approve import wiring
    from molecule_approve.audit.record import RecordAction, RecordOutcome, make_record

    try:
        if failure is not None:
            raise failure
        record = make_record(
            RecordAction.APPROVE,
            RecordOutcome.WITHDRAWN,
            timestamp=utc_now(),
            workspace_id=settings.workspace_id.value,
            resource="" if found is None else found.action or "",
            trace_id=approval_id if found is None else found.trace_id,
            extras={"approval_id": approval_id, "reason": "by command", "taken_back": True},
        )
        wiring.journal(settings).append(record, patience=2.0)
    except AuditError as exc:
        if not settings.audit_optional.value:
            raise
        output.complain(exc, "warning: ")
