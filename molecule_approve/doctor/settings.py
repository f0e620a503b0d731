"""Every setting with its source, config.yaml, the workspace's roles."""

from __future__ import annotations

import os
import pwd
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molecule_approve.errors import ApprovalError, NotPermittedError
from molecule_approve.lifecycle import name_key
from molecule_approve.policy import roles
from molecule_approve.proofs.faults import ProofError
from molecule_approve.settings.given import read_config
from molecule_approve.settings.resolve import LOCAL, Settings, resolve
from molecule_approve.settings.system_config import SystemConfig, read_system
from molecule_approve.wiring import approver_keys

from .checks import Finding, Grade, Setup, failure

if TYPE_CHECKING:
    from molecule_approve.model import Secret
    from molecule_approve.settings.values import Sourced

_HARMLESS = frozenset({"APPROVAL_TIMEOUT", "APPROVAL_POLL_INTERVAL", "APPROVAL_USE_WEBSOCKET", "AUDIT_LOG_ROTATE_AT"})
"""Variables without which all other checks look at the same platform and the same log."""


class SettingsReading:
    """Reads the settings, and says what it finds.

    Attributes:
        settings: what was read; None before, and where the settings cannot be used.
    """

    def __init__(self, around: Setup) -> None:
        self._around = around
        self.settings: Settings | None = None

    def findings(self) -> Iterator[Finding]:
        """All about the settings."""
        try:
            system = read_system(self._around.places.system)
        except ApprovalError as exc:
            yield failure("settings.system", exc)
            return
        yield _system(system)
        try:
            config = read_config(self._around.flags, self._around.environ, system)
        except ApprovalError as exc:
            yield failure("settings.config", exc)
            return
        yield _config(None if config is None else config.path)
        yield from self._resolve()
        if self.settings is not None:
            yield from _values(self.settings)
            yield from _approver_keys(self.settings)
            yield from _warnings(self.settings)
            yield _permission(self.settings)

    def _resolve(self) -> Iterator[Finding]:
        """One finding for each invalid value; the others are read all the same, where that changes no other check."""
        environ = dict(self._around.environ)
        while self.settings is None:
            flags, places, at_terminal = self._around.flags, self._around.places, self._around.at_terminal
            try:
                self.settings = resolve(flags, environ, places, at_terminal=at_terminal)
            except ApprovalError as exc:
                yield failure("settings.values", exc)
                source = exc.message.partition(":")[0]
                if source not in _HARMLESS or environ.pop(source, None) is None:
                    return


def _system(system: SystemConfig) -> Finding:
    if system.file is None:
        free = f"there is no {system.path}: whoever sets the options, the environment or config.yaml chooses the platform"
        return Finding("settings.system", Grade.OK, free)
    locked = ", ".join(sorted(system.locked)) or "nothing"
    return Finding("settings.system", Grade.OK, f"{system.path} is valid, and locks {locked}")


def _config(path: Path | None) -> Finding:
    if path is None:
        return Finding("settings.config", Grade.OK, "there is no config.yaml: the defaults hold")
    return Finding("settings.config", Grade.OK, f"{path} is valid; its owner is {owner(path.stat().st_uid)}")


def owner(uid: int) -> str:
    """The name of a user, or the number of one without a name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


# --- the values --------------------------------------------------------------------------------------------------------


def _values(settings: Settings) -> Iterator[Finding]:
    for name, text in _TEXTS.items():
        found: Sourced[Any] = getattr(settings, name)
        detail = f"{text(found.value)} ({found.source})"
        if name == "platform_url" and settings.local:
            detail = f"{LOCAL}: your embedded server ({found.source})"
        yield Finding(f"settings.{_KEYS.get(name, name)}", Grade.OK, detail)
    yield from _token_file(settings)


def proxy_name(proxy: Secret) -> str:
    """Host and port of a proxy, without user and password."""
    return urllib.parse.urlsplit(proxy.reveal()).netloc.rpartition("@")[2]


def _seconds(value: float) -> str:
    return f"{value:g} s"


def _names(values: Mapping[str, object] | tuple[str, ...]) -> str:
    return ", ".join(values) or "none"


_KEYS = {"audit_optional": "audit"}
"""The key in config.yaml, where the field has another name."""

_TEXTS: Mapping[str, Callable[[Any], str]] = {
    "platform_url": str,
    "workspace_id": lambda value: value or "none",
    "token": lambda value: "none" if value is None else "set",
    "headers": _names,
    "proxy": lambda value: "none" if value is None else proxy_name(value),
    "timeout": _seconds,
    "poll_interval": _seconds,
    "transport": str,
    "audit_log": str,
    "audit_optional": lambda value: "optional" if value else "required",
    "audit_rotate_at": lambda value: "never" if value is None else f"{value:,} bytes",
    "allow_http": lambda value: str(value).lower(),
    "require_verified_approver": lambda value: str(value).lower(),
    "approver_keys": lambda value: "none" if value is None else str(value.path),
    "roles": _names,
    "allowed_actions": _names,
    "hooks": lambda value: f"rules: {len(value)}" if value else "none",
}


def _token_file(settings: Settings) -> Iterator[Finding]:
    path = Path(settings.token.source)
    if not settings.token.from_file:
        return
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        yield Finding(
            "settings.token_file",
            Grade.WARNING,
            f"other users can read {path}, which holds the token (mode {mode:o})",
            f"chmod 600 {path}, and replace the token in it",
        )
    else:
        yield Finding("settings.token_file", Grade.OK, f"only {owner(path.stat().st_uid)} can read {path}")


def _approver_keys(settings: Settings) -> Iterator[Finding]:
    """Whether a gate would hold keys, whose file only root can write; root itself can."""
    try:
        ring = approver_keys(settings)
        if ring is None:
            return
        ring.check()
    except ApprovalError as exc:
        yield failure("settings.approvers", exc)
        return
    except ProofError as exc:
        yield Finding("settings.approvers", Grade.FAILED, f"approve.approver_keys: {exc}", "correct the file")
        return
    people = {name_key(one.approver) for one in ring.keys}
    has = f"an approval needs signatures of {ring.approvals} of {len(people)} people whose keys this machine keeps"
    if is_root():
        advice = "run gates as a user who is not root"
        yield Finding("settings.approvers", Grade.WARNING, f"{has}, and this user is root, who can change them", advice)
    else:
        yield Finding("settings.approvers", Grade.OK, has)


def _warnings(settings: Settings) -> Iterator[Finding]:
    for warning in settings.warnings:
        if not warning.endswith(f" {settings.token.source}"):  # the token's file has a finding of its own
            yield Finding("settings.warning", Grade.WARNING, warning, "see docs/settings.md")


def _permission(settings: Settings) -> Finding:
    try:
        roles.permit(settings.roles.value, settings.allowed_actions.value)
    except NotPermittedError as exc:
        return failure("settings.permission", exc)
    return Finding("settings.permission", Grade.OK, "the workspace's roles permit a request")


def is_root() -> bool:
    """Whether this process may read every file of the machine."""
    return os.geteuid() == 0
