"""``audit show``, ``audit stats`` and ``audit export`` as a shell, a pipe and a terminal see them."""

from __future__ import annotations

import gzip
import io
import json
import os
import pty
import select
import socket
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from molecule_approve.audit.export.check import check
from molecule_approve.audit.journal import Journal
from molecule_approve.cli.audit import story
from molecule_approve.cli.audit.story_view import NOT_VERIFIED
from molecule_approve.cli.main import main
from molecule_approve.server.users import user_name
from tests.audit.records import begun, foreign, record

if TYPE_CHECKING:
    from tests.callers import Caller

TRACE = "aaaaaa-1"


@pytest.fixture
def journal(log: Path) -> Journal:
    """Three requests, one of them open, and a line of another tool."""
    journal = Journal(log)
    for one in (
        begun("aaaaaa-2", resource="another"),
        begun(TRACE, resource="drop it"),
        record("requested", TRACE, approval_id="bbbbbb-1"),
        record("denied", "aaaaaa-2", decided_by="bob", waited_seconds=1.5, transport="live"),
        record("granted", TRACE, approval_id="bbbbbb-1", decided_by="alice", waited_seconds=12.5, transport="live"),
        begun("cccccc-1"),
    ):
        journal.append(one, patience=0)
    with log.open("ab") as file:
        file.write(foreign(trace_id=TRACE, event_type="memory", action="note", outcome="kept") + b"\n")
    return journal


@contextmanager
def at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], str]]:
    """Within, stdout is a terminal; what is called reads what it was told."""
    leader, follower = pty.openpty()

    def read() -> str:
        assert select.select([leader], [], [], 10)[0], "nothing was told"
        return os.read(leader, 65_536).decode()

    with monkeypatch.context() as patch, os.fdopen(follower, "w", encoding="utf-8") as stream:
        patch.setattr(sys, "stdout", stream)
        yield read
    os.close(leader)


Capture = pytest.CaptureFixture[str]


# --- show ----------------------------------------------------------------------------------------------------------------


def test_show_tells_one_requests_story(journal: Journal, capsys: Capture) -> None:
    """By any of its ids, plainly in a pipe, and it says that it proves nothing."""
    for text in (TRACE, "bbbbbb", "BBBBBB-1"):
        assert main(["audit", "show", text]) == 0
        out, err = capsys.readouterr()
        assert err == ""
        assert out.startswith("asked      drop it\n")
        assert "approved by alice (name not verified)  (waited 12.5 s, live)\n" in out
        assert "memory/note: kept  (unchained line, written by other tools)\n" in out
        assert "another" not in out
        assert out.endswith(f"\n{NOT_VERIFIED}\n")


def test_show_as_json_is_one_object(journal: Journal, capsys: Capture) -> None:
    """On one line."""
    assert main(["audit", "show", TRACE, "--json"]) == 0
    out = capsys.readouterr().out
    found: dict[str, Any] = json.loads(out)
    assert (out.count("\n"), found["outcome"], len(found["records"])) == (1, "granted", 4)


def test_an_id_that_is_not_unique_lists_what_fits(journal: Journal, capsys: Capture) -> None:
    """2, with the trace ids; so is one that is too short."""
    assert main(["audit", "show", "aaaaaa"]) == 2
    err = capsys.readouterr().err
    assert "matches 2 requests: aaaaaa-1, aaaaaa-2" in err
    for number in range(12):
        journal.append(record("requested", f"trace-{number}", approval_id=f"dddddd-{number}"), patience=0)
    assert main(["audit", "export", "dddddd"]) == 2
    err = capsys.readouterr().err
    assert "trace-11 (approval_id dddddd-11)" in err
    assert "trace-2 (approval_id dddddd-2), …" in err.replace("\\u2026", "…")
    assert main(["audit", "show", "aaaaa"]) == 2
    assert "first 6 characters or more" in capsys.readouterr().err


