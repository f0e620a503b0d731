"""Ids of requests, and names, for completion. Answered before Typer is imported; changes nothing.

``completion`` makes the scripts that ask. Only UUIDs and plain names are printed, never other text from a server; an error
prints nothing, because a person is typing a line.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from molecule_approve.wire import is_uuid

if TYPE_CHECKING:
    from molecule_approve.clock import Deadline
    from molecule_approve.paths import Places, RequesterCredential

T = TypeVar("T")

NAMES = frozenset({"approvers", "requesters", "workspaces"})
"""What can be asked for beside the commands that take a request's id."""

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}\Z")
"""A name without any character that is special to a shell; the scripts check it too."""

MANY = 100
"""The most ids from the audit log; nobody reads a longer list."""

PATIENCE = 1.0
"""Seconds within which the embedded server has to answer."""

MOST = 4_194_304
"""The most bytes of its answer: a list of fifty requests, each of which may be long."""


def answer(asked: str, environ: Mapping[str, str]) -> int:
    """Print the ids that a command accepts, the newest first, or the names of this kind, one a line; the exit code is 0."""
    found = _or_nothing(lambda: names(asked, environ) if asked in NAMES else ids(asked, environ))
    # The shell stops a completion when the person types on.
    with suppress(OSError, ValueError, AttributeError):
        sys.stdout.write("".join(f"{text}\n" for text in found))
        sys.stdout.flush()
    return 0


def ids(command: str, environ: Mapping[str, str]) -> list[str]:
    """The ids that a command accepts: first from the embedded server, then from the local audit log."""
    if command not in {"wait", "withdraw", "approve", "deny", "status", "receipt show"}:
        return []
    from molecule_approve.paths import locate

    places = locate(environ)
    ended = command in {"status", "receipt show"}
    shown = dict(_or_nothing(lambda: _shown(places)))
    logged = _or_nothing(lambda: _logged(places, environ, ended=ended))
    # An approval that is not redeemed has ended on the server and is open in our log: `wait` redeems it.
    over = set() if ended or command == "wait" else {text for text, is_open in shown.items() if not is_open}
    found = [text for text, is_open in shown.items() if is_open or ended]
    return [text for text in dict.fromkeys([*found, *logged]) if is_uuid(text) and text not in over]


def names(kind: str, environ: Mapping[str, str]) -> list[str]:
    """The plain names of this kind in this user's SQLite file, in order; of a PostgreSQL database none, for it may be far.

    Raises:
        ApprovalError: server.yaml is invalid, or the file cannot be read.
    """
    from molecule_approve.paths import locate
    from molecule_approve.server.reading import names_in
    from molecule_approve.settings.server_settings import ServerFlags, resolve_server

    if resolve_server(ServerFlags(), environ).database.value is not None:
        return []
    return [name for name in names_in(locate(environ).database, kind) if _PLAIN.match(name)]


def _or_nothing(look: Callable[[], list[T]]) -> list[T]:
    try:
        return look()
    except Exception:  # noqa: BLE001 - one failing source must not hide the other, nor print into the line that is typed
        return []


def _logged(places: Places, environ: Mapping[str, str], *, ended: bool) -> list[str]:
    """Ids from the local audit log; ended requests only on demand."""
    from molecule_approve.audit.journal import Journal
    from molecule_approve.settings.resolve import Flags, resolve_audit_log

    return Journal(resolve_audit_log(Flags(), environ, places).value).recent_ids(MANY, ended=ended)


def _shown(places: Places) -> list[tuple[str, bool]]:
    """The newest requests of this user's running embedded server, and whether each is open.

    Through its socket: even reading its database would make files beside it.
    """
    from molecule_approve.clock import Deadline
    from molecule_approve.lifecycle import outcome_of
    from molecule_approve.model import Outcome
    from molecule_approve.paths import find_socket, read_requester
    from molecule_approve.wire import read_list

    requester = read_requester(places)
    if requester is None:
        return []
    body = _exchange(str(find_socket(places)), requester, Deadline.after(PATIENCE))
    return [(row.id, outcome_of(row) is Outcome.PENDING) for row in read_list(body, requester.workspace_id)]


def _exchange(path: str, requester: RequesterCredential, deadline: Deadline) -> bytes:
    """The server's list, by one HTTP/1.0 request; an HTTP library would cost more time than all the rest.

    The token is sent only to a socket of this user.

    Raises:
        OSError: no answer, or too late.
        PlatformError: the socket may be another user's.
        ValueError: the status is not 200.
    """
    import socket

    from molecule_approve.client.unix import connect_own

    lines = (
        f"GET /workspaces/{requester.workspace_id}/approvals HTTP/1.0",
        "Host: localhost",
        f"Authorization: Bearer {requester.token}",
    )
    data = bytearray()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(PATIENCE)
        connect_own(connection, path)
        connection.sendall("".join(f"{line}\r\n" for line in (*lines, "")).encode("ascii"))
        while len(data) < MOST and not deadline.passed() and (piece := connection.recv(65_536)):
            data += piece
            # Past the deadline this is 0, not to wait: an OSError too.
            connection.settimeout(deadline.left())
    head, _, body = data.partition(b"\r\n\r\n")
    if head.split(b" ")[1:2] != [b"200"]:
        raise ValueError("the embedded server refuses")
    return bytes(body)
