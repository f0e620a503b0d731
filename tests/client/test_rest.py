"""The contract over REST: against the fake platform, the embedded server, and peers that answer what they like."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from molecule_approve.client.http import Answer
from molecule_approve.client.peer import LIST_LIMIT, error_for
from molecule_approve.client.platform import Sighting, Withdrawal
from molecule_approve.client.rest import RestPlatform
from molecule_approve.errors import (
    ApprovalError,
    CredentialError,
    DisconnectedError,
    EndedError,
    KeyUsedError,
    PlatformError,
    ProtocolError,
    RejectedError,
    UnavailableError,
    UsedError,
)
from molecule_approve.model import Approval, ApprovalRequest, Endpoint, Secret, Status, SubmittedRequest
from molecule_approve.wire import key_task_id
from tests.client.fakes import OTHER, OURS, TASK, WORKSPACE, Peer, endpoint, request, soon, submitted
from tests.integration.behaviours import act_then_drop, answers, drop, status
from tests.integration.raw_http import Channel, Reply, Request, read_request

if TYPE_CHECKING:
    from molecule_approve.server.run import Running
    from tests.integration.fake_platform import FakePlatform

JSON = ("Content-Type", "application/json; charset=utf-8")
TEXT = ("Content-Type", "text/plain")
NOBODY = "00000000-0000-4000-8000-000000000000"


def new_request(workspace: str, **fields: object) -> ApprovalRequest:
    """A question with a task id of its own."""
    return request(workspace_id=workspace, task_id=str(uuid.uuid4()), **fields)


# --- the platform ------------------------------------------------------------------------------------------------------


@pytest.fixture
def rest(platform: FakePlatform) -> Iterator[RestPlatform]:
    """A client of the fake platform with the workspace's own token."""
    where = Endpoint(platform.url, platform.workspace, Secret(platform.token))
    with closing(RestPlatform(where, actor="alice")) as client:
        yield client


def asked(rest: RestPlatform, platform: FakePlatform, **fields: object) -> SubmittedRequest:
    """Ask the fake platform."""
    return rest.submit(new_request(platform.workspace, **fields), soon())


def test_asking_the_platform(rest: RestPlatform, platform: FakePlatform) -> None:
    """The platform holds what was asked, under its id, with our task id and context."""
    wanted = new_request(platform.workspace, context={"ticket": "OPS-1"}, expires_in=60.0)
    found = rest.submit(wanted, soon())
    (row,) = platform.rows
    assert (row.action, row.reason, row.task_id, row.context) == ("deploy", "because", wanted.task_id, {"ticket": "OPS-1"})
    assert found == SubmittedRequest(row.id, platform.workspace, "deploy", wanted.task_id, own=True)
    assert "idempotency-key" not in platform.seen[0].request.headers


def test_finding_a_lost_question(rest: RestPlatform, platform: FakePlatform) -> None:
    """A request is found by its task id, in every row that it has, oldest first."""
    wanted = new_request(platform.workspace)
    assert rest.find(wanted, soon()) == []
    rest.submit(wanted, soon())
    rest.submit(wanted, soon())
    asked(rest, platform)
    found = rest.find(wanted, soon())
    assert [row.id for row in found] == [row.id for row in platform.rows[:2]]
    assert platform.seen[-1].request.query == f"task_id={wanted.task_id}"


def test_listing_is_oldest_first(rest: RestPlatform, platform: FakePlatform) -> None:
    """The workspace's requests come oldest first, however the platform lists them."""
    for number in range(3):
        asked(rest, platform, action=f"step {number}")
    assert [row.action for row in rest.list_requests(soon())] == ["step 0", "step 1", "step 2"]


def test_reading_how_it_stands(rest: RestPlatform, platform: FakePlatform) -> None:
    """A read shows our row, its decision and who made it, and never claims that the name is verified."""
    ours = asked(rest, platform)
    assert rest.fetch(ours, soon()).approval is not None
    platform.decide(platform.rows[0], "approved", "bob")
    found = rest.fetch(ours, soon()).approval
    assert found is not None
    assert (found.status, found.decided_by, found.decided_by_verified) == (Status.APPROVED, "bob", None)
    assert platform.count("other") == 0


def test_reading_without_a_201_tries_the_addition_first(rest: RestPlatform, platform: FakePlatform) -> None:
    """Who did not ask tries the embedded server's way once, learns that this is the platform, and keeps to its way."""
    row = platform.add(platform.workspace, {"action": "deploy", "task_id": TASK})
    ours = submitted(approval_id=row.id, workspace_id=platform.workspace, own=False, attempt_id=str(uuid.uuid4()))
    assert rest.fetch(ours, soon()).approval is not None
    assert rest.fetch(ours, soon()).approval is not None
    assert [seen.route for seen in platform.seen] == ["other", "list", "list"]
    assert platform.seen[0].request.path.endswith(f"/{row.id}")


def test_the_platform_verifies_nobody(rest: RestPlatform, platform: FakePlatform) -> None:
    """The platform cannot prove who approves; two routes say so before anybody is refused for it."""
    assert not rest.verifies_approvers(soon())
    assert [seen.request.path.rpartition("/")[2] for seen in platform.seen] == [NOBODY, "health"]


