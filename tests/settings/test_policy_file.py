"""The policy of a server: the file that its settings name, or the one in its state folder."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from molecule_approve.errors import ConfigError
from molecule_approve.settings.policy_file import server_policy
from molecule_approve.settings.server_settings import ServerFlags, resolve_server

if TYPE_CHECKING:
    from pathlib import Path


def test_a_named_file_is_read_else_that_of_the_state_folder(tmp_path: Path) -> None:
    """Without either there are no rules."""
    config, named, usual = (tmp_path / name for name in ("server.yaml", "rules.yaml", "policy.yaml"))
    config.write_text("policy: rules.yaml\n")
    config.chmod(0o600)
    plain, naming = (resolve_server(ServerFlags(config=path), {}) for path in (None, str(config)))
    assert server_policy(plain, tmp_path) is None
    for path, settings in ((named, naming), (usual, plain)):
        path.write_text("version: 1\n")
        path.chmod(0o600)
        found = server_policy(settings, tmp_path)
        assert found is not None
        assert found.path == str(path)


def test_a_named_file_that_cannot_be_used_is_told_with_where_it_was_named(tmp_path: Path) -> None:
    """With file, line and key, or with the option; what is wrong inside of it has its own file and line."""
    config, named = tmp_path / "server.yaml", tmp_path / "rules.yaml"
    config.write_text("policy: rules.yaml\n")
    config.chmod(0o600)
    for flags, source in (
        (ServerFlags(config=str(config)), f"{config}, line 1: policy"),
        (ServerFlags(policy=str(named)), "--policy"),
    ):
        settings = resolve_server(flags, {})
        with pytest.raises(ConfigError, match=f"^{re.escape(f'{source}: {named}')} does not exist") as caught:
            server_policy(settings, tmp_path)
        assert caught.value.hint
    named.write_text("version: 2\n")
    named.chmod(0o600)
    with pytest.raises(ConfigError, match=f"^{re.escape(str(named))}, line 1: version"):
        server_policy(settings, tmp_path)


def test_the_file_of_the_state_folder_that_cannot_be_used_is_told_by_its_path(tmp_path: Path) -> None:
    """Nothing has named it."""
    (tmp_path / "policy.yaml").write_text("version: 1\n")
    (tmp_path / "policy.yaml").chmod(0o666)
    with pytest.raises(ConfigError, match=f"^other users can write {re.escape(str(tmp_path))}/policy.yaml"):
        server_policy(resolve_server(ServerFlags(), {}), tmp_path)
