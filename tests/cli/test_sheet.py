"""One request as people see it: at real terminals, against texts that would look like ours."""

from __future__ import annotations

import hashlib
import os
import re
import socket
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from molecule_approve.cli.sheet import asked, one_line, request_lines, sheet
from molecule_approve.cli.terminal import rows
from molecule_approve.gate.command import BoundCommand, BoundFile, FileRole, parse
from molecule_approve.model import Approval, Status
from molecule_approve.server.users import user_name
from tests.callers import until
from tests.cli.conftest import COMMAND_LINE
from tests.integration import behaviours as does

if TYPE_CHECKING:
    from molecule_approve.model import JsonValue
    from tests.callers import Caller, Terminal
    from tests.integration.fake_platform import Exchange, FakePlatform
    from tests.integration.raw_http import Reply

COLUMNS = 60
CODES = re.compile(r"\x1b\[[\d;?]*[a-zA-Z]")
MANY = "zz 漢字 " * 60
"""What a requester writes; a row of the window that begins with it is a forged one."""


def screen(seen: str) -> list[str]:
    """The rows of the window, as the terminal breaks them."""
    rows = []
    for line in CODES.sub("", seen).replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        row, taken = "", 0
        for character in line:
            wide = 2 if character in "漢字" else 1
            if taken + wide > COLUMNS:
                rows.append(row)
                row, taken = "", 0
            row, taken = row + character, taken + wide
        rows.append(row)
    return rows


def forged(seen: str) -> list[str]:
    """The rows whose first columns are not ours."""
    assert MANY[:2] in seen
    return [row for row in screen(seen) if set(row[:10]) & set("z漢字")]


@pytest.fixture
def narrow(seated: Caller) -> Caller:
    """A caller who asks and decides."""
    seated.set(NO_COLOR="")
    return seated


@pytest.mark.measured
@pytest.mark.parametrize("command", ["approve", "deny"])
@pytest.mark.parametrize("ended", [False, True])
def test_deciding_shows_no_row_that_is_not_ours(narrow: Caller, command: str, ended: bool) -> None:
    """Every row of a long action, reason, context and comment has our margin, and all are read before the question."""
    found = narrow.desk.ask(MANY, reason=MANY, context={MANY: MANY})
    if ended:
        narrow.desk.decide(found, comment=MANY)
    with narrow.terminal(command, found, size=(24, COLUMNS)) as terminal:
        if not ended:
            for number in (1, 2):
                terminal.until(f"page {number} of ")
                terminal.type("\r")
            terminal.until("this request? [y/N]: ")
            terminal.type("n\r")
        assert terminal.end() == (3 if ended else 125)
        assert forged(terminal.seen) == []
        whole = re.sub(r"(\r\npage \d of \d; [^\r]*)?\r\n        … ", "", CODES.sub("", terminal.seen))
        assert whole.count(MANY.strip()) == (5 if ended else 4)


@pytest.mark.measured
def test_a_page_that_is_not_read_decides_nothing(narrow: Caller) -> None:
    """A word, a yes, or the end of the input before the last page."""
    found = narrow.desk.ask(MANY, reason=MANY)
    for typed in ("y\r", "\x04"):
        with narrow.terminal("approve", found, size=(12, COLUMNS)) as terminal:
            terminal.until("page 1 of ")
            terminal.type(typed)
            assert terminal.end() == 125
            assert "[y/N]" not in terminal.seen
    assert narrow.desk.one(found)["status"] == "pending"


@pytest.mark.measured
@pytest.mark.parametrize(
    "argv",
    [
        ("status", "ID"),
        ("status",),
        ("pending",),
        ("withdraw", "ID"),
        ("wait", "ID"),
        ("audit", "show", "ID"),
        ("audit", "tail"),
    ],
)
@pytest.mark.parametrize("ended", [False, True])
def test_looking_shows_no_row_that_is_not_ours(narrow: Caller, argv: tuple[str, ...], ended: bool) -> None:
    """One request, a list, what had ended, and the answer of a wait, whose comment is foreign as well."""
    found = narrow.main("request", "--no-wait", "--reason", MANY, "--", MANY).out.strip()
    if ended:
        narrow.desk.decide(found, "denied", comment=MANY)
    with narrow.terminal(*(word.replace("ID", found) for word in argv), size=(24, COLUMNS)) as terminal:
        if argv[0] == "wait" and not ended:
            terminal.until(" left")
            terminal.type("\x03")
        terminal.end()
        if MANY[:2] in terminal.seen:
            assert forged(terminal.seen) == []
        else:
            assert (argv[0], ended) in {("withdraw", False), ("pending", True)}


