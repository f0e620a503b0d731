"""Who asks: the name of the credential on each request, what it only claims, and who may decide what they asked for."""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from molecule_approve.errors import UsageError
from molecule_approve.server import administration, credentials
from molecule_approve.server.users import user_name
from tests.callers import until
from tests.server.desk import PATIENCE, Client
from tests.users import become

if TYPE_CHECKING:
    from tests.server.conftest import OpenDesk
    from tests.server.desk import Desk

BOTH_DATABASES = True

NOBODY = 65534


def add(desk: Desk, name: str, workspace: str | None = None) -> Client:
    """A client with the token of a new requester."""
    with desk.server.opened() as store:
        return desk.client(administration.add_requester(desk.server.places, store, name, workspace).token)


def asked_by(desk: Desk, client: Client, **more: Any) -> str:  # noqa: ANN401 - JSON
    """Ask with this client; the request's id."""
    answer = client.post(desk.path, json={"action": "deploy", **more})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["approval_id"])


# --- the name of the credential ----------------------------------------------------------------------------------------


def test_a_request_has_the_name_of_its_credential(desk: Desk) -> None:
    """Whatever the body and the context say; in the answer, in the inbox, and in the audit log."""
    with add(desk, "bot") as bot:
        asked = asked_by(desk, bot, requested_by="alice", context={"user": "alice", "requested_by": "alice"})
    assert desk.one(asked)["requested_by"] == "bot"
    [row] = desk.decider.get("/desk/requests").json()["pending"]
    assert (row["requested_by"], row["context"]["user"], row["own"]) == ("bot", "alice", False)
    assert desk.decide(asked).status_code == 200
    [row] = desk.decider.get("/desk/requests").json()["decided"]
    assert (row["requested_by"], row["self_approved"]) == ("bot", False)
    until(desk.journal, "the record")
    [record] = desk.journal()
    assert (record["requested_by"], record["actor"], record["context"]["user"]) == ("bot", "alice", "alice")
    assert "self_approved" not in record


def test_over_tcp_the_servers_own_token_has_its_users_name(desk: Desk) -> None:
    """Nobody else can read it."""
    assert desk.one(desk.ask())["requested_by"] == user_name()


def test_a_request_of_an_approvers_token_has_the_approvers_name(desk: Desk) -> None:
    """As everywhere, it is the credential that counts."""
    assert desk.one(asked_by(desk, desk.decider))["requested_by"] == "alice"


def test_without_a_token_a_request_has_no_name(open_desk: OpenDesk) -> None:
    """Not in the audit log either."""
    desk = open_desk(anonymous=True)
    with desk.client(None) as nobody:
        asked = asked_by(desk, nobody, context={"user": "alice"})
    assert desk.one(asked)["requested_by"] is None
    assert desk.decide(asked).status_code == 200
    until(desk.journal, "the record")
    assert "requested_by" not in desk.journal()[0]


def test_a_requester_of_a_removed_workspace_is_nobody(desk: Desk) -> None:
    """Also one that was added in the moment in which the workspace was removed, which the removal did not see."""
    desk.add_workspace("other", "other", "token-of-other")
    with desk.client("token-of-other") as other:
        assert other.get("/workspaces/other/approvals").status_code == 200
        desk.change("UPDATE workspaces SET removed_at = '2026-01-01T00:00:00Z' WHERE id = 'other'")
        assert other.get("/workspaces/other/approvals").status_code == 401
        assert other.post("/workspaces/other/approvals", json={"action": "deploy"}).status_code == 401


