"""Pure: the words of a command that ``run`` bound, as its request shows them, for rules that look at them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from molecule_approve.safe_text import has_escapes, quoted

from .patterns import matches_words

if TYPE_CHECKING:
    from molecule_approve.model import JsonValue

_PROGRAM = "program: "
_NO_DIGEST = "0" * 64
_STANDS_FOR = " stands for text that is not shown"


class RuleError(Exception):
    """A rule cannot be evaluated, or met, for this request.

    The message is a sentence that names the rule.
    """

    def __init__(self, rule: str, problem: str) -> None:
        super().__init__(f"rule {rule} {problem}")
        self.rule = rule
        self.problem = problem


def bound_text(words: Sequence[str], path: str, context: Mapping[str, JsonValue] = MappingProxyType({})) -> str:
    """What ``run`` would request for these words and the program at this path, as far as a rule looks at it.

    The folder, the host and the user are those of the context.
    """
    program = f"{_PROGRAM}{quoted(path)} sha256:{_NO_DIGEST}"
    said = ((name, context.get(name)) for name in ("folder", "host", "user"))
    facts = [f"{name}: {quoted(value)}" for name, value in said if isinstance(value, str)]
    return "\n".join((" ".join(map(quoted, words)), program, *facts, f"digest: sha256:{_NO_DIGEST}"))


class CommandWords:
    """The words of a command that ``run`` bound, parsed when a rule first asks for them."""

    def __init__(self, action: str) -> None:
        self._line, *self._facts = action.split("\n")

    @property
    def _is_bound(self) -> bool:
        facts = self._facts
        return bool(facts) and facts[0].startswith(_PROGRAM) and facts[-1].startswith("digest: sha256:")

    def fit(self, patterns: tuple[str, ...], rule: str) -> bool:
        """Whether the patterns match the words; never for what is not a bound command.

        The first word is the program as it was typed, by its path, and by the name at its end: each may match.

        Raises:
            RuleError: the words cannot be told: a secret stands in for one, or a character is not shown as it is.
        """
        if not self._is_bound:
            return False
        program = self._facts[0].removeprefix(_PROGRAM).rpartition(" sha256:")[0]
        hidden = any(fact.startswith("remark: ") and _STANDS_FOR in fact for fact in self._facts)
        if hidden or has_escapes(self._line) or has_escapes(program):
            raise RuleError(rule, "looks at the command's words, and some of them are not shown in the request")
        try:
            typed, *words = shlex.split(self._line)
            (path,) = shlex.split(program)
        except ValueError:
            raise RuleError(rule, "looks at the command's words, and the request's cannot be parsed") from None
        return any(matches_words(patterns, (name, *words)) for name in (typed, path, path.rpartition("/")[2]))
