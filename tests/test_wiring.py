"""Putting a gate together: who asks, with which token, and in which log."""

from __future__ import annotations

import os
import pwd
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from molecule_approve import paths, wiring
from molecule_approve.audit.record import SECRET_MARK
from molecule_approve.calls import ThreadStop
from molecule_approve.clock import Deadline
from molecule_approve.errors import AuditError, ConfigError, NotPermittedError, UsageError
from molecule_approve.gate.attempt import Observer
from molecule_approve.model import Secret, Status, SubmittedRequest
from molecule_approve.paths import Places, locate, recall_audit_log
from molecule_approve.settings import resolve
from molecule_approve.settings.resolve import Flags
from molecule_approve.settings.values import Sourced
from tests.proofs.signing import SoftwareHardwareKey

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.callers import Caller
    from tests.integration.fake_platform import FakePlatform


def _settings(caller: Caller) -> resolve.Settings:
    environ = wiring.environment()
    return resolve.resolve(Flags(), environ, locate(environ), at_terminal=False)


def test_who_asks_and_where(caller: Caller) -> None:
    """The user, the machine, the folder."""
    caller.patch.chdir(caller.folder)
    found = wiring.origin()
    assert (found.user, found.folder) == ("tester", str(caller.folder))
    assert found.host


def test_a_folder_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked all the same, from nowhere."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    found = wiring.origin()
    monkeypatch.undo()
    assert found.folder == ""


def test_a_user_without_a_name() -> None:
    """A container's user may be a number only."""
    assert wiring.origin(lambda: pwd.getpwuid(2**31 - 2).pw_name).user == str(os.geteuid())


def test_the_log_never_shows_the_token(caller: Caller) -> None:
    """Even where somebody asks for it by name."""
    token = caller.desk.server.requester.token
    assert caller.main("request", "--no-wait", "--", f"use {token}").code == 8
    assert token not in caller.log.read_text()


PROXY = "http://robot:p%40ssword@proxy.example:3128"


def test_all_secrets_are_known(caller: Caller) -> None:
    """Tokens, headers, and user and password of proxies in both spellings; also without settings."""
    caller.set(MOLECULE_TOKEN="token", MOLECULE_APPROVER_TOKEN="approver", HTTPS_PROXY=PROXY)
    caller.set(PLATFORM_URL="https://platform.example", WORKSPACE_ID="ws")
    headers = {
        "X-Key": "header-secret",
        "X-Short": "prod",
        "Origin": "https://canvas.example",
        "X-Molecule-Org-Id": "acme-corp",
    }
    settings = replace(_settings(caller), headers=Sourced(headers))
    outside = {"token", "approver", "robot:p%40ssword", "robot:p@ssword", "p%40ssword", "p@ssword"}
    assert _revealed(settings, os.environ) == outside | {"header-secret", PROXY}
    assert _revealed(None, os.environ) == outside


def test_the_name_of_a_proxy_s_user_is_no_secret(caller: Caller) -> None:
    """It may be an ordinary word; a long one alone may be a token."""
    for user, known in (("ci", set()), ("", set()), ("ci:", {"ci:"}), ("tokentoken", {"tokentoken"})):
        assert _revealed(None, {"ALL_PROXY": f"http://{user}@proxy.example"}) == known


def _revealed(settings: resolve.Settings | None, environ: Mapping[str, str]) -> set[str]:
    return {secret.reveal() for secret in wiring.secrets(settings, environ)}


def test_no_record_and_no_context_holds_a_secret(caller: Caller) -> None:
    """Neither an approver's token nor what a proxy's address holds; ordinary words stay."""
    caller.set(MOLECULE_APPROVER_TOKEN="approvers-token", ALL_PROXY="http://ci:pw@proxy.example")
    argv = (
        "request",
        "--no-wait",
        "--context",
        "t=approvers-token",
        "--",
        "use approvers-token, ci and http://ci:pw@x: pwd",
    )
    told = caller.main(*argv)
    assert told.code == 8
    assert "approvers-token" not in caller.log.read_text()
    assert {row["resource"] for row in caller.records()} == {f"use {SECRET_MARK}, ci and http://{SECRET_MARK}@x: pwd"}
    assert caller.desk.one(told.out.strip())["context"]["t"] == SECRET_MARK


def test_an_approver_asks_with_a_token_of_their_own(caller: Caller) -> None:
    """And the workspace with its own."""
    settings = _settings(caller)
    for secret, expected in ((None, settings.token.value), (Secret("theirs"), Secret("theirs"))):
        platform = wiring.platform(settings, approver=secret)
        assert platform._endpoint.token == expected
        platform.close()