def test_asking_shows_no_row_that_is_not_ours(narrow: Caller) -> None:
    """The requester's own terminal, and what a platform says meanwhile."""
    with narrow.terminal("request", "--timeout", "60", "--reason", MANY, "--", MANY, size=(24, COLUMNS)) as terminal:
        terminal.until(" left")
        terminal.type("\x03")
        assert terminal.end() == 130
        assert forged(terminal.seen) == []


def test_trouble_shows_no_row_that_is_not_ours(caller: Caller, platform: FakePlatform) -> None:
    """A platform's own words are foreign text."""
    platform.on("list", does.status(400, MANY))
    with caller.terminal("pending", size=(24, COLUMNS)) as terminal:
        assert terminal.end() == 125
        assert forged(terminal.seen) == []


def test_what_the_terminal_cannot_write_is_measured_as_it_is_written(narrow: Caller) -> None:
    """An ideograph is an escape of six columns where the encoding has none, and no row grows by it."""
    found = narrow.desk.ask("漢" * 200)
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    with narrow.terminal("approve", found, size=(24, COLUMNS), env=env) as terminal:
        terminal.until("Enter for the next")
        terminal.type("\r")
        terminal.until("[y/N]: ")
        terminal.type("\r")
        assert terminal.end() == 125
        rows = CODES.sub("", terminal.seen).splitlines()
        assert max(len(row) for row in rows if "\\u6f22" in row) <= COLUMNS
        assert any(row.startswith("        . \\u6f22") for row in rows)


def test_without_a_window_each_line_is_one_row_with_its_margin(tmp_path: Path) -> None:
    """Nothing is wrapped in a file, and no style is written."""
    row = Approval("id", "w", f"a\n{'b' * 200}", Status.PENDING, context={"k": ["v"]}, expires_at="soon")
    with (tmp_path / "file").open("w") as file:
        assert sheet(request_lines(row), file) == [
            "action    a",
            f"          {'b' * 200}",
            "requester unknown",
            "workspace w",
            "          ",
            "Details   ",
            "request   id",
            "status    pending",
            "asked at  unknown",
            "expires   soon",
            'context   k = ["v"]',
        ]
        assert sheet(asked("a", "b"), None) == ["action    a", "reason    b"]


@pytest.mark.parametrize(
    ("status", "by", "shown"),
    [
        (Status.DENIED, "auto-expired", "expired"),
        (Status.DENIED, "withdrawn", "withdrawn"),
        (Status.DENIED, "alice", "denied"),
        (Status.APPROVED, "", "approved"),
        (Status.UNKNOWN, None, "unknown"),
    ],
)
def test_a_request_that_nobody_decided_is_not_called_denied(status: Status, by: str | None, shown: str) -> None:
    """It expired or was withdrawn, as its line above the sheet says; a status that is no verdict is shown as it is."""
    row = Approval("id", "w", "a", status, decided_by=by)
    assert ("status", shown) in list(request_lines(row))


def test_who_asks_and_who_decides_are_named() -> None:
    """The person and the CI job, as the requester's machine says; the workspace by its name, too."""
    job: dict[str, JsonValue] = {"system": "GitHub Actions", "job": "https://ci.example/7"}
    context: dict[str, JsonValue] = {"user": "ann", "host": "ci\n1", "ci": job}
    row = Approval("id", "w", "a", Status.PENDING, "why", requested_by="deploy-bot", context=context)
    lines = sheet(request_lines(row, workspace_name="payments", decide_as="al\nice"), None)
    assert lines[:4] == [
        "action    a",
        "reason    why",
        "requester deploy-bot, says it runs as ann@ci\\n1 in GitHub Actions https://ci.example/7",
        "workspace payments (w)",
    ]
    assert [line for line in lines if line.startswith("context")] == [
        'context   ci = {"system": "GitHub Actions", "job": "https://ci.example/7"}'
    ]
    assert lines[-2:] == ["          ", "decide as al\\nice"]
    for odd in ("", 7):
        lines = sheet(request_lines(replace(row, context={"user": odd})), None)
        assert (lines[2], lines[-1]) == ("requester deploy-bot", f"context   user = {odd}")


