"""A search gets every line that holds a word, with its chained neighbours, and hardly anything else."""

from __future__ import annotations

import gzip
import os
from contextlib import closing
from pathlib import Path

import pytest

from molecule_approve.audit.chain import link_of
from molecule_approve.audit.read import history
from molecule_approve.audit.read.lines import LONGEST
from molecule_approve.audit.report.story import gather
from molecule_approve.errors import AuditError
from tests.audit.records import begun, foreign, lines, newest, record

WORD = {b'"trace-1"'}


def matching(log: Path, words: set[bytes]) -> list[bytes]:
    return list(history.backwards(log, words=words))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def write(log: Path, rows: list[bytes]) -> None:
    log.write_bytes(b"".join(row + b"\n" for row in rows))


def test_a_small_log_with_the_word_is_given_whole(log: Path) -> None:
    """The newest line first, through archives and what was packed; a line that is not finished is left out."""
    rows = [*lines(begun(), record("requested"), record("granted"), begun("other")), b"torn", b""]
    log.with_name("audit.jsonl.2.gz").write_bytes(gzip.compress(rows[0] + b"\n"))
    write(log.with_name("audit.jsonl.1"), rows[1:2])
    write(log, rows[2:])
    with log.open("ab") as file:
        file.write(b'{"unfinished": "trace-1"')
    assert matching(log, WORD) == [*rows[:1:-1], rows[1], rows[0]]


def test_of_a_block_without_the_word_the_chained_edges_are_given(log: Path) -> None:
    """So many lines on both sides as the first chained one needs; never a line twice."""
    chained = lines(*(begun(f"old-{number}") for number in range(6)))
    noise = foreign(note="noise")
    for rows, given in (
        ([noise, *chained, noise], [noise, chained[5], chained[0], noise]),
        (chained, [chained[5], chained[0]]),
        (chained[:2], [chained[1], chained[0]]),
        (chained[:1], chained[:1]),
        ([noise, chained[0], noise, noise], [noise, noise, chained[0]]),
        ([noise, noise], [noise, noise]),
        ([], []),
    ):
        write(log, rows)
        assert matching(log, WORD) == given


@pytest.mark.usefixtures("untraced")
def test_a_long_log_is_skimmed_and_nothing_is_missed(log: Path) -> None:
    """Records in several blocks are found with the same neighbours as in the whole log; most of it is not looked at."""
    many = lines(
        *(record("requested", f"old-{number}", note="x" * 9_000) for number in range(300)),
        begun(),
        *(record("requested", f"new-{number}", note="x" * 9_000) for number in range(300)),
        record("granted"),
        *(record("requested", f"last-{number}", note="x" * 9_000) for number in range(300)),
    )
    write(log, many)
    assert log.stat().st_size > 7 * LONGEST
    found = gather(lambda words: history.backwards(log, words=words), "trace-1")
    assert found == gather(newest(many), "trace-1")
    assert found.entries[0].before == link_of(many[299])
    assert len(matching(log, {b'"granted"'})) < 200


def test_a_line_that_is_longer_than_a_block_is_left_out(log: Path) -> None:
    """No record is that long, and the lines around it are found; also at the file's beginning."""
    one, two, three = lines(begun(), record("requested"), record("granted"))
    for length in (LONGEST - 1, LONGEST, 3 * LONGEST):
        write(log, [b"x" * length, one, b"y" * length, two, three])
        assert [line for line in matching(log, WORD) if line[:1] == b"{"] == [three, two, one]


def test_words_may_become_more_meanwhile(log: Path) -> None:
    """What is learned from a new line is looked for in the older ones."""
    old = lines(*(record("requested", f"old-{number}", note="x" * 9_000) for number in range(300)))
    write(log, [*old, *lines(begun())])
    words = set(WORD)
    given = []
    for line in history.backwards(log, words=words):
        words.add(b'"old-7"')
        given.append(line)
    assert old[7] in given


def test_a_log_that_shrinks_is_an_error(log: Path) -> None:
    """Half of the truth is none."""
    write(log, [record_line * 9_000 for record_line in (b"a", b"b")] * 200)
    with closing(history.backwards(log, words={b"a"})) as given:
        next(given)
        os.truncate(log, 0)
        with pytest.raises(AuditError, match="shrank"):
            list(given)
