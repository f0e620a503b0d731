"""Programs: how a first line is read, what can be executed, what is found, and what the approver is told about them."""

from __future__ import annotations

import os
import shutil
import struct
import sys
from pathlib import Path

import pytest

from molecule_approve.errors import NotExecutableError, NotFoundError
from molecule_approve.gate import programs
from molecule_approve.gate.command import FileRole
from molecule_approve.gate.programs import Shebang

TRUE = Path(shutil.which("true") or "")


def script(folder: Path, first_line: str, name: str = "script") -> Path:
    path = folder / name
    path.write_text(f"{first_line}\n")
    path.chmod(0o700)
    return path


# --- the first line ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("#!/bin/sh", Shebang("/bin/sh", ())),
        ("#! \t/bin/sh -e  ", Shebang("/bin/sh", ())),
        ("#!/bin/sh\t-e", Shebang("/bin/sh", ())),
        ("#!/usr/bin/env python3", Shebang("/usr/bin/env", ("python3",))),
        ("#!/usr/bin/env python3 -u", Shebang("/usr/bin/env", ("python3 -u",))),
        ("#!/usr/bin/env -S python3 -u", Shebang("/usr/bin/env", ("python3",))),
        ("#!/usr/bin/env -SA=1 B=2 python3 '$x'", Shebang("/usr/bin/env", ("python3",))),
        ("#!/usr/bin/env A=1", Shebang("/usr/bin/env", ())),
        ("#!/usr/bin/env", Shebang("/usr/bin/env", ())),
        ("echo no first line of ours", None),
        ("", None),
    ],
)
def test_a_first_line_is_read_as_linux_and_env_read_it(tmp_path: Path, line: str, found: Shebang | None) -> None:
    """Blanks and tabs separate; without -S env has one argument."""
    assert programs.shebang(script(tmp_path, line)) == found


@pytest.mark.parametrize("line", ["#!", "#!   ", "#!/bin/sh " + "x" * 300])
def test_a_first_line_without_an_interpreter_is_refused(tmp_path: Path, line: str) -> None:
    """Or one that Linux does not read to its end."""
    with pytest.raises(NotExecutableError, match="names no interpreter"):
        programs.shebang(script(tmp_path, line))


@pytest.mark.parametrize(
    "argument",
    ["-S PATH=/tmp python3", "-i python3", "-S -i python3", "-S ${X} y", "-S 'python3' x", "-S -u PATH x", "-vS x"],
)
def test_what_env_starts_must_be_known(tmp_path: Path, argument: str) -> None:
    """An option or a PATH that decides it would make the bound interpreter another one than what runs."""
    with pytest.raises(NotExecutableError, match="leaves open what env starts"):
        programs.shebang(script(tmp_path, f"#!/usr/bin/env {argument}"))


def test_a_short_script_without_a_line_break_has_a_first_line(tmp_path: Path) -> None:
    """The end of the file ends the line."""
    path = tmp_path / "x"
    path.write_bytes(b"#!/bin/sh")
    assert programs.shebang(path) == Shebang("/bin/sh", ())


