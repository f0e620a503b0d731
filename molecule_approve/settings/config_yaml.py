"""Parses config.yaml and server.yaml strictly; the only module that imports PyYAML, loaded only if there is a file.

It reads the tree of nodes, not YAML's types: every value keeps its line and its spelling, and `no` in place of a text is an
error, not False.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from molecule_approve.errors import ApprovalError, ConfigError

from .trusted_file import ConfigFile, RoleName, Scalar, ServerFile, source_of

_TAG = "tag:yaml.org,2002:"
_KINDS = {"str": "text", "bool": "a boolean", "int": "a number", "float": "a number", "null": "empty", "merge": "a merge"}
_TEXT = frozenset({"text"})
_NUMBER = frozenset({"a number"})
_NUMBER_OR_TEXT = frozenset({"text", "a number"})
_BOOLEAN = frozenset({"a boolean"})

APPROVE_KEYS: Mapping[str, frozenset[str]] = {
    "platform_url": _TEXT,
    "workspace_id": _TEXT,
    "timeout": _NUMBER_OR_TEXT,
    "poll_interval": _NUMBER_OR_TEXT,
    "transport": _TEXT,
    "audit_log": _TEXT,
    "audit": _TEXT,
    "audit_rotate_at": _NUMBER_OR_TEXT,
    "allow_http": _BOOLEAN,
    "require_verified_approver": _BOOLEAN,
}
"""The scalar settings under ``approve:``, and their types; ``headers`` is a mapping, ``hooks`` and ``locked`` are lists."""

_HOOK_KEYS = {"tool", "command", "then"}

SERVER_KEYS: Mapping[str, frozenset[str]] = {
    "host": _TEXT,
    "port": _NUMBER,
    "public_url": _TEXT,
    "tls_cert": _TEXT,
    "tls_key": _TEXT,
    "plain_http": _BOOLEAN,
    "database": _TEXT,
    "self_approval": _BOOLEAN,
    "anonymous_requests": _BOOLEAN,
    "log_format": _TEXT,
    "session.lifetime": _NUMBER_OR_TEXT,
    "session.idle": _NUMBER_OR_TEXT,
    "openid.issuer": _TEXT,
    "openid.client_id": _TEXT,
    "openid.client_secret_file": _TEXT,
    "openid.name_claim": _TEXT,
    "openid.groups_claim": _TEXT,
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
    root = _compose(data, path)
    if root is None:
        return ConfigFile(path)
    reader = _Reader(path)
    reader.refuse_duplicates(root)
    sections = {key.value: value for key, value in reader.top(root)}
    rbac = reader.section(sections.get("rbac"), "rbac", {"roles", "allowed_actions"})
    approve = reader.section(sections.get("approve"), "approve", {*APPROVE_KEYS, "headers", "hooks", "locked"})
    return ConfigFile(
        path,
        roles=reader.roles(rbac["roles"]) if "roles" in rbac else None,
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
    root = _compose(data, path)
    if root is None:
        return ServerFile(path)
    reader = _Reader(path)
    reader.refuse_duplicates(root)
    nodes = reader.flat(root)
    return ServerFile(
        path,
        {key: reader.scalar(nodes[key], key, kinds) for key, kinds in SERVER_KEYS.items() if key in nodes},
        {key: reader.texts(nodes[key], key, example) for key, example in SERVER_LISTS.items() if key in nodes},
        reader.groups(nodes[GROUPS]) if GROUPS in nodes else {},
    )


def _compose(data: bytes, path: Path) -> yaml.Node | None:
    try:
        root = yaml.compose(data, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as exc:
        line = f", line {exc.problem_mark.line + 1}" if exc.problem_mark else ""
        # A word in quotes may be a secret that begins with * or !, and that YAML took for an alias or a tag.
        problem = re.sub(r" '[^'<]{2,}'", "", str(exc.problem))
        raise ConfigError(f"{path}{line}: invalid YAML: {problem}", hint="correct that line") from exc
    except yaml.YAMLError as exc:
        raise ConfigError(f"{path}: invalid YAML: the file is not text", hint="save it as UTF-8") from exc
    except (ValueError, OverflowError, RecursionError) as exc:
        raise ConfigError(
            f"{path}: invalid YAML: a value is too large or too deeply nested", hint="correct the file"
        ) from exc
    return None if root is None or (root.tag == f"{_TAG}null" and root.value == "") else root


def _kind(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return _KINDS.get(node.tag.removeprefix(_TAG), "of another type")
    return "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key
            yield value
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value


class _Reader:
    """Reads our sections of one file's tree; knows the file's name, for the errors."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._used: set[int] = set()

    def _refuse(self, node: yaml.Node, key: str, message: str, hint: str) -> ApprovalError:
        return source_of(self._path, node.start_mark.line + 1, key).refuse(message, hint)

    def refuse_duplicates(self, root: yaml.Node) -> None:
        """Check every node once, wherever aliases point."""
        seen, left = set[int](), [root]
        while left:
            node = left.pop()
            if id(node) not in seen:
                seen.add(id(node))
                left.extend(_children(node))
                if isinstance(node, yaml.MappingNode):
                    self._refuse_duplicate_keys(node)

    def _refuse_duplicate_keys(self, node: yaml.MappingNode) -> None:
        names = set[tuple[str, str]]()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in names:
                    raise self._refuse(key, key.value, "duplicate key", "remove one of the two")
                names.add((key.tag, key.value))

    def top(self, root: yaml.Node) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
        """The top-level keys that are text."""
        if not isinstance(root, yaml.MappingNode):
            raise self._refuse(root, "the file", f"is {_kind(root)}, not keys with values", "write rbac: or approve:")
        for key, _ in root.value:
            if _kind(key) == "a merge":
                # The merged mapping could hold rbac:, and ignoring that would be a silent default.
                raise self._refuse(key, key.value, "merge keys are not supported", "write the keys out")
        return [(key, value) for key, value in root.value if _kind(key) == "text"]

    def _mapping(self, node: yaml.Node, name: str) -> dict[str, yaml.Node]:
        self._use(node, name)
        if not isinstance(node, yaml.MappingNode):
            raise self._refuse(node, name, f"is {_kind(node)}, not keys with values", f"give {name} keys, or remove it")
        for key, _ in node.value:
            if _kind(key) != "text":
                raise self._refuse(key, name, f"a key is {_kind(key)}, not text", "put the key in quotes")
        return {key.value: value for key, value in node.value}

    def _use(self, node: yaml.Node, name: str) -> None:
        # A node that is used twice is an alias: a small file could expand without end.
        if id(node) in self._used:
            raise self._refuse(node, name, "aliases are not supported", "write the value out")
        self._used.add(id(node))

    def section(self, node: yaml.Node | None, name: str, known: set[str]) -> dict[str, yaml.Node]:
        """A mapping with these keys only, such as one of our two sections; empty if it is missing."""
        found = {} if node is None else self._mapping(node, name)
        for key, value in found.items():
            if key not in known:
                raise self._unknown(value, f"{name}.{key}", known)
        return found

    def _unknown(self, node: yaml.Node, name: str, known: set[str]) -> ApprovalError:
        return self._refuse(node, name, "unknown key", f"known keys: {', '.join(sorted(known))}")

    def flat(self, root: yaml.Node) -> dict[str, yaml.Node]:
        """Everything in server.yaml, by key; what is in a section with its name and a dot in front."""
        known = {*SERVER_KEYS, *SERVER_LISTS, GROUPS}
        sections = {section for section, dot, _ in (key.partition(".") for key in known) if dot}
        found: dict[str, yaml.Node] = {}
        for key, node in self._mapping(root, "the file").items():
            if key in sections:
                own = {name.removeprefix(f"{key}.") for name in known if name.startswith(f"{key}.")}
                found |= {f"{key}.{name}": value for name, value in self.section(node, key, own).items()}
            elif key in known and "." not in key:
                found[key] = node
            else:
                raise self._unknown(node, key, {*sections, *(name for name in known if "." not in name)})
        return found

    def texts(self, node: yaml.Node, name: str, example: str) -> tuple[Scalar, ...]:
        """A list of texts."""
        return tuple(self.scalar(item, name, _TEXT) for item in self._items(node, name, example))

    def groups(self, node: yaml.Node) -> dict[str, tuple[Scalar, ...]]:
        """``openid.groups``."""
        found = self._mapping(node, GROUPS)
        return {name: self.texts(value, f"{GROUPS}.{name[:40]}", "[platform-team]") for name, value in found.items()}

    def scalar(self, node: yaml.Node, name: str, kinds: frozenset[str]) -> Scalar:
        """One value of one of the types, as it is written."""
        self._use(node, name)
        if not isinstance(node, yaml.ScalarNode) or _kind(node) not in kinds:
            wanted = " or ".join(sorted(kinds))
            quoted = kinds == _TEXT and _kind(node) in {"a boolean", "a number"}
            hint = "put it in quotes" if quoted else f"write {'true or false' if kinds == _BOOLEAN else wanted}"
            raise self._refuse(node, name, f"is {_kind(node)}, not {wanted}", hint)
        return Scalar(node.value, node.start_mark.line + 1)

    def _items(self, node: yaml.Node, name: str, example: str) -> list[yaml.Node]:
        self._use(node, name)
        if not isinstance(node, yaml.SequenceNode):
            raise self._refuse(node, name, f"is {_kind(node)}, not a list", f"write it like {example}")
        return list(node.value)

    def _names(self, node: yaml.Node, name: str) -> list[Scalar]:
        return [self._name(item, name) for item in self._items(node, name, "[operator]")]

    def _name(self, node: yaml.Node, name: str) -> Scalar:
        found = self.scalar(node, name, _TEXT)
        self._check_name(node, name, found.text)
        return found

    def _check_name(self, node: yaml.Node, name: str, text: str) -> None:
        if not re.match(r"[!-~]{1,128}\Z", text):
            raise self._refuse(node, name, f"{text[:40]!r} is not a name", "use printable ASCII without blanks")

    def roles(self, node: yaml.Node) -> tuple[RoleName, ...]:
        """``rbac.roles``."""
        return tuple(RoleName(found.text, found.line) for found in self._names(node, "rbac.roles"))

    def allowed_actions(self, node: yaml.Node) -> dict[str, frozenset[str]]:
        """``rbac.allowed_actions``."""
        found = self._mapping(node, "rbac.allowed_actions")
        for role, actions in found.items():
            self._check_name(actions, "rbac.allowed_actions", role)
        return {
            role: frozenset(item.text for item in self._names(actions, f"rbac.allowed_actions.{role}"))
            for role, actions in found.items()
        }

    def headers(self, node: yaml.Node) -> dict[str, Scalar]:
        """``approve.headers``."""
        found = self._mapping(node, "approve.headers")
        return {name: self.scalar(value, f"approve.headers.{name[:40]}", _TEXT) for name, value in found.items()}

    def locked(self, node: yaml.Node) -> tuple[Scalar, ...]:
        """``approve.locked``."""
        return tuple(self._name(item, "approve.locked") for item in self._items(node, "approve.locked", "[platform_url]"))

    def hooks(self, node: yaml.Node) -> tuple[dict[str, Scalar], ...]:
        """``approve.hooks``."""
        return tuple(self._hook(item) for item in self._items(node, "approve.hooks", "[{tool: Bash, then: ask}]"))

    def _hook(self, node: yaml.Node) -> dict[str, Scalar]:
        found = self.section(node, "approve.hooks", _HOOK_KEYS)
        for key in ("tool", "then"):
            if key not in found:
                raise self._refuse(node, "approve.hooks", f"an entry without {key}:", f"add {key}:, or remove the entry")
        return {key: self.scalar(value, f"approve.hooks.{key}", _TEXT) for key, value in found.items()}
