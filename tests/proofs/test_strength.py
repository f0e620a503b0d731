"""Keys that are refused although a library takes them: anybody can sign with them, or they could count for two people."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from molecule_approve.proofs.faults import ProofError
from molecule_approve.proofs.passkey import Passkey, check_passkey, encode
from molecule_approve.proofs.ssh import parse_ssh_key
from tests.proofs.signing import string

FIELD = 2**255 - 19
HEIGHTS = [
    0,
    1,
    FIELD - 1,
    int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"),
    int.from_bytes(bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), "little"),
]
POINTS = [(height | sign << 255).to_bytes(32, "little") for height in HEIGHTS for sign in (0, 1)]
ODD = [(FIELD + height).to_bytes(32, "little") for height in (0, 1, 2)]
DER = bytes.fromhex("302a300506032b6570032100")
"""In front of an Ed25519 key in SubjectPublicKeyInfo."""

CURVE = ec.generate_private_key(ec.SECP256R1()).public_key()
COMPRESSED = CURVE.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)


def as_ssh(kind: str, *fields: bytes | str) -> None:
    """Take it as an SSH key."""
    parse_ssh_key(f"{kind} {base64.b64encode(b''.join(map(string, (kind, *fields)))).decode()}")


def as_passkey(der: bytes) -> None:
    """Take it as a passkey's."""
    check_passkey(Passkey("localhost", ("http://localhost:1",), "AA", encode(der)))


def spki(public: ec.EllipticCurvePublicKey | rsa.RSAPublicKey) -> bytes:
    """A key as passkeys are stored."""
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize("point", [*POINTS, *ODD], ids=bytes.hex)
def test_a_key_that_anybody_can_sign_with_is_refused(point: bytes) -> None:
    """By the eight points of small order; so is every second spelling of a key."""
    takes: list[Callable[[], None]] = [
        lambda: as_ssh("ssh-ed25519", point),
        lambda: as_ssh("sk-ssh-ed25519@openssh.com", point, "ssh:"),
        lambda: as_passkey(DER + point),
    ]
    for take in takes:
        with pytest.raises(ProofError, match="anybody could sign with this key"):
            take()


@pytest.mark.parametrize("point", POINTS, ids=bytes.hex)
def test_without_a_private_key_a_signature_is_found_for_such_a_point(point: bytes) -> None:
    """So the points above are the ones that matter: of a few texts one fits a signature that nobody made."""
    public = ed25519.Ed25519PublicKey.from_public_bytes(point)

    def fits(number: int, answer: bytes) -> bool:
        try:
            public.verify(answer + bytes(32), str(number).encode())
        except InvalidSignature:
            return False
        return True

    assert any(fits(number, answer) for number in range(100) for answer in POINTS)


def test_one_key_is_not_two() -> None:
    """A point in its short form is the same key, and would be listed beside it under another name."""
    with pytest.raises(ProofError, match="not written in full"):
        as_ssh("ecdsa-sha2-nistp256", "nistp256", COMPRESSED)
    head = bytes.fromhex("301306072a8648ce3d020106082a8648ce3d030107")
    bits = b"\x03" + bytes([len(COMPRESSED) + 1, 0]) + COMPRESSED
    with pytest.raises(ProofError, match="not in its usual form"):
        as_passkey(b"\x30" + bytes([len(head) + len(bits)]) + head + bits)
    as_passkey(spki(CURVE))


@pytest.mark.parametrize("curve", [ec.SECP192R1(), ec.SECP256K1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_passkeys_are_on_one_curve(curve: ec.EllipticCurve) -> None:
    """P-256, as the page asks for it."""
    with pytest.raises(ProofError, match="algorithm is not taken"):
        as_passkey(spki(ec.generate_private_key(curve).public_key()))


def test_a_short_rsa_key_is_no_passkey() -> None:
    """Neither is it one for SSH."""
    with pytest.raises(ProofError, match="RSA keys have 2,048 to 16,384 bits"):
        as_passkey(spki(rsa.generate_private_key(65537, 1024).public_key()))