@pytest.mark.timeout(20)
def test_a_pipe_in_the_place_of_a_script_is_not_opened(tmp_path: Path) -> None:
    """Opening it would wait for a writer for ever."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NotExecutableError, match="not a regular file"):
        programs.shebang(tmp_path / "pipe")


# --- finding ---------------------------------------------------------------------------------------------------------


def test_interpreters_are_followed_to_the_last_one(tmp_path: Path) -> None:
    """An interpreter that is a script has one itself, and so has what env starts."""
    script(tmp_path, "#!/bin/sh", "inner")
    script(tmp_path, f"#!{tmp_path}/inner", "outer")
    found = programs.executables(str(script(tmp_path, "#!/usr/bin/env outer")), "/", str(tmp_path))
    assert found == [
        (FileRole.PROGRAM, tmp_path / "script"),
        *(
            (FileRole.INTERPRETER, Path(path))
            for path in ("/usr/bin/env", f"{tmp_path}/outer", f"{tmp_path}/inner", "/bin/sh")
        ),
    ]


def test_an_interpreter_without_a_folder_is_looked_for_in_the_current_one(tmp_path: Path) -> None:
    """As Linux does; the PATH means nothing to it."""
    script(tmp_path, "#!/bin/sh", "inner")
    found = programs.executables(str(script(tmp_path, "#!inner")), str(tmp_path), "/nowhere")
    assert [path for _, path in found][1] == tmp_path / "inner"


def test_scripts_that_execute_each_other_end(tmp_path: Path) -> None:
    """Linux refuses them as well."""
    with pytest.raises(NotExecutableError, match="too many interpreters"):
        programs.executables(str(script(tmp_path, f"#!{tmp_path}/script")), "/", "")


def test_an_interpreter_that_is_missing_is_no_missing_command(tmp_path: Path) -> None:
    """The script exists, and cannot be executed."""
    with pytest.raises(
        NotExecutableError, match=r"the interpreter of .*script cannot be executed: command not found: /no/sh"
    ):
        programs.executables(str(script(tmp_path, "#!/no/sh")), "/", "")


@pytest.mark.parametrize(
    ("name", "search", "found"),
    [
        ("tool", "bin", "bin/tool"),
        ("tool", "/nowhere:bin", "bin/tool"),
        ("tool", "other:bin", "bin/tool"),  # there it is no program
        ("local", "", "local"),  # an empty PATH, and an empty entry, are the current folder
        ("local", "/nowhere::/other", "local"),
        ("local", "/nowhere:", "local"),
        ("./local", "bin", "local"),
        ("bin/../local", "bin", "bin/../local"),
        ("linked/tool", "", "linked/tool"),
        ("-", "bin", "bin/-"),
        ("-x", "bin", "bin/-x"),
        ("A=1", "bin", "bin/A=1"),
    ],
)
def test_a_program_is_found_as_execvp_finds_it(tmp_path: Path, name: str, search: str, found: str) -> None:
    """With a slash by its path, otherwise in the folders of the PATH, in their order."""
    for folder in ("bin", "other"):
        (tmp_path / folder).mkdir()
    (tmp_path / "linked").symlink_to("bin")
    for program in ("bin/tool", "local", "bin/-", "bin/-x", "bin/A=1"):
        script(tmp_path, "#!/bin/sh", program)
    (tmp_path / "other/tool").touch(0o600)
    assert programs.find(name, str(tmp_path), search) == tmp_path / found


@pytest.mark.parametrize("name", ["folder", "plain", "pipe", "."])
def test_what_is_there_but_no_program_cannot_be_executed(tmp_path: Path, name: str) -> None:
    """A folder, a file without the mode, a pipe: 126."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "plain").touch(0o600)
    os.mkfifo(tmp_path / "pipe", 0o700)
    with pytest.raises(NotExecutableError, match="is not an executable file"):
        programs.find(name, str(tmp_path), str(tmp_path))


@pytest.mark.parametrize(
    ("name", "hint"),
    [("", "PATH"), ("nothing", "PATH"), ("x" * 300, "PATH"), ("a/b\0", "PATH"), ("A=1", "env NAME"), ("./A=1", "PATH")],
)
def test_what_is_not_there_is_not_found(tmp_path: Path, name: str, hint: str) -> None:
    """127; who meant to set a variable is told how."""
    with pytest.raises(NotFoundError, match="command not found") as found:
        programs.find(name, str(tmp_path), str(tmp_path))
    assert hint in found.value.hint


# --- what can be executed --------------------------------------------------------------------------------------------


def check(path: Path) -> None:
    descriptor = programs.open_regular(path)
    try:
        programs.check(descriptor, path)
    finally:
        os.close(descriptor)


@pytest.fixture
def only_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without further formats; the folder in which they would stand."""
    formats = tmp_path / "formats"
    monkeypatch.setattr(programs, "_FORMATS", formats)
    return formats


def binary(path: Path, machine: int, order: str = "<") -> Path:
    head = b"\x7fELF" + bytes([2, 2 if order == ">" else 1]) + bytes(12) + struct.pack(f"{order}H", machine) + bytes(44)
    path.write_bytes(head)
    path.chmod(0o700)
    return path


def test_binaries_of_this_machine_and_scripts_can_be_executed(tmp_path: Path, only_ours: Path) -> None:
    """Python itself, for one; a script, whatever its interpreter."""
    check(Path(sys.executable).resolve())
    check(script(tmp_path, "#!/no/such"))


@pytest.mark.parametrize(("machine", "order"), [(0xBEEF, "<"), (0xBEEF, ">"), (21, ">")])
def test_a_binary_of_another_machine_is_refused(tmp_path: Path, only_ours: Path, machine: int, order: str) -> None:
    """Before anybody is asked."""
    with pytest.raises(NotExecutableError, match="binary for another machine"):
        check(binary(tmp_path / "x", machine, order))


def test_a_binary_that_this_machine_runs_too(tmp_path: Path, only_ours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """x86-64 runs i386's programs."""
    own = struct.unpack_from("<H", TRUE.read_bytes(), 18)[0]
    monkeypatch.setattr(programs, "_ALSO_RUNS", {own: {0xBEEF}})
    check(binary(tmp_path / "x", 0xBEEF))


