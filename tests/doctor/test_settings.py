"""What is said of the settings: each with its source, config.yaml, the token's file, the roles, and what is secret."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from molecule_approve.doctor.checks import Finding, Grade, Setup
from molecule_approve.doctor.settings import SettingsReading, owner
from molecule_approve.paths import SystemPlace
from molecule_approve.proofs.enrolled import EnrolledKey
from molecule_approve.proofs.keys_file import key_line
from molecule_approve.proofs.passkey import Passkey
from molecule_approve.proofs.presence import Presence
from molecule_approve.settings.config_yaml import APPROVE_KEYS
from molecule_approve.settings.resolve import Flags
from tests.doctor.conftest import Around, by_name
from tests.proofs.signing import SoftwareHardwareKey

if TYPE_CHECKING:
    from molecule_approve.server.run import Running

NOBODY = 65_534

Written = Callable[[str], Flags]


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """Writes a config.yaml and gives the flag that names it."""

    def write(text: str) -> Flags:
        path = tmp_path / "mine.yaml"
        path.write_text(text)
        path.chmod(0o600)
        return Flags(config=str(path))

    return write


def read(around: Setup) -> dict[str, Finding]:
    """What is said of the settings."""
    return by_name(SettingsReading(around).findings())


def test_every_setting_is_told_with_its_source(around: Around, written: Written) -> None:
    """Option, variable, file with line, and default; every key of config.yaml is among them."""
    flags = written(
        "approve:\n  poll_interval: 7\n  headers:\n    X-Molecule-Org-Id: '42'\n  hooks:\n    - {tool: Bash, then: ask}\n"
    )
    found = read(around(flags._replace(timeout="10s"), WORKSPACE_ID="w", PLATFORM_URL="https://platform.example"))
    assert found["settings.timeout"].detail == "10 s (--timeout)"
    assert found["settings.workspace_id"].detail == "w (WORKSPACE_ID)"
    assert found["settings.poll_interval"].detail == f"7 s ({flags.config}, line 2: approve.poll_interval)"
    assert found["settings.headers"].detail == f"X-Molecule-Org-Id ({flags.config}: approve.headers)"
    assert found["settings.hooks"].detail == f"rules: 1 ({flags.config}: approve.hooks)"
    assert found["settings.transport"].detail == "auto (default)"
    assert found["settings.token"].detail == "none (default)"
    assert {f"settings.{key}" for key in (*APPROVE_KEYS, "headers")} - set(found) == set()
    assert {finding.result for finding in found.values()} == {Grade.OK}


def test_roots_own_file_is_told_with_what_it_locks(around: Around, home: Path) -> None:
    """A value that is locked and given otherwise is a failure; so is a file that is not understood."""
    path = home / "system.yaml"

    def look(text: str, **environ: str) -> dict[str, Finding]:
        path.write_text(text)
        path.chmod(0o644)
        made = around(**environ)
        return read(made._replace(places=made.places._replace(system=SystemPlace(path, os.geteuid()))))

    assert look("approve:\n  timeout: 60\n")["settings.system"].detail == f"{path} is valid, and locks nothing"
    locked = "approve:\n  timeout: 60\n  locked: [timeout]\n"
    found = look(locked)
    assert found["settings.system"] == Finding("settings.system", Grade.OK, f"{path} is valid, and locks timeout")
    assert found["settings.timeout"].detail.startswith(f"60 s ({path}, line 2")
    assert look(locked, APPROVAL_TIMEOUT="5m")["settings.values"].result is Grade.FAILED
    broken = look("approve: [\n")
    assert (list(broken), broken["settings.system"].result) == (["settings.system"], Grade.FAILED)


def test_without_config_yaml_the_defaults_hold(around: Around) -> None:
    """That is no fault."""
    assert read(around())["settings.config"] == Finding(
        "settings.config", Grade.OK, "there is no config.yaml: the defaults hold"
    )


def test_config_yaml_is_told_with_its_owner(around: Around, written: Written) -> None:
    """By name."""
    flags = written("approve: {}\n")
    assert read(around(flags))["settings.config"].detail == f"{flags.config} is valid; its owner is {owner(os.geteuid())}"


@pytest.mark.parametrize("text", ["approve: [", "approve:\n  time: 3\n"])
def test_a_config_yaml_that_is_not_understood_fails(around: Around, written: Written, text: str) -> None:
    """Nothing is said of values that are not known."""
    found = read(around(written(text)))
    assert list(found) == ["settings.system", "settings.config"]
    assert found["settings.config"].result is Grade.FAILED
    assert found["settings.config"].advice


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_config_yaml_of_somebody_else_fails(around: Around, written: Written) -> None:
    """Its owner could choose the platform."""
    flags = written("approve: {}\n")
    os.chown(str(flags.config), NOBODY, NOBODY)
    assert "belongs to another user" in read(around(flags))["settings.config"].detail


def test_an_owner_without_a_name_is_a_number() -> None:
    """A container's user may have none."""
    assert owner(4_242_424) == "user 4242424"


