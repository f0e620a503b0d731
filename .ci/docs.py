#!/usr/bin/env python3
"""Writes what the code knows better: exit codes, settings and help in README.md and docs/, and the manual pages.

    docs.py [FOLDER]           write them
    docs.py --check [FOLDER]   change nothing; say what is out of date, and leave with 1

A part of a page stands between ``<!-- generated: NAME -->`` and ``<!-- end -->``. The wording of the tables is here; the
codes, the names, the defaults and the help come from the program, and what has no wording here stops this script. How a
manual page looks is in ``man.py``. The folder is the project's own unless another one is named.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import io
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Help is as wide as the terminal, and a terminal that has colours would get them.
os.environ.update(COLUMNS="100", TERM="dumb", NO_COLOR="1")

import man
import typer

from molecule_approve import errors
from molecule_approve.cli import exits
from molecule_approve.cli.app import app
from molecule_approve.cli.exits import Exit
from molecule_approve.cli.main import main as program
from molecule_approve.integrations.hooks.registry import HOSTS
from molecule_approve.model import Outcome, Verdict
from molecule_approve.paths import Places
from molecule_approve.settings import resolve

ROOT = Path(__file__).parent.parent
MANUAL = Path("docs", "man")
_PART = re.compile(r"(<!-- generated: ([A-Za-z .-]+) -->\n).*?(<!-- end -->)", re.DOTALL)

# --- exit codes ------------------------------------------------------------------------------------------------------------

_ASKING = "`request`, `run`, `wait`, `status ID`"
_EXITS: dict[Exit, tuple[str, str, str]] = {
    Exit.OK: (
        "approved",
        _ASKING,
        (
            "a person approved this request; `run`: and the command exited with 0; `hook`: or a rule leaves the call to the "
            "host; on other commands: done"
        ),
    ),
    Exit.USAGE: (
        "usage",
        "all",
        (
            "wrong options or arguments, no request was sent; also `run --show`, and `--help` of `request`, `run`, `wait` "
            'and `status`, so that `request "$X"` never exits with 0 because `$X` is `--help`; `hook`: the call is blocked, '
            "whatever the reason"
        ),
    ),
    Exit.ENDED: ("ended", "`approve`, `deny`, `withdraw`", "the request had already ended in another way"),
    Exit.PENDING: (
        "pending",
        _ASKING,
        (
            "not decided yet: `request` with `--no-wait` or `--for`; `status`; `run --approval`, and `wait` without "
            "`--withdraw`, at their timeout"
        ),
    ),
    Exit.NOT_WHOLE: (
        "not whole",
        "`audit verify`, `audit export`, `receipt verify`, `policy test`, `policy diff`",
        (
            "a record was changed, removed, inserted, moved or cut off; the receipt does not prove what it has to; `policy "
            "test`: a case is decided otherwise than it expects; `policy diff`: otherwise than by the old policy"
        ),
    ),
    Exit.DENIED: (
        "denied",
        _ASKING,
        "a person or a rule of the server denied it, or the workspace's roles do not permit a request",
    ),
    Exit.TIMED_OUT: (
        "timed out",
        _ASKING,
        "nobody decided in time, the platform expired the request, or somebody else withdrew it",
    ),
    Exit.NOT_EXECUTABLE: (
        "not executable",
        "`run`",
        "the command cannot be executed, as with env(1); no request was sent",
    ),
    Exit.NOT_FOUND: ("not found", "`run`", "the command does not exist, as with env(1); no request was sent"),
    Exit.FAILED: (
        "gate failed",
        "all",
        (
            "no verdict: platform, network, protocol, credential, configuration or audit log failed; the server's rules "
            "refuse the request; the approval was "
            "already redeemed, or could not be delivered; the outcome could not be read; `run`: what would run has changed. "
            "Treat it as not approved. On other commands: not done"
        ),
    ),
}
_DONE = {Exit.OK: "done", Exit.USAGE: "wrong options or arguments", Exit.FAILED: "not done; the message says why"}
"""What these codes mean on commands that gate nothing."""
_OF_HOOKS = (
    ("0", "a person approved the call, or a rule in approve.hooks leaves it to the host"),
    ("2", "the call is blocked: everything else, also wrong options, a signal and a fault of this program"),
)
_SIGNALS = (
    "| 129, 130, 143 | interrupted | `request`, `run`, `wait` | | SIGHUP (or nobody left to read the verdict), SIGINT, "
    "SIGTERM; the request was withdrawn if possible (by `wait` only with `--withdraw`, by `run --approval` never); other "
    "commands exit with 130 on Ctrl-C, and `serve` and `mcp` with 0 |"
)


def exit_codes() -> Iterator[str]:
    """One row a code, with the outcomes that lead to it; then the errors."""
    yield "| code | name | commands | `outcome` | when |"
    yield "| --- | --- | --- | --- | --- |"
    for code in Exit:
        name, commands, when = _EXITS[code]
        words = [f"`{found.value}`" for found in Outcome if found is not Outcome.INTERRUPTED]
        words = [word for word in words if exits.of_verdict(Verdict(Outcome(word.strip("`")))) == code]
        yield f"| {code.value} | {name} | {commands} | {' '.join(words)} | {when} |"
    yield _SIGNALS.replace("| |", f"| `{Outcome.INTERRUPTED.value}` |")


def exit_codes_in_short() -> Iterator[str]:
    """One row a code of the commands that gate."""
    yield "| code | name | when |"
    yield "| --- | --- | --- |"
    for code, (name, commands, when) in _EXITS.items():
        if commands in {_ASKING, "all"}:
            yield f"| {code.value} | {name} | {when} |"
    yield "| 129, 130, 143 | interrupted | SIGHUP, SIGINT (Ctrl-C), SIGTERM; the request was withdrawn if possible |"


def exits_of(words: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """The codes that a command can leave with, and when; all of them for the program itself. For a manual page."""
    if words[:1] == ("hook",) and words[-1] in HOSTS:
        yield from _OF_HOOKS
        return
    command = f"`{' '.join(words)}`"
    gates = command in _ASKING or command == "`status`"
    for code, (_, commands, when) in _EXITS.items():
        if not words or (gates and commands in {_ASKING, "all"}) or command in commands:
            yield str(code.value), when
        elif code in _DONE:
            yield str(code.value), _DONE[code]
    if command == "`run`":
        yield "others", "the command's own exit code, or 128 + the number of the signal that ended it"
    if not words or command in {"`request`", "`run`", "`wait`"}:
        yield "129, 130, 143", _SIGNALS.rstrip(" |").rpartition("| ")[2]
    elif command not in {"`serve`", "`mcp`"}:
        yield "130", "interrupted by Ctrl-C"


def error_kinds() -> Iterator[str]:
    """One row a class of errors: its stable word, what it leaves with, what it means."""
    yield "| `error.kind` | code | meaning |"
    yield "| --- | --- | --- |"
    for kind in _tree(errors.ApprovalError):
        meaning = (kind.__doc__ or "").splitlines()[0].rstrip(".").replace("``", "`")
        yield f"| `{kind.kind}` | {exits.of_error(kind.__new__(kind))} | {meaning} |"
    yield "| `interrupted` | 129, 130, 143 | A signal stopped the program, or nobody was left to read the verdict |"


def _tree(root: type[errors.ApprovalError]) -> Iterator[type[errors.ApprovalError]]:
    for child in root.__subclasses__():
        yield child
        yield from _tree(child)


# --- settings --------------------------------------------------------------------------------------------------------------


def _seconds(value: float) -> str:
    return f"{value:g}"


_Setting = tuple[str, Callable[[resolve.Settings], str], str]
_VARIABLES: tuple[_Setting, ...] = (
    (
        "PLATFORM_URL",
        lambda found: (
            "at a terminal (stdin and stderr, `CI` unset) the embedded server that this user runs, if one runs; "
            f"else `{found.platform_url.value}`"
        ),
        "base address of the platform; `local` is this user's embedded server, and is how scripts and CI choose it",
    ),
    (
        "WORKSPACE_ID",
        lambda found: (found.workspace_id.value or "none") + "; the embedded server's own workspace when that is used",
        "the workspace that sends the request",
    ),
    (
        "MOLECULE_TOKEN",
        lambda _: "the first line of `.auth_token` in `CONFIGS_DIR`, if it is there",
        "bearer token of the workspace; never an option's value, so that `ps` never shows it",
    ),
    ("CONFIGS_DIR", lambda _: "`/configs`", "the folder of `.auth_token`"),
    (
        "MOLECULE_APPROVER_TOKEN",
        lambda _: "asked for at the terminal",
        (
            "an approver's bearer token, for `review`, `approve` and `deny`; `pending` uses it if it is set; the server "
            "keeps only its hash"
        ),
    ),
    (
        "APPROVAL_TIMEOUT",
        lambda found: _seconds(found.timeout.value),
        "how long to wait for a decision, the whole wait: 1 s to 24 h; seconds, or `90s`, `5m`, `1h30m`, `1d`",
    ),
    (
        "APPROVAL_POLL_INTERVAL",
        lambda found: _seconds(found.poll_interval.value),
        "time between reads on the polling path; at least 1 s",
    ),
    (
        "APPROVAL_USE_WEBSOCKET",
        lambda found: found.transport.value.value,
        "`true` tries the event stream and falls back to polling, `false` only polls",
    ),
    (
        "APPROVAL_ALLOW_HTTP",
        lambda found: str(found.allow_http.value).lower(),
        "allows the token to leave this machine over http://; the built-in default address is always allowed",
    ),
    (
        "AUDIT_LOG_PATH",
        lambda _: f"`{resolve.SYSTEM_AUDIT_LOG}` if that can be written, else `audit.jsonl` in the state folder",
        "the audit log",
    ),
    (
        "AUDIT_LOG_ROTATE_AT",
        lambda _: "`16MiB`",
        "size at which the audit log becomes an archive: `500K`, `16MiB`, `1GiB`, or bytes (64K at least); or `never`",
    ),
    ("WORKSPACE_CONFIG_PATH", lambda _: "`/configs`", "`config.yaml`, or the folder it is in"),
    (
        "MOLECULE_SERVER_CONFIG",
        lambda _: "`server.yaml` beside `config.yaml`, if it is there",
        "the [settings of the embedded server](server.md#settings), or the folder they are in",
    ),
)


def environment() -> Iterator[str]:
    """One row a variable, with what counts where nothing is set."""
    nowhere = Places(Path("/nowhere/state"), Path("/nowhere/run"))
    found = resolve.resolve(resolve.Flags(), {"CONFIGS_DIR": "/nowhere"}, nowhere, at_terminal=False)
    yield "| variable | default | meaning |"
    yield "| --- | --- | --- |"
    for name, default, meaning in _VARIABLES:
        yield f"| `{name}` | {default(found)} | {meaning} |"


# --- help ------------------------------------------------------------------------------------------------------------------


def help_texts() -> Iterator[str]:
    """The program's help, and that of every command below it."""
    for words, _ in _commands(typer.main.get_command(app), ()):
        yield f"### {' '.join(('molecule-approve', *words))}"
        yield ""
        yield "```text"
        yield _help_of(words)
        yield "```"
        yield ""


