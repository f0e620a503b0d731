"""The pages' scripts, cut out of them and run by real shells: the gates in every case, and the quick start."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from molecule_approve.paths import locate
from molecule_approve.server.run import Running, ServePlan
from tests.callers import PATIENCE, until
from tests.pages import SNIPPETS
from tests.server.desk import desk_of
from tests.server.serving import environment

if TYPE_CHECKING:
    from tests.integration.program import Program, World
    from tests.server.desk import Desk

TEXT_GATE = SNIPPETS["gated-text"]
PATHS = ("websocket", "poll")


def install(folder: Path) -> str:
    """Put the program into a folder under its own name; what PATH is with that folder in front."""
    folder.mkdir(exist_ok=True)
    program = folder / "molecule-approve"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m molecule_approve "$@"\n')
    program.chmod(0o755)
    return f"{folder}:{os.environ.get('PATH', os.defpath)}"


@pytest.fixture(params=["gated-rm", "gated-text"])
def site(world: World, request: pytest.FixtureRequest) -> World:
    """A world with either gate in it, a folder `victim` and a file `--help` that it may remove, and the program on PATH."""
    world.env["PATH"] = install(world.folder / "bin")
    world.env.update(APPROVAL_TIMEOUT="10", APPROVAL_POLL_INTERVAL="1")
    (world.folder / "gate").write_text(SNIPPETS[request.param])
    (world.folder / "victim" / "deep").mkdir(parents=True)
    (world.folder / "--help").write_text("precious")
    return world


def shell(site: World) -> str:
    """The shell that runs the gate: one runs in bash, the other in sh, and both are read alike."""
    return "bash" if (site.folder / "gate").read_text() == TEXT_GATE else "sh"


def start(site: World, target: str = "victim", *, script: str = "gate", path: str = "websocket") -> Program:
    """Start the gate, in its shell, for a folder."""
    site.env["APPROVAL_USE_WEBSOCKET"] = "false" if path == "poll" else "true"
    return site.start(target, command=(shell(site), script))


def victim(site: World) -> bool:
    """Whether the folder is still there, with all that was in it."""
    return (site.folder / "victim" / "deep").is_dir()


def decided(site: World, program: Program, status: str, path: str = "websocket") -> int:
    """Decide once the program waits; the script's exit code."""
    site.await_waiting(path)
    assert site.platform.decide(site.platform.rows[0], status)
    return program.wait().code


# --- the gate --------------------------------------------------------------------------------------------------------------


def test_the_gates_have_the_form_that_the_pages_demand() -> None:
    """The command behind the dashes; or a text behind them, and the command behind `&&`."""
    first, run = SNIPPETS["gated-rm"].splitlines()
    assert (first, run) == ("#!/bin/sh", 'exec molecule-approve run -- rm -rf -- "$1"')
    first, action, gate = TEXT_GATE.splitlines()
    assert (first, action.split("=")[0]) == ("#!/bin/sh", "ACTION")
    assert gate.startswith('molecule-approve request -- "$ACTION" && rm -rf -- ')


def command(site: World) -> str:
    """The first line of what was asked first, as a shell reads it."""
    return shlex.join(shlex.split(site.platform.rows[0].action.splitlines()[0]))


@pytest.mark.parametrize("path", PATHS)
def test_approved_it_removes_the_folder(site: World, path: str) -> None:
    """And nothing before the yes; the exit code is that of rm."""
    program = start(site, path=path)
    site.await_waiting(path)
    assert victim(site)
    assert decided(site, program, "approved", path) == 0
    assert not (site.folder / "victim").exists()
    assert command(site) == "rm -rf -- victim"


def test_denied_it_removes_nothing(site: World) -> None:
    """77, and the folder stays."""
    assert decided(site, start(site), "denied") == 77
    assert victim(site)


def test_timed_out_it_removes_nothing(site: World) -> None:
    """124, and the question is taken back."""
    site.env["APPROVAL_TIMEOUT"] = "1"
    assert start(site).wait().code == 124
    assert victim(site)
    assert [row.status for row in site.platform.rows] == ["denied"]


