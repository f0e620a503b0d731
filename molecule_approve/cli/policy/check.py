"""``policy check``: whether a server would take a policy."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from molecule_approve.cli import options, output
from molecule_approve.cli.exits import Exit
from molecule_approve.cli.serve import ServerConfig  # noqa: TC001 - typer reads it
from molecule_approve.safe_text import visible

from .files import policy_file


def check(
    file: Annotated[Path, policy_file("FILE", "The policy.")],
    json: options.Json = False,
    config: ServerConfig = None,
) -> int:
    """Check a policy as the server does before it starts, but for the approvers in its database.

    Exits with 125 if the server would refuse it, and says why, with file, line and key.
    """
    from molecule_approve.settings.policy_file import provider_groups, read_policy
    from molecule_approve.settings.server_settings import ServerFlags, resolve_server

    settings = resolve_server(ServerFlags(config=config), os.environ)
    policy = read_policy(file, provider_groups(settings), wanted=True)
    assert policy is not None  # noqa: S101 - it was wanted
    digests = {rule.name: rule.digest(policy.groups) for rule in (*policy.rules, policy.defaults)}
    if json:
        output.answer_json(
            {
                "file": policy.path,
                "groups": len(policy.groups),
                "rules": [{"rule": x, "rule_sha256": digests[x]} for x in digests],
            }
        )
        return Exit.OK
    output.answer(f"{visible(policy.path)}: valid (rules: {len(policy.rules)}, groups: {len(policy.groups)})")
    for name, digest in digests.items():
        output.answer(f"  {digest[:12]}  {visible(name)}")
    return Exit.OK
