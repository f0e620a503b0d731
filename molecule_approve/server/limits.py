"""The embedded server's limits that a test or a later option may change, as one frozen value."""

from __future__ import annotations

from dataclasses import dataclass

from molecule_approve.limits import ACTION_LIMIT, COMMENT_LIMIT, CONTEXT_LIMIT, EXPIRY_LIMIT, REASON_LIMIT

MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits. Times are in seconds, sizes in bytes, text lengths in characters; rates are calls a minute.

    Attributes:
        rate: for one valid token or session: enough for 500 commands of one user that start at once.
        unauthenticated_rate: for all callers without a credential together (the platform's 600); callers on the Unix
            socket are counted apart from those over TCP.
        failed_login_rate: calls with a wrong token, of all callers together, counted in the same two parts.
        pending: open requests of one workspace.
        code: how long a sign-in code is valid.
        codes: sign-in codes a minute for one approver.
        key_code: how long a link is valid by which an approver enrols a passkey.
        openid: how long a sign-in through a provider may take.
        openid_begun: sign-ins through a provider that are begun and not finished, of all callers together: more than
            callers of one address can begin within that time.
        session: how long a session lasts.
        session_idle: how long a session lasts without a call.
        inbox_pending: pending requests in full in one answer, oldest first.
        inbox_ended: ended requests in full in one answer, latest first.
        inbox_lines: pending requests in the page's list, one line each, oldest first.
        history_lines: ended requests in one page of the history.
        history_examined: ended requests that one call looks at, to find those of a search.
        search: length of a text to search for.
        pending_list: pending requests in a list.
        list_size: size of a list as JSON, if it has more than one request and is not the fifty newest.
        body: size of a call's body.
        action, reason, task_id, key, name, comment: length of this text.
        statement: length of what a key signs, which repeats action and reason.
        context: size of a context as JSON.
        expiry: how long a request stays open that does not say how long.
        longest_expiry: the longest time that a request may ask for.
        longest_wait: how long ``?wait=`` delays an answer at most.
        socket_queue: events that wait for one slow socket before it is closed.
        socket_message: size of a message from a client.
        connections: open connections; a sixth of them for each credential, and for callers without one.
        head_time: how long a call's head may take, from the connection or its own first byte.
        body_time: how long a call may take with its body.
        slow_reader: how long an answer or an event may wait until its reader takes it.
        unsent: size of what may wait for the reader of a socket.
        unread: size of what may wait for all readers of one credential.
        database_patience: how long a statement waits for the database's lock.
        audit_patience: how long a decision waits for the audit log before it is announced all the same.
        audit_retry_delay: how long after a failure the audit log is tried again.
        audit_mark_delay: how long after the last decision the database notes what the audit log holds.
        check_interval: how often the server checks that its lock file, socket, database and requester's file exist.
        recheck: how often the tokens of open sockets are checked again.
        takeover_interval: how often a server looks what servers of the same database have left, if they have ended.
        takeover: how long such a server must be gone before another one takes over what it left.
        takeover_blind: the same, if its audit log cannot be read from here.
        start: how long the start waits for PostgreSQL, and for the lock of a server that has just been killed.
        stop: how long a clean stop waits for open calls.
    """

    rate: int = 60_000
    unauthenticated_rate: int = 600
    failed_login_rate: int = 60
    pending: int = 1_000
    code: float = 60.0
    codes: int = 10
    key_code: float = 600.0
    openid: float = 600.0
    openid_begun: int = 10_000
    session: float = 12 * 3_600.0
    session_idle: float = 3_600.0
    inbox_pending: int = 100
    inbox_ended: int = 20
    inbox_lines: int = 1_000
    history_lines: int = 50
    history_examined: int = 20_000
    search: int = 200
    pending_list: int = 500
    list_size: int = 8_388_608
    statement: int = 65_536
    body: int = 1_048_576
    action: int = ACTION_LIMIT
    reason: int = REASON_LIMIT
    task_id: int = 256
    key: int = 1_024
    name: int = 256
    comment: int = COMMENT_LIMIT
    context: int = CONTEXT_LIMIT
    expiry: float = 3_600.0
    longest_expiry: float = EXPIRY_LIMIT
    longest_wait: float = 60.0
    socket_queue: int = 256
    socket_message: int = 65_536
    connections: int = 6_000
    head_time: float = 10.0
    body_time: float = 30.0
    slow_reader: float = 30.0
    unsent: int = 524_288
    unread: int = 33_554_432
    database_patience: float = 2.0
    audit_patience: float = 1.0
    audit_retry_delay: float = 2.0
    audit_mark_delay: float = 0.05
    check_interval: float = 1.0
    recheck: float = 2.0
    takeover_interval: float = 5.0
    takeover: float = 15.0
    takeover_blind: float = 60.0
    start: float = 20.0
    stop: float = 1.0
