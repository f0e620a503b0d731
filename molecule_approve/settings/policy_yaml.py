"""Parses policy.yaml strictly: every mistake names file, line and key (docs/rules.md)."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from molecule_approve.errors import ApprovalError, ConfigError, UsageError
from molecule_approve.lifecycle import name_key
from molecule_approve.policy.approval_rules import (
    DEFAULTS,
    GROUP,
    USER,
    ApprovalRule,
    Match,
    NamedPerson,
    Policy,
    group_names,
    too_few,
)
from molecule_approve.proofs.presence import Presence

from . import values
from .strict_yaml import BOOLEAN, NUMBER, NUMBER_OR_TEXT, TEXT, Node, Reader, compose
from .trusted_file import source_of

if TYPE_CHECKING:
    from .trusted_file import Scalar

T = TypeVar("T")

_TERMS = ("outcome", "approvers", "approvals", "presence", "reason", "comment", "expires_in", "self_approval")
_MATCH = ("action", "action_regex", "command", "workspace", "requester", "ci", "context")
_LONGEST = 30 * 86_400
_MOST_APPROVALS = 100


def parse_policy(data: bytes, path: Path, provider_groups: Collection[str] = ()) -> Policy:
    """The policy of a file. ``provider_groups``: the groups whose members the OpenID provider names.

    Raises:
        ConfigError: invalid YAML, an unknown key or group, a wrong value, a rule that can never decide, more approvals than
            people; with file, line and key.
    """
    root = compose(data, path)
    if root is None:
        raise ConfigError(f"{path} is empty", hint="write version: 1, or remove the file")
    reader = _PolicyReader(path)
    reader.refuse_duplicates(root)
    return reader.policy(root, provider_groups)


class _PolicyReader(Reader):
    """The parts of a policy.yaml."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._named: list[NamedPerson] = []
        self._lines: dict[tuple[str, str], int] = {}

    def policy(self, root: Node, provider_groups: Collection[str]) -> Policy:
        """All of it."""
        found = self.section(root, "", {"version", "groups", DEFAULTS, "rules"})
        if "version" not in found:
            raise self.refuse(root, "version", "is missing", "write version: 1")
        if self.scalar(found["version"], "version", NUMBER).text != "1":
            raise self.refuse(found["version"], "version", "is not 1", "write version: 1")
        groups = self._groups(found["groups"]) if "groups" in found else {}
        known = {*groups, *provider_groups}
        defaults = self._defaults(found[DEFAULTS], known) if DEFAULTS in found else ApprovalRule(DEFAULTS)
        nodes = self.items(found["rules"], "rules", "[{name: all, outcome: ask}]") if "rules" in found else []
        rules = tuple(self._rule(node, defaults, known) for node in nodes)
        named, provided = tuple(self._named), frozenset(provider_groups)
        policy = Policy(rules, defaults, groups, _matches_regex, str(self.path), named, provided, self._lines)
        self._check(policy, provider_groups)
        return policy

    def _groups(self, node: Node) -> dict[str, tuple[str, ...]]:
        found = {}
        for name, people in self.mapping(node, "groups").items():
            self.check_name(people, "groups", name)
            members = self.items(people, f"groups.{name}", "[alice, bo]")
            found[name] = tuple(self._person(item, f"groups.{name}") for item in members)
        return found

    def _person(self, node: Node, key: str) -> str:
        return self._known_as(node, key, self.scalar(node, key, TEXT).text)

    def _known_as(self, node: Node, key: str, name: str) -> str:
        """The name, once it is one of a person's."""
        if not name.strip() or name.startswith((USER, GROUP)):
            hint = "write a name alone; a group has people, and no groups"
            raise self.refuse(node, key, f"{name[:60]!r} is not the name of a person", hint)
        self._named.append(NamedPerson(name, node.start_mark.line + 1, key))
        return name

    def _rule(self, node: Node, defaults: ApprovalRule, known: Collection[str]) -> ApprovalRule:
        found = self.section(node, "rules", {"name", "match", "message", *_TERMS})
        if "name" not in found:
            raise self.refuse(node, "rules", "a rule without a name", "add name:")
        name = self.name(found["name"], "rules.name").text
        if name == DEFAULTS:
            raise self.refuse(
                found["name"], "rules.name", f"{DEFAULTS} is the name of what no rule matches", "choose another"
            )
        base = replace(defaults, name=name, line=node.start_mark.line + 1)
        rule = self._terms(node, found, base, known)
        return replace(rule, match=self._match(found["match"]) if "match" in found else Match())

    def _defaults(self, node: Node, known: Collection[str]) -> ApprovalRule:
        base = ApprovalRule(DEFAULTS, line=node.start_mark.line + 1)
        return self._terms(node, self.section(node, DEFAULTS, set(_TERMS)), base, known)

    def _terms(self, node: Node, found: Mapping[str, Node], base: ApprovalRule, known: Collection[str]) -> ApprovalRule:
        """The rule with what is written here in place of what it takes over."""
        name = DEFAULTS if base.name == DEFAULTS else "rules"
        self._lines |= {(base.name, key): value.start_mark.line + 1 for key, value in found.items()}
        deny = self._outcome(found, name)
        return replace(
            base,
            deny=deny,
            message=self._message(node, found, deny=deny),
            approvers=self._approvers(found["approvers"], name, known) if "approvers" in found else base.approvers,
            approvals=self._read(found, name, "approvals", NUMBER, _approvals, base.approvals),
            presence=self._read(found, name, "presence", TEXT, _presence, base.presence),
            reason=self._read(found, name, "reason", TEXT, _required, base.reason),
            comment=self._read(found, name, "comment", TEXT, _required, base.comment),
            expires_in=self._read(found, name, "expires_in", NUMBER_OR_TEXT, values.span(1, _LONGEST), base.expires_in),
            self_approval=self._read(found, name, "self_approval", BOOLEAN, values.boolean, base.self_approval),
        )

    def _message(self, node: Node, found: Mapping[str, Node], *, deny: bool) -> str:
        """The message of a rule that denies: it has one and no terms, any other one has none."""
        key = "rules.message"
        text = self.scalar(found["message"], key, TEXT).text if "message" in found else ""
        if not deny and "message" in found:
            hint = "add outcome: deny, or remove the message"
            raise self.refuse(found["message"], key, "a rule has one only if it denies", hint)
        if not deny:
            return ""
        if not text.strip():
            hint = "say there what to do instead"
            raise self.refuse(found.get("message", node), key, "a rule that denies needs one", hint)
        for extra in (extra for extra in _TERMS if extra in found and extra != "outcome"):
            hint = "it has name, match, outcome and message; remove what is beyond these"
            raise self.refuse(found[extra], f"rules.{extra}", "a rule that denies does not ask for anything", hint)
        return text

    def _read(
        self, found: Mapping[str, Node], name: str, key: str, kinds: frozenset[str], parse: Callable[[str], T], default: T
    ) -> T:
        if key not in found:
            return default
        scalar: Scalar = self.scalar(found[key], f"{name}.{key}", kinds)
        return values.read(source_of(self.path, scalar.line, f"{name}.{key}").swap(scalar.text), parse).value

    def _outcome(self, found: Mapping[str, Node], name: str) -> bool:
        """Whether the rule denies."""
        if "outcome" not in found:
            return False
        word = self.scalar(found["outcome"], f"{name}.outcome", TEXT).text
        if word == "ask":
            return False
        if word == "deny" and name != DEFAULTS:
            return True
        hint = (
            "write ask; nothing approves by itself" if name == DEFAULTS else "write ask or deny; nothing approves by itself"
        )
        raise self.refuse(found["outcome"], f"{name}.outcome", f"{word[:40]!r} is not an outcome", hint)

    def _approvers(self, node: Node, name: str, known: Collection[str]) -> tuple[str, ...]:
        items = self.items(node, f"{name}.approvers", '["group:dba", alice]')
        if not items:
            raise self.refuse(
                node, f"{name}.approvers", "is empty, so that nobody could approve", "name somebody, or omit it"
            )
        return tuple(self._approver(item, f"{name}.approvers", known) for item in items)

    def _approver(self, node: Node, name: str, known: Collection[str]) -> str:
        text = self.scalar(node, name, TEXT).text
        if not text.startswith(GROUP):
            return self._known_as(node, name, text.removeprefix(USER))
        group = text.removeprefix(GROUP)
        if group not in known:
            hint = f"known groups: {', '.join(sorted(known)) or 'none'}"
            raise self.refuse(node, name, f"there is no group {group[:60]!r}", hint)
        return text

    def _match(self, node: Node) -> Match:
        found = self.section(node, "rules.match", set(_MATCH))
        ci = self.section(found.get("ci"), "rules.match.ci", {"repository", "ref"})
        context = self.mapping(found["context"], "rules.match.context") if "context" in found else {}
        for key, value in (("ci", ci), ("context", context)):
            if key in found and not value:
                raise self.refuse(found[key], f"rules.match.{key}", "is empty, so that it matches all", "remove it")
        for key in _NO_TEXTS & context.keys():
            why, hint = "can never match: no request has a text there", "match a CI job with ci: {repository: ..., ref: ...}"
            raise self.refuse(context[key], f"rules.match.context.{key}", why, hint)
        texts = {
            key: self.scalar(value, f"rules.match.{key}", TEXT).text
            for key, value in {**found, **ci}.items()
            if key in _PLAIN
        }
        if "action_regex" in found:
            self._check_regex(found["action_regex"], texts["action_regex"])
        command = self.texts(found["command"], "rules.match.command", '[psql, "*"]') if "command" in found else None
        if command == ():
            raise self.refuse(found["command"], "rules.match.command", "has no words", 'write it like [psql, "*"]')
        return Match(
            **texts,
            command=None if command is None else tuple(word.text for word in command),
            context=tuple((key, self.scalar(value, "rules.match.context", TEXT).text) for key, value in context.items()),
        )

    def _check_regex(self, node: Node, pattern: str) -> None:
        try:
            _matches_regex(pattern, "")
        except ValueError as exc:
            hint = "write it in the syntax of RE2: it has neither look-around nor references back"
            raise self.refuse(node, "rules.match.action_regex", f"is not a regular expression: {exc}", hint) from None
        except ImportError:
            hint = "pip install 'molecule-approve[rules]'"
            raise self.refuse(node, "rules.match.action_regex", "needs the library google-re2", hint) from None

    def _check(self, policy: Policy, provider_groups: Collection[str]) -> None:
        names = [rule.name for rule in policy.rules]
        for at, rule in enumerate(policy.rules):
            if rule.name in names[:at]:
                raise self._wrong(policy, rule, "name", f"there are two rules {rule.name}", "give each its own name")
        for rule, other in policy.unreachable():
            message = f"rule {rule.name} never decides: {other.name}, line {other.line}, matches whatever it matches"
            raise self._wrong(policy, rule, "match", message, "change its order or its match, or remove it")
        for rule in (*policy.rules, policy.defaults):
            groups = group_names(rule.approvers or ())
            if rule.approvers is None or any(name in provider_groups for name in groups):
                continue
            people = [name for name in rule.approvers if not name.startswith(GROUP)]
            people += [name for group in groups for name in policy.groups[group]]
            if (count := len({name_key(name) for name in people})) < rule.approvals and not rule.deny:
                message = f"rule {rule.name} {too_few(rule, count)}"
                raise self._wrong(policy, rule, "approvals", message, "name more people, or ask for fewer approvals")

    def _wrong(self, policy: Policy, rule: ApprovalRule, key: str, message: str, hint: str) -> ApprovalError:
        section = DEFAULTS if rule.name == DEFAULTS else "rules"
        return source_of(self.path, policy.line_of(rule, key), f"{section}.{key}").refuse(message, hint)


