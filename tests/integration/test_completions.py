"""TAB in the real shells: what is offered, that ids come from a real server and a real log, and that nothing is run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import pytest
import typer

from molecule_approve.cli import completion
from molecule_approve.cli.app import COMMANDS
from tests.cli.tab_house import Asked, House, asked, house, put_program
from tests.integration import shells

SCRIPTS = {"bash": "molecule-approve.bash", "zsh": "_molecule-approve", "fish": "molecule-approve.fish"}
COMMITTED = Path(completion.__file__).parents[2] / "completions"
ID = "0d0d0d0d-1111-4222-8333-444444444444"

Offer = Callable[[str], list[str]]


def offers(shell: str, found: House, folder: Path = COMMITTED, extra: str = "") -> Iterator[Offer]:
    """What the shell offers for a line: words without their help, sorted."""
    script = folder / SCRIPTS[shell]
    if shell == "fish":
        yield lambda line: sorted(word.partition("=")[2] or word for word in shells.fish(script, found.env, line)[0])
        return
    with shells.terminal(shell, script, found.env, found.folder / "home", extra) as terminal:
        yield lambda line: sorted(terminal.tab(line).offered(line))


@pytest.fixture(name="busy", scope="module")
def _busy() -> Iterator[tuple[House, Asked]]:
    """A house with a server and requests."""
    with asked() as found:
        yield found


@pytest.fixture(name="offer", scope="module", params=SCRIPTS)
def _offer(request: pytest.FixtureRequest, busy: tuple[House, Asked]) -> Iterator[Offer]:
    """Each shell in turn, in the house with requests, with the scripts as they are committed."""
    yield from offers(request.param, busy[0])


OUTCOMES = [
    *("denied", "failure", "finished", "granted", "initiated", "observed", "refused", "requested", "resumed", "started"),
    *("timeout", "withdrawn"),
]
CASES = [
    ("", sorted(COMMANDS)),
    ("re", ["receipt", "request", "requesters", "requests", "review"]),
    ("app", ["approve", "approvers"]),
    ("zz", []),
    ("nonsense ", []),
    ("--v", ["--version"]),
    ("audit ", ["export", "init", "rotate", "show", "stats", "tail", "verify"]),
    ("approvers r", ["revoke"]),
    ("audit nonsense ", []),
    ("request --tr", ["--transport"]),
    ("request --t", ["--timeout", "--transport"]),
    ("request --transport ", ["auto", "poll", "websocket"]),
    ("request --transport=", ["auto", "poll", "websocket"]),
    ("request --transport w", ["websocket"]),
    ("request --transport=w", ["websocket"]),
    ("request --transport zz", []),
    ("audit tail --outcome ", OUTCOMES),
    ("audit tail --outcome=gr", ["granted"]),
    ("audit tail --event-type ", ["approval", "audit", "rbac"]),
    ("audit tail --event-type rbac --outcome de", ["denied"]),
    ("audit rotate ", ["--audit-log", "--config", "--help", "-h"]),
    # Free text, and what is none of ours to know.
    ("request ", []),
    ("request --reason ", []),
    ("request --reason=", []),
    ("request --platform-url http", []),
    ("approvers add ", []),
    # Names that exist; never one that a shell could take for something else.
    ("approvers revoke ", ["alice", "bob@example.org"]),
    ("approvers keys list ", ["alice", "bob@example.org"]),
    ("approvers limit al", ["alice"]),
    ("approvers limit bob", ["bob@example.org"]),
    ("approvers limit bob@ex", ["bob@example.org"]),
    ("approvers limit alice ", []),
    ("approvers limit alice --workspace ", ["local", "payments"]),
    ("approvers limit alice --workspace=pay", ["payments"]),
    ("approvers limit --workspace local --workspace p", ["payments"]),
    ("requesters revoke dep", ["deploy-bot"]),
    ("requesters add web-bot --workspace lo", ["local"]),
    ("workspaces remove ", ["local", "payments"]),
    ("workspaces remove zz", []),
    ("workspaces remove local ", []),
    # What stands before is understood: values, values with blanks and colons, the end of the options.
    ("request --reason audit --tr", ["--transport"]),
    ("request --reason 'a b' --tr", ["--transport"]),
    ("request --platform-url http://a.example:1/ --tr", ["--transport"]),
    ("request --platform-url=http://a.example:1/ --tr", ["--transport"]),
    ("request -q --tr", ["--transport"]),
    ("request --reason --transport ", []),
    ("request -- --tr", []),
    ("request -- --transport=", []),
    # A command to run, wherever one may begin; what is behind it is not ours.
    ("run molecule-appr", ["molecule-approve"]),
    ("run -- molecule-appr", ["molecule-approve"]),
    ("run --reason -- --timeout 5m molecule-appr", ["molecule-approve"]),
    ("request --for -- molecule-appr", ["molecule-approve"]),
    ("request --for molecule-appr", []),
    ("request -- molecule-appr", []),
    ("run -- molecule-approve-zz", []),
    ("run --sh", ["--show"]),
    ("run --transport ", ["auto", "poll", "websocket"]),
    ("run -- --keep-e", []),
    ("run nonesuch --sh", []),
]


@pytest.mark.parametrize(("typed", "expected"), CASES)
def test_commands_options_and_values(offer: Offer, typed: str, expected: list[str]) -> None:
    """Just the words that fit there, and nothing where free text is wanted."""
    assert offer(f"molecule-approve {typed}") == expected


def test_files_where_a_path_is_wanted(offer: Offer, busy: tuple[House, Asked]) -> None:
    """In each way to write an option; the name of a file may hold a colon."""
    folder = busy[0].folder / "some:files"
    folder.mkdir(exist_ok=True)
    (folder / "only-one").touch()
    for option in ("--config ", "--config=", "--audit-log ", "--result-file ", "--id-file "):
        [path] = offer(f"molecule-approve request {option}{busy[0].folder}/some")
        assert path.replace("\\", "") == f"{busy[0].folder}/some:files/"
    [path] = offer(f"molecule-approve audit verify {busy[0].folder}/some")
    assert path.replace("\\", "") == f"{busy[0].folder}/some:files/"
    assert offer(f"molecule-approve audit verify x {busy[0].folder}/some") == []
    assert offer(f"molecule-approve request --reason {busy[0].folder}/some") == []
    for command in ("run cat ", "run -- cat -- -x ", "run --show -- cat x=y a:b ", "request --for -- cat 'a b' "):
        [path] = offer(f"molecule-approve {command}{busy[0].folder}/some")
        assert path.replace("\\", "") == f"{busy[0].folder}/some:files/"


def test_files_of_the_home_folder_and_with_blanks(offer: Offer, busy: tuple[House, Asked]) -> None:
    """The shell's own way with tildes and quotes, not one of ours."""
    (busy[0].folder / "home" / "a blank.jsonl").touch()
    for option in ("--config ", "--audit-log="):
        [path] = offer(f"molecule-approve request {option}~/a")
        assert path.replace("\\", "") in {"~/a blank.jsonl", "blank.jsonl"}


