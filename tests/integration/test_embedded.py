"""The installed program against the installed server, both as real processes, over the Unix socket that ``local`` names."""

from __future__ import annotations

import re
import shutil
import signal
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.callers import until
from tests.client.fakes import Peer
from tests.integration.program import ACTION, PATHS
from tests.integration.raw_http import Reply
from tests.integration.served import Served

if TYPE_CHECKING:
    from tests.integration.facts import Facts
    from tests.integration.program import Program, World
    from tests.integration.raw_http import Channel

both_paths = pytest.mark.parametrize("path", PATHS)


def _served(world: World) -> Served:
    assert world.served is not None
    return world.served


def _asked(world: World, program: Program) -> str:
    """The id of the request that this program asked, once the server has it and it is waited for."""
    until(lambda: b'"requested"' in world.log_text())
    return str(_served(world).rows()[-1]["id"])


def _used_again(world: World, path: str, approval_id: str) -> Facts:
    """Another machine's attempt to use the same approval: its log knows nothing."""
    world.log = world.folder / "another.jsonl"
    world.env["AUDIT_LOG_PATH"] = str(world.log)
    options = ("--transport", path, "--timeout", "5", "--action", ACTION, "--json")
    return world.run("wait", *options, approval_id, timeout=5)


@both_paths
def test_an_approval_is_verified_and_used_up(local: World, path: str) -> None:
    """``approve`` in another process leads to 0 with a name that is proved, and nobody gets a second 0 for it."""
    program = local.request(path)
    approval_id = _asked(local, program)
    local.env["MOLECULE_APPROVER_TOKEN"] = _served(local).approver
    assert local.run("approve", "--yes", "--comment", "go on", approval_id).code == 0
    facts = program.wait()
    assert (facts.code, facts.answer["decided_by"], facts.answer["decided_by_verified"]) == (0, "alice", True)
    assert facts.answer["comment"] == "go on"
    again = _used_again(local, path, approval_id)
    assert (again.code, again.answer["error"]["kind"]) == (125, "already_used")


class Rewriting:
    """A proxy in front of the embedded server that keeps none of its headers and moves its addresses.

    Attributes:
        hidden: how many of the next requests for a single approval it answers with a plain 404 of its own.

    """

    def __init__(self, port: int) -> None:
        self.hidden = 0
        self._port = port

    def __call__(self, channel: Channel, _number: int) -> None:
        """Pass one exchange on."""
        head = channel.read_until(b"\r\n\r\n")
        size = re.search(rb"(?i)content-length: *(\d+)", head)
        body = channel.read(int(size[1])) if size else b""
        if self.hidden and re.match(rb"\S+ /workspaces/[^/]+/approvals/[^/]+(/redeem|/withdraw)? ", head):
            self.hidden -= 1
            channel.send(Reply(404, b"404 page not found", (("Content-Type", "text/plain"),)).encode())
            return
        with socket.create_connection(("127.0.0.1", self._port)) as upstream:
            upstream.sendall(head + body)
            answer = b"".join(iter(lambda: upstream.recv(65_536), b""))
        head, _, body = answer.partition(b"\r\n\r\n")
        lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"x-molecule-")]
        lines = [re.sub(rb"(?i)^location: .*", b"Location: https://elsewhere/there", line) for line in lines]
        channel.send(b"\r\n".join(lines) + b"\r\n\r\n" + body)


@pytest.mark.parametrize("hidden", [0, 1, 2])
def test_behind_a_proxy_it_is_still_the_embedded_server(local: World, hidden: int) -> None:
    """Whatever becomes of headers and addresses, an approval is used up once, a name is proved, and no request stays."""
    served = _served(local)
    proxy = Rewriting(int(served.url.rpartition(":")[2]))
    with Peer(proxy) as peer:
        local.env |= {"PLATFORM_URL": peer.url, "WORKSPACE_ID": served.workspace, "MOLECULE_TOKEN": served.token}
        program = local.request("poll")
        approval_id = _asked(local, program)
        assert served.decide(approval_id, "approved") == 200
        facts = program.wait()
        assert (facts.code, facts.answer["decided_by_verified"]) == (0, True)
        proxy.hidden = hidden
        again = _used_again(local, "poll", approval_id)
        assert (again.code, again.answer["error"]["kind"]) == (125, "already_used")
        proxy.hidden = hidden
        assert local.request("poll", "--require-verified-approver", timeout=1).wait().code == 124
    assert [row["status"] for row in served.rows()] == ["approved", "denied"]


