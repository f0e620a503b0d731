"""Makes the pictures of README.md in docs/images from real runs: a recording of two terminals, a photograph of the page.

It needs tmux, Chromium and pngquant. The drawing there, overview.svg, was made by hand.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from itertools import groupby
from pathlib import Path

from playwright.sync_api import sync_playwright
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import SVG_EXPORT_THEME as THEME
from rich.text import Text

IMAGES = Path(__file__).parent.parent / "docs" / "images"
HOST = "build-1"
COLUMNS, ROWS = 92, (15, 22)
"""Of the requester's terminal and of the approver's."""
PATIENCE = 20.0
"""Seconds to wait for what a command is to show."""

REQUEST = (
    'molecule-approve request --reason "rebuild it from last night\'s snapshot" \\',
    '-- "drop the staging database"; echo "exit code $?"',
)

# --- the house -------------------------------------------------------------------------------------------------------------


def in_a_host_of_its_own() -> None:
    """Start again where the machine has another name: the approver is shown it."""
    if os.geteuid() == 0 and os.uname().nodename != HOST:
        rename = f'hostname {HOST} && exec "$@"'
        os.execvp("unshare", ["unshare", "--uts", "sh", "-c", rename, "sh", sys.executable, *sys.argv])


@contextmanager
def serving(folder: Path) -> Iterator[dict[str, str]]:
    """A server of its own; the environment of its users."""
    for name in ("run", "state"):
        (folder / name).mkdir(mode=0o700)
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "LOGNAME": "deploy",
        "LANG": "C.UTF-8",
        "PLATFORM_URL": "local",
        "XDG_STATE_HOME": str(folder / "state"),
        "XDG_RUNTIME_DIR": str(folder / "run"),
        "AUDIT_LOG_PATH": str(folder / "state" / "audit.jsonl"),
    }
    command = ["molecule-approve", "serve", "--port", "0"]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        print("serving at", (server.stdout or sys.stdin).readline(), end="")
        env["MOLECULE_APPROVER_TOKEN"] = run(env, "approvers", "add", "alice")
        try:
            yield env
        finally:
            server.terminate()


def run(env: dict[str, str], *words: str) -> str:
    """What a command says."""
    command = ["molecule-approve", *words]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, cwd="/srv").stdout.strip()


# --- the recording ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Frame:
    """What both terminals show, with their escape sequences, and for how many seconds."""

    panes: tuple[str, str]
    seconds: float


class Terminals:
    """Two shells in tmux, one below the other."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self._tmux = ["tmux", "-u", "-S", str(folder / "tmux"), "-f", "/dev/null"]
        self._env = env
        self.frames: list[Frame] = []
        for pane, rows in enumerate(ROWS):
            name = f"terminal-{pane}"
            size = ["-x", str(COLUMNS), "-y", str(rows)]
            self._do("new-session", "-d", "-s", name, *size, "-c", "/srv", "exec env PS1='$ ' bash --norc --noprofile")
            self._do("set-option", "-t", name, "status", "off")

    def _do(self, *words: str) -> str:
        found = subprocess.run([*self._tmux, *words], env=self._env, capture_output=True, text=True, check=True)
        return found.stdout

    def shown(self, pane: int) -> str:
        """What a terminal shows."""
        return self._do("capture-pane", "-e", "-p", "-t", f"terminal-{pane}")

    def frame(self, seconds: float) -> None:
        """Keep what is shown now."""
        self.frames.append(Frame((self.shown(0), self.shown(1)), seconds))

    def type(self, pane: int, text: str, *, enter: bool = True) -> None:
        """Type a line, and wait until it can be read."""
        self._do("send-keys", "-t", f"terminal-{pane}", "-l", "--", text)
        self.until(pane, text.rsplit(maxsplit=1)[-1])
        if enter:
            self.enter(pane)

    def say(self, pane: int, text: str, seconds: float) -> None:
        """Type the text, show it so long, then send it."""
        self.type(pane, text, enter=False)
        self.frame(seconds)
        self.enter(pane)

    def enter(self, pane: int) -> None:
        """Press Enter."""
        self._do("send-keys", "-t", f"terminal-{pane}", "Enter")

    def until(self, pane: int, text: str) -> None:
        """Wait until a terminal shows a text."""
        until(lambda: text in Text.from_ansi(self.shown(pane)).plain, text)

    def close(self) -> None:
        """End the shells."""
        self._do("kill-server")


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something.

    Raises:
        SystemExit: it took too long.

    """
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"nothing showed {what!r} within {PATIENCE:g} seconds")
        time.sleep(0.05)


def record(at: Terminals) -> None:
    """The story: a request, a decision, the trail."""
    at.until(0, "$")
    at.until(1, "$")
    at.type(0, REQUEST[0])
    at.until(0, ">")
    at.say(0, REQUEST[1], 2.5)
    at.until(0, "(live)")
    at.frame(2.5)
    at.say(1, "molecule-approve review", 1.5)
    at.until(1, "skip or quit?")
    at.frame(4)
    at.say(1, "approve", 1.5)
    at.until(1, "comment")
    at.say(1, "go ahead", 1.5)
    at.until(0, "exit code 0")
    at.until(1, "1 approved")
    at.frame(3)
    at.say(0, "molecule-approve audit tail", 1)
    at.until(0, "granted")
    at.frame(6)


# --- the recording as a picture --------------------------------------------------------------------------------------------

_WIDTH, _HEIGHT, _SIZE, _PAD, _BAR = 8.4, 18, 14, 14, 26
"""Pixels: of a character, of a row, of the font, around the text, of a title."""
_TITLES = ("requester", "approver: alice")
_STYLE = """
.f{visibility:hidden}.last{visibility:visible}
text{font:14px ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace;fill:#d4d7dd;white-space:pre}
.t{fill:#9aa0ab}.b{font-weight:bold}.d{fill-opacity:.62}
"""


def drawn(frames: list[Frame]) -> str:
    """The recording as a picture that moves; who wants none, or has no animation, sees its end."""
    width = round(COLUMNS * _WIDTH) + 2 * _PAD
    total = sum(frame.seconds for frame in frames)
    style, body, top = [_STYLE], [], 0
    for pane, (title, rows) in enumerate(zip(_TITLES, ROWS, strict=True)):
        height = _BAR + rows * _HEIGHT + _PAD
        body.append(f'<rect y="{top}" width="{width}" height="{height}" rx="8" fill="#1c1f26"/>')
        body.append(f'<text class="t" x="{_PAD}" y="{top + 19}">{title}</text>')
        for number, (start, end, text) in enumerate(states(frames, pane)):
            name = f"p{pane}s{number}"
            style.append(moving(name, start / total, end / total, total))
            last = " last" if end == total else ""
            body.append(f'<g id="{name}" class="f{last}">{"".join(lines(text, top + _BAR))}</g>')
        top += height + 10
    css = "".join(style).replace("\n", "")
    size = f'width="{width}" height="{top - 10}" viewBox="0 0 {width} {top - 10}"'
    label = "A request in one terminal is approved in another one."
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{label}">'
    return "\n".join([head, f"<style>{css}</style>", *body, "</svg>", ""])


def states(frames: list[Frame], pane: int) -> Iterator[tuple[float, float, str]]:
    """From when to when a terminal shows which text, each text once."""
    at = 0.0
    for text, same in groupby(frames, lambda frame: frame.panes[pane]):
        start, at = at, at + sum(frame.seconds for frame in same)
        yield start, at, text


def moving(name: str, start: float, end: float, total: float) -> str:
    """The rules that show one state at its time; times as parts of the whole."""
    frames = {0.0: "hidden", start: "visible"} | ({end: "hidden"} if end < 1 else {})
    steps = "".join(f"{at:.2%}{{visibility:{seen}}}" for at, seen in frames.items())
    rule = f"#{name}{{animation:{name} {total:g}s steps(1) infinite}}"
    return f"@keyframes {name}{{{steps}}}@media(prefers-reduced-motion:no-preference){{{rule}}}"


def lines(text: str, top: int) -> Iterator[str]:
    """A terminal's rows as text."""
    for row, line in enumerate(text.rstrip("\n").splitlines()):
        pieces = Text.from_ansi(line.rstrip())
        if pieces.plain.strip():
            y, length = top + row * _HEIGHT + _SIZE, round(len(pieces.plain) * _WIDTH, 1)
            yield f'<text x="{_PAD}" y="{y}" textLength="{length}">{"".join(spans(pieces))}</text>'


def spans(text: Text) -> Iterator[str]:
    """A row's pieces, each in its style."""
    for segment in text.render(Console(width=COLUMNS), end=""):
        style = segment.style or Style()
        names = " ".join(name for name, on in (("b", style.bold), ("d", style.dim)) if on)
        colour = "" if style.color is None or style.color.is_default else style.color.get_truecolor(THEME).hex
        marks = (f' class="{names}"' if names else "") + (f' fill="{colour}"' if colour else "")
        words = escape(segment.text, quote=False)
        yield f"<tspan{marks}>{words}</tspan>" if marks else words


# --- the photograph --------------------------------------------------------------------------------------------------------


def requester(env: dict[str, str], name: str) -> dict[str, str]:
    """The environment of a new requester: the command that adds it names the settings, and prints the token."""
    command = ["molecule-approve", "requesters", "add", name]
    added = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    settings = dict(line.strip().split("=", 1) for line in added.stderr.splitlines() if "=" in line)
    return {**env, **settings, "MOLECULE_TOKEN": added.stdout.strip()}


def photograph(env: dict[str, str], path: Path) -> None:
    """The page with requests on it, as alice sees it after she followed her link."""
    reason = ("--reason", "rebuild it from last night's snapshot", "--context", "ticket=OPS-12")
    for name, *words in (
        ("mara", *reason, "--", "drop the staging database"),
        ("ci-deploy", "--expires-in", "15m", "--", "kubectl rollout restart deploy/api -n prod"),
        ("release-bot", "--expires-in", "2h", "--", "publish 2.0.0 to the package index"),
    ):
        run(requester(env, name), "request", "--no-wait", *words)
    link = run(env, "approvers", "link", "alice")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    # Chromium's sandbox refuses to run as root.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        page = browser.new_page(viewport={"width": 1120, "height": 600}, reduced_motion="reduce")
        page.goto(link)
        page.get_by_text("drop the staging database").first.wait_for()
        page.get_by_role("button", name="Approve").click(trial=True)  # buttons rest for a second
        page.screenshot(path=path)
        browser.close()
    subprocess.run(["pngquant", "--force", "--output", path, "64", path], check=True)


def main() -> None:
    """Make both."""
    in_a_host_of_its_own()
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ma.") as name:
        folder = Path(name)
        with serving(folder) as env:
            terminals = Terminals(folder, env)
            try:
                record(terminals)
            finally:
                terminals.close()
            (IMAGES / "terminal.svg").write_text(drawn(terminals.frames), encoding="utf-8")
            photograph(env, IMAGES / "inbox.png")


if __name__ == "__main__":
    main()