@pytest.mark.parametrize("path", PATHS)
def test_ctrl_c_removes_nothing(site: World, path: str) -> None:
    """The key is pressed at a real terminal: shell and program get the signal; the question is taken back; 130."""
    site.env["APPROVAL_USE_WEBSOCKET"] = "false" if path == "poll" else "true"
    program = site.start("victim", command=(shell(site), "gate"), terminal=True)
    site.await_waiting(path)
    program.type("\x03")
    assert program.wait().code == 128 + signal.SIGINT
    assert victim(site)
    assert [row.status for row in site.platform.rows] == ["denied"]
    assert b'"outcome":"withdrawn"' in site.log_lines()[-1]


def test_a_dead_server_removes_nothing(site: World) -> None:
    """Nobody listens: 125 when the time is over."""
    site.env["APPROVAL_TIMEOUT"] = "1"
    site.cut_off = True
    site.platform.stop()
    assert start(site).wait().code == 125
    assert victim(site)


def test_no_embedded_server_removes_nothing(site: World) -> None:
    """It was never started: 125 at once."""
    site.env["PLATFORM_URL"] = "local"
    assert start(site).wait().code == 125
    assert victim(site)


@pytest.mark.parametrize("path", PATHS)
def test_a_server_that_dies_meanwhile_removes_nothing(site: World, path: str) -> None:
    """The wait goes on until the time is over, and nobody knows then whether somebody decided: 125."""
    site.env["APPROVAL_TIMEOUT"] = "2"
    program = start(site, path=path)
    site.await_waiting(path)
    site.cut_off = True
    site.platform.stop(abruptly=True)
    assert program.wait().code == 125
    assert victim(site)


# The shell and all that it starts can make no file longer than that; Python ignores SIGXFSZ, and the write fails.
_FULL = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
os.execvp("bash", ["bash", "gate", "victim"])
"""


def on_full_disk(site: World, size: int) -> Program:
    """Start the gate where the disk ends at that size."""
    return site.start(str(size), command=(sys.executable, "-c", _FULL))


def test_a_full_disk_removes_nothing(site: World) -> None:
    """The record comes before the question: 125, and nobody was asked."""
    assert on_full_disk(site, 0).wait().code == 125
    assert victim(site)
    assert site.platform.rows == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk that is full")
def test_a_truly_full_disk_removes_nothing(site: World) -> None:
    """A small file system without a free block, in a mount namespace of its own, says ENOSPC: 125, and nobody was asked."""
    disk = site.folder / "disk"
    disk.mkdir(mode=0o700)
    site.env["AUDIT_LOG_PATH"] = str(disk / "audit.jsonl")
    fill = f'mount -t tmpfs -o size=64k,mode=700 none "{disk}" && {{ cat /dev/zero >"{disk}/filler" || :; }} 2>/dev/null'
    command = ("unshare", "--mount", "sh", "-c", f'{fill}; exec bash gate "$1"', "sh")
    facts = site.start("victim", command=command).wait()
    if b"unshare" in facts.stderr or b"mount:" in facts.stderr:
        pytest.skip("this machine lets not even root mount a file system")
    assert facts.code == 125
    assert b"No space left" in facts.stderr
    assert victim(site)
    assert site.platform.rows == []


def test_a_disk_that_fills_up_meanwhile_removes_nothing(site: World) -> None:
    """There was room for the question's records; a yes that cannot be recorded is none."""
    assert decided(site, start(site), "denied") == 77
    beginning = sum(len(line) + 1 for line in site.log_lines()[:2])  # the next one's has the same length
    program = on_full_disk(site, len(site.log_text()) + beginning)
    site.platform.await_rows(2)
    until(lambda: len(site.log_lines()) == 5)
    assert site.platform.decide(site.platform.rows[1], "approved")
    assert program.wait().code == 125
    assert victim(site)


@pytest.mark.parametrize(("status", "code"), [("approved", 0), ("denied", 77)])
def test_a_folder_called_help_is_asked_for_like_any_other(site: World, status: str, code: int) -> None:
    """`gated-rm --help` removes the file of that name, and only for a yes."""
    assert decided(site, start(site, target="--help"), status) == code
    assert (site.folder / "--help").exists() == (status == "denied")
    assert command(site) == "rm -rf -- --help"
    assert victim(site)


