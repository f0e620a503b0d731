"""`hook install` and `hook uninstall`: the user's own file, shown first, and written only if a person agrees."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from molecule_approve.cli.hook.install import own_program
from molecule_approve.errors import ConfigError
from molecule_approve.integrations.hook_files.registry import HOST_FILES
from tests.callers import Terminal, Told

Hook = Callable[..., Told]
SIZE = (40, 100)
PROGRAM = str(Path(sys.executable).parent / "molecule-approve")


@pytest.fixture
def settings(user: Path) -> Path:
    """A Claude Code user's settings, laid out by hand."""
    path = user / ".claude" / "settings.json"
    path.parent.mkdir()
    path.write_text('{\n    "model": "opus",\n    "permissions": {"allow": ["Read"]}\n}\n')
    return path


def handler(path: Path) -> Any:  # noqa: ANN401 - JSON
    """Our handler in a file of Claude Code's."""
    return json.loads(path.read_text())["hooks"]["PreToolUse"][0]["hooks"][0]


# --- print -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", HOST_FILES)
def test_print_shows_a_file_and_writes_none(hook: Hook, user: Path, host: str) -> None:
    """Also where the real file could not be read."""
    (user / f".{host.partition('-')[0]}").write_text("not even a folder")
    told = hook("install", host, "--print")
    assert (told.code, told.err) == (0, "")
    entries = HOST_FILES[host].entries(json.loads(told.out), Path())
    assert {entry.program for entry in entries} == {PROGRAM}
    assert sorted(path.name for path in user.iterdir()) == [f".{host.partition('-')[0]}", "project"]


@pytest.mark.parametrize("option", ["--config", "--audit-log"])
def test_a_home_folder_of_nobody_is_refused(hook: Hook, settings: Path, option: str) -> None:
    """In the words of the commands that read the option themselves; nothing is written."""
    before = settings.read_bytes()
    told = hook("install", "claude-code", "--yes", option, "~no-such-user/x")
    assert (told.code, told.out, settings.read_bytes()) == (2, "", before)
    assert f"{option}: there is no user for the home folder in '~no-such-user/x'" in told.err


# --- install -----------------------------------------------------------------------------------------------------------


def test_a_new_hook_is_installed_without_a_question_if_yes_is_given(hook: Hook, settings: Path) -> None:
    """The difference is on stderr; what was there keeps its bytes."""
    told = hook("install", "claude-code", "--yes")
    assert (told.code, told.out) == (0, f"installed in {settings}\n")
    assert told.err.startswith(f"{settings}:\n@@ ")
    assert '\n-    "permissions": {"allow": ["Read"]}\n+    "permissions": {"allow": ["Read"]},\n' in told.err
    assert settings.read_text().startswith('{\n    "model": "opus",\n    "permissions": {"allow": ["Read"]},\n')
    assert handler(settings)["args"] == ["hook", "claude-code", "--limit", "3600"]
    assert (handler(settings)["command"], handler(settings)["onFailure"]) == (PROGRAM, "block")


