"""An approver's own keys over REST: a further one needs an enrolled one, and nobody else's."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from molecule_approve.clock import utc_now
from molecule_approve.proofs.key_statement import KeyStatement
from tests.proofs.signing import SoftwareHardwareKey, generated, public_text
from tests.server.commits import CommitProxy
from tests.server.signer import Signer
from tests.server.team import Team

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.server.desk import Desk
    from tests.server.postgres import Cluster


@pytest.fixture
def alice(desk: Desk) -> Signer:
    """alice, with an enrolled hardware key that verifies her."""
    return Signer(desk, "alice")


def added(signer: Signer, said: KeyStatement, by: SoftwareHardwareKey | None = None, **more: object) -> tuple[int, Any]:
    """Add the key of the statement, which this key vouches for: the status and body of the answer."""
    key = by or signer.key
    key.counter += 1
    proof = {"kind": "ssh", "signature": key.sign(said.signed_line)}
    body = {"public_key": said.public_key, "label": "new", "statement": said.text, "proof": proof, **more}
    with signer.desk.client(signer.desk.session(signer.name)) as client:
        answer = client.post("/desk/keys", json=body)
        return answer.status_code, answer.json()


def own(signer: Signer) -> dict[str, Any]:
    """The own keys, as the server lists them."""
    with signer.desk.client(signer.desk.session(signer.name)) as client:
        found: dict[str, Any] = client.get("/desk/keys").json()
        return found


def about(signer: Signer, public_key: str) -> KeyStatement:
    """The statement about a further key."""
    return KeyStatement(own(signer)["server_id"], signer.name, "ssh", public_key, utc_now())


def new_key(**more: Any) -> str:  # noqa: ANN401 - fields of a key
    """The public key of a hardware key that nobody has enrolled."""
    return SoftwareHardwareKey(**more).key.text


def test_a_key_vouches_for_a_further_one(alice: Signer) -> None:
    """It is listed with who vouched for it, and signs from then on; the log says it."""
    other = SoftwareHardwareKey()
    status, said = added(alice, about(alice, other.key.text))
    first, second = own(alice)["keys"]
    assert (status, said) == (201, second)
    assert (second["label"], second["public_key"], second["added_by"]) == ("new", other.key.text, first["id"])
    assert alice.desk.select("SELECT sign_count FROM approver_keys WHERE id = ?", first["id"]) == [(alice.key.counter,)]
    alice.key = other
    assert alice.decide(alice.desk.ask("x")).json()["status"] == "approved"


def test_a_plain_key_vouches_for_a_plain_one_only(alice: Signer, tmp_path: Path) -> None:
    """What proves a signature cannot enrol what would prove a person's touch."""
    plain = public_text(generated(tmp_path, "ed25519"))
    for flags, key, expected in ((0x00, plain, 201), (0x00, new_key(), 422), (0x01, new_key(), 422), (0x05, new_key(), 201)):
        alice.key.flags = flags
        status, said = added(alice, about(alice, " ".join(key.split()[:2])))
        assert status == expected
        if expected == 422:
            assert "a hardware key is enrolled by an administrator, or with a key that verified the person" in said["error"]


def test_the_first_key_comes_from_an_administrator(alice: Signer) -> None:
    """Whoever has bo's token alone enrols nothing for bo."""
    alice.desk.server.add_approver("bo")
    bo = Signer.__new__(Signer)
    bo.desk, bo.name, bo.key = alice.desk, "bo", SoftwareHardwareKey()
    status, said = added(bo, about(bo, bo.key.key.text))
    assert (status, said["code"]) == (403, "first_key")
    assert "bo has no key here that could vouch for a new one" in said["error"]


def _late(said: KeyStatement) -> KeyStatement:
    then = datetime.now(UTC) - timedelta(seconds=301)
    return replace(said, at=then.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda said: replace(said, server="other"), "is about something else: server"),
        (lambda said: replace(said, approver="bo"), "is about something else: approver"),
        (lambda said: replace(said, kind="passkey"), "is about something else: kind"),
        (_late, "the clocks may be 300 s apart"),
    ],
)
def test_a_statement_about_something_else_adds_nothing(
    alice: Signer, change: Callable[[KeyStatement], KeyStatement], sentence: str
) -> None:
    """Another server's, another person's, of another kind, too old."""
    status, said = added(alice, change(about(alice, new_key())))
    assert (status, said["code"]) == (422, "statement")
    assert sentence in said["error"]
    assert len(own(alice)["keys"]) == 1