@pytest.mark.parametrize(
    ("command", "which"),
    [
        ("wait", ("newer", "older", "denied", "logged")),
        ("withdraw", ("newer", "older", "logged")),
        ("approve", ("newer", "older", "logged")),
        ("deny --yes", ("newer", "older", "logged")),
        ("status", ("newer", "older", "denied", "logged", "granted")),
        ("receipt show", ("newer", "older", "denied", "logged", "granted")),
    ],
)
def test_ids_of_requests(offer: Offer, busy: tuple[House, Asked], command: str, which: tuple[str, ...]) -> None:
    """From the server that runs and from the audit log, for the commands that want one."""
    assert offer(f"molecule-approve {command} ") == sorted(getattr(busy[1], name) for name in which)


def test_ids_for_a_command_that_was_requested_before(offer: Offer, busy: tuple[House, Asked]) -> None:
    """As for `wait`, in both ways to write the option."""
    ids = offer("molecule-approve wait ")
    assert len(ids) == 4
    assert offer("molecule-approve run --approval ") == ids
    assert offer("molecule-approve run --approval=") == ids


def test_a_command_to_run_is_completed_as_behind_sudo(offer: Offer, busy: tuple[House, Asked]) -> None:
    """Programs on the PATH, no functions and no builtins; one with a path too."""
    script = put_program(busy[0].folder / "bin" / "deep", "exit 0")
    script.rename(script.with_name("only-here"))
    [path] = offer(f"molecule-approve run -- {busy[0].folder}/bin/deep/on")
    assert path == str(script.with_name("only-here"))
    assert offer("molecule-approve run -- _molecule") == []
    assert offer("molecule-approve run -- compge") == []
    assert "mkdir" in offer("molecule-approve run -- mkd")


def test_every_program_is_offered_before_anything_is_typed(busy: tuple[House, Asked]) -> None:
    """In zsh too; but there the list is a menu that asks first."""
    line = "molecule-approve run -- "
    for offered in (
        shells.bash(COMMITTED / SCRIPTS["bash"], busy[0].env, line),
        shells.fish(COMMITTED / SCRIPTS["fish"], busy[0].env, line)[0],
    ):
        assert {"molecule-approve", "sh", "env"} <= set(offered)
        assert not {"compgen", "functions", "_molecule_approve"} & set(offered)


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_what_goes_behind_a_command_is_its_own_completion(busy: tuple[House, Asked], shell: str) -> None:
    """Found as on a line of its own, with blanks in words before it."""
    for offer in offers(shell, busy[0]):
        for words in (
            "run --show -- molecule-approve",
            "run molecule-approve",
            "request --for --reason 'a b' -- molecule-approve",
        ):
            assert offer(f"molecule-approve {words} request --reason 'a b' --tr") == ["--transport"]


