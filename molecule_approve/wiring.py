"""Makes a gate from settings: the platform, the audit log, the requester; and a request for it."""

from __future__ import annotations

import getpass
import os
import socket
import urllib.parse
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from .audit.record import SHORT
from .errors import AuditError
from .gate import compose
from .gate.compose import Origin, sendable
from .model import Secret
from .paths import can_write, recall_audit_log, remember_audit_log
from .policy import roles
from .settings.urls import PROXIES

if TYPE_CHECKING:
    from .audit.journal import Journal
    from .client.rest import RestPlatform
    from .client.submit import Stop
    from .gate.gate import Gate, Observer, Terms
    from .model import ApprovalRequest
    from .proofs.keys_file import KeyRing
    from .settings.resolve import Settings


def origin(user_name: Callable[[], str] = getpass.getuser) -> Origin:
    """The user, host and folder of this process."""
    try:
        user = user_name()
    except (KeyError, OSError):  # a container's user may have no name
        user = str(os.geteuid())
    try:
        folder = os.getcwd()  # noqa: PTH109 - text is what is sent
    except OSError:  # the folder was removed
        folder = ""
    return Origin(user, socket.gethostname(), folder)


_NO_SECRETS = frozenset({"origin", "x-molecule-org-id"})
"""Headers that say where a call comes from and whom it is for."""


def secrets(settings: Settings | None, environ: Mapping[str, str]) -> list[Secret]:
    """All that is secret in the environment and in the settings: no record, no context and no finding may contain it.

    That is the tokens, also the approver's; the values of headers; and the proxy's address, user and password.
    """
    found = {environ.get(name, "") for name in ("MOLECULE_TOKEN", "MOLECULE_APPROVER_TOKEN")}
    found |= {text for name in PROXIES for text in _userinfo(environ.get(name, ""))}
    if settings is not None:
        headers = settings.headers.value.items()
        found |= {value for name, value in headers if name.lower() not in _NO_SECRETS and len(value) >= SHORT}
        found |= {secret.reveal() for secret in (settings.token.value, settings.proxy.value) if secret is not None}
    return [Secret(text) for text in sorted(found) if text]


def _userinfo(address: str) -> Iterator[str]:
    """User and password of an address, as they are written and as they are meant; also where the address is invalid."""
    pair = address.rpartition("@")[0].rpartition("//")[2]
    _, colon, password = pair.partition(":")
    if not colon and len(pair) < SHORT:
        return  # a user without a password: no secret, and perhaps an ordinary word
    for text in (pair, password):
        yield text
        yield urllib.parse.unquote(text)


def journal(settings: Settings, on_wait: Callable[[str], None] | None = None) -> Journal:
    """The audit log, with these secrets masked; ``on_wait`` is told if its lock is waited for, by default nobody is."""
    from .audit.journal import Journal  # noqa: PLC0415 - help needs no journal
    from .audit.locking import nobody  # noqa: PLC0415

    path, limit = settings.audit_log.value, settings.audit_rotate_at.value
    return Journal(path, limit=limit, secrets=secrets(settings, environment()), on_wait=on_wait or nobody)


def platform(settings: Settings, *, approver: Secret | None = None, any_workspace: bool = False) -> RestPlatform:
    """The platform, as the workspace or as an approver, who may look beyond one workspace (``any_workspace``).

    Raises:
        UsageError, ConfigError: no platform is configured, or the token must not be sent there.
    """
    endpoint = settings.endpoint(approver, any_workspace=any_workspace)
    from .client.rest import RestPlatform  # noqa: PLC0415 - httpx is most of our start-up, and a refusal needs none

    return RestPlatform(endpoint, actor=sendable(origin().user))