@both_paths
def test_a_denial_says_who_and_why(local: World, path: str) -> None:
    """``deny --comment`` leads to 77 with the comment."""
    program = local.request(path, answer="")
    approval_id = _asked(local, program)
    local.env["MOLECULE_APPROVER_TOKEN"] = _served(local).approver
    assert local.run("deny", "--yes", "--comment", "not on a Friday", approval_id).code == 0
    facts = program.wait()
    assert (facts.code, facts.stdout) == (77, b"denied by alice: not on a Friday\n")


@both_paths
def test_at_the_deadline_it_is_withdrawn(local: World, path: str) -> None:
    """Nobody decides: a timeout each time, though the server's clock may end it first; and nothing stays behind."""
    programs = [local.request(path, timeout=1, action=f"step {number}") for number in range(5)]
    programs.append(local.request(path, timeout=1))
    assert {program.wait().code for program in programs} == {124}
    text = local.log_text().decode()
    assert text.count('"nobody_decided"') == 6
    assert '"expired"' not in text
    assert {row["decided_by"] for row in _served(local).rows()} <= {"withdrawn", "auto-expired"}


@both_paths
@pytest.mark.parametrize("decision", ["approved", "denied", None])
def test_a_row_that_a_proxy_doubled_does_not_stay_behind(local: World, path: str, decision: str | None) -> None:
    """A second row of the question is taken back, whether somebody decides or the program is stopped."""
    program = local.request(path)
    approval_id = _asked(local, program)
    served = _served(local)
    (row,) = served.rows()
    served.ask(action=ACTION, task_id=row["task_id"])
    if decision is None:
        program.signal(signal.SIGTERM)
    else:
        assert served.decide(approval_id, decision) == 200
    assert program.wait().code == {"approved": 0, "denied": 77, None: 143}[decision]
    assert [found["decided_by"] for found in served.rows()] == ["alice" if decision else "withdrawn", "withdrawn"]


@both_paths
def test_the_server_expires_it_itself(local: World, path: str) -> None:
    """``--expires-in`` is the server's matter, and its expiry is noticed long before the timeout."""
    facts = local.request(path, "--expires-in", "1", timeout=60).wait()
    assert (facts.code, facts.answer["outcome"]) == (124, "expired")
    assert facts.seconds < 30


@both_paths
def test_a_signal_withdraws(local: World, path: str) -> None:
    """SIGTERM takes the question back."""
    program = local.request(path)
    _asked(local, program)
    program.signal(signal.SIGTERM)
    assert program.wait().code == 143
    assert _served(local).rows()[-1]["decided_by"] == "withdrawn"


@both_paths
@pytest.mark.parametrize("end", [Served.kill, Served.stop], ids=["killed", "stopped"])
def test_a_restart_loses_nothing(local: World, path: str, end: Callable[[Served], None]) -> None:
    """The server goes away in mid-wait and comes back; what alice then says arrives, and one request was asked."""
    program = local.request(path, timeout=15)
    approval_id = _asked(local, program)
    end(_served(local))
    _served(local).start()
    assert _served(local).decide(approval_id) == 200
    assert program.wait().code == 0
    assert len(_served(local).rows()) == 1


@both_paths
def test_a_client_in_another_session_finds_the_server(local: World, path: str) -> None:
    """Cron has no XDG_RUNTIME_DIR, and a logout took the server's along: the request waits, and the yes arrives."""
    shutil.rmtree(local.folder / "run")
    (local.folder / "run").touch()
    local.env["XDG_RUNTIME_DIR"] = ""
    lock = local.folder / "state" / "molecule-approve" / "serve.lock"
    until(lambda: str(local.folder / "run") not in lock.read_text())
    program = local.request(path)
    assert _served(local).decide(_asked(local, program)) == 200
    assert program.wait().code == 0


def test_the_requester_cannot_approve_itself(local: World) -> None:
    """The requester's token decides nothing: 125, and the request stands."""
    asked = local.run("request", "--no-wait", "--json", "--", ACTION)
    local.env["MOLECULE_APPROVER_TOKEN"] = _served(local).token
    assert local.run("approve", "--yes", asked.answer["approval_id"]).code == 125
    assert _served(local).rows()[-1]["status"] == "pending"
