"""The approver's side of REST: what the page is given to show."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from tests.callers import until

if TYPE_CHECKING:
    import httpx

    from tests.server.conftest import OpenDesk
    from tests.server.desk import Desk

BOTH_DATABASES = True


def _view(client: httpx.Client) -> dict[str, Any]:
    answer = client.get("/desk/requests")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_an_approvers_token_opens_the_desk_and_is_no_session(desk: Desk) -> None:
    """It cannot sign out: 422 says how it is taken away."""
    assert _view(desk.decider)["name"] == "alice"
    answer = desk.decider.post("/desk/session/end")
    assert (answer.status_code, answer.json()["code"]) == (422, "unacceptable")
    assert "revoke" in answer.json()["error"]
    assert _view(desk.decider)["name"] == "alice"


def test_what_waits_comes_oldest_first_with_everything(desk: Desk) -> None:
    """From every workspace, whole, with the server's own time beside it."""
    desk.add_workspace("other", "other", "token-of-other")
    first = desk.ask("a" * 4_096, reason="r" * 16_384, context={"user": "root", "command": ["x"] * 1_000}, task_id="t")
    with desk.client("token-of-other") as other:
        second = other.post("/workspaces/other/approvals", json={"action": "theirs"}).json()["approval_id"]
    third = desk.ask("last")
    found = _view(desk.decider)
    assert set(found) == {"name", "now", "waiting", "pending", "decided"}
    assert [row["id"] for row in found["pending"]] == [first, second, third]
    assert [row["workspace_name"] for row in found["pending"]] == ["local", "other", "local"]
    assert (found["waiting"], found["decided"]) == (3, [])
    marks = {"own": False, "mine": None, "eligible": True, "requester_revoked": False}
    assert found["pending"][0] == {**desk.one(first), "workspace_name": "local", **marks}
    assert found["pending"][0]["context"] == {"user": "root", "command": ["x"] * 1_000}
    assert found["pending"][0]["created_at"] <= found["now"] < found["pending"][0]["expires_at"]


def test_what_ended_comes_latest_first_and_says_how(desk: Desk) -> None:
    """By whom, whether the name is proved, with what comment; in the order in which it ended."""
    names = ("approved", "denied", "withdrawn", "expired", "pending")
    ids = {name: desk.ask(name, reason=f"why {name}", context={"large": "x"}) for name in names}
    desk.decide(ids["denied"], "denied", comment="not on a Friday")
    desk.withdraw(ids["withdrawn"])
    desk.decide(ids["approved"], "approved")
    desk.change("UPDATE approvals SET expires = 1 WHERE id = ?", ids["expired"])
    found = _view(desk.decider)
    assert [row["outcome"] for row in found["decided"]] == ["expired", "approved", "withdrawn", "denied"]
    assert [row["action"] for row in found["pending"]] == ["pending"]
    latest, denied = found["decided"][0], found["decided"][-1]
    assert (latest["decided_by"], latest["decided_by_verified"], latest["status"]) == ("auto-expired", False, "denied")
    assert (denied["decided_by"], denied["decided_by_verified"]) == ("alice", True)
    assert (denied["comment"], denied["reason"], denied["workspace_name"]) == ("not on a Friday", "why denied", "local")
    assert denied["decided_at"] is not None
    assert "context" not in denied


def test_a_flood_is_cut_to_the_oldest_and_counted(open_desk: OpenDesk) -> None:
    """The page stays quick; how many wait is told; of what ended only the latest comes."""
    desk = open_desk(inbox_pending=2, inbox_ended=1)
    ids = [desk.ask(str(number)) for number in range(5)]
    desk.decide(ids[0])
    desk.decide(ids[4], "denied")
    found = _view(desk.decider)
    assert [row["id"] for row in found["pending"]] == ids[1:3]
    assert found["waiting"] == 3
    assert [row["id"] for row in found["decided"]] == [ids[4]]


def test_of_two_clicks_one_wins_and_the_other_learns_who(desk: Desk) -> None:
    """Two people at their desks at once: 200 and 409, and the name that is told is the winner's."""
    desk.server.add_approver("bob")
    approval_id = desk.ask()
    sessions = {name: desk.session(name) for name in ("alice", "bob")}

    def click(name: str) -> httpx.Response:
        with desk.client(sessions[name]) as client:
            return client.post(f"{desk.path}/{approval_id}/decide", json={"decision": "approved"})

    with ThreadPoolExecutor(2) as pool:
        answers = dict(zip(sessions, pool.map(click, sessions), strict=True))
    assert sorted(answer.status_code for answer in answers.values()) == [200, 409]
    winner = next(name for name, answer in answers.items() if answer.status_code == 200)
    told = next(answer.json() for answer in answers.values() if answer.status_code == 409)
    assert (told["decided_by"], told["status"], told["code"]) == (winner, "approved", "ended")


