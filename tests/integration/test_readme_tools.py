"""docs/integrations.md: its table, claim by claim, and its safe forms as they stand there; real tools, a stub as program.

The stub leaves with the code that a test names, and writes down what it was asked: here only the tools are in question.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from tests.callers import PATIENCE
from tests.pages import SNIPPETS

NO = (2, 8, 77, 124, 125, 129, 130, 143)
"""Every code of the program that is no yes."""

STUB = r"""#!/bin/sh
printf "%s\n" "$*" >>asked
if [ "$1 $CODE" = "run 0" ]; then
  until [ "$1" = -- ]; do shift; done
  shift
  exec "$@"
fi
echo verdict
exit "$CODE"
"""
ACT = '#!/bin/sh\nprintf "%s\\n" "$*" >>ran\n'


def wanted(tool: str) -> pytest.MarkDecorator:
    """The test needs this tool."""
    return pytest.mark.skipif(shutil.which(tool) is None, reason=f"{tool} is not installed on this machine")


class Bench:
    """A folder with the stub on PATH and commands that leave a trace when they run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, text in (("molecule-approve", STUB), ("deploy", ACT), ("restart", ACT), ("run-test", ACT)):
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)

    def run(self, code: int, *command: str, **env: str) -> int:
        """Run a command in the folder while the program leaves with this code; what the command leaves with."""
        kept: Mapping[str, str] = {
            "PATH": f"{self.folder}:{os.environ.get('PATH', os.defpath)}",
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "CODE": str(code),
            "ACTION": "deploy it",
            **env,
        }
        for trace in ("asked", "ran"):
            (self.folder / trace).unlink(missing_ok=True)
        found = subprocess.run(
            command, cwd=self.folder, env=kept, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=False
        )
        self.output = (found.stdout + found.stderr).decode()
        return found.returncode

    def script(self, code: int, text: str, *shell: str) -> int:
        """Run a script as a file, as CI systems do."""
        (self.folder / "script").write_text(text)
        return self.run(code, *(shell or ("bash",)), "script")

    @property
    def asked(self) -> list[str]:
        """What the program was asked, a line each."""
        return self._lines("asked")

    @property
    def ran(self) -> list[str]:
        """With what the guarded command ran, a line each."""
        return self._lines("ran")

    def _lines(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A bench of its own."""
    return Bench(tmp_path)


# --- xargs -----------------------------------------------------------------------------------------------------------------


@wanted("xargs")
@pytest.mark.parametrize("code", [0, *NO])
def test_run_needs_no_care(bench: Bench, code: int) -> None:
    """With the page's line for xargs, each item goes for a yes of its own, and none without."""
    for name in ("one", "--help"):
        (bench.folder / "old" / name).mkdir(parents=True)
    line = "printf '%s\\0' old/* | xargs -0 -n 1 molecule-approve run -- rm -rf --"
    assert bench.run(code, "sh", "-c", line) == (0 if code == 0 else 123)
    assert bench.asked == ["run -- rm -rf -- old/--help", "run -- rm -rf -- old/one"]
    assert len(list((bench.folder / "old").iterdir())) == (0 if code == 0 else 2)


@wanted("xargs")
@pytest.mark.parametrize("code", NO)
def test_xargs_goes_on_after_a_no(bench: Bench, code: int) -> None:
    """Every no of ours becomes 123, and the next item is asked for."""
    assert bench.run(code, "sh", "-c", "printf 'a\\nb\\nc\\n' | xargs -n 1 molecule-approve request --") == 123
    assert len(bench.asked) == 3


@wanted("xargs")
def test_xargs_stops_at_255(bench: Bench) -> None:
    """And leaves with 124."""
    assert bench.run(255, "sh", "-c", "printf 'a\\nb\\nc\\n' | xargs -n 1 molecule-approve request --") == 124
    assert len(bench.asked) == 1


@wanted("xargs")
@pytest.mark.parametrize("code", [0, *NO])
def test_the_form_for_xargs_stops_at_a_no(bench: Bench, code: int) -> None:
    """The page's line removes everything for a yes each, and nothing after the first no."""
    for name in ("one", "two words", "--help"):
        (bench.folder / "old" / name).mkdir(parents=True)
    (bench.folder / "gated-rm").write_text(SNIPPETS["gated-rm"])
    (bench.folder / "gated-rm").chmod(0o755)
    assert bench.script(code, SNIPPETS["xargs"]) == (0 if code == 0 else 124)
    assert len(bench.asked) == (3 if code == 0 else 1)
    assert len(list((bench.folder / "old").iterdir())) == (0 if code == 0 else 3)


# --- make ------------------------------------------------------------------------------------------------------------------


def makefile(bench: Bench, text: str) -> None:
    """Put a Makefile there."""
    (bench.folder / "Makefile").write_text(text)


@wanted("make")
@pytest.mark.parametrize("code", NO)
def test_make_stops_at_a_no(bench: Bench, code: int) -> None:
    """It leaves with 2, whatever the code was."""
    makefile(bench, "all:\n\tmolecule-approve request -- x\n\t./deploy\n")
    assert bench.run(code, "make") == 2
    assert bench.ran == []


@wanted("make")
@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("all:\n\t-molecule-approve request -- x\n\t./deploy\n", "--"),
        ("all:\n\tmolecule-approve request -- x\n\t./deploy\n", "-i"),
        ("all:\n\tmolecule-approve request -- x; ./deploy\n", "--"),
        (".ONESHELL:\nall:\n\tmolecule-approve request -- x\n\t./deploy\n", "--"),
    ],
    ids=["dash", "ignore", "semicolon", "oneshell"],
)
def test_make_can_be_told_to_go_on(bench: Bench, text: str, option: str) -> None:
    """Each of the traps that the table names lets the command run in spite of a no."""
    makefile(bench, text)
    assert bench.run(77, "make", option) == 0
    assert len(bench.ran) == 1


