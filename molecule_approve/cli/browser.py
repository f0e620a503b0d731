"""Opens the browser for ``serve --open``, signed in. The sign-in code is in no command line, where ``ps`` would show it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from string import Template

from molecule_approve.paths import write_private

LIFETIME = 60.0
"""Seconds after which the page is removed: its code is valid for as long."""

# A process of its own: a browser may write to stdout, and may run until its window is closed.
_BROWSE = "import sys, webbrowser; sys.exit(not webbrowser.open(sys.argv[1]))"


class SignInPage:
    """A file that redirects a browser to a link, readable only by its owner.

    It exists for ``lifetime`` seconds, and at most until it is closed. ``complain`` is called with one sentence if no
    browser can be opened.
    """

    def __init__(self, path: Path, complain: Callable[[str], None], lifetime: float = LIFETIME) -> None:
        self._path = path
        self._complain = complain
        self._timer = threading.Timer(lifetime, self.close)
        self._timer.daemon = True
        self._there = False

    def open(self, link: str) -> None:
        """Write the page, and open it in a browser, in the background."""
        text = (files(__package__) / "opening.html.in").read_text("utf-8")
        try:
            write_private(self._path, Template(text).substitute(link=link).encode())
        except OSError as exc:
            self._complain(f"cannot open the browser: cannot write {self._path}: {exc.strerror}")
            return
        self._there = True
        self._timer.start()
        threading.Thread(target=self._browse, daemon=True).start()

    def close(self) -> None:
        """Remove the page, as soon as somebody has signed in; a second call does nothing."""
        # Only our own page: another server may have one at the same path.
        if self._there:
            self._timer.cancel()
            self._path.unlink(missing_ok=True)

    def _browse(self) -> None:
        # -I: else a file webbrowser.py in the current folder would be run.
        command = [sys.executable, "-I", "-c", _BROWSE, self._path.as_uri()]
        quiet = subprocess.DEVNULL
        done = subprocess.run(  # noqa: S603 - our own words, and the path of our own file
            command, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True, check=False
        )
        if done.returncode != 0:
            self._complain("cannot open a browser; `molecule-approve approvers link NAME` prints a sign-in link")
