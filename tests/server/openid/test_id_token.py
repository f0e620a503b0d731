"""The check of an ID token: the good one passes, and each claim, header and signature that is wrong does not."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey, RSAKey

from molecule_approve.server.openid.faults import AnswerError, ProviderError, UnknownKeyError
from molecule_approve.server.openid.id_token import LEEWAY, Expected, SigningKeys, check_id_token, read_keys
from molecule_approve.server.tokens import hash_token
from tests.server.openid.provider import EC, other_rsa, public, public_as_secret, rsa, signed, unsigned

NOW = 1_800_000_000
EXPECTED = Expected("https://id.example.org", "approvals", hash_token("the-nonce"), NOW + 0.5)
GOOD: dict[str, Any] = {
    "iss": "https://id.example.org",
    "sub": "s-1",
    "aud": "approvals",
    "exp": NOW + 300,
    "iat": NOW - 1,
    "nonce": "the-nonce",
}


def keys(*found: RSAKey | ECKey) -> SigningKeys:
    return read_keys({"keys": [public(key) for key in found or (rsa(), EC)]})


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"aud": ["approvals"]},
        {"aud": "approvals", "azp": "approvals"},
        {"aud": ["approvals", "other"], "azp": "approvals"},
        {"exp": NOW - LEEWAY + 1},
        {"iat": NOW + LEEWAY},
        {"nbf": NOW + LEEWAY},
        {"more": {"deep": [1]}},
    ],
)
def test_a_good_token_gives_its_claims(changed: dict[str, Any]) -> None:
    """Also with one more audience if it was issued to us, and with a clock that differs by a minute."""
    claims = {**GOOD, **changed}
    assert check_id_token(signed(claims), keys(), EXPECTED) == claims


def test_a_token_of_an_elliptic_key_is_as_good() -> None:
    """The key says which algorithm fits it; a header that nobody must understand is ignored."""
    token = signed(GOOD, EC, alg="ES256", tenant="of the provider's own")
    assert check_id_token(token, keys(), EXPECTED)["sub"] == "s-1"


@pytest.mark.parametrize(
    ("changed", "claim"),
    [
        ({"iss": "https://id.example.org/"}, "iss"),
        ({"iss": "https://evil.example.org"}, "iss"),
        ({"iss": ["https://id.example.org"]}, "iss"),
        ({"iss": None}, "iss"),
        ({"aud": "other"}, "aud"),
        ({"aud": ["other"]}, "aud"),
        ({"aud": "approvals2"}, "aud"),
        ({"aud": []}, "aud"),
        ({"aud": {"approvals": 1}}, "aud"),
        ({"aud": None}, "aud"),
        ({"aud": ["approvals", "other"]}, "azp"),
        ({"aud": ["approvals", "other"], "azp": "other"}, "azp"),
        ({"azp": "other"}, "azp"),
        ({"azp": ["approvals"]}, "azp"),
        ({"sub": None}, "sub"),
        ({"sub": 7}, "sub"),
        ({"exp": NOW - LEEWAY}, "exp"),
        ({"exp": None}, "exp"),
        ({"exp": str(NOW + 300)}, "exp"),
        ({"exp": True}, "exp"),
        ({"exp": math.nan}, "exp"),
        ({"exp": math.inf}, "exp"),
        ({"iat": NOW + LEEWAY + 1}, "iat"),
        ({"iat": None}, "iat"),
        ({"nbf": NOW + LEEWAY + 1}, "nbf"),
        ({"nonce": "another"}, "nonce"),
        ({"nonce": None}, "nonce"),
        ({"nonce": hash_token("the-nonce")}, "nonce"),
        ({"nonce": ["the-nonce"]}, "nonce"),
    ],
)
def test_a_wrong_claim_is_refused(changed: dict[str, Any], claim: str) -> None:
    """The sentence names the claim, and repeats nothing of the token."""
    claims = {name: value for name, value in {**GOOD, **changed}.items() if value is not None}
    with pytest.raises(AnswerError, match=claim) as failed:
        check_id_token(signed(claims), keys(), EXPECTED)
    assert "evil" not in str(failed.value)


WRONG: dict[str, Callable[[], str]] = {
    "none": lambda: unsigned(GOOD, {"alg": "none", "kid": "one"}),
    "None": lambda: unsigned(GOOD, {"alg": "None"}),
    "no algorithm": lambda: unsigned(GOOD, {"kid": "one"}),
    "no signature": lambda: unsigned(GOOD, {"alg": "RS256", "kid": "one"}),
    "the client's secret": lambda: signed(
        GOOD, OctKey.import_key("the client's own secret, long enough"), alg="HS256", kid="one"
    ),
    "the public key as a secret": lambda: signed(GOOD, public_as_secret(), alg="HS256", kid="one"),
    "another key": lambda: signed(GOOD, other_rsa()),
    "another kind of key": lambda: signed(GOOD, EC, alg="ES256", kid="one"),
    "an extension": lambda: signed(GOOD, crit=["exp"], exp=1),
    "another signature": lambda: signed(GOOD)[:-4] + "AAAA",
    "an empty part": lambda: signed(GOOD).replace(".", "..", 1),
    "too long": lambda: signed({**GOOD, "pad": "x" * 200_000}),
    "empty": lambda: "",
    "words": lambda: "not a token",
    "no header": lambda: "e30.e30.e30",
    "no ASCII": lambda: "\u00e4.b.c",
}


@pytest.mark.parametrize("token", WRONG.values(), ids=WRONG)
def test_a_wrong_signature_is_refused(token: Callable[[], str]) -> None:
    """No algorithm but ours, no other key, nothing that must be understood and is not, and nothing that is no token."""
    with pytest.raises(AnswerError):
        check_id_token(token(), keys(rsa()), EXPECTED)


def test_a_key_inside_the_token_is_not_taken() -> None:
    """Neither ``jwk`` nor ``jku`` says by which key it is checked."""
    token = signed(GOOD, other_rsa(), jwk=public(other_rsa()), jku="https://evil.example.org/keys")
    with pytest.raises(AnswerError):
        check_id_token(token, keys(rsa()), EXPECTED)


def test_an_unknown_key_is_told_apart() -> None:
    """The provider may have changed its keys; with two keys a token must name one."""
    with pytest.raises(UnknownKeyError):
        check_id_token(signed(GOOD, kid="new"), keys(), EXPECTED)
    with pytest.raises(UnknownKeyError):
        check_id_token(signed(GOOD, kid=None), keys(), EXPECTED)


@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
def test_keys_that_are_no_good_are_left_out() -> None:
    """Symmetric ones, ones for encryption, short ones, broken ones and unknown kinds; the good one among them is used."""
    bad: list[Any] = [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "one"},
        {**public(rsa()), "use": "enc"},
        public(RSAKey.generate_key(1024, {"kid": "short"})),
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "EC", "crv": "P-999", "x": "AA", "y": "AA"},
        {"kty": "RSA", "n": 7, "e": "AQAB"},
        {"kty": "RSA", "n": "!!!", "e": "AQAB"},
        {"kty": "RSA"},
        {"kty": "AKP"},
        {},
        "text",
        None,
    ]
    private: Any = rsa().as_dict(private=True)
    assert len(read_keys({"keys": [*bad, private]}).keys.keys) == 1
    assert not read_keys({"keys": [private]}).keys.keys[0].is_private
    for none in (bad, [], "keys", None):
        with pytest.raises(ProviderError, match="no key that can be used"):
            read_keys({"keys": none})
    with pytest.raises(ProviderError, match="no key that can be used"):
        read_keys([])