def test_what_the_log_does_not_hold_is_not_done(journal: Journal, log: Path, capsys: Capture) -> None:
    """125 for an id that is not there, a log that is not there, and one that cannot be read."""
    assert main(["audit", "show", "unknown"]) == 125
    assert f"the audit log {log} has no request 'unknown'" in capsys.readouterr().err
    missing = str(log.with_name("other"))
    for command in (["show", TRACE], ["export", TRACE], ["stats"]):
        assert main(["audit", *command, "--audit-log", missing]) == 125
        assert "the first request creates the audit log" in capsys.readouterr().err
        # A regular file whose first byte cannot be read, as on a broken disk.
        assert main(["audit", *command, "--audit-log", "/proc/self/mem"]) == 125
        assert "Input/output error" in capsys.readouterr().err


def test_the_story_goes_on_through_archives(journal: Journal, log: Path, capsys: Capture) -> None:
    """Also through packed ones; what cannot be read is named where it may hold the rest."""
    rows = log.read_bytes().splitlines(keepends=True)
    log.with_name("audit.jsonl.2.gz").write_bytes(gzip.compress(b"".join(rows[:2])))
    log.with_name("audit.jsonl.1").write_bytes(rows[2])
    log.write_bytes(b"".join(rows[3:]))
    assert main(["audit", "show", TRACE]) == 0
    whole = capsys.readouterr()
    assert "asked\n" in whole.out
    assert whole.err == ""
    log.with_name("audit.jsonl.2.gz").write_bytes(b"broken")
    assert main(["audit", "show", TRACE]) == 125
    rest = capsys.readouterr()
    assert "approved by alice" in rest.out
    assert "records of this request may be missing: the audit log's archive" in rest.err
    for command, code in (["show", "unknown"], 125), (["stats"], 0), (["export", TRACE], 125):
        assert main(["audit", *command]) == code
        assert "audit.jsonl.2.gz cannot be unpacked" in capsys.readouterr().err


