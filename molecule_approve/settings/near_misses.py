"""Pure: names that are nearly one of ours. A misspelt setting is none, and nobody would miss what it wanted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import takewhile

VARIABLES = frozenset(
    {
        "APPROVAL_ALLOW_HTTP",
        "APPROVAL_POLL_INTERVAL",
        "APPROVAL_TIMEOUT",
        "APPROVAL_USE_WEBSOCKET",
        "AUDIT_LOG_PATH",
        "AUDIT_LOG_ROTATE_AT",
        "CONFIGS_DIR",
        "MOLECULE_APPROVER_TOKEN",
        "MOLECULE_TOKEN",
        "PLATFORM_URL",
        "WORKSPACE_CONFIG_PATH",
        "WORKSPACE_ID",
    }
)
"""Every variable of the environment that is a setting of this program."""

SECTIONS = frozenset({"approve", "rbac"})
"""The parts of config.yaml that are ours."""

_SLIP = 2
"""Letters that one slip of the finger leaves out, adds or changes at one place."""


def misspelt(environ: Iterable[str], sections: Iterable[str]) -> list[str]:
    """A warning for each variable, and for each part of config.yaml, that looks like one of ours and is none."""
    return [
        *(f"{name} is not a setting; did you mean {right}?" for name, right in near_misses(environ, VARIABLES)),
        *(f"config.yaml: {name}: is not read; did you mean {right}:?" for name, right in near_misses(sections, SECTIONS)),
    ]


def near_misses(names: Iterable[str], ours: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Each name that is none of ours and nearly one, with that one."""
    for name in names:
        if name in ours:
            continue
        for right in ours:
            # The environment has many names, and nearly none of them is as long.
            if abs(len(name) - len(right)) <= _SLIP and _is_near(name.lower(), right.lower()):
                yield name, right


def _is_near(name: str, right: str) -> bool:
    """Whether they differ at one place, by two letters at the most, and not before the first letter."""
    head = _in_common(name, right)
    tail = _in_common(name[head:][::-1], right[head:][::-1])
    return head > 0 and max(len(name), len(right)) - head - tail <= _SLIP


def _in_common(one: str, other: str) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