@wanted("make")
def test_make_with_k_goes_on_with_other_targets(bench: Bench) -> None:
    """What does not depend on the approval still runs."""
    makefile(
        bench, "all: asked-for other\nasked-for:\n\tmolecule-approve request -- x && ./deploy 1\nother:\n\t./deploy 2\n"
    )
    assert bench.run(77, "make", "-k") == 2
    assert bench.ran == ["2"]


@wanted("make")
@pytest.mark.parametrize("code", [0, *NO])
def test_the_form_for_make(bench: Bench, code: int) -> None:
    """The page's rule acts for a yes only, and takes a hostile version as a word."""
    makefile(bench, SNIPPETS["make"])
    assert bench.run(code, "make", "VERSION=1; ./deploy hostile") == (0 if code == 0 else 2)
    assert bench.asked == ["request -- deploy 1; ./deploy hostile"]
    assert bench.ran == (["1; ./deploy hostile"] if code == 0 else [])


# --- set -e and tee --------------------------------------------------------------------------------------------------------

ASK = "molecule-approve request -- x"


@pytest.mark.parametrize("shell", ["bash", "sh"])
@pytest.mark.parametrize("text", [f"{ASK}; ./deploy", f"out=$({ASK}); ./deploy"])
def test_set_e_stops_at_a_no(bench: Bench, shell: str, text: str) -> None:
    """The script leaves with the program's code."""
    assert bench.run(77, shell, "-e", "-c", text) == 77
    assert bench.ran == []


@pytest.mark.parametrize("shell", ["bash", "sh"])
@pytest.mark.parametrize(
    "text",
    [
        f"if {ASK}; then :; fi; ./deploy",
        f"while {ASK}; do break; done; ./deploy",
        f"! {ASK}; ./deploy",
        f"{ASK} && :; ./deploy",
        f"f() {{ {ASK}; ./deploy; }}; f || :",
        f"export X=$({ASK}); ./deploy",
        f"{ASK} | cat; ./deploy",
    ],
)
def test_set_e_has_holes(bench: Bench, shell: str, text: str) -> None:
    """In each place that the table names the script goes on after a no."""
    assert bench.run(77, shell, "-e", "-c", text) == 0
    assert len(bench.ran) == 1


@pytest.mark.parametrize("shell", ["bash", "sh"])
@pytest.mark.parametrize("code", [0, *NO])
def test_the_form_for_set_e(bench: Bench, shell: str, code: int) -> None:
    """The page's script acts for a yes only, and keeps the code, also where `set -e` is off."""
    assert bench.script(code, SNIPPETS["set-e"], shell) == code
    assert len(bench.ran) == (code == 0)
    assert bench.script(code, SNIPPETS["set-e"].removeprefix("set -e\n"), shell) == code
    assert len(bench.ran) == (code == 0)


@wanted("tee")
def test_tee_loses_the_code(bench: Bench) -> None:
    """Without pipefail the pipeline's code is that of tee."""
    assert bench.run(77, "bash", "-c", f"{ASK} | tee log") == 0
    assert bench.run(77, "bash", "-o", "pipefail", "-c", f"{ASK} | tee log") == 77


@wanted("tee")
@pytest.mark.parametrize("code", [0, *NO])
def test_the_form_for_tee(bench: Bench, code: int) -> None:
    """The page's script acts for a yes only, keeps the code, and the verdict stands in the file."""
    assert bench.script(code, SNIPPETS["tee"]) == code
    assert len(bench.ran) == (code == 0)
    assert (bench.folder / "approvals.txt").read_text() == "verdict\n"


