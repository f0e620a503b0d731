"""What is bound of a command, and that whatever is no longer as it was is found before it runs."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import struct
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from molecule_approve.errors import ApprovalError, NotExecutableError, UsageError
from molecule_approve.gate import binding as module
from molecule_approve.gate import programs
from molecule_approve.gate.binding import Binding, bind
from molecule_approve.gate.command import ANY_HOST, FileRole
from molecule_approve.gate.compose import Origin
from tests.users import become

TRUE = Path(shutil.which("true") or "")
Bind = Callable[..., Binding]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which commands run: ``tool``, a binary, and ``script`` with an interpreter of its own."""
    found = tmp_path / "work"
    (found / "bin").mkdir(parents=True)
    shutil.copy(TRUE, found / "bin/tool")
    shutil.copy(shutil.which("dash") or "/bin/sh", found / "interpreter")
    (found / "script").write_text(f"#!{found}/interpreter\n")
    (found / "data").write_text("data")
    for program in ("bin/tool", "interpreter", "script"):
        (found / program).chmod(0o755)
    monkeypatch.chdir(found)
    return found


@pytest.fixture
def bound(folder: Path) -> Iterator[Bind]:
    """Binds commands in that folder."""
    with contextlib.ExitStack() as resources:

        def work(
            *arguments: str,
            environ: dict[str, str] | None = None,
            origin: dict[str, str] | None = None,
            **more: Any,  # noqa: ANN401 - bind's
        ) -> Binding:
            where = Origin("tester", "db1", str(folder))._replace(**(origin or {}))
            found = bind(arguments, where, {"PATH": f"{folder}/bin", **(environ or {})}, **more)
            resources.callback(found.close)
            return found

        yield work


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# --- what is bound -------------------------------------------------------------------------------------------------------


def test_the_program_and_the_files_that_arguments_name_are_bound(folder: Path, bound: Bind) -> None:
    """Whole arguments, and what stands behind the first equals sign; each name once, and folders not."""
    command = bound("tool", "data", "--in=data", "--x=data", "bin", "./data", "none", "").command
    assert [file.path for file in command.files] == [str(folder / "bin/tool"), "data", "./data"]
    assert [file.sha256 for file in command.files] == [sha(folder / "bin/tool"), *[sha(folder / "data")] * 2]
    assert (command.folder, command.host, command.user) == (str(folder), "db1", f"tester (uid {os.geteuid()})")


def test_a_script_is_bound_with_its_interpreter(folder: Path, bound: Bind) -> None:
    """It is executed by its path, which the interpreter opens; a binary by its descriptor."""
    binding = bound("./script")
    assert [file.role for file in binding.command.files] == [FileRole.PROGRAM, FileRole.INTERPRETER]
    assert binding.executable == str(folder / "script")
    assert Path(bound("tool").executable).resolve() == folder / "bin/tool"


def test_the_program_can_be_an_argument_too(folder: Path, bound: Bind) -> None:
    """Then it is bound as both, and nothing has changed."""
    binding = bound("tool", str(folder / "bin/tool"))
    assert [file.role for file in binding.command.files] == [FileRole.PROGRAM, FileRole.ARGUMENT]
    assert (binding.is_touched(), binding.changes()) == (False, [])


def test_a_path_is_used_where_there_is_none(folder: Path, tmp_path: Path) -> None:
    """Without PATH the system's own folders are searched."""
    with contextlib.closing(bind(["true"], Origin("u", "h", str(folder)), {})) as binding:
        assert binding.command.files[0].path in {"/bin/true", "/usr/bin/true"}


def test_two_hundred_arguments_are_bound(bound: Bind) -> None:
    """And compared one by one."""
    words = [f"{number}" for number in range(200)]
    assert bound("tool", *words).command.arguments == ("tool", *words)


def test_files_beyond_the_limit_are_named(folder: Path, bound: Bind) -> None:
    """A 33rd file, and one of more than a gigabyte, which is not read; --strict refuses them."""
    names = [f"file{number}" for number in range(33)]
    for name in names:
        (folder / name).touch()
    command = bound("tool", *names).command
    assert [file.path for file in command.files[1:]] == names[:32]
    assert [tuple(found) for found in command.unbound] == [("file32", "more than 32 files")]
    os.truncate(folder / "data", (1 << 30) + 1)
    big = bound("tool", "data").command.unbound
    assert [tuple(found) for found in big] == [("data", "1,073,741,825 bytes, more than 1,073,741,824")]
    with pytest.raises(UsageError, match="cannot bind data: 1,073,741,825 bytes"):
        bound("tool", "data", strict=True)
    assert bound("tool", strict=True).command.unbound == ()


