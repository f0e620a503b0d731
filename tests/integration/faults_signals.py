"""The fault table's rows for signals: INT, TERM, HUP and KILL at each moment, held there by a peer or a module."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.callers import let_pass, until
from tests.forks import PROGRAM
from tests.integration import behaviours as does
from tests.integration.fault import Act, Arrange, Fault, approve, breaks, nothing, within

if TYPE_CHECKING:
    from tests.integration.facts import Facts
    from tests.integration.program import Program, World

POLL = ("poll",)
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# A module that waits in its import until somebody has written to a pipe and closed it.
_HELD = """
import os
with open(os.environ["HOLD_IMPORT"], "rb") as pipe:
    pipe.read()
"""


def _hold_import(module: str) -> Arrange:
    def arrange(world: World) -> None:
        folder = world.scratch("held")
        folder.mkdir()
        (folder / f"{module}.py").write_text(_HELD)
        os.mkfifo(folder / "pipe")
        world.env |= {"PYTHONPATH": str(folder), "HOLD_IMPORT": str(folder / "pipe")}

    return arrange


def _in_import(number: signal.Signals) -> Act:
    """Signal the program while it stands in the import, which goes on for ever."""

    def act(world: World, path: str, program: Program) -> None:
        _importing(world, path)
        program.signal(number)
        program.wait()

    return act


def _silent_tls(world: World) -> None:
    """A peer that takes the connection and never answers the TLS handshake."""
    world.platform.at_connect = does.silent
    world.env["PLATFORM_URL"] = world.platform.url.replace("http:", "https:")


def _full_backlog(world: World) -> None:
    """A port whose backlog is full: a connection is neither taken nor refused."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    fillers = [socket.socket() for _ in range(4)]
    for filler in fillers:
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
    world.env["PLATFORM_URL"] = f"http://127.0.0.1:{listener.getsockname()[1]}"
    world.closing.extend(one.close for one in (listener, *fillers))


Moment = Callable[["World", str], object]


def _initiated(world: World, path: str) -> None:
    until(lambda: b'"initiated"' in world.log_text())


def _posted(world: World, path: str) -> None:
    world.platform.await_count("submit", 1)


def _waiting(world: World, path: str) -> None:
    world.await_waiting(path)


def _withdrawing(world: World, path: str) -> None:
    world.platform.await_count("decide", 1)


def _importing(world: World, path: str) -> None:
    # Opening it for writing waits for the reader, who then waits for our end of it.
    pipe = os.open(world.env["HOLD_IMPORT"], os.O_WRONLY)
    world.closing.append(lambda: os.close(pipe))


def _at(moment: Moment, number: signal.Signals, then: signal.Signals | None = None) -> Act:
    """Signal at this moment; ``then`` once more, while the request is taken back."""

    def act(world: World, path: str, program: Program) -> None:
        moment(world, path)
        program.signal(number)
        if then is not None:
            _withdrawing(world, path)
            program.signal(then)

    return act


def _next_run_works(world: World, facts: Facts) -> None:
    """After a kill the log goes on, and a further run is approved."""
    world.env.pop("PYTHONPATH", None)
    world.env["PLATFORM_URL"] = world.platform.url
    world.platform.at_connect = None
    world.platform.heal()
    program = world.request("poll", action="the next")
    world.platform.until(lambda: any(row.action == "the next" for row in world.platform.rows))
    world.platform.decide(next(row for row in world.platform.rows if row.action == "the next"))
    assert program.wait().code == 0


def _signalled(name: str, moment: Moment, arrange: Arrange = nothing, **more: Any) -> tuple[Fault, ...]:  # noqa: ANN401 - fields of Fault
    """One row a signal."""
    settings = {"timeout": 60, "check": within(30), **more}
    return tuple(
        Fault(
            f"{number.name} {name}",
            f"{number.name.removeprefix('SIG')} at any moment",
            128 + number,
            "withdrawn",
            arrange=arrange,
            act=_at(moment, number),
            **settings,
        )
        for number in STOPS
    )


def _killed(name: str, moment: Moment, arrange: Arrange = nothing, **more: Any) -> Fault:  # noqa: ANN401 - fields of Fault
    settings = {"check": _next_run_works, **more}
    return Fault(
        f"SIGKILL {name}", "KILL at any moment", 137, None, arrange=arrange, act=_at(moment, signal.SIGKILL), **settings
    )


