"""The hosts' files: the form of each as its documentation gives it, what stays and goes, and how each host takes an end."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from molecule_approve.errors import ConfigError
from molecule_approve.integrations.hook_files.interface import HookRun, HostFile, InstalledCommand, Scope
from molecule_approve.integrations.hook_files.json_text import rewritten
from molecule_approve.integrations.hook_files.registry import HOST_FILES

FILES = Path(__file__).parent / "files"
HOME, PROJECT = Path("/home/me"), Path("/src/project")
PATH = Path("/settings.json")
ALL = sorted(HOST_FILES)
LOST = "molecule-approve: the hook failed; nothing was approved\n"


def command(host: str, *more: str, limit: int = 3_600) -> InstalledCommand:
    """What a host is to start."""
    return InstalledCommand("/opt/my tools/bin/molecule-approve", ("hook", host, "--limit", str(limit), *more), limit)


def fixture(host: str) -> Any:  # noqa: ANN401 - JSON
    """The file of a host in which nothing but our hook is installed."""
    return json.loads((FILES / f"{host}.json").read_text())


def grouped(host: str, *handlers: Any, event: str | None = None, **group: Any) -> Any:  # noqa: ANN401 - JSON
    """A document with one group."""
    return {"hooks": {event or next(iter(HOST_FILES[host].matchers)): [{**group, "hooks": list(handlers)}]}}


# --- the form ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ALL)
def test_a_new_file_has_the_host_s_form(host: str) -> None:
    """To the byte, as its documentation gives it."""
    made = HOST_FILES[host].installed({}, PATH, command(host))
    assert rewritten("", made) == (FILES / f"{host}.json").read_text()


@pytest.mark.parametrize(
    ("host", "user", "project"),
    [
        ("claude-code", ".claude/settings.json", ".claude/settings.json"),
        ("codex", ".codex/hooks.json", ".codex/hooks.json"),
        ("gemini", ".gemini/settings.json", ".gemini/settings.json"),
        ("cursor", ".cursor/hooks.json", ".cursor/hooks.json"),
        ("copilot", ".copilot/hooks/molecule-approve.json", ".github/hooks/molecule-approve.json"),
    ],
)
def test_each_host_has_its_places(host: str, user: str, project: str) -> None:
    """One for the user, one for the project."""
    file = HOST_FILES[host]
    assert file.path(Scope.USER, {}, HOME, PROJECT) == HOME / user
    assert file.path(Scope.PROJECT, {"CODEX_HOME": "/x", "CLAUDE_CONFIG_DIR": "/x"}, HOME, PROJECT) == PROJECT / project


@pytest.mark.parametrize(
    ("host", "variable", "path"),
    [
        ("claude-code", "CLAUDE_CONFIG_DIR", "settings.json"),
        ("codex", "CODEX_HOME", "hooks.json"),
        ("copilot", "COPILOT_HOME", "hooks/molecule-approve.json"),
    ],
)
def test_a_variable_moves_the_user_s_place(host: str, variable: str, path: str) -> None:
    """As it does for the host; an empty one does not."""
    file = HOST_FILES[host]
    assert file.path(Scope.USER, {variable: "/conf"}, HOME, PROJECT) == Path("/conf") / path
    assert file.path(Scope.USER, {variable: ""}, HOME, PROJECT) == file.path(Scope.USER, {}, HOME, PROJECT)


@pytest.mark.parametrize("host", ALL)
def test_an_entry_is_read_as_it_was_written(host: str) -> None:
    """The words behind any shell, the limit in seconds, and whether a lost hook blocks."""
    file = HOST_FILES[host]
    found = file.entries(fixture(host), PATH)
    assert [entry.event for entry in found] == list(file.matchers)
    assert {entry.program for entry in found} == {"/opt/my tools/bin/molecule-approve"}
    assert {entry.words[1:] for entry in found} == {("hook", host, "--limit", "3600")}
    assert {(entry.limit, entry.faults) for entry in found} == {(3600.0, ())}
    assert {entry.blocks_if_lost for entry in found} == {True}
    assert {bool(entry.shell) for entry in found} == {host in {"codex", "gemini", "cursor"}}


@pytest.mark.parametrize("host", ALL)
def test_who_lets_a_tool_run_after_all_says_so(host: str) -> None:
    """A host that cannot be told to block has a sentence about it."""
    file = HOST_FILES[host]
    assert bool(file.gap) is (host in {"codex", "gemini", "copilot"})
    assert bool(file.afterwards) is (host == "codex")


@pytest.mark.parametrize("host", ALL)
def test_only_codex_asks_for_trust_in_a_hook(host: str) -> None:
    """The others run what their files say."""
    file = HOST_FILES[host]
    assert (file.trust_file({}, HOME) is None) is (file.untrusted({}, PATH, "PreToolUse") == "") is (host != "codex")


# --- install and remove ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ALL)
def test_a_second_installation_changes_nothing(host: str) -> None:
    """And the document that is given is never changed itself."""
    before = fixture(host)
    assert HOST_FILES[host].installed(before, PATH, command(host)) == fixture(host) == before


@pytest.mark.parametrize("host", ALL)
def test_an_older_entry_is_replaced_in_its_place(host: str) -> None:
    """Between its neighbours, which stay as they are."""
    file = HOST_FILES[host]
    other: Any = {"matcher": "X", "hooks": [{"type": "command", "command": "other"}]}
    other = other if file.grouped else {"command": "other"}
    old = file.installed({}, PATH, command(host, limit=60))
    event = next(iter(file.matchers))
    old["hooks"][event] = [other, *old["hooks"][event], other]  # type: ignore[call-overload, index, misc]  # JSON
    expected = fixture(host)
    expected["hooks"][event] = [other, *expected["hooks"][event], other]
    assert file.installed(old, PATH, command(host)) == expected


@pytest.mark.parametrize("host", ALL)
def test_install_and_remove_leave_what_was_there(host: str) -> None:
    """Unknown keys, other events, other hooks, empty lists, and things of an unknown form."""
    file = HOST_FILES[host]
    event = next(iter(file.matchers))
    before: Any = {**file.blank, "theme": "dark", "hooks": {"Other": [], event: [7, {"hooks": "?"}, {"command": "'open"}]}}
    made = file.installed(copy.deepcopy(before), PATH, command(host))
    assert len(file.entries(made, PATH)) == len(file.matchers)
    assert file.removed(made, PATH) == before


@pytest.mark.parametrize("host", ALL)
def test_removing_leaves_no_empty_container(host: str) -> None:
    """What held nothing but our hook goes; a hooks object that the form demands stays."""
    file = HOST_FILES[host]
    assert file.removed(fixture(host), PATH) == file.blank
    assert file.removed({**fixture(host), "theme": "dark"}, PATH) == {**file.blank, "theme": "dark"}
    assert file.removed({}, PATH) in ({}, {"hooks": {}})


@pytest.mark.parametrize("host", ["claude-code", "codex", "gemini"])
def test_a_group_that_holds_more_than_our_hook_stays(host: str) -> None:
    """Our handler goes out of it, and into a group of its own."""
    file = HOST_FILES[host]
    handler = file.handler(command(host))
    other = {"type": "command", "command": "other"}
    before = grouped(host, other, handler, matcher="X")
    (event,) = file.matchers
    found = file.installed(before, PATH, command(host))
    assert found["hooks"] == {event: [{"matcher": "X", "hooks": [other]}, *fixture(host)["hooks"][event]]}
    assert file.removed(before, PATH) == grouped(host, other, matcher="X")


def test_an_entry_for_another_event_goes_with_an_installation() -> None:
    """So that no call is asked about twice; until then it is a fault."""
    file = HOST_FILES["claude-code"]
    old = grouped("claude-code", file.handler(command("claude-code")), event="PostToolUse")
    (entry,) = file.entries(old, PATH)
    assert entry.faults == ("PostToolUse is not the event that `hook install claude-code` sets",)
    assert file.installed(old, PATH, command("claude-code")) == fixture("claude-code")


@pytest.mark.parametrize("host", ALL)
def test_a_matcher_of_one_s_own_replaces_the_usual_one(host: str) -> None:
    """An empty one means all tools, and is left out; an event without a matcher gets none."""
    file = HOST_FILES[host]
    own = file.entries(file.installed({}, PATH, command(host), "Mine"), PATH)
    assert [entry.matcher for entry in own] == ["Mine" if usual else "" for usual in file.matchers.values()]
    every = file.installed({}, PATH, command(host), "")
    assert "matcher" not in json.dumps(every)


@pytest.mark.parametrize("host", ALL)
def test_a_hook_for_another_host_is_not_ours(host: str) -> None:
    """Nor is another program whose name ends alike."""
    file = HOST_FILES[host]
    other = next(name for name in ALL if name != host)
    mine = file.handler(command(host))
    for strange in (
        {**mine, **file.handler(command(other))},
        json.loads(json.dumps(mine).replace("molecule-approve", "my-molecule-approve")),
    ):
        document: Any = grouped(host, strange) if file.grouped else {"hooks": {next(iter(file.matchers)): [strange]}}
        assert file.entries(document, PATH) == []
        assert file.removed(document, PATH) == document


@pytest.mark.parametrize("document", [{"hooks": []}, {"hooks": {"PreToolUse": {}}}])
def test_hooks_of_another_form_are_refused(document: Any) -> None:  # noqa: ANN401 - JSON
    """Nothing is written into what is not understood."""
    file = HOST_FILES["claude-code"]
    for act in (file.entries, file.removed, lambda found, path: file.installed(found, path, command("claude-code"))):
        with pytest.raises(ConfigError, match=r"/settings.json: hooks"):
            act(document, PATH)


# --- faults ------------------------------------------------------------------------------------------------------------


def faults(host: str, document: Any) -> tuple[str, ...]:  # noqa: ANN401 - JSON
    """Of the first entry."""
    return HOST_FILES[host].entries(document, PATH)[0].faults


def test_a_host_that_ends_the_hook_too_early_is_a_fault() -> None:
    """A hook that is ended before it has answered lets the tool run in most hosts; so does a limit that is not a number."""
    short = fixture("claude-code")
    short["hooks"]["PreToolUse"][0]["hooks"][0]["timeout"] = 60
    assert faults("claude-code", short) == ("the hook counts on 3600 s, the host ends it after 60 s",)
    del short["hooks"]["PreToolUse"][0]["hooks"][0]["timeout"]
    assert faults("claude-code", short) == ("the hook counts on 3600 s, the host ends it after 600 s",)
    gemini = fixture("gemini")
    gemini["hooks"]["BeforeTool"][0]["hooks"][0]["timeout"] = 3600
    assert faults("gemini", gemini) == ("the hook counts on 3600 s, the host ends it after 3.6 s",)
    gemini["hooks"]["BeforeTool"][0]["hooks"][0].pop("timeout")
    assert HOST_FILES["gemini"].entries(gemini, PATH)[0].limit == 60
    odd = HOST_FILES["codex"].installed({}, PATH, InstalledCommand("/x/molecule-approve", ("hook", "codex", "--limit", "x")))
    assert faults("codex", odd) == ("the hook counts on x s, the host ends it after 3600 s",)
    none = HOST_FILES["codex"].installed({}, PATH, InstalledCommand("/x/molecule-approve", ("hook", "codex")))
    assert faults("codex", none) == ()


@pytest.mark.parametrize("host", ["claude-code", "copilot"])
def test_hooks_that_are_turned_off_are_a_fault(host: str) -> None:
    """By a key of the file itself."""
    assert faults(host, {**fixture(host), "disableAllHooks": False}) == ()
    assert faults(host, {**fixture(host), "disableAllHooks": True}) == (
        "disableAllHooks is true in /settings.json: it does not run",
    )


def test_a_claude_code_hook_that_nobody_waits_for_is_a_fault() -> None:
    """So is one that is narrowed by an `if`."""
    document = fixture("claude-code")
    document["hooks"]["PreToolUse"][0]["hooks"][0].update({"async": True, "if": "Bash(rm *)"})
    assert faults("claude-code", document) == (
        "async is true: it cannot block",
        "it has an if: calls that do not match it are not asked about",
    )


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ({"enabled": False}, ("hooksConfig.enabled is false in /settings.json: it does not run",)),
        ({"disabled": ["molecule-approve"]}, ("hooksConfig.disabled names it in /settings.json: it does not run",)),
        ({"disabled": ["other"]}, ()),
        ({"enabled": True}, ()),
        ([], ()),
    ],
)
def test_gemini_s_own_switches_are_looked_at(config: Any, found: tuple[str, ...]) -> None:  # noqa: ANN401 - JSON
    """All hooks off, or this one by its name."""
    assert faults("gemini", {**fixture("gemini"), "hooksConfig": config}) == found


def test_an_old_claude_code_does_not_know_on_failure() -> None:
    """It ignores the key without a word; of an unknown version nothing is said, nor of an entry without the key."""
    file = HOST_FILES["claude-code"]
    (entry,) = file.entries(fixture("claude-code"), PATH)
    assert "update to 2.1.295 or later" in file.needs(entry, (2, 1, 294))
    assert file.needs(entry, (2, 1, 295)) == file.needs(entry, (3, 0, 0)) == file.needs(entry, None) == ""
    assert file.needs(entry._replace(blocks_if_lost=False), (2, 0, 0)) == ""
    assert HOST_FILES["cursor"].needs(entry, (0, 1, 0)) == ""


# --- what a host makes of an end ---------------------------------------------------------------------------------------


def nested(decision: str, reason: str = "no", **more: Any) -> str:  # noqa: ANN401 - JSON
    """Claude Code's and Codex's answer."""
    inner = {"hookEventName": "PreToolUse", "permissionDecision": decision, "permissionDecisionReason": reason}
    return json.dumps({"hookSpecificOutput": inner, **more})


DENIED = json.dumps({"permissionDecision": "deny"})
PROGRESS = json.dumps({"type": "progress", "message": "still waiting"})

ENDS = [
    # host, exit code, stdout, stderr, blocks
    ("claude-code", 2, nested("deny"), "no", True),
    ("claude-code", 2, "", "", True),
    ("claude-code", 0, nested("deny"), "", True),
    ("claude-code", 0, nested("allow"), "", False),
    ("claude-code", 0, nested("ask"), "", False),
    ("claude-code", 0, "", "", False),
    ("claude-code", 0, "[]", "", False),
    ("claude-code", 0, '{"hookSpecificOutput": 1}', "", False),
    ("claude-code", -9, "", "", True),
    ("claude-code", 1, "", "", True),
    ("codex", 2, "", "no", True),
    ("codex", 2, nested("deny"), " ", False),
    ("codex", 0, nested("deny"), "", True),
    ("codex", 0, nested("deny", ""), "", False),
    ("codex", 0, nested("deny", more=1), "", False),
    ("codex", 0, nested("ask"), "", False),
    ("codex", 0, nested("allow"), "", False),
    ("codex", 0, "", "", False),
    ("codex", 0, '{"hookSpecificOutput": 1}', "", False),
    ("codex", 1, nested("deny"), "no", False),
    ("codex", -9, "", "", False),
    ("gemini", 2, '{"decision": "deny", "reason": "no"}', "no", True),
    ("gemini", 0, '{"decision": "block"}', "", True),
    ("gemini", 2, '{"decision": "allow"}', "", False),
    ("gemini", 2, "", '{"decision": "deny"}', True),
    ("gemini", 2, "", "no", True),
    ("gemini", 1, "", "no", False),
    ("gemini", 2, "", "", False),
    ("gemini", -9, "", "", False),
    ("cursor", 2, "", "", True),
    ("cursor", 0, '{"permission": "deny"}', "", True),
    ("cursor", 0, '{"permission": "allow"}', "", False),
    ("cursor", 0, "garbage", "", True),
    ("cursor", -9, "", "", True),
    ("copilot", 2, DENIED, "no", True),
    ("copilot", 1, "", "", True),
    ("copilot", -9, "", "", True),
    ("copilot", 0, DENIED, "", True),
    ("copilot", 0, f"{PROGRESS}\n{DENIED}\n", "", True),
    ("copilot", 0, f"{DENIED}\n{DENIED}\n", "", False),
    ("copilot", 0, '{"permissionDecision": "allow"}', "", False),
    ("copilot", 0, "", "", False),
]


@pytest.mark.parametrize(("host", "code", "stdout", "stderr", "blocks"), ENDS)
def test_what_each_host_makes_of_an_end(host: str, code: int, stdout: str, stderr: str, *, blocks: bool) -> None:
    """As its documentation and source say, with the entry that we install."""
    file = HOST_FILES[host]
    entry = file.entries(fixture(host), PATH)[0]
    assert file.blocks(HookRun(code, stdout, stderr), entry) is blocks


@pytest.mark.parametrize(
    ("host", "keys"),
    [("claude-code", ("onFailure",)), ("cursor", ("failClosed", " || {")), ("codex", (" || {",)), ("gemini", (" || {",))],
)
def test_without_what_is_set_against_it_a_lost_hook_lets_the_tool_run(host: str, keys: tuple[str, ...]) -> None:
    """The host's own key, or the guard behind the command."""
    file: HostFile = HOST_FILES[host]
    text = (FILES / f"{host}.json").read_text()
    for key in keys:
        text = text.replace(key, " # {" if key == " || {" else "other")
    for entry in file.entries(json.loads(text), PATH):
        assert not entry.blocks_if_lost
        assert not file.blocks(HookRun(-9, "", ""), entry)
        assert file.blocks(HookRun(2, "", "no"), entry)