def _commands(command: Any, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:  # noqa: ANN401 - typer's own class has no public name
    yield words, command
    for name in getattr(command, "commands", ()):
        yield from _commands(command.commands[name], (*words, name))


def _help_of(words: tuple[str, ...]) -> str:
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(io.StringIO()):
        program([*words, "--help"])
    return text.getvalue().strip()


# --- the files -------------------------------------------------------------------------------------------------------------

EXAMPLES = {
    "nginx.conf": "nginx",
    "nginx-sub-path.conf": "nginx",
    "Caddyfile": "text",
    "molecule-approve.service": "ini",
    "Containerfile": "dockerfile",
}
"""The files of docs/examples that a page shows, and the language of each."""


def example(name: str) -> Iterator[str]:
    """One of these files as a block."""
    yield f"```{EXAMPLES[name]}"
    yield (ROOT / "docs" / "examples" / name).read_text(encoding="utf-8").rstrip()
    yield "```"
    yield ""


_PARTS: dict[str, Callable[[], Iterator[str]]] = {
    **{f"example {name}": functools.partial(example, name) for name in EXAMPLES},
    "exit codes": exit_codes,
    "exit codes in short": exit_codes_in_short,
    "error kinds": error_kinds,
    "environment": environment,
    "help": help_texts,
}


def texts(folder: Path) -> dict[Path, str]:
    """Every generated file below the folder as it should be, by its name there.

    Raises:
        SystemExit: a part is missing, or nobody knows how to write it.

    """
    old = {path.relative_to(folder): path.read_text(encoding="utf-8") for path in pages(folder)}
    there = [name for text in old.values() for _, name, _ in _PART.findall(text)]
    if sorted(there) != sorted(_PARTS):
        sys.exit(f"the generated parts should be {sorted(_PARTS)}, and are {sorted(there)}")
    return {name: _PART.sub(_written, text) for name, text in old.items()} | dict(manual())


def pages(folder: Path) -> list[Path]:
    """The pages that hold generated parts."""
    return [folder / "README.md", *sorted((folder / "docs").glob("*.md"))]


def _written(part: re.Match[str]) -> str:
    return "\n".join([part[1], "\n".join(_PARTS[part[2]]()).strip(), "", part[3]])


def manual() -> Iterator[tuple[Path, str]]:
    """A manual page for each command, by its name."""
    for words, command in _commands(typer.main.get_command(app), ()):
        page = man.page(("molecule-approve", *words), command, list(exits_of(words)), [] if words else _environment())
        yield MANUAL / f"{'-'.join(('molecule-approve', *words))}.1", page


def _environment() -> list[tuple[str, str]]:
    rows = [row.strip("| ").split(" | ") for row in list(environment())[2:]]
    return [(name.strip("`"), f"{meaning}. Default: {default}.") for name, default, meaning in rows]


def main(arguments: list[str]) -> int:
    """Write, or compare."""
    folder = next((Path(word) for word in arguments if word != "--check"), ROOT)
    wanted = texts(folder)
    there = [*wanted, *(path.relative_to(folder) for path in (folder / MANUAL).glob("*.1"))]
    old = {name: path.read_text(encoding="utf-8") for name in there if (path := folder / name).exists()}
    stale = [name for name in dict.fromkeys(there) if old.get(name) != wanted.get(name)]
    if "--check" not in arguments:
        for name in stale:
            _put(folder / name, wanted.get(name))
        return 0
    for name in stale:
        before, after = old.get(name, "").splitlines(), wanted.get(name, "").splitlines()
        difference = difflib.unified_diff(before, after, str(name), "as the code has it", lineterm="")
        sys.stdout.write("\n".join(difference) + "\n")
    if stale:
        sys.stdout.write("run: make docs\n")
    return 1 if stale else 0


def _put(path: Path, text: str | None) -> None:
    """Write the text; without one the file goes: its command is gone."""
    if text is None:
        path.unlink()
    else:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
