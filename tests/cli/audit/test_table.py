"""The audit log as a table: what stands where, in windows of any width, and nothing raw."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from rich.cells import cell_len

from molecule_approve.cli.audit.table import UNCHAINED, Table, layout
from molecule_approve.cli.terminal import STYLES
from tests.cli.log_lines import line

if TYPE_CHECKING:
    from molecule_approve.model import JsonValue

WIDTHS = (1, 5, 20, 36, 40, 59, 60, 80, 99, 100, 120, 200)


def shown(data: bytes, width: int = 120, encoding: str = "utf-8") -> str:
    """The row alone."""
    return ["".join(text for text, _ in row) for row in Table(encoding).rows(data, width)][-1]


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (
            120,
            [
                f"  TIME (UTC)            OUTCOME    {'ACTION':49}  {'WHO':24}  TRACE",
                f"  2026-04-27 10:00:00Z  granted    {'deploy  Friday; approval abcdefgh':49}  {'alice':24}  01234567",
            ],
        ),
        (
            80,
            [
                "  TIME (UTC)      OUTCOME    ACTION                       WHO           TRACE",
                "  04-27 10:00:00  granted    deploy  Friday; approval a…  alice         01234567",
            ],
        ),
        (
            60,
            [
                "  TIME UTC  OUTCOME    ACTION                     WHO",
                "  10:00:00  granted    deploy  Friday; approval…  alice",
            ],
        ),
        (40, ["  TIME UTC  OUTCOME    ACTION", "  10:00:00  granted    deploy  Friday; …"]),
        (20, ["  OUTCOME    ACTION", "  granted    deploy"]),
    ],
)  # fmt: skip
def test_a_window_has_the_columns_that_fit(width: int, expected: list[str]) -> None:
    """When, what came of it, what was asked and why, who decided, which request; the least important goes first."""
    data = line(actor="alice", decided_by_verified=True, approval_id="abcdefghij", reason_text="Friday")
    assert ["".join(text for text, _ in row) for row in Table("utf-8").rows(data, width)] == expected


@pytest.mark.parametrize(("encoding", "mark"), [("utf-8", "\N{HORIZONTAL ELLIPSIS}"), ("ascii", "~")])
def test_the_mark_of_a_cut_is_one_that_the_terminal_can_show(encoding: str, mark: str) -> None:
    """It is one column wide either way."""
    row = shown(line(resource="x" * 200), 80, encoding)
    assert f"x{mark} " in row
    assert row.isascii() == (encoding == "ascii")


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii"])
def test_no_row_is_wider_than_the_window(encoding: str) -> None:
    """Whatever stands in it: long words, characters of two columns or of none, escapes, odd times, no record at all."""
    words = ("x" * 300, "\u4f60\u597d" * 90, "a\u0301" * 200, "\x1b" * 90, "\U0001f600" * 90, "\u202e", "", "ok", "g\u00fcn")
    for width in (width for width in WIDTHS if width > 13):
        table = Table(encoding)
        for word in words:
            fields: dict[str, JsonValue] = dict.fromkeys(("resource", "actor", "trace_id", "outcome", "reason_text"), word)
            for data in (
                line(**fields),
                line(**fields | {"outcome": "initiated", "context": {"user": word, "ci": {"job": word}}}),
                line(**fields, decided_by_verified=False, timestamp=word),
                word.encode() + b"\n",
                json.dumps(fields).encode() + b"\n",
            ):
                for row in table.rows(data, width):
                    text = "".join(text for text, _ in row)
                    assert cell_len(text) <= width, (width, word)
                    assert text.encode(encoding).decode(encoding) == text
                    assert text.isprintable() or "\u0301" in text


@pytest.mark.parametrize("width", WIDTHS)
def test_every_window_has_a_layout(width: int) -> None:
    """Even one that is narrower than the least row."""
    assert layout(width).action >= 1
    assert list(Table("utf-8").rows(line(), width))


def test_the_header_comes_again_when_the_width_changes() -> None:
    """What is fitted to another width does not stand below the old heads."""
    table = Table("utf-8")
    assert [len(list(table.rows(line(), width))) for width in (80, 80, 100, 100, 80)] == [2, 1, 2, 1, 2]


@pytest.mark.parametrize(
    ("width", "name", "expected"),
    [
        (200, "alice", "alice (unverified)"),
        (200, "x" * 50, f"{'x' * 10}… (unverified)"),
        (80, "alice", "alice ?"),
        (80, "x" * 50, f"{'x' * 9}… ?"),
    ],
)
def test_that_a_name_is_not_verified_is_never_cut_off(width: int, name: str, expected: str) -> None:
    """The platform's names are text that anybody with the token could have sent."""
    assert f"  {expected}  " in shown(line(actor=name, decided_by_verified=False), width)
    assert expected not in shown(line(actor=name, decided_by_verified=True), width)


