"""The files that a command leaves: nothing of the user's goes, whatever is mistyped, and an earlier yes does."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from molecule_approve import wiring
from molecule_approve.cli.result_files import ResultFiles, vacant
from molecule_approve.errors import UsageError
from molecule_approve.model import Outcome, Verdict
from molecule_approve.paths import locate
from molecule_approve.settings.resolve import Flags, resolve
from tests.users import become

if TYPE_CHECKING:
    from tests.callers import Caller

FORMER = json.dumps({**Verdict(Outcome.APPROVED).as_json(), "exit_code": 0}) + "\n"
ID = "0b2a6f3e-5a0c-4d44-9a53-1f6f2f2c9d10\n"


@pytest.mark.parametrize(
    ("option", "text", "fits"),
    [
        ("--result-file", "", True),
        ("--result-file", FORMER, True),
        ("--result-file", FORMER[:-9], False),
        ("--result-file", FORMER + FORMER, False),
        ("--result-file", "[]", False),
        ("--result-file", '{"outcome": "granted"}', False),
        ("--result-file", "[" * 100_000, False),
        ("--result-file", "approve:\n", False),
        ("--result-file", ID, False),
        ("--id-file", "", True),
        ("--id-file", ID, True),
        ("--id-file", ID + ID, False),
        ("--id-file", "a-token\n", False),
        ("--id-file", FORMER, False),
    ],
)
def test_only_a_former_file_of_the_same_kind_may_be_replaced(tmp_path: Path, option: str, text: str, fits: bool) -> None:
    """Or an empty one; and looking changes nothing."""
    path = tmp_path / "one"
    path.write_text(text)
    if fits:
        assert vacant(str(path), option) == path
    else:
        with pytest.raises(UsageError, match="not from an earlier run"):
            vacant(str(path), option)
    assert path.read_text() == text
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("how", ["name", "link"])
def test_one_file_is_not_both(tmp_path: Path, how: str) -> None:
    """By its name, or by a second name of it."""
    one, two = tmp_path / "one", tmp_path / "two"
    one.touch()
    two.hardlink_to(one)
    with pytest.raises(UsageError, match="are the same file"):
        ResultFiles.checked(str(one), str(one if how == "name" else two))


def test_what_a_killed_run_left_is_in_nobodys_way(tmp_path: Path) -> None:
    """Also where every process has the same id, as in a container."""
    (tmp_path / f".molecule-approve.{os.getpid()}").touch()
    assert vacant(str(tmp_path / "one"), "--result-file") == tmp_path / "one"


@pytest.mark.parametrize("option", ["--result-file", "--id-file"])
@pytest.mark.parametrize("extra", [("--timeout", "soon"), ("--expires-in", "soon"), ("--context", "none"), ("--oops",)])
def test_arguments_that_make_no_sense_cost_no_file(caller: Caller, option: str, extra: tuple[str, ...]) -> None:
    """Whatever is wrong and wherever: a file that is not ours is as it was, and so is the id of an earlier request."""
    path = caller.folder / "one"
    for text in ("precious\n", ID):
        path.write_text(text)
        told = caller.main("request", option, str(path), *extra, "--", "x")
        assert (told.code, path.read_text()) == (2, text)


def test_an_earlier_yes_does_not_outlive_a_failure(caller: Caller) -> None:
    """Where arguments make no sense, a former result says so instead of yes."""
    path = caller.folder / "one.json"
    path.write_text(FORMER)
    assert caller.main("request", "--result-file", str(path), "--timeout", "soon", "--", "x").code == 2
    assert json.loads(path.read_text())["approved"] is False


@pytest.mark.parametrize(
    ("command", "option"), [("request", "--result-file"), ("request", "--id-file"), ("wait", "--result-file")]
)
@pytest.mark.parametrize("used", ["log", "new log", "archive", "config", "token", "state", "second name"])
def test_a_file_that_the_program_uses_is_refused(caller: Caller, option: str, command: str, used: str) -> None:
    """The log with all that lies beside it, the settings, a token, the server's files; also while they are empty."""
    caller.configure("")
    config = Path(os.environ["WORKSPACE_CONFIG_PATH"])
    config = config / "config.yaml" if config.is_dir() else config
    caller.log.parent.mkdir(parents=True, exist_ok=True)
    path = {
        "archive": caller.log.with_name(f"{caller.log.name}.000000000001-000000000002"),
        "config": config,
        "token": config.parent / ".auth_token",
        "state": Path(os.environ["XDG_STATE_HOME"]) / "molecule-approve" / "new",
        "second name": caller.folder / "second",
    }.get(used, caller.log)
    if used not in {"new log", "state", "second name", "token"}:
        path.touch()
    if used == "second name":
        caller.log.touch()
        path.hardlink_to(caller.log)
    before = path.stat().st_ino if path.exists() else None
    told = caller.main(command, option, str(path), "--", "abcdef")
    assert (told.code, "the program uses this file otherwise" in told.err) == (2, True), told.err
    assert before == (path.stat().st_ino if path.exists() else None)
    assert not path.exists() or path.read_bytes() == b""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file that somebody else may not remove")
def test_a_file_that_may_not_be_removed_stays(caller: Caller) -> None:
    """In a folder like /tmp the empty file of another user is theirs: said, and nothing is asked."""
    environ = wiring.environment()
    settings = resolve(Flags(), environ, locate(environ), at_terminal=False)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o1777)
        theirs = folder / "result"
        theirs.touch()
        become(65_534)
        try:
            with pytest.raises(UsageError, match="cannot replace"):
                ResultFiles.checked(str(theirs), None).clear(settings)
        finally:
            become(0)
        assert theirs.exists()
