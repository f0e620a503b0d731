"""What the embedded server's desk answers, read: whole, or refused with a sentence."""

from __future__ import annotations

import json
from typing import Any

import pytest

from molecule_approve.client.inbox import read_code, read_open, read_queue, read_waiting
from molecule_approve.errors import ProtocolError
from molecule_approve.model import Status

ROW = {"id": "11111111-1111-4111-8111-111111111111", "workspace_id": "ws", "action": "x", "status": "pending"}


def body(*rows: Any, **more: Any) -> bytes:  # noqa: ANN401 - JSON
    """An answer with these rows."""
    return json.dumps({"pending": list(rows), **more}).encode()


def test_rows_come_with_their_workspaces_name_and_all_that_was_sent() -> None:
    """In the order in which they stand, and the count of all that wait."""
    queue = read_queue(body({**ROW, "context": {"user": "bob"}, "workspace_name": "prod"}, ROW, waiting=7))
    assert [one.workspace_name for one in queue.rows] == ["prod", ""]
    assert (queue.rows[0].approval.context, queue.rows[0].approval.status) == ({"user": "bob"}, Status.PENDING)
    assert queue.total == 7


def test_one_request_comes_with_its_workspace_or_is_refused() -> None:
    """As in the list; the id of a workspace becomes a part of a path."""
    assert read_waiting(json.dumps({**ROW, "workspace_name": "prod"}).encode()).workspace_name == "prod"
    for wrong in ("[]", json.dumps({**ROW, "workspace_id": "../x"}), '{"id": "x"}'):
        with pytest.raises(ProtocolError):
            read_waiting(wrong.encode())


@pytest.mark.parametrize(("name", "told"), [("alice", "alice"), (None, ""), (7, "")])
def test_whose_token_it_is_is_told(name: object, told: str) -> None:
    """The approver's name, if it is a name."""
    assert read_queue(body(name=name)).approver == told


@pytest.mark.parametrize("waiting", [None, 0, "many"])
def test_no_fewer_wait_than_are_shown(waiting: object) -> None:
    """Whatever the count says."""
    assert read_queue(body(ROW, waiting=waiting)).total == 1
    assert read_queue(body(waiting=waiting)).rows == ()


@pytest.mark.parametrize(
    "data",
    [
        b"[]",
        b"{}",
        b'{"pending": null}',
        b'{"pending": {}}',
        b"<html>",
        body(None),
        body([ROW]),
        body({**ROW, "id": 5}),
        body({**ROW, "workspace_id": "../../admin"}),
        body({**ROW, "workspace_id": ""}),
    ],
)
def test_anything_else_is_refused(data: bytes) -> None:
    """Also an id that would change the address under which a request is decided."""
    with pytest.raises(ProtocolError):
        read_queue(data)


def test_a_list_of_what_waits_is_believed_as_far_as_it_was_counted() -> None:
    """Oldest first; the embedded server's count says how many there are, a platform's full list that there may be more."""
    rows = [{**ROW, "id": f"id-{number:04}", "status": "denied" if number % 2 else "pending"} for number in range(50)]
    data = json.dumps(rows).encode()
    found = read_open(data, "ws", "70")
    assert (found.total, found.unseen, len(found.rows)) == (70, False, 25)
    assert [found.rows[0].approval.id, found.rows[-1].approval.id] == ["id-0048", "id-0000"]
    for total in (None, "", "many", "-1", "٣"):
        found = read_open(data, "ws", total)
        assert (found.total, found.unseen) == (25, True)
    assert read_open(json.dumps(rows[:49]).encode(), "ws", None).unseen is False
    assert read_open(b"null", "ws", "0").total == 0


CODE = "c" * 43


def code(**changed: Any) -> bytes:  # noqa: ANN401 - JSON
    """An answer with a sign-in code."""
    return json.dumps({"code": CODE, "name": "alice", "url": None, "expires_in": 60, **changed}).encode()


@pytest.mark.parametrize("url", [None, "https://approve.example.org", "https://x.example/approve/", "http://[::1]:8788"])
def test_a_sign_in_code_comes_with_whom_it_signs_in(url: str | None) -> None:
    """And with the page's address, if the server knows one."""
    assert read_code(code(url=url)) == (CODE, "alice", url)


@pytest.mark.parametrize(
    "data",
    [
        b"[]",
        code(code=None),
        code(code="short"),
        code(code="c" * 43 + "\n"),
        code(code="c" * 40 + " && id"),
        code(code="\u0444" * 43),
        code(name=None),
        *(
            code(url=url)
            for url in (
                *(7, "", "javascript:alert(1)", "ftp://approve.example.org", "//approve.example.org", "https://"),
                *("https://user@evil.example.org", "https://a.example/#x", "https://a.example/?x", "https://a.example/ x"),
                *("https://a.example/\x1b[2K", "https://\u0430.example", "https://a.example/$(id)`id`", "https://[::1"),
            )
        ),
    ],
)
def test_an_answer_that_is_no_sign_in_code_is_refused(data: bytes) -> None:
    """A link is opened in a browser and passed to shells: nothing goes into it that does not belong there."""
    with pytest.raises(ProtocolError):
        read_code(data)
