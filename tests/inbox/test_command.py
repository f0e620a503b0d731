"""A command that ``run`` asks for, on the page: apart from its facts, which only its requester states."""

from __future__ import annotations

import itertools
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from molecule_approve.gate.command import BoundCommand, BoundFile, FileRole, parse
from tests.callers import until
from tests.inbox.seat import PATIENCE, asking

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Locator

    from tests.inbox.conftest import NewSeat
    from tests.inbox.seat import Seat
    from tests.server.desk import Desk

COMMAND = BoundCommand(
    ("rm", "-r", "a b"), (BoundFile(FileRole.PROGRAM, "/bin/rm", "a" * 64),), "/srv", "build-7", "ann (uid 1)"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a script, and two files of which one is too large to be bound."""
    script = tmp_path / "deploy.sh"
    script.write_text("#!/bin/sh\necho deployed\n")
    script.chmod(0o755)
    (tmp_path / "main.tf").write_text("region")
    with (tmp_path / "disk.img").open("wb") as disk:
        disk.truncate((1 << 30) + 1)
    return tmp_path


@contextmanager
def running(desk: Desk, folder: Path, *words: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A real ``run`` of the script, which waits for a decision, and its request's id."""
    argv = ("--keep-env", "LD_LIBRARY_PATH", "--", "./deploy.sh", *words)
    variables = {"LD_LIBRARY_PATH": "/opt/lib", "BASH_ENV": "/e"}
    with asking(desk, folder, *argv, command="run", **variables) as process:
        until(lambda: desk.decider.get("/approvals/pending").json())
        yield str(desk.decider.get("/approvals/pending").json()[0]["id"]), process


def _fact(card: Locator, label: str) -> Locator:
    return card.locator(".hashes .fact", has=card.page.get_by_text(label, exact=True))


def test_what_run_asks_for_is_shown_apart_from_its_facts(seat: Seat, folder: Path) -> None:
    """As a shell reads it, with every fact that is bound under it; approved there, it is executed."""
    with running(seat.desk, folder, "main.tf", "disk.img", "a\nb\\c", "eu west") as (found, process):
        card = seat.armed(found)
        shown = parse(seat.desk.one(found)["action"])
        assert shown is not None
        expect(card.locator(".kind")).to_have_text("Command")
        expect(card.locator(".action .code")).to_have_text(r"./deploy.sh main.tf disk.img $'a\nb\\c' 'eu west'")
        expect(card.get_by_role("heading", name="The requester says")).to_be_visible()
        labels, values = zip(*shown.facts, strict=True)
        expect(card.locator(".bound dt")).to_have_text(labels[:-1])
        expect(card.locator(".bound dd")).to_have_text([value.partition(" sha256:")[0] for value in values[:-1]])
        expect(card.locator(".bound .warning dt")).to_have_text(["not bound", "keeps", "drops"])
        hashes = [pair for pair in shown.facts if "sha256:" in pair[1]]
        expect(card.locator(".hashes dt")).to_have_text([label for label, _ in hashes])
        expect(card.locator(".hashes dd")).to_have_text([value.replace(" sha256:", "sha256:") for _, value in hashes])
        expect(card.locator(".hashes")).to_be_hidden()
        assert "verified" not in card.inner_text().lower()
        seat.decide(card)
        out, _ = process.communicate(timeout=PATIENCE / 1000)
        assert (process.returncode, out) == (0, "deployed\n")
        expect(seat.history().locator(".row-action")).to_have_text(shown.line)


def test_one_click_selects_a_whole_digest(seat: Seat) -> None:
    """To compare it or to copy it, also where it takes two rows."""
    seat.page.set_viewport_size({"width": 390, "height": 900})
    card = seat.armed(seat.desk.ask(COMMAND.text))
    card.locator("summary").click()
    for label, digest in (("program", "a" * 64), ("digest", COMMAND.digest)):
        _fact(card, label).locator(".hash").click()
        assert seat.page.evaluate("getSelection().toString()") == f"sha256:{digest}"


def test_a_long_command_must_be_unfolded_before_it_is_approved(seat: Seat, folder: Path) -> None:
    """Its end decides what it does; the length of its facts folds nothing, and a key shows it as a click does."""
    with running(seat.desk, folder, *(f"--target=module.{number}" for number in range(60))) as (found, _):
        card = seat.armed(found)
        expect(card.locator(".unfold")).to_have_count(1)
        expect(card.locator(".approve")).to_have_attribute("aria-disabled", "true")
        seat.page.keyboard.press("o")
        expect(card.locator(".unfold")).to_have_attribute("aria-expanded", "true")
        assert card.locator(".action .words").evaluate("node => node.scrollHeight === node.clientHeight")
    short = seat.shown(seat.desk.ask(COMMAND.text))
    expect(short.locator(".unfold")).to_have_count(0)
    expect(short).to_have_accessible_name(re.compile(r"requested .* rm -r 'a b'$"))


def test_lists_and_announcements_hold_the_command_alone(new_seat: NewSeat) -> None:
    """What a screen reader is told, a notification, and the list of what ended."""
    seat = new_seat(permissions=["notifications"]).sign_in()
    seat.page.evaluate(
        """() => {
            globalThis.notified = [];
            globalThis.Notification = class { static permission = "granted"; addEventListener() {}
                constructor(title, {body}) { notified.push(body); } };
            localStorage.setItem("molecule-desk.notify", "on");
            document.hasFocus = () => false;
        }"""
    )
    found = seat.desk.ask(COMMAND.text, context={"user": "ann"})
    seat.armed(found)
    name = seat.desk.one(found)["requested_by"]
    assert seat.page.evaluate("notified") == [f"{name}: rm -r 'a b'"]
    seat.desk.decide(found, "denied")
    seat.ended(found)
    expect(seat.history().locator(".row-action")).to_have_text("rm -r 'a b'")
    assert [line for line in seat.heard().splitlines() if line] == [
        f"New request from {name}: rm -r 'a b'",
        "Denied by alice: rm -r 'a b'",
    ]


def test_the_page_knows_a_command_by_the_same_form_as_the_program(seat: Seat) -> None:
    """Whatever is missing, doubled, in another order or hidden in one."""
    lines = [
        "rm x",
        "program: /bin/rm",
        "user",
        "host: a: b",
        "color: red",
        f"digest: sha256:{'a' * 64}",
        "digest: sha256:A",
    ]
    texts = ["\n".join(parts) for size in range(1, 5) for parts in itertools.product(lines, repeat=size)]
    texts += [COMMAND.text, COMMAND.text + "\n", COMMAND.text.replace("rm", "r\u202em"), COMMAND.text.replace("rm", "漢\\n")]
    found = seat.page.evaluate(
        "async texts => { const {parse} = await import('./static/command.js'); return texts.map(parse); }", texts
    )
    wanted = [None if (shown := parse(text)) is None else shown for text in texts]
    assert found == [
        None if shown is None else {"line": shown.line, "facts": [list(fact) for fact in shown.facts]} for shown in wanted
    ]
    assert 10 < sum(shown is not None for shown in wanted) < len(texts) / 10


def test_an_imitation_cannot_leave_its_facts(seat: Seat) -> None:
    """Hidden characters, markup and hashes that are none stay texts behind our labels; another form is an action as ever."""
    bad = '<img src=x onerror="document.title=1">\u202e\x1b[2J'
    facts = (f"program: {bad} sha256:{'b' * 64}", f"remark: {bad}", "file: sha256:0", f"digest: sha256:{'a' * 64}")
    card = seat.shown(seat.desk.ask("\n".join(("ls", *facts))))
    marked = bad.replace("\u202e", "U+202E").replace("\x1b", "U+001B")
    expect(card.locator(".bound dd")).to_have_text([marked, marked, "sha256:0"])
    expect(card.locator(".hashes dd")).to_have_text([f"{marked}sha256:{'b' * 64}", f"sha256:{'a' * 64}"])
    assert card.locator("img, script, a").count() == 0
    other = seat.shown(seat.desk.ask("ls\nprogram: /bin/ls"))
    expect(other.locator(".action .words")).to_have_text("ls\nprogram: /bin/ls")
    for part in (".kind", ".bound"):
        expect(other.locator(part)).to_be_hidden()
