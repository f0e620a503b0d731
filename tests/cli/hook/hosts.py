"""The hosts as the tests call them: an event of each, and what the forms of their answers mean to them."""

from __future__ import annotations

import json
import random
import re
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.callers import Caller, Told

FIXTURES = Path(__file__).parents[2] / "integrations" / "hooks" / "fixtures"
RECORDED = sorted(FIXTURES.glob("*/*/*.json"))
NAMES = ("claude-code", "codex", "gemini", "cursor", "copilot")
COMMAND = "terraform destroy -auto-approve"
"""What every host's ``shell.json`` asks for."""

_SESSIONS = ("session_id", "sessionId", "conversation_id")


def event(host: str, name: str = "shell", **fields: object) -> dict[str, Any]:
    """A recorded event of the host's newest version that has one of this name, in a session of its own.

    Args:
        host: its name.
        name: of the file.
        fields: what to change in it.

    """
    newest = max((FIXTURES / host).glob(f"*/{name}.json"), key=_version)
    found: dict[str, Any] = json.loads(newest.read_bytes())
    session = next(key for key in _SESSIONS if key in found)
    return {**found, session: str(uuid.uuid4()), **fields}


def call(caller: Caller, host: str, data: bytes | dict[str, Any], *options: str) -> Told:
    """Start the hook in this process, with this on stdin."""
    path = caller.folder / "event.json"
    path.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
    with path.open() as stdin, caller.patch.context() as patch:
        patch.setattr("sys.stdin", stdin)
        return caller.main("hook", host, *options)


def call_briefly(caller: Caller, host: str, data: dict[str, Any]) -> Told:
    """The same, and wait for a second only.

    Not by ``--limit``: on a busy machine the watchdog would end this process before the gate has ended the wait.
    """
    with caller.patch.context() as patch:
        patch.setenv("APPROVAL_TIMEOUT", "1")
        return call(caller, host, data)


def _version(path: Path) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", path.parent.name))


ALLOWED = {
    "claude-code": {
        "hookSpecificOutput": {
            "hookEventName": "PreToolUse",
            "permissionDecision": "allow",
            "permissionDecisionReason": "approved by a person",
        }
    },
    "codex": None,
    "gemini": {"decision": "allow"},
    "cursor": {"permission": "allow"},
    "copilot": {"permissionDecision": "allow"},
}
"""What stdout says after an approval; None for silence."""


def check_allowed(host: str, told: Told) -> None:
    """The host makes the call, and takes the answer for a yes."""
    assert (told.code, _said(told)) == (0, ALLOWED[host])


def check_left(host: str, told: Told) -> None:
    """The host decides by its own rules."""
    assert (told.code, _said(told)) == (0, None if host == "codex" else {})


def check_blocked(host: str, told: Told) -> str:
    """The host makes no call, whether it looks at stdout, at stderr or at the exit code; the reason that it is told."""
    assert told.code == 2
    assert told.err.strip()
    said = _said(told)
    assert said is not None
    return denial(host, said)


def denial(host: str, said: dict[str, Any]) -> str:
    """The reason of a denial in this host's form, which has no other field."""
    match host:
        case "claude-code" | "codex":
            (inner,) = said.values()
            assert list(said) == ["hookSpecificOutput"]
            reason = inner.pop("permissionDecisionReason")
            assert inner == {"hookEventName": "PreToolUse", "permissionDecision": "deny"}
        case "gemini":
            reason = said.pop("reason")
            assert said == {"decision": "deny"}
        case "cursor":
            reason = said.pop("agent_message")
            assert said.pop("permission") == "deny"
            assert said == dict.fromkeys(("user_message", "userMessage", "agentMessage"), reason)
        case _:
            reason = said.pop("permissionDecisionReason")
            assert said == {"permissionDecision": "deny"}
    assert reason.strip()
    return str(reason)


def _said(told: Told) -> dict[str, Any] | None:
    """The one object on stdout, in one line of ASCII; None where nothing stands there."""
    if not told.out:
        return None
    assert told.out.isascii()
    assert told.out.count("\n") == 1
    found: dict[str, Any] = json.loads(told.out)
    return found


# --- broken events ---------------------------------------------------------------------------------------------------------

SCRAPS: list[Any] = [
    None,
    True,
    0,
    -1.5,
    10**400,
    "",
    " ",
    "x",
    "\ud800",
    "\0",
    [],
    {},
    [[]],
    {"command": "rm -rf /"},
    "allow",
]


def mutations(seed: int | str, recorded: Iterable[Path], each: int = 40) -> Iterator[bytes]:
    """Broken events: with bytes changed, cut or doubled, and with fields of other types."""
    chance = random.Random(seed)
    for path in recorded:
        data = path.read_bytes()
        for _ in range(each):
            yield _scratched(bytearray(data), chance)
            yield json.dumps(_swapped(json.loads(data), chance)).encode()
    for size in (0, 1, 2, 10, 1_000):
        yield chance.randbytes(size)
    yield b'{"a":' * 100_000
    yield b"[" + b"9" * 100_000 + b"]"


def _scratched(data: bytearray, chance: random.Random) -> bytes:
    at = chance.randrange(len(data))
    match chance.randrange(4):
        case 0:
            data[at] = chance.randrange(256)
        case 1:
            del data[at:]
        case 2:
            data[at:at] = chance.randbytes(3)
        case _:
            data *= 2
    return bytes(data)


def _swapped(event: Any, chance: random.Random) -> Any:  # noqa: ANN401 - JSON
    if isinstance(event, dict) and event and chance.random() < 0.8:
        key = chance.choice(sorted(event))
        if chance.random() < 0.3:
            return {name: value for name, value in event.items() if name != key}
        return {**event, key: _swapped(event[key], chance)}
    return chance.choice(SCRAPS)