def test_a_name_that_is_no_text_decides_all_the_same(caller: Caller, platform: FakePlatform) -> None:
    """LOGNAME may hold any bytes; what is sent of them can be sent."""
    caller.patch.setenv("LOGNAME", "al\udcffice")
    row = platform.add(platform.workspace, {"action": "deploy"})
    with closing(wiring.platform(_settings(caller))) as asker:
        asker.decide(SubmittedRequest(row.id, platform.workspace), Status.APPROVED, None, Deadline.after(10.0))
    assert row.decided_by == "al\ufffdice"


def test_roles_decide_who_may_ask(caller: Caller) -> None:
    """As config.yaml says."""
    caller.configure("rbac:\n  roles: [read-only]\n")
    settings = _settings(caller)
    assembled = wiring.ReadyGate(None, None, None, settings)  # type: ignore[arg-type]  # the permission needs none of them
    with pytest.raises(NotPermittedError):
        assembled.permit()


def test_the_default_log_is_kept_once_it_was_used(caller: Caller) -> None:
    """The first request notes it; where it cannot be written later, nothing is asked, and both paths are named."""
    before = _settings(caller)
    elsewhere = caller.folder / "system" / "audit.jsonl"
    settings = replace(before, audit_log=Sourced(elsewhere))
    state = settings.requester_file.parent
    elsewhere.parent.mkdir()
    for _ in range(2):
        wiring.gate(settings, ThreadStop(), Observer()).platform.close()
        assert recall_audit_log(state) == elsewhere
    elsewhere.parent.rmdir()
    with pytest.raises(AuditError, match=r"of earlier attempts .* can no longer be written") as caught:
        wiring.gate(settings, ThreadStop(), Observer())
    assert str(elsewhere) in caught.value.message
    assert str(state) in caught.value.message
    wiring.gate(replace(settings, audit_optional=Sourced(value=True)), ThreadStop(), Observer()).platform.close()
    wiring.gate(before, ThreadStop(), Observer()).platform.close()


@pytest.mark.parametrize(("transport", "stream"), [("poll", False), ("websocket", True), ("auto", True)])
def test_how_it_is_waited(caller: Caller, transport: str, stream: bool) -> None:
    """As the settings say."""
    environ = wiring.environment()
    flags = Flags(transport=transport, timeout="7", poll_interval="3")
    terms = wiring.terms(resolve.resolve(flags, environ, locate(environ), at_terminal=False), wait=False, withdraw=False)
    assert (terms.stream, terms.timeout, terms.policy.poll_interval) == (stream, 7.0, 3.0)
    assert (terms.wait, terms.withdraw, terms.stays_open, terms.verified) == (False, False, False, False)


def test_without_a_workspace_there_is_no_platform(tmp_path: Path) -> None:
    """Said before anything is imported that could ask."""
    environ = {"PLATFORM_URL": "https://platform.invalid", "CONFIGS_DIR": str(tmp_path), "HOME": str(tmp_path)}
    settings = resolve.resolve(Flags(), environ, Places(tmp_path, tmp_path), at_terminal=False)
    with pytest.raises(UsageError, match="no workspace is set"):
        wiring.platform(settings)


@pytest.fixture
def keyed(caller: Caller) -> Callable[[str, str], resolve.Settings]:
    """Settings that demand receipts by a file with these keys, as its owner stands for root here; and further ones."""
    caller.patch.setattr(paths, "SYSTEM", paths.SystemPlace(caller.folder / "none", os.geteuid()))
    path = caller.folder / "approvers.keys"

    def settings(keys: str, more: str = "") -> resolve.Settings:
        path.write_text(keys)
        path.chmod(0o644)
        caller.configure(f"approve: {{approver_keys: {path}{more}}}")
        return _settings(caller)

    return settings


KEYS = f"approvals 1\nalice ssh {SoftwareHardwareKey().key.text}\n"


def test_a_gate_holds_the_keys_that_the_settings_name(keyed: Callable[[str, str], resolve.Settings]) -> None:
    """None by default."""
    ring = wiring.approver_keys(keyed(KEYS, ""))
    assert ring is not None
    assert [one.approver for one in ring.keys] == ["alice"]


def test_keys_that_cannot_be_used_refuse_the_gate(
    keyed: Callable[[str, str], resolve.Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is not valid, a log that need not be written, a library that is not there; each names its place."""
    with pytest.raises(ConfigError, match=r"approvers\.keys: line 1: write an approver"):
        wiring.approver_keys(keyed("alice", ""))
    with pytest.raises(ConfigError, match="must be recorded, and approve"):
        wiring.approver_keys(keyed(KEYS, ", audit: optional"))
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(ConfigError, match="the library that verifies signatures is not installed") as caught:
        wiring.approver_keys(keyed(KEYS, ""))
    assert caught.value.hint == "install molecule-approve[proofs]"
