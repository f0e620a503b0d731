"""What somebody sees who has configured nothing yet, or not all of it: each error says what is missing and what to type."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.callers import Caller
    from tests.integration.fake_platform import FakePlatform

OWN = "for your own server here: PLATFORM_URL=local"


@pytest.fixture
def fresh(caller: Caller) -> Caller:
    """A caller who named no platform, without a terminal, as in cron and git hooks."""
    caller.patch.delenv("PLATFORM_URL")
    return caller


@pytest.mark.parametrize("argv", [("request", "--", "x"), ("status",), ("pending",)])
def test_without_a_platform_and_a_workspace_both_ways_are_shown(fresh: Caller, argv: tuple[str, ...]) -> None:
    """2, with the own server first."""
    told = fresh.main(*argv)
    assert (told.code, told.out) == (2, "")
    assert "no workspace is set" in told.err
    assert f"hint: {OWN}; for a platform: set WORKSPACE_ID" in told.err


@pytest.mark.parametrize("argv", [("request", "--timeout=1", "--", "x"), ("wait", "--timeout=1", "abcdef"), ("status",)])
def test_the_built_in_address_that_nobody_reaches_is_explained(fresh: Caller, argv: tuple[str, ...]) -> None:
    """That it was not chosen, and what to choose."""
    fresh.set(WORKSPACE_ID="w")
    told = fresh.main(*argv)
    assert told.code == 125
    assert told.err.rstrip().endswith(f"hint: PLATFORM_URL is not set; {OWN}")


def test_an_address_that_was_chosen_keeps_its_hint(caller: Caller) -> None:
    """The own server is no advice to somebody who named a platform."""
    caller.set(PLATFORM_URL="http://127.0.0.1:9", WORKSPACE_ID="w")
    for argv in (("request", "--timeout", "1", "--", "x"), ("status",)):
        told = caller.main(*argv)
        assert told.code == 125
        assert "hint: " in told.err
        assert OWN not in told.err


def test_without_a_token_nothing_is_tried_again(caller: Caller, platform: FakePlatform) -> None:
    """The message says that there was none, at once; a token that the platform refuses is another matter."""
    caller.patch.delenv("MOLECULE_TOKEN")
    told = caller.main("request", "--", "x")
    assert told.code == 125
    assert "no token was sent, and the platform wants one (401)" in told.err
    assert "hint: set MOLECULE_TOKEN" in told.err
    assert "still trying" not in told.err
    assert platform.count("submit") == 1


def test_without_an_own_server_the_way_to_start_one_is_shown(caller: Caller) -> None:
    """`local` before the first `serve`."""
    caller.set(XDG_STATE_HOME=str(caller.folder / "empty"))
    told = caller.main("status")
    assert told.code == 125
    assert "no embedded server has run here" in told.err
    assert "start it with `molecule-approve serve`" in told.err


def test_a_folder_for_the_audit_log_that_cannot_be_made_is_named(caller: Caller) -> None:
    """Nothing is asked."""
    caller.set(AUDIT_LOG_PATH="/proc/none/audit.jsonl")
    told = caller.main("request", "--", "x")
    assert told.code == 125
    assert "cannot create the audit log's folder /proc/none: No such file or directory" in told.err


def test_an_id_that_is_not_listed_leads_to_the_list(caller: Caller) -> None:
    """For every command that takes one."""
    for command in ("status", "withdraw"):
        told = caller.main(command, "3f2a1c00-0000-4000-8000-000000000000")
        assert told.code == 125
        assert "`molecule-approve pending` lists the requests that wait" in told.err


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("none/result.json", "cannot write 'none/result.json': No such file or directory"),
        (".", "--result-file is not a regular file: '.'"),
    ],
)
def test_a_result_file_that_cannot_be_written_is_explained(
    caller: Caller, monkeypatch: pytest.MonkeyPatch, path: str, sentence: str
) -> None:
    """2, before anything is asked, with the path, the reason and the folder."""
    monkeypatch.chdir(caller.folder)
    told = caller.main("request", "--result-file", path, "--", "x")
    assert (told.code, caller.records()) == (2, [])
    assert sentence in told.err
    assert ("the folder must exist and be writable: none" in told.err) is (path != ".")


@pytest.mark.parametrize("argv", [("request", "--", "x"), ("serve", "--port", "0")])
def test_a_state_folder_that_is_a_file_is_told_with_where_to_set_another(caller: Caller, argv: tuple[str, ...]) -> None:
    """Whoever asks and whoever serves look for it by the same variable."""
    (caller.folder / "plain").touch()
    caller.set(XDG_STATE_HOME=str(caller.folder / "plain"), PLATFORM_URL="local")
    told = caller.main(*argv)
    assert told.code == 125
    assert f"{caller.folder / 'plain'}/molecule-approve" in told.err
    assert "XDG_STATE_HOME" in told.err.splitlines()[-1]
