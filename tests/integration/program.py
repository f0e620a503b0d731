"""A world for the program: a clean environment and a platform, and each run in it, which ends as facts."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.callers import PATIENCE, Terminal, has_ended, let_pass, start
from tests.forks import PROGRAM
from tests.integration.facts import Facts
from tests.integration.fake_platform import FakePlatform
from tests.integration.served import Served

if TYPE_CHECKING:
    import subprocess

    from tests.integration.proxy import Proxy

ACTION = "drop the staging database"
PATHS = ("websocket", "poll")


def read_log(path: Path) -> bytes:
    """An audit log's bytes; none where there is no regular file."""
    return path.read_bytes() if path.is_file() else b""


def _starved(pid: int) -> float:
    """Seconds for which a process that has ended had waited for a processor: sched-stats, in Linux's documentation."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9


class Program:
    """One process of the program."""

    def __init__(
        self,
        world: World,
        arguments: Sequence[str],
        *,
        command: Sequence[str] = PROGRAM,
        timeout: float | None = None,
        action: str = ACTION,
        terminal: bool = False,
        **streams: Any,  # noqa: ANN401 - handed on to Popen
    ) -> None:
        self.arguments = tuple(arguments)
        self.stopped = 0.0
        self._world = world
        self._timeout = timeout
        self._action = action
        self._terminal: Terminal | None = None
        self._out, self._err = world.scratch("out"), world.scratch("err")
        self._log = world.log
        self._before = len(world.log_lines())
        self._facts: Facts | None = None
        self._ended = 0.0
        self._starved = 0.0
        self.process: subprocess.Popen[Any]
        self.started = time.monotonic()
        options: dict[str, Any] = {"env": world.env, "cwd": world.folder, **streams}
        if terminal:
            self._terminal = Terminal(arguments, (24, 80), options, command)
            self.process = self._terminal.process
        else:
            with self._out.open("wb") as out, self._err.open("wb") as err:
                self.process = start(arguments, command, **{"stdout": out, "stderr": err, **options})

    @property
    def pid(self) -> int:
        """The process."""
        return self.process.pid

    @property
    def stdout(self) -> bytes:
        """What it wrote so far; at a terminal, what was read of that: all of it once it has ended."""
        return self._terminal.raw if self._terminal else self._out.read_bytes()

    @property
    def stderr(self) -> bytes:
        """What it wrote so far."""
        return b"" if self._terminal else self._err.read_bytes()

    def type(self, text: str) -> None:
        """Type at its terminal."""
        assert self._terminal is not None
        self._terminal.type(text)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def peak_kib(self) -> int:
        """The most memory that it has held so far, while it runs (ru_maxrss would count the memory of who started it)."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0])

    def freeze(self, seconds: float) -> None:
        """Stop it for that long, as a suspended machine or Ctrl-Z does."""
        self.signal(signal.SIGSTOP)
        let_pass(seconds)
        self.signal(signal.SIGCONT)
        self.stopped += seconds

    def become(self, pid: int) -> None:
        """Stand for another process from now on: our child, whose parent this one was and has ended."""
        self.process.wait(PATIENCE)
        self.process.pid, self.process.returncode = pid, None

    def wait(self, seconds: float = PATIENCE) -> Facts:
        """Wait for its end, and say what it was.

        Raises:
            AssertionError: it did not end in time; it is killed.

        """
        if self._facts is None:
            ended = self._await_end(seconds)
            if not ended:
                self.process.kill()
                self._await_end(PATIENCE)
            self._facts = self._gather()
            if self._terminal is not None:
                self._terminal.leave()
            assert ended, f"it did not end within {seconds} s; it said {self.stderr!r}"
        return self._facts

    def _await_end(self, seconds: float) -> bool:
        if self.process.returncode is not None:
            return True
        if not (self._terminal.read_to_end(seconds) if self._terminal else has_ended(self.pid, seconds)):
            return False
        self._ended = time.monotonic()
        self._starved = _starved(self.pid)
        self.process.wait()
        return True

    def _gather(self) -> Facts:
        code = self.process.wait()
        seen = self._world.seen_between(self.started, self._ended)
        text = read_log(self._log)
        return Facts(
            argv=self.arguments,
            code=128 - code if code < 0 else code,
            stdout=self.stdout,
            stderr=self.stderr,
            result=self._world.result.read_bytes() if self._world.result.is_file() else b"",
            seconds=self._ended - self.started,
            stopped=self.stopped,
            starved=self._starved,
            timeout=self._timeout,
            action=self._action,
            terminal=self._terminal is not None,
            lines=tuple(text.splitlines()),
            before=self._before,
            torn=bool(text) and not text.endswith(b"\n"),
            **seen,
        )


