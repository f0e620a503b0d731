"""The file of approvers' keys."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace

import pytest

from molecule_approve.proofs.enrolled import EnrolledKey
from molecule_approve.proofs.faults import ProofError
from molecule_approve.proofs.keys_file import KeyRing, key_line, parse_keys
from molecule_approve.proofs.presence import Presence
from molecule_approve.proofs.ssh import parse_ssh_key
from tests.proofs.signing import SoftwareAuthenticator, SoftwareHardwareKey, public_text, string
from tests.proofs.test_ssh import KINDS, key_of

HARDWARE = SoftwareHardwareKey()
PLAIN = parse_ssh_key(public_text(key_of(*KINDS[0])))
PASSKEY = SoftwareAuthenticator().passkey
ORIGINS = "http://localhost:1,http://localhost:2"
LINES = {
    "plain": f"cy ssh {PLAIN.text}",
    "hardware": f"alice ssh {HARDWARE.key.text}",
    "passkey": f"bo%20b passkey localhost {ORIGINS} {PASSKEY.credential_id} {PASSKEY.public_key}",
}


def ring(*lines: str) -> KeyRing:
    """The keys of these lines."""
    return parse_keys("\n".join(lines).encode())


def test_each_line_is_a_key_with_what_it_has_to_prove() -> None:
    """Hardware keys and passkeys have to prove a touch, plain keys only themselves; a blank in a name is %20."""
    found = ring("# who may say yes", "", "approvals 2", *LINES.values())
    both = replace(PASSKEY, origins=("http://localhost:1", "http://localhost:2"))
    assert found == KeyRing(
        2,
        (
            EnrolledKey("cy", PLAIN, Presence.SIGNATURE),
            EnrolledKey("alice", HARDWARE.key, Presence.REQUIRED),
            EnrolledKey("bo b", both, Presence.REQUIRED),
        ),
    )
    assert [one.approver for one in found.keys_of("ALICE")] == ["alice"]


def test_a_line_may_ask_for_more_or_less() -> None:
    """A hardware key may be asked for a PIN, or for its signature alone."""
    asked = ["verified", "signature", "required"]
    lines = [f"a{n} ssh {SoftwareHardwareKey().key.text} presence={word}" for n, word in enumerate(asked)]
    assert [one.presence.value for one in ring("approvals 1", *lines).keys] == asked


def test_a_key_is_written_as_it_is_read() -> None:
    """Every key survives the way to its line and back."""
    for one in ring("approvals 1", *LINES.values()).keys:
        assert ring("approvals 1", key_line(one)).keys == (one,)


@pytest.mark.parametrize("name", ["approvals", "server", "#cy", "a b", "Zoë", "100%"])
def test_a_name_is_written_so_that_it_is_read_as_one(name: str) -> None:
    """Also one that means something else in front of a line."""
    (found,) = ring("approvals 1", key_line(EnrolledKey(name, PLAIN, Presence.SIGNATURE))).keys
    assert found.approver == name


@pytest.mark.parametrize("mark", ["\r", "\v", "\f", "\x1c", "\x85", "\u2028", "\u2029", "\u202e", "\u200b"])
def test_what_an_editor_shows_as_one_line_is_no_two(mark: str) -> None:
    """The rest of a comment lists nobody, and a name does not look like another one: the line is named."""
    for hidden in (f"# note{mark}{LINES['plain']}", f"c{mark}y ssh {PLAIN.text}"):
        with pytest.raises(ProofError, match=r"line 3: .*nobody sees"):
            ring("approvals 1", LINES["hardware"], hidden)


def test_a_file_of_another_system_is_read() -> None:
    """With carriage returns at the ends of lines, and tabs between words."""
    assert ring("approvals 1\r", LINES["plain"].replace(" ", "\t") + "\r").keys == ring("approvals 1", LINES["plain"]).keys


def test_a_server_can_be_listed() -> None:
    """Its id and key."""
    found = ring("approvals 1", LINES["plain"], f"server one {'A' * 43}").server
    assert (found and found.id, found and found.key) == ("one", b"\0" * 32)


WRONG = {
    "it has 0 lines `approvals NUMBER`, and needs one": [LINES["plain"]],
    "it has 2 lines `approvals NUMBER`, and needs one": ["approvals 1", "approvals 1", LINES["plain"]],
    "several lines `server ID KEY`; keep one": ["approvals 1", LINES["plain"], *[f"server one {'A' * 43}"] * 2],
    "line 2: write approvals and a number": ["", "approvals 0"],
    "line 1: write approvals and": ["approvals 1 2"],
    "line 1: write server": ["server one"],
    "line 1: a server's key has 32 bytes": ["server one AAAA"],
    "line 1: write an approver's name": ["alice ssh"],
    "line 1: write NAME ssh TYPE KEY": [f"alice gpg {PLAIN.text}"],
    "line 1: presence= takes": [f"{LINES['plain']} presence=none"],
    "proves a signature at most": [f"{LINES['plain']} presence=required"],
    "line 1: a field of the proof is not base64url": ["bo passkey localhost http://localhost a+ AAAA"],
    "asks for 2 approvers, and has keys of 1": ["approvals 2", LINES["plain"], LINES["hardware"].replace("alice", "Cy", 1)],
    "asks for 1 approver, and has keys of 0": ["approvals 1"],
    "a key is listed twice": ["approvals 1", LINES["plain"], f"di ssh {PLAIN.text}"],
    "keys of type": ["alice ssh ssh-dss AAAAB3NzaC1kc3M="],
}


@pytest.mark.parametrize(("why", "lines"), WRONG.items())
def test_a_wrong_line_is_named(why: str, lines: list[str]) -> None:
    """What is wrong, and in which line."""
    with pytest.raises(ProofError, match=why):
        ring(*lines)


def _spelt_anew() -> Iterator[tuple[str, str, str]]:
    """Pairs of lines for one private key each, which one program could use for two people."""
    hardware = SoftwareHardwareKey()
    line, blob = f"alice ssh {hardware.key.text}", hardware.blob
    point = blob.removeprefix(string(hardware.kind)).removesuffix(string(hardware.application))
    yield "plain", line, f"di ssh ssh-ed25519 {base64.b64encode(string('ssh-ed25519') + point).decode()}"
    hardware.application = "ssh:another"
    yield "for another application", line, f"di ssh {hardware.key.text}"
    curve, passkey = SoftwareHardwareKey("sk-ecdsa-sha2-nistp256@openssh.com"), SoftwareAuthenticator()
    passkey.private = curve._ec
    bound = f"{passkey.passkey.credential_id} {passkey.passkey.public_key}"
    yield "a passkey", f"alice ssh {curve.key.text}", f"di passkey localhost http://localhost:1 {bound}"


@pytest.mark.parametrize(("first", "second"), [pytest.param(*pair, id=name) for name, *pair in _spelt_anew()])
def test_a_key_counts_once_whatever_kind_it_is_said_to_be(first: str, second: str) -> None:
    """One private key makes signatures for both lines; whoever has it would be two people."""
    with pytest.raises(ProofError, match=r"of di is SHA256:.* of alice once more"):
        ring("approvals 2", first, second).check()
    ring("approvals 1", first, LINES["plain"]).check()


def test_the_file_is_utf_8() -> None:
    """Other bytes are refused."""
    with pytest.raises(ProofError, match="not UTF-8"):
        parse_keys(b"\xff")
