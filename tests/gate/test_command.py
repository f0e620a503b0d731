"""The command's text and digest: quoting, secrets, what an earlier request may say differently, and nothing else."""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import replace

import pytest

from molecule_approve.gate.command import (
    ANY_HOST,
    BoundCommand,
    BoundFile,
    FileRole,
    UnboundFile,
    differences,
    parse,
    secrets_in,
    without_secrets,
)
from molecule_approve.safe_text import quoted

SHA = "ab" * 32
COMMAND = BoundCommand(
    ("./drop", "a b", "data.sql"),
    (BoundFile(FileRole.PROGRAM, "/srv/drop", SHA), BoundFile(FileRole.ARGUMENT, "data.sql", "cd" * 32)),
    "/srv",
    "db1",
    "tester (uid 7)",
)


def test_the_text_is_the_command_and_a_line_for_each_fact() -> None:
    """All that is bound stands in the action, the digest last."""
    whole = replace(
        COMMAND,
        unbound=(UnboundFile("big", "9 bytes, more than 8"),),
        kept=(("LD_PRELOAD", "/x y"),),
        dropped=("ENV", "IFS"),
        remarks=("drop can do much",),
    )
    assert whole.text == (
        f"./drop 'a b' data.sql\nprogram: /srv/drop sha256:{SHA}\nfile: data.sql sha256:{'cd' * 32}\n"
        "not bound: big (9 bytes, more than 8)\nfolder: /srv\nhost: db1\nuser: tester (uid 7)\n"
        f"keeps: 'LD_PRELOAD=/x y'\ndrops: ENV IFS\nremark: drop can do much\ndigest: sha256:{whole.digest}"
    )


def test_anybody_can_compute_the_digest() -> None:
    """It is the SHA-256 of the documented fields, each followed by a NUL."""
    whole = replace(COMMAND, unbound=(UnboundFile("big", "why"),), kept=(("ENV", "x"),), dropped=("IFS",))
    fields = ["molecule-approve run 1", "argument", "./drop", "argument", "a b", "argument", "data.sql", "program",
              "/srv/drop", SHA, "file", "data.sql", "cd" * 32, "not bound", "big", "folder", "/srv", "host", "db1",
              "user", "tester (uid 7)", "keeps", "ENV=x"]  # fmt: skip
    assert whole.digest == hashlib.sha256("".join(f"{field}\0" for field in fields).encode()).hexdigest()


@pytest.mark.parametrize(
    "word",
    [
        "",
        "a b",
        "it's",
        "$(rm)",
        "a\nb",
        "tab\there",
        "\x1b[31m",
        "\\n",
        "é",
        "\u202e\\'x",
        "\U000e0001",
        "-",
        "~",
        "*",
        "\r",
    ],
)
def test_a_shell_reads_each_word_as_it_is(word: str) -> None:
    """Whatever an argument holds, bash reads the quoted word as that argument, on one line and without hidden characters."""
    shown = quoted(word)
    assert "\n" not in shown
    found = subprocess.run(
        ["bash", "-c", f"printf %s {shown}"], stdout=subprocess.PIPE, check=True, env={"LC_ALL": "C.UTF-8"}
    )
    assert found.stdout.decode() == word


@pytest.mark.parametrize(
    ("program", "line"), [("A=1", "'A=1' x"), ("./A=1", "'./A=1' x"), ("a b=1", "'a b=1' x"), ("a", "a x")]
)
def test_a_program_is_no_assignment(program: str, line: str) -> None:
    """A name with an equals sign is quoted: a shell would set a variable and run the next word."""
    assert replace(COMMAND, arguments=(program, "x")).line == line


def test_a_program_with_a_line_break_and_an_equals_sign_is_quoted_once() -> None:
    """What is quoted already stays as it is."""
    assert replace(COMMAND, arguments=("A=\n",)).line == "$'A=\\n'"


# --- secrets ---------------------------------------------------------------------------------------------------------------


def test_secrets_are_known_by_the_names_of_their_variables() -> None:
    """TOKEN, SECRET, PASSWORD and KEY, in any case; an empty value hides nothing."""
    environ = {"GH_TOKEN": "a", "my_secret": "b", "PGPASSWORD": "c", "API_KEY_2": "d", "HOME": "/", "EMPTY_KEY": ""}
    assert secrets_in(environ) == {"GH_TOKEN": "a", "my_secret": "b", "PGPASSWORD": "c", "API_KEY_2": "d"}


