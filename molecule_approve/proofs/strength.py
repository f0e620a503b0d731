"""Public keys with which more people could sign than the one who has the private key, and what tells keys apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .faults import ProofError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

RSA_BITS = range(2_048, 16_385)
"""How many bits RSA keys have here: factoring fewer is a matter of money."""

_FIELD = 2**255 - 19
_SIGN = 1 << 255
_ORDER_8 = (
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
)
_SMALL = {0, 1, _FIELD - 1, *(int.from_bytes(point, "little") for point in _ORDER_8)}
"""The heights of the eight points by which a signature can be made that fits without a private key (RFC 7748, section 6)."""


def check_rsa(bits: int) -> None:
    """Check the size of an RSA key.

    Raises:
        ProofError: it has too few bits, or so many that checking takes long.
    """
    if bits not in RSA_BITS:
        raise ProofError(f"RSA keys have {RSA_BITS.start:,} to {RSA_BITS.stop - 1:,} bits here")


def check_ed25519(point: bytes) -> None:
    """Check that this Ed25519 key is one of somebody, and is written as such keys are.

    Raises:
        ProofError: anybody can sign with it, or the same key has another spelling.
    """
    height = int.from_bytes(point, "little") & ~_SIGN
    if height in _SMALL or height >= _FIELD:
        raise ProofError("anybody could sign with this key, or it is spelt oddly")


def key_info(public: PublicKeyTypes) -> bytes:
    """The key as SubjectPublicKeyInfo in DER (RFC 5280): the same for the same numbers, whatever it is used for."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: PLC0415 - only to verify

    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
