"""Connects to the embedded server's Unix socket, only if this user owns the server."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from molecule_approve.errors import ConfigError, PlatformError
from molecule_approve.paths import check_private
from molecule_approve.unix_peer import peer_uid

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable


def connect_own(sock: socket.socket, path: str, owner: Callable[[socket.socket], int] | None = None) -> None:
    """Connect to a socket in a folder that is private to this user, and check that this user listens there.

    Nothing is sent. ``owner`` returns the user who listens; by default the system's answer.

    Raises:
        PlatformError: the folder is open to others, or another user listens.
        OSError: nobody listens there, or the socket's timeout has passed.
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
            f"the server at {path} is not yours: it runs as user {found}, and you are {os.geteuid()}; nothing was sent",
            hint="start your own server as the same user: molecule-approve serve",
        )
