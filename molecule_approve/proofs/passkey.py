"""Passkeys: an assertion over a statement, checked with the enrolled key alone (WebAuthn level 3, section 7.2).

The embedded server checks assertions by a library, too; this is what a gate and ``receipt verify`` need.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

from molecule_approve.strict_json import StrictJsonError, loads

from .faults import ProofError
from .strength import check_ed25519, check_rsa, key_info

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    from molecule_approve.model import JsonValue

    _Public = Ed25519PublicKey | EllipticCurvePublicKey | RSAPublicKey

_PRESENT, _VERIFIED = 0x01, 0x04
_HEAD = 37
"""Bytes of the authenticator's data: the hash of the host, the flags, the counter."""


@dataclass(frozen=True, slots=True)
class Passkey:
    """An enrolled passkey.

    Attributes:
        rp_id: the host it is bound to.
        origins: the pages that may use it.
        credential_id: the authenticator's name for it, in base64url.
        public_key: SubjectPublicKeyInfo, in base64url: P-256, Ed25519 or RSA.
    """

    rp_id: str
    origins: tuple[str, ...]
    credential_id: str
    public_key: str


@dataclass(frozen=True, slots=True)
class Assertion:
    """What the authenticator and the browser said; the four fields are binary.

    Attributes:
        client_data: the JSON text that the browser signed along: what for, the challenge, the page.
    """

    credential_id: bytes
    client_data: bytes
    authenticator_data: bytes
    signature: bytes

    @property
    def verified(self) -> bool:
        """Whether the authenticator says that it verified the person, by a PIN or biometrics."""
        return bool(self.authenticator_data[32] & _VERIFIED)

    @property
    def counter(self) -> int:
        """How often the key was used, as the authenticator counts; 0 from one that does not."""
        return int.from_bytes(self.authenticator_data[33:_HEAD], "big")


def encode(data: bytes) -> str:
    """Base64url without padding, as WebAuthn writes it."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def decode(text: JsonValue) -> bytes:
    """What :func:`encode` gave; no other spelling of it.

    Raises:
        ProofError: it is something else.
    """
    if not isinstance(text, str):
        raise ProofError("a field of the proof is missing")
    try:
        data = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except ValueError:
        data = b""
    if encode(data) != text:
        raise ProofError("a field of the proof is not base64url")
    return data


def read_assertion(proof: Mapping[str, JsonValue]) -> Assertion:
    """The assertion of a proof.

    Raises:
        ProofError: a field is missing or malformed.
    """
    names = ("credential_id", "client_data", "authenticator_data", "signature")
    found = Assertion(*(decode(proof.get(name)) for name in names))
    if len(found.authenticator_data) < _HEAD:
        raise ProofError("the authenticator's data is cut off")
    return found


def check_assertion(assertion: Assertion, key: Passkey, challenge: bytes) -> None:
    """Check that this key answered the challenge, on one of its pages, and that a person touched it.

    Raises:
        ProofError: it did not.
    """
    if encode(assertion.credential_id) != key.credential_id:
        raise ProofError("it is by another passkey")
    _check_client_data(assertion.client_data, key, challenge)
    data = assertion.authenticator_data
    if not hmac.compare_digest(data[:32], hashlib.sha256(key.rp_id.encode()).digest()):
        raise ProofError(f"the passkey was used for another host than {key.rp_id}")
    if not data[32] & _PRESENT:
        raise ProofError("nobody touched the authenticator")
    _check_signature(assertion, key)


def _check_client_data(client_data: bytes, key: Passkey, challenge: bytes) -> None:
    try:
        said = loads(client_data)
    except StrictJsonError as exc:
        raise ProofError(f"what the browser says is not JSON: {exc}") from None
    if not isinstance(said, dict) or said.get("type") != "webauthn.get":
        raise ProofError("the passkey was used for something else than to sign")
    if said.get("challenge") != encode(challenge):
        raise ProofError("the passkey signed another statement")
    if said.get("origin") not in key.origins:
        raise ProofError(f"the passkey was used on the page {str(said.get('origin'))[:100]!r}")
    if said.get("crossOrigin", False) is not False or "topOrigin" in said:
        raise ProofError("the passkey was used in a frame of another page")


def check_passkey(key: Passkey) -> bytes:
    """The public key as SubjectPublicKeyInfo; this loads the cryptographic library.

    Raises:
        ProofError: it is not one of a kind that is taken.
    """
    return key_info(_load(key))


def _load(key: Passkey) -> _Public:
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - 30 ms, only where something is verified
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_der_public_key  # noqa: PLC0415

    data = decode(key.public_key)
    try:
        public = load_der_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        raise ProofError("the passkey's public key is malformed") from None
    if isinstance(public, ed25519.Ed25519PublicKey):
        check_ed25519(public.public_bytes_raw())
    elif isinstance(public, rsa.RSAPublicKey):
        check_rsa(public.key_size)
    elif not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP256R1):
        raise ProofError("the passkey's algorithm is not taken")
    if key_info(public) != data:
        raise ProofError("the passkey's public key is not in its usual form")  # it could count for two people
    return public


def _check_signature(assertion: Assertion, key: Passkey) -> None:
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - as in _load
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding  # noqa: PLC0415

    public = _load(key)
    signed = assertion.authenticator_data + hashlib.sha256(assertion.client_data).digest()
    try:
        if isinstance(public, ec.EllipticCurvePublicKey):
            public.verify(assertion.signature, signed, ec.ECDSA(hashes.SHA256()))
        elif isinstance(public, ed25519.Ed25519PublicKey):
            public.verify(assertion.signature, signed)
        else:
            public.verify(assertion.signature, signed, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        raise ProofError("the passkey's signature does not fit the statement") from None