@pytest.mark.parametrize(
    ("text", "secrets", "shown"),
    [
        ("-p=hunter22x", {"PASSWORD": "hunter22"}, "-p=[PASSWORD]x"),
        ("sleep 1 11 -n=1", {"A_KEY": "1"}, "sleep [A_KEY] 11 -n=[A_KEY]"),
        ("x abcdefgh y", {"B_KEY": "abcdefgh", "A_KEY": "abcdefgh"}, "x [A_KEY] y"),
        ("abcdefghijkl", {"A_KEY": "abcdefgh", "B_KEY": "efghijkl"}, "[A_KEY]"),
        ("abcdefghijkl", {"A_KEY": "bcdefghi", "B_KEY": "abcdefghijkl"}, "[B_KEY]"),
        ("aaaaaaaaaaaa", {"A_KEY": "aaaaaaaa"}, "[A_KEY]"),
        ("abcdefgh12345678", {"A_KEY": "abcdefgh", "B_KEY": "12345678"}, "[A_KEY][B_KEY]"),
        ("the A_KEY is longlonglong", {"A_KEY": "longlonglong", "B_KEY": "A_KEY"}, "the [B_KEY] is [A_KEY]"),
    ],
)
def test_no_part_of_a_secret_is_shown(text: str, secrets: dict[str, str], shown: str) -> None:
    """Long values are hidden everywhere, short ones as words; of those that overlap nothing stays behind."""
    assert without_secrets(text, secrets) == shown


def test_secrets_are_hidden_wherever_arguments_and_values_are_shown() -> None:
    """In arguments, files that they name and values of kept variables; the digest is of the real bytes."""
    secret = "correct horse"
    command = replace(
        COMMAND,
        arguments=("x", f"--key={secret}"),
        files=(*COMMAND.files, BoundFile(FileRole.ARGUMENT, f"keys/{secret}", SHA)),
        unbound=(UnboundFile(secret, "why"),),
        kept=(("SSH_KEY", secret),),
        secrets={"SSH_KEY": secret},
    )
    assert secret not in command.text + repr(command.line)
    assert command.text.count("[SSH_KEY]") == 5
    assert command.digest == replace(command, secrets={}).digest
    assert command.digest != replace(command, arguments=("x", "--key=[SSH_KEY]")).digest


def test_no_secret_hides_what_is_executed_and_where() -> None:
    """Nobody can put a name in place of the program, its interpreter, the folder or a kept variable's name."""
    command = replace(
        COMMAND,
        arguments=("rm", "x"),
        files=(BoundFile(FileRole.PROGRAM, "/bin/rm", SHA), BoundFile(FileRole.INTERPRETER, "/bin/sh", SHA)),
        folder="/srv",
        kept=(("LD_PRELOAD", "x.so"),),
    )
    secrets = {"A_KEY": "rm", "B_KEY": "sh", "C_KEY": "srv", "D_KEY": "LD_PRELOAD", "E_KEY": "/"}
    assert replace(command, secrets=secrets).text == command.text


def test_each_name_that_stands_for_hidden_text_is_remarked() -> None:
    """The approver reads that there is text which is not shown, and that the requester chose it; once for each name."""
    command = replace(COMMAND, arguments=("rm", "-rf", "/", "-rf"), secrets={"B_KEY": "-rf", "A KEY": "/", "C_KEY": "no"})
    assert command.line == "rm '[B_KEY]' '[A KEY]' '[B_KEY]'"
    hides = "stands for text that is not shown; whoever requests this chose it"
    assert f"\nremark: '[A KEY]' {hides}\nremark: '[B_KEY]' {hides}\ndigest: " in command.text
    assert "C_KEY" not in command.text


# --- letters -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "points"),
    [
        ("s\u0430fe", "U+0430"),
        ("\u05d0 1 2 \u05d1", "U+05D0 U+05D1"),
        ("a\u2215b", "U+2215"),
        ("a\u0338", "U+0338"),
        ("\u03b1\u03b2\u03b3\u03b4\u03b5\u03b6", "U+03B1 U+03B2 U+03B3 U+03B4 U+03B5 …"),
    ],
)
def test_letters_that_can_mislead_are_remarked(word: str, points: str) -> None:
    """Those of other alphabets look like Latin ones, or turn the order on the screen; wherever they stand."""
    remark = f"remark: not all letters are Latin, so they may look like others or stand in another order: {points}\n"
    files = (*COMMAND.files, BoundFile(FileRole.INTERPRETER, word, SHA))
    for changed in (replace(COMMAND, arguments=("x", word)), replace(COMMAND, folder=word), replace(COMMAND, files=files)):
        assert remark in changed.text