class World:
    """One test's world: folders, a platform, an environment, and the programs that run in it.

    Attributes:
        env: what the programs get; a test changes it before it starts one.
        log: the audit log's path.
        cut_off: the platform cannot be reached at the end, so that the checker does not look for an open question.
        elsewhere: a platform that was never configured: nothing may reach it.
        proxy: what stands between, where a test put one.
        served: the embedded server, where a test runs one.
        closing: what is to be done at the end, after the programs have ended.

    """

    def __init__(self, folder: Path, platform: FakePlatform) -> None:
        self.folder = folder
        self.platform = platform
        self.log = folder / "audit.jsonl"
        self.result = folder / "result.json"
        self.cut_off = False
        self.audit_optional = False
        self.programs: list[Program] = []
        self.elsewhere = FakePlatform().start()
        self.proxy: Proxy | None = None
        self.served: Served | None = None
        self.closing: list[Callable[[], object]] = []
        self._scratch = 0
        for name in ("home", "state", "run"):
            (folder / name).mkdir(mode=0o700)
        self.env = {
            # Without coverage: the modules' own tests reach every branch.
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "HOME": str(folder / "home"),
            "XDG_STATE_HOME": str(folder / "state"),
            "XDG_RUNTIME_DIR": str(folder / "run"),
            "PLATFORM_URL": platform.url,
            "WORKSPACE_ID": platform.workspace,
            "MOLECULE_TOKEN": platform.token,
            "AUDIT_LOG_PATH": str(self.log),
        }

    def run_server(self) -> None:
        """The user runs the embedded server from now on, and has named alice an approver."""
        for name in ("WORKSPACE_ID", "MOLECULE_TOKEN"):
            del self.env[name]
        self.env["PLATFORM_URL"] = "local"
        self.served = Served(self.env, self.folder)
        self.closing.append(self.served.stop)

    def scratch(self, name: str) -> Path:
        """A path that nothing has used yet."""
        self._scratch += 1
        return self.folder / f"{name}.{self._scratch}"

    def start(self, *arguments: str, **options: Any) -> Program:  # noqa: ANN401 - handed on to Program
        """Start the program with these arguments."""
        program = Program(self, arguments, **options)
        self.programs.append(program)
        return program

    def run(self, *arguments: str, **options: Any) -> Facts:  # noqa: ANN401 - handed on to Program
        """Start the program and wait for its end."""
        return self.start(*arguments, **options).wait()

    def request(
        self,
        path: str = "poll",
        *options: str,
        timeout: float = 10.0,
        action: str = ACTION,
        answer: str = "--json",
        **more: Any,  # noqa: ANN401 - handed on to Program
    ) -> Program:
        """Start ``request`` on one of the two paths."""
        pace = ("--transport", path, "--timeout", f"{timeout:g}", "--poll-interval", "1")
        arguments = ("request", *pace, *((answer,) if answer else ()), *options, "--", action)
        return self.start(*arguments, timeout=timeout, action=action, **more)

    def move_to(self, platform: FakePlatform) -> None:
        """Ask another platform instead."""
        self.platform.stop()
        self.platform = platform
        self.env |= {
            "PLATFORM_URL": platform.url,
            "WORKSPACE_ID": platform.workspace,
            "MOLECULE_TOKEN": platform.token,
        }

    def await_waiting(self, path: str) -> None:
        """Wait until the program waits: it listens on the socket (if it means to), and has read its request."""
        self.platform.await_rows()
        if path == "websocket":
            self.platform.await_socket()
        self.platform.until(self._has_read)

    def _has_read(self) -> bool:
        asked, read = self.platform.times("submit"), self.platform.times("list")
        return bool(read) and read[-1] > asked[-1]

    def log_text(self) -> bytes:
        """The audit log's bytes."""
        return read_log(self.log)

    def log_lines(self) -> list[bytes]:
        """Its lines."""
        return self.log_text().splitlines()

    def seen_between(self, start: float, end: float) -> dict[str, Any]:
        """What the platform knows of a program that ran in this time."""
        if self.served is not None:
            facts = self.served.facts()
            strays = self._strays(facts["workspace"], *facts["secrets"])
            return {**facts, "cut_off": self.cut_off, "strays": strays}
        platform = self.platform
        with platform.changed:
            seen = [entry for entry in platform.seen if start <= entry.request.at <= end]
            given_up = [s.request.at for s in seen if s.route == "decide" or s.request.path.endswith("/withdraw")]
            asked = max((s.request.at for s in seen if s.route == "submit"), default=end)
            return {
                "workspace": self.env["WORKSPACE_ID"],
                "secrets": (platform.token, platform.admin),
                "rows": tuple(platform.snapshot()),
                "history": tuple(platform.history),
                "live_peak": dict(platform.live_peak),
                "reads": tuple(s.request.at for s in seen if s.route == "list" and s.request.at > asked),
                # A second handshake, with an Origin after a 403 without one, belongs to the first.
                "attempts": tuple(s.request.at for s in seen if s.route == "socket" and "origin" not in s.request.headers),
                "given_up": min(given_up, default=None),
                "strays": self._strays(platform.workspace, platform.token, platform.url.removeprefix("http://")),
                "cut_off": self.cut_off,
                "audit_optional": self.audit_optional,
            }

    def _strays(self, *marks: str) -> int:
        """Requests that tell one of these; others are meant for whoever had that port before, in a test beside this one."""
        return sum(any(mark in repr(entry.request) for mark in marks) for entry in self.elsewhere.seen)

    def end(self) -> list[Facts]:
        """End what still runs, and hand over the facts of all programs."""
        for program in self.programs:
            if program.process.returncode is None and program.process.poll() is None:
                program.process.kill()
        facts = [program.wait() for program in self.programs]
        for close in self.closing:
            close()
        self.platform.stop()
        self.elsewhere.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
        return facts


def new_world(platform: FakePlatform | None = None) -> World:
    """A world in a short folder, as a Unix socket's path wants it."""
    return World(Path(tempfile.mkdtemp(prefix="ma.")), platform or FakePlatform().start())


def on_full_disk(size: int) -> tuple[str, ...]:
    """The program, where no file can grow beyond that many bytes."""
    limit = "import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2); "
    # Python ignores SIGXFSZ itself; the write then says EFBIG where a full disk says ENOSPC.
    return (sys.executable, "-ISc", limit + "os.execv(sys.argv[2], sys.argv[2:])", str(size), *PROGRAM)