def test_each_invalid_value_is_told_and_the_others_are_read(around: Around) -> None:
    """Both of two wrong durations, and the workspace all the same."""
    reading = SettingsReading(around(APPROVAL_TIMEOUT="soon", APPROVAL_POLL_INTERVAL="often", WORKSPACE_ID="w"))
    found = list(reading.findings())
    wrong = [finding.detail.partition(":")[0] for finding in found if finding.result is Grade.FAILED]
    assert wrong == ["APPROVAL_TIMEOUT", "APPROVAL_POLL_INTERVAL"]
    assert by_name(found[4:])["settings.workspace_id"].detail == "w (WORKSPACE_ID)"
    assert reading.settings is not None


@pytest.mark.parametrize(
    "wrong", [{"PLATFORM_URL": "ftp://x"}, {"WORKSPACE_ID": ".."}, {"MOLECULE_TOKEN": "a b"}, {"AUDIT_LOG_PATH": "\x07"}]
)
def test_without_a_value_that_the_other_checks_need_there_are_no_settings(around: Around, wrong: dict[str, str]) -> None:
    """Another platform or another log would be examined in its place."""
    reading = SettingsReading(around(**wrong))
    assert [finding.result for finding in reading.findings()] == [Grade.OK, Grade.OK, Grade.FAILED]
    assert reading.settings is None


def test_an_invalid_option_is_not_dropped(around: Around) -> None:
    """A variable of that setting is not the cause."""
    reading = SettingsReading(around(Flags(timeout="soon"), APPROVAL_TIMEOUT="5m"))
    assert [finding.detail.partition(":")[0] for finding in reading.findings()][2:] == ["--timeout"]


def test_a_token_that_others_can_read_is_a_warning(around: Around, tmp_path: Path) -> None:
    """Once, with what to do; with a private file all is well."""
    path = tmp_path / ".auth_token"
    path.write_text("the-token\n")
    path.chmod(0o644)
    found = read(around(PLATFORM_URL="https://platform.example"))
    assert found["settings.token"].detail == f"set ({path})"
    assert found["settings.token_file"].result is Grade.WARNING
    assert found["settings.token_file"].advice == f"chmod 600 {path}, and replace the token in it"
    assert "settings.warning" not in found
    path.chmod(0o600)
    assert read(around())["settings.token_file"].result is Grade.OK


def test_the_warnings_of_other_commands_are_told(around: Around) -> None:
    """A variable that may be misspelt."""
    found = read(around(APPROVAL_TIMEOUTS="3"))
    assert found["settings.warning"].result is Grade.WARNING
    assert "APPROVAL_TIMEOUTS" in found["settings.warning"].detail


def test_roles_that_permit_no_request_fail(around: Around, written: Written) -> None:
    """A request would end with 77."""
    found = read(around(written("rbac:\n  roles: [read-only]\n")))
    assert found["settings.permission"].result is Grade.FAILED
    assert found["settings.roles"].detail.startswith("read-only (")


def test_the_embedded_server_is_named_as_local(around: Around, live_server: Running) -> None:
    """Not by the address that stands in its Host header."""
    found = read(around(PLATFORM_URL="local"))
    assert found["settings.platform_url"].detail == "local: your embedded server (PLATFORM_URL)"
    assert found["settings.workspace_id"].detail.startswith(live_server.requester.workspace_id)
    assert found["settings.token"].detail.startswith("set (")


def test_a_proxy_is_told_without_its_password(around: Around) -> None:
    """Host and port."""
    found = read(around(PLATFORM_URL="https://platform.example", https_proxy="http://user:s3cr3t@proxy.example:3128"))
    assert found["settings.proxy"].detail == "proxy.example:3128 (the environment)"


def test_the_approvers_keys_are_looked_at(
    around: Around, written: Written, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They can be used, they are not valid, or root could change them; without the setting nothing is said."""
    path = home / "approvers.keys"
    good = key_line(EnrolledKey("alice", SoftwareHardwareKey().key, Presence.REQUIRED))
    broken = key_line(EnrolledKey("bo", Passkey("localhost", ("http://localhost",), "AAAA", "AAAA"), Presence.REQUIRED))
    system = SystemPlace(home / "none", os.geteuid())

    def look(keys: str, uid: int) -> Finding:
        path.write_text(keys)
        path.chmod(0o644)
        made = around(written(f"approve: {{approver_keys: {path}}}"))
        with monkeypatch.context() as patch:
            patch.setattr(os, "geteuid", lambda: uid)
            return read(made._replace(places=made.places._replace(system=system)))["settings.approvers"]

    somebody = os.geteuid() or 1_000  # root's files are everybody's to trust
    assert look(f"approvals 1\n{good}\n", somebody) == Finding(
        "settings.approvers", Grade.OK, "an approval needs signatures of 1 of 1 people whose keys this machine keeps"
    )
    if os.geteuid() == 0:
        as_root = look(f"approvals 1\n{good}\n", 0)
        assert (as_root.result, "and this user is root" in as_root.detail) == (Grade.WARNING, True)
    for keys, why in (("alice", "line 1"), (f"approvals 1\n{broken}\n", "of bo: the passkey's public key is malformed")):
        found = look(keys, somebody)
        assert (found.result, why in found.detail) == (Grade.FAILED, True)
    assert "settings.approvers" not in read(around())
