"""The page that sends a browser on: private, short-lived, and no matter where it cannot be written or opened."""

from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from molecule_approve.cli.browser import SignInPage
from tests.callers import until

if TYPE_CHECKING:
    import pytest

LINK = "http://127.0.0.1:8788/#sign-in=CODE"


class Heard:
    """What was complained about."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.came = threading.Event()

    def __call__(self, sentence: str) -> None:
        self.said.append(sentence)
        self.came.set()


def test_a_machine_without_a_browser_says_how_to_get_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence; the file stays for its minute. What lies in the folder where we stand is not run for it."""
    (tmp_path / "webbrowser.py").write_text("open('run', 'w')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BROWSER", "/bin/false %s")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("DISPLAY", raising=False)
    heard, path = Heard(), tmp_path / "sign-in.html"
    with closing(SignInPage(path, heard)) as page:
        page.open(LINK)
        assert heard.came.wait(20)
        assert LINK in path.read_text()
        assert path.stat().st_mode & 0o777 == 0o600
    assert not path.exists()
    assert "approvers link NAME" in heard.said[0]
    assert not (tmp_path / "run").exists()


def test_the_page_goes_after_its_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Used or not: its code is good no longer."""
    monkeypatch.setenv("BROWSER", "/bin/true %s")
    path = tmp_path / "sign-in.html"
    heard = Heard()
    with closing(SignInPage(path, heard, 0.05)) as page:
        page.open(LINK)
        until(lambda: not path.exists())
        assert heard.said == []  # it was there, for else that would have been told


def test_a_folder_that_takes_no_file_is_told(tmp_path: Path) -> None:
    """As a sentence: the server goes on."""
    heard = Heard()
    with closing(SignInPage(tmp_path / "nowhere" / "sign-in.html", heard)) as page:
        page.open(LINK)
    assert "cannot write" in heard.said[0]


def test_a_page_of_somebody_elses_is_left_alone(tmp_path: Path) -> None:
    """A second server that cannot start, because one runs, takes nothing from the first."""
    path = tmp_path / "sign-in.html"
    path.write_text("the first server's")
    with closing(SignInPage(path, Heard())) as page:
        page.close()
    assert path.read_text() == "the first server's"
