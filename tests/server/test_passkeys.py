"""Enrolling passkeys: by an administrator's link, or with another passkey, and never by a stranger."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from molecule_approve.proofs.enrolled import EnrolledKey
from molecule_approve.proofs.keys_file import parse_keys
from molecule_approve.proofs.passkey import decode
from molecule_approve.proofs.presence import Presence
from molecule_approve.server import enrolment
from molecule_approve.server.passkeys import PasskeySite
from molecule_approve.server.run import Running, ServePlan
from tests.proofs.signing import SoftwareHardwareKey
from tests.server.commits import CommitProxy
from tests.server.desk import desk_of
from tests.server.passkey_desk import PasskeyDesk, addition_challenge, enrolment_challenge
from tests.server.team import Team

if TYPE_CHECKING:
    import httpx

    from molecule_approve.paths import Places
    from tests.proofs.signing import PrivateKey
    from tests.server.conftest import OpenDesk
    from tests.server.desk import Desk
    from tests.server.postgres import Cluster

BOTH_DATABASES = True


@pytest.fixture
def house(desk: Desk) -> Iterator[PasskeyDesk]:
    """A desk, whose approvers are alice and bo; nobody has a passkey."""
    desk.server.add_approver("bo")
    with PasskeyDesk(desk) as found:
        yield found


def _keys(house: PasskeyDesk, name: str = "alice") -> list[str]:
    """What the approver's passkeys are called."""
    return [key["label"] for key in house.client(name).get("/desk/passkeys").json()["keys"]]


def _refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_a_passkey_is_enrolled_by_a_link(house: PasskeyDesk) -> None:
    """The code says whom it is for, and where; then it enrols one passkey, and is used up."""
    code, made_by = house.code(), house.authenticator(counter=3)
    with house.desk.client(None) as stranger:
        invited = stranger.post("/desk/keys/invitation", json={"code": code}).json()
    assert (invited["name"], invited["rp_id"], invited["page"]) == ("alice", "localhost", house.origin)
    assert (invited["available"], invited["known"]) == (True, [])
    answer = house.enrol(made_by, code)
    assert (answer.status_code, answer.json()) == (201, {"name": "alice", "label": "laptop", "status": "enrolled"})
    found = house.client().get("/desk/passkeys").json()
    assert (found["user"], found["name"], _keys(house), _keys(house, "bo")) == (invited["user"], "alice", ["laptop"], [])
    [stored] = house.desk.select("SELECT kind, public_key, credential_id, rp_id, sign_count, added_by FROM approver_keys")
    passkey = made_by.passkey
    assert stored == ("passkey", passkey.public_key, passkey.credential_id, "localhost", 3, "administrator")
    assert _refusal(house.enrol(house.authenticator(credential_id=b"another"), code)) == (401, "wrong_code")
    with house.desk.client(None) as stranger:
        assert _refusal(stranger.post("/desk/keys/invitation", json={"code": code})) == (401, "wrong_code")
        again = stranger.post("/desk/keys/invitation", json={"code": house.code()}).json()
    assert again["known"] == [passkey.credential_id]


def test_without_a_valid_code_no_passkey_is_looked_at(house: PasskeyDesk) -> None:
    """What a stranger sends as one does not even reach the library that parses it."""
    made = {"label": "x", "credential_id": "AAAA", "client_data": "AAAA", "attestation": "AAAA"}
    with house.desk.client(None) as stranger:
        assert _refusal(stranger.post("/desk/keys/passkey", json={"code": "x" * 43, **made})) == (401, "wrong_code")
        assert _refusal(stranger.post("/desk/keys/passkey", json={"code": house.code(), **made})) == (422, "bad_proof")


def test_an_ssh_key_is_not_among_the_passkeys(house: PasskeyDesk) -> None:
    """Neither where one's own are listed, nor among those that a browser must not make again."""
    house.enrolled()
    with house.desk.server.opened() as store:
        enrolment.enrol_ssh(store, "alice", SoftwareHardwareKey().text, None)
    assert _keys(house) == ["laptop"]
    with house.desk.client(None) as stranger:
        known = stranger.post("/desk/keys/invitation", json={"code": house.code()}).json()["known"]
    assert known == [house.authenticator().passkey.credential_id]


