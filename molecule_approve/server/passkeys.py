"""Passkeys by py_webauthn: a new one is verified, and each use once more, beside our own check (``proofs.passkey``).

The library is an extra, and takes a while to load: functions import it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from molecule_approve.proofs.faults import ProofError
from molecule_approve.proofs.passkey import Passkey, check_assertion, check_passkey, decode, encode, read_assertion

if TYPE_CHECKING:
    from molecule_approve.model import JsonValue

    from .database.values import KeyRow

_ENROLMENT = b"molecule-approve passkey enrolment v1\n"
_ADDITION = b"molecule-approve passkey addition v1\n"
"""In front of what is hashed: so no other bytes that a key signs can be taken for these."""

_LONGEST = 200
"""Characters of what the library says, which can repeat what it was given."""


@dataclass(frozen=True, slots=True)
class PasskeySite:
    """Where passkeys of this server can be used.

    Attributes:
        rp_id: the host that they are bound to; None if the page has no name that one could be bound to.
        origins: the pages that may use them.
        page: the address of the page there; None as for ``rp_id``.
    """

    rp_id: str | None
    origins: tuple[str, ...]
    page: str | None

    @classmethod
    def of(cls, page: str) -> Self:
        """The site of the page at this address, which may have a path.

        No passkey can be bound to a number; but a loopback address has the name ``localhost``.
        """
        parts = urlsplit(page)
        host, authority = parts.hostname or "", parts.netloc
        number = _number(host)
        if number is not None and not number.is_loopback:
            return cls(None, (), None)
        if number is not None:
            host, authority = "localhost", "localhost" if parts.port is None else f"localhost:{parts.port}"
        origin = f"{parts.scheme}://{authority}"
        return cls(host, (origin,), origin + parts.path.rstrip("/"))

    @property
    def works(self) -> bool:
        """Whether passkeys can be enrolled here, and used."""
        return self.rp_id is not None and is_installed()


@dataclass(frozen=True, slots=True)
class NewPasskey:
    """What an authenticator says of a passkey that it has made. ``public_key`` is SubjectPublicKeyInfo in base64url."""

    credential_id: str
    public_key: str
    aaguid: str
    sign_count: int


def _number(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def is_installed() -> bool:
    """Whether the extra ``passkeys`` is there."""
    return find_spec("webauthn") is not None


def enrolment_challenge(secret: str) -> bytes:
    """What a new passkey signs: the hash of the link's code, or of the approver's id where an older passkey vouches."""
    return hashlib.sha256(_ENROLMENT + secret.encode()).digest()


def addition_challenge(approver_id: str, attestation: JsonValue) -> bytes:
    """What a passkey signs to vouch for a new one: it is about this very key, of this approver.

    Raises:
        ProofError: the attestation is not base64url.
    """
    attested = hashlib.sha256(decode(attestation)).hexdigest()
    return hashlib.sha256(_ADDITION + f"{approver_id}\n{attested}".encode()).digest()


def verify_new(said: Mapping[str, JsonValue], challenge: bytes, site: PasskeySite) -> NewPasskey:
    """The passkey that a browser has made on our page, with a person present and verified.

    Args:
        said: ``credential_id``, ``client_data`` and ``attestation``, in base64url.
        challenge: what it had to sign.
        site: where it had to be made.

    Raises:
        ProofError: it was made elsewhere, for something else, or without a person; or what is said is malformed.
    """
    from webauthn import verify_registration_response  # noqa: PLC0415 - see the top
    from webauthn.helpers import decode_credential_public_key, decoded_public_key_to_cryptography  # noqa: PLC0415

    response = {"clientDataJSON": said.get("client_data"), "attestationObject": said.get("attestation")}
    try:
        found = verify_registration_response(
            credential=_credential(said, response),
            expected_challenge=challenge,
            expected_rp_id=site.rp_id or "",
            expected_origin=list(site.origins),
            require_user_verification=True,
        )
        public = decoded_public_key_to_cryptography(decode_credential_public_key(found.credential_public_key))
    except Exception as exc:  # over bytes from elsewhere the library raises whatever its parsers do
        raise ProofError(f"the passkey was not made for this: {str(exc)[:_LONGEST]}") from exc
    made = NewPasskey(encode(found.credential_id), _spki(public), found.aaguid, found.sign_count)
    check_passkey(Passkey(site.rp_id or "", site.origins, made.credential_id, made.public_key))
    return made


def verify_use(proof: Mapping[str, JsonValue], challenge: bytes, row: KeyRow, origins: tuple[str, ...]) -> None:
    """Check a use of an enrolled passkey once more, and that its counter did not go back.

    Raises:
        ProofError: it does not hold; or the library is missing.
    """
    try:
        from webauthn import verify_authentication_response  # noqa: PLC0415 - see the top
    except ImportError:
        raise ProofError("this server lacks the library for passkeys: pip install 'molecule-approve[passkeys]'") from None

    names = {"clientDataJSON": "client_data", "authenticatorData": "authenticator_data", "signature": "signature"}
    try:
        verify_authentication_response(
            credential=_credential(proof, {theirs: proof.get(ours) for theirs, ours in names.items()}),
            expected_challenge=challenge,
            expected_rp_id=row.rp_id or "",
            expected_origin=list(origins),
            credential_public_key=_cose(row.public_key),
            credential_current_sign_count=row.sign_count,
        )
    except Exception as exc:  # as above
        raise ProofError(str(exc)[:_LONGEST]) from exc


def verify_vouching(
    proof: Mapping[str, JsonValue], challenge: bytes, rows: list[KeyRow], origins: tuple[str, ...]
) -> tuple[KeyRow, int]:
    """The enrolled passkey that answered the challenge, with its person verified; and its counter.

    Raises:
        ProofError: none of them did.
    """
    assertion = read_assertion(proof)
    for row in rows:
        if row.credential_id == encode(assertion.credential_id):
            check_assertion(assertion, passkey_of(row, origins), challenge)
            if not assertion.verified:
                raise ProofError("the authenticator did not verify the person")
            verify_use(proof, challenge, row, origins)
            return row, assertion.counter
    raise ProofError("it is by a passkey that is not enrolled for this approver")


def passkey_of(row: KeyRow, origins: tuple[str, ...]) -> Passkey:
    """An enrolled passkey as proofs know it."""
    return Passkey(row.rp_id or "", origins, row.credential_id or "", row.public_key)


def _credential(said: Mapping[str, JsonValue], response: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return {"id": said.get("credential_id"), "rawId": said.get("credential_id"), "response": response, "type": "public-key"}


def _spki(public: Any) -> str:  # noqa: ANN401 - one of the library's three kinds of keys
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: PLC0415

    return encode(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def _cose(public_key: str) -> bytes:
    """The stored key in the form of RFC 9052, which the library takes; the numbers are those of its tables."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_der_public_key  # noqa: PLC0415
    from webauthn.helpers import encode_cbor  # noqa: PLC0415

    public: Any = load_der_public_key(decode(public_key))
    if isinstance(public, ec.EllipticCurvePublicKey):
        point = public.public_numbers()
        return encode_cbor({1: 2, 3: -7, -1: 1, -2: point.x.to_bytes(32, "big"), -3: point.y.to_bytes(32, "big")})
    if isinstance(public, ed25519.Ed25519PublicKey):
        return encode_cbor({1: 1, 3: -8, -1: 6, -2: public.public_bytes_raw()})
    numbers = public.public_numbers()
    modulus = numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8, "big")
    return encode_cbor({1: 3, 3: -257, -1: modulus, -2: numbers.e.to_bytes(3, "big")})