_NO_TEXTS = {"ci", "audit_head"}
"""What requests have in their context, and not as a text."""

_PLAIN = {"action", "action_regex", "workspace", "requester", "repository", "ref"}


def _matches_regex(pattern: str, text: str) -> bool:
    """Whether the regular expression matches the whole text, by an engine that takes linear time.

    Raises:
        ValueError: it is not a regular expression of RE2, or the text is not UTF-8.
        ImportError: the engine is not installed.
    """
    import re2  # noqa: PLC0415 - only where a rule has one

    options = re2.Options()
    options.log_errors = False
    options.dot_nl = True  # as a star in a pattern: an action of `run` has several lines
    try:
        return re2.fullmatch(pattern, text, options) is not None
    except re2.error as exc:
        raise ValueError(exc.args[0].decode("utf-8", "replace")) from None


def _approvals(text: str) -> int:
    if not re.match(r"[1-9][0-9]{0,2}\Z", text) or int(text) > _MOST_APPROVALS:
        raise UsageError(f"{text[:40]!r} is not a number of approvals", hint=f"write a number from 1 to {_MOST_APPROVALS}")
    return int(text)


def _presence(text: str) -> Presence:
    try:
        return Presence(text)
    except ValueError:
        raise UsageError(f"{text[:40]!r} is not a presence", hint=f"write {', '.join(Presence)}") from None


def _required(text: str) -> bool:
    if text != "required":
        raise UsageError(f"{text[:40]!r} is not required", hint="write required, or omit it")
    return True