@pytest.mark.parametrize(
    ("known", "context", "shown"),
    [
        ({"is_anonymous": True}, {"user": "ann", "host": "ci"}, "anonymous, says it runs as ann@ci"),
        ({"is_anonymous": True}, {}, "anonymous"),
        ({}, {"user": "ann"}, "says it runs as ann"),
        ({}, {"ci": {"system": "Jenkins"}}, "says it runs in Jenkins"),
        ({}, {"user": ", approved by alice"}, "says it runs as , approved by alice"),
        ({}, {}, "unknown"),
    ],
)
def test_what_a_requester_claims_is_shown_as_claimed(
    known: dict[str, Any], context: dict[str, JsonValue], shown: str
) -> None:
    """Behind the name of its credential, if the platform tells one."""
    row = Approval("id", "w", "a", Status.PENDING, context=context, **known)
    assert f"requester {shown}" in sheet(request_lines(row), None)


def test_an_approver_of_their_own_request_is_told_so() -> None:
    """Before they decide, in whatever letter case the two names are."""
    row = Approval("id", "w", "a", Status.PENDING, requested_by="ALICE")
    assert sheet(request_lines(row, decide_as="alice"), None)[-1] == "decide as alice, who is also the requester"


HEAD: dict[str, JsonValue] = {
    "log_id": "5b1f0c2e-0000-4000-8000-000000000000",
    "seq": 12,
    "hash": "0123456789ab" + "c" * 52,
    "file": "f" * 64,
}


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("audit_head", HEAD, "audit log record 12 of 5b1f0c2e-0000-4000-8000-000000000000, 0123456789ab…"),
        ("audit_head", {**HEAD, "hash": "drop it"}, 'context   audit_head = {"log_id": "5b1f'),
        ("audit_head", {**HEAD, "more": "drop it"}, 'context   audit_head = {"log_id": "5b1f'),
        ("audit_head", "12:0123", "context   audit_head = 12:0123"),
        ("else", HEAD, 'context   else = {"log_id": "5b1f'),
    ],
)
def test_the_head_of_the_requesters_log_is_one_short_line(key: str, value: JsonValue, line: str) -> None:
    """What only looks like one is shown whole, as all of the context."""
    row = Approval("id", "w", "a", Status.PENDING, context={key: value})
    assert sheet(request_lines(row), None)[-1].startswith(line)


@pytest.mark.measured
@pytest.mark.parametrize("command", ["approve", "deny"])
@pytest.mark.parametrize("typed", ["y\r", "y\ry\ry\r", "y"])
def test_what_was_typed_before_the_question_decides_nothing(
    caller: Caller, platform: FakePlatform, command: str, typed: str
) -> None:
    """A yes, several, or one without Enter, while the request was still being read: the question waits for another."""
    row = platform.add(platform.workspace, {"action": "x"})
    caller.set(MOLECULE_APPROVER_TOKEN=platform.admin)
    sat: list[Terminal] = []

    def type_first(exchange: Exchange) -> Reply | None:
        until(lambda: sat)
        sat[0].type(typed)
        until(lambda: sat[0].seen)  # it is shown once the system has taken it on
        return exchange.default()

    platform.on("list", type_first, does.FIRST)
    with caller.terminal(command, row.id) as terminal:
        sat.append(terminal)
        terminal.until("this request? [y/N]: ")
        terminal.type("n\r")
        assert terminal.end() == 125
    assert row.status == "pending"


# --- commands ------------------------------------------------------------------------------------------------------------


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _facts(folder: Path, action: str) -> list[str]:
    shown = parse(action)
    assert shown is not None
    digest = (shown.fact("digest") or "").removeprefix("sha256:")
    return [
        "          ",
        "The requester says",
        f"program   {folder}/deploy.sh",
        f"  sha256  {_sha256(folder / 'deploy.sh')}",
        "interpreter",
        "          /bin/sh",
        f"  sha256  {_sha256(Path('/bin/sh'))}",
        "file      main.tf",
        f"  sha256  {_sha256(folder / 'main.tf')}",
        "not bound disk.img (1,073,741,825 bytes, more than 1,073,741,824)",
        f"folder    {folder}",
        f"host      {socket.gethostname()}",
        f"user      {shown.fact('user')}",
        "keeps     LD_LIBRARY_PATH=/opt/lib",
        "drops     BASH_ENV",
        f"digest    {digest}",
        "          ",
    ]


@pytest.mark.measured
def test_a_command_that_run_asks_for_is_its_own_block_above_its_facts(seated: Caller, running: str) -> None:
    """Whoever decides reads it as a shell would, and under it what the requester bound, each under a label of ours."""
    action = seated.desk.one(running)["action"]
    facts = _facts(seated.folder, action)
    with seated.terminal("approve", running, size=(60, 300)) as terminal:
        terminal.until("this request? [y/N]: ")
        terminal.type("n\r")
        assert terminal.end() == 125
        shown = CODES.sub("", terminal.seen).splitlines()
    at = shown.index(f"command   {COMMAND_LINE}")
    assert shown[at + 1 : at + 1 + len(facts)] == facts
    assert shown[at + 1 + len(facts)].startswith(f"requester {user_name()}, says it runs as tester@")
    assert not [row for row in shown if row.startswith("action") or "verif" in row]
    assert seated.main("status", running).out.endswith(f"({COMMAND_LINE})\n")