@pytest.mark.parametrize(
    ("context", "who"),
    [
        ({"user": "ada", "host": "build"}, "ada@build"),
        ({"user": "root", "ci": {"system": "GitHub Actions", "job": "https://x.example/a/runs/47"}}, "GitHub Actions 47"),
        ({"ci": {"system": "Jenkins", "job": "https://x.example/job/nightly/87/"}}, "Jenkins 87"),
        ({"ci": {"system": "Buildkite", "job": "https://x.example/a/builds/12#0189"}}, "Buildkite 12"),
        ({"ci": {"system": "GitLab"}}, "GitLab"),
        ({"ci": "x", "user": 7}, "ws"),
        ("x", "ws"),
        (None, "ws"),
    ],
)
def test_a_beginning_says_who_asked(context: JsonValue, who: str) -> None:
    """The CI job before the person, and the workspace where nothing else is told."""
    assert shown(line(outcome="initiated", context=context))[-34:-10].strip() == who


@pytest.mark.parametrize(
    ("name", "context", "words"),
    [
        (None, {"user": "ada"}, "says it runs as ada; "),
        ("bot", {"user": "ada", "host": "x"}, "asked by bot (says ada@x); "),
        ("Ada", {"user": "ada"}, "asked by Ada; "),
        ("ada", {"user": "ada", "ci": {"system": "GitLab"}}, "asked by ada (says GitLab); "),
        ("bot", None, "asked by bot; "),
        (None, None, ""),
    ],
)
def test_a_decision_in_a_servers_log_says_who_asked_beside_it(name: str | None, context: JsonValue, words: str) -> None:
    """The name of the credential first, and what the requester claims; such a log has no record of the beginning."""
    text = shown(
        line(actor="al", context=context, requested_by=name, approval_id="abcdefghij", decided_by_verified=True), 160
    )
    assert f"deploy  {words}approval abcdefgh" in text
    assert "  al  " in text


def test_other_kinds_of_records_say_what_they_are() -> None:
    """What is no approval is named by its event and action."""
    text = shown(line(event_type="rbac", action="rbac.deny", outcome="denied", reason=None, error=""), 80)
    assert text == "  04-27 10:00:00  denied     rbac/rbac.deny: deploy       ws            01234567"
    text = shown(line(action="observe", outcome="observed", observed_outcome="granted", actor="alice"))
    assert "  observed   approval/observe: deploy  it was granted  " in text


def test_times_are_shown_in_utc() -> None:
    """Other tools write other offsets; what is no time is shown as it is."""
    assert shown(line(timestamp="2026-04-27T01:00:00+02:00")).startswith("  2026-04-26 23:00:00Z  ")
    assert shown(line(timestamp="yesterday")).startswith("  yesterday             ")
    assert shown(b"{}\n").startswith("? -  ")


@pytest.mark.parametrize("text", ["\x1b[2J", "\u202e", "\n", "::error::x", "##[error]", "\u00a0"])
def test_nothing_from_the_log_reaches_a_terminal_raw(text: str) -> None:
    """Escape sequences, bidi overrides and orders are made visible, in records and in lines that are none."""
    data = line(resource=text, actor=text, reason_text=text, outcome=text, trace_id=text, timestamp=text, action=text)
    asked = line(outcome="initiated", context={"user": text})
    for one in (data, asked, text.encode().replace(b"\n", b"") + b"\n", b"\xff" + b"\x1b\n"):
        said = shown(one)
        assert said.isprintable()
        assert "##[" not in said
        assert not said.startswith("::")
        assert "\u202e" not in said


def test_a_line_that_nothing_vouches_for_says_so() -> None:
    """Another tool's line, and a torn one, carry a mark before all, and no colour; a chained one does not."""
    for data in (json.dumps({"outcome": "granted", "resource": 7, "trace_id": None}).encode() + b"\n", b"torn"):
        assert shown(data).startswith("? ")
        assert UNCHAINED in shown(data)
        assert {style for row in list(Table("utf-8").rows(data, 80))[1:] for text, style in row if text.strip()} == {"dim"}
    assert UNCHAINED not in shown(line())


def test_odd_values_of_another_tool_are_shown_not_tripped_over() -> None:
    """Lists and objects where text is usual do not stop the reader."""
    text = shown(b'{"outcome":["x"],"reason":{"a":1},"error":[],"resource":null,"actor":7,"trace_id":[1]}\n')
    assert "['x']" in text
    assert "  7  " in text


def test_colours_tell_a_yes_from_a_no() -> None:
    """The outcome alone has a colour, and only outcomes that are known."""
    found = {}
    for outcome in ("granted", "denied", "timeout", "odd"):
        row = list(Table("utf-8").rows(line(outcome=outcome), 80))[1]
        found[outcome] = STYLES[row[3][1]]
        assert {style for text, style in row if outcome not in text} <= {"", "dim"}
    assert found == {"granted": "1;32", "denied": "1;31", "timeout": "33", "odd": ""}
