"""Every limit of the embedded server, in one frozen value: what a test or a later option may change, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

from molecule_approve.limits import ACTION_LIMIT, COMMENT_LIMIT, CONTEXT_LIMIT, EXPIRY_LIMIT, REASON_LIMIT

MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits. Times are seconds, sizes bytes unless they say characters.

    Attributes:
        rate: calls a minute for one good token or session: enough for 500 commands of one user that start at once.
        strangers: calls a minute of all callers without a credential together (the platform's 600); those on the private
            socket have as many of their own.
        failed_logins: calls a minute with a wrong token, of all who try, likewise; then 429, until the minute is over.
        pending: requests of one workspace that may stand open at once.
        code: how long a sign-in code is good.
        session: how long a session at the desk lasts.
        session_idle: how long it lasts without a call.
        desk_pending: how many pending requests the desk shows, oldest first, each whole: of the longest, as many as a
            client reads at once.
        desk_decided: how many of the latest that ended it shows.
        pending_list: how many pending requests an approver is shown: as many of the longest as a client reads at once.
        body: size of one request's body.
        action: characters of an action; ``reason``, ``task_id``, ``key``, ``name`` and ``comment`` likewise.
        context: size of a context as JSON.
        expiry: how long a request stands that names no time of its own.
        longest_expiry: the longest time that a request may name.
        longest_hold: how long ``?wait=`` holds an answer at most.
        socket_queue: events that wait for one slow socket before it is dropped.
        socket_message: the largest message that a socket may send us.
        connections: connections open at once; a sixth of them for each credential, and for strangers.
        head: how long a call's head may take, from the connection or the answer before it.
        whole_body: how long it may take with its body.
        slow: how long an answer or an event may wait for its reader.
        unsent: bytes that may wait for a socket's reader.
        database_patience: how long a statement waits for the database's lock.
        journal_patience: how long a decision waits for the audit log before it is told all the same.
        journal_retry: how long after a failure the audit log is tried again.
        journal_mark: how long after the last decision the database notes what the audit log holds.
        look: how often the server looks whether its lock, its socket, its database and the requester's file are there.
        recheck: how often open sockets' tokens are looked up again.
        stop: how long a clean stop waits for what is open.

    """

    rate: int = 60_000
    strangers: int = 600
    failed_logins: int = 60
    pending: int = 1_000
    code: float = 60.0
    session: float = 12 * 3_600.0
    session_idle: float = 3_600.0
    desk_pending: int = 100
    desk_decided: int = 20
    pending_list: int = 500
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
    longest_hold: float = 60.0
    socket_queue: int = 256
    socket_message: int = 65_536
    connections: int = 6_000
    head: float = 10.0
    whole_body: float = 30.0
    slow: float = 30.0
    unsent: int = 524_288
    database_patience: float = 2.0
    journal_patience: float = 1.0
    journal_retry: float = 2.0
    journal_mark: float = 0.05
    look: float = 1.0
    recheck: float = 2.0
    stop: float = 1.0
