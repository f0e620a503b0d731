"""Opens the browser for ``serve --open``, signed in, without the sign-in code in any command line, where ``ps`` shows it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Self

from molecule_approve.paths import write_private

if TYPE_CHECKING:
    from types import TracebackType

LIFETIME = 60.0
"""Seconds after which the page goes, used or not: as long as its code is good."""

# A process of its own: a browser may talk on stdout, which is the server's answer, and may stay until its window is closed.
_BROWSE = "import sys, webbrowser; sys.exit(not webbrowser.open(sys.argv[1]))"


class SignInPage:
    """A file that only its owner can read, and that sends a browser on to a link. From ``with`` to its end.

    Args:
        path: where the file will be.
        complain: is told, in one sentence, that no browser could be opened.
        lifetime: seconds after which it goes by itself.

    """

    def __init__(self, path: Path, complain: Callable[[str], None], lifetime: float = LIFETIME) -> None:
        self._path = path
        self._complain = complain
        self._timer = threading.Timer(lifetime, self._remove)
        self._timer.daemon = True
        self._there = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        self._remove()

    def open(self, link: str) -> None:
        """Write the page, and have the browser open it; nothing waits for that."""
        text = (files(__package__) / "opening.html.in").read_text("utf-8")
        try:
            write_private(self._path, Template(text).substitute(link=link).encode())
        except OSError as exc:
            self._complain(f"the browser was not opened: {self._path} cannot be written: {exc.strerror}")
            return
        self._there = True
        self._timer.start()
        threading.Thread(target=self._browse, daemon=True).start()

    def used(self) -> None:
        """Somebody signed in: the page has done its work."""
        self._remove()

    def _remove(self) -> None:
        # Only what is ours: another server may just serve, and have a page of its own there.
        if self._there:
            self._timer.cancel()
            self._path.unlink(missing_ok=True)

    def _browse(self) -> None:
        # -I: else a file webbrowser.py in the folder we happen to stand in would be run.
        command = [sys.executable, "-I", "-c", _BROWSE, self._path.as_uri()]
        quiet = subprocess.DEVNULL
        done = subprocess.run(  # noqa: S603 - our own words, and the path of our own file
            command, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True, check=False
        )
        if done.returncode != 0:
            self._complain("no browser could be opened; molecule-approve approvers link NAME prints a link to follow")