def test_the_pages_socket_hears_every_workspace_under_its_own_name(desk: Desk) -> None:
    """The answered subprotocol is `molecule-desk`, never the session; a workspace that is named besides changes nothing."""
    desk.add_workspace("other", "other", "token-of-other")
    with (
        desk.at_desk(desk.session(), **{"X-Workspace-ID": desk.workspace_id}) as page,
        desk.client("token-of-other") as other,
    ):
        assert page.connection.subprotocol == "molecule-desk"
        other.post("/workspaces/other/approvals", json={"action": "theirs"})
        desk.ask("mine")
        assert [page.event()["payload"]["action"] for _ in range(2)] == ["theirs", "mine"]


def test_an_approvers_token_may_open_the_pages_socket(desk: Desk) -> None:
    """In the header, as programs send it."""
    token = str(desk.decider.headers["authorization"])
    with desk.listening(token.removeprefix("Bearer "), "") as stream:
        desk.ask()
        assert stream.event()["event"] == "APPROVAL_REQUESTED"


def test_sessions_are_kept_nowhere_and_codes_only_as_hashes(desk: Desk) -> None:
    """Neither stands in the state folder, in whatever file."""
    code, session = desk.code(), desk.session()
    kept = b"".join(path.read_bytes() for path in desk.server.places.state.iterdir() if path.is_file())
    assert code.encode() not in kept
    assert session.encode() not in kept


def test_each_session_has_a_rate_of_its_own(open_desk: OpenDesk) -> None:
    """One page that calls too often shuts no other one out."""
    desk = open_desk(rate=4)
    busy, calm = desk.session(), desk.session()
    with desk.client(busy) as client:
        statuses = [client.get("/desk/requests").status_code for _ in range(5)]
    assert statuses == [200, 200, 200, 200, 429]
    with desk.client(calm) as client:
        assert client.get("/desk/requests").status_code == 200


def test_the_claimed_name_is_kept_beside_and_never_believed(desk: Desk) -> None:
    """The desk, the requester, the event and the audit log say whose session it was; the database keeps what was claimed."""
    approval_id = desk.ask_heard()
    with desk.client(desk.session()) as client, desk.listening() as stream:
        body = {"decision": "approved", "decided_by": "root", "claimed_by": "root", "name": "root"}
        assert client.post(f"{desk.path}/{approval_id}/decide", json=body).status_code == 200
        assert stream.event()["payload"]["decided_by"] == "alice"
        assert _view(client)["decided"][0]["decided_by"] == "alice"
    assert desk.one(approval_id)["decided_by"] == "alice"
    until(desk.journal, "the decision is not in the log")
    assert [record["actor"] for record in desk.journal()] == ["alice"]
    assert desk.select("SELECT claimed_by FROM approvals") == [("root",)]
    assert "root" in json.dumps(desk.journal()[0])