@pytest.mark.parametrize("word", ["--help", "--version", "-h", "--json", "--timeout=1s"])
def test_an_action_that_looks_like_an_option_is_asked_as_it_is(site: World, word: str) -> None:
    """The script's own line, with a hostile word as the action."""
    line = TEXT_GATE.splitlines()[2].replace('"$1"', "victim")
    (site.folder / "line").write_text(f"ACTION={word}\n{line}\n")
    assert decided(site, start(site, script="line"), "denied") == 77
    assert [row.action for row in site.platform.rows] == [word]
    assert victim(site)


def test_without_the_dashes_a_hostile_word_is_no_yes(site: World) -> None:
    """It prints the help and leaves with 2, as the pages say."""
    (site.folder / "line").write_text('ACTION=--help\nmolecule-approve request "$ACTION" && rm -rf -- victim\n')
    facts = start(site, script="line").wait()
    assert facts.code == 2
    assert facts.stdout.startswith(b"Usage: molecule-approve request")
    assert victim(site)


def test_in_a_loop_ctrl_c_ends_it_only_with_exit(site: World) -> None:
    """130 is no death by signal, so the shell goes on; `|| exit` stops it."""
    (site.folder / "loop").write_text('for x in victim victim; do sh gate "$x" || exit; done\n')
    program = site.start("", command=("bash", "loop"), terminal=True)
    site.await_waiting("websocket")
    program.type("\x03")
    assert program.wait().code == 130
    assert len(site.platform.rows) == 1
    assert victim(site)


# --- the quick start -------------------------------------------------------------------------------------------------------


Shell = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short name, as a Unix socket's path wants it."""
    with tempfile.TemporaryDirectory(prefix="ma.") as found:
        yield Path(found)


@pytest.fixture
def desk(folder: Path) -> Iterator[Desk]:
    """A server, whose user has the terminals; its approver is alice."""
    with Running(ServePlan(locate(environment(folder / "home")))) as server, desk_of(server) as found:
        yield found


@pytest.fixture
def terminals(folder: Path, desk: Desk) -> Iterator[Shell]:
    """Terminals beside the server: each runs a script as its user, and in the end all that it started is killed."""
    started: list[subprocess.Popen[str]] = []
    pipe = subprocess.PIPE
    env = {**environment(desk.server.places.state.parent.parent), "PATH": install(folder / "bin")}

    def run(script: str) -> subprocess.Popen[str]:
        streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": pipe, "stderr": pipe, "text": True}
        started.append(subprocess.Popen(["bash", "-c", script], env=env, cwd=folder, start_new_session=True, **streams))
        return started[-1]

    yield run
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def asked(submitted: subprocess.Popen[str]) -> None:
    """Wait until the question stands."""
    assert submitted.stderr is not None
    assert any("to decide:" in line for line in submitted.stderr)


@pytest.mark.parametrize(("word", "code"), [("approve", 0), ("deny", 77)])
def test_the_quick_start_works(terminals: Shell, folder: Path, word: str, code: int) -> None:
    """The two blocks of the quick start, with a token and the id that `pending` shows; the folder goes or stays."""
    submitted = terminals(SNIPPETS["ask"])
    asked(submitted)
    shown = '"$(molecule-approve pending | cut -d" " -f1)" --yes'
    token = terminals("molecule-approve approvers add bo").communicate(timeout=PATIENCE)[0].strip()
    lines = SNIPPETS["decide"].replace("approve ID", f"{word} {shown}")
    decide = terminals(f"export MOLECULE_APPROVER_TOKEN={token}\n{lines}")
    assert decide.communicate(timeout=PATIENCE)[0].splitlines()[-1].startswith("approved" if code == 0 else "denied")
    assert submitted.communicate(timeout=PATIENCE)[0].splitlines()[-1] == f"exit code {code}"
    assert (folder / "old").exists() == (code != 0)


@pytest.mark.parametrize(
    ("name", "word", "said"),
    [
        ("python", "approve", "go on: alice"),
        ("python", "deny", "stop: denied"),
        ("python-run", "approve", "dropped\ndropped, approved by alice\n"),
        ("python-run", "deny", "not done: denied by alice no None\n"),
        ("python-gate", "approve", "dropped users\n"),
        ("python-gate", "deny", "not done: denied by alice denied\n"),
    ],
)
def test_the_python_examples_work(desk: Desk, terminals: Shell, folder: Path, name: str, word: str, said: str) -> None:
    """Each example, against the embedded server."""
    staging(folder)
    (folder / "example.py").write_text(SNIPPETS[name])
    example = f"PLATFORM_URL=local AUDIT_LOG_PATH=audit.jsonl '{sys.executable}' example.py"
    assert decided_meanwhile(desk, terminals, example, word)[1].startswith(said)


