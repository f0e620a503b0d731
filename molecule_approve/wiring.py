"""Puts a gate together from settings: the platform, the log, and who is asking. For the command line and the Python API."""

from __future__ import annotations

import getpass
import os
import socket
import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from .errors import AuditError
from .gate.compose import Origin, sendable
from .paths import can_write, recall_audit_log, remember_audit_log
from .policy import roles

if TYPE_CHECKING:
    from .audit.journal import Journal
    from .client.rest import RestPlatform
    from .client.submit import Stop
    from .gate.gate import Gate, Observer, Terms
    from .model import Secret
    from .settings.resolve import Settings


def origin(user_name: Callable[[], str] = getpass.getuser) -> Origin:
    """Who runs this process, and where."""
    try:
        user = user_name()
    except (KeyError, OSError):  # a container's user may have no name
        user = str(os.geteuid())
    try:
        folder = os.getcwd()  # noqa: PTH109 - text is what is sent
    except OSError:  # the folder was removed under us
        folder = ""
    return Origin(user, socket.gethostname(), folder)


def secrets(settings: Settings) -> list[Secret]:
    """What no record and no context may hold."""
    return [secret for secret in (settings.token.value, settings.proxy.value) if secret is not None]


def journal(settings: Settings) -> Journal:
    """The audit log, which never shows the secrets that we know."""
    from .audit.journal import Journal  # noqa: PLC0415 - help needs no journal

    return Journal(settings.audit_log.value, limit=settings.audit_rotate_at.value, secrets=secrets(settings))


def platform(settings: Settings, *, approver: Secret | None = None) -> RestPlatform:
    """The platform as the workspace, or as an approver.

    Raises:
        UsageError, ConfigError: it is not known whom to ask, or the token must not travel there.

    """
    endpoint = settings.endpoint(approver)
    from .client.rest import RestPlatform  # noqa: PLC0415 - httpx is most of our start-up, and a refusal needs none

    return RestPlatform(endpoint, actor=sendable(origin().user))


class Assembled(NamedTuple):
    """A gate and what it was made of."""

    gate: Gate
    platform: RestPlatform
    journal: Journal
    settings: Settings

    def permit(self) -> None:
        """Raise NotPermittedError where the workspace's roles do not let it ask."""
        roles.permit(self.settings.roles.value, self.settings.allowed_actions.value)


def gate(settings: Settings, stop: Stop, observer: Observer) -> Assembled:
    """A gate for one invocation.

    Raises:
        UsageError, ConfigError: as for :func:`platform`.
        AuditError: the audit log that was chosen by default before cannot be written any more.

    """
    asked = platform(settings)
    _keep_log(settings)
    from .gate.gate import Gate  # noqa: PLC0415

    log = journal(settings)
    optional = settings.audit_optional.value
    made = Gate(asked, log, stop, observer, attempt_id=str(uuid.uuid4()), audit_optional=optional)
    return Assembled(made, asked, log, settings)


def _keep_log(settings: Settings) -> None:
    """Stay with the log that was once chosen by default: any other one would give a used approval another 0."""
    log, state = settings.audit_log.value, settings.requester_file.parent
    if settings.audit_log.source != "default":
        return
    if recall_audit_log(state) is None:
        remember_audit_log(state, log)
    elif not (settings.audit_optional.value or can_write(log)):
        raise AuditError(
            f"the audit log {log}, which was used before, cannot be written any more; another one does not know which"
            f" approvals were used (noted in {state / 'audit-log-path'})",
            hint="let this user write there again, or name a log: AUDIT_LOG_PATH",
        )


def terms(settings: Settings, *, wait: bool = True, withdraw: bool = True, tick: float = 2.0) -> Terms:
    """How the settings say to ask and wait.

    Args:
        settings: the settings.
        wait: False for ``--no-wait``.
        withdraw: whether to take the question back when giving up.
        tick: the longest sleep, in seconds.

    """
    from .client.retry import WaitPolicy  # noqa: PLC0415
    from .gate.gate import Terms  # noqa: PLC0415

    return Terms(
        timeout=settings.timeout.value,
        wait=wait,
        stream=settings.transport.value != "poll",
        withdraw=withdraw,
        verified=settings.require_verified_approver.value,
        policy=WaitPolicy(poll_interval=settings.poll_interval.value, tick=tick),
    )


def environment() -> Mapping[str, str]:
    """The environment as it is now; everything below takes it as a parameter."""
    return dict(os.environ)