def _get(desk: Desk, path: str, **query: str) -> dict[str, Any]:
    answer = desk.decider.get(path, params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_the_list_has_a_line_for_each_pending_request(open_desk: OpenDesk) -> None:
    """Oldest first, with the credential's name and what the client claims, cut to so many, and counted."""
    desk = open_desk(inbox_lines=2)
    desk.add_workspace("other", "production", "token-of-other")
    first = desk.ask("a" * 301, reason="r", context={"user": "mallory", "host": "laptop"})
    with desk.client("token-of-other") as other:
        second = other.post("/workspaces/other/approvals", json={"action": "theirs"}).json()["approval_id"]
    third = desk.ask("late", context={"user": ["no text"], "host": ""})
    found = _get(desk, "/desk/list")
    assert set(found) == {"name", "now", "waiting", "pending"}
    assert (found["name"], found["waiting"], [row["id"] for row in found["pending"]]) == ("alice", 3, [first, second])
    one = desk.one(first)
    assert found["pending"][0] == {
        "id": first,
        "workspace_id": desk.workspace_id,
        "workspace_name": "local",
        "requested_by": one["requested_by"],
        "own": False,
        "requester_revoked": False,
        "claimed": "mallory@laptop",
        "action": "a" * 300,
        "action_length": 301,
        "created_at": one["created_at"],
        "expires_at": one["expires_at"],
        "approvals": {"have": 0, "need": 1},
    }
    assert (one["requested_by"], found["pending"][1]["workspace_name"]) != (None, "local")
    [found_late] = _get(desk, "/desk/list", q="LATE", workspace=desk.workspace_id)["pending"]
    assert (found_late["id"], found_late["claimed"]) == (third, "")
    assert _get(desk, "/desk/list", q="late", workspace="other")["pending"] == []


def test_one_request_comes_in_full_also_when_it_has_ended(desk: Desk) -> None:
    """With its workspace's name and its outcome; what is unknown is not found, and what is due is not pending."""
    first, second = desk.ask("deploy", context={"x": [1]}), desk.ask("deploy")
    found = _get(desk, f"/desk/requests/{first}")
    more = {"workspace_name": "local", "outcome": "pending", "self_approved": None}
    marks = {"own": False, "mine": None, "eligible": True, "requester_revoked": False}
    assert found == {**desk.one(first), **more, **marks}
    desk.decide(first, "denied", comment="no")
    found = _get(desk, f"/desk/requests/{first}")
    assert (found["outcome"], found["decided_by"], found["comment"]) == ("denied", "alice", "no")
    desk.change("UPDATE approvals SET expires = 1 WHERE id = ?", second)
    assert _get(desk, f"/desk/requests/{second}")["outcome"] == "expired"
    answer = desk.decider.get("/desk/requests/none")
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_approval")


def test_the_history_comes_page_by_page_and_is_searched(open_desk: OpenDesk) -> None:
    """Latest first; a page's cursor leads to the next one, and the last has none."""
    desk = open_desk(history_lines=2)
    ids = [desk.ask(f"step {number}") for number in range(4)]
    for approval_id in ids[:3]:
        desk.decide(approval_id, "denied", comment="no")
    desk.withdraw(ids[3])
    page = _get(desk, "/desk/history")
    assert [(row["id"], row["outcome"]) for row in page["ended"]] == [(ids[3], "withdrawn"), (ids[2], "denied")]
    added = {"workspace_name", "claimed", "action_length", "outcome", "own", "requester_revoked"}
    assert set(page["ended"][0]) - set(desk.one(ids[3])) == added
    last = _get(desk, "/desk/history", cursor=page["next"])
    assert ([row["id"] for row in last["ended"]], last["next"], last["searched_to"]) == ([ids[1], ids[0]], None, None)
    query = {"q": "step no", "who": "ALICE", "outcome": "denied", "since": "2026-01-01T00:00:00+01:00"}
    found = _get(desk, "/desk/history", **query, until="2999-01-01", workspace=desk.workspace_id)
    assert [row["id"] for row in found["ended"]] == [ids[2], ids[1]]
    assert _get(desk, "/desk/history", until="2026-01-01")["ended"] == []


@pytest.mark.parametrize(
    "query",
    [
        "q=" + "x" * 201,
        "q=1+2+3+4+5+6+7+8+9",
        "q=a&q=b",
        "who=%00",
        "outcome=pending",
        "since=yesterday",
        "until=0001-01-01T00:00:00%2B23:00",
        "cursor=-1",
        "cursor=x",
        "cursor=9223372036854775808",
        "cursor=%C2%B2",
    ],
)
def test_a_search_that_is_none_is_refused(shared_desk: Desk, query: str) -> None:
    """422 says which parameter, and what it may be."""
    answer = shared_desk.decider.get(f"/desk/history?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, "unacceptable")
    assert query.partition("=")[0] in answer.json()["error"]


def test_an_approver_of_some_workspaces_sees_only_theirs(desk: Desk) -> None:
    """In the list and its count, the history, and under a request's own address."""
    desk.add_workspace("other", "production", "token-of-other")
    mine = desk.ask("mine")
    with desk.client("token-of-other") as other:
        theirs = [other.post("/workspaces/other/approvals", json={"action": "x"}).json()["approval_id"] for _ in range(2)]
        other.post(f"/workspaces/other/approvals/{theirs[1]}/withdraw")
    assert len(_get(desk, "/desk/history")["ended"]) == 1
    desk.change("UPDATE approvers SET limited = true")
    desk.change("INSERT INTO approver_workspaces SELECT id, ? FROM approvers", desk.workspace_id)
    found = _get(desk, "/desk/list")
    assert ([row["id"] for row in found["pending"]], found["waiting"]) == ([mine], 1)
    assert _get(desk, "/desk/history")["ended"] == []
    assert [desk.decider.get(f"/desk/requests/{one}").status_code for one in (mine, *theirs)] == [200, 404, 404]
