"""SSH signatures over statements, checked here because ``ssh-keygen -Y verify`` does not look whether a key was touched.

The formats: PROTOCOL.sshsig, PROTOCOL.u2f and RFC 4253, 5656, 8332 and 8709 (OpenSSH and IETF).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from .faults import ProofError
from .strength import check_ed25519, check_rsa, key_info

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    _Public = Ed25519PublicKey | EllipticCurvePublicKey | RSAPublicKey

NAMESPACE = "molecule-approve@v1"
"""What a signature is made for (``ssh-keygen -Y sign -n``): one made for a file or a commit proves nothing here."""

_MAGIC = b"SSHSIG"
_ARMOR = re.compile(r"-----BEGIN SSH SIGNATURE-----\n([A-Za-z0-9+/=\n]{1,16384})\n-----END SSH SIGNATURE-----\n?\Z")
_HASHES = {"sha256": hashlib.sha256, "sha512": hashlib.sha512}
_CURVES = {"nistp256", "nistp384", "nistp521"}
_RSA_ALGORITHMS = {"rsa-sha2-256", "rsa-sha2-512"}
_IN_FULL = b"\4"
"""In front of a point with both its coordinates: another form would be a second key of the same person."""
_HARDWARE, _HARDWARE_END = "sk-", "@openssh.com"
_TOUCHED, _VERIFIED = 0x01, 0x04


class SshKey(NamedTuple):
    """A public key. ``blob`` is what OpenSSH hashes for the fingerprint."""

    kind: str
    blob: bytes

    @property
    def is_hardware(self) -> bool:
        """Whether it says of itself that it is on a hardware key; a program can say so too."""
        return self.kind.startswith(_HARDWARE)

    @property
    def text(self) -> str:
        """As in authorized_keys, without a comment."""
        return f"{self.kind} {base64.b64encode(self.blob).decode('ascii')}"

    @property
    def fingerprint(self) -> str:
        """As ``ssh-keygen -l`` shows it."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode("ascii").rstrip("=")


@dataclass(frozen=True, slots=True)
class SshSignature:
    """A signature as it was read, not checked yet.

    Attributes:
        key: the key that it says it is by.
        flags: what a hardware key says; None for any other key.
    """

    key: SshKey
    namespace: str
    hash_name: str
    algorithm: str
    value: bytes
    flags: int | None = None
    counter: int = 0

    @property
    def touched(self) -> bool:
        """Whether the key says that a person touched it."""
        return bool((self.flags or 0) & _TOUCHED)

    @property
    def verified(self) -> bool:
        """Whether the key says that it verified the person, by a PIN or biometrics."""
        return bool((self.flags or 0) & _VERIFIED)