@pytest.mark.parametrize("known", [True, False])
def test_withdrawing_from_the_platform(rest: RestPlatform, platform: FakePlatform, known: bool) -> None:
    """A request is taken back by a denial in the name ``withdrawn``; what has ended is settled."""
    if known:
        ours = asked(rest, platform)
    else:
        row = platform.add(platform.workspace, {"action": "deploy", "task_id": TASK})
        ours = SubmittedRequest(row.id, platform.workspace)
    assert rest.withdraw(ours, soon()) == Withdrawal(withdrawn=True, ended_before=False)
    assert (platform.rows[0].status, platform.rows[0].decided_by) == ("denied", "withdrawn")
    assert rest.withdraw(ours, soon()) == Withdrawal(withdrawn=False, ended_before=True)


def test_a_withdrawal_is_said_once(rest: RestPlatform, platform: FakePlatform) -> None:
    """Where the answer to a withdrawal is lost it is not said again: its own work would look like somebody's decision."""
    ours = asked(rest, platform)
    platform.on("decide", act_then_drop)
    with pytest.raises(UnavailableError) as caught:
        rest.withdraw(ours, soon())
    assert (platform.count("decide"), caught.value.maybe_sent) == (1, True)


@pytest.mark.parametrize("code", [401, 500, 400])
def test_a_withdrawal_that_fails(rest: RestPlatform, platform: FakePlatform, code: int) -> None:
    """Any other answer to a withdrawal is what it is, and settles nothing."""
    ours = asked(rest, platform)
    platform.on("decide", status(code))
    with pytest.raises(PlatformError, match=str(code)):
        rest.withdraw(ours, soon())


@pytest.mark.parametrize("decision", [Status.APPROVED, Status.DENIED])
def test_deciding_on_the_platform(rest: RestPlatform, platform: FakePlatform, decision: Status) -> None:
    """A decision carries the name of who makes it."""
    ours = asked(rest, platform)
    rest.decide(ours, decision, None, soon())
    assert (platform.rows[0].status, platform.rows[0].decided_by) == (decision.value, "alice")


def test_deciding_what_has_ended(rest: RestPlatform, platform: FakePlatform) -> None:
    """Who comes too late is told what won."""
    ours = asked(rest, platform)
    platform.decide(platform.rows[0], "denied", "bob")
    with pytest.raises(EndedError, match="already ended: denied by bob"):
        rest.decide(ours, Status.APPROVED, None, soon())


def test_deciding_what_is_unknown(rest: RestPlatform, platform: FakePlatform) -> None:
    """A request that the platform does not show is told as such."""
    with pytest.raises(EndedError, match="no such pending request"):
        rest.decide(SubmittedRequest(OURS, platform.workspace), Status.APPROVED, None, soon())


def test_deciding_too_late_while_nothing_can_be_read(rest: RestPlatform, platform: FakePlatform) -> None:
    """That it has ended is told even where how cannot be read."""
    platform.on("list", status(503))
    with pytest.raises(EndedError):
        rest.decide(SubmittedRequest(OURS, platform.workspace), Status.APPROVED, None, soon())


def test_deciding_that_fails(rest: RestPlatform, platform: FakePlatform) -> None:
    """A refused decision is an error, not an end."""
    ours = asked(rest, platform)
    platform.on("decide", status(401))
    with pytest.raises(CredentialError):
        rest.decide(ours, Status.APPROVED, None, soon())


def test_a_comment_that_the_platform_cannot_keep(rest: RestPlatform, platform: FakePlatform) -> None:
    """A comment is refused before anything is decided."""
    ours = asked(rest, platform)
    with pytest.raises(RejectedError, match="does not store comments"):
        rest.decide(ours, Status.APPROVED, "fine", soon())
    assert platform.rows[0].status == "pending"


def test_listening_and_breaking_off(rest: RestPlatform, platform: FakePlatform) -> None:
    """Another thread ends the wait for an event; closing lets go of the stream as well."""
    stream = rest.watch(soon())
    platform.await_socket()
    thread = threading.Thread(target=rest.interrupt)
    thread.start()
    with pytest.raises(DisconnectedError):
        stream.next(20.0)
    thread.join()
    stream = rest.watch(soon())
    rest.close()
    with pytest.raises(DisconnectedError):
        stream.next(1.0)


def test_nothing_is_repeated(rest: RestPlatform, platform: FakePlatform) -> None:
    """A call whose answer is lost is sent once: whether another try helps is decided above."""
    platform.on("list", drop)
    with pytest.raises(UnavailableError):
        rest.list_requests(soon())
    platform.on("submit", act_then_drop)
    with pytest.raises(UnavailableError) as caught:
        asked(rest, platform)
    assert (platform.count("list"), platform.count("submit"), len(platform.rows)) == (1, 1, 1)
    assert caught.value.maybe_sent


# --- the rows of a list ------------------------------------------------------------------------------------------------


