"""Reads YAML strictly; the only module that imports PyYAML, loaded only if there is a file.

It reads the tree of nodes, not YAML's types: every value keeps its line and its spelling, and `no` in place of a text is an
error, not False.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path

import yaml

from molecule_approve.errors import ApprovalError, ConfigError

from .trusted_file import Scalar, source_of

_TAG = "tag:yaml.org,2002:"
_KINDS = {"str": "text", "bool": "a boolean", "int": "a number", "float": "a number", "null": "empty", "merge": "a merge"}
TEXT = frozenset({"text"})
NUMBER = frozenset({"a number"})
NUMBER_OR_TEXT = frozenset({"text", "a number"})
BOOLEAN = frozenset({"a boolean"})

_NO_CHARACTER = re.compile("[\0\ud800-\udfff]")
"""What YAML's escapes can write, and no database, no log and no JSON of ours can hold."""

Node = yaml.Node


def compose(data: bytes, path: Path) -> yaml.Node | None:
    """The tree of a file; None if it is empty.

    Raises:
        ConfigError: invalid YAML, with the line.
    """
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


class Reader:
    """Reads our sections of one file's tree; knows the file's name, for the errors."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._used: set[int] = set()

    def refuse(self, node: yaml.Node, key: str, message: str, hint: str) -> ApprovalError:
        """The error at this place of the file."""
        return source_of(self.path, node.start_mark.line + 1, key).refuse(message, hint)

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
                    raise self.refuse(key, key.value, "duplicate key", "remove one of the two")
                names.add((key.tag, key.value))

    def top(self, root: yaml.Node) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
        """The top-level keys that are text."""
        if not isinstance(root, yaml.MappingNode):
            raise self.refuse(root, "the file", f"is {_kind(root)}, not keys with values", "write rbac: or approve:")
        for key, _ in root.value:
            if _kind(key) == "a merge":
                # The merged mapping could hold rbac:, and ignoring that would be a silent default.
                raise self.refuse(key, key.value, "merge keys are not supported", "write the keys out")
        return [(key, value) for key, value in root.value if _kind(key) == "text"]

    def mapping(self, node: yaml.Node, name: str) -> dict[str, yaml.Node]:
        """Keys that are texts, with their values."""
        self._use(node, name)
        if not isinstance(node, yaml.MappingNode):
            hint = f"give {name or 'it'} keys, or remove it"
            raise self.refuse(node, name or "the file", f"is {_kind(node)}, not keys with values", hint)
        for key, _ in node.value:
            if _kind(key) != "text":
                raise self.refuse(key, name or "the file", f"a key is {_kind(key)}, not text", "put the key in quotes")
            self._check_characters(key, name or "the file")
        return {key.value: value for key, value in node.value}

    def _check_characters(self, node: yaml.Node, name: str) -> None:
        if _NO_CHARACTER.search(node.value):
            raise self.refuse(node, name, "has a zero byte or half a character", "remove the escape, such as \\0 or \\ud800")

    def _use(self, node: yaml.Node, name: str) -> None:
        # A node that is used twice is an alias: a small file could expand without end.
        if id(node) in self._used:
            raise self.refuse(node, name, "aliases are not supported", "write the value out")
        self._used.add(id(node))

    def section(self, node: yaml.Node | None, name: str, known: Collection[str]) -> dict[str, yaml.Node]:
        """A mapping with these keys only; empty if it is missing. Without a name it is the whole file."""
        if node is None:
            return {}
        found = self.mapping(node, name)
        for key, _ in node.value:
            if key.value not in known:
                raise self.unknown(key, f"{name}.{key.value}" if name else key.value, known)
        return found

    def unknown(self, node: yaml.Node, name: str, known: Collection[str]) -> ApprovalError:
        """The error for a key that is none of the known ones."""
        return self.refuse(node, name, "unknown key", f"known keys: {', '.join(sorted(known))}")

    def texts(self, node: yaml.Node, name: str, example: str) -> tuple[Scalar, ...]:
        """A list of texts."""
        return tuple(self.scalar(item, name, TEXT) for item in self.items(node, name, example))

    def scalar(self, node: yaml.Node, name: str, kinds: frozenset[str]) -> Scalar:
        """One value of one of the types, as it is written."""
        self._use(node, name)
        if not isinstance(node, yaml.ScalarNode) or _kind(node) not in kinds:
            wanted = " or ".join(sorted(kinds))
            quoted = kinds == TEXT and _kind(node) in {"a boolean", "a number"}
            hint = "put it in quotes" if quoted else f"write {'true or false' if kinds == BOOLEAN else wanted}"
            raise self.refuse(node, name, f"is {_kind(node)}, not {wanted}", hint)
        self._check_characters(node, name)
        return Scalar(node.value, node.start_mark.line + 1)

    def items(self, node: yaml.Node, name: str, example: str) -> list[yaml.Node]:
        """A list."""
        self._use(node, name)
        if not isinstance(node, yaml.SequenceNode):
            raise self.refuse(node, name, f"is {_kind(node)}, not a list", f"write it like {example}")
        return list(node.value)

    def names(self, node: yaml.Node, name: str) -> list[Scalar]:
        """A list of names."""
        return [self.name(item, name) for item in self.items(node, name, "[operator]")]

    def name(self, node: yaml.Node, name: str) -> Scalar:
        """A name."""
        found = self.scalar(node, name, TEXT)
        self.check_name(node, name, found.text)
        return found

    def check_name(self, node: yaml.Node, name: str, text: str) -> None:
        """Return if the text is a name: printable ASCII without blanks."""
        if not re.match(r"[!-~]{1,128}\Z", text):
            raise self.refuse(node, name, f"{text[:40]!r} is not a name", "use printable ASCII without blanks")