def decided_meanwhile(desk: Desk, terminals: Shell, script: str, word: str) -> tuple[int, str]:
    """The exit code of a script that asks, after alice's decision, and what it said on stdout."""
    with desk.listening() as events:
        running = terminals(script)
        asked = events.event()["payload"]["approval_id"]
    assert desk.decide(asked, {"approve": "approved", "deny": "denied"}[word]).status_code == 200
    out = running.communicate(timeout=PATIENCE)[0]
    return running.returncode, out


# --- docs/run.md -----------------------------------------------------------------------------------------------------------

LOCAL = "export PLATFORM_URL=local\n"


def staging(folder: Path) -> None:
    """The script that the examples run, and its plan."""
    (folder / "drop-staging.sh").write_text("#!/bin/sh\necho dropped\n")
    (folder / "drop-staging.sh").chmod(0o755)
    (folder / "plan").write_text("x\n")


@pytest.mark.parametrize(("word", "code", "out"), [("approve", 0, "dropped\n"), ("deny", 77, "")])
def test_the_first_example_of_run_works(desk: Desk, terminals: Shell, folder: Path, word: str, code: int, out: str) -> None:
    """What was approved runs, and nothing else does."""
    staging(folder)
    assert decided_meanwhile(desk, terminals, LOCAL + SNIPPETS["run"], word) == (code, out)


def test_what_the_approver_sees_has_the_form_of_the_page(terminals: Shell, folder: Path) -> None:
    """Line by line, but for hashes and names."""
    staging(folder)
    show = "LD_LIBRARY_PATH=/x molecule-approve run --show -- ./drop-staging.sh --plan=plan"
    shown = terminals(show).communicate(timeout=PATIENCE)[0]

    def form(text: str) -> str:
        text = re.sub(r"[0-9a-f]{64}", "HASH", text).replace(str(folder), "/srv/staging")
        return re.sub(r"(?m)^(host|user): .*$", r"\1: NAME", text)

    assert form(shown) == form(SNIPPETS["show"])


def test_anybody_can_compute_the_digest(terminals: Shell, folder: Path) -> None:
    """The page's lines give what `run --show` says."""
    staging(folder)
    computed = terminals(SNIPPETS["digest"]).communicate(timeout=PATIENCE)[0].split()[0]
    show = "unset LOGNAME USER; molecule-approve run --show -- ./drop-staging.sh --plan=plan"
    shown = terminals(show).communicate(timeout=PATIENCE)[0]
    assert shown.splitlines()[-1] == f"digest: sha256:{computed}"


@pytest.mark.parametrize(
    ("text", "word", "said"),
    [
        ("echo dropped", "approve", "dropped\nit ran, and exited with 0\n"),
        ("exit 77", "approve", "it ran, and exited with 77\n"),
        ("echo dropped", "deny", "it did not run: denied\n"),
    ],
)
@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed on this machine")
def test_a_script_tells_the_exit_codes_of_a_command_from_ours(
    desk: Desk, terminals: Shell, folder: Path, text: str, word: str, said: str
) -> None:
    """By the result file, as on the page."""
    staging(folder)
    (folder / "drop-staging.sh").write_text(f"#!/bin/sh\n{text}\n")
    assert decided_meanwhile(desk, terminals, LOCAL + SNIPPETS["executed"], word) == (0, said)


def test_what_is_asked_now_is_run_later(desk: Desk, terminals: Shell, folder: Path) -> None:
    """The two halves of the page; a file that has changed meanwhile stops the second and leaves the approval unused."""
    staging(folder)
    assert decided_meanwhile(desk, terminals, LOCAL + SNIPPETS["for"], "approve")[0] == 0
    later = LOCAL + SNIPPETS["later"]
    (folder / "plan").write_text("y\n")
    changed = terminals(later)
    assert "this is not the command of request" in changed.communicate(timeout=PATIENCE)[1]
    assert changed.returncode == 2
    (folder / "plan").write_text("x\n")
    assert terminals(later).communicate(timeout=PATIENCE)[0] == "dropped\n"
    assert terminals(later).wait(PATIENCE) == 125