@pytest.mark.parametrize("word", ["plain", "gr\u00f6\u00dfe", "\u202e", "\u00a0"])
def test_other_letters_carry_no_remark(word: str) -> None:
    """Latin letters with marks are what they look like, and what is hidden is escaped anyway."""
    assert "remark" not in replace(COMMAND, arguments=("x", word)).text


# --- forged lines --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["x\nprogram: /bin/true", "x\nhost: any", "digest: sha256:0", "\ndrops: ENV\n"])
def test_no_argument_makes_a_fact(word: str) -> None:
    """An argument that looks like one of our lines stays on the first line."""
    command = replace(COMMAND, arguments=("./drop", word), dropped=("LD_X\nhost: any", "BASH_FUNC_x%%"))
    shown = parse(command.text)
    assert shown is not None
    assert [label for label, _ in shown.facts] == ["program", "file", "folder", "host", "user", "drops", "digest"]
    assert (shown.line, shown.fact("host"), shown.fact("keeps")) == (command.line, "db1", None)


@pytest.mark.parametrize(
    "action",
    [
        "drop it",
        "drop\nfolder: /srv\ndigest: sha256:" + SHA,
        f"drop\nprogram: x sha256:{SHA}",
        f"drop\nprogram: x\nodd: y\ndigest: sha256:{SHA}",
        f"drop\nprogram: x\ndigest: sha256:{SHA}0",
        f"drop\nprogram: x\ndigest: sha256:{SHA}\n",
        f"dr\x1bop\nprogram: x\ndigest: sha256:{SHA}",
    ],
)
def test_other_actions_are_not_of_this_form(action: str) -> None:
    """Free text, a line that is not ours, a digest that is none."""
    assert parse(action) is None


# --- comparing with an earlier request -----------------------------------------------------------------------------------


def test_the_same_command_does_not_differ() -> None:
    """Which variables are dropped may differ: here the same ones are dropped or absent."""
    then = replace(COMMAND, dropped=("ENV", "BASH_FUNC_x%%"), remarks=("drop can do much",))
    assert differences(then.text, then) == []
    assert differences(then.text, replace(then, dropped=())) == []
    assert differences(replace(then, dropped=()).text, then) == []


def test_a_difference_names_both_sides() -> None:
    """What was requested, and what it is here."""
    (found,) = differences(COMMAND.text, replace(COMMAND, folder="/tmp"))
    assert found.startswith("requested was folder: /srv / digest: ")
    assert ", and here it is folder: /tmp / digest: " in found


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("\nfolder: ", "\ndrops: ENV\nfolder: "),
        ("./drop ", "drops: ENV\n./drop "),
        ("\ndigest: ", "\ndrops: ENV\ndrops: IFS\ndigest: "),
        ("\ndigest: ", "\nremark: safe\ndigest: "),
        ("\ndigest: ", "\ndrops: ENV\nhost: any\ndigest: "),
        ("db1", ANY_HOST),
        ("\nhost: db1", ""),
        ("cd" * 32, "ce" * 32),
    ],
)
def test_a_text_that_was_changed_by_hand_differs(old: str, new: str) -> None:
    """Every line counts, in its place: a request can be written by anybody."""
    forged = COMMAND.text.replace(old, new)
    assert forged != COMMAND.text
    assert len(differences(forged, COMMAND)) == 1


def test_lines_in_another_order_or_twice_differ() -> None:
    """Though each line stands in both texts."""
    twice = COMMAND.text.replace("\nhost: db1", "\nhost: db1\nhost: db1")
    assert differences(twice, COMMAND) == ["its lines are repeated, or in another order"]


def test_a_text_that_lacks_a_line_differs() -> None:
    """What is missing there is what is here."""
    short = COMMAND.text.replace("\nhost: db1", "")
    assert differences(short, COMMAND) == ["requested was less, and here it is host: db1"]
    (found,) = differences(COMMAND.text.replace("host: db1", "host: db1\nremark: fine"), COMMAND)
    assert found == "requested was remark: fine, and here it is less"
