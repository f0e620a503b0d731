"""Another user, for this thread alone: ``os.seteuid`` would change every thread, and with it a server that runs in one."""

from __future__ import annotations

import ctypes
import os
import platform

_SETRESUID = {"x86_64": 117, "aarch64": 147}
"""The system call by its number: the C library's function of that name is about the whole process."""


def become(uid: int) -> None:
    """Act as this user from now on; as root again with 0, if the process belongs to root."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.syscall(_SETRESUID[platform.machine()], -1, uid, -1) != 0:
        raise PermissionError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
