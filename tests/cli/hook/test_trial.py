"""`hook test`: what is installed is started as its host would, and the host's own rules say whether it blocks."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from molecule_approve.cli.hook import trial
from molecule_approve.integrations.hook_files.interface import HookEntry, InstalledCommand, line_of
from molecule_approve.integrations.hook_files.registry import HOST_FILES
from tests.callers import Told

Hook = Callable[..., Told]
PROGRAM = str(Path(sys.executable).parent / "molecule-approve")


@pytest.fixture
def put(user: Path) -> Callable[[str, str], Path]:
    """Installs a script of this text as the hook of a host."""

    def install(host: str, text: str) -> Path:
        program = user / "my tools" / "molecule-approve"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
        path = user / f".{host.partition('-')[0]}" / ("settings.json" if host == "claude-code" else "hooks.json")
        path.parent.mkdir(exist_ok=True)
        command = InstalledCommand(str(program), ("hook", host, "--platform-url", "https://platform.example.org"))
        path.write_text(json.dumps(HOST_FILES[host].installed({}, path, command)))
        return program

    return install


def test_the_installed_hook_blocks_without_a_shell(hook: Hook, user: Path) -> None:
    """Claude Code starts it itself; a person denies, the configuration is broken, the process is killed."""
    hook("install", "claude-code", "--yes", "--platform-url", "http://127.0.0.1:1", "--audit-log", str(user / "mine.jsonl"))
    told = hook("test", "claude-code")
    assert told.out.splitlines() == [
        "user, PreToolUse: a person denies: blocked",
        "user, PreToolUse: the configuration cannot be read: blocked",
        "user, PreToolUse: the hook is killed: blocked",
    ]
    assert (told.code, told.err) == (0, "")
    assert not (user / "mine.jsonl").exists()
    assert not (user / "state").exists()


def test_the_installed_hook_blocks_behind_a_shell(hook: Hook) -> None:
    """Codex itself would let the tool run after a hook that was killed: the guard in the line blocks it."""
    hook("install", "codex", "--yes", "--platform-url", "http://127.0.0.1:1")
    told = hook("test", "codex")
    assert told.out.splitlines() == [
        "user, PreToolUse: a person denies: blocked",
        "user, PreToolUse: the configuration cannot be read: blocked",
        "user, PreToolUse: the hook is killed: blocked",
    ]
    assert told.code == 0


def test_a_hook_without_the_guard_is_found_out(hook: Hook, user: Path) -> None:
    """Earlier installations wrote the command alone."""
    hook("install", "codex", "--yes", "--platform-url", "http://127.0.0.1:1")
    path = user / ".codex" / "hooks.json"
    document = json.loads(path.read_text())
    (handler,) = document["hooks"]["PreToolUse"][0]["hooks"]
    handler["command"] = line_of(handler["command"]).partition(" || ")[0]
    path.write_text(json.dumps(document))
    told = hook("test", "codex")
    assert told.out.splitlines()[2] == "user, PreToolUse: the hook is killed: THE TOOL RUNS"
    assert told.code == 125


def test_a_hook_that_lets_everything_run_is_found_out(hook: Hook, put: Callable[[str, str], Path]) -> None:
    """125, and that nobody was asked."""
    put("codex", "exit 0")
    told = hook("test", "codex")
    assert told.out.splitlines()[:2] == [
        "user, PreToolUse: a person denies: THE TOOL RUNS, but nobody was asked: exit code 0, and nothing on stderr",
        "user, PreToolUse: the configuration cannot be read: THE TOOL RUNS",
    ]
    assert told.code == 125


def test_a_hook_gets_what_its_host_gives_it(hook: Hook, user: Path, put: Callable[[str, str], Path]) -> None:
    """Its words, the event on stdin, our folder and environment; but the test's platform in the place of its own."""
    seen = user / "seen"
    put("claude-code", f'[ -e "{seen}" ] || {{ echo "$PWD $HOME"; printf "%s\\n" "$@"; cat; }} >"{seen}"; exit 2')
    assert hook("test", "claude-code").code == 0
    where, *words, event = seen.read_text().splitlines()
    assert where == f"{user / 'project'} {user}"
    assert words[:3] == ["hook", "claude-code", "--platform-url"]
    assert words[3].startswith("http://127.0.0.1:")
    assert json.loads(event)["cwd"] == str(user / "project")