# --- ssh -------------------------------------------------------------------------------------------------------------------


@wanted("ssh")
def test_ssh_says_255_for_itself(bench: Bench) -> None:
    """Nobody listens on that port: no yes."""
    assert bench.run(0, "ssh", "-F", "none", "-o", "BatchMode=yes", "-p", "1", "127.0.0.1", "true") == 255


@pytest.mark.parametrize("code", [0, *NO, 255])
def test_the_form_for_ssh(bench: Bench, code: int) -> None:
    """The action reaches the remote shell as one word; an ssh that passes the code on stands for the other machine."""
    (bench.folder / "ssh").write_text('#!/bin/sh\nshift\nexec bash -c "$*"\n')
    (bench.folder / "ssh").chmod(0o755)
    hostile = 'it\'s; ./deploy "$HOME" `id`\n--help'
    (bench.folder / "script").write_text(SNIPPETS["ssh"])
    assert bench.run(code, "bash", "script", ACTION=hostile) == code
    assert "\n".join(bench.asked) == f"request -- {hostile}"
    assert bench.ran == ([""] if code == 0 else [])


# --- CI --------------------------------------------------------------------------------------------------------------------

GITHUB = {"unspecified": ("bash", "-e"), "bash": ("bash", "--noprofile", "--norc", "-eo", "pipefail")}
"""How GitHub's runner starts a step, by the word behind `shell:`; from its documentation."""


def test_a_github_step_without_shell_loses_the_code_in_a_pipe(bench: Bench) -> None:
    """`bash -e {0}` has no pipefail; what `shell: bash` stands for has."""
    text = f"{ASK} | tee log\n./deploy\n"
    assert bench.script(77, text, *GITHUB["unspecified"]) == 0
    assert bench.script(77, text, *GITHUB["bash"]) == 77
    assert bench.script(77, f"{ASK}\n./deploy\n", *GITHUB["unspecified"]) == 77


@pytest.mark.parametrize("code", [0, *NO])
def test_the_form_for_github(bench: Bench, code: int) -> None:
    """The page's step acts for a yes only; nothing of the context is written into the script."""
    [step] = yaml.safe_load(SNIPPETS["github"])
    assert step["shell"] == "bash"
    assert "${{" not in step["run"]
    assert bench.script(code, step["run"], *GITHUB[step["shell"]]) == code
    assert len(bench.ran) == (code == 0)
    assert bench.asked == ["request --timeout 30m -- deploy it"]


@pytest.mark.parametrize(("code", "end"), [(8, 0), (2, 1), (125, 1)])
def test_the_first_job_for_github_asks_for_the_command(bench: Bench, code: int, end: int) -> None:
    """Pending is what it should be, and the id goes to the next job; anything else fails the job."""
    [_, step] = yaml.safe_load(SNIPPETS["github-later"])["jobs"]["ask"]["steps"]
    (bench.folder / "request.id").write_text("3f2a1c\n")
    found = bench.folder / "output"
    assert bench.run(code, *GITHUB[step["shell"]], "-c", step["run"], GITHUB_OUTPUT=str(found)) == end
    assert bench.asked == ["request --for --id-file request.id -- ./deploy production"]
    assert bench.ran == []
    assert (found.read_text() if found.exists() else "") == ("id=3f2a1c\n" if end == 0 else "")


@pytest.mark.parametrize("code", [0, *NO])
def test_the_second_job_for_github_runs_it(bench: Bench, code: int) -> None:
    """Waits for the decision, then runs what the first asked for; the id is not written into the script."""
    jobs = yaml.safe_load(SNIPPETS["github-later"])["jobs"]
    [_, step] = jobs["deploy"]["steps"]
    assert (jobs["deploy"]["needs"], "${{" in step["run"]) == ("ask", False)
    assert bench.run(code, *GITHUB[step["shell"]], "-c", step["run"], ID="3f2a1c") == code
    assert bench.asked == ["run --timeout 1h --approval 3f2a1c -- ./deploy production"]
    assert bench.ran == (["production"] if code == 0 else [])


PLAY = "- hosts: localhost\n  gather_facts: false\n  connection: local\n  tasks:\n"


def play(bench: Bench, code: int, tasks: str, *options: str) -> int:
    """Run tasks on this machine."""
    indented = "".join(f"    {line}\n" for line in tasks.splitlines())
    (bench.folder / "play.yml").write_text(PLAY + indented)
    local = ("-i", "localhost,", "-e", f"ansible_python_interpreter={sys.executable}")
    return bench.run(code, "ansible-playbook", *local, *options, "play.yml", ANSIBLE_HOME=str(bench.folder / "ah"))


