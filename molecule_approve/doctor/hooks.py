"""The hooks that are installed for agents' hosts, as the examination needs to know them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple


class InstalledHook(NamedTuple):
    """One hook of ours in a host's settings.

    Attributes:
        host: the host's name, such as ``claude-code``.
        version: the host's version; empty if it is not known.
        file: the host's file that names the hook.
        fails_open: when the host runs a tool although the hook did not answer, as a clause; empty if it never does.
        advice: what to do against that, or empty.

    """

    host: str
    version: str
    file: Path
    fails_open: str = ""
    advice: str = ""


def installed_hooks(environ: Mapping[str, str]) -> Sequence[InstalledHook]:
    """Every hook of ours that a host would run."""
    del environ
    return ()
