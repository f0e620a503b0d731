"""The file of approvers' keys: only where root alone could have written it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from molecule_approve.errors import ConfigError
from molecule_approve.paths import SystemPlace
from molecule_approve.settings import resolve as resolve_module
from molecule_approve.settings.approver_keys import ApproverKeys
from molecule_approve.settings.resolve import Flags

if TYPE_CHECKING:
    from collections.abc import Callable

    from molecule_approve.paths import Places
    from molecule_approve.settings.resolve import Settings

    Resolve = Callable[..., Settings]
    Written = Callable[[str], Flags]


@pytest.fixture
def keys(home: Path) -> ApproverKeys:
    """A file that belongs to whoever runs the tests, who stands for root here."""
    path = home / "approvers.keys"
    path.write_bytes(b"the keys")
    path.chmod(0o644)
    return ApproverKeys(path, os.geteuid())


def test_a_file_that_only_its_owner_can_write_is_read(keys: ApproverKeys) -> None:
    """As are the folders above it."""
    assert keys.read() == b"the keys"


@pytest.mark.parametrize("place", ["file", "folder"])
def test_a_file_that_others_could_have_written_is_refused(keys: ApproverKeys, place: str) -> None:
    """The file itself, or a folder above: whoever can write that could exchange the file."""
    open_to_others = keys.path if place == "file" else keys.path.parent
    open_to_others.chmod(0o777)
    with pytest.raises(ConfigError) as caught:
        keys.read()
    assert caught.value.message == f"{keys.path} is not only root's: others can change {open_to_others}"
    assert caught.value.hint == f"chown root {open_to_others}; chmod go-w {open_to_others}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_this_user_s_own_is_refused(keys: ApproverKeys) -> None:
    """Also a link of theirs to a file of root's."""
    os.chown(keys.path, 65_534, 65_534)
    with pytest.raises(ConfigError, match="is not only root's"):
        ApproverKeys(keys.path).read()


def test_a_file_that_is_not_there_is_refused(keys: ApproverKeys) -> None:
    """Nobody approves then."""
    with pytest.raises(ConfigError, match="/missing: No such file"):
        ApproverKeys(keys.path.with_name("missing"), keys.owner).read()


def test_the_setting_names_a_file_by_its_absolute_path(resolve: Resolve, written: Written) -> None:
    """A relative one would be another file in each folder."""
    found = resolve(written("approve: {approver_keys: /etc/approvers.keys}")).approver_keys
    assert found.value == ApproverKeys(Path("/etc/approvers.keys"), 0)
    assert found.source.endswith("line 1: approve.approver_keys")
    with pytest.raises(ConfigError, match="is not an absolute path"):
        resolve(written("approve: {approver_keys: approvers.keys}"))


def test_no_variable_changes_it_and_it_can_be_locked(places: Places, home: Path, written: Written) -> None:
    """With another value in config.yaml nothing is asked."""
    system = home / "system.yaml"
    system.write_text("approve: {locked: [approver_keys], approver_keys: /etc/approvers.keys}")
    system.chmod(0o644)
    mine = places._replace(system=SystemPlace(system, os.geteuid()))
    environ = {"CONFIGS_DIR": "/nowhere", "MOLECULE_APPROVER_KEYS": "/mine", "APPROVAL_APPROVER_KEYS": "/mine"}
    found = resolve_module.resolve(Flags(), environ, mine, at_terminal=False)
    assert found.approver_keys.value == ApproverKeys(Path("/etc/approvers.keys"), os.geteuid())
    with pytest.raises(ConfigError, match="which is locked"):
        resolve_module.resolve(written("approve: {approver_keys: /mine}"), environ, mine, at_terminal=False)