def listed(task_id: str = TASK, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """One row as the platform lists it."""
    row = {"id": OURS, "task_id": task_id, "action": "deploy", "reason": "", "status": "pending"}
    return {**row, "decided_by": None, "decided_at": None, "created_at": "2026-04-27T10:00:00Z", **fields}


def sight(rows: list[dict[str, Any]], asked: SubmittedRequest | None = None) -> Sighting:
    """What a platform that lists these rows shows."""

    def script(channel: Channel, _number: int) -> None:
        is_list = read_request(channel).path.endswith("/approvals")
        listing = Reply(200, json.dumps(rows).encode(), (JSON,))
        channel.send((listing if is_list else Reply(404, b"404 page not found", (TEXT,))).encode())

    with Peer(script) as peer, closing(RestPlatform(endpoint(peer.url))) as client:
        return client.fetch(asked or submitted(), soon())


def test_an_empty_list_shows_nothing() -> None:
    """No row is no sighting, and nothing is claimed about age."""
    assert sight([]) == Sighting(None)


@pytest.mark.parametrize(
    "fields",
    [{"action": "drop"}, {"task_id": "another"}, {"workspace_id": OTHER}, {"workspace_id": None}],
)
def test_a_row_under_our_id_with_other_text_is_strange(fields: dict[str, Any]) -> None:
    """A row of our id that is not our question is not shown as ours, and said to be strange."""
    found = sight([listed(**fields)])
    assert (found.approval, found.strange) == (None, True)


def test_the_oldest_of_ours_counts() -> None:
    """Of several rows with our task id the oldest is the question, and other live ones are extras."""
    rows = [
        listed(id=OTHER, created_at="2026-04-27T10:00:00.5Z"),
        listed(id="x", task_id="z"),
        listed(created_at="2026-04-27T10:00:00Z"),
    ]
    found = sight(rows)
    assert found.approval is not None
    assert (found.approval.id, [row.id for row in found.duplicates]) == (OURS, [OTHER])


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("2026-04-27T10:00:00Z", "2026-04-27T10:00:00.5Z"),
        ("2026-04-27T10:00:00.12Z", "2026-04-27T10:00:00.123Z"),
        ("2026-04-27T12:00:00+02:00", "2026-04-27T10:30:00Z"),
    ],
)
def test_age_is_compared_as_time_and_not_as_text(older: str, newer: str) -> None:
    """The platform leaves trailing zeros out of its times; the oldest is still the oldest."""
    found = sight([listed(id=OTHER, created_at=older), listed(created_at=newer)])
    assert found.approval is not None
    assert (found.approval.id, found.oldest) == (OTHER, older)


def test_without_times_the_order_of_the_list_decides() -> None:
    """Rows without a time are newest first as they came, and nothing is claimed about their age."""
    found = sight([listed(id=OTHER, created_at=None), listed(created_at=None)])
    assert found.approval is not None
    assert (found.approval.id, found.oldest) == (OURS, None)


def test_any_persons_denial_denies() -> None:
    """A denial by a person among our rows counts before an older approval; the live ones are extras."""
    rows = [
        listed(id="open", created_at="2026-04-27T10:00:03Z"),
        listed(id=OTHER, status="denied", decided_by="bob", created_at="2026-04-27T10:00:02Z"),
        listed(id="gone", status="denied", decided_by="withdrawn", created_at="2026-04-27T10:00:01Z"),
        listed(status="approved", decided_by="alice"),
    ]
    found = sight(rows)
    assert found.approval is not None
    assert (found.approval.id, [row.id for row in found.duplicates]) == (OTHER, ["open"])


def test_a_double_that_was_taken_back_ends_nothing() -> None:
    """Where the older row is not listed any more, the withdrawn double of it is not shown as ours."""
    rows = [listed(id=OTHER, status="denied", decided_by="withdrawn", created_at="2026-04-27T10:00:02Z")]
    assert sight(rows) == Sighting(None, oldest="2026-04-27T10:00:02Z")


def test_an_earlier_yes_to_a_key_is_none() -> None:
    """A list that comes late shows what the same key was approved for before: that was another run's."""
    key = key_task_id(WORKSPACE, "job-1")
    rows = [listed(key), listed(key, id=OTHER, status="approved", decided_by="alice", created_at="2026-04-26T10:00:00Z")]
    found = sight(rows, submitted(task_id=key))
    assert found.approval is not None
    assert (found.approval.id, found.approval.status) == (OURS, Status.PENDING)


def test_a_yes_to_a_double_is_a_yes() -> None:
    """Whoever saw the same question twice and approved one of the two has approved it; the other one is an extra."""
    rows = [listed(id=OTHER, status="approved", decided_by="alice", created_at="2026-04-27T10:00:02Z"), listed()]
    found = sight(rows)
    assert found.approval is not None
    assert (found.approval.id, [row.id for row in found.duplicates]) == (OTHER, [OURS])


def test_a_row_that_is_shown_twice_is_one() -> None:
    """A list that repeats our row shows no second question, which would be taken back."""
    found = sight([listed(), listed()])
    assert found.approval is not None
    assert (found.approval.id, found.duplicates) == (OURS, ())


@pytest.mark.parametrize(("count", "crowded"), [(49, False), (50, True), (51, True)])
def test_a_full_list_may_have_pushed_ours_out(count: int, crowded: bool) -> None:
    """Fifty rows are a full list, and its oldest row says since when."""
    rows = [listed(id=f"id-{n}", task_id="z", created_at=f"2026-04-27T10:00:{59 - n:02}Z") for n in range(count)]
    found = sight(rows)
    assert (found.approval, found.crowded, found.oldest) == (None, crowded, rows[-1]["created_at"])


def test_a_question_of_unknown_text_is_found_by_its_id_alone() -> None:
    """Where neither action nor task id is known, only the very id answers."""
    shown = sight([listed(id=OTHER), listed()], SubmittedRequest(OURS, WORKSPACE))
    assert shown.approval is not None
    assert (shown.approval.id, shown.duplicates) == (OURS, ())


# --- answers of every kind ---------------------------------------------------------------------------------------------


@dataclass
class Told:
    """A client of a peer that answers everything with one thing, and what the peer saw."""

    client: RestPlatform
    seen: list[Request]


