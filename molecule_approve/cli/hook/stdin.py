"""Reads a hook's event from stdin, within a time and a size."""

from __future__ import annotations

import os
import select
import sys
from typing import TYPE_CHECKING

from molecule_approve.errors import HookEventError

if TYPE_CHECKING:
    from molecule_approve.clock import Deadline

EVENT_LIMIT = 8 * 1024 * 1024
"""The most bytes of an event."""

_BY_HAND = "this command is started by the agent's program; to try it: molecule-approve hook HOST < event.json"


def read_event(end: Deadline) -> bytes:
    """All of stdin.

    Args:
        end: when to give up on a host that does not close it.

    Raises:
        HookEventError: there is no stdin, or it is a terminal, too large, or not closed in time.
    """
    if sys.stdin is None:
        raise HookEventError("stdin is closed", hint=_BY_HAND)
    try:
        handle = sys.stdin.fileno()
        if os.isatty(handle):
            raise HookEventError("stdin is a terminal", hint=_BY_HAND)
        return _read_all(handle, end)
    except (OSError, ValueError) as exc:
        raise HookEventError(f"stdin cannot be read: {exc}", hint=_BY_HAND) from exc


def _read_all(handle: int, end: Deadline) -> bytes:
    found, poller = bytearray(), select.poll()
    poller.register(handle, select.POLLIN)
    while poller.poll(end.left() * 1000):
        data = os.read(handle, 65_536)
        if not data:
            return bytes(found)
        found += data
        if len(found) > EVENT_LIMIT:
            raise HookEventError(f"the event is larger than {EVENT_LIMIT // 1024**2} MiB")
    raise HookEventError("the host did not close stdin in time")