@wanted("ansible-playbook")
def test_ansible_stops_at_a_no_unless_told_otherwise(bench: Bench) -> None:
    """`command` fails; `ignore_errors` and a pipe let the play go on."""
    act = "\n- ansible.builtin.command: ./deploy"
    assert play(bench, 77, f"- ansible.builtin.command: {ASK}{act}") == 2
    assert bench.ran == []
    assert play(bench, 77, f"- ansible.builtin.command: {ASK}\n  ignore_errors: true{act}") == 0
    assert len(bench.ran) == 1
    assert play(bench, 77, f"- ansible.builtin.shell: {ASK} | tee log{act}") == 0
    assert len(bench.ran) == 1


@wanted("ansible-playbook")
@pytest.mark.parametrize(("code", "end"), [(0, 0), (77, 0), (124, 0), (125, 2)])
def test_the_form_for_ansible(bench: Bench, code: int, end: int) -> None:
    """The page's tasks act for a yes only, skip after a no, and fail without a verdict."""
    assert play(bench, code, SNIPPETS["ansible"]) == end, bench.output
    assert len(bench.ran) == (code == 0)
    assert bench.asked == ["request -- restart the database"]


@wanted("ansible-playbook")
def test_the_form_for_ansible_does_nothing_in_check_mode(bench: Bench) -> None:
    """Nobody is asked, and nothing is done."""
    assert play(bench, 0, SNIPPETS["ansible"], "--check") == 0
    assert (bench.asked, bench.ran) == ([], [])


def test_the_form_for_ansible_can_be_read() -> None:
    """Where Ansible is missing, at least its YAML says what it should: ask, and act only for 0."""
    ask, act = yaml.safe_load(SNIPPETS["ansible"])
    assert ask["ansible.builtin.command"]["argv"][:3] == ["molecule-approve", "request", "--"]
    assert act["when"] == f"{ask['register']}.rc | default(125) == 0"


# --- git bisect ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def history(bench: Bench) -> Bench:
    """Seven commits in a repository beside the stub, and a bisection that begins: the first is good, the last bad."""
    lines = ["git init -q repo", "cd repo"]
    lines += [f"git -c user.name=n -c user.email=e@example.org commit -q --allow-empty -m {n}" for n in range(7)]
    lines += ["git bisect start HEAD HEAD~6"]
    assert bench.script(0, "\n".join(lines), "bash", "-e") == 0, bench.output
    bench.folder = bench.folder / "repo"
    return bench


@wanted("git")
@pytest.mark.parametrize("code", [2, 8, 77, 124])
def test_git_bisect_takes_a_no_for_a_bad_commit(history: Bench, code: int) -> None:
    """It ends, and blames the commit after the first."""
    assert bisect(history, code, "../molecule-approve") == 0
    assert "is the first bad commit" in history.output


def bisect(history: Bench, code: int, *command: str) -> int:
    """Let git run a command on commits."""
    return history.run(code, "git", "bisect", "run", *command, PATH=f"{history.folder.parent}:{os.environ['PATH']}")


@wanted("git")
def test_git_bisect_skips_at_125(history: Bench) -> None:
    """It tries all commits, and knows nothing in the end."""
    assert bisect(history, 125, "../molecule-approve") != 0
    assert "The first bad commit could be any of" in history.output


@wanted("git")
@pytest.mark.parametrize("code", [126, 127, 128, 129, 130, 143, 255])
def test_git_bisect_gives_up_at_other_codes(history: Bench, code: int) -> None:
    """No commit is blamed: 128 and more abort at once, 126 and 127 because the good commit gives them as well."""
    assert bisect(history, code, "../molecule-approve") != 0
    assert "is the first bad commit" not in history.output
    assert len(history.asked) == (2 if code in {126, 127} else 1)


@wanted("git")
@pytest.mark.parametrize("code", [0, *NO])
def test_the_form_for_git_bisect(history: Bench, code: int) -> None:
    """The page's line runs the test for a yes only; any no ends the bisection without a blame."""
    (history.folder / "run-test").write_text(ACT)
    (history.folder / "run-test").chmod(0o755)
    (history.folder / "script").write_text(SNIPPETS["bisect"])
    path = f"{history.folder.parent}:{os.environ['PATH']}"
    assert (history.run(code, "bash", "script", PATH=path) == 0) == (code == 0)
    assert bool(history.ran) == (code == 0)
    assert ("is the first bad commit" in history.output) == (code == 0)
