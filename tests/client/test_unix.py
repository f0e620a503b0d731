"""The Unix socket of the embedded server: whose folder it lies in, and who listens there."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from molecule_approve.client.dial import Handle, dial
from molecule_approve.client.unix import connect_own
from molecule_approve.errors import PlatformError, UnavailableError
from molecule_approve.unix_peer import peer_uid
from tests.client.fakes import endpoint, soon

NOBODY = 65534
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")

# Listens as another user in a folder of ours, with the socket made before; says on stdout all that it hears.
LISTEN = """
import os, socket, sys
listener = socket.socket(fileno=int(sys.argv[1]))
os.setgid(65534); os.setuid(65534)
listener.listen()
print("listening", flush=True)
connection, _ = listener.accept()
sys.stdout.buffer.write(b"heard:" + connection.recv(65536))
"""


@pytest.fixture
def path(home: Path) -> Path:
    """Where a socket may lie: in a folder of our own."""
    (home / "run").mkdir(mode=0o700)
    return home / "run" / "s"


@contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    """We listen there ourselves."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        yield listener


def reach(path: Path) -> None:
    """Dial it as REST and the event stream do."""
    dial(endpoint("http://localhost", unix_socket=str(path)), soon(), Handle()).close()


def accepted(listener: socket.socket) -> bool:
    """Whether anybody connected."""
    listener.setblocking(False)
    try:
        listener.accept()[0].close()
    except BlockingIOError:
        return False
    return True


def test_our_own_server_in_our_own_folder_is_reached(path: Path) -> None:
    """The system says that we listen."""
    with listening(path) as listener, socket.socket(socket.AF_UNIX) as sock:
        connect_own(sock, str(path))
        assert peer_uid(sock) == os.geteuid()
        assert accepted(listener)


@only_root
def test_another_user_s_server_hears_nothing(path: Path) -> None:
    """Not a byte: the message names the path and both users, and another try would not help."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        command = [sys.executable, "-c", LISTEN, str(listener.fileno())]
        with subprocess.Popen(command, pass_fds=[listener.fileno()], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"listening\n"
            with pytest.raises(PlatformError, match=f"{path} is not yours: .* user {NOBODY}, and you are 0") as caught:
                reach(path)
            assert process.communicate(timeout=20)[0] == b"heard:"
    assert not isinstance(caught.value, UnavailableError)
    assert "serve" in caught.value.hint


def test_whoever_is_said_to_listen_must_be_us(path: Path) -> None:
    """Also root's server is not ours, unless we are root: what it holds is not what we asked."""
    with listening(path), socket.socket(socket.AF_UNIX) as sock, pytest.raises(PlatformError, match="nothing was sent"):
        connect_own(sock, str(path), lambda _: os.geteuid() + 1)


@pytest.mark.parametrize("spoilt", ["others may enter", "others may swap", "a link"])
def test_a_folder_that_is_not_ours_alone_is_not_even_connected_to(path: Path, spoilt: str) -> None:
    """Another user's socket could lie in it; the message names it, and the hint closes it."""
    with listening(path) as listener:
        if spoilt == "others may enter":
            path.parent.chmod(0o755)
        elif spoilt == "others may swap":
            path.parent.parent.chmod(0o777)
        else:
            path.parent.rename(path.parent.with_name("elsewhere"))
            path.parent.symlink_to(path.parent.with_name("elsewhere"))
        with pytest.raises(PlatformError, match=f"the socket {path} is not trusted: ") as caught:
            reach(path)
        assert not accepted(listener)
    assert not isinstance(caught.value, UnavailableError)


@only_root
def test_another_user_s_folder_is_not_even_connected_to(path: Path) -> None:
    """Its owner may put there what they like."""
    os.chown(path.parent, NOBODY, NOBODY)
    with listening(path) as listener:
        with pytest.raises(PlatformError, match=f"its owner is {NOBODY}, you are 0"):
            reach(path)
        assert not accepted(listener)
