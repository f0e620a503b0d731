"""Pure: the rule that a request comes under, and what it needs by that. The first match decides; a deny always wins.

Nothing here approves. A rule that cannot be evaluated for a request refuses it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from molecule_approve.lifecycle import name_key
from molecule_approve.proofs.canonical import digest_of
from molecule_approve.proofs.presence import Presence

from .command_words import CommandWords, RuleError
from .patterns import covers, matches_pattern, matches_words
from .requirement import Eligible, Requirement

if TYPE_CHECKING:
    from molecule_approve.model import JsonValue

Condition = tuple[str, str | list[str], bool]
"""What a rule matches: its key, what is written there, and whether a request fits it."""

DEFAULTS = "defaults"
"""The name of the rule for what no other one matches."""

USER, GROUP = "user:", "group:"
"""In front of the name of a person or a group among a rule's approvers."""


@dataclass(frozen=True, slots=True)
class AskedRequest:
    """What a rule can look at.

    Attributes:
        workspace: its name.
        workspace_id: a rule may name either.
        requester: the name of the requester's credential; None if it has none.
        context: as the client claims it; so are the CI repository and branch in it.
    """

    action: str
    reason: str
    workspace: str
    workspace_id: str
    requester: str | None
    context: Mapping[str, JsonValue] = field(default_factory=dict)


class PossibleApprover(NamedTuple):
    """An approver who may decide in the request's workspace, and the groups that a provider put them in."""

    name: str
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Match:
    """What a rule matches; None matches everything.

    Attributes:
        action, workspace, requester, repository, ref: patterns of the whole text.
        action_regex: a regular expression of RE2, for the whole action.
        command: patterns of the words of a command that ``run`` bound; a last ``*`` stands for any number of words.
        context: patterns of values at the top of the context.
    """

    action: str | None = None
    action_regex: str | None = None
    command: tuple[str, ...] | None = None
    workspace: str | None = None
    requester: str | None = None
    repository: str | None = None
    ref: str | None = None
    context: tuple[tuple[str, str], ...] = ()

    def covers(self, other: Match) -> bool:
        """Whether everything that the other one matches, this one matches too, as far as can be seen."""
        if self.action_regex not in {None, other.action_regex}:
            return False
        if self.command is not None and (other.command is None or not _covers_words(self.command, other.command)):
            return False
        theirs = dict(other.context)
        if not all(key in theirs and covers(pattern, theirs[key]) for key, pattern in self.context):
            return False
        # A request may have none of these, and then even a star does not match.
        for name in ("requester", "repository", "ref"):
            if getattr(self, name) is not None and getattr(other, name) is None:
                return False
        names = ("action", "workspace", "requester", "repository", "ref")
        return all(covers(getattr(self, name), getattr(other, name)) for name in names)


def _covers_words(ours: tuple[str, ...], theirs: tuple[str, ...]) -> bool:
    if theirs[-1:] == ("*",) and ours[-1:] != ("*",):
        return False
    return matches_words(ours, theirs[:-1] if theirs[-1:] == ("*",) else theirs)


@dataclass(frozen=True, slots=True)
class ApprovalRule:
    """A rule, with what it takes over from ``defaults``.

    Attributes:
        deny: it refuses what it matches, with ``message``.
        approvers: names of people, and of groups as ``group:NAME``; None for every approver.
        expires_in: the most seconds that a request may wait; None for no limit of its own.
        line: where it stands in the file.
    """

    name: str
    match: Match = Match()
    deny: bool = False
    message: str = ""
    approvers: tuple[str, ...] | None = None
    approvals: int = 1
    presence: Presence = Presence.NONE
    reason: bool = False
    comment: bool = False
    expires_in: float | None = None
    self_approval: bool | None = None
    line: int = 0

    def digest(self, groups: Mapping[str, tuple[str, ...]]) -> str:
        """The SHA-256 of what the rule says, with the people of the groups that it names."""
        used = {name: groups.get(name, ()) for name in group_names(self.approvers or ())}
        return digest_of(_listed({**asdict(self), "line": None, "groups": used}))


