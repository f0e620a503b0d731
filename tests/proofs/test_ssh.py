"""SSH signatures over statements."""

from __future__ import annotations

import base64
import subprocess
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from molecule_approve.proofs.faults import ProofError
from molecule_approve.proofs.ssh import check_ssh_signature, parse_ssh_key, parse_ssh_signature
from tests.proofs.signing import (
    SoftwareHardwareKey,
    armor,
    generated,
    mpint,
    public_text,
    signed_by,
    sshsig,
    string,
)

MESSAGE = b"ab" * 32 + b"\n"

KINDS = [("ed25519",), ("ecdsa", "-b", "256"), ("ecdsa", "-b", "384"), ("ecdsa", "-b", "521"), ("rsa", "-b", "2048")]
SK_KINDS = ["sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"]


@cache
def key_of(*kind: str) -> Path:
    """One key of each kind for all tests: making one takes time."""
    return generated(Path(mkdtemp(prefix="ma-keys-")), *kind)


@pytest.mark.parametrize("hash_name", ["sha256", "sha512"])
@pytest.mark.parametrize("kind", KINDS, ids=" ".join)
def test_a_signature_of_openssh_fits_its_message_alone(kind: tuple[str, ...], hash_name: str) -> None:
    """Every kind of key that OpenSSH makes is taken, with both hashes; another message is refused."""
    path = key_of(*kind)
    key, signature = parse_ssh_key(public_text(path)), signed_by(path, MESSAGE, "-O", f"hashalg={hash_name}")
    found = check_ssh_signature(signature, key, MESSAGE)
    assert (found.touched, found.verified, key.is_hardware) == (False, False, False)
    with pytest.raises(ProofError, match="does not fit the statement"):
        check_ssh_signature(signature, key, MESSAGE + b"x")


@pytest.mark.parametrize("flags", [0x00, 0x01, 0x04, 0x05])
@pytest.mark.parametrize("kind", SK_KINDS)
def test_a_hardware_key_says_whether_it_was_touched_and_saw_a_pin(kind: str, flags: int) -> None:
    """The flags come from what was signed; OpenSSH takes the same signature whatever they are."""
    hardware = SoftwareHardwareKey(kind, flags=flags)
    found = check_ssh_signature(hardware.sign(MESSAGE), hardware.key, MESSAGE)
    assert (found.touched, found.verified, found.counter) == (bool(flags & 1), bool(flags & 4), 7)


@pytest.mark.parametrize("kind", SK_KINDS)
def test_openssh_agrees_that_the_software_made_signature_is_valid(kind: str, tmp_path: Path) -> None:
    """What the tests make in software is what hardware keys make, as far as OpenSSH can tell."""
    hardware = SoftwareHardwareKey(kind)
    (tmp_path / "allowed").write_text(f"alice {hardware.text}\n")
    (tmp_path / "sig").write_text(hardware.sign(MESSAGE))
    command = ["ssh-keygen", "-Y", "verify", "-f", "allowed", "-I", "alice", "-n", "molecule-approve@v1", "-s", "sig"]
    assert subprocess.run(command, cwd=tmp_path, input=MESSAGE, capture_output=True, check=False).returncode == 0


def test_flags_that_were_changed_afterwards_do_not_fit() -> None:
    """A signature without a touch cannot be made into one with a touch."""
    hardware = SoftwareHardwareKey(flags=0)
    blob = base64.b64decode("".join(hardware.sign(MESSAGE).splitlines()[1:-1]))
    touched = armor(blob[:-5] + b"\x01" + blob[-4:])
    assert parse_ssh_signature(touched).touched
    with pytest.raises(ProofError, match="does not fit the statement"):
        check_ssh_signature(touched, hardware.key, MESSAGE)


def test_a_signature_for_something_else_proves_nothing() -> None:
    """A signature over a file or a commit, in another namespace, is refused."""
    path = key_of("ed25519")
    with pytest.raises(ProofError, match="made for 'git', not for"):
        check_ssh_signature(signed_by(path, MESSAGE, namespace="git"), parse_ssh_key(public_text(path)), MESSAGE)


def test_a_signature_by_another_key_is_refused() -> None:
    """The message names both keys."""
    ours, theirs = (parse_ssh_key(public_text(key_of(*kind))) for kind in KINDS[:2])
    with pytest.raises(ProofError, match=r"by the key SHA256:\S+, not by SHA256:"):
        check_ssh_signature(signed_by(key_of("ed25519"), MESSAGE), theirs, MESSAGE)
    listed = subprocess.run(["ssh-keygen", "-lf", key_of("ed25519")], capture_output=True, check=True, text=True).stdout
    assert ours.fingerprint in listed


PLAIN = ("ed25519",)


def _public(*kind: str) -> bytes:
    return parse_ssh_key(public_text(key_of(*kind))).blob


def _signature(*parts: bytes, magic: bytes = b"SSHSIG\x00\x00\x00\x01") -> str:
    return armor(magic + b"".join(parts))


