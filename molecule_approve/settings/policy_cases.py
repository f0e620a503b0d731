"""Parses a table of cases for a policy strictly: what is asked, and what is expected (docs/rules.md)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from molecule_approve.errors import ConfigError
from molecule_approve.lifecycle import name_key
from molecule_approve.policy.approval_rules import AskedRequest, PossibleApprover
from molecule_approve.policy.command_words import bound_text
from molecule_approve.policy.explanation import PolicyOutcome

from .strict_yaml import BOOLEAN, NUMBER, TEXT, Node, Reader, compose
from .values import boolean

if TYPE_CHECKING:
    from molecule_approve.model import JsonValue
    from molecule_approve.policy.approval_rules import Policy
    from molecule_approve.policy.explanation import Explanation

T = TypeVar("T")

_CASE = {"action", "command", "requester", "workspace", "context", "expect"}
_CI = {"repository", "ref"}


@dataclass(frozen=True, slots=True)
class ExpectedOutcome:
    """What a case expects; None where it does not say."""

    rule: str | None = None
    outcome: PolicyOutcome | None = None
    message: str | None = None
    approvals: int | None = None
    approvers: tuple[str, ...] | None = None
    presence: str | None = None

    def differences(self, found: Explanation) -> list[str]:
        """What the policy says otherwise, each as a clause."""
        people = found.names()
        pairs = (
            ("rule", self.rule, found.rule),
            ("outcome", self.outcome, found.outcome.value),
            ("message", self.message, found.message),
            ("approvals", self.approvals, found.approvals),
            ("approvers", None if self.approvers is None else ", ".join(sorted(self.approvers)), ", ".join(people or ())),
            ("presence", self.presence, found.presence.value),
        )
        found_otherwise = (pair for pair in pairs if pair[1] not in {None, pair[2]})
        return [f"{key} is {_or_empty(is_now)}, not {_or_empty(wanted)}" for key, wanted, is_now in found_otherwise]


def _or_empty(value: str | int | None) -> str:
    return "empty" if value == "" else str(value)


@dataclass(frozen=True, slots=True)
class PolicyCase:
    """A request, what the policy should say about it, and the line where it stands."""

    asked: AskedRequest
    expected: ExpectedOutcome
    line: int


@dataclass(frozen=True, slots=True)
class CaseTable:
    """The cases of a file.

    Attributes:
        policy: the file that they are about; None if they name none.
        people: the approvers that there are, each with the groups that the provider names; None if nobody is listed, and
            then those whom the policy names.
        self_approval: whether the server lets approvers decide their own requests; None if that is not set.
    """

    path: Path
    policy: Path | None
    people: tuple[PossibleApprover, ...] | None
    self_approval: bool | None
    cases: tuple[PolicyCase, ...] = field(default=())

    @property
    def provider_groups(self) -> frozenset[str]:
        """All groups of its people."""
        return frozenset[str]().union(*(one.groups for one in self.people or ()))

    def check(self, policy: Policy) -> None:
        """Check that everybody is listed whom the policy names: a server does not start with one that names others.

        Raises:
            ConfigError: somebody is not, with file, line and key.
        """
        if self.people is None:
            return
        known = {name_key(one.name) for one in self.people}
        for person in policy.named:
            if name_key(person.name) not in known:
                raise ConfigError(
                    f"{policy.source(person.line, person.key)}: {person.name} is not among the people of {self.path}",
                    hint="list all approvers there, or omit people: for those whom the policy names",
                )


def parse_cases(data: bytes, path: Path) -> CaseTable:
    """The cases of a file.

    Raises:
        ConfigError: invalid YAML, an unknown key, a wrong value; with file, line and key.
    """
    root = compose(data, path)
    if root is None:
        raise ConfigError(f"{path} is empty", hint="write cases: [{action: ..., expect: {...}}]")
    reader = _CaseReader(path)
    reader.refuse_duplicates(root)
    return reader.table(root)


class _CaseReader(Reader):
    """The parts of a table of cases."""

    def table(self, root: Node) -> CaseTable:
        """All of it."""
        found = self.section(root, "", {"policy", "people", "self_approval", "cases"})
        policy, own = self._text(found, "", "policy"), "self_approval"
        items = self.items(found["cases"], "cases", "[{action: ..., expect: {...}}]") if "cases" in found else []
        if not items:
            raise self.refuse(
                found.get("cases", root), "cases", "there are none", "write what is asked, and what is expected"
            )
        return CaseTable(
            self.path,
            None if policy is None else self.path.parent / policy,
            self._people(found["people"]) if "people" in found else None,
            boolean(self.scalar(found[own], own, BOOLEAN).text) if own in found else None,
            tuple(self._case(item) for item in items),
        )

    def _people(self, node: Node) -> tuple[PossibleApprover, ...]:
        found = self.mapping(node, "people")
        groups, known = {}, dict[str, str]()
        for name, value in found.items():
            if (other := known.setdefault(name_key(name), name)) != name:
                raise self.refuse(value, "people", f"{other} and {name} are one person", "keep one of them")
            groups[name] = self.texts(value, f"people.{name}", "[ops]")
        return tuple(PossibleApprover(name, frozenset(one.text for one in theirs)) for name, theirs in groups.items())

    def _case(self, node: Node) -> PolicyCase:
        found = self.section(node, "cases", _CASE)
        workspace = self._text(found, "cases", "workspace") or ""
        context = self._context(found["context"]) if "context" in found else {}
        return PolicyCase(
            AskedRequest(
                action=self._action(node, found, context),
                reason="",
                workspace=workspace,
                workspace_id=workspace,
                requester=self._text(found, "cases", "requester"),
                context=context,
            ),
            self._expected(found["expect"]) if "expect" in found else ExpectedOutcome(),
            node.start_mark.line + 1,
        )

    def _action(self, node: Node, found: Mapping[str, Node], context: Mapping[str, JsonValue]) -> str:
        if ("action" in found) == ("command" in found):
            raise self.refuse(node, "cases.action", "is missing, or beside a command", "write one of action and command")
        if "action" in found:
            return self.scalar(found["action"], "cases.action", TEXT).text
        words = [word.text for word in self.texts(found["command"], "cases.command", "[psql, -c, DROP TABLE x]")]
        if not words:
            raise self.refuse(found["command"], "cases.command", "has no words", "write it like [psql, -c, DROP TABLE x]")
        return bound_text(words, words[0], context)

    def _context(self, node: Node) -> dict[str, JsonValue]:
        key = "cases.context"
        found = self.mapping(node, key)
        context: dict[str, JsonValue] = {
            name: self.scalar(value, f"{key}.{name}", TEXT).text for name, value in found.items() if name != "ci"
        }
        if "ci" in found:
            ci = self.section(found["ci"], f"{key}.ci", _CI)
            context["ci"] = {name: self.scalar(value, f"{key}.ci.{name}", TEXT).text for name, value in ci.items()}
        return context

    def _expected(self, node: Node) -> ExpectedOutcome:
        found = self.section(node, "cases.expect", set(ExpectedOutcome.__slots__))
        where = "cases.expect"
        return ExpectedOutcome(
            rule=self._text(found, where, "rule"),
            outcome=self._read(found, "outcome", TEXT, PolicyOutcome, "write ask, deny or refuse"),
            message=self._text(found, where, "message"),
            approvals=self._read(found, "approvals", NUMBER, _count, "write a whole number"),
            approvers=self._names(found["approvers"]) if "approvers" in found else None,
            presence=self._text(found, where, "presence"),
        )

    def _names(self, node: Node) -> tuple[str, ...]:
        return tuple(one.text for one in self.texts(node, "cases.expect.approvers", "[alice, bo]"))

    def _read(
        self, found: Mapping[str, Node], key: str, kinds: frozenset[str], parse: Callable[[str], T], hint: str
    ) -> T | None:
        if key not in found:
            return None
        text = self.scalar(found[key], f"cases.expect.{key}", kinds).text
        try:
            return parse(text)
        except ValueError:
            raise self.refuse(found[key], f"cases.expect.{key}", f"{text[:40]!r} cannot be expected", hint) from None

    def _text(self, found: Mapping[str, Node], section: str, key: str) -> str | None:
        if key not in found:
            return None
        return self.scalar(found[key], f"{section}.{key}" if section else key, TEXT).text


def _count(text: str) -> int:
    if not re.match(r"[0-9]{1,3}\Z", text):
        raise ValueError(text)
    return int(text)