def test_an_exported_passkey_has_to_prove_a_touch(house: PasskeyDesk) -> None:
    """On the server's page, with its port; without a page, at the host that it is bound to."""
    passkey = house.enrolled().passkey
    with house.desk.server.opened() as store:
        for page, origin in ((house.origin, house.origin), (None, "https://localhost")):
            *_, line = enrolment.exported(store, "alice", page)
            ring = parse_keys(f"approvals 1\n{line}\n".encode())
            assert ring.keys == (EnrolledKey("alice", replace(passkey, origins=(origin,)), Presence.REQUIRED),)
        assert [line for line in enrolment.exported(store, "bo", house.origin) if " passkey " in line] == []


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE key_codes SET made = made - 600",
        "UPDATE key_codes SET made = made + 60",
        "DELETE FROM key_codes",
        "UPDATE approvers SET revoked_at = '2026-11-28T22:00:00.000000Z' WHERE name = 'alice'",
    ],
)
def test_a_stranger_enrols_nothing(house: PasskeyDesk, change: str) -> None:
    """A link that is too old, of a time to come, unknown, or of somebody who was revoked, is worth nothing."""
    code = house.code()
    house.desk.change(change)
    assert _refusal(house.enrol(house.authenticator(), code)) == (401, "wrong_code")
    assert house.desk.select("SELECT id FROM approver_keys") == []


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"origin": "http://localhost:1"}, "Unexpected client data origin"),
        ({"rp_id": "example.org"}, "Unexpected RP ID hash"),
        ({"flags": 0x04}, "User presence was required"),
        ({"flags": 0x01}, "User verification is required"),
        ({"said": {"type": "webauthn.get"}}, "Unexpected client data type"),
        ({"said": {"challenge": "AAAA"}}, "Client data challenge was not expected"),
    ],
)
def test_a_passkey_that_was_made_otherwise_is_not_enrolled(house: PasskeyDesk, changed: dict[str, Any], why: str) -> None:
    """On another page or host, without a person, or for something else; the link can still be used."""
    code = house.code()
    answer = house.enrol(house.authenticator(**changed), code)
    assert _refusal(answer) == (422, "bad_proof")
    assert why in answer.json()["error"]
    assert house.enrol(house.authenticator(), code).status_code == 201


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"attestation": "AAAA"}, 422),
        ({"attestation": 1}, 400),
        ({"client_data": None}, 400),
        ({"label": " "}, 422),
        ({"label": "a\u202eb"}, 422),
        ({"label": "x" * 65}, 422),
        ({"proof": {}}, 400),
        ({"code": 1}, 400),
    ],
)
def test_a_body_that_is_none_enrols_nothing(house: PasskeyDesk, changed: dict[str, Any], status: int) -> None:
    """Fields that are missing or malformed, a blank label, and two things that vouch."""
    assert house.enrol(house.authenticator(), house.code(), **changed).status_code == status
    assert _keys(house) == []


def test_a_key_is_enrolled_once(house: PasskeyDesk) -> None:
    """By nobody else, and not again after it was removed; nor by what only another passkey could vouch for."""
    made_by = house.enrolled()
    assert _refusal(house.enrol(made_by, house.code("bo"))) == (409, "key_known")
    house.desk.change("UPDATE approver_keys SET removed_at = added_at")
    assert _refusal(house.enrol(made_by, house.code())) == (409, "key_known")
    with house.desk.client(None) as client:
        body = {"label": "x", "proof": {}, **house.authenticator().make(bytes(32))}
        assert client.post("/desk/keys/passkey", json=body).status_code == 400


Further = Callable[..., "httpx.Response"]