def test_no_workspace_is_removed_while_a_requester_is_added_there(desk: Desk) -> None:
    """The removal waits, and is then told who asks there; an addition that comes after a removal finds no workspace."""
    with desk.server.opened() as store, desk.server.opened() as other, ThreadPoolExecutor(1) as threads:
        administration.add_workspace(store, "web")
        removals: list[Future[object]] = []

        def tell(_token: str) -> None:
            removals.append(threads.submit(administration.remove_workspace, other, "web"))
            waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            until(lambda: not store.shared or removals[0].done() or desk.select(waits) == [(1,)], "the removal")

        administration.add_requester(desk.server.places, store, "bot", "web", tell)
        with pytest.raises(UsageError, match="the workspace web has requesters: bot"):
            removals[0].result(PATIENCE)
        administration.revoke_requester(store, "bot", "web")
        administration.remove_workspace(store, "web")
        with pytest.raises(UsageError, match="there is no workspace web"):
            administration.add_requester(desk.server.places, store, "bot", "web")


def _on_the_socket(desk: Desk, token: str) -> str:
    """Ask on the Unix socket; the name that the request has."""
    transport = httpx.HTTPTransport(uds=str(desk.server.places.socket))
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(transport=transport, base_url="http://localhost", headers=headers, timeout=PATIENCE) as client:
        asked = client.post(desk.path, json={"action": "deploy"}).json()["approval_id"]
    return str(desk.one(asked)["requested_by"])