def test_a_command_looks_the_same_to_its_requester(seated: Caller) -> None:
    """In the first lines of run, and of a wait for what request asked."""
    with seated.terminal("run", "--", "true", "a b", size=(60, 300), cwd=seated.folder) as terminal:
        seen = CODES.sub("", terminal.until("to decide: ")).splitlines()
        terminal.type("\x03")
        assert terminal.end() == 130
    assert seen[:4] == [
        f"molecule-approve: asking {os.environ['PLATFORM_URL']} to approve this command:",
        "command   true 'a b'",
        "          ",
        "The requester says",
    ]
    found = seated.main("request", "--for", "--", "true", "a b")
    assert found.code == 8
    waited = seated.main("wait", "--timeout", "1", found.out.strip())
    assert waited.err.splitlines()[:2] == [
        f"molecule-approve: waiting for {os.environ['PLATFORM_URL']} to approve this command:",
        "command   true 'a b'",
    ]


@pytest.mark.parametrize("columns", [20, 44, 74, 80])
def test_a_hash_stays_on_its_row_where_the_window_has_room(columns: int, seated: Caller, running: str) -> None:
    """From 74 columns on; no row is wider than the window, and each has our margin."""
    row = Approval("id", "w", seated.desk.one(running)["action"], Status.PENDING)
    shown = list(rows(request_lines(row), columns, None))
    assert max(map(len, shown)) <= columns
    whole = [found for found in shown if re.fullmatch(r"(  sha256|digest  )  [0-9a-f]{64}", found)]
    assert len(whole) == (4 if columns >= 74 else 0)
    assert _sha256(seated.folder / "main.tf") in "".join(found[10:] for found in shown)
    assert all(re.match(r"[a-zA-Z ][a-z0-9 ]{8}|        … ", found) for found in shown)


def test_what_must_be_seen_stands_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remarks, what is not bound, and variables in the colour of warnings, on each of their rows; hashes recede."""
    monkeypatch.setenv("NO_COLOR", "")
    monkeypatch.setenv("FORCE_COLOR", "1")
    files = (BoundFile(FileRole.PROGRAM, "/bin/x", "a" * 64),)
    command = BoundCommand(
        ("x",), files, "/", "h", "u", kept=(("A", "1"),), dropped=("B",), remarks=("may run others " * 9,)
    )
    shown = list(rows(asked(command.text, ""), 80, None))
    assert shown[0] == "\x1b[2mcommand\x1b[0m   \x1b[1mx\x1b[0m"
    assert f"\x1b[2m  sha256\x1b[0m  \x1b[2m{'a' * 64}\x1b[0m" in shown
    assert "\x1b[33mkeeps\x1b[0m     \x1b[33mA=1\x1b[0m" in shown
    assert "\x1b[33mdrops\x1b[0m     \x1b[33mB\x1b[0m" in shown
    remark = next(at for at, row in enumerate(shown) if "remark" in row)
    assert shown[remark].startswith("\x1b[33mremark\x1b[0m    \x1b[33mmay run others")
    assert shown[remark + 1].startswith("\x1b[2m        … \x1b[0m\x1b[33m")


def test_an_action_that_imitates_a_command_draws_no_label_and_gives_no_order() -> None:
    """Its facts may hold hidden characters and need not be facts: each stands behind its label, visible, as it was sent."""
    facts = (
        "program: ::error::x",
        "host: a\x1b[2J\rdigest    0\\n",
        "user",
        "file: x sha256:0",
        f"digest: sha256:{'0' * 64}",
    )
    action = "\n".join(("::error::x", *facts))
    assert sheet(asked(action, "why"), None) == [
        "command   '':'':error::x",
        "          ",
        "The requester says",
        "program   '':'':error::x",
        "host      a\\x1b[2J\\rdigest    0\\\\n",
        "user      ",
        "file      x sha256:0",
        f"digest    {'0' * 64}",
        "          ",
        "reason    why",
    ]
    assert one_line(action) == "'':'':error::x"
    hidden = action.replace("x", "\u202e", 1)
    assert sheet(asked(hidden, ""), None)[0] == "action    \\x3a:error::\\u202e"
    assert one_line(hidden).startswith("\\x3a:error::\\u202e\\nprogram: ")
