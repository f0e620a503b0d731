"""Who is at the other end of a Unix socket, as the system says; it needs no word from there."""

from __future__ import annotations

import socket
import struct

# Linux: pid, uid, gid. BSD and macOS: LOCAL_PEERCRED of the level 0 gives a version and the uid. Four bytes each.
_CREDENTIALS = (socket.SOL_SOCKET, socket.SO_PEERCRED) if hasattr(socket, "SO_PEERCRED") else (0, 1)


def peer_uid(sock: socket.socket) -> int:
    """The user id of the process at the other end.

    Raises:
        OSError: the system does not tell it.
    """
    _, uid = struct.unpack_from("=II", sock.getsockopt(*_CREDENTIALS, 64))
    return int(uid)