class _Fields:
    """The fields of a binary text of SSH, from first to last."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        """So many bytes."""
        end = self._at + count
        if end > len(self._data):
            raise ProofError("it is cut off")
        found, self._at = self._data[self._at : end], end
        return found

    def number(self) -> int:
        """Four bytes."""
        return int(struct.unpack(">I", self.take(4))[0])

    def string(self) -> bytes:
        """A length and so many bytes."""
        return self.take(self.number())

    def text(self) -> str:
        """The same as ASCII."""
        try:
            return self.string().decode("ascii")
        except UnicodeDecodeError:
            raise ProofError("a name in it is not ASCII") from None

    def integer(self) -> int:
        """An integer that is not negative, in its shortest form."""
        data = self.string()
        found = int.from_bytes(data, "big")
        if data != found.to_bytes(found.bit_length() // 8 + 1, "big").removeprefix(b"" if found else b"\0"):
            raise ProofError("a number in it is negative, or has leading zeros")
        return found

    def end(self) -> None:
        """Check that nothing is left."""
        if self._at != len(self._data):
            raise ProofError("it goes on after its end")


def parse_ssh_key(text: str) -> SshKey:
    """A public key as in a ``.pub`` file or authorized_keys; what follows the two words is a comment.

    Raises:
        ProofError: it is none, or of a kind that is not taken (DSA, certificates, RSA below 2,048 bits).
    """
    key = read_ssh_key(text)
    check_ssh_key(key)
    return key


def check_ssh_key(key: SshKey) -> bytes:
    """The key as SubjectPublicKeyInfo, in which no kind but the algorithm stands; this loads the cryptographic library.

    Raises:
        ProofError: its numbers are not those of a key.
    """
    return key_info(_load(key))


def read_ssh_key(text: str) -> SshKey:
    """The same, before :func:`check_ssh_key`.

    Raises:
        ProofError: it is none, or of a kind that is not taken (DSA, certificates).
    """
    words = text.split()
    if len(words) < 2:
        raise ProofError("a public key has two words: its type and its data")
    try:
        blob = base64.b64decode(words[1], validate=True)
    except binascii.Error:
        raise ProofError("the key's data is not base64") from None
    if base64.b64encode(blob).decode("ascii") != words[1]:
        raise ProofError("the key's data is not base64 as it is usually written")
    key = _key(blob)
    if key.kind != words[0]:
        raise ProofError(f"the key says {words[0][:60]!r} in front, and {key.kind[:60]!r} in its data")
    _numbers(key)
    return key


def _key(blob: bytes) -> SshKey:
    return SshKey(_Fields(blob).text(), blob)


def parse_ssh_signature(armored: str) -> SshSignature:
    """A signature as ``ssh-keygen -Y sign`` writes it.

    Raises:
        ProofError: it is none, or made for something else.
    """
    found = _ARMOR.match(armored.replace("\r\n", "\n"))
    if found is None:
        raise ProofError("it is not an SSH signature: there is no -----BEGIN SSH SIGNATURE----- block")
    try:
        fields = _Fields(base64.b64decode(found[1].replace("\n", ""), validate=True))
    except binascii.Error:
        raise ProofError("the SSH signature is not base64") from None
    if fields.take(len(_MAGIC)) != _MAGIC or fields.number() != 1:
        raise ProofError("it is not an SSH signature of version 1")
    key, namespace, reserved, hash_name = _key(fields.string()), fields.text(), fields.string(), fields.text()
    inner = _Fields(fields.string())
    fields.end()
    if namespace != NAMESPACE:
        raise ProofError(f"the SSH signature is made for {namespace[:60]!r}, not for {NAMESPACE!r}")
    if reserved:
        raise ProofError("the SSH signature uses a field that is reserved")
    if hash_name not in _HASHES:
        raise ProofError(f"the SSH signature uses {hash_name[:20]!r} as its hash")
    algorithm, value = inner.text(), inner.string()
    flags, counter = (inner.take(1)[0], inner.number()) if key.is_hardware else (None, 0)
    inner.end()
    return SshSignature(key, namespace, hash_name, algorithm, value, flags, counter)


def check_ssh_signature(armored: str, key: SshKey, message: bytes) -> SshSignature:
    """The signature, if this key made it over the message, for this program.

    Raises:
        ProofError: it did not.
    """
    signature = parse_ssh_signature(armored)
    if signature.key != key:
        raise ProofError(f"the SSH signature is by the key {signature.key.fingerprint}, not by {key.fingerprint}")
    digest = _HASHES[signature.hash_name](message).digest()
    fields = (signature.namespace.encode(), b"", signature.hash_name.encode(), digest)
    signed = _MAGIC + b"".join(struct.pack(">I", len(field)) + field for field in fields)
    _check(signature, signed)
    return signature


# --- the algorithms ----------------------------------------------------------------------------------------------------


class _KeyParts(NamedTuple):
    """What a key consists of: ``point`` for ed25519 and a curve, else RSA's numbers; the application of a hardware key."""

    curve: str
    point: bytes
    rsa: tuple[int, int]
    application: bytes


