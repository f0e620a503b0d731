"""What TAB asks the program: the ids of requests. Answered before Typer is imported; nothing is changed anywhere.

The scripts that ask are made by ``completion``. Only what looks like a UUID is told, never a text from a server, and
where something is wrong nothing is told at all: a person is in the middle of typing a line.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from molecule_approve.wire import is_uuid

if TYPE_CHECKING:
    from molecule_approve.clock import Deadline
    from molecule_approve.paths import Places, RequesterCredential

T = TypeVar("T")

MANY = 100
"""How many ids are looked for in the audit log; nobody reads a longer list."""

PATIENCE = 1.0
"""Seconds within which the embedded server has to answer."""

MOST = 4_194_304
"""Bytes of its answer that are read; it is a list of fifty, and each may be long."""


def answer(command: str, environ: Mapping[str, str]) -> int:
    """Write the ids that fit behind a command, one a line, the newest first. The exit code is always 0.

    Args:
        command: ``wait``, ``withdraw``, ``approve``, ``deny`` or ``status``; there are none for another.
        environ: the environment.

    """
    found = _or_nothing(lambda: ids(command, environ))
    # Nobody may be left to read it: the shell stops a completion that is typed over.
    with suppress(OSError, ValueError, AttributeError):
        sys.stdout.write("".join(f"{text}\n" for text in found))
        sys.stdout.flush()
    return 0


def ids(command: str, environ: Mapping[str, str]) -> list[str]:
    """The ids that fit behind a command: first what the embedded server shows, then what our audit log holds."""
    if command not in {"wait", "withdraw", "approve", "deny", "status"}:
        return []
    from molecule_approve.paths import locate

    places = locate(environ)
    ended = command == "status"
    shown = dict(_or_nothing(lambda: _shown(places)))
    logged = _or_nothing(lambda: _logged(places, environ, ended=ended))
    # An approval that nobody used yet has ended on the server and stands open in our log: `wait` is how it is used.
    over = set() if command in {"status", "wait"} else {text for text, is_open in shown.items() if not is_open}
    found = [text for text, is_open in shown.items() if is_open or ended]
    return [text for text in dict.fromkeys([*found, *logged]) if is_uuid(text) and text not in over]


def _or_nothing(look: Callable[[], list[T]]) -> list[T]:
    try:
        return look()
    except Exception:  # noqa: BLE001 - one source that fails must neither hide the other nor write into a half typed line
        return []


def _logged(places: Places, environ: Mapping[str, str], *, ended: bool) -> list[str]:
    """What our audit log holds; requests whose ending stands there only where they are wanted."""
    from molecule_approve.audit.journal import Journal
    from molecule_approve.settings.resolve import Flags, resolve_audit_log

    return Journal(resolve_audit_log(Flags(), environ, places).value).recent_ids(MANY, ended=ended)


def _shown(places: Places) -> list[tuple[str, bool]]:
    """The newest requests on this user's embedded server, where one runs, and whether each is open.

    It is asked on its socket. Its database would have to be opened, and even reading makes files beside it.
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
    """The server's list, by one small request of HTTP/1.0, after whose answer the server closes.

    The token goes to nobody but this user, least of all unasked.

    An HTTP library would cost more time than all the rest.

    Raises:
        OSError: it does not answer, or too late.
        PlatformError: another user may be listening there.
        ValueError: it answers anything but 200.

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
            # Zero, just past the end, means not to wait: that fails as well, and as an OSError, too.
            connection.settimeout(deadline.left())
    head, _, body = data.partition(b"\r\n\r\n")
    if head.split(b" ")[1:2] != [b"200"]:
        raise ValueError("the embedded server refuses")
    return bytes(body)
