"""Decisions that a rule of the embedded server counts: what the client makes of each answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from molecule_approve.client.http import Answer
from molecule_approve.client.refused import refused_decision
from molecule_approve.client.rest import RestPlatform
from molecule_approve.errors import DecisionRefusedError, EndedError, ProtocolError, RejectedError
from molecule_approve.model import ApprovalProgress, Endpoint, Secret, Status, SubmittedRequest
from tests.client.fakes import Peer, endpoint, soon
from tests.integration.raw_http import Channel, Reply, read_request
from tests.server.counting import RuledDesk, ruled_desk

if TYPE_CHECKING:
    from molecule_approve.paths import Places
    from tests.integration.fake_platform import FakePlatform

ClientOf = Callable[[str], RestPlatform]


@pytest.fixture
def ruled(server_places: Places) -> Iterator[RuledDesk]:
    """A desk whose rules want two of a group, a comment, or a signature."""
    with ruled_desk(server_places) as desk:
        yield desk


@pytest.fixture
def client_of(ruled: RuledDesk) -> Iterator[ClientOf]:
    """Makes an approver's client."""
    with ExitStack() as stack:

        def made(name: str) -> RestPlatform:
            where = Endpoint(ruled.server.url, ruled.workspace_id, Secret(ruled.token_of(name)))
            return stack.enter_context(closing(RestPlatform(where)))

        yield made


@contextmanager
def answering(body: Mapping[str, object]) -> Iterator[RestPlatform]:
    """A client whose server answers every call with 200 and this body."""
    reply = Reply(200, json.dumps(body).encode(), (("Content-Type", "application/json"),)).encode()

    def script(channel: Channel, _number: int) -> None:
        read_request(channel)
        channel.send(reply)

    with Peer(script) as peer, closing(RestPlatform(endpoint(peer.url))) as client:
        yield client


def asked(ruled: RuledDesk, action: str = "drop it") -> SubmittedRequest:
    """Ask, and give the request as an approver knows it."""
    return SubmittedRequest(ruled.ask(action), ruled.workspace_id)


def test_an_approval_that_is_not_the_last_says_how_far_it_is(ruled: RuledDesk, client_of: ClientOf) -> None:
    """The one that ends the request says nothing more; each read tells who approved and who could."""
    ours = asked(ruled)
    assert client_of("alice").decide(ours, Status.APPROVED, None, soon()) == ApprovalProgress(need=2, have=1)
    row = client_of("di").fetch(ours, soon()).approval
    assert row is not None
    assert row.progress is not None
    assert row.progress.sentence == "1 of 2: alice; waiting for dba (bo, cy)"
    assert client_of("bo").decide(ours, Status.APPROVED, None, soon()) is None


def test_an_approval_is_retracted(ruled: RuledDesk, client_of: ClientOf) -> None:
    """While the request waits; afterwards the client says how it ended."""
    ours = asked(ruled)
    alice = client_of("alice")
    alice.decide(ours, Status.APPROVED, None, soon())
    assert alice.retract(ours, soon()) == ApprovalProgress(need=2, have=0)
    client_of("bo").decide(ours, Status.DENIED, None, soon())
    with pytest.raises(EndedError, match="already ended: denied by bo"):
        alice.retract(ours, soon())


@pytest.mark.parametrize(
    ("name", "action", "code", "hint"),
    [
        ("di", "drop it", "not_eligible", "`molecule-approve status {id}` shows for whom it waits"),
        ("alice", "tidy up", "comment_required", "say why with --comment TEXT"),
        (
            "alice",
            "sign it",
            "presence_required",
            "sign it: molecule-approve approve {id} --sign KEY, or use a passkey on the server's page",
        ),
    ],
)
def test_a_refusal_says_why_and_what_to_do(
    ruled: RuledDesk, client_of: ClientOf, name: str, action: str, code: str, hint: str
) -> None:
    """It is the server's sentence, with its code and a hint, and the request stays open."""
    ours = asked(ruled, action)
    with pytest.raises(DecisionRefusedError) as refused:
        client_of(name).decide(ours, Status.APPROVED, None, soon())
    assert (refused.value.code, refused.value.hint) == (code, hint.format(id=ours.approval_id))
    assert "rule" in refused.value.message
    assert ruled.one(ours.approval_id)["status"] == "pending"


def test_nobody_approves_twice_or_retracts_nothing(ruled: RuledDesk, client_of: ClientOf) -> None:
    """The hints name the command that retracts, and the one that shows who approved."""
    ours, alice = asked(ruled), client_of("alice")
    with pytest.raises(DecisionRefusedError, match="alice has not approved this request") as refused:
        alice.retract(ours, soon())
    assert refused.value.hint.endswith("shows who has approved it")
    alice.decide(ours, Status.APPROVED, None, soon())
    with pytest.raises(DecisionRefusedError, match="alice has already approved this request") as refused:
        alice.decide(ours, Status.APPROVED, None, soon())
    assert refused.value.hint == f"to retract it: molecule-approve approve {ours.approval_id} --retract"


def test_on_the_platform_there_is_nothing_to_retract(platform: FakePlatform) -> None:
    """Its first decision ends a request; it is not asked again."""
    row = platform.add(platform.workspace, {"action": "x"})
    where = Endpoint(platform.url, platform.workspace, Secret(platform.admin))
    with (
        closing(RestPlatform(where)) as client,
        pytest.raises(RejectedError, match="with its first decision"),
    ):
        client.retract(SubmittedRequest(row.id, platform.workspace), soon())


@pytest.mark.parametrize(
    "said",
    [
        {"status": "pending"},
        {"status": "pending", "approvals": {"have": 2, "need": 2}},
        {"status": "pending", "approvals": {"have": -1, "need": 2}},
        {"status": "pending", "approvals": {"have": "1", "need": 2}},
        {"status": "pending", "approvals": {"have": 1, "need": True}},
        {"status": "pending", "approvals": {"have": 1, "need": 2}, "approval_id": "another"},
        {"status": "approved", "approvals": {"have": 1, "need": 2}},
    ],
)
def test_an_answer_that_counts_nothing_is_none(said: dict[str, object]) -> None:
    """Neither for an approval, unless it ended the request, nor for a retraction."""
    body = {"approval_id": "ours", "server": "molecule-approve", **said}
    ours = SubmittedRequest("ours", "w")
    with answering(body) as client, pytest.raises(ProtocolError, match="does not say how many approvals"):
        client.retract(ours, soon())
    if said["status"] == "pending":
        with answering(body) as client, pytest.raises(ProtocolError, match="does not say that request ours is now approved"):
            client.decide(ours, Status.APPROVED, None, soon())


def test_a_denial_is_never_counted() -> None:
    """One no ends a request, whatever the answer says."""
    body = {"approval_id": "ours", "status": "pending", "approvals": {"have": 1, "need": 2}}
    with answering(body) as client, pytest.raises(ProtocolError, match="does not say that request ours is now denied"):
        client.decide(SubmittedRequest("ours", "w"), Status.DENIED, None, soon())


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (500, {"code": "not_eligible", "error": "x"}),
        (403, {"code": "forbidden", "error": "x"}),
        (403, {"code": "not_eligible"}),
    ],
)
def test_another_answer_is_no_refusal_of_a_rule(status: int, said: dict[str, object]) -> None:
    """Another status, another code, or no sentence."""
    assert refused_decision(Answer(status, {}, json.dumps(said).encode()), "ours") is None
