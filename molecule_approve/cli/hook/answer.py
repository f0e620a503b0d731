"""``hook HOST``: reads the event on stdin, asks, and says the one answer; whatever breaks, that is the host's no."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import typer

from molecule_approve import wiring
from molecule_approve.cli import options, output, slips
from molecule_approve.cli.deliver import check_reader
from molecule_approve.cli.stop import Audience, SignalStop
from molecule_approve.clock import Deadline, boottime
from molecule_approve.errors import ApprovalError, DeliveryError, Interrupted, UnavailableError, UsageError, ours
from molecule_approve.gate.attempt import Observer
from molecule_approve.integrations.hooks.asking import Asking
from molecule_approve.integrations.hooks.registry import HOSTS
from molecule_approve.model import Outcome
from molecule_approve.policy.hook_rules import Then, decide
from molecule_approve.settings.durations import parse_duration

from .reply import Reply, Watchdog
from .start import WATCH
from .stdin import read_event

if TYPE_CHECKING:
    from molecule_approve.integrations.hooks.interface import HookAnswer, Host, ToolCall
    from molecule_approve.model import Failure, Verdict
    from molecule_approve.settings.resolve import Settings

MARGIN = 30.0
"""Seconds before the host's limit at which we give up; of a limit of a minute or less, half."""

SHORTEST, LONGEST = 2.0, 86_400.0
"""Seconds: what a host's limit may be."""


class HookCommand(options.GateCommand):
    """A command that also answers the host where its own arguments make no sense."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]  # typer names its copy
        """Parse; where nothing will be asked, whatever the reason, say no."""
        try:
            return super().parse_args(ctx, args)
        except slips.ArgumentsError as exc:
            Reply(HOSTS[str(self.name)], sys.stdout).deny(f"wrong arguments of the hook: {exc.format_message()}", quiet=True)
            raise
        except typer.Exit:
            output.talk(f"{output.PROGRAM}: this was the help; nothing was approved")
            raise


def respond(host: Host, limit: str | None, connection: options.ConnectionOptions, after_yes: str = "allow") -> int:
    """Answer the event on stdin; return 0 if the call may be made, and 2 in every other case. Never raises.

    Args:
        host: who calls.
        limit: ``--limit``: after how long the host gives us up.
        connection: the options that name a platform.
        after_yes: ``allow``, or ``none`` to leave an approved call to the host's own rules.
    """
    reply = Reply(host, sys.stdout)
    with contextlib.redirect_stdout(sys.stderr):  # whatever a library prints, stdout has the one answer
        try:
            return _Hook(host, reply, connection, after_yes).run(limit)
        except Interrupted as exc:
            return reply.deny(f"{exc.why}; nothing was approved")
        except Exception as exc:  # noqa: BLE001 - every failure is the host's no
            return reply.deny(_sentence(ours(exc)))
        except BaseException as exc:  # noqa: BLE001 - a library that exits, say
            return reply.deny(f"the hook was ended by {type(exc).__name__}; nothing was approved")


class _Hook:
    """One run of a hook."""

    def __init__(self, host: Host, reply: Reply, connection: options.ConnectionOptions, after_yes: str) -> None:
        self._host = host
        self._reply = reply
        self._connection = connection
        self._after_yes = after_yes
        self._begun = boottime()
        self._stop = SignalStop(Audience.expected())

    def run(self, limit: str | None) -> int:
        """Answer the event; see ``respond``."""
        self._stop.install()
        with self._stop.open():
            if self._after_yes not in {"allow", "none"}:
                raise UsageError(
                    f"--answer {self._after_yes[:40]!r} is neither allow nor none", hint="correct the hook's entry"
                )
            seconds = self._host.default_limit if limit is None else _limit(limit)
        with Watchdog(self._reply, self._before(seconds, _margin(seconds) / 2)) as watchdog:
            WATCH.end()
            return self._answer(seconds, watchdog)

    def _before(self, limit: float, margin: float) -> Deadline:
        return Deadline(self._begun + limit - margin)

    def _answer(self, limit: float, watchdog: Watchdog) -> int:
        with self._stop.open():
            call = self._reply.call = self._host.parse(read_event(self._before(limit, _margin(limit))))
            if call.host != self._host.name:  # whose settings it has read, and perhaps not all that they say
                limit = min(limit, HOSTS[call.host].default_limit)
                watchdog.end = self._before(limit, _margin(limit) / 2)
            settings = self._connection.settings()
            then = decide(settings.hooks.value, call.tool, call.command)
        if then is Then.PASS:
            return self._let(self._host.leave(call))
        if then is Then.DENY:
            return self._reply.deny("approve.hooks in config.yaml refuses this call; nobody was asked")
        return self._ask(call, settings, self._before(limit, _margin(limit)))

    def _ask(self, call: ToolCall, settings: Settings, end: Deadline) -> int:
        if settings.timeout.source != "default":
            end = end.capped(settings.timeout.value)
        made = partial(wiring.gate, settings, self._stop, _Following(self._reply))
        verdict, undelivered = Asking(settings, os.environ, end, self._stop, made).ask(call)
        if not verdict.approved:
            return self._reply.deny(_reason(settings, verdict))
        try:
            check_reader(self._stop)
            return self._let((self._host.leave if self._after_yes == "none" else self._host.allow)(call))
        except DeliveryError as exc:
            undelivered(exc)
            raise

    def _let(self, answer: HookAnswer) -> int:
        """The call may be made."""
        self._reply.say(answer)
        return answer.code


def _limit(text: str) -> float:
    seconds = parse_duration(text, "--limit")
    if not SHORTEST <= seconds <= LONGEST:
        raise UsageError(f"--limit {text[:40]!r} is out of range", hint="write a duration from 2 s to 24 h")
    return seconds


def _margin(limit: float) -> float:
    return MARGIN if limit > 2 * MARGIN else limit / 2


def _reason(settings: Settings, verdict: Verdict) -> str:
    """Why the call must not be made, and what may be done."""
    if verdict.outcome is Outcome.PENDING:
        return (
            f"nobody has decided yet; request {verdict.approval_id} stays open for an hour at most. If it is approved later,"
            " the identical call is let through once: make it again then"
        )
    if verdict.error is None:
        return f"{verdict.message}; do not make this call in another way"
    error = verdict.error
    if error.kind == UnavailableError.kind and verdict.approval_id is None:
        error = replace(error, hint=settings.hint_on_unreachable(error.hint))
    return _sentence(error, verdict.outcome.value.replace("_", " "))


def _sentence(error: ApprovalError | Failure, label: str = "failed") -> str:
    hint = f" (hint: {error.hint})" if error.hint else ""
    return f"{label}: {error.message}{hint}; nothing was approved"


class _Following(Observer):
    """Follows the gate: a host that stops us is answered before the request is withdrawn, for it may not wait."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    def withdrawing(self, why: str) -> None:
        """Say no: we were stopped, for at the timeout a hook's request stays open."""
        self._reply.deny(f"{why}; nothing was approved")