_ENDS = {
    "exit 0": (0, ""),
    "echo why >&2; exit 2": (2, "why\n"),
    "exit 1": (2, LOST),
    "exit 125": (2, LOST),
    "kill -KILL $$": (2, LOST),
    "kill -TERM $$": (2, LOST),
}


@pytest.mark.parametrize("shell", ["dash", "bash", "zsh", "fish"])
def test_the_guard_blocks_whatever_becomes_of_the_hook(tmp_path: Path, shell: str) -> None:
    """In each shell that a host may start: an end that the host would not take for a no becomes 2, and is told."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed on this machine")
    program = tmp_path / "it's here" / "molecule-approve"
    program.parent.mkdir()
    line = InstalledCommand(str(program), ("hook", "codex")).shell

    def run() -> tuple[int, str]:
        done = subprocess.run([shell, "-c", line], capture_output=True, text=True, check=False)
        return done.returncode, done.stderr[-len(LOST) :] if LOST in done.stderr else done.stderr

    assert run() == (2, LOST)  # it does not exist
    for text, end in _ENDS.items():
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
        assert run() == end
    program.chmod(0o644)
    assert run() == (2, LOST)
    program.write_text("#!/no/such/interpreter\n")
    program.chmod(0o755)
    assert run() == (2, LOST)


@pytest.mark.parametrize("host", ["codex", "gemini", "cursor"])
def test_an_entry_without_the_guard_is_ours_and_is_replaced(host: str) -> None:
    """Earlier installations wrote the command alone; so does a person."""
    file = HOST_FILES[host]
    plain = f"'/opt/my tools/bin/molecule-approve' hook {host} --limit 3600"
    guarded = file.entries(fixture(host), PATH)[0].shell
    older = json.loads((FILES / f"{host}.json").read_text().replace(json.dumps(guarded), json.dumps(plain)))
    assert {entry.words[1:] for entry in file.entries(older, PATH)} == {("hook", host, "--limit", "3600")}
    assert file.installed(older, PATH, command(host)) == fixture(host)


@pytest.mark.parametrize("host", ALL)
def test_a_made_up_event_names_its_event_and_folder(host: str) -> None:
    """One for each event that is installed."""
    file = HOST_FILES[host]
    for event in file.matchers:
        text = json.dumps(file.made_up(event, "/here"))
        assert "/here" in text
        assert "molecule-approve-hook-test" in text


def test_a_program_in_exec_form_without_arguments_is_not_ours() -> None:
    """It is read, and found not to be a hook."""
    document: Any = {"version": 1, "hooks": {"preToolUse": [{"exec": "molecule-approve"}]}}
    assert HOST_FILES["copilot"].entries(document, PATH) == []