@pytest.fixture
def told() -> Iterator[Callable[..., Told]]:
    """Makes such a client: ``told(status, body, *headers)``."""
    peers: list[Peer] = []

    def make(code: int, body: object = b"", *headers: tuple[str, str]) -> Told:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        reply = Reply(code, data, headers or (JSON,)).encode()
        seen: list[Request] = []

        def script(channel: Channel, _number: int) -> None:
            seen.append(read_request(channel))
            channel.send(reply)

        peers.append(Peer(script).__enter__())
        return Told(RestPlatform(endpoint(peers[-1].url)), seen)

    yield make
    for peer in peers:
        peer.__exit__()


Teller = Callable[..., Told]


@pytest.mark.parametrize("code", [408, 425, 429, 500, 502, 503, 504, 520])
def test_answers_that_may_pass(told: Teller, code: int) -> None:
    """Overload and outages are worth another try; status, sentence and Retry-After are told."""
    client = told(code, {"error": "not now"}, JSON, ("Retry-After", "9")).client if code != 520 else None
    answer = Answer(code, {"retry-after": "9", "content-type": JSON[1]}, b'{"error": "not now"}')
    failure = error_for(answer)
    assert isinstance(failure, UnavailableError)
    assert (failure.status, failure.retry_after) == (code, 9.0)
    assert failure.message == f"the platform answered {code}: not now"
    if client is not None:
        with pytest.raises(UnavailableError), closing(client):
            client.submit(request(), soon())


def test_a_database_that_is_away_is_called_so(told: Teller) -> None:
    """The hint says what to do about it; other refusals of the moment are the platform's to explain."""
    away = {"error": "platform datastore unavailable — retry shortly", "code": "platform_unavailable"}
    with closing(told(503, away).client) as client, pytest.raises(UnavailableError) as caught:
        client.submit(request(), soon())
    assert caught.value.message == "the platform answered 503: platform datastore unavailable — retry shortly"
    assert caught.value.hint.startswith("its database does not answer; try again in a minute")


@pytest.mark.parametrize(
    ("code", "body", "kind", "words"),
    [
        (400, {"error": "invalid request body"}, RejectedError, "refused the request (400): invalid request body"),
        (401, {"error": "invalid workspace auth token"}, CredentialError, "(401): invalid workspace auth token"),
        (403, b"", CredentialError, "(403)"),
        (404, b"", RejectedError, "404 with an empty body"),
        (404, b"404 page not found", RejectedError, "(404)"),
        (413, {"error": 7}, RejectedError, "(413)"),
        (409, {"error": "no"}, RejectedError, "(409): no"),
        (422, b"what?", RejectedError, "(422)"),
        (501, [], RejectedError, "(501)"),
        (301, b"", RejectedError, "redirect (301)"),
        (308, b"", RejectedError, "redirect (308)"),
        (200, {"approval_id": OURS}, ProtocolError, "answered 200"),
        (202, {"approval_id": OURS}, ProtocolError, "answered 202"),
        (204, b"", ProtocolError, "answered 204"),
    ],
)
def test_answers_to_the_question(told: Teller, code: int, body: object, kind: type[ApprovalError], words: str) -> None:
    """Whatever is no 201 is an error of ours that names it; most of them also say what to do."""
    client = told(code, body).client
    with closing(client), pytest.raises(kind) as caught:
        client.submit(request(), soon())
    assert type(caught.value) is kind
    assert words in caught.value.message
    assert code in {400, 409, 413, 422, 501} or caught.value.hint


@pytest.mark.parametrize(
    ("code", "body", "maybe_sent"),
    [
        *((code, {"error": "no"}, True) for code in (302, 400, 401, 403, 404)),
        *((code, {"error": "no", "server": "molecule-approve"}, False) for code in (400, 401, 403, 404)),
        (503, {"error": "not now", "server": "molecule-approve"}, True),
    ],
)
def test_whose_refusal_it_is(told: Teller, code: int, body: object, maybe_sent: bool) -> None:
    """A refusal that the embedded server signs says that nothing was kept; any other may be a proxy's, and says nothing."""
    client = told(code, body).client
    with closing(client), pytest.raises(PlatformError, match=str(code)) as caught:
        client.submit(request(), soon())
    assert caught.value.maybe_sent is maybe_sent


def test_a_long_error_is_cut_in_its_sentence() -> None:
    """The sentence quotes three hundred characters of an error, not a megabyte."""
    failure = error_for(Answer(400, {}, json.dumps({"error": "x" * 100_000}).encode()))
    assert len(failure.message) < 400


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>It works!</html>",
        b"[]",
        b"{}",
        b'{"approval_id": 7}',
        b'{"approval_id": ""}',
        b'{"approval_id": "../../admin"}',
        b'{"approval_id": "a b"}',
        b'{"approval_id": "a", "approval_id": "b"}',
        b"[" * 100_000,
    ],
)
def test_a_201_without_an_id(told: Teller, body: bytes) -> None:
    """A 201 whose id is missing or is none is nonsense, not a question."""
    client = told(201, body).client
    with closing(client), pytest.raises(ProtocolError):
        client.submit(request(), soon())


@pytest.mark.parametrize(
    ("header", "field", "embedded"),
    [
        ("embedded", "molecule-approve", True),
        ("embedded", None, True),
        (None, "molecule-approve", True),
        (None, None, False),
        ("other", "other", False),
    ],
)
def test_a_201_says_who_gives_it(told: Teller, header: str | None, field: str | None, embedded: bool) -> None:
    """The embedded server is known by the header or by the field of its 201, whichever a proxy leaves."""
    body = {"approval_id": OURS, "status": "pending", "task_id": TASK, **({"server": field} if field else {})}
    made = told(201, body, JSON, *([("X-Molecule-Server", header)] if header else []))
    with closing(made.client):
        made.client.submit(request(), soon())
        assert made.client.verifies_approvers(soon()) is embedded


