"""What SIGHUP means: the terminal was closed, or an administrator wants the policy to be read again."""

from __future__ import annotations

import os


def has_terminal() -> bool:
    """Whether this process has a terminal that controls it, and that is still open."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError:
        return False
    return True
