"""Parses config.yaml and server.yaml strictly; loaded only if there is such a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .strict_yaml import BOOLEAN, NUMBER, NUMBER_OR_TEXT, TEXT, Node, Reader, compose
from .trusted_file import ConfigFile, Scalar, ServerFile

APPROVE_KEYS: Mapping[str, frozenset[str]] = {
    "platform_url": TEXT,
    "workspace_id": TEXT,
    "timeout": NUMBER_OR_TEXT,
    "poll_interval": NUMBER_OR_TEXT,
    "transport": TEXT,
    "audit_log": TEXT,
    "audit": TEXT,
    "audit_rotate_at": NUMBER_OR_TEXT,
    "allow_http": BOOLEAN,
    "require_verified_approver": BOOLEAN,
    "approver_keys": TEXT,
}
"""The scalar settings under ``approve:``, and their types; ``headers`` is a mapping, ``hooks`` and ``locked`` are lists."""

_HOOK_KEYS = {"tool", "command", "then"}

SERVER_KEYS: Mapping[str, frozenset[str]] = {
    "host": TEXT,
    "port": NUMBER,
    "public_url": TEXT,
    "tls_cert": TEXT,
    "tls_key": TEXT,
    "plain_http": BOOLEAN,
    "database": TEXT,
    "policy": TEXT,
    "self_approval": BOOLEAN,
    "anonymous_requests": BOOLEAN,
    "log_format": TEXT,
    "session.lifetime": NUMBER_OR_TEXT,
    "session.idle": NUMBER_OR_TEXT,
    "openid.issuer": TEXT,
    "openid.client_id": TEXT,
    "openid.client_secret_file": TEXT,
    "openid.name_claim": TEXT,
    "openid.groups_claim": TEXT,
}
"""The scalar settings of server.yaml, and their types."""

SERVER_LISTS: Mapping[str, str] = {
    "trusted_proxies": "[10.0.0.0/8]",
    "metrics_from": "[10.0.0.0/8]",
    "openid.approvers": "[alice@example.org]",
    "openid.scopes": "[openid, email]",
}
"""Those that are lists of texts, each with an example."""

GROUPS = "openid.groups"
"""The one mapping of names to lists."""


def parse(data: bytes, path: Path) -> ConfigFile:
    """The sections ``rbac:`` and ``approve:``; all other keys belong to the platform.

    Raises:
        ConfigError: invalid YAML, not a mapping, a duplicate key, an unknown key in our sections, a wrong type; with line
            and key.
    """
    root = compose(data, path)
    if root is None:
        return ConfigFile(path)
    reader = _ConfigReader(path)
    reader.refuse_duplicates(root)
    sections = {key.value: value for key, value in reader.top(root)}
    rbac = reader.section(sections.get("rbac"), "rbac", {"roles", "allowed_actions"})
    approve = reader.section(sections.get("approve"), "approve", {*APPROVE_KEYS, "headers", "hooks", "locked"})
    return ConfigFile(
        path,
        roles=tuple(reader.names(rbac["roles"], "rbac.roles")) if "roles" in rbac else None,
        allowed_actions=reader.allowed_actions(rbac["allowed_actions"]) if "allowed_actions" in rbac else None,
        approve={
            key: reader.scalar(approve[key], f"approve.{key}", kinds)
            for key, kinds in APPROVE_KEYS.items()
            if key in approve
        },
        headers=reader.headers(approve["headers"]) if "headers" in approve else None,
        hooks=reader.hooks(approve["hooks"]) if "hooks" in approve else None,
        locked=reader.locked(approve["locked"]) if "locked" in approve else None,
        sections=tuple(sections),
    )


def parse_server(data: bytes, path: Path) -> ServerFile:
    """All of server.yaml, which is this program's alone.

    Raises:
        ConfigError: invalid YAML, not a mapping, a duplicate or unknown key, a wrong type; with line and key.
    """
    root = compose(data, path)
    if root is None:
        return ServerFile(path)
    reader = _ConfigReader(path)
    reader.refuse_duplicates(root)
    nodes = reader.flat(root)
    return ServerFile(
        path,
        {key: reader.scalar(nodes[key], key, kinds) for key, kinds in SERVER_KEYS.items() if key in nodes},
        {key: reader.texts(nodes[key], key, example) for key, example in SERVER_LISTS.items() if key in nodes},
        reader.groups(nodes[GROUPS]) if GROUPS in nodes else {},
    )


class _ConfigReader(Reader):
    """The sections of config.yaml and server.yaml."""

    def flat(self, root: Node) -> dict[str, Node]:
        """Everything in server.yaml, by key; what is in a section with its name and a dot in front."""
        known = {*SERVER_KEYS, *SERVER_LISTS, GROUPS}
        sections = {section for section, dot, _ in (key.partition(".") for key in known) if dot}
        found: dict[str, Node] = {}
        for key, node in self.mapping(root, "the file").items():
            if key in sections:
                own = {name.removeprefix(f"{key}.") for name in known if name.startswith(f"{key}.")}
                found |= {f"{key}.{name}": value for name, value in self.section(node, key, own).items()}
            elif key in known and "." not in key:
                found[key] = node
            else:
                raise self.unknown(node, key, {*sections, *(name for name in known if "." not in name)})
        return found

    def groups(self, node: Node) -> dict[str, tuple[Scalar, ...]]:
        """``openid.groups``."""
        found = self.mapping(node, GROUPS)
        return {name: self.texts(value, f"{GROUPS}.{name[:40]}", "[platform-team]") for name, value in found.items()}

    def allowed_actions(self, node: Node) -> dict[str, frozenset[str]]:
        """``rbac.allowed_actions``."""
        found = self.mapping(node, "rbac.allowed_actions")
        for role, actions in found.items():
            self.check_name(actions, "rbac.allowed_actions", role)
        return {
            role: frozenset(item.text for item in self.names(actions, f"rbac.allowed_actions.{role}"))
            for role, actions in found.items()
        }

    def headers(self, node: Node) -> dict[str, Scalar]:
        """``approve.headers``."""
        found = self.mapping(node, "approve.headers")
        return {name: self.scalar(value, f"approve.headers.{name[:40]}", TEXT) for name, value in found.items()}

    def locked(self, node: Node) -> tuple[Scalar, ...]:
        """``approve.locked``."""
        return tuple(self.name(item, "approve.locked") for item in self.items(node, "approve.locked", "[platform_url]"))

    def hooks(self, node: Node) -> tuple[dict[str, Scalar], ...]:
        """``approve.hooks``."""
        return tuple(self._hook(item) for item in self.items(node, "approve.hooks", "[{tool: Bash, then: ask}]"))

    def _hook(self, node: Node) -> dict[str, Scalar]:
        found = self.section(node, "approve.hooks", _HOOK_KEYS)
        for key in ("tool", "then"):
            if key not in found:
                raise self.refuse(node, "approve.hooks", f"an entry without {key}:", f"add {key}:, or remove the entry")
        return {key: self.scalar(value, f"approve.hooks.{key}", TEXT) for key, value in found.items()}