@pytest.mark.parametrize("name", ["/proc/self/status", "/proc/self/exe", "link", "deep/link"])
def test_a_name_that_means_another_file_in_each_process_is_not_bound(folder: Path, bound: Bind, name: str) -> None:
    """Neither what lies below /proc nor a link that leads there, over further links."""
    (folder / "link").symlink_to("bin/../relative")
    (folder / "relative").symlink_to("/proc/self/exe")
    (folder / "deep").symlink_to(folder)
    binding = bound("tool", name)
    assert [tuple(found) for found in binding.command.unbound] == [(name, "another file for each process")]
    assert binding.changes() == []


def test_a_descriptor_that_is_ours_is_no_new_file(bound: Bind, folder: Path) -> None:
    """A name below /proc/self/fd may lead to what we open meanwhile; the command finds nothing of it."""
    descriptor = os.open(folder, os.O_RDONLY)
    free = fcntl.fcntl(descriptor, fcntl.F_DUPFD, 900)  # far from those that binding opens
    os.close(descriptor)
    os.close(free)
    binding = bound("tool", f"/proc/self/fd/{free}")
    os.dup2(binding.held[0].descriptor, free)
    assert binding.changes() == []
    os.close(free)


def test_a_name_that_cannot_be_followed_is_not_bound(folder: Path) -> None:
    """What is gone when its name is followed means nothing certain."""
    assert module._is_of_process(folder / "none")
    assert not module._is_of_process(folder / "data")


def test_a_file_that_cannot_be_read_is_named(bound: Bind) -> None:
    """The command may be able to: the approver sees that its bytes are not bound."""
    with tempfile.TemporaryDirectory() as open_folder, _as_nobody(Path(open_folder)):
        path = Path(open_folder, "closed")
        path.touch(0o000)
        with contextlib.closing(bind(["true", str(path)], Origin("u", "h", "/"), {})) as binding:
            assert [tuple(found) for found in binding.command.unbound] == [(str(path), "cannot be read: Permission denied")]
        with pytest.raises(UsageError, match=r"cannot bind .*: cannot be read"):
            bind(["true", str(path)], Origin("u", "h", "/"), {}, strict=True)
        program = Path(open_folder, "program")
        shutil.copy(TRUE, program)
        program.chmod(0o111)
        with pytest.raises(NotExecutableError, match="so it cannot be bound: Permission denied"):
            bind([str(program)], Origin("u", "h", "/"), {})


@contextlib.contextmanager
def _as_nobody(folder: Path) -> Iterator[None]:
    """Without root's right to read everything."""
    uid = os.geteuid()
    os.chown(folder, 65_534 if uid == 0 else uid, -1)
    become(65_534 if uid == 0 else uid)
    try:
        yield
    finally:
        become(uid)


def test_a_program_whose_bytes_cannot_be_read(bound: Bind, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """A program that goes away while it is bound: nothing is asked."""
    monkeypatch.setattr(programs, "executables", lambda *_: [(FileRole.PROGRAM, folder / "none")])
    with pytest.raises(NotExecutableError, match="none, so it cannot be bound: No such file"):
        bound("tool")


# --- what is refused before anybody is asked -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "more", "says"),
    [
        ([], {}, "there is no command"),
        (["tool", "\udcff"], {}, "is not UTF-8"),
        (["tool", "a\0b"], {}, "contains a NUL character"),
        (["tool"], {"origin": {"host": "\udcff"}}, "is not UTF-8"),
        (["tool"], {"keep": ["ENV"], "environ": {"ENV": "\udcff"}}, "is not UTF-8"),
        (["tool"], {"keep": ["ENV=1"]}, "ENV=1 is not the name of a variable"),
        (["tool"], {"keep": [""]}, "'' is not the name of a variable"),
        (["tool"], {"origin": {"folder": ""}}, "cannot open the folder '': No such file or directory"),
        (["tool", "x" * 4096], {}, "characters; the limit is 4,096"),
    ],
)
def test_what_cannot_be_shown_or_compared_is_refused(
    bound: Bind, arguments: list[str], more: dict[str, Any], says: str
) -> None:
    """With a sentence that says why."""
    with pytest.raises(UsageError) as found:
        bound(*arguments, **more)
    assert says in found.value.message
    assert found.value.hint


def test_a_command_that_is_too_long_has_its_own_hint(bound: Bind) -> None:
    """A script can hold it."""
    with pytest.raises(UsageError) as found:
        bound("tool", "x" * 4096)
    assert found.value.hint == "put the command into a script, and run that: its bytes are bound"