def test_the_statement_names_the_key_that_is_sent(alice: Signer) -> None:
    """A stranger in between cannot put another key in its place; nor is any other text a statement."""
    status, said = added(alice, about(alice, new_key()), public_key=new_key())
    assert (status, said["error"]) == (422, "the statement is about something else: public_key")
    status, said = added(alice, about(alice, new_key()), statement="{}")
    assert (status, said["code"]) == (422, "statement")
    assert "cannot be read" in said["error"]


def test_a_strangers_key_vouches_for_nothing(alice: Signer) -> None:
    """Another person's, or one that nobody has enrolled."""
    alice.desk.server.add_approver("bo")
    for key in (SoftwareHardwareKey(), Signer(alice.desk, "bo").key):
        status, said = added(alice, about(alice, new_key()), by=key)
        assert (status, said["code"]) == (422, "bad_proof")


def test_a_key_is_enrolled_once(alice: Signer) -> None:
    """Not again, not by another person, and not after it was removed: then only an administrator does."""
    alice.desk.server.add_approver("bo")
    bo = Signer(alice.desk, "bo")
    for public_key in (alice.key.key.text, bo.key.key.text):
        status, said = added(alice, about(alice, public_key))
        assert (status, said["code"]) == (409, "key_in_use")
    removed = own(bo)["keys"][0]["id"]
    with bo.desk.client(bo.desk.session("bo")) as client:
        assert client.post(f"/desk/keys/{removed}/remove").json() == {"id": removed, "status": "removed"}
    assert own(bo)["keys"] == []
    assert added(alice, about(alice, bo.key.key.text))[1]["code"] == "key_in_use"


def test_nobody_removes_another_persons_key(alice: Signer) -> None:
    """It is unknown to them; a removed one is, too."""
    alice.desk.server.add_approver("bo")
    key = own(alice)["keys"][0]["id"]
    for name, status in (("bo", 404), ("alice", 200), ("alice", 404)):
        with alice.desk.client(alice.desk.session(name)) as client:
            assert client.post(f"/desk/keys/{key}/remove").status_code == status


@pytest.mark.parametrize(
    ("more", "status", "sentence"),
    [
        ({"proof": "x"}, 400, "invalid request body"),
        ({"label": ""}, 400, "invalid request body"),
        ({"label": "x" * 65}, 422, "a key's label has 1 to 64 visible characters"),
        ({"label": "a\u202eb"}, 422, "a key's label has 1 to 64 visible characters"),
        ({"public_key": "ssh-dss AAAAB3NzaC1kc3MAAAAA"}, 422, "this key cannot be enrolled: "),
    ],
)
def test_what_is_malformed_is_refused(alice: Signer, more: dict[str, Any], status: int, sentence: str) -> None:
    """With a sentence."""
    answered, said = added(alice, about(alice, new_key()), **more)
    assert (answered, sentence in said["error"]) == (status, True)


def test_a_requesters_token_has_no_keys(desk: Desk) -> None:
    """Nor does a call without one."""
    for call in (desk.asker.get("/desk/keys"), desk.asker.post("/desk/keys", json={})):
        assert call.status_code == 403
    with desk.client(None) as nobody:
        assert nobody.post(f"/desk/keys/{uuid.uuid4()}/remove").status_code == 401


@pytest.mark.parametrize("reaches", [True, False], ids=["stored", "lost"])
def test_a_commit_whose_answer_is_lost_is_answered_rightly(
    postgres_cluster: Cluster, served_url: str, reaches: bool
) -> None:
    """The key is added once, and removed once."""
    with CommitProxy(postgres_cluster.port) as proxy:
        with Team(served_url.replace(str(postgres_cluster.port), str(proxy.port))) as far:
            alice = Signer(far.desk(), "alice")
            said = about(alice, new_key())
            with alice.desk.client(alice.desk.session()) as client:
                proof = {"kind": "ssh", "signature": alice.key.sign(said.signed_line)}
                body = {"public_key": said.public_key, "label": "new", "statement": said.text, "proof": proof}
                proxy.break_next(reaches=reaches)
                answer = client.post("/desk/keys", json=body)
                assert (answer.status_code, len(own(alice)["keys"])) == (201, 2)
                proxy.break_next(reaches=reaches)
                assert client.post(f"/desk/keys/{answer.json()['id']}/remove").status_code == 200
                assert len(own(alice)["keys"]) == 1
        assert proxy.broken == 2
