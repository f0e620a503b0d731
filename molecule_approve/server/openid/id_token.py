"""The check of an ID token (OpenID Connect Core 1.0, 3.1.3.7): signature, issuer, audience, times, nonce.

The only file with joserfc.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

from joserfc import jwt
from joserfc.errors import ClaimError, InvalidKeyIdError, JoseError
from joserfc.jwk import ECKey, Key, KeySet, RSAKey
from joserfc.jws import JWSRegistry
from joserfc.jwt import JWTClaimsRegistry

from molecule_approve.server.tokens import hash_token

from .faults import AnswerError, ProviderError, UnknownKeyError

if TYPE_CHECKING:
    from molecule_approve.model import JsonValue

# With a public key only: never `none`, and never HS*, for which a public key of the provider could be taken as the secret.
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
# A header that nobody must understand is ignored (RFC 7515, 4); one that is `crit` is not.
_SIGNATURES = JWSRegistry(algorithms=_ALGORITHMS, strict_check_header=False)

LEEWAY = 60
"""Seconds by which the provider's clock may differ from ours."""

_RSA_BITS = 2_048
_MANY_KEYS = 100


@dataclass(frozen=True, slots=True)
class Expected:
    """What the ID token must say. ``now`` is the wall clock; of the nonce only the hash is known."""

    issuer: str
    client_id: str
    nonce_hash: str
    now: float


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """A provider's public keys."""

    keys: KeySet


def read_keys(body: JsonValue) -> SigningKeys:
    """Read a JWK set. Keys of other kinds, for encryption, or too short to trust are left out.

    Raises:
        ProviderError: there is no key in it that can be used.
    """
    listed = body.get("keys") if isinstance(body, dict) else None
    found = [_public_key(one) for one in listed[:_MANY_KEYS]] if isinstance(listed, list) else []
    usable = [key for key in found if key is not None]
    if not usable:
        raise ProviderError("the provider has no key that can be used (RSA of 2,048 bits or more, or EC)")
    return SigningKeys(KeySet(usable))


def _public_key(value: JsonValue) -> Key | None:
    if not isinstance(value, dict) or value.get("use", "sig") != "sig":
        return None
    public = {name: part for name, part in value.items() if name not in {"d", "p", "q", "dp", "dq", "qi", "oth"}}
    try:
        if public.get("kty") == "EC":
            return ECKey.import_key(public)  # type: ignore[arg-type]  # it checks the values itself
        if public.get("kty") == "RSA":
            return _long_enough(RSAKey.import_key(public))  # type: ignore[arg-type]  # likewise
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):
        pass  # one bad key does not spoil the others
    return None


def _long_enough(key: RSAKey) -> RSAKey | None:
    return key if key.raw_value.key_size >= _RSA_BITS else None


def check_id_token(text: str, keys: SigningKeys, expected: Expected) -> dict[str, JsonValue]:
    """The claims of an ID token that is genuine, for us, of now, and of this very sign-in.

    Raises:
        UnknownKeyError: it is signed with another key.
        AnswerError: it is not.
    """
    try:
        claims = jwt.decode(text, keys.keys, registry=_SIGNATURES).claims
        _registry(expected).validate(claims)
    except InvalidKeyIdError as exc:
        raise UnknownKeyError("the ID token is signed with an unknown key") from exc
    except ClaimError as exc:
        raise AnswerError(f"the ID token is not acceptable: {exc.error} ({exc.claim})") from exc
    except (JoseError, ValueError, TypeError, KeyError, RecursionError) as exc:
        raise AnswerError("the ID token's signature is not acceptable") from exc
    _check_party(claims, expected.client_id)
    nonce = claims.get("nonce")
    if not isinstance(nonce, str) or not hmac.compare_digest(hash_token(nonce), expected.nonce_hash):
        raise AnswerError("the ID token belongs to another sign-in (nonce)")
    return claims


def _registry(expected: Expected) -> JWTClaimsRegistry:
    return JWTClaimsRegistry(
        now=int(expected.now),
        leeway=LEEWAY,
        iss={"essential": True, "value": expected.issuer},
        aud={"essential": True, "value": expected.client_id},
        sub={"essential": True},
        exp={"essential": True},
        iat={"essential": True},
    )


def _check_party(claims: dict[str, JsonValue], client_id: str) -> None:
    """With several audiences, the token must have been issued to us (``azp``); where that is said, it must be so."""
    audiences, party = claims["aud"], claims.get("azp")
    several = isinstance(audiences, list) and len(audiences) > 1
    if party != client_id and (several or party is not None):
        raise AnswerError("the ID token was issued to another client (azp)")