@pytest.fixture
def further(house: PasskeyDesk) -> Further:
    """Makes another passkey, for which one of alice's vouches, and enrols it in the session of the one who is named."""

    def enrolled(vouching: Any, name: str = "alice", about: bytes | None = None) -> httpx.Response:  # noqa: ANN401 - an authenticator
        client = house.client(name)
        user = client.get("/desk/passkeys").json()["user"]
        made = house.authenticator(credential_id=b"further").make(enrolment_challenge(user))
        proof = vouching.sign(addition_challenge(user, made["attestation"]) if about is None else about)
        return client.post("/desk/keys/passkey/further", json={"label": "key", **made, "proof": proof})

    return enrolled


def test_a_passkey_vouches_for_another(house: PasskeyDesk, further: Further) -> None:
    """Of the same approver, who is signed in; who vouched is kept."""
    vouching = house.enrolled()
    answer = further(vouching)
    assert (answer.status_code, _keys(house)) == (201, ["laptop", "key"])
    [(first,), (added_by,)] = (
        house.desk.select("SELECT id FROM approver_keys WHERE label = 'laptop'"),
        house.desk.select("SELECT added_by FROM approver_keys WHERE label = 'key'"),
    )
    assert added_by == first
    assert house.desk.select("SELECT sign_count FROM approver_keys WHERE label = 'laptop'") == [(vouching.counter,)]


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"flags": 0x01}, "did not verify the person"),
        ({"counter": 1}, "was not greater than current count"),
        ({"origin": "http://localhost:1"}, "was used on the page"),
        ({"credential_id": b"unknown"}, "not enrolled for this approver"),
    ],
)
def test_a_passkey_that_is_not_used_rightly_vouches_for_none(
    house: PasskeyDesk, further: Further, changed: dict[str, Any], why: str
) -> None:
    """Without its person, with a counter that went back, on another page, or by one that is not enrolled."""
    vouching = house.enrolled()
    for name, value in changed.items():
        setattr(vouching, name, value)
    answer = further(vouching)
    assert _refusal(answer) == (422, "bad_proof")
    assert why in answer.json()["error"]
    assert _keys(house) == ["laptop"]


def test_a_passkey_vouches_for_nobody_elses(house: PasskeyDesk, further: Further) -> None:
    """Nor for another key than the one that it signed for; and who is not signed in adds none."""
    vouching = house.enrolled()
    assert _refusal(further(vouching, "bo")) == (422, "bad_proof")
    assert _refusal(further(vouching, about=bytes(32))) == (422, "bad_proof")
    code = house.code()
    made = house.authenticator(credential_id=b"new").make(enrolment_challenge(code))
    assert house.client().post("/desk/keys/passkey/further", json={"label": "x", "code": code, **made}).status_code == 400
    with house.desk.client(None) as stranger:
        assert stranger.post("/desk/keys/passkey/further", json={}).status_code == 401
        assert stranger.get("/desk/passkeys").status_code == 401
    assert house.desk.asker.get("/desk/passkeys").status_code == 403


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("http://127.0.0.1:8788", ("localhost", ("http://localhost:8788",), "http://localhost:8788")),
        ("https://[::1]:8788", ("localhost", ("https://localhost:8788",), "https://localhost:8788")),
        ("http://127.0.0.1", ("localhost", ("http://localhost",), "http://localhost")),
        ("https://approve.example.org/a/", ("approve.example.org", ("https://approve.example.org",), None)),
        ("http://192.0.2.7:80", (None, (), None)),
    ],
)
def test_passkeys_are_bound_to_a_name(page: str, expected: tuple[Any, ...]) -> None:
    """Of a public address its own; on this machine ``localhost``, whichever number it has; another number has none."""
    site = PasskeySite.of(page)
    assert (site.rp_id, site.origins, site.works) == (*expected[:2], expected[0] is not None)
    assert site.page == (expected[2] if site.rp_id != "approve.example.org" else "https://approve.example.org/a")