def test_a_201_for_another_request_is_not_ours(told: Teller) -> None:
    """The embedded server repeats our task id; a 201 with another one answers somebody else's request."""
    made = told(201, signed(approval_id=OURS, status="pending", task_id=OTHER))
    with closing(made.client), pytest.raises(ProtocolError, match="about a different request"):
        made.client.submit(request(), soon())


@pytest.mark.parametrize(
    ("code", "body", "words", "held"),
    [
        (409, {"code": "key_used", "approval_id": OURS}, "has ended", OURS),
        (409, {"code": "key_used", "approval_id": 7}, "has ended", None),
        (422, {"code": "key_conflict", "approval_id": OURS}, "a different action or reason", OURS),
        (422, {"code": "key_conflict"}, "a different action or reason", None),
    ],
)
def test_a_key_that_is_taken(told: Teller, code: int, body: object, words: str, held: str | None) -> None:
    """A used key and a key of other text are told apart, with the request that holds it."""
    made = told(code, body)
    with closing(made.client), pytest.raises(KeyUsedError, match=words) as caught:
        made.client.submit(request(idempotency_key="k"), soon())
    assert caught.value.approval_id == held
    assert made.seen[0].headers["idempotency-key"] == "k"


def test_a_key_that_takes_its_request_up(told: Teller) -> None:
    """A 200 to a POST with a key is the pending request of that key, not one of our own making."""
    made = told(200, signed(approval_id=OURS, status="pending", task_id=TASK))
    with closing(made.client):
        assert made.client.submit(request(idempotency_key="k"), soon()) == submitted(own=False)


def test_a_200_to_a_key_from_anybody_else(told: Teller) -> None:
    """Only the embedded server takes a request up by its key: the platform answers 201, a portal with anything."""
    made = told(200, {"approval_id": OURS, "status": "pending", "task_id": TASK})
    with closing(made.client), pytest.raises(ProtocolError, match="200"):
        made.client.submit(request(idempotency_key="k"), soon())


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'"x"', b"[7]", b'[{"id": 7}]', b'[{"id": "a/b"}]', b'[{"id": "a"}]', b"[NaN]"]
)
def test_a_list_that_is_none(told: Teller, body: bytes) -> None:
    """A list of another shape is nonsense, never an empty list."""
    made = told(200, body)
    with closing(made.client), pytest.raises(ProtocolError):
        made.client.list_requests(soon())


def test_null_is_an_empty_list(told: Teller) -> None:
    """The platform's language writes an empty list as null."""
    made = told(200, b"null")
    with closing(made.client):
        assert made.client.list_requests(soon()) == []


@pytest.mark.parametrize("code", [201, 302, 404, 500])
def test_a_list_that_is_refused(told: Teller, code: int) -> None:
    """Only a 200 is a list."""
    made = told(code, b"[]")
    with closing(made.client), pytest.raises(PlatformError, match=str(code)):
        made.client.find(request(), soon())


def test_a_list_may_be_large_and_has_an_end(told: Teller) -> None:
    """Fifty requests of half a megabyte are read; more than 32 MB are not."""
    rows = [listed(id=f"id-{n}", action="x" * 500_000) for n in range(50)]
    made = told(200, rows)
    with closing(made.client):
        assert len(made.client.list_requests(soon(20))) == 50
    made = told(200, b" " * (LIST_LIMIT + 1))
    with closing(made.client), pytest.raises(ProtocolError, match="longer than"):
        made.client.list_requests(soon(20))


def test_a_bare_404_is_no_platform(told: Teller) -> None:
    """A 404 without a word teaches nothing about who answers, and is told with its likely cause."""
    made = told(404, b"")
    with closing(made.client):
        for call in (made.client.verifies_approvers, lambda d: made.client.fetch(submitted(), d)):
            with pytest.raises(RejectedError, match="with an empty body"):
                call(soon())


@pytest.mark.parametrize("code", [401, 429, 500])
def test_who_answers_cannot_be_learned_from_a_failure(told: Teller, code: int) -> None:
    """A failure says nothing about who answers."""
    made = told(code, {"error": "no"})
    with closing(made.client), pytest.raises(PlatformError, match=str(code)):
        made.client.verifies_approvers(soon())


# --- whose answer it is, and what counts as done ------------------------------------------------------------------------

PAGE = Reply(200, b"<html>Please sign in</html>", (("Content-Type", "text/html"),))
GONE = Reply(404, b"404 page not found", (TEXT,))


def signed(**fields: object) -> dict[str, object]:
    """An object as the embedded server answers it."""
    return {**fields, "server": "molecule-approve"}


def made(code: int, body: object) -> Reply:
    """A JSON answer."""
    return Reply(code, json.dumps(body).encode(), (JSON,))


CREATED = made(201, signed(approval_id=OURS, status="pending", task_id=TASK))


@contextmanager
def scripted(*replies: Reply) -> Iterator[tuple[RestPlatform, list[Request]]]:
    """A client of a peer that gives these answers, one after another, and what the peer was asked."""
    seen: list[Request] = []

    def script(channel: Channel, number: int) -> None:
        seen.append(read_request(channel))
        channel.send(replies[number - 1].encode())

    with Peer(script) as peer, closing(RestPlatform(endpoint(peer.url))) as client:
        yield client, seen


