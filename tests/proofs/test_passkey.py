"""Passkeys' assertions, checked with the enrolled key alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from molecule_approve.proofs.faults import ProofError
from molecule_approve.proofs.passkey import Assertion, check_assertion, decode, encode, read_assertion
from tests.proofs.signing import PrivateKey, SoftwareAuthenticator

CHALLENGE = b"\x07" * 32


def checked(authenticator: SoftwareAuthenticator, **changed: str) -> Assertion:
    """The assertion, if it fits."""
    found = read_assertion({**authenticator.sign(CHALLENGE), **changed})
    check_assertion(found, authenticator.passkey, CHALLENGE)
    return found


MAKERS: list[Callable[[], PrivateKey]] = [
    lambda: ec.generate_private_key(ec.SECP256R1()),
    ed25519.Ed25519PrivateKey.generate,
    lambda: rsa.generate_private_key(65_537, 2_048),
]


@pytest.mark.parametrize("make", MAKERS, ids=["p-256", "ed25519", "rsa"])
def test_an_assertion_over_the_challenge_counts(make: Callable[[], PrivateKey]) -> None:
    """All kinds of keys of authenticators are taken; the counter and the check of the person are read."""
    authenticator = SoftwareAuthenticator()
    authenticator.private = make()
    found = checked(authenticator)
    assert (found.verified, found.counter) == (True, 3)
    authenticator.flags = 0x01
    assert checked(authenticator).verified is False


WRONG = {
    "nobody touched": {"flags": 0x04},
    "for another host": {"rp_id": "example.org"},
    "on the page 'http://localhost:1'": {"origin": "http://localhost:1"},
    "for something else than to sign": {"said": {"type": "webauthn.create"}},
    "signed another statement": {"said": {"challenge": encode(b"\x08" * 32)}},
    "in a frame of another page": {"said": {"crossOrigin": True}},
    "a frame of another page": {"said": {"topOrigin": "https://example.org"}},
}


@pytest.mark.parametrize(("why", "changed"), WRONG.items())
def test_an_assertion_that_was_made_otherwise_is_refused(why: str, changed: dict[str, object]) -> None:
    """No touch, another host, page, use or statement, and a frame: each has its reason."""
    authenticator = SoftwareAuthenticator()
    enrolled = authenticator.passkey
    for name, value in changed.items():
        setattr(authenticator, name, value)
    with pytest.raises(ProofError, match=why):
        check_assertion(read_assertion(authenticator.sign(CHALLENGE)), enrolled, CHALLENGE)


def test_a_changed_assertion_is_refused() -> None:
    """The signature covers all of it."""
    authenticator = SoftwareAuthenticator()
    data = decode(authenticator.sign(CHALLENGE)["authenticator_data"])
    counted = encode(data[:-1] + b"\x09")
    with pytest.raises(ProofError, match="does not fit the statement"):
        checked(authenticator, authenticator_data=counted)
    with pytest.raises(ProofError, match="by another passkey"):
        checked(authenticator, credential_id=encode(b"another"))
    with pytest.raises(ProofError, match="is not JSON"):
        checked(authenticator, client_data=encode(b"{"))
    with pytest.raises(ProofError, match="something else than to sign"):
        checked(authenticator, client_data=encode(b"[]"))


def test_a_malformed_proof_is_refused() -> None:
    """Missing fields, other spellings of base64url, and data that is cut off."""
    authenticator = SoftwareAuthenticator()
    for name, value, why in (
        ("signature", None, "is missing"),
        ("signature", "a+b/", "not base64url"),
        ("signature", "é", "not base64url"),
        ("signature", "A", "not base64url"),
        ("authenticator_data", encode(b"\0" * 36), "cut off"),
    ):
        with pytest.raises(ProofError, match=why):
            read_assertion({**authenticator.sign(CHALLENGE), name: value})


def test_a_key_that_cannot_sign_is_refused() -> None:
    """A public key that is malformed, or not one for signatures."""
    authenticator = SoftwareAuthenticator()
    found = read_assertion(authenticator.sign(CHALLENGE))
    other = x25519.X25519PrivateKey.generate().public_key()
    der = other.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    for public_key, why in ((encode(b"x"), "malformed"), (encode(der), "algorithm is not taken")):
        with pytest.raises(ProofError, match=why):
            check_assertion(found, replace(authenticator.passkey, public_key=public_key), CHALLENGE)