@pytest.mark.parametrize("content", [b"\x7fELF", b"\x7fELF\x02\x01" + bytes(13)])
def test_a_binary_that_is_cut_off_is_refused(tmp_path: Path, only_ours: Path, content: bytes) -> None:
    """It is of no machine."""
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(NotExecutableError, match="binary for another machine"):
        check(path)


def test_a_script_without_a_first_line_is_refused(tmp_path: Path, only_ours: Path) -> None:
    """A shell would guess the interpreter; we do not."""
    with pytest.raises(NotExecutableError, match="neither a binary nor a script") as found:
        check(script(tmp_path, "echo hello"))
    assert found.value.hint == f"name its interpreter: sh {tmp_path}/script"


@pytest.mark.parametrize(("names", "runs"), [(["register", "status"], False), (["register", "qemu-arm"], True)])
def test_further_formats_of_this_machine_count(tmp_path: Path, only_ours: Path, names: list[str], runs: bool) -> None:
    """What the machine was told to execute (binfmt_misc) is not refused."""
    only_ours.mkdir()
    for name in names:
        (only_ours / name).touch()
    for path in (binary(tmp_path / "x", 0xBEEF), script(tmp_path, "MZ")):
        if runs:
            check(path)
        else:
            with pytest.raises(NotExecutableError):
                check(path)


@pytest.mark.parametrize("mode", [0o4755, 0o2755])
def test_a_setuid_program_is_refused(tmp_path: Path, mode: int) -> None:
    """It runs as somebody else; the reason is said."""
    path = Path(shutil.copy(TRUE, tmp_path / "x"))
    path.chmod(mode)
    with pytest.raises(NotExecutableError, match="is a setuid program: it runs as another user"):
        check(path)


CAPABILITY = struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0)
"""The right to bind low ports, as the file system keeps it."""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives capabilities to a file")
def test_a_program_with_capabilities_is_refused(tmp_path: Path) -> None:
    """They are the same as setuid, in parts."""
    path = Path(shutil.copy(TRUE, tmp_path / "x"))
    os.setxattr(path, "security.capability", CAPABILITY)
    with pytest.raises(NotExecutableError, match="setuid"):
        check(path)


def test_capabilities_that_cannot_be_read_are_an_error(tmp_path: Path) -> None:
    """A descriptor that is closed, for one: nothing is assumed."""
    descriptor = programs.open_regular(TRUE)
    os.close(descriptor)
    with pytest.raises(OSError, match="Bad file descriptor"):
        programs._has_capabilities(descriptor)


# --- what the approver should know -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "remark"),
    [
        (["/usr/bin/env", "x"], "env can run other commands; they are not bound"),
        (["awk", 'BEGIN { system("x") }'], "awk runs code that an argument holds; it can run other commands"),
        (["bash"], "bash can run other commands; they are not bound"),
        (["python3.11", "-c", "x"], "python runs code that an argument holds; it can run other commands"),
        (["perl", "-ne", "x"], "perl runs code that an argument holds; it can run other commands"),
        (["node", "--eval=a\nb"], "node runs code that an argument holds; it can run other commands"),
        (["node", "-p", "x"], "node runs code that an argument holds; it can run other commands"),
        (["python3", "-cimport os"], "python runs code that an argument holds; it can run other commands"),
        (["perl", "-neprint"], "perl runs code that an argument holds; it can run other commands"),
        (["awk", "BEGIN { system(x) }"], "awk runs code that an argument holds; it can run other commands"),
        (["perl"], "perl runs code from its input, which is not bound; it can run other commands"),
        (["python3", "-"], "python runs code from its input, which is not bound; it can run other commands"),
    ],
)
def test_commands_that_run_others_carry_a_remark(arguments: list[str], remark: str) -> None:
    """The approver sees that more may run than is bound."""
    assert programs.remarks(arguments) == (remark,)


@pytest.mark.parametrize("arguments", [["ls"], ["python3", "x.py"], ["python3", "x.py", "--code"], ["env.sh"]])
def test_other_commands_carry_none(arguments: list[str]) -> None:
    """A remark on everything would be read by nobody."""
    assert programs.remarks(arguments) == ()


@pytest.mark.parametrize(
    "name", ["LD_PRELOAD", "BASH_FUNC_x%%", "PYTHONPATH", "MAKEFILES", "TF_CLI_ARGS_destroy", "GIT_DIR"]
)
def test_variables_that_make_programs_run_other_code_are_dropped(name: str) -> None:
    """And no others: what a program needs stays."""
    assert programs.is_dropped(name)
    assert not programs.is_dropped(f"MY_{name}")