def _listed(value: object) -> JsonValue:
    if isinstance(value, dict):
        return {key: _listed(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_listed(item) for item in value]
    return value  # type: ignore[return-value]  # texts and None


def group_names(approvers: Iterable[str]) -> list[str]:
    """The groups among the approvers of a rule."""
    return [name.removeprefix(GROUP) for name in approvers if name.startswith(GROUP)]


class Refusal(NamedTuple):
    """A rule refuses the request at once: it is denied by ``policy:NAME``, with this message."""

    rule: ApprovalRule
    message: str


class Demand(NamedTuple):
    """What a request needs: ``reason`` before it is taken, ``expires_in`` seconds at most, and the rest to be approved."""

    rule: ApprovalRule
    requirement: Requirement


class NamedPerson(NamedTuple):
    """A person whom the policy names, with the line and the key where it does."""

    name: str
    line: int
    key: str


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy: rules in their order, what holds without a match, and groups of people by name.

    Attributes:
        matches_regex: the engine for regular expressions; it has to take linear time.
        path: its file, for people.
        named: everybody whom rules and groups name, in the order of the file.
        provider_groups: the groups whose members the OpenID provider names.
        lines: where the values of a rule stand, by its name and the key.
    """

    rules: tuple[ApprovalRule, ...]
    defaults: ApprovalRule
    groups: Mapping[str, tuple[str, ...]]
    matches_regex: Callable[[str, str], bool]
    path: str = "policy.yaml"
    named: tuple[NamedPerson, ...] = ()
    provider_groups: frozenset[str] = frozenset()
    lines: Mapping[tuple[str, str], int] = field(default_factory=dict)

    def source(self, line: int, key: str) -> str:
        """A place in the file, for a message."""
        return f"{self.path}, line {line}: {key}"

    def line_of(self, rule: ApprovalRule, key: str) -> int:
        """Where the rule says this key; where it stands itself, if it takes it over from the defaults."""
        return self.lines.get((rule.name, key), rule.line)

    def judge(self, asked: AskedRequest, people: Sequence[PossibleApprover], *, self_approval: bool) -> Demand | Refusal:
        """What the request needs, or that it is refused; ``self_approval`` is the server's own setting.

        Raises:
            RuleError: a rule cannot be evaluated, or not enough people could approve.
        """
        rule = self.find(asked)
        if rule.deny:
            return Refusal(rule, rule.message)
        possible = self.possible(rule, asked, people, self_approval=self_approval)
        check_enough(rule, possible)
        return Demand(rule, self._requirement(rule, possible))

    def find(self, asked: AskedRequest) -> ApprovalRule:
        """The rule that decides: any deny that matches, else the first match, else the defaults.

        Raises:
            RuleError: a rule on the way cannot be evaluated.
        """
        words = CommandWords(asked.action)
        for rule in self.in_order():
            if all(holds for _, _, holds in self.conditions(rule, asked, words)):
                return rule
        return self.defaults

    def in_order(self) -> Iterator[ApprovalRule]:
        """The rules in the order in which they are tried: those that deny first."""
        yield from (rule for rule in self.rules if rule.deny)
        yield from (rule for rule in self.rules if not rule.deny)

    def conditions(self, rule: ApprovalRule, asked: AskedRequest, words: CommandWords) -> Iterator[Condition]:
        """What the rule matches, one by one: its key, what is written there, and whether this request fits it.

        Raises:
            RuleError: that cannot be told.
        """
        match, ci = rule.match, asked.context.get("ci")
        claimed: Mapping[str, JsonValue] = ci if isinstance(ci, dict) else {}
        if match.action is not None:
            yield "action", match.action, _fits(match.action, asked.action)
        if match.workspace is not None:
            known = (asked.workspace, asked.workspace_id)
            yield "workspace", match.workspace, any(_fits(match.workspace, name) for name in known)
        if match.requester is not None:
            yield "requester", match.requester, _fits(match.requester, asked.requester)
        if match.repository is not None:
            claims = _repository(claimed)
            yield "ci.repository", match.repository, any(_fits(match.repository, name) for name in claims)
        if match.ref is not None:
            yield "ci.ref", match.ref, _fits(match.ref, claimed.get("ref"))
        for key, pattern in match.context:
            yield f"context.{key}", pattern, _fits(pattern, asked.context.get(key))
        if match.action_regex is not None:
            yield "action_regex", match.action_regex, self._fits_regex(rule.name, match.action_regex, asked.action)
        if match.command is not None:
            yield "command", list(match.command), words.fit(match.command, rule.name)

    def _fits_regex(self, rule: str, pattern: str, action: str) -> bool:
        try:
            return self.matches_regex(pattern, action)
        except ValueError as exc:
            raise RuleError(rule, f"looks at the action, which cannot be compared: {exc}") from None

    def _requirement(self, rule: ApprovalRule, possible: tuple[Eligible, ...]) -> Requirement:
        return Requirement(
            rule=rule.name,
            rule_sha256=rule.digest(self.groups),
            approvals=rule.approvals,
            eligible=None if rule.approvers is None else possible,
            presence=rule.presence,
            comment=rule.comment,
            self_approval=rule.self_approval,
        )

    def possible(
        self, rule: ApprovalRule, asked: AskedRequest, people: Iterable[PossibleApprover], *, self_approval: bool
    ) -> tuple[Eligible, ...]:
        """Who of these people could approve by the rule: whom it names, but for the requester where that is not allowed."""
        allowed = self_approval if rule.self_approval is None else rule.self_approval
        others = (one for one in people if allowed or asked.requester is None or not _same(one.name, asked.requester))
        return tuple(found for one in others if (found := self.eligible(rule, one)) is not None)

    def eligible(self, rule: ApprovalRule, person: PossibleApprover) -> Eligible | None:
        """How the rule names the person; None if it does not."""
        people = (name for name in rule.approvers or () if not name.startswith(GROUP))
        if rule.approvers is None or any(_same(person.name, name) for name in people):
            return Eligible(person.name)
        groups = tuple(name for name in group_names(rule.approvers) if self.is_member(person, name))
        return Eligible(person.name, groups) if groups else None

    def is_member(self, person: PossibleApprover, group: str) -> bool:
        """Whether the person is in the group, by the policy or by the provider."""
        provided = group in self.provider_groups and group in person.groups
        return provided or any(_same(person.name, name) for name in self.groups.get(group, ()))

    def unreachable(self) -> list[tuple[ApprovalRule, ApprovalRule]]:
        """The rules that never decide, each with one that always does so before."""
        found = []
        for at, rule in enumerate(self.rules):
            before = [one for one in self.rules[:at] if one.deny or not rule.deny]
            after = [] if rule.deny else [one for one in self.rules[at + 1 :] if one.deny]
            found += [(rule, one) for one in (*before, *after) if one.match.covers(rule.match)][:1]
        return found


def check_enough(rule: ApprovalRule, possible: Sequence[Eligible]) -> None:
    """Return if so many people can meet the rule.

    Raises:
        RuleError: nobody could ever approve the request.
    """
    if len(possible) < rule.approvals:
        raise RuleError(rule.name, too_few(rule, len(possible)))


def too_few(rule: ApprovalRule, count: int) -> str:
    """Why so few people cannot meet the rule, as a clause about it."""
    wanted = "an approval" if rule.approvals == 1 else f"{rule.approvals} approvals"
    people = "nobody" if count == 0 else "only 1 person" if count == 1 else f"only {count} people"
    return f"asks for {wanted}, and {people} could give one"


def _same(one: str, other: str) -> bool:
    return name_key(one) == name_key(other)


def _fits(pattern: str, value: JsonValue) -> bool:
    return isinstance(value, str) and matches_pattern(pattern, value)


def _repository(ci: Mapping[str, JsonValue]) -> tuple[str, ...]:
    """A repository by its address, and by the path in it: ``https://github.com/acme/app`` and ``acme/app``.

    As git does, ``git@github.com:acme/app.git`` counts as an address.
    """
    url = ci.get("repository")
    if not isinstance(url, str):
        return ()
    plain = url.removesuffix(".git")
    scheme, separator, rest = plain.partition("://")
    return url, plain, rest.partition("/")[2] if separator else scheme.partition(":")[2]