def _numbers(key: SshKey) -> _KeyParts:
    """The parts of a key of a kind that is taken.

    Raises:
        ProofError: it is of another kind, or malformed.
    """
    fields = _Fields(key.blob)
    kind, curve, point, rsa = fields.text().removeprefix(_HARDWARE).removesuffix(_HARDWARE_END), "", b"", (0, 0)
    if kind == "ssh-ed25519":
        point = fields.string()
    elif kind == "ssh-rsa" and not key.is_hardware:
        rsa = fields.integer(), fields.integer()
    elif kind.startswith("ecdsa-sha2-") and kind.removeprefix("ecdsa-sha2-") in _CURVES:
        curve, point = fields.text(), fields.string()
    else:
        raise ProofError(f"keys of type {key.kind[:60]!r} are not taken")
    application = fields.string() if key.is_hardware else b""
    fields.end()
    expected = f"{_HARDWARE}{kind}{_HARDWARE_END}" if key.is_hardware else kind
    if key.kind != expected or (curve and kind != f"ecdsa-sha2-{curve}"):
        raise ProofError(f"keys of type {key.kind[:60]!r} are not taken")
    if key.is_hardware and not application.startswith(b"ssh:"):
        raise ProofError("the hardware key was made for something else than SSH")
    return _KeyParts(curve, point, rsa, application)


def _load(key: SshKey) -> _Public:
    """The key, as the cryptographic library knows it.

    Raises:
        ProofError: it is of a kind that is not taken, or no valid key.
    """
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: PLC0415 - 30 ms; only to verify

    numbers = _numbers(key)
    if numbers.curve and not numbers.point.startswith(_IN_FULL):
        raise ProofError("the key's point is not written in full")
    try:
        if numbers.curve:
            curves = {"nistp256": ec.SECP256R1(), "nistp384": ec.SECP384R1(), "nistp521": ec.SECP521R1()}
            return ec.EllipticCurvePublicKey.from_encoded_point(curves[numbers.curve], numbers.point)
        if numbers.point:
            check_ed25519(numbers.point)
            return ed25519.Ed25519PublicKey.from_public_bytes(numbers.point)
        public = rsa.RSAPublicNumbers(*numbers.rsa).public_key()
    except ValueError:
        raise ProofError("the key's numbers are not those of a key") from None
    check_rsa(public.key_size)
    return public


def _check(signature: SshSignature, signed: bytes) -> None:
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - as in _load

    key = signature.key
    if key.is_hardware:
        flags = struct.pack(">BI", signature.flags, signature.counter)
        application = hashlib.sha256(_numbers(key).application).digest()
        signed = application + flags + hashlib.sha256(signed).digest()
    try:
        _verify(_load(key), signature, signed)
    except InvalidSignature:
        raise ProofError(f"the SSH signature by {key.fingerprint} does not fit the statement") from None


def _verify(public: _Public, signature: SshSignature, signed: bytes) -> None:
    """Check the bare signature.

    Raises:
        InvalidSignature: it does not fit.
        ProofError: it is made by another algorithm than the key's.
    """
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415 - as in _load
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature  # noqa: PLC0415

    allowed = _RSA_ALGORITHMS if signature.key.kind == "ssh-rsa" else {signature.key.kind}
    if signature.algorithm not in allowed:
        raise ProofError(f"the SSH signature uses the algorithm {signature.algorithm[:60]!r}")
    if isinstance(public, ed25519.Ed25519PublicKey):
        public.verify(signature.value, signed)
    elif isinstance(public, ec.EllipticCurvePublicKey):
        pair = _Fields(signature.value)
        r, s = pair.integer(), pair.integer()
        pair.end()
        chosen = {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}[public.key_size]  # RFC 5656
        public.verify(encode_dss_signature(r, s), signed, ec.ECDSA(chosen))
    else:
        hashed = hashes.SHA256() if signature.algorithm == "rsa-sha2-256" else hashes.SHA512()
        public.verify(signature.value, signed, padding.PKCS1v15(), hashed)