def request(
    settings: Settings,
    action: str,
    reason: str,
    context: Iterable[tuple[str, str]],
    *,
    expires_in: float,
    idempotency_key: str | None = None,
) -> ApprovalRequest:
    """A request of this process at these settings, for callers other than the command line.

    Raises:
        UsageError: a part of it is not valid.
    """
    given, environ = compose.check_context(context), environment()
    return compose.compose(
        settings.workspace_id.value,
        action,
        reason,
        context=compose.context_of(origin(), environ, given, secrets(settings, environ)),
        expires_in=expires_in,
        idempotency_key=idempotency_key,
    )


class ReadyGate(NamedTuple):
    """A gate and its parts."""

    gate: Gate
    platform: RestPlatform
    journal: Journal
    settings: Settings

    def permit(self) -> None:
        """Raise NotPermittedError if the workspace's roles do not permit a request."""
        roles.permit(self.settings.roles.value, self.settings.allowed_actions.value)


def gate(settings: Settings, stop: Stop, observer: Observer) -> ReadyGate:
    """A gate for one attempt.

    Raises:
        UsageError, ConfigError: as for :func:`platform`.
        AuditError: the default audit log of earlier attempts can no longer be written.
    """
    asked = platform(settings)
    _keep_log(settings)
    from .gate.gate import Gate  # noqa: PLC0415

    log = journal(settings, observer.waiting_for_log)
    optional, keys = settings.audit_optional.value, approver_keys(settings)
    made = Gate(asked, log, stop, observer, attempt_id=str(uuid.uuid4()), audit_optional=optional, keys=keys)
    return ReadyGate(made, asked, log, settings)


def approver_keys(settings: Settings) -> KeyRing | None:
    """The keys that have to have signed each approval; None if none is demanded.

    Raises:
        ConfigError: their file is not only root's or not valid, or the settings do not allow it to count.
    """
    found = settings.approver_keys
    if found.value is None:
        return None
    from .proofs.faults import ProofError  # noqa: PLC0415 - for those who demand receipts
    from .proofs.keys_file import can_check, parse_keys  # noqa: PLC0415

    if settings.audit_optional.value:
        raise found.refuse(
            "approvals that must be proven must be recorded, and approve.audit is optional", "write audit: required"
        )
    if not can_check():
        raise found.refuse("the library that verifies signatures is not installed", "install molecule-approve[proofs]")
    try:
        return parse_keys(found.value.read())
    except ProofError as exc:
        raise found.refuse(f"{found.value.path}: {exc}", "docs/receipts.md describes the file") from exc


def _keep_log(settings: Settings) -> None:
    """Keep the default log of earlier attempts: another log does not know which approvals were redeemed."""
    log, state = settings.audit_log.value, settings.requester_file.parent
    if settings.audit_log.source != "default":
        return
    if recall_audit_log(state) is None:
        remember_audit_log(state, log)
    elif not (settings.audit_optional.value or can_write(log)):
        raise AuditError(
            f"the audit log {log} of earlier attempts (noted in {state / 'audit-log-path'}) can no longer be written;"
            " another log does not know which approvals were redeemed",
            hint="restore write access, or set AUDIT_LOG_PATH",
        )


def terms(settings: Settings, *, wait: bool = True, withdraw: bool = True, stays_open: bool = False) -> Terms:
    """The terms of an attempt, from the settings.

    ``wait`` is False for ``--no-wait``; ``withdraw`` says whether to withdraw the request when giving up, ``stays_open``
    whether it stays open all the same at the timeout.
    """
    from .client.retry import WaitPolicy  # noqa: PLC0415
    from .gate.gate import Terms  # noqa: PLC0415

    return Terms(
        timeout=settings.timeout.value,
        wait=wait,
        stream=settings.transport.value != "poll",
        withdraw=withdraw,
        stays_open=stays_open,
        verified=settings.require_verified_approver.value,
        policy=WaitPolicy(poll_interval=settings.poll_interval.value),
    )


def environment() -> Mapping[str, str]:
    """A copy of the environment; everything below takes it as a parameter."""
    return dict(os.environ)