def paths(seen: list[Request]) -> list[str]:
    """The last words of what was asked."""
    return [f"{entry.method} {entry.path.rpartition('/')[2]}" for entry in seen]


@pytest.mark.parametrize(
    "reply",
    [
        GONE,
        PAGE,
        made(200, listed(status="approved", decided_by="alice")),
        made(404, {"error": "not found"}),
        made(401, {"error": "who?"}),
        Reply(302, b"", (("Location", "/login"),)),
        Reply(204, b""),
    ],
)
def test_somebody_else_in_the_embedded_servers_place(reply: Reply) -> None:
    """Once the embedded server is known, what does not come from it is an outage, and never makes it the platform again."""
    with scripted(CREATED, reply, reply, reply) as (client, seen):
        ours = client.submit(request(), soon())
        calls = (client.fetch, client.withdraw)
        for call in calls:
            with pytest.raises(UnavailableError, match="is not from the embedded server"):
                call(ours, soon())
        with pytest.raises(UnavailableError, match="is not from the embedded server"):
            client.decide(ours, Status.DENIED, None, soon())
    assert paths(seen) == ["POST approvals", f"GET {OURS}", "POST withdraw", "POST decide"]


def test_an_overload_before_the_embedded_server_is_one() -> None:
    """A proxy's 503 keeps its status and its Retry-After, known server or not."""
    busy = Reply(503, b"", (("Retry-After", "7"),))
    with scripted(CREATED, busy) as (client, _seen):
        ours = client.submit(request(), soon())
        with pytest.raises(UnavailableError) as caught:
            client.fetch(ours, soon())
    assert (caught.value.status, caught.value.retry_after) == (503, 7.0)


@pytest.mark.parametrize("missing", [GONE, made(404, {"message": "no route"})], ids=["text", "JSON"])
def test_a_list_says_whose_rows_it_shows(missing: Reply) -> None:
    """Where a proxy hides the additions, the rows still say whose they are, and no approval is taken from such a list."""
    row = signed(**listed(status="approved", decided_by="alice"))
    used = made(200, {**row, "decided_by_verified": True, "invocation": OTHER})
    wanted = submitted(own=False, attempt_id=OTHER)
    with scripted(missing, made(200, [row]), made(200, row), used) as (client, seen):
        found = client.fetch(wanted, soon()).approval
        assert found is not None
        assert found.decided_by_verified
    assert paths(seen) == [f"GET {OURS}", "GET approvals", f"GET {OURS}", "POST redeem"]


def test_hidden_additions_of_the_embedded_server_are_an_outage() -> None:
    """A list of the embedded server whose additions stay out of reach gives no verdict at all."""
    row = signed(**listed(status="approved", decided_by="alice"))
    with (
        scripted(GONE, made(200, [row]), GONE) as (client, _seen),
        pytest.raises(UnavailableError, match="is not from the embedded server"),
    ):
        client.fetch(submitted(attempt_id=OTHER, own=False), soon())


def test_a_hidden_addition_refuses_no_verified_approver() -> None:
    """One plain 404 is not enough to say that nobody's name is verified."""
    with scripted(GONE, made(200, signed(status="ok"))) as (client, seen):
        assert client.verifies_approvers(soon())
    assert paths(seen) == [f"GET {NOBODY}", "GET health"]


def test_a_withdrawal_finds_out_who_answers() -> None:
    """Where a proxy hid the addition and the denial is refused by the embedded server, its own route is tried again."""
    refused = made(403, signed(error="a requester's token decides nothing", code="forbidden"))
    done = made(200, signed(approval_id=OURS, status="denied"))
    with scripted(GONE, refused, done) as (client, seen):
        assert client.withdraw(submitted(), soon()) == Withdrawal(withdrawn=True, ended_before=False)
    assert paths(seen) == ["POST withdraw", "POST decide", "POST withdraw"]


@pytest.mark.parametrize(
    "body",
    [
        {"approval_id": OTHER, "status": "denied"},
        {"approval_id": OURS, "status": "approved"},
        {"approval_id": OURS, "status": "pending"},
        {"approval_id": OURS},
        {"status": "denied"},
        {},
        [],
        "denied",
        None,
    ],
)
@pytest.mark.parametrize("embedded", [True, False])
def test_done_is_only_what_says_so(body: object, embedded: bool) -> None:
    """A 200 that is not about our id and the status that was asked for neither withdraws nor denies."""
    sign: dict[str, object] = signed() if embedded and isinstance(body, dict) else {}
    reply = made(200, {**body, **sign} if isinstance(body, dict) else body)
    reply = reply.having(("X-Molecule-Server", "embedded")) if embedded else reply
    first = CREATED if embedded else made(201, {"approval_id": OURS, "status": "pending"})
    with scripted(first, reply, reply) as (client, _seen):
        ours = client.submit(request(), soon())
        with pytest.raises(ProtocolError):
            client.withdraw(ours, soon())
        with pytest.raises(ProtocolError):
            client.decide(ours, Status.DENIED, None, soon())


