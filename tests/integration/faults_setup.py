"""The fault table's rows in which what was configured is broken, and those in which several people decide at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

import httpx

from tests.integration.fault import Act, Arrange, Fault, approve, names
from tests.integration.ledger import as_text, now
from tests.integration.raw_http import PLAIN

if TYPE_CHECKING:
    from tests.integration.facts import Facts
    from tests.integration.fake_platform import Exchange
    from tests.integration.program import Program, World
    from tests.integration.raw_http import Reply

# --- configuration: read before there is a path, so that one path says it all ----------------------------------------------

_YAML = {
    "broken YAML": ("approve: [1\n", ("config.yaml", "line")),
    "no mapping": ("- a\n- b\n", ("config.yaml",)),
    "a timeout of another type": ("approve:\n  timeout: [5]\n", ("config.yaml", "timeout")),
    "a timeout that is none": ("approve:\n  timeout: 5 parsecs\n", ("config.yaml", "timeout", "parsecs")),
    "roles of another type": ("rbac:\n  roles: 7\n", ("config.yaml", "roles")),
    "doubled keys": ("approve:\n  timeout: 5\n  timeout: 6\n", ("config.yaml", "timeout", "line")),
    "unknown roles": ("rbac:\n  roles: [operatr]\n", ("config.yaml", "operatr")),
    "an unknown key": ("approve:\n  time_out: 5\n", ("config.yaml", "time_out")),
    "a tag": ("approve: !!python/object/apply:os.system [true]\n", ("config.yaml",)),
    "a header that carries the credential": (
        "approve:\n  headers:\n    Authorization: x\n",
        ("config.yaml", "Authorization"),
    ),
    "bad number": ("approve:\n  poll_interval: 0\n", ("config.yaml", "poll_interval")),
}
_EXAMPLES = {
    "broken YAML": "broken YAML",
    "doubled keys": "doubled keys in config.yaml",
    "unknown roles": "unknown roles",
    "bad number": "bad numbers",
}
_VARIABLES = {
    "APPROVAL_TIMEOUT": ("5 parsecs", "0", "-1", "nan", "1e9", "25h"),
    "APPROVAL_POLL_INTERVAL": ("0.5", "often"),
    "APPROVAL_USE_WEBSOCKET": ("perhaps",),
    "PLATFORM_URL": ("ftp://platform", "http://user:pass-word@127.0.0.1:1", "http://"),
    "MOLECULE_TOKEN": ("two\nlines",),
}
POLL = ("poll",)


def _write(text: str, mode: int = 0o600) -> Arrange:
    def arrange(world: World) -> None:
        path = world.folder / "config.yaml"
        path.write_text(text)
        path.chmod(mode)
        world.env["WORKSPACE_CONFIG_PATH"] = str(path)

    return arrange


def _folder(world: World) -> None:
    (world.folder / "config.yaml").mkdir()
    world.env["WORKSPACE_CONFIG_PATH"] = str(world.folder / "config.yaml") + "/config.yaml"
    os.mkfifo(world.folder / "config.yaml" / "config.yaml")


def _not_text(world: World) -> None:
    _write("")(world)
    (world.folder / "config.yaml").write_bytes(b"\xff\xfe\x00")


def _missing(world: World) -> None:
    world.env["WORKSPACE_CONFIG_PATH"] = str(world.folder / "none.yaml")


def _variable(name: str, value: str) -> Arrange:
    def arrange(world: World) -> None:
        world.env[name] = value

    return arrange


def _not_asked(*words: str) -> Callable[[World, Facts], None]:
    def check(world: World, facts: Facts) -> None:
        assert world.platform.connections == []
        assert facts.lines == ()
        assert b"pass-word" not in facts.stderr + facts.stdout
        names(*words)(world, facts)

    return check


def _start_plainly(world: World, path: str, fault: Fault) -> Program:
    """Without the options that would take the place of the settings in question."""
    return world.start("request", "--json", "--", "anything", timeout=1)


CONFIGURATION = (
    *(
        Fault(
            f"config.yaml: {name}",
            _EXAMPLES.get(name, "wrong types"),
            125,
            None,
            paths=POLL,
            arrange=_write(text),
            check=_not_asked(*words),
            start=_start_plainly,
        )
        for name, (text, words) in _YAML.items()
    ),
    *(
        Fault(
            f"config.yaml: {name}",
            "unreadable files",
            125,
            None,
            paths=POLL,
            arrange=arrange,
            check=_not_asked("yaml"),
            start=_start_plainly,
        )
        for name, arrange in (
            ("not a regular file", _folder),
            ("named and missing", _missing),
            ("writable by others", _write("approve: {}\n", 0o666)),
            ("not text", _not_text),
        )
    ),
    *(
        Fault(
            f"{name}={value!r}",
            "bad numbers",
            2,
            None,
            paths=POLL,
            arrange=_variable(name, value),
            check=_not_asked(name),
            start=_start_plainly,
        )
        for name, values in _VARIABLES.items()
        for value in values
    ),
)

# --- deciders --------------------------------------------------------------------------------------------------------------


def _send(world: World, decision: str, by: str) -> int:
    row = world.platform.rows[0]
    address = f"{world.platform.url}/workspaces/{row.workspace}/approvals/{row.id}/decide"
    headers = {"Authorization": f"Bearer {world.platform.admin}"}
    told = {"decision": decision, "decided_by": by}
    return httpx.post(address, json=told, headers=headers, timeout=10, verify=PLAIN).status_code


def _together(*acts: Callable[[], object]) -> None:
    """Do all of it at the same moment."""
    gate = threading.Barrier(len(acts))

    def run(act: Callable[[], object]) -> None:
        gate.wait()
        act()

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _sixty_four(world: World, path: str, _: Program) -> None:
    world.await_waiting(path)
    codes: list[int] = []

    def decide(number: int) -> Callable[[], None]:
        return lambda: codes.append(_send(world, "approved", f"person {number}"))

    _together(*map(decide, range(64)))
    assert sorted(codes) == [200] + [404] * 63


def _twice(first: str, second: str) -> Act:
    def act(world: World, path: str, _: Program) -> None:
        world.await_waiting(path)
        assert [_send(world, first, "alice"), _send(world, second, "bob")] == [200, 404]

    return act


def _stale(world: World, path: str, program: Program) -> None:
    assert program.wait().code == 124
    assert _send(world, "approved", "alice") == 404


def _against_withdrawal(world: World, path: str, program: Program) -> None:
    world.await_waiting(path)
    _together(lambda: _send(world, "approved", "alice"), lambda: program.signal(signal.SIGTERM))


def _against_expiry(world: World, path: str, _: Program) -> None:
    world.await_waiting(path)
    world.platform.rows[0].created_at = as_text(now() - timedelta(minutes=11))
    world.platform.sweep()
    assert _send(world, "approved", "alice") == 404


def _before_expiry(world: World, path: str, program: Program) -> None:
    approve(world, path, program)
    world.platform.rows[0].created_at = as_text(now() - timedelta(minutes=11))
    world.platform.sweep()


def _decision_at_the_withdrawal(world: World) -> None:
    """Alice is faster than the withdrawal at the deadline by a hair."""

    def late(exchange: Exchange) -> Reply | None:
        world.platform.change(world.platform.rows[0], "approved", "alice")
        return exchange.default()

    world.platform.on("decide", late)


DECIDERS = (
    Fault("sixty-four at once", "sixty-four at once", 0, "granted", act=_sixty_four),
    Fault("approve against withdraw", "approve against withdraw against expiry", 143, "withdrawn", act=_against_withdrawal),
    Fault(
        "expiry before approve", "approve against withdraw against expiry", 124, "timeout", act=_against_expiry, timeout=2
    ),
    Fault("approve before expiry", "approve against withdraw against expiry", 0, "granted", act=_before_expiry),
    Fault(
        "approved just before the withdrawal",
        "approve against withdraw against expiry",
        0,
        "granted",
        arrange=_decision_at_the_withdrawal,
        timeout=3,
    ),
    Fault("a double click", "double click", 0, "granted", act=_twice("approved", "approved")),
    Fault("a change of mind", "double click", 77, "denied", act=_twice("denied", "approved")),
    Fault("a stale page", "a stale page", 124, "timeout", act=_stale, timeout=3),
)

ROWS = (*CONFIGURATION, *DECIDERS)