_PACKAGE = Path("/usr/share/bash-completion/bash_completion")


@pytest.mark.skipif(not _PACKAGE.exists(), reason="bash-completion is not installed")
def test_bash_asks_the_package_for_what_goes_behind_a_command(busy: tuple[House, Asked]) -> None:
    """It knows programs, and finds the completion of each; ours too, with words that bash has cut."""
    for offer in offers("bash", busy[0], extra=f"source {_PACKAGE}"):
        assert offer("molecule-approve run -- molecule-appr") == ["molecule-approve"]
        for words in ("run --show -- molecule-approve", "run --context=a=b:c molecule-approve"):
            assert offer(f"molecule-approve {words} request --reason a:b --tr") == ["--transport"]


def test_an_id_is_completed_once(offer: Offer, busy: tuple[House, Asked]) -> None:
    """From its beginning; behind it there is nothing more to complete."""
    newer = busy[1].newer
    assert offer(f"molecule-approve wait {newer[:13]}") == [newer]
    assert offer(f"molecule-approve wait -- {newer[:13]}") == [newer]
    assert offer("molecule-approve wait nonsense") == []
    assert offer(f"molecule-approve wait {newer} ") == []


# --- hostile words -----------------------------------------------------------------------------------------------------


@pytest.fixture(name="home")
def _home() -> Iterator[House]:
    """A house where nothing ever ran."""
    with house() as found:
        yield found


def nothing_ran(found: House) -> bool:
    """Whether no command of a hostile word left its file, wherever the shell stood."""
    return not list(found.folder.rglob("run-by-tab*")) and not Path("run-by-tab").exists()


HOSTILE = (
    "$(touch run-by-tab) `touch run-by-tab` '; touch run-by-tab; ' \"$(touch run-by-tab)\" \\' %F{red} :a\\:b (x) [y] $HOME"
)


@pytest.mark.parametrize("shell", SCRIPTS)
def test_a_help_text_is_shown_and_never_run(home: House, shell: str) -> None:
    """Typer's own script for zsh runs what stands there between `$(` and `)`."""
    made = typer.Typer(add_completion=False, help=HOSTILE)

    @made.command("first", help=HOSTILE)
    def first(value: Annotated[str, typer.Option("--value", help=HOSTILE, metavar="a|b")] = "") -> None:
        """Never shown."""

    made.command("second", help="Plain.")(lambda: None)
    for name, text in completion.write(completion.read(made)).items():
        (home.folder / name).write_text(text, "utf-8")
    for offer in offers(shell, home, home.folder):
        assert offer("molecule-approve f") == ["first"]
        assert offer("molecule-approve first --v") == ["--value"]
        assert offer("molecule-approve first --value ") == ["a", "b"]
    script = home.folder / SCRIPTS[shell]
    if shell == "fish":
        assert shells.fish(script, home.env, "molecule-approve f")[0]["first"] == HOSTILE
    elif shell == "zsh":
        with shells.terminal(shell, script, home.env, home.folder / "home") as terminal:
            assert f"first   -- {HOSTILE}"[:150] in terminal.tab("molecule-approve ").listed
    assert nothing_ran(home)


ANSWERS = f"""\
printf '%s\\n' '$(touch run-by-tab)' '`touch run-by-tab`' '; touch run-by-tab'
printf '%s\\n' '{ID} ; touch run-by-tab' '{ID}$(touch run-by-tab)'
printf '%s\\n' 'hello' '--yes' '{ID}' '' '\x1b[31m'
echo 'touch run-by-tab' >&2"""


@pytest.mark.parametrize("shell", SCRIPTS)
def test_whatever_the_program_says_only_ids_and_plain_names_get_into_the_line(home: House, shell: str) -> None:
    """Whoever stands under its name on the PATH."""
    put_program(home.folder / "bin", ANSWERS)
    for offer in offers(shell, home):
        assert offer("molecule-approve wait ") == [ID]
        assert offer("molecule-approve approvers revoke ") == sorted(["hello", ID])
        assert offer("molecule-approve approvers limit x --workspace=") == sorted(["hello", ID])
    assert nothing_ran(home)


