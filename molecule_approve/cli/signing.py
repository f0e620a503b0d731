"""Signs what an approver decides, with ssh-keygen and one of the approver's SSH keys.

The statement is made from what was shown; a server that wants something else to be signed is refused.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

from molecule_approve import signals
from molecule_approve.client.platform import SignedStatement
from molecule_approve.clock import Deadline, utc_now
from molecule_approve.errors import ProtocolError, SigningError, UsageError
from molecule_approve.gate.execution import RESTORED
from molecule_approve.proofs.faults import ProofError
from molecule_approve.proofs.shown import shown_subject
from molecule_approve.proofs.ssh import NAMESPACE
from molecule_approve.proofs.statement import Statement
from molecule_approve.safe_text import visible
from molecule_approve.settings.values import path_of

from . import output
from .help import option
from .options import READ

if TYPE_CHECKING:
    from molecule_approve.client.rest import RestPlatform
    from molecule_approve.model import Approval, Status
    from molecule_approve.proofs.key_statement import KeyStatement

Sign = Annotated[
    str | None,
    option("--sign", "PATH", "Sign with this SSH key of yours: its file, or the .pub file of a key in ssh-agent."),
]


_PIECE = 65_536


class SigningKey:
    """An SSH key that ssh-keygen can sign with; it asks for a passphrase, a PIN or a touch at the terminal.

    Raises:
        UsageError: there is no such file, or no ssh-keygen.
    """

    def __init__(self, path: str) -> None:
        self._path = path_of(path, "--sign")
        self._program = shutil.which("ssh-keygen")
        if self._program is None:
            hint = "install OpenSSH 8.2 or newer (Debian: apt-get install openssh-client), or decide on the server's page"
            raise UsageError("--sign needs ssh-keygen, which is not on PATH", hint=hint)
        if not self._path.is_file():
            hint = "pass the file of a private key, or the .pub file of a key in ssh-agent (`ssh-add -L` lists them)"
            raise UsageError(f"there is no SSH key at {self._path}", hint=hint)

    def signed(self, statement: Statement | KeyStatement) -> SignedStatement:
        """The statement and its proof.

        Raises:
            SigningError: ssh-keygen did not sign; it has said why.
        """
        output.say(f"signing as {visible(statement.approver)}, with {visible(str(self._path))}")
        command = [str(self._program), "-q", "-Y", "sign", "-f", str(self._path), "-n", NAMESPACE]
        try:
            code, signature = _run(command, statement.signed_line)
        except OSError as exc:
            hint = "check that it runs: ssh-keygen -Y sign -h"
            raise SigningError(f"cannot run {self._program}: {exc.strerror}", hint=hint) from exc
        if code != 0:
            hint = "its message is above; a key in ssh-agent is named by its .pub file, and `ssh-add -l` has to list it"
            raise SigningError(f"ssh-keygen did not sign with {self._path} (exit code {code})", hint=hint)
        return SignedStatement(statement.text, {"kind": "ssh", "signature": signature.decode("ascii", "replace")})

    def decision(self, platform: RestPlatform, row: Approval, decision: Status) -> SignedStatement:
        """A signed decision about the request in this row, which was shown.

        Raises:
            UsageError: the platform takes no signed decisions.
            ProtocolError: the server wants something else to be signed than it shows.
            SigningError: see :meth:`signed`.
        """
        queue = platform.queue(Deadline.after(READ))
        if queue is None or not queue.approver:
            raise UsageError("this platform takes no signed decisions", hint="omit --sign; only molecule-approve serve does")
        try:
            subject = shown_subject(row)
        except ProofError as exc:
            hint = "nothing was signed; the server, or a proxy in front of it, may be lying: ask its administrator"
            raise ProtocolError(f"{exc}", hint=hint) from None
        return self.signed(Statement(subject, decision.value, queue.approver, utc_now()))


def _run(command: list[str], line: bytes) -> tuple[int, bytes]:
    """Run the command with this line on stdin: its exit code, and what it writes on stdout.

    In our process group, with our terminal: it asks there, and Ctrl-C reaches it too.
    """
    with ExitStack() as stack:
        pid, answers = _spawned(command, line, stack)
        try:
            # Until the command runs no signal may come through: it would stay behind, at our terminal.
            stack.close()
            signature = b"".join(iter(lambda: os.read(answers, _PIECE), b""))
        except BaseException:
            stack.enter_context(signals.held())  # the same one is sent again until it is out of here
            _end(pid, answers)
            raise
        finally:
            os.close(answers)
            _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), signature


def _end(pid: int, answers: int) -> None:
    """End the command by SIGTERM, at which it puts the terminal's echo back; by SIGKILL if it does not heed that.

    A SIGTERM that comes between its prompt and its read has no effect, so it is sent again.
    """
    for _ in range(20):
        os.kill(pid, signal.SIGTERM)
        if select.select([answers], [], [], 0.1)[0] and not os.read(answers, _PIECE):
            return
    os.kill(pid, signal.SIGKILL)


def _spawned(command: list[str], line: bytes, stack: ExitStack) -> tuple[int, int]:
    """Start the command: its process, and where to read its stdout. Signals wait until the stack is closed."""
    before = stack.enter_context(signals.held())
    (question, asking), (answers, answering) = os.pipe(), os.pipe()
    os.write(asking, line)
    os.close(asking)
    environ = {name: value for name, value in os.environ.items() if name != "MOLECULE_APPROVER_TOKEN"}
    streams = ((os.POSIX_SPAWN_DUP2, question, 0), (os.POSIX_SPAWN_DUP2, answering, 1))
    try:
        pid = os.posix_spawn(command[0], command, environ, file_actions=streams, setsigmask=before, setsigdef=RESTORED)
    finally:
        os.close(question)
        os.close(answering)
    return pid, answers