def test_a_hook_that_does_not_end_is_killed(
    hook: Hook, put: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With all that it has started."""
    monkeypatch.setattr(trial, "PATIENCE", 0.2)
    put("codex", "sleep 60 & wait")
    told = hook("test", "codex")
    assert "THE TOOL RUNS, but nobody was asked: it did not end within 0.2 s" in told.out
    assert told.code == 125


def test_a_program_that_is_gone_is_named(hook: Hook, put: Callable[[str, str], Path]) -> None:
    """Claude Code blocks all calls then, for that is what onFailure says."""
    program = put("claude-code", "exit 0")
    program.unlink()
    told = hook("test", "claude-code")
    assert f"a person denies: blocked, but nobody was asked: {program}: No such file or directory" in told.out
    assert told.code == 0


def test_a_host_that_is_too_old_lets_the_tool_run(
    hook: Hook, put: Callable[[str, str], Path], host_program: Callable[[str, str], None]
) -> None:
    """Whatever the entry says."""
    host_program("claude", "2.1.200")
    put("claude-code", "cat >/dev/null; exit 2")
    told = hook("test", "claude-code")
    assert told.out.splitlines()[2] == "user, PreToolUse: the hook is killed: THE TOOL RUNS"
    assert told.code == 125


def test_a_file_that_cannot_be_read_is_not_passed_over(hook: Hook, user: Path) -> None:
    """It may hold anything."""
    (user / ".codex").mkdir()
    (user / ".codex" / "hooks.json").write_text("{")
    told = hook("test", "codex")
    assert told.out.startswith("user, NOT TESTED: ")
    assert told.code == 125


def test_what_is_not_installed_cannot_be_tested(hook: Hook) -> None:
    """125, with how to install it."""
    told = hook("test", "gemini")
    assert (told.code, told.out) == (125, "")
    assert "hint: install it: molecule-approve hook install gemini" in told.err


def test_only_options_that_are_there_get_other_values() -> None:
    """In both forms; a value that stands elsewhere, too, stays there."""
    values = {"--platform-url": "http://127.0.0.1:5", "--workspace-id": "w"}
    words = ("/m y/molecule-approve", "hook", "codex", "--platform-url", "it's", "--config", "it's")
    exact = HookEntry("PreToolUse", "", words, "", 600, blocks_if_lost=False)
    assert trial.redirected(exact, values) == [*words[:4], "http://127.0.0.1:5", "--config", "it's"]
    guarded = InstalledCommand(words[0], words[1:]).shell
    changed = InstalledCommand(words[0], (*words[1:4], values["--platform-url"], *words[5:])).shell
    assert trial.redirected(exact._replace(shell=guarded), values) == shlex.split(changed)
    assert trial.redirected(exact._replace(shell=f"{shlex.join(words)} || true"), values) == [
        "/bin/sh",
        "-c",
        "'/m y/molecule-approve' hook codex --platform-url http://127.0.0.1:5 --config 'it'\"'\"'s' || true",
    ]


def test_a_hook_that_has_ended_is_not_killed() -> None:
    """It keeps its exit code, and nothing is waited for."""
    with subprocess.Popen(["true"], text=True) as process:
        process.wait()
        trial._kill(process, "true")
    assert process.returncode == 0


def test_a_program_that_does_not_come_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command goes on, and so does the test of it."""
    monkeypatch.setattr(trial, "PATIENCE", 0.2)
    with subprocess.Popen(["sleep", "60"], text=True) as process:
        trial._kill(process, "another program")
        process.terminate()
    assert process.returncode == -signal.SIGTERM