def test_on_the_unix_socket_the_peer_is_named_by_the_system(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the server's own token only: a token of one's own says more than a user id."""
    monkeypatch.setattr(credentials, "user_name", lambda: "whoever starts the server")
    desk.change("UPDATE requesters SET name = 'an earlier name' WHERE built_in")
    assert _on_the_socket(desk, desk.server.requester.token) == user_name()
    with add(desk, "bot") as bot:
        assert _on_the_socket(desk, str(bot.headers["authorization"]).removeprefix("Bearer ")) == "bot"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
def test_another_user_who_reaches_the_socket_is_named(desk: Desk) -> None:
    """The folder and the token are private to the server's user; whoever was let in all the same has no other's name."""
    path, token = desk.server.places.socket, desk.server.requester.token
    for folder in (path.parent, *path.parent.parents[:-2]):
        folder.chmod(0o755)
    path.chmod(0o666)

    def ask() -> str:
        become(NOBODY)
        try:
            return _on_the_socket(desk, token)
        finally:
            become(0)

    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(ask).result(PATIENCE) == user_name(NOBODY)


def test_a_user_without_a_name_is_a_number() -> None:
    """As `ls -l` shows it."""
    assert user_name(4_000_000_000) == "4000000000"


# --- one's own request -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["alice", "ALICE"])
def test_nobody_decides_their_own_request_where_somebody_else_can(desk: Desk, name: str) -> None:
    """Neither yes nor no, in whatever letter case the name is; it stays open, and the other approver decides it."""
    bob = desk.server.add_approver("bob")
    with add(desk, name) as alice, desk.client(bob) as other:
        asked = asked_by(desk, alice)
        for decision in ("approved", "denied"):
            refused = desk.decide(asked, decision)
            assert (refused.status_code, refused.json()["code"]) == (403, "own_request")
            assert refused.json()["error"].startswith("alice made this request, so another approver has to decide it")
        [row] = desk.decider.get("/desk/requests").json()["pending"]
        assert (row["status"], row["own"]) == ("pending", True)
        assert desk.decider.get(f"/desk/requests/{asked}").json()["own"]
        assert not other.get(f"/desk/requests/{asked}").json()["own"]
        assert [one["own"] for one in other.get("/desk/requests").json()["pending"]] == [False]
        assert other.post(f"{desk.path}/{asked}/decide", json={"decision": "approved"}).status_code == 200
        # How it ended says more than whose it was.
        assert desk.decide(asked, "denied").json()["code"] == "ended"
    assert desk.one(asked)["decided_by"] == "bob"


def test_the_forms_of_a_letter_make_no_other_person(open_desk: OpenDesk) -> None:
    """A name that a database got before names had one form is compared all the same."""
    desk = open_desk(self_approval=False)
    with add(desk, "jose\u0301") as jose:
        asked = asked_by(desk, jose)
    desk.change("UPDATE approvers SET name = 'JOSE\u0301'")
    assert desk.decide(asked).json()["code"] == "own_request"


def test_whoever_is_alone_decides_their_own_requests_and_the_records_say_so(desk: Desk) -> None:
    """Until a second approver is there; once that one is revoked, as before."""
    with add(desk, "alice") as alice:
        first, second, third = (asked_by(desk, alice) for _ in range(3))
    assert desk.decide(first).status_code == 200
    desk.server.add_approver("bob")
    assert desk.decide(second).status_code == 403
    with desk.server.opened() as store:
        credentials.revoke(store, "bob")
    assert desk.decide(second, "denied").status_code == 200
    rows = {row["id"]: row for row in desk.decider.get("/desk/requests").json()["decided"]}
    assert (rows[first]["self_approved"], rows[second]["self_approved"]) == (True, False)
    until(lambda: len(desk.journal()) == 2, "both records")
    assert [record.get("self_approved") for record in desk.journal()] == [True, None]
    assert desk.withdraw(third).status_code == 200


def _lines(desk: Desk) -> list[dict[str, Any]]:
    """One pending request's line, and one ended request's."""
    [pending], [ended] = (
        desk.decider.get(f"/desk/{path}").json()[key] for path, key in (("list", "pending"), ("history", "ended"))
    )
    return [pending, ended]


def test_each_line_says_whether_its_reader_may_not_decide_it(desk: Desk) -> None:
    """As the request in full says it: nothing is refused to whoever is alone."""
    with add(desk, "alice") as alice:
        desk.decide(asked_by(desk, alice))
        asked_by(desk, alice)
    assert [row["own"] for row in _lines(desk)] == [False, False]
    desk.server.add_approver("bob")
    assert [row["own"] for row in _lines(desk)] == [True, True]


@pytest.mark.parametrize(("allowed", "status"), [(True, 200), (False, 403)])
def test_a_setting_says_whether_one_decides_ones_own_requests(open_desk: OpenDesk, allowed: bool, status: int) -> None:
    """However many approvers there are."""
    desk = open_desk(self_approval=allowed)
    if allowed:
        desk.server.add_approver("bob")
    with add(desk, "alice") as alice:
        assert desk.decide(asked_by(desk, alice)).status_code == status


def test_an_approver_who_is_added_meanwhile_counts(desk: Desk) -> None:
    """The count is taken where the decision is made: either it was decided before, or it is refused."""
    with add(desk, "alice") as alice:
        asked = [asked_by(desk, alice) for _ in range(20)]
    with ThreadPoolExecutor(2) as threads:
        deciding = threads.submit(lambda: [desk.decide(one).status_code for one in asked])
        threads.submit(desk.server.add_approver, "bob").result(PATIENCE)
        after = asked_by(desk, desk.asker)
        statuses = deciding.result(PATIENCE)
    assert statuses == sorted(statuses)
    assert set(statuses) <= {200, 403}
    with add(desk, "Alice2") as other:
        assert desk.decide(asked_by(desk, other)).status_code == 200
    assert desk.decide(after).status_code == 200


# --- who sees what -----------------------------------------------------------------------------------------------------


def test_a_requester_sees_its_own_workspaces_requests(desk: Desk) -> None:
    """All of them, not only those it made; of another workspace nothing, on no route, and it hears nothing of it."""
    desk.add_workspace("web", "web", "token-of-web")
    mine = desk.ask()
    with desk.client("token-of-web") as web, add(desk, "bot") as bot, desk.listening("token-of-web", "web") as heard:
        assert [row["id"] for row in bot.get(desk.path).json()] == [mine]
        for answer in (
            web.get(desk.path),
            web.post(desk.path, json={"action": "x"}),
            web.get(f"{desk.path}/{mine}"),
            web.post(f"{desk.path}/{mine}/withdraw"),
            web.post(f"{desk.path}/{mine}/redeem", json={"invocation": "8ce76d62-102b-4cac-8132-159416f40175"}),
            web.post(f"{desk.path}/{mine}/decide", json={"decision": "approved"}),
        ):
            assert answer.status_code == 401
        assert web.get(f"/workspaces/web/approvals/{mine}").status_code == 404
        assert web.post("/workspaces/web/approvals", json={"action": "theirs"}).status_code == 201
        assert heard.event()["payload"]["action"] == "theirs"
    assert desk.one(mine)["status"] == "pending"


def test_a_limited_approver_hears_of_its_own_workspaces_only(open_desk: OpenDesk) -> None:
    """A socket for all workspaces tells it of those; one for another workspace is refused."""
    desk = open_desk()
    desk.add_workspace("web", "web", "token-of-web")
    with desk.server.opened() as store:
        bob = credentials.add_approver(store, "bob", workspaces=["web"])
    with desk.listening(bob, "") as heard, desk.client("token-of-web") as web, desk.client(bob) as client:
        desk.ask("not for bob")
        web.post("/workspaces/web/approvals", json={"action": "for bob"})
        assert heard.event()["payload"]["action"] == "for bob"
        found = client.get("/desk/requests").json()
        assert ([row["action"] for row in found["pending"]], found["waiting"]) == (["for bob"], 1)
        assert [row["action"] for row in client.get("/approvals/pending").json()] == ["for bob"]
        assert client.get(desk.path).status_code == 403


def test_a_new_limit_closes_the_sockets_that_hear_too_much(open_desk: OpenDesk) -> None:
    """And those that hear too little: a client connects again, and the answer is another one then."""
    desk = open_desk(recheck=0.05)
    desk.add_workspace("web", "web", "token-of-web")
    desk.server.add_approver("bob")
    with desk.at_desk(desk.session("bob")) as heard, desk.at_desk(desk.session()) as stays:
        with desk.server.opened() as store:
            administration.limit_approver(store, "bob", ["web"])
        with pytest.raises(ConnectionClosed):
            heard.event()
        desk.ask("for alice")
        assert stays.event()["payload"]["action"] == "for alice"


def test_a_revoked_requester_is_out_and_its_requests_stay(open_desk: OpenDesk) -> None:
    """Its sockets close; what it asked for is still to be decided, and its approvals are none for it."""
    desk = open_desk(recheck=0.05)
    with add(desk, "bot") as bot:
        token = str(bot.headers["authorization"]).removeprefix("Bearer ")
        approved, pending = asked_by(desk, bot), asked_by(desk, bot)
        desk.decide(approved)
        with desk.listening(token) as heard:
            with desk.server.opened() as store:
                administration.revoke_requester(store, "bot", None)
            with pytest.raises(ConnectionClosed):
                heard.event()
        redeeming = {"invocation": "8ce76d62-102b-4cac-8132-159416f40175"}
        assert bot.post(f"{desk.path}/{approved}/redeem", json=redeeming).status_code == 401
        assert bot.get(f"{desk.path}/{pending}", params={"wait": 5}).status_code == 401
    assert [row["requester_revoked"] for row in desk.decider.get("/desk/requests").json()["pending"]] == [True]
    assert desk.decider.get(f"/desk/requests/{pending}").json()["requester_revoked"]
    for row in _lines(desk):
        assert (row["requester_revoked"], row["own"]) == (True, False)
    assert desk.decide(pending, "denied").status_code == 200


def test_a_name_that_is_added_again_is_another_credential(desk: Desk) -> None:
    """The old token stays revoked."""
    with add(desk, "bot") as old:
        with desk.server.opened() as store:
            administration.revoke_requester(store, "bot", None)
        with add(desk, "bot") as new:
            assert (old.get(desk.path).status_code, new.get(desk.path).status_code) == (401, 200)
