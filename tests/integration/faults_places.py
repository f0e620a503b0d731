"""The fault table's rows in which another user of this machine stands where our server should."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from molecule_approve.paths import Places, RequesterCredential
from molecule_approve.server.state_folder import write_requester
from tests.callers import until
from tests.integration.fault import Fault, both, names, within

if TYPE_CHECKING:
    from tests.integration.facts import Facts
    from tests.integration.program import Program, World

EXAMPLES = {"whose server": ("another user's socket", "the other loopback", "a server that moved")}

NOBODY = 65534


def _overheard(world: World, listener: socket.socket) -> None:
    """Somebody takes connections here, and keeps what is said in the world's folder."""

    def hear() -> None:
        try:
            while True:
                with listener.accept()[0] as connection:
                    connection.settimeout(10)
                    with (world.folder / "overheard").open("ab") as file:
                        file.write(connection.recv(65_536) or b"nothing, on a connection\n")
        except OSError:
            return

    def end() -> None:
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)
        listener.close()

    thread = threading.Thread(target=hear, daemon=True)
    thread.start()
    world.closing.append(end)


def _nothing_heard(world: World, _: Facts) -> None:
    assert not (world.folder / "overheard").exists()


def _in_a_folder(mode: int, owner: int) -> Callable[[World], None]:
    """The user's token is there; the socket lies in a folder of this mode and owner, and somebody listens."""

    def arrange(world: World) -> None:
        places = Places(world.folder / "state" / "molecule-approve", world.folder / "run" / "molecule-approve")
        for folder in (places.state, places.runtime):
            folder.mkdir(mode=0o700)
        write_requester(places, RequesterCredential(world.env["WORKSPACE_ID"], world.env["MOLECULE_TOKEN"]))
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(places.socket))
        listener.listen()
        places.runtime.chmod(mode)
        os.chown(places.runtime, owner, -1)
        world.env["PLATFORM_URL"] = "local"
        _overheard(world, listener)

    return arrange


def _moves(world: World, path: str, program: Program) -> None:
    """While the program waits, a logout takes the runtime folder along, for good, and the server moves; alice approves."""
    served = world.served
    assert served is not None
    until(lambda: b'"requested"' in world.log_text())
    shutil.rmtree(world.folder / "run")
    (world.folder / "run").touch()
    moved = world.folder / "state" / "molecule-approve" / "run"
    until(lambda: moved.exists() and list(moved.glob("*.sock")))
    assert served.decide(served.rows()[-1]["id"]) == 200


def _on_the_other_loopback(world: World) -> None:
    """The same port of 127.0.0.1 refuses: it is taken, so that no server of another test comes to be there."""
    while True:
        refusing, listener = socket.socket(), socket.socket(socket.AF_INET6)
        refusing.bind(("127.0.0.1", 0))
        port = refusing.getsockname()[1]
        world.closing.append(refusing.close)
        try:
            listener.bind(("::1", port))
        except OSError:  # somebody else's; another one then
            listener.close()
            continue
        listener.listen()
        break
    world.env["PLATFORM_URL"] = f"http://localhost:{port}"
    _overheard(world, listener)


def _row(name: str, example: str, arrange: Callable[[World], None], *words: str) -> Fault:
    check = both(_nothing_heard, names(*words), within(30))
    return Fault(name, example, 125, "failure", arrange=arrange, timeout=1, cut_off=True, check=check)


ROWS = (
    _row(
        "a socket in a folder of all", "another user's socket", _in_a_folder(0o777, os.geteuid()), "is not trusted", "chmod"
    ),
    Fault("a server that moved", "a server that moved", 0, "granted", arrange=lambda world: world.run_server(), act=_moves),
    _row("the other loopback", "the other loopback", _on_the_other_loopback, "cannot connect to localhost", "::1"),
    *(
        [_row("another user's socket", "another user's socket", _in_a_folder(0o700, NOBODY), "is not trusted", str(NOBODY))]
        if os.geteuid() == 0  # only root can give a folder away
        else ()
    ),
)