MALFORMED = {
    "": "not an SSH signature",
    "-----BEGIN SSH SIGNATURE-----\nA===\n-----END SSH SIGNATURE-----\n": "not base64",
    _signature(b"", magic=b"SSHSIG"): "cut off",
    _signature(b"", magic=b"SSHSIX\x00\x00\x00\x01"): "version 1",
    _signature(b"", magic=b"SSHSIG\x00\x00\x00\x02"): "version 1",
    _signature(string(string("é"))): "not ASCII",
}


@pytest.mark.parametrize(("armored", "why"), MALFORMED.items())
def test_what_is_not_a_signature_is_refused(armored: str, why: str) -> None:
    """Each has its reason."""
    with pytest.raises(ProofError, match=why):
        parse_ssh_signature(armored)


def test_every_field_of_a_signature_is_checked() -> None:
    """Other hashes, algorithms and lengths are refused, each with its reason."""
    key, ecdsa, rsa_key = (parse_ssh_key(public_text(key_of(*kind))) for kind in (PLAIN, KINDS[1], KINDS[4]))
    good = string("ssh-ed25519") + string(b"\0" * 64)
    namespace = string("molecule-approve@v1")
    reserved = sshsig(key.blob, good).replace(namespace + string(b""), namespace + string(b"x"))
    cases = [
        (key, reserved, "uses a field that is reserved"),
        (key, sshsig(key.blob, good, hash_name="sha1"), "'sha1' as its hash"),
        (key, sshsig(key.blob, good) + b"x", "goes on after its end"),
        (key, sshsig(key.blob, good + b"x"), "goes on after its end"),
        (key, sshsig(key.blob, string("ssh-rsa") + string(b"")), "uses the algorithm 'ssh-rsa'"),
        (rsa_key, sshsig(rsa_key.blob, string("ssh-rsa") + string(b"\1" * 256)), "uses the algorithm 'ssh-rsa'"),
        (ecdsa, sshsig(ecdsa.blob, string(ecdsa.kind) + string(string(b"\xff") + mpint(1))), "negative, or has leading"),
        (ecdsa, sshsig(ecdsa.blob, string(ecdsa.kind) + string(string(b"\0\1") + mpint(1))), "negative, or has leading"),
        (ecdsa, sshsig(ecdsa.blob, string(ecdsa.kind) + string(mpint(1) + mpint(1) + b"x")), "goes on after its end"),
        (ecdsa, sshsig(ecdsa.blob, string(ecdsa.kind) + string(string(b"") + mpint(1))), "does not fit"),
        (key, sshsig(key.blob, good), "does not fit"),
    ]
    for owner, blob, why in cases:
        with pytest.raises(ProofError, match=why):
            check_ssh_signature(armor(blob), owner, MESSAGE)


def _line(blob: bytes, kind: str = "ssh-ed25519") -> str:
    return f"{kind} {base64.b64encode(blob).decode()}"


def _rsa_line(bits: int) -> str:
    public = rsa.generate_private_key(65_537, bits).public_key()
    return public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


POINT = string("ssh-ed25519") + string(b"\1" * 32)

KEYS = {
    "": "two words",
    "ssh-ed25519": "two words",
    "ssh-ed25519 A": "not base64",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB==": "base64",
    _line(POINT, "ssh-rsa"): "says 'ssh-rsa' in front",
    _line(POINT + b"x"): "goes on after its end",
    _line(string("ssh-ed25519") + string(b"\1" * 31)): "not those of a key",
    _line(string("ssh-dss"), "ssh-dss"): "'ssh-dss' are not taken",
    _line(string("ecdsa-sha2-nistp256") + string("nistp384") + string(b"\4"), "ecdsa-sha2-nistp256"): "are not taken",
    _line(string("ecdsa-sha2-nistp256") + string("nistp256") + string(b"\4" + b"\1" * 64), "ecdsa-sha2-nistp256"): "numbers",
    _line(string("ecdsa-sha2-secp256k1"), "ecdsa-sha2-secp256k1"): "are not taken",
    _line(string("sk-ssh-ed25519") + string(b"\1" * 32) + string("ssh:"), "sk-ssh-ed25519"): "are not taken",
    _line(string("ssh-ed25519@openssh.com") + string(b"\1" * 32), "ssh-ed25519@openssh.com"): "are not taken",
    _line(string("sk-ssh-rsa@openssh.com"), "sk-ssh-rsa@openssh.com"): "are not taken",
    SoftwareHardwareKey(application="https://example.org").text: "made for something else than SSH",
}


@pytest.mark.parametrize(("text", "why"), KEYS.items(), ids=map(str, range(len(KEYS))))
def test_a_key_that_cannot_be_taken_is_refused(text: str, why: str) -> None:
    """Malformed keys, other kinds, and hardware keys of web pages: each has its reason."""
    with pytest.raises(ProofError, match=why):
        parse_ssh_key(text)


def test_a_short_rsa_key_is_refused() -> None:
    """1,024 bits are too few."""
    with pytest.raises(ProofError, match="RSA keys have 2,048 to 16,384 bits"):
        parse_ssh_key(_rsa_line(1_024))


def test_a_key_keeps_its_text() -> None:
    """The comment goes, the rest is what OpenSSH wrote."""
    for kind in KINDS:
        assert parse_ssh_key(public_text(key_of(*kind))).text == public_text(key_of(*kind)).removesuffix(" test\n")
