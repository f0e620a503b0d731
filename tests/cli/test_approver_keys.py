"""`approvers keys`: with the real ssh-keygen, at a real server."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

import pytest

from molecule_approve.cli.decide import token
from molecule_approve.cli.options import ConnectionOptions, open_platform
from molecule_approve.clock import Deadline
from molecule_approve.errors import RejectedError
from molecule_approve.paths import locate
from molecule_approve.proofs.keys_file import parse_keys
from molecule_approve.server.run import Running, ServePlan
from molecule_approve.settings.policy_yaml import parse_policy
from tests.proofs.signing import SoftwareHardwareKey, generated
from tests.server.desk import Desk, desk_of
from tests.server.serving import environment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.callers import Caller, Told
    from tests.integration.fake_platform import FakePlatform

POLICY = parse_policy(b"version: 1\ndefaults: {presence: signature}\n", Path("policy.yaml"))


@cache
def key(number: int = 0) -> Path:
    """A key for all tests, made once."""
    return generated(Path(mkdtemp(prefix=f"ma-key-{number}-")), "ed25519")


@pytest.fixture
def served(home: Path) -> Iterator[Desk]:
    """A server of this user, whose rule wants a signature; alice is its approver."""
    with Running(ServePlan(locate(environment(home)), policy=POLICY)) as server, desk_of(server) as desk:
        yield desk


@pytest.fixture
def at(served: Desk, caller: Caller, home: Path) -> Caller:
    """The program, as alice and as the server's administrator."""
    caller.set(**environment(home), PLATFORM_URL=served.server.url, WORKSPACE_ID=served.workspace_id)
    caller.set(MOLECULE_APPROVER_TOKEN=str(served.decider.headers["authorization"]).removeprefix("Bearer "))
    return caller


def pub(path: Path) -> str:
    """The public key's file."""
    return f"{path}.pub"


def enrolled(at: Caller, path: Path | None = None, name: str = "alice") -> Told:
    """Enrol a key as the administrator."""
    return at.main("approvers", "keys", "add", name, "--ssh", pub(path or key()))


def test_a_key_is_enrolled_listed_and_removed(at: Caller) -> None:
    """By the administrator, who may enrol it again; the id alone is on stdout; an unknown beginning is refused."""
    told = enrolled(at)
    assert told.code == 0
    assert "alice can sign with the key test SHA256:" in told.err
    listed = json.loads(at.main("approvers", "keys", "list", "alice", "--json").out)
    assert [(one["id"], one["approver"], one["label"], one["added_by"]) for one in listed] == [
        (told.out.strip(), "alice", "test", "administrator")
    ]
    assert told.out[:8] in at.main("approvers", "keys", "list").out
    assert at.main("approvers", "keys", "remove", "abc").code == 2
    assert at.main("approvers", "keys", "remove", told.out[:8]).code == 0
    assert "there is no key yet" in at.main("approvers", "keys", "list").err
    assert enrolled(at).code == 0


def test_a_key_belongs_to_one_person(at: Caller, served: Desk) -> None:
    """Enrolled twice, for nobody, or of a kind that is not taken: each has its reason."""
    enrolled(at)
    served.server.add_approver("bo")
    assert "already enrolled, for alice" in enrolled(at, name="bo").err
    assert "there is no approver named nobody" in enrolled(at, key(1), name="nobody").err
    wrong = Path(mkdtemp()) / "wrong.pub"
    wrong.write_text("ssh-dss AAAAB3NzaC1kc3M=\n")
    assert "cannot be enrolled: keys of type 'ssh-dss'" in at.main("approvers", "keys", "add", "bo", "--ssh", str(wrong)).err
    labelled = ("approvers", "keys", "add", "bo", "--ssh", pub(key(1)), "--label", "")
    assert "a key's label has 1 to 64 visible characters" in at.main(*labelled).err


def test_an_export_is_a_file_of_keys(at: Caller) -> None:
    """With the number of approvals said, the gate and `receipt verify` take it."""
    enrolled(at)
    hardware = Path(mkdtemp()) / "sk.pub"
    hardware.write_text(SoftwareHardwareKey().text.rpartition(" made")[0])
    at.main("approvers", "keys", "add", "alice", "--ssh", str(hardware))
    lines = at.main("approvers", "keys", "list", "--export").out
    ring = parse_keys(lines.replace("# approvals 1", "approvals 1").encode())
    assert [(one.approver, one.presence.value) for one in ring.keys] == [("alice", "signature"), ("alice", "required")]
    assert ring.server is not None


def test_an_export_lists_nobody_by_a_label(at: Caller, served: Desk) -> None:
    """What somebody wrote into the database as a label stays the rest of a comment."""
    enrolled(at)
    served.change("UPDATE approver_keys SET label = ?", f"x\nmallory ssh {SoftwareHardwareKey().key.text}\n")
    lines = at.main("approvers", "keys", "list", "--export").out
    ring = parse_keys(lines.replace("# approvals 1", "approvals 1").encode())
    assert [one.approver for one in ring.keys] == ["alice"]


