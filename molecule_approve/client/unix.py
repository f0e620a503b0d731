"""The Unix socket of the embedded server: connected to only where nobody but this user can be at its other end."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from molecule_approve.errors import ConfigError, PlatformError
from molecule_approve.paths import check_private

if TYPE_CHECKING:
    from collections.abc import Callable

# Linux: pid, uid, gid. BSD and macOS: LOCAL_PEERCRED of the level 0 gives a version and the uid. Four bytes each.
_CREDENTIALS = (socket.SOL_SOCKET, socket.SO_PEERCRED) if hasattr(socket, "SO_PEERCRED") else (0, 1)


def connect_own(sock: socket.socket, path: str, owner: Callable[[socket.socket], int] | None = None) -> None:
    """Connect to a socket in a folder that is private to this user, and make sure that this user listens there.

    Nothing is sent. ``owner`` says whose process listens; the system's own word by default.

    Raises:
        PlatformError: the folder is open to others, or another user listens; another try would not help.
        OSError: nobody listens there, or the time of the socket is over.

    """
    folder = Path(path).parent
    try:
        check_private(folder)
    except ConfigError as exc:
        raise PlatformError(
            f"the socket {path} is not trusted: {exc.message}", hint=f"{exc.hint}; then start the server again"
        ) from exc
    sock.connect(path)
    found = (owner or peer_uid)(sock)
    if found != os.geteuid():
        raise PlatformError(
            f"the server at {path} is not yours: it runs as the user {found}, and you are {os.geteuid()}; nothing was sent",
            hint="start your own: molecule-approve serve; what asks it runs as the same user",
        )


def peer_uid(sock: socket.socket) -> int:
    """The user whose process listens at the other end of a Unix socket.

    Raises:
        OSError: the system does not say.

    """
    _, uid = struct.unpack_from("=II", sock.getsockopt(*_CREDENTIALS, 64))
    return int(uid)
