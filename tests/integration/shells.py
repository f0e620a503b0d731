"""Real shells that complete: bash and zsh at a terminal of their own, and what a person would see in it after TAB."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest

from tests.callers import PATIENCE

READY = "ready>"
# Sent after a line and its TAB: the shell shows what it now holds, and empties it.
_SHOW = b"\x18\x18"

_BASH = f"""
PS1='{READY} '
bind 'set show-all-if-ambiguous on'
bind 'set page-completions off'
bind 'set completion-query-items 0'
bind 'set bell-style none'
bind 'set enable-bracketed-paste off'
_show() {{ printf '\\nline<%s>\\n' "$READLINE_LINE"; READLINE_LINE=''; READLINE_POINT=0; }}
bind -x '"\\C-x\\C-x": _show'
"""
_ZSH = f"""
PS1='{READY} '
unsetopt LIST_AMBIGUOUS LIST_BEEP AUTO_MENU ALWAYS_LAST_PROMPT PROMPT_SP PROMPT_CR
LISTMAX=10000
autoload -Uz compinit
compinit -u -d "$HOME/dump"
_show() {{ print; print -r -- "line<$BUFFER>"; BUFFER='' }}
zle -N _show
bindkey '^X^X' _show
"""
_DUMPS: dict[Path, bytes] = {}
"""What zsh found on its path, by our script there, for its next start: it looks through a thousand files for it."""

_ESCAPE = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|[=>])")


def wanted(shell: str) -> str:
    """The shell's path; where the machine has none, the test is skipped and says so."""
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"{shell} is not installed")
    return found


@dataclass(frozen=True)
class Shown:
    """What TAB brought.

    Attributes:
        line: the command line afterwards.
        listed: all that was printed meanwhile: the line as it was typed, and below it what else would fit.

    """

    line: str
    listed: str

    def offered(self, typed: str) -> list[str]:
        """The words that would fit, without their help: those that were listed, or the one that stands in the line now."""
        listed = self.listed.partition("\n")[2].partition(READY)[0]
        words = [word for row in listed.splitlines() for word in row.partition(" -- ")[0].split()]
        return words or ([] if self.line == typed else [re.split("[ =]", self.line.rstrip())[-1]])


class Terminal:
    """An interactive shell and the near end of its terminal."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], folder: Path) -> None:
        self._near, far = pty.openpty()
        fcntl.ioctl(far, termios.TIOCSWINSZ, struct.pack("HHHH", 100, 200, 0, 0))
        self._process = subprocess.Popen(
            argv, env=dict(env), cwd=folder, stdin=far, stdout=far, stderr=far, start_new_session=True, close_fds=True
        )
        os.close(far)
        self._seen = ""
        self._until(rf"{READY} ")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._near)

    def tab(self, line: str) -> Shown:
        """Type a line, then TAB."""
        self._seen = ""
        os.write(self._near, line.encode() + b"\t" + _SHOW)
        found = self._until(r"(?s)(.*)\nline<([^\n]*)>\n")
        return Shown(found.group(2), found.group(1))

    def _until(self, pattern: str) -> re.Match[str]:
        """Read until the pattern has come.

        Raises:
            AssertionError: it did not come in time.

        """
        end = time.monotonic() + PATIENCE
        while (found := re.search(pattern, self._seen)) is None:
            ready, _, _ = select.select([self._near], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"the shell shows only {self._seen!r}"
            text = os.read(self._near, 65_536).decode("utf-8", "replace")
            self._seen += _ESCAPE.sub("", text).replace("\r", "")
        return found


@contextmanager
def terminal(shell: str, script: Path, env: Mapping[str, str], folder: Path, extra: str = "") -> Iterator[Terminal]:
    """An interactive bash or zsh that has loaded the script as its users do, and nothing else but ``extra``."""
    path = wanted(shell)
    folder.mkdir(exist_ok=True)
    everywhere = {**env, "TERM": "dumb", "HOME": str(folder), "ZDOTDIR": str(folder), "INPUTRC": os.devnull}
    if shell == "bash":
        (folder / "bashrc").write_text(f"{_BASH}source '{script}'\n{extra}\n")
        argv = [path, "--noprofile", "--rcfile", str(folder / "bashrc"), "-i"]
    else:
        (folder / ".zshrc").write_text(f"fpath=('{script.parent}' $fpath)\n{_ZSH}{extra}\n")
        argv = [path, "-d", "-i"]
        if script in _DUMPS:
            (folder / "dump").write_bytes(_DUMPS[script])
    with Terminal(argv, everywhere, folder) as opened:
        if shell == "zsh":
            _DUMPS[script] = (folder / "dump").read_bytes()
        yield opened


def fish(script: Path, env: Mapping[str, str], *lines: str) -> list[dict[str, str]]:
    """What fish offers for each line: words, and the help beside each."""
    code = "source $argv[1]; for line in $argv[2..]; complete -C $line; echo ==; end"
    out = subprocess.run(
        [wanted("fish"), "--no-config", "-c", code, str(script), *lines],
        env=dict(env), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=True,
    )  # fmt: skip
    assert out.stderr == ""
    offered = [text.splitlines() for text in out.stdout.split("==\n")[: len(lines)]]
    return [{word: text for word, _, text in (entry.partition("\t") for entry in part)} for part in offered]


# As readline cuts a line at blanks, and at what COMP_WORDBREAKS names.
_PIECES = re.compile(r"[:=]+|[^\s:=]+")


def bash(script: Path, env: Mapping[str, str], line: str, *before: str) -> list[str]:
    """What our function offers in bash, called as bash calls it; ``before`` is run first."""
    pieces = _PIECES.findall(line) + ([""] if line[-1] in " :=" else [])
    code = "\n".join([
        'source $1; COMP_LINE=$2; COMP_POINT=${#2}; shift 2; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))',
        *before,
        "_molecule_approve; ((${#COMPREPLY[@]} == 0)) || printf '%s\\n' \"${COMPREPLY[@]}\"",
    ])  # fmt: skip
    out = subprocess.run(
        [wanted("bash"), "--noprofile", "--norc", "-c", code, "bash", str(script), line, *pieces],
        env=dict(env), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=True,
    )  # fmt: skip
    assert out.stderr == ""
    return out.stdout.splitlines()