@pytest.mark.parametrize(
    "reply",
    [
        made(404, {"message": "no route"}),
        made(404, {"error": "there is no such workspace", "code": "unknown_workspace"}),
        made(409, {"error": "ended", "code": "ended", "approval_id": OTHER}),
        Reply(404, b"<html>", (("Content-Type", "text/html"),)),
        Reply(409, b"[]", (JSON,)),
    ],
)
def test_a_refusal_that_does_not_say_that_it_ended(reply: Reply) -> None:
    """Only a refusal about our own request settles it; any other one is what it is."""
    with scripted(made(201, {"approval_id": OURS}), reply, reply) as (client, _seen):
        ours = client.submit(request(), soon())
        with pytest.raises(RejectedError):
            client.withdraw(ours, soon())
        with pytest.raises(RejectedError):
            client.decide(ours, Status.DENIED, None, soon())


@pytest.mark.parametrize("invocation", [OURS, None, 7])
def test_a_redemption_must_answer_our_invocation(invocation: object) -> None:
    """An approval without our invocation in it answers somebody else's redemption, and is no yes of ours."""
    row = signed(**listed(status="approved", decided_by="alice"), decided_by_verified=True, invocation=invocation)
    with scripted(CREATED, made(200, row)) as (client, _seen):
        ours = client.submit(request(), soon())
        with pytest.raises(ProtocolError, match="invocation"):
            client.fetch(replace(ours, attempt_id=OTHER), soon())


def test_a_used_approval_must_be_ours() -> None:
    """That another approval was used up says nothing about ours."""
    reply = made(409, signed(error="used", code="already_used", approval_id=OTHER, used_at="now"))
    with scripted(CREATED, reply) as (client, _seen):
        ours = client.submit(request(), soon())
        with pytest.raises(RejectedError):
            client.fetch(replace(ours, attempt_id=OTHER), soon())


@pytest.mark.parametrize("fields", [{"action": "drop"}, {"task_id": "another"}, {"id": OTHER}, {"workspace_id": OTHER}])
def test_the_embedded_servers_row_must_be_ours(told: Teller, fields: dict[str, Any]) -> None:
    """A single approval that is not our question is strange, and not ours."""
    found = told(200, signed(**listed(status="approved", decided_by="alice", decided_by_verified=True, **fields)))
    with closing(found.client):
        assert found.client.fetch(submitted(), soon()) == Sighting(None, strange=True)


def test_an_unknown_conflict_is_told(told: Teller) -> None:
    """A 409 that does not say "used" is a refusal."""
    found = told(409, signed(error="no"))
    with closing(found.client), pytest.raises(RejectedError):
        found.client.fetch(submitted(attempt_id=str(uuid.uuid4())), soon())


# --- the embedded server -----------------------------------------------------------------------------------------------


@dataclass
class Served:
    """An embedded server with a client that asks and one that decides."""

    server: Running
    asker: RestPlatform
    approver: RestPlatform

    @property
    def workspace(self) -> str:
        return self.server.requester.workspace_id

    def ask(self, **fields: object) -> SubmittedRequest:
        return self.asker.submit(new_request(self.workspace, **fields), soon())

    def row(self, ours: SubmittedRequest) -> Approval:
        found = self.asker.fetch(ours, soon()).approval
        assert found is not None
        return found


@pytest.fixture
def served(live_server: Running) -> Iterator[Served]:
    """A requester's and an approver's client of a running embedded server."""
    workspace, token = live_server.requester
    asker = RestPlatform(Endpoint(live_server.url, workspace, Secret(token)))
    approver = RestPlatform(Endpoint(live_server.url, workspace, Secret(live_server.add_approver("alice"))), actor="mallory")
    with closing(asker), closing(approver):
        yield Served(live_server, asker, approver)


def test_asking_the_embedded_server(served: Served) -> None:
    """The embedded server keeps the context and the time, and is known from its 201."""
    ours = served.ask(context={"ticket": "OPS-1"}, expires_in=60.0)
    row = served.row(ours)
    assert ours.own
    assert (row.action, row.reason, row.status, row.context) == ("deploy", "because", Status.PENDING, {"ticket": "OPS-1"})
    assert row.expires_at is not None
    assert served.asker.verifies_approvers(soon())
    assert [found.id for found in served.asker.list_requests(soon())] == [row.id]


def test_a_fresh_client_knows_the_embedded_server(served: Served) -> None:
    """Without a 201 the embedded server shows itself by its answer about a single approval, there or not."""
    assert served.asker.verifies_approvers(soon())
    with closing(
        RestPlatform(Endpoint(served.server.url, served.workspace, Secret(served.server.requester.token)))
    ) as client:
        assert client.fetch(SubmittedRequest(OURS, served.workspace), soon()) == Sighting(None)
        assert client.verifies_approvers(soon())


def test_deciding_on_the_embedded_server(served: Served) -> None:
    """The name comes from the approver's credential, whatever the client says, and the comment is kept."""
    ours = served.ask()
    served.approver.decide(ours, Status.APPROVED, "go on", soon())
    row = served.row(ours)
    assert (row.status, row.decided_by, row.decided_by_verified, row.comment) == (Status.APPROVED, "alice", True, "go on")


def test_who_comes_too_late_on_the_embedded_server(served: Served) -> None:
    """The second decision is told what won."""
    ours = served.ask()
    served.approver.decide(ours, Status.DENIED, None, soon())
    with pytest.raises(EndedError, match="already ended: denied by alice"):
        served.approver.decide(ours, Status.APPROVED, None, soon())
    gone = served.ask()
    served.asker.withdraw(gone, soon())
    with pytest.raises(EndedError, match=r"already ended: withdrawn$"):
        served.approver.decide(gone, Status.APPROVED, None, soon())


def test_a_requester_cannot_decide(served: Served) -> None:
    """The workspace's own token decides nothing on the embedded server."""
    ours = served.ask()
    with pytest.raises(CredentialError):
        served.asker.decide(ours, Status.APPROVED, None, soon())