@pytest.mark.parametrize("name", ["ab\ncd", "two words", "\u202e", "\udcff"])
def test_a_user_of_any_name_can_be_shown(bound: Bind, name: str) -> None:
    """What would hide or make a line is escaped."""
    user = bound("tool", origin={"user": name}).command.user
    assert user.isprintable()
    assert user.endswith(f" (uid {os.geteuid()})")


# --- the environment, the host ---------------------------------------------------------------------------------------------


def test_variables_that_run_other_code_are_dropped_unless_they_are_kept(bound: Bind) -> None:
    """Both are shown; a name that is not set, or that nothing would drop, is no error."""
    binding = bound("tool", environ={"ENV": "x", "IFS": "y", "LC_X": "z"}, keep=["IFS", "UNSET", "LC_X"])
    assert set(binding.environ) == {"PATH", "IFS", "LC_X"}
    assert (binding.command.kept, binding.command.dropped) == ((("IFS", "y"), ("LC_X", "z")), ("ENV",))


def test_a_kept_secret_is_shown_by_its_name(bound: Bind) -> None:
    """The command has its value, the approver does not."""
    binding = bound("tool", environ={"MY_TOKEN": "hunter22"}, keep=["MY_TOKEN"])
    assert "\nkeeps: 'MY_TOKEN=[MY_TOKEN]'\n" in binding.command.text
    assert binding.environ["MY_TOKEN"] == "hunter22"


def test_a_machine_called_any_is_not_any_machine(bound: Bind) -> None:
    """What was approved for it alone can run nowhere else."""
    assert bound("tool", origin={"host": "any"}).command.host == "any."
    assert bound("tool", any_host=True).command.host == ANY_HOST


# --- what has changed since ------------------------------------------------------------------------------------------------


def test_nothing_has_changed(bound: Bind) -> None:
    """Neither by name and time nor by content."""
    binding = bound("./script", "data", "none")
    assert (binding.is_touched(), binding.changes()) == (False, [])


def _rename_over(path: Path) -> None:
    other = path.with_name("other")
    shutil.copy(path, other)
    other.rename(path)


def _write_in_place(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"!")


def _link_elsewhere(path: Path) -> None:
    path.rename(path.with_name("real"))
    shutil.copy(path.with_name("real"), path.with_name("copy"))
    path.symlink_to("copy")


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o755)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/null")


def _grow(path: Path) -> None:
    os.truncate(path, (1 << 30) + 1)


def _new_mode(path: Path) -> None:
    path.chmod(0o700)


EVERY_WAY = [_rename_over, _write_in_place, _link_elsewhere, _pipe, _folder, _device, _grow, _new_mode, Path.unlink]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("change", EVERY_WAY)
@pytest.mark.parametrize(("name", "role"), [("bin/tool", "program"), ("interpreter", "interpreter"), ("data", "file")])
def test_every_change_of_a_bound_file_is_found(
    folder: Path, bound: Bind, name: str, role: str, change: Callable[[Path], None]
) -> None:
    """Replaced, written in place, retargeted, made a pipe (which is not opened), a device, a folder, grown, removed."""
    binding = bound("./script" if role == "interpreter" else "tool", "data")
    change(folder / name)
    assert binding.is_touched()
    assert binding.changes()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_rename_over, "file {} is another file now"),
        (_write_in_place, "file {} has other contents"),
        (_grow, "file {} has another size or mode"),
        (Path.unlink, "file {} cannot be read any more: No such file or directory"),
    ],
)
def test_a_change_is_named(folder: Path, bound: Bind, change: Callable[[Path], None], says: str) -> None:
    """So that the user knows where to look."""
    binding = bound("tool", "data")
    change(folder / "data")
    assert binding.changes() == [says.format(folder / "data")]


def test_a_write_that_hides_its_time_is_found_by_the_content(folder: Path, bound: Bind) -> None:
    """The times alone are not believed when it matters."""
    binding = bound("tool", "data")
    binding.held[1] = binding.held[1]._replace(identity=binding.held[1].identity._replace(changed=0))
    assert binding.is_touched()
    _write_in_place(folder / "data")
    assert binding.changes() == [f"file {folder}/data has other contents"]


def test_contents_that_cannot_be_read_any_more_have_changed(bound: Bind) -> None:
    """A descriptor that fails is no proof of anything."""
    binding = bound("tool", "data")
    binding.held[1] = binding.held[1]._replace(descriptor=os.open("bin", os.O_RDONLY))
    assert binding.changes() == [f"file {Path.cwd()}/data cannot be read any more: Is a directory"]
    os.close(binding.held[1].descriptor)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives capabilities to a file")