def test_a_second_installation_writes_nothing(hook: Hook, settings: Path) -> None:
    """Not even the same again."""
    hook("install", "claude-code", "--yes")
    before = settings.stat()
    told = hook("install", "claude-code")
    assert (told.code, told.out) == (0, f"already installed in {settings}\n")
    assert (settings.stat().st_ino, settings.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_an_installed_hook_is_not_changed_without_a_person(hook: Hook, settings: Path) -> None:
    """An agent could else narrow the matcher, or name another platform."""
    hook("install", "claude-code", "--yes")
    before = settings.read_bytes()
    for change in (("--matcher", "Nothing"), ("--platform-url", "http://127.0.0.1:1")):
        told = hook("install", "claude-code", "--yes", *change)
        assert told.code == 2
        assert "there is no terminal to ask at, and nothing was written" in told.err
    assert settings.read_bytes() == before


def test_without_a_terminal_nothing_is_written(hook: Hook, settings: Path) -> None:
    """The difference is shown; --yes would do it."""
    before = settings.read_bytes()
    told = hook("install", "claude-code")
    assert (told.code, told.out) == (2, "")
    assert '"onFailure": "block"' in told.err
    assert "takes --yes where no hook is installed yet" in told.err
    assert settings.read_bytes() == before


@pytest.mark.measured
def test_a_person_at_a_terminal_is_asked(user: Path, settings: Path) -> None:
    """Anything but y leaves the file as it is, y writes it, and y removes the hook again, down to the byte."""
    before = settings.read_bytes()
    for argv, answer, code, words in (
        (("install", "claude-code"), "\n", 125, "not confirmed: nothing was written"),
        (("install", "claude-code"), "y\n", 0, f"installed in {settings}"),
        (("install", "claude-code", "--matcher", "Bash"), "n\n", 125, "not confirmed"),
        (("uninstall", "claude-code"), "yes\n", 0, f"removed from {settings}"),
    ):
        terminal = Terminal(("hook", *argv), SIZE, {})
        try:
            terminal.until("write this? [y/N]: ")
            terminal.type(answer)
            terminal.until(words)
            assert terminal.end() == code
        finally:
            terminal.leave()
        assert (settings.read_bytes() == before) is (words != f"installed in {settings}" and "Bash" not in argv)
    assert settings.read_bytes() == before


def test_the_project_s_settings_are_those_of_the_repository(hook: Hook, user: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From any folder in it; --user and --project exclude each other."""
    inner = user / "project" / "src"
    inner.mkdir()
    monkeypatch.chdir(inner)
    told = hook("install", "gemini", "--project", "--yes")
    assert told.out == f"installed in {user / 'project' / '.gemini' / 'settings.json'}\n"
    assert "commit the file only if it is the same for everybody" in told.err
    assert "commit the file" not in hook("install", "gemini", "--yes").err
    assert hook("install", "gemini", "--project", "--user").code == 2


def test_options_of_the_connection_become_part_of_the_command(hook: Hook, settings: Path) -> None:
    """A relative path becomes absolute: the host starts the hook in another folder."""
    hook("install", "claude-code", "--yes", "--platform-url", "local", "--config", "my.yaml", "--audit-log", "~/a.jsonl")
    assert handler(settings)["args"][4:] == [
        *("--config", os.path.abspath("my.yaml")),  # noqa: PTH100
        *("--platform-url", "local"),
        *("--audit-log", str(settings.parent.parent / "a.jsonl")),
    ]


@pytest.mark.parametrize("text", ['{\n  // mine\n  "a": 1\n}', "{", "[]", '{"hooks": 1}'])
def test_a_file_that_is_not_understood_is_never_overwritten(hook: Hook, settings: Path, text: str) -> None:
    """125 and a sentence, for both commands."""
    settings.write_text(text)
    for command in (("install", "claude-code", "--yes"), ("uninstall", "claude-code")):
        told = hook(*command)
        assert (told.code, told.out) == (125, "")
        assert str(settings) in told.err
    assert settings.read_text() == text


def test_text_from_the_file_moves_no_cursor(hook: Hook, settings: Path) -> None:
    """The difference shows other people's lines as escapes where they must not be obeyed."""
    settings.write_text('{\n  "a": "\u202e\x7f"\n}\n')
    told = hook("install", "claude-code", "--yes")
    assert told.code == 0
    assert r'"a": "\u202e\x7f"' in told.err
    assert "\u202e" in settings.read_text()


@pytest.mark.parametrize(
    ("host", "sentence"),
    [
        ("codex", "start codex and enter /hooks"),
        ("codex", "Codex runs the tool if the hook is late"),
        ("gemini", "Gemini CLI runs the tool if the hook is late"),
        ("copilot", "Copilot runs the tool if the hook is late"),
        ("cursor", "try it: molecule-approve hook test cursor"),
    ],
)
def test_what_the_host_does_not_offer_is_said(hook: Hook, host: str, sentence: str) -> None:
    """One line each, after the installation; and what is left for the user to do."""
    assert sentence in hook("install", host, "--yes").err


def test_a_host_that_is_too_old_is_named(
    hook: Hook, settings: Path, user: Path, host_program: Callable[[str, str], None]
) -> None:
    """It would ignore onFailure without a word; it is said once, however many entries there are."""
    host_program("claude", "2.1.200")
    hook("install", "claude-code", "--project", "--yes")
    assert hook("install", "claude-code", "--yes").err.count("update to 2.1.295 or later") == 1
    host_program("claude", "2.1.302")
    assert "2.1.295" not in hook("install", "claude-code").err


def test_an_unknown_host_is_refused(hook: Hook) -> None:
    """With those that there are."""
    told = hook("install", "ema\x1b[2Kcs")
    assert told.code == 2
    assert "one of claude-code, codex, gemini, cursor, copilot" in told.err
    assert "\x1b" not in told.err


def test_a_python_without_the_program_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a checkout that was never installed: a host could start nothing."""
    assert own_program() == PROGRAM
    with pytest.raises(ConfigError, match="has no executable program molecule-approve"):
        own_program(())
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ConfigError, match="has no executable program"):
        own_program(("posix_user",))


# --- uninstall ---------------------------------------------------------------------------------------------------------


def test_what_is_not_installed_is_not_removed(hook: Hook, settings: Path, user: Path) -> None:
    """0, and nothing is written."""
    before = settings.read_bytes()
    assert hook("uninstall", "claude-code").out == f"not installed in {settings}\n"
    assert hook("uninstall", "codex").out == f"not installed in {user / '.codex' / 'hooks.json'}\n"
    assert settings.read_bytes() == before
    assert not (user / ".codex").exists()


def test_nothing_is_removed_without_a_person(hook: Hook, settings: Path) -> None:
    """There is no --yes for that: an agent must not be able to take its gate away with our help."""
    hook("install", "claude-code", "--yes")
    before = settings.read_bytes()
    told = hook("uninstall", "claude-code")
    assert (told.code, told.out) == (2, "")
    assert "there is no terminal to ask at, and nothing was written" in told.err
    assert hook("uninstall", "claude-code", "--yes").code == 2
    assert settings.read_bytes() == before


@pytest.mark.measured
def test_a_file_that_held_nothing_else_goes(hook: Hook, user: Path) -> None:
    """It was made by the installation."""
    hook("install", "copilot", "--yes")
    path = user / ".copilot" / "hooks" / "molecule-approve.json"
    terminal = Terminal(("hook", "uninstall", "copilot"), SIZE, {})
    try:
        terminal.until("write this? [y/N]: ")
        terminal.type("y\n")
        assert terminal.end() == 0
    finally:
        terminal.leave()
    assert not path.exists()