def test_an_approval_is_used_up_once(served: Served) -> None:
    """The reading invocation uses the approval up and may read again; any other is told when it was used."""
    ours = served.ask()
    served.approver.decide(ours, Status.APPROVED, None, soon())
    mine = submitted(approval_id=ours.approval_id, workspace_id=served.workspace, task_id=ours.task_id, attempt_id=OURS)
    for _ in range(2):
        shown = served.asker.fetch(mine, soon()).approval
        assert shown is not None
        assert shown.status is Status.APPROVED
    theirs = submitted(approval_id=ours.approval_id, workspace_id=served.workspace, task_id=ours.task_id, attempt_id=OTHER)
    with pytest.raises(UsedError, match=r"already redeemed \(20"):
        served.asker.fetch(theirs, soon())


@pytest.mark.parametrize("decided", [None, Status.DENIED])
def test_what_is_not_approved_is_only_shown(served: Served, decided: Status | None) -> None:
    """Reading to use up shows a pending and a denied request to everybody."""
    ours = served.ask()
    if decided is not None:
        served.approver.decide(ours, decided, None, soon())
    for invocation in (OURS, OTHER):
        wanted = submitted(approval_id=ours.approval_id, workspace_id=served.workspace, task_id=ours.task_id)
        shown = served.asker.fetch(submitted(**{**_fields(wanted), "attempt_id": invocation}), soon()).approval
        assert shown is not None
        assert shown.status is (decided or Status.PENDING)


def _fields(of: SubmittedRequest) -> dict[str, object]:
    return {name: getattr(of, name) for name in ("approval_id", "workspace_id", "action", "task_id", "own")}


def test_withdrawing_from_the_embedded_server(served: Served) -> None:
    """The requester takes its request back, once."""
    ours = served.ask()
    assert served.asker.withdraw(ours, soon()) == Withdrawal(withdrawn=True, ended_before=False)
    assert (served.row(ours).status, served.row(ours).decided_by) == (Status.DENIED, "withdrawn")
    assert served.asker.withdraw(SubmittedRequest(OURS, served.workspace), soon()) == Withdrawal(
        withdrawn=False, ended_before=True
    )


def test_withdrawing_what_was_decided(served: Served) -> None:
    """A decision stands against a withdrawal."""
    ours = served.ask()
    served.approver.decide(ours, Status.APPROVED, None, soon())
    assert served.asker.withdraw(ours, soon()) == Withdrawal(withdrawn=False, ended_before=True)
    assert served.row(ours).status is Status.APPROVED


def test_a_key_on_the_embedded_server(served: Served) -> None:
    """A key takes its pending request up, refuses other text, and is refused once its request has ended."""
    wanted = replace(new_request(served.workspace, idempotency_key="job-1"), task_id=key_task_id(served.workspace, "job-1"))
    first = served.asker.submit(wanted, soon())
    again = served.asker.submit(wanted, soon())
    assert (again.approval_id, first.own, again.own) == (first.approval_id, True, False)
    with pytest.raises(KeyUsedError, match="a different action"):
        served.asker.submit(new_request(served.workspace, idempotency_key="job-1", action="drop"), soon())
    served.approver.decide(first, Status.APPROVED, None, soon())
    with pytest.raises(KeyUsedError, match="has ended") as caught:
        served.asker.submit(wanted, soon())
    assert caught.value.approval_id == first.approval_id


def test_an_unknown_workspace_of_the_embedded_server(served: Served) -> None:
    """A workspace that the server does not know is refused, with a hint at its name."""
    where = Endpoint(served.server.url, OTHER, Secret(served.server.requester.token))
    with closing(RestPlatform(where)) as client, pytest.raises(PlatformError) as caught:
        client.submit(new_request(OTHER), soon())
    assert not isinstance(caught.value, UnavailableError)
    assert "WORKSPACE_ID" in caught.value.hint


def test_answers_that_are_no_list_come_to_no_verdict(rest: RestPlatform, platform: FakePlatform) -> None:
    """A read that brings nonsense is an error, and the wait above ends with it."""
    ours = asked(rest, platform)
    platform.on("list", answers(b"<html>"))
    with pytest.raises(ProtocolError, match="not valid JSON"):
        rest.fetch(ours, soon())


def test_a_request_whose_answer_was_lost_is_not_asked_twice(served: Served) -> None:
    """It is sent again with the same task id, and the embedded server knows it by that: it is not of our own making now."""
    wanted = new_request(served.server.requester.workspace_id)
    first = served.asker.submit(wanted, soon())
    again = served.asker.submit(wanted, soon())
    assert (first.own, again.own) == (True, False)
    assert again.approval_id == first.approval_id
    assert len(served.asker.list_requests(soon())) == 1


def test_an_approver_reads_one_request_of_any_workspace(served: Served, rest: RestPlatform) -> None:
    """By its id, with the workspace's name; no other request, not for a requester's token, and not on the platform."""
    found = served.asker.submit(new_request(served.server.requester.workspace_id), soon())
    seen = served.approver.waiting(found.approval_id, soon())
    assert seen is not None
    assert (seen.approval.id, seen.workspace_name) == (found.approval_id, "local")
    assert served.approver.waiting(NOBODY, soon()) is None
    with pytest.raises(CredentialError):
        served.asker.waiting(found.approval_id, soon())
    assert rest.waiting(found.approval_id, soon()) is None
