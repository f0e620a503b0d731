"""What the completion scripts are made from, and what is made: the commands as they are, and nothing that a shell runs."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer

from molecule_approve.cli import completion
from molecule_approve.cli.app import COMMANDS, app

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "completions"


def _of(place: str) -> completion.Command:
    return next(found for found in completion.read(app) if found.place == place)


def _options(place: str) -> dict[str, completion.Option]:
    return {name: option for option in _of(place).options for name in option.names}


@pytest.mark.measured
def test_what_is_committed_is_what_the_commands_say(tmp_path: Path) -> None:
    """`make completions` writes just these files; who changes a command runs it."""
    subprocess.run([sys.executable, "-m", "molecule_approve.cli.completion", str(tmp_path)], check=True, timeout=60)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(completion.FILES)
    for path in tmp_path.iterdir():
        assert (COMMITTED / path.name).read_text("utf-8") == path.read_text("utf-8"), "run `make completions`"


def test_the_wheel_puts_each_where_its_shell_looks() -> None:
    """By the program's name for bash, with an underscore for zsh, with an ending for fish."""
    build = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]["targets"]["wheel"]
    shared = {source: place for source, place in build["shared-data"].items() if source.startswith("completions/")}
    assert shared == {
        f"completions/{name}": f"share/{place}"
        for name, place in zip(
            completion.FILES,
            (
                "bash-completion/completions/molecule-approve",
                "zsh/site-functions/_molecule-approve",
                "fish/vendor_completions.d/molecule-approve.fish",
            ),
            strict=True,
        )
    }


def test_every_command_is_read_in_the_order_of_the_help() -> None:
    """Families before their members, with the sentence of each."""
    assert [name for name, _ in _of("").subcommands] == list(COMMANDS)
    places = [found.place for found in completion.read(app)]
    assert [place for place in places if " " not in place] == ["", *COMMANDS]
    assert places[places.index("audit") :][:3] == ["audit", "audit tail", "audit verify"]
    assert all(text for found in completion.read(app) for _, text in found.subcommands)


def test_what_an_option_wants_is_known() -> None:
    """Nothing, free text, the name of a file, or one of a few words."""
    options = _options("request")
    assert (options["--json"].valued, options["--reason"].valued) == (False, True)
    assert [name for name, option in options.items() if option.is_path] == [
        "--id-file",
        "--result-file",
        "--config",
        "--audit-log",
    ]
    assert options["--transport"].choices == ("auto", "websocket", "poll")
    assert options["--reason"].choices == ()
    assert options["-q"] is options["--quiet"]
    assert _options("audit tail")["--event-type"].choices == ("approval", "rbac", "audit")
    assert "granted" in _options("audit tail")["--outcome"].choices
    assert _options("run")["--approval"].asked == "wait"
    for place in ("approvers limit", "requesters list", "policy explain"):
        assert _options(place)["--workspace"].asked == "workspaces"


@pytest.mark.parametrize(
    ("place", "wants"),
    [
        *((name, "ids") for name in ("wait", "withdraw", "approve", "deny", "status")),
        ("request", "text"),
        ("run", "command"),
        ("receipt show", "ids"),
        *((f"approvers {name}", "approvers") for name in ("revoke", "limit", "link", "keys add", "keys list")),
        ("requesters revoke", "requesters"),
        ("workspaces remove", "workspaces"),
        *((f"{family} add", "text") for family in ("approvers", "requesters", "workspaces")),
        ("serve", ""),
        ("audit", ""),
    ],
)
def test_what_an_argument_wants_is_known(place: str, wants: str) -> None:
    """The id of a request, a name that exists, a command, a text of its own, or nothing."""
    assert _of(place).wants == wants


def _with_option(name: str, metavar: str = "TEXT", text: str = "") -> typer.Typer:
    made = typer.Typer(add_completion=False)
    option = typer.Option("", name, metavar=metavar, help=text)

    @made.command()
    def only(value: str = option) -> None:
        """Do nothing."""

    return made


@pytest.mark.parametrize(("name", "metavar"), [("--a$(touch x)", "TEXT"), ("--fine", "good|`touch x`"), ("--fine", "a b|c")])
def test_a_name_that_means_something_to_a_shell_makes_no_script(name: str, metavar: str) -> None:
    """Names and values stand bare in the scripts."""
    with pytest.raises(ValueError, match="cannot stand in a completion script"):
        completion.read(_with_option(name, metavar))


def test_a_help_text_is_one_visible_line() -> None:
    """A line break would end the word, a control character or an override would deceive who reads the list."""
    made = _with_option("--fine", text="One\n  line \x1b[31m\u202e\n\nSecond paragraph.")
    [option] = [found for found in completion.read(made)[0].options if found.names == ("--fine",)]
    assert option.help == "One line \\x1b[31m\\u202e"


def test_every_script_holds_every_word() -> None:
    """Whatever is read is written, in each of the three."""
    commands = completion.read(app)
    words = {name for command in commands for option in command.options for name in option.names}
    words |= {f"'{command.place}'" for command in commands} | {"--transport=websocket", "--outcome=granted"}
    words |= {"--approval=wait", "--workspace=workspaces"}
    for text in completion.write(commands).values():
        assert [word for word in words if word not in text] == []
        assert "@TABLE@" not in text