@pytest.mark.parametrize("reaches", [True, False], ids=["stored", "lost"])
def test_an_enrolment_whose_commit_was_not_answered_is_made_once(
    postgres_cluster: Cluster, served_url: str, reaches: bool
) -> None:
    """By a link, and with another passkey: it is tried again, and the code is not found used, nor the key known."""
    with CommitProxy(postgres_cluster.port) as proxy:
        with (
            Team(served_url.replace(str(postgres_cluster.port), str(proxy.port))) as far,
            PasskeyDesk(far.desk()) as house,
        ):
            code, vouching, user = house.code(), house.authenticator(), house.client().get("/desk/passkeys").json()["user"]
            proxy.break_next(reaches=reaches)
            assert house.enrol(vouching, code).status_code == 201
            vouching.counter += 1
            made = house.authenticator(credential_id=b"further").make(enrolment_challenge(user))
            proof = vouching.sign(addition_challenge(user, made["attestation"]))
            proxy.break_next(reaches=reaches)
            body = {"label": "key", **made, "proof": proof}
            assert house.client().post("/desk/keys/passkey/further", json=body).status_code == 201
            assert _keys(house) == ["laptop", "key"]
        assert proxy.broken == 2


def test_guesses_of_codes_are_counted(open_desk: OpenDesk) -> None:
    """As failed logins are."""
    desk = open_desk(failed_login_rate=1)
    with desk.client(None) as stranger:
        tries = [stranger.post("/desk/keys/invitation", json={"code": f"guess {number}"}) for number in range(2)]
    assert [answer.status_code for answer in tries] == [401, 429]


def test_a_public_page_has_the_passkeys(server_places: Places) -> None:
    """Where it can be reached by a name; whoever calls this machine is told where that is."""
    plan = ServePlan(server_places, public_url="https://approve.example.org/a")
    with Running(plan) as server, desk_of(server) as desk, PasskeyDesk(desk) as house:
        found = house.client().get("/desk/passkeys").json()
        with desk.server.opened() as store:
            code = enrolment.new_key_code(store, "alice")
    assert (found["rp_id"], found["page"]) == ("approve.example.org", "https://approve.example.org/a")
    assert enrolment.enrolment_link("https://approve.example.org/a/", code) == f"{found['page']}/#enrol={code}"
    assert enrolment.enrolment_link("http://192.0.2.7/", code) is None


def test_without_the_library_there_are_no_passkeys(house: PasskeyDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page is told, links enrol nothing, and a passkey that was enrolled before signs nothing."""
    signs, asked = house.enrolled(), house.desk.ask()
    statement, code = house.statement(asked), house.code()
    monkeypatch.setitem(sys.modules, "webauthn", None)
    assert house.client().get("/desk/passkeys").json()["available"] is False
    assert _refusal(house.enrol(house.authenticator(), code)) == (404, "no_passkeys")
    answer = house.decide(asked, statement, signs.sign(statement.digest))
    assert _refusal(answer) == (422, "bad_proof")
    assert "molecule-approve[passkeys]" in answer.json()["error"]


MAKERS: tuple[Callable[[], PrivateKey] | None, ...] = (
    None,
    ed25519.Ed25519PrivateKey.generate,
    lambda: rsa.generate_private_key(65_537, 2_048),
)


@pytest.mark.parametrize("make", MAKERS)
def test_each_kind_of_key_is_enrolled_and_signs(house: PasskeyDesk, make: Callable[[], PrivateKey] | None) -> None:
    """ECDSA on P-256, Ed25519, RSA."""
    signs = house.authenticator()
    signs.private = signs.private if make is None else make()
    assert house.enrol(signs, house.code()).status_code == 201
    signs.counter += 1
    asked = house.desk.ask()
    statement = house.statement(asked)
    assert house.decide(asked, statement, signs.sign(statement.digest)).json()["status"] == "approved"
    assert [one["proof"] for one in house.desk.one(asked)["decisions"]] == ["passkey"]
    assert decode(signs.passkey.public_key)


def test_a_weak_key_is_not_enrolled(house: PasskeyDesk) -> None:
    """The link stays valid for a better one."""
    signs, code = house.authenticator(), house.code()
    signs.private = rsa.generate_private_key(65537, 1024)
    refused = house.enrol(signs, code)
    assert (refused.status_code, "RSA keys have" in refused.json()["error"]) == (422, True), refused.text
    assert house.enrol(house.authenticator(), code).status_code == 201
