"""Pure: misspelled variables and keys. A misspelled setting has no effect, so a warning must name it."""

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
        "MOLECULE_SERVER_CONFIG",
        "MOLECULE_TOKEN",
        "PLATFORM_URL",
        "WORKSPACE_CONFIG_PATH",
        "WORKSPACE_ID",
    }
)
"""Every variable of the environment that is a setting of this program."""

SECTIONS = frozenset({"approve", "rbac"})
"""The sections of config.yaml that this program reads."""

_SLIP = 2
"""Letters that one typing error omits, adds or changes in one place."""


def misspelt(environ: Iterable[str], sections: Iterable[str]) -> list[str]:
    """A warning for each variable and each section of config.yaml that is nearly one of ours."""
    return [
        *(f"{name} is not a setting; did you mean {right}?" for name, right in near_misses(environ, VARIABLES)),
        *(
            f"config.yaml: {name}: is not a section of this program; did you mean {right}:?"
            for name, right in near_misses(sections, SECTIONS)
        ),
    ]


def near_misses(names: Iterable[str], ours: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Each name that is nearly one of ours, with that one."""
    for name in names:
        if name in ours:
            continue
        for right in ours:
            # Cheap first: the environment has many names, and few have the length.
            if abs(len(name) - len(right)) <= _SLIP and _is_near(name.lower(), right.lower()):
                yield name, right


def _is_near(name: str, right: str) -> bool:
    """Whether they differ in one place, by two letters at most, and not in the first letter."""
    head = _in_common(name, right)
    tail = _in_common(name[head:][::-1], right[head:][::-1])
    return head > 0 and max(len(name), len(right)) - head - tail <= _SLIP


def _in_common(one: str, other: str) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