def test_a_terminal_gets_colours_where_they_are_wanted(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """The outcome is green; NO_COLOR, a dumb terminal and CI get the same words in plain, but for FORCE_COLOR."""
    with at_a_terminal(monkeypatch) as read:
        assert main(["audit", "show", TRACE]) == 0
        assert "\x1b[1;32mapproved by alice" in read()
        for name, value in (("NO_COLOR", "1"), ("TERM", "dumb"), ("CI", "true")):
            with monkeypatch.context() as patch:
                patch.setenv(name, value)
                assert main(["audit", "show", TRACE]) == 0
            shown = read()
            assert "\x1b" not in shown
            assert "approved by alice" in shown
        monkeypatch.setenv("CI", "true")
        monkeypatch.setenv("FORCE_COLOR", "1")
        assert main(["audit", "show", TRACE]) == 0
        assert "\x1b[1;32mapproved by alice" in read()


def test_a_reader_that_has_had_enough_is_no_error(journal: Journal, monkeypatch: pytest.MonkeyPatch, capfd: Capture) -> None:
    """For what is only shown; an export that nobody took, or a full disk, is not done."""
    for command, code in ((["show", TRACE], 0), (["stats"], 0), (["export", TRACE], 125)):
        reader, writer = os.pipe()
        os.close(reader)
        with os.fdopen(writer, "w") as stream:
            monkeypatch.setattr(sys, "stdout", stream)
            assert main(["audit", *command]) == code
        assert ("cannot write to stdout" in capfd.readouterr().err) is (code == 125)
    with Path("/dev/full").open("w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert main(["audit", "show", TRACE]) == 125


def test_a_request_that_nobody_waits_for_is_not_open(caller: Caller) -> None:
    """`request --no-wait` says so in its record; `show` tells who asked, and where the rest stands, until somebody waits."""
    asked = caller.main("request", "--no-wait", "--context", "ticket=OPS-1", "--", "drop it")
    approval_id = asked.out.strip()
    records = [json.loads(line) for line in caller.log.read_text().splitlines()]
    assert [(record["outcome"], record.get("wait")) for record in records] == [("initiated", None), ("requested", False)]
    assert (records[0]["context"]["user"], records[0]["context"]["ticket"]) == ("tester", "OPS-1")
    shown = caller.main("audit", "show", approval_id).out
    assert "asked by tester@" in shown
    assert shown.splitlines()[-2:-1] == ["submitted without waiting; the decision is in the server's log"]
    assert json.loads(caller.main("audit", "show", "--json", approval_id).out)["outcome"] == "not_awaited"
    assert '"open": 0' in caller.main("audit", "stats", "--json").out
    assert caller.main("wait", "--timeout", "1", approval_id).code == 8
    assert "open: no outcome yet" in caller.main("audit", "show", approval_id).out


def test_who_asked_is_told_from_the_askers_log_and_from_the_servers(caller: Caller) -> None:
    """Also which CI job it was; the server's log has its own record of the same request."""
    job = "https://git.example/a/b/-/jobs/7"
    caller.set(GITLAB_CI="true", CI_JOB_URL=job)
    found = caller.main("request", "--no-wait", "--", "drop it").out.strip()
    caller.desk.decide(found)
    servers = f"\nrequester  {user_name()}, says it runs as tester@{socket.gethostname()} in GitLab {job}\n"
    for log, words in ((caller.log, f"\nCI job     GitLab {job}\n"), (caller.desk.server.places.server_log, servers)):
        shown = caller.main("audit", "show", "--audit-log", str(log), found).out
        assert words in shown
        told = json.loads(caller.main("audit", "show", "--json", "--audit-log", str(log), found).out)
        assert (told["requester"].partition("@")[0], told["ci"]["job"]) == ("tester", job)


# --- stats ---------------------------------------------------------------------------------------------------------------


def test_stats_count_the_log(journal: Journal, capsys: Capture) -> None:
    """Requests, outcomes, approvers and times, and that nothing was proved."""
    assert main(["audit", "stats"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("requests     3, 2026-04-27 10:00:00Z to ")
    assert "  approved       1   33.3 %\n" in out
    assert "  alice  approved 1, denied 0 (name not verified)\n" in out
    assert "  < 10 s    1  " + "█" * 40 + "\n" in out
    assert "not counted): 1\n" in out
    assert out.rstrip().endswith("the log")
    assert main(["audit", "stats", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["requests"] == 3


def test_stats_of_a_period(journal: Journal, capsys: Capture) -> None:
    """From a moment or a duration ago, until another."""
    for args, requests in (
        (["--since", "2026-04-27T10:00:00Z"], 3),
        (["--since", "2026-04-27T12:00:01+02:00"], 0),
        (["--until", "2026-04-27T10:00:00Z"], 0),
        (["--since", "9999d", "--until", "1s"], 3),
        (["--since", "1s"], 0),
    ):
        assert main(["audit", "stats", "--json", *args]) == 0
        assert json.loads(capsys.readouterr().out)["requests"] == requests, args


@pytest.mark.parametrize("option", ["--since", "--until"])
@pytest.mark.parametrize("text", ["", "noon", "2026-04-27T10:00:00", "999999999d"])
def test_what_is_no_time_is_a_usage_error(journal: Journal, option: str, text: str, capsys: Capture) -> None:
    """The sentence names the option."""
    assert main(["audit", "stats", option, text]) == 2
    assert f"{option}: {text!r} is not a time" in capsys.readouterr().err


def test_stats_fit_the_window(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """As wide as it is now."""
    with at_a_terminal(monkeypatch) as read:
        termios.tcsetwinsize(sys.stdout, (24, 40))
        assert main(["audit", "stats"]) == 0
        rows = read().splitlines()
    assert max(map(len, rows)) <= 40
    assert any("█" in row for row in rows)


def test_bars_are_drawn_with_what_the_encoding_has(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Block characters only where they can be written."""
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    assert main(["audit", "stats"]) == 0
    assert "  < 10 s    1  " + "#" * 40 + "\n" in written.getvalue().decode("ascii")


# --- export --------------------------------------------------------------------------------------------------------------


def test_an_export_is_whole_on_any_machine(journal: Journal, log: Path, capsys: Capture) -> None:
    """One line of JSON on stdout; with --complete it leads to the head."""
    head = journal.head()
    assert head is not None
    for args, proves in ([], ()), (["--complete"], (2, 3, 5)):
        assert main(["audit", "export", TRACE, *args]) == 0
        out, err = capsys.readouterr()
        assert err == ""
        assert out.isascii()
        report = check(out.encode(), expected=[(head.seq, head.hash)])
        assert (report.records, report.expected[0].proves, report.whole) == ((2, 3, 5), proves, bool(proves))
        assert json.loads(out)["remembered"] == head._asdict()


def test_an_export_into_a_file_is_private_and_overwrites_nothing(journal: Journal, tmp_path: Path, capsys: Capture) -> None:
    """0600, whole or not at all, and nothing is left behind where it fails."""
    folder = tmp_path / "evidence"
    folder.mkdir()
    target = folder / "export.json"
    assert main(["audit", "export", TRACE, "-o", str(target)]) == 0
    data = target.read_bytes()
    assert check(data).whole
    assert target.stat().st_mode & 0o777 == 0o600
    assert capsys.readouterr() == ("", "")
    assert main(["audit", "export", TRACE, "--output", str(target)]) == 2
    assert "already exists" in capsys.readouterr().err
    (folder / "link").symlink_to(folder / "nowhere")
    assert main(["audit", "export", TRACE, "--output", str(folder / "link")]) == 2
    assert target.read_bytes() == data
    assert sorted(path.name for path in folder.iterdir()) == ["export.json", "link"]
    assert main(["audit", "export", TRACE, "-o", str(folder / "none" / "x")]) == 125
    assert "cannot be written" in capsys.readouterr().err


def test_an_export_of_a_damaged_log_says_so(journal: Journal, log: Path, capsys: Capture) -> None:
    """65: it is written all the same, for it is evidence, too."""
    log.write_bytes(log.read_bytes().replace(b'"decided_by":"alice"', b'"decided_by":"malice"'))
    assert main(["audit", "export", TRACE]) == 65
    out, err = capsys.readouterr()
    assert not check(out.encode()).whole
    assert "warning: the export is not whole, because the log is damaged: record 5: " in err


def test_what_nothing_vouches_for_is_not_exported(journal: Journal, log: Path, capsys: Capture) -> None:
    """A request that only another tool's lines name; a log without any chain; with --complete, too."""
    with log.open("ab") as file:
        file.write(foreign(trace_id="only-theirs") + b"\n")
    alone = log.with_name("alone.jsonl")
    alone.write_bytes(foreign(trace_id="only-theirs") + b"\n")
    for args in ([], ["--complete"], ["--audit-log", str(alone)]):
        assert main(["audit", "export", "only-theirs", *args]) == 125
        assert "cannot export" in capsys.readouterr().err


def test_counting_tells_how_far_it_is(journal: Journal, log: Path) -> None:
    """In bytes of the files as they are: a compressed one counts with its own; one that went away with none."""
    archive = journal.rotate(patience=0)
    assert archive is not None
    text = archive.read_bytes()
    log.write_bytes(b"{}\n" * 2_000)
    archive.with_name(f"{archive.name}.gz").write_bytes(gzip.compress(text))
    archive.unlink()
    told: list[tuple[int, int]] = []
    with story._snapshot(log) as snapshot:
        total = sum(file.path.stat().st_size for file in snapshot.files)
        count = sum(1 for _ in story._forwards(snapshot, lambda *so_far: told.append(so_far)))
    lines = text.count(b"\n")
    assert count == lines + 2_000
    assert told[1:] == [(total - 6_000 + 3 * (number - lines + 1), total) for number in (1_000, 2_000)]
    assert story._size(archive) == 0