REFUSED = {
    ("add", "alice"): "needs either --ssh or --passkey",
    ("add", "--ssh", "{pub}"): "who enrols this key is not clear",
    ("add", "alice", "--ssh", "{pub}", "--sign", "{key}"): "without a signature",
    ("add", "--passkey"): "for NAME",
    ("add", "alice", "--passkey", "--label", "x"): "for NAME",
    ("add", "alice", "--ssh", "/nowhere.pub"): "cannot read the public key /nowhere.pub: No such file",
    ("add", "alice", "--ssh", "~no-such-user/k"): "--ssh: there is no user for the home folder in '~no-such-user/k'",
    ("add", "alice", "--ssh", "{binary}"): "it is not text",
    ("add", "alice", "--ssh", "{key}"): "is a private key",
    ("add", "alice", "--ssh", "{empty}"): "is not one public key",
    ("list", "--export", "--json"): "two forms of the same list",
    ("list", "--mine", "alice"): "--mine goes with",
    ("list", "--platform-url", "http://127.0.0.1:1"): "on the server's machine",
    ("remove", "abcdef", "--mine", "--config", "x"): "on a running server",
}


@pytest.mark.parametrize(("words", "why"), REFUSED.items(), ids=map(str, range(len(REFUSED))))
def test_what_does_not_go_together_is_refused(at: Caller, tmp_path: Path, words: tuple[str, ...], why: str) -> None:
    """Exit 2, with the reason."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "empty").write_text("")
    places = {"pub": pub(key()), "key": str(key()), "binary": str(tmp_path / "binary"), "empty": str(tmp_path / "empty")}
    told = at.main("approvers", "keys", *(word.format(**places) for word in words))
    assert (told.code, why in told.err) == (2, True), told.err


# --- one's own keys


def test_an_enrolled_key_vouches_for_another_one(at: Caller, served: Desk) -> None:
    """A stranger's does not; a key is added once; one's own are listed and removed by token."""
    add = ("approvers", "keys", "add", "--ssh", pub(key(1)), "--sign")
    assert "an administrator enrols the first key" in at.main(*add, str(key())).err
    enrolled(at)
    assert "is by the key" in at.main(*add, str(key(1))).err
    told = at.main(*add, str(key()))
    assert (told.code, told.err.endswith("\n")) == (0, True)
    assert "is enrolled here, or was before" in at.main(*add, str(key())).err
    mine = json.loads(at.main("approvers", "keys", "list", "--mine", "--json").out)
    assert [one["added_by"] for one in mine] == ["administrator", mine[0]["id"]]
    assert at.main("approvers", "keys", "remove", told.out.strip(), "--mine").code == 0
    assert len(at.main("approvers", "keys", "list", "--mine").out.splitlines()) == 1
    in_use = served.select("SELECT removed_at IS NULL FROM approver_keys")
    assert sorted(row[0] for row in in_use) == [0, 1]


@pytest.mark.parametrize("mine", [(), ("--mine",)])
def test_what_a_server_only_calls_a_key_is_listed(at: Caller, served: Desk, mine: tuple[str, ...]) -> None:
    """It has no fingerprint, and can be removed."""
    key_id = enrolled(at).out.strip()
    served.change("UPDATE approver_keys SET public_key = 'nonsense'")
    (listed,) = json.loads(at.main("approvers", "keys", "list", "--json", *mine).out)
    assert (listed["id"], listed["fingerprint"]) == (key_id, None)
    assert "\n# it is left out: a public key has two words" in at.main("approvers", "keys", "list", "--export").out
    assert at.main("approvers", "keys", "remove", key_id, *mine).code == 0


def test_a_platform_without_keys_is_told(at: Caller, platform: FakePlatform) -> None:
    """The Molecule platform knows none, and takes no signed decision."""
    at.set(PLATFORM_URL=platform.url)
    for words in (("list", "--mine"), ("remove", "abcdef", "--mine"), ("add", "--ssh", pub(key(1)), "--sign", str(key()))):
        assert "this platform knows no keys of approvers" in at.main("approvers", "keys", *words).err


def test_only_an_approver_has_keys_and_only_ones_own(at: Caller, served: Desk) -> None:
    """A key that is nobody's is refused; so is a requester's token."""
    settings = ConnectionOptions().settings(quiet=True)
    with open_platform(settings, token(), any_workspace=True) as server:
        assert server.own_keys(Deadline.after(5)) is not None
        with pytest.raises(RejectedError, match="you have no such key"):
            server.remove_key("none", Deadline.after(5))
    at.set(MOLECULE_APPROVER_TOKEN=served.server.requester.token)
    assert at.main("approvers", "keys", "list", "--mine").code == 125