def _ignoring(name: str) -> Callable[[World, str, Fault], Program]:
    def start(world: World, path: str, fault: Fault) -> Program:
        command = ("/bin/sh", "-c", f'trap "" {name}; exec "$@"', "sh", *PROGRAM)
        return world.request(path, timeout=fault.timeout, command=command)

    return start


def _ignored(number: signal.Signals) -> Act:
    def act(world: World, path: str, program: Program) -> None:
        world.await_waiting(path)
        program.signal(number)
        # Nothing may happen, and that takes a moment.
        let_pass(0.2)
        approve(world, path, program)

    return act


def _second_is_late(world: World, facts: Facts) -> None:
    assert facts.seconds < 30
    assert len(facts.ending) == 1


def _at_terminal(world: World, path: str, fault: Fault) -> Program:
    world.env["TERM"] = "xterm"
    return world.request(path, timeout=fault.timeout, answer="", terminal=True)


def _cursor_is_back(world: World, facts: Facts) -> None:
    """Shown again if it was ever hidden; no colour left on, and the shell's prompt begins a line."""
    assert facts.stdout.rfind(b"\x1b[?25l") <= facts.stdout.rfind(b"\x1b[?25h")
    assert [b"\x1b[0m", *re.findall(rb"\x1b\[\d*m", facts.stdout)][-1] == b"\x1b[0m"
    assert facts.stdout.endswith(b"\n")


_IMPORTS = {"typer": POLL, "h11": POLL, "websockets": ("websocket",)}

SIGNALS = (
    *(
        Fault(
            f"{number.name} while {module} is imported",
            f"{number.name.removeprefix('SIG')} at any moment",
            128 + number,
            "withdrawn" if module == "websockets" else None,
            paths=paths,
            arrange=_hold_import(module),
            act=_in_import(number),
            timeout=60,
            check=within(30),
        )
        for module, paths in _IMPORTS.items()
        for number in STOPS
    ),
    *_signalled("in the TLS handshake", _initiated, _silent_tls, paths=POLL),
    *_signalled("while connecting", _initiated, _full_backlog, paths=POLL),
    *_signalled("with the POST unanswered", _posted, breaks("submit", does.act_then_hold)),
    *_signalled("while the POST is worked on", _posted, breaks("submit", does.act_once_looked_for), paths=POLL),
    *_signalled("with the POST held", _posted, breaks("submit", does.hold)),
    *_signalled("in the wait", _waiting),
    *_signalled("at a terminal", _waiting, start=_at_terminal, check=_cursor_is_back),
    *_signalled("in the wait, withdrawal held", _waiting, breaks("decide", does.hold), cut_off=True, check=within(30)),
    Fault(
        "two signals",
        "INT at any moment",
        143,
        "withdrawn",
        arrange=breaks("decide", does.act_then_hold),
        act=_at(_waiting, signal.SIGTERM, signal.SIGINT),
        timeout=60,
        check=_second_is_late,
    ),
    Fault(
        "a signal in the withdrawal at the deadline",
        "TERM at any moment",
        124,
        "timeout",
        # The deadline came first, and nobody had decided: the signal ends nothing that has not ended.
        arrange=breaks("decide", does.act_then_hold),
        act=_at(_withdrawing, signal.SIGTERM),
        timeout=3,
    ),
    _killed("in an import", _importing, _hold_import("h11"), paths=POLL),
    _killed("in the TLS handshake", _initiated, _silent_tls, paths=POLL),
    _killed("with the POST unanswered", _posted, breaks("submit", does.act_then_hold)),
    _killed("in the wait", _waiting),
    _killed("in the withdrawal", _withdrawing, breaks("decide", does.hold), timeout=3),
    Fault(
        "SIGINT ignored from the start",
        "INT at any moment",
        0,
        "granted",
        start=_ignoring("INT"),
        act=_ignored(signal.SIGINT),
    ),
    Fault(
        "SIGHUP ignored from the start",
        "HUP at any moment",
        0,
        "granted",
        start=_ignoring("HUP"),
        act=_ignored(signal.SIGHUP),
    ),
)

ROWS = SIGNALS
