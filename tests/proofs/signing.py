"""Keys for tests: real ones of ssh-keygen, and software that plays a hardware key or an authenticator."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import struct
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import cbor2
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from molecule_approve.proofs.passkey import Passkey, encode
from molecule_approve.proofs.ssh import NAMESPACE, SshKey, parse_ssh_key


def string(data: bytes | str) -> bytes:
    """A length and so many bytes, as SSH writes them."""
    data = data.encode() if isinstance(data, str) else data
    return struct.pack(">I", len(data)) + data


def mpint(number: int) -> bytes:
    """A positive integer, as SSH writes it."""
    return string(number.to_bytes(number.bit_length() // 8 + 1, "big"))


def armor(blob: bytes) -> str:
    """A signature's text."""
    text = base64.b64encode(blob).decode()
    lines = "\n".join(text[at : at + 70] for at in range(0, len(text), 70))
    return f"-----BEGIN SSH SIGNATURE-----\n{lines}\n-----END SSH SIGNATURE-----\n"


def sshsig(public: bytes, signature: bytes, namespace: str = NAMESPACE, hash_name: str = "sha512") -> bytes:
    """A signature in its envelope."""
    fields = (public, namespace, b"", hash_name, signature)
    return b"SSHSIG" + struct.pack(">I", 1) + b"".join(string(field) for field in fields)


def to_be_signed(message: bytes, namespace: str = NAMESPACE, hash_name: str = "sha512") -> bytes:
    """What an SSH key signs for a message."""
    digest = hashlib.new(hash_name, message).digest()
    return b"SSHSIG" + string(namespace) + string(b"") + string(hash_name) + string(digest)


@dataclass
class SoftwareHardwareKey:
    """A program that plays a hardware SSH key: it says of touches and PINs whatever it is told to."""

    kind: str = "sk-ssh-ed25519@openssh.com"
    application: str = "ssh:"
    flags: int = 0x05
    counter: int = 7

    def __post_init__(self) -> None:
        self._ed, self._ec = ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1())

    @property
    def blob(self) -> bytes:
        """The public key."""
        raw = serialization.Encoding.Raw, serialization.PublicFormat.Raw
        if "ed25519" in self.kind:
            return string(self.kind) + string(self._ed.public_key().public_bytes(*raw)) + string(self.application)
        point = self._ec.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
        return string(self.kind) + string("nistp256") + string(point) + string(self.application)

    @property
    def text(self) -> str:
        """As in a .pub file."""
        return f"{self.kind} {base64.b64encode(self.blob).decode()} made in software"

    @property
    def key(self) -> SshKey:
        """The same, parsed."""
        return parse_ssh_key(self.text)

    def sign(self, message: bytes, namespace: str = NAMESPACE) -> str:
        """A signature with the flags that it is told to claim."""
        said = struct.pack(">BI", self.flags, self.counter)
        inner = hashlib.sha256(to_be_signed(message, namespace)).digest()
        data = hashlib.sha256(self.application.encode()).digest() + said + inner
        if "ed25519" in self.kind:
            value = self._ed.sign(data)
        else:
            value = b"".join(map(mpint, decode_dss_signature(self._ec.sign(data, ec.ECDSA(hashes.SHA256())))))
        return armor(sshsig(self.blob, string(self.kind) + string(value) + said, namespace))


def generated(folder: Path, kind: str, *options: str) -> Path:
    """A new private key of ssh-keygen, without a passphrase."""
    if shutil.which("ssh-keygen") is None:
        pytest.skip("ssh-keygen is not installed", allow_module_level=True)
    path = folder / f"key-{kind}-{'-'.join(options)}"
    subprocess.run(["ssh-keygen", "-q", "-t", kind, *options, "-N", "", "-C", "test", "-f", path], check=True)
    return path


def public_text(path: Path) -> str:
    """The public key's file."""
    return path.with_name(f"{path.name}.pub").read_text()


def signed_by(path: Path, message: bytes, *options: str, namespace: str = NAMESPACE) -> str:
    """What ``ssh-keygen -Y sign`` writes."""
    command = ["ssh-keygen", "-q", "-Y", "sign", "-f", str(path), "-n", namespace, *options]
    return subprocess.run(command, input=message, capture_output=True, check=True).stdout.decode()


PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


@dataclass
class SoftwareAuthenticator:
    """A program that plays an authenticator and its browser."""

    rp_id: str = "localhost"
    origin: str = "http://localhost:8788"
    flags: int = 0x05
    counter: int = 3
    said: dict[str, object] = field(default_factory=dict)
    credential_id: bytes = b"credential-of-a-test"

    def __post_init__(self) -> None:
        self.private: PrivateKey = ec.generate_private_key(ec.SECP256R1())

    @property
    def passkey(self) -> Passkey:
        """What is enrolled."""
        der = self.private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return Passkey(self.rp_id, (self.origin,), encode(self.credential_id), encode(der))

    def make(self, challenge: bytes) -> dict[str, str]:
        """What a page sends of the passkey when it is made, without an attestation of the authenticator's own."""
        client = {"type": "webauthn.create", "challenge": encode(challenge), "origin": self.origin, "crossOrigin": False}
        head = hashlib.sha256(self.rp_id.encode()).digest() + struct.pack(">BI", self.flags | 0x40, self.counter)
        credential = bytes(16) + struct.pack(">H", len(self.credential_id)) + self.credential_id + cbor2.dumps(self._cose())
        attestation = {"fmt": "none", "attStmt": {}, "authData": head + credential}
        return {
            "credential_id": encode(self.credential_id),
            "client_data": encode(json.dumps({**client, **self.said}).encode()),
            "attestation": encode(cbor2.dumps(attestation)),
        }

    def _cose(self) -> dict[int, object]:
        """The public key as authenticators write it (RFC 9052)."""
        public = self.private.public_key()
        if isinstance(public, ec.EllipticCurvePublicKey):
            point = public.public_numbers()
            return {1: 2, 3: -7, -1: 1, -2: point.x.to_bytes(32, "big"), -3: point.y.to_bytes(32, "big")}
        if isinstance(public, rsa.RSAPublicKey):
            numbers = public.public_numbers()
            return {1: 3, 3: -257, -1: numbers.n.to_bytes(256, "big"), -2: numbers.e.to_bytes(3, "big")}
        return {1: 1, 3: -8, -1: 6, -2: public.public_bytes_raw()}

    def sign(self, challenge: bytes) -> dict[str, str]:
        """The assertion, as a proof."""
        client = {"type": "webauthn.get", "challenge": encode(challenge), "origin": self.origin, "crossOrigin": False}
        client_data = json.dumps({**client, **self.said}).encode()
        data = hashlib.sha256(self.rp_id.encode()).digest() + struct.pack(">BI", self.flags, self.counter)
        signed = data + hashlib.sha256(client_data).digest()
        if isinstance(self.private, ec.EllipticCurvePrivateKey):
            signature = self.private.sign(signed, ec.ECDSA(hashes.SHA256()))
        elif isinstance(self.private, rsa.RSAPrivateKey):
            signature = self.private.sign(signed, padding.PKCS1v15(), hashes.SHA256())
        else:
            signature = self.private.sign(signed)
        return {
            "kind": "passkey",
            "credential_id": encode(self.credential_id),
            "client_data": encode(client_data),
            "authenticator_data": encode(data),
            "signature": encode(signature),
        }