def test_a_program_that_was_given_capabilities_is_not_run(folder: Path, bound: Bind) -> None:
    """Neither its bytes nor its mode tell."""
    binding = bound("tool")
    os.setxattr(folder / "bin/tool", "security.capability", struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0))
    assert binding.is_touched()
    assert binding.changes() == [f"program {folder}/bin/tool must not be executed any more"]


def test_a_folder_that_was_exchanged_or_removed_is_found(folder: Path, bound: Bind) -> None:
    """Though the process still stands in the old one, and the new one looks the same."""
    binding = bound("true", environ={"PATH": "/usr/bin:/bin"})
    folder.rename(folder.with_name("away"))
    assert binding.is_touched()
    assert binding.changes() == [f"the folder {folder} is gone: No such file or directory"]
    shutil.copytree(folder.with_name("away"), folder)
    assert binding.changes() == [f"the folder {folder} is another one now"]


def test_a_process_that_stands_elsewhere_is_found(folder: Path, bound: Bind, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command would inherit that folder."""
    binding = bound("true", environ={"PATH": "/usr/bin:/bin"})
    monkeypatch.chdir("/")
    assert binding.changes() == [f"the folder {folder} is another one now"]


def test_an_earlier_program_of_the_same_name_is_found(folder: Path, bound: Bind) -> None:
    """A folder of the PATH that had none before."""
    (folder / "first").mkdir()
    binding = bound("tool", environ={"PATH": f"{folder}/first:{folder}/bin"})
    shutil.copy(folder / "bin/tool", folder / "first/tool")
    assert binding.is_touched()
    assert binding.changes() == [f"tool leads to {folder}/first/tool now"]


def test_another_program_for_env_is_found(folder: Path, bound: Bind) -> None:
    """What env would start now is another one than what was bound."""
    (folder / "first").mkdir()
    (folder / "script").write_text("#!/usr/bin/env tool\n")
    binding = bound("./script", environ={"PATH": f"{folder}/first:{folder}/bin"})
    shutil.copy(folder / "bin/tool", folder / "first/tool")
    assert binding.changes() == [f"./script leads to {folder}/first/tool now"]


def test_a_link_in_the_programs_path_is_found(folder: Path, bound: Bind) -> None:
    """The parent is a link that leads elsewhere now."""
    (folder / "current").symlink_to("bin")
    (folder / "next").mkdir()
    shutil.copy(folder / "bin/tool", folder / "next/tool")
    binding = bound("current/tool")
    (folder / "current").unlink()
    (folder / "current").symlink_to("next")
    assert binding.is_touched()
    assert binding.changes() == [f"program {folder}/current/tool is another file now"]


@pytest.mark.parametrize(("line", "leads"), [("", "'fewer interpreters'"), ("#!/bin/sh", "/bin/sh")])
def test_another_first_line_is_found(folder: Path, bound: Bind, line: str, leads: str) -> None:
    """Fewer interpreters, or another one."""
    binding = bound("./script")
    (folder / "script").write_text(f"{line}\n")
    assert binding.changes()[0] == f"./script leads to {leads} now"


def test_a_program_that_is_gone_is_found(folder: Path, bound: Bind) -> None:
    """And so is an interpreter that is gone."""
    binding = bound("./script")
    (folder / "interpreter").unlink()
    assert binding.changes()[0] == "./script is gone, or it or its interpreter cannot be executed any more"


def test_a_file_that_appears_is_found(folder: Path, bound: Bind) -> None:
    """An argument that named nothing names a file now, whose bytes nobody has approved."""
    binding = bound("tool", "--in=later")
    (folder / "later").touch()
    assert binding.is_touched()
    assert binding.changes() == ["file later was not there"]


def test_no_change_shows_a_secret(folder: Path, bound: Bind) -> None:
    """What the action hides, the record of the refusal hides too."""
    for name in ("hunter22", "hunter22-later"):
        binding = bound("tool", "hunter22", "hunter22-later", environ={"A_KEY": "hunter22"})
        (folder / name).write_text("x")
        assert binding.changes()
        assert "hunter22" not in " ".join(binding.changes()) + binding.command.text


def test_closing_gives_the_descriptors_back(bound: Bind, folder: Path) -> None:
    """Also where binding fails."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    bind(["tool", "data"], Origin("u", "h", str(folder)), {"PATH": f"{folder}/bin"}).close()
    with pytest.raises(ApprovalError):
        bound("tool", "data", "x" * 5000)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