@pytest.fixture(name="unharmed", scope="module", params=SCRIPTS)
def _unharmed(request: pytest.FixtureRequest) -> Iterator[tuple[House, Offer]]:
    """Each shell in turn, in a house where nothing ever ran; one for all lines, because zsh starts for most of a second."""
    # zsh's own TAB first expands the word at the cursor, whatever the command is, and asks us only then.
    extra = "bindkey '^I' complete-word" if request.param == "zsh" else ""
    with house() as found:
        for offer in offers(request.param, found, extra=extra):
            yield found, offer


@pytest.mark.parametrize(
    "typed",
    [
        "molecule-approve '$(touch run-by-tab)' ",
        'molecule-approve "$(touch run-by-tab)',
        "molecule-approve wait '`touch run-by-tab`",
        "molecule-approve request --reason $(touch run-by-tab) --transport=",
        "molecule-approve request --config=$(touch run-by-tab)",
        "molecule-approve wait --timeout a[$(touch run-by-tab)] ",
        "molecule-approve request '(' '!' -o = ']' '*' ",
        "molecule-approve '*' ",
        "$(touch run-by-tab)/molecule-approve wait ",
        "molecule-approve run -- '$(touch run-by-tab)' ",
        "molecule-approve run -- `touch run-by-tab` x",
        "molecule-approve run -- cat '$(touch run-by-tab)' \"`touch run-by-tab`",
        "molecule-approve request --for -- $(touch run-by-tab)",
    ],
)
def test_a_word_that_was_typed_is_not_run_by_tab(unharmed: tuple[House, Offer], typed: str) -> None:
    """It waits for the person's Enter, and there may be none."""
    found, offer = unharmed
    offer(typed)
    assert nothing_ran(found)


@pytest.mark.parametrize("shell", SCRIPTS)
def test_the_program_that_was_typed_is_the_one_that_is_asked(home: House, shell: str) -> None:
    """By a path with a colon or a blank, or from the home folder; where it is no program, the one on the PATH."""
    put_program(home.folder / "bin", "exit 0")
    put_program(home.folder / "home" / "in home", f"echo {ID}")
    put_program(home.folder / "he:re", f"echo {ID}")
    for offer in offers(shell, home):
        assert offer("molecule-approve wait ") == []
        assert offer(f"{home.folder}/he:re/molecule-approve wait ") == [ID]
        assert offer(f"{home.folder}/home/in\\ home/molecule-approve wait ") == [ID]
        assert offer("~/in\\ home/molecule-approve wait ") == [ID]
        put_program(home.folder / "bin", f"echo {ID}")
        assert offer("./nowhere/molecule-approve wait ") == [ID]
        (home.folder / "bin" / "molecule-approve").unlink()
        assert offer("molecule-approve wait ") == []


# --- bash, called as bash calls it -------------------------------------------------------------------------------------

NEVER_CUT = "COMP_WORDS=(molecule-approve request --transport=w); COMP_CWORD=2; COMP_WORDBREAKS=' '"


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("molecule-approve request --platform-url http://a.example:1/ --tr", ["--transport"]),
        ("molecule-approve request --transport=", ["auto", "websocket", "poll"]),
        ("molecule-approve   audit  tail   --outcome=gr", ["granted"]),
        ("/not:here/molecule-approve audit t", ["tail"]),
    ],
)
def test_bash_puts_together_what_it_cut(busy: tuple[House, Asked], typed: str, expected: list[str]) -> None:
    """At colons and equals signs; and keeps our order."""
    assert shells.bash(COMMITTED / SCRIPTS["bash"], busy[0].env, typed) == expected


def test_bash_that_cuts_at_no_equals_sign_gets_the_whole_word(busy: tuple[House, Asked]) -> None:
    """Then the whole word is what is replaced."""
    found = shells.bash(COMMITTED / SCRIPTS["bash"], busy[0].env, "molecule-approve request --transport=w", NEVER_CUT)
    assert found == ["--transport=websocket"]


def test_bash_completes_what_stands_before_the_cursor(busy: tuple[House, Asked]) -> None:
    """The rest of the word, and of the line, is not looked at."""
    line = "molecule-approve audit tail --outcome"
    place = "COMP_CWORD=2; COMP_POINT=24"
    assert shells.bash(COMMITTED / SCRIPTS["bash"], busy[0].env, line, place) == ["tail"]


def test_bash_offers_the_newest_first(busy: tuple[House, Asked]) -> None:
    """The order of the program, which knows when they were asked."""
    found, ids = busy
    assert shells.bash(COMMITTED / SCRIPTS["bash"], found.env, "molecule-approve approve ") == [
        ids.newer, ids.older, ids.logged,
    ]  # fmt: skip
    assert list(shells.fish(COMMITTED / SCRIPTS["fish"], found.env, "molecule-approve approve ")[0]) == [
        ids.newer, ids.older, ids.logged,
    ]  # fmt: skip
