"""Every setting, from option > environment > config.yaml > the system's file > default, resolved once into frozen Settings.

The environment is a parameter, every value knows its source, secrets have a masked repr. ``given`` finds texts, ``values``
reads them, ``urls`` addresses, ``trusted_file`` files; ``system_config`` is root's own file, and what it locks.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from molecule_approve.errors import ConfigError, UsageError
from molecule_approve.model import Endpoint, Secret
from molecule_approve.paths import LocalSocket, Places, can_write, read_requester, recall_audit_log, who_serves
from molecule_approve.policy import roles as roles_module

from . import trusted_file, urls, values
from .approver_keys import ApproverKeys, absolute
from .given import CONFIGS, Given, read_config
from .hooks import Rules, read_hooks
from .near_misses import misspelt
from .system_config import read_system
from .urls import find_proxy
from .values import Sourced, Transport

DEFAULT_URL = "http://platform:8080"
"""The platform's own address in its own network."""

LOCAL = "local"
"""The value of PLATFORM_URL that names this user's embedded server."""

OWN_SERVER = "for your own server here: PLATFORM_URL=local"
"""The hint where no platform is configured and the built-in address does not answer."""

LOCAL_URL = "http://localhost"
"""The embedded server's Host header; the connection is its Unix socket."""

SYSTEM_AUDIT_LOG = Path("/var/log/molecule/audit.jsonl")


class Flags(NamedTuple):
    """The options of the command line as they were typed; None for an option that was not given."""

    config: str | None = None
    platform_url: str | None = None
    workspace_id: str | None = None
    audit_log: str | None = None
    timeout: str | None = None
    poll_interval: str | None = None
    transport: str | None = None
    require_verified_approver: bool | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one invocation.

    Attributes:
        platform_url: base address without a slash at the end.
        workspace_id: the requesting workspace; may be empty, see ``require_workspace``.
        token: the workspace's token, or None.
        headers: further request headers.
        proxy: for https:// only.
        timeout: seconds, 1 to 86,400.
        poll_interval: seconds, at least 1.
        audit_optional: go on where the audit log cannot be written.
        audit_rotate_at: bytes at which the audit log becomes an archive; None for never.
        approver_keys: the keys that have to have signed each approval; None if a decision needs no signature.
        hooks: which tool calls of an agent need a person; the first that matches counts.
        local: the platform is this user's embedded server, on its Unix socket.
        unix_socket: that socket, or None.
        requester_file: the embedded server's workspace and token.
        config_path: the config.yaml that was read, or None.
        warnings: one sentence each, for the user.
    """

    platform_url: Sourced[str]
    workspace_id: Sourced[str]
    token: Sourced[Secret | None]
    headers: Sourced[Mapping[str, str]] = field(repr=False)
    proxy: Sourced[Secret | None]
    timeout: Sourced[float]
    poll_interval: Sourced[float]
    transport: Sourced[Transport]
    audit_log: Sourced[Path]
    audit_optional: Sourced[bool]
    audit_rotate_at: Sourced[int | None]
    allow_http: Sourced[bool]
    require_verified_approver: Sourced[bool]
    approver_keys: Sourced[ApproverKeys | None]
    roles: Sourced[tuple[str, ...]]
    allowed_actions: Sourced[Mapping[str, frozenset[str]]]
    hooks: Sourced[Rules]
    local: bool
    unix_socket: LocalSocket | None
    requester_file: Path
    config_path: Path | None
    warnings: tuple[str, ...]

    @property
    def is_configured(self) -> bool:
        """Whether the platform was configured; the built-in address can be reached from few machines."""
        return self.platform_url.source != "default"

    def hint_on_unreachable(self, hint: str) -> str:
        """The hint of a platform that cannot be reached; another one where nobody named it."""
        return hint if self.is_configured else f"PLATFORM_URL is not set; {OWN_SERVER}"

    def endpoint(self, approver: Secret | None = None, *, any_workspace: bool = False) -> Endpoint:
        """Where to ask, as the workspace; or, with an approver's token, as that approver.

        ``any_workspace``: nothing is asked that is about one workspace, so that none has to be set.

        Raises:
            UsageError, ConfigError: there is no workspace, or the token would cross a network unencrypted.
        """
        if not any_workspace:
            require_workspace(self)
        token = self.token.value if approver is None else approver
        _refuse_plain_http(self.platform_url, token, allowed=self.allow_http.value)
        headers = dict(self.headers.value)
        origin = next((headers.pop(name) for name in list(headers) if name.lower() == "origin"), None)
        return Endpoint(
            url=self.platform_url.value,
            workspace_id=self.workspace_id.value,
            token=token,
            unix_socket=self.unix_socket,
            headers=headers,
            proxy=self.proxy.value,
            origin=origin,
        )


def require_workspace(settings: Settings) -> None:
    """Return if a workspace is set.

    Raises:
        ConfigError: the platform is the embedded server, and it has never run.
        UsageError: no workspace is set.
    """
    if settings.workspace_id.value:
        return
    if settings.local:
        raise ConfigError(
            f"no embedded server has run here: {settings.requester_file} does not exist",
            hint="start it with `molecule-approve serve`; a running one restores the file within a second",
        )
    own = "" if settings.is_configured else f"{OWN_SERVER}; for a platform: "
    raise UsageError("no workspace is set", hint=f"{own}set WORKSPACE_ID, or pass --workspace-id")


def resolve(flags: Flags, environ: Mapping[str, str], places: Places, *, at_terminal: bool) -> Settings:
    """Every setting. Nothing is created, and nothing is sent.

    Args:
        flags: the options of the command line.
        environ: the environment.
        places: this user's folders.
        at_terminal: stdin and stderr are terminals: a running embedded server is the default platform.

    Raises:
        UsageError: an option or a variable has an invalid value.
        ConfigError: a file is invalid.
    """
    system = read_system(places.system)
    file = read_config(flags, environ, system)
    given = Given(flags, environ, file, system)
    system.check_authorities(environ)
    warnings = misspelt(environ, () if file is None else file.sections)
    url, local = _address(given, places, at_terminal=at_terminal)
    if local:
        workspace, token = _local_identity(given, places, warnings)
    else:
        workspace, token = _configured_workspace(given), _configured_token(given.environ, warnings)
    allow_http = given.setting("allow_http", "APPROVAL_ALLOW_HTTP", values.boolean, default=False)
    warnings += _refuse_plain_http(url, token.value, allowed=allow_http.value)
    return Settings(
        platform_url=url,
        workspace_id=workspace,
        token=token,
        headers=_headers(None if local else file),
        proxy=Sourced(None) if local else Sourced(find_proxy(url.value, environ), "the environment"),
        timeout=given.setting("timeout", "APPROVAL_TIMEOUT", values.span(1, 86_400), default=300.0),
        poll_interval=given.setting("poll_interval", "APPROVAL_POLL_INTERVAL", values.span(1, 86_400), default=5.0),
        transport=_transport(given),
        audit_log=_audit_log(given, places),
        audit_optional=given.setting("audit", None, values.audit_is_optional, default=False),
        audit_rotate_at=given.setting("audit_rotate_at", "AUDIT_LOG_ROTATE_AT", values.size, default=16 * 1024**2),
        allow_http=allow_http,
        require_verified_approver=given.setting("require_verified_approver", None, values.boolean, default=False),
        approver_keys=_approver_keys(given, places),
        roles=_roles(file),
        allowed_actions=_allowed_actions(file),
        hooks=read_hooks(system.choose_hooks(file)),
        local=local,
        unix_socket=_local_socket(places) if local else None,
        requester_file=places.requester,
        config_path=file.path if file else None,
        warnings=tuple(warnings),
    )


def resolve_audit_log(flags: Flags, environ: Mapping[str, str], places: Places) -> Sourced[Path]:
    """The audit log alone, for commands that contact no platform.

    Raises:
        UsageError, ConfigError: as ``resolve``, for this setting and config.yaml.
    """
    system = read_system(places.system)
    return _audit_log(Given(flags, environ, read_config(flags, environ, system), system), places)


def approver_token(environ: Mapping[str, str]) -> Secret | None:
    """The approver's token from ``MOLECULE_APPROVER_TOKEN``; None if it is not set.

    Raises:
        UsageError: the value is not a token.
    """
    found = environ.get("MOLECULE_APPROVER_TOKEN")
    return None if found is None else values.read(Sourced(found, "MOLECULE_APPROVER_TOKEN"), values.token).value


def in_ci(environ: Mapping[str, str]) -> bool:
    """Whether this is a CI job: ``CI`` is set, and not empty, 0 or false."""
    return environ.get("CI", "").lower() not in {"", "0", "false"}


# --- one setting each --------------------------------------------------------------------------------------------------


def _address(given: Given, places: Places, *, at_terminal: bool) -> tuple[Sourced[str], bool]:
    """The base address, and whether it is this user's embedded server."""
    found = given.find("platform_url", "PLATFORM_URL")
    if found is not None:
        return (found.swap(LOCAL_URL), True) if found.value == LOCAL else (values.read(found, urls.base_url), False)
    serving = who_serves(places) if at_terminal and not in_ci(given.environ) else None
    if serving is not None:
        return Sourced(LOCAL_URL, f"your running embedded server (process {serving.pid})"), True
    return Sourced(DEFAULT_URL), False


def _configured_workspace(given: Given) -> Sourced[str]:
    found = given.find("workspace_id", "WORKSPACE_ID" if given.environ.get("WORKSPACE_ID") else None)
    return Sourced("") if found is None else values.read(found, values.workspace)


def _configured_token(environ: Mapping[str, str], warnings: list[str]) -> Sourced[Secret | None]:
    """The workspace's token, from the environment or one file; never from an option, which ``ps`` would show."""
    text = environ.get("MOLECULE_TOKEN")
    if text is not None:
        found = values.read(Sourced(text, "MOLECULE_TOKEN"), values.token)
        return found.swap(found.value)
    folder = values.read(Sourced(environ.get("CONFIGS_DIR", CONFIGS), "CONFIGS_DIR"), values.path).value
    return _token_file(folder / ".auth_token", warnings)


def _token_file(path: Path, warnings: list[str]) -> Sourced[Secret | None]:
    found = trusted_file.read_trusted(path, wanted=False)
    if found is None:
        return Sourced(None)
    if found.readable_by_all:
        warnings.append(f"every user of this machine can read {path}")
    line = found.data.split(b"\n", 1)[0].decode("utf-8", "replace").strip(" \t\r")
    read = values.read(Sourced(line, str(path), from_file=True), values.token)
    return read.swap(read.value)


def _local_identity(given: Given, places: Places, warnings: list[str]) -> tuple[Sourced[str], Sourced[Secret | None]]:
    """The embedded server's own workspace and token; the platform's are never sent there."""
    requester = read_requester(places)
    if requester is None:
        return Sourced(""), Sourced(None)
    workspace = values.read(Sourced(requester.workspace_id, str(places.requester), from_file=True), values.workspace)
    token = values.read(Sourced(requester.token, str(places.requester), from_file=True), values.token)
    wanted = _configured_workspace(given)
    if wanted.value not in {"", workspace.value}:
        warnings.append(f"{wanted.source} is not used: the embedded server has its own workspace")
    return workspace, token.swap(token.value)


def _local_socket(places: Places) -> LocalSocket:
    found = LocalSocket(places)
    os.fspath(found)  # an unusable path is refused before anything is requested
    return found


def _refuse_plain_http(url: Sourced[str], token: Secret | None, *, allowed: bool) -> list[str]:
    """A warning about a token that crosses a network unencrypted; an error unless that is allowed."""
    if token is None or not urls.is_plain_http(url.value):
        return []
    if not allowed and url.value != DEFAULT_URL:
        raise url.refuse(
            "the token would cross the network unencrypted, over http://",
            "use https://, or allow this with APPROVAL_ALLOW_HTTP=true or approve.allow_http in config.yaml",
        )
    return [f"the token crosses the network unencrypted, to {url.value}"]


def _transport(given: Given) -> Sourced[Transport]:
    found = given.find("transport", "APPROVAL_USE_WEBSOCKET")
    if found is None:
        return Sourced(Transport.AUTO)
    return values.read(found, values.switch if found.source == "APPROVAL_USE_WEBSOCKET" else values.choice)


def _audit_log(given: Given, places: Places) -> Sourced[Path]:
    found = given.find("audit_log", "AUDIT_LOG_PATH")
    if found is None:
        return Sourced(_default_audit_log(SYSTEM_AUDIT_LOG, places))
    read = values.read(found, values.path)
    if read.from_file and not read.value.is_absolute():
        raise read.refuse("the path is not absolute", "start it with a slash")
    return read


def _approver_keys(given: Given, places: Places) -> Sourced[ApproverKeys | None]:
    found = given.find("approver_keys", None)  # no variable and no option: whoever starts a gate could weaken it
    if found is None:
        return Sourced(None)
    return found.swap(ApproverKeys(values.read(found, absolute).value, places.system.owner))


def _default_audit_log(system: Path, places: Places) -> Path:
    # A log that was used stays: another one would not know which approvals are redeemed.
    return recall_audit_log(places.state) or (system if can_write(system) else places.audit_log)


def _roles(file: trusted_file.ConfigFile | None) -> Sourced[tuple[str, ...]]:
    if file is None or file.roles is None:
        return Sourced(roles_module.DEFAULT_ROLES)
    for role in file.roles:
        if not roles_module.is_known(role.text, file.allowed_actions or {}):
            raise trusted_file.source_of(file.path, role.line, "rbac.roles").refuse(
                f"unknown role {role.text!r}",
                f"known roles: {', '.join(sorted({*roles_module.BUILT_IN, *(file.allowed_actions or {})}))}",
            )
    return Sourced(tuple(role.text for role in file.roles), f"{file.path}: rbac.roles", from_file=True)


def _allowed_actions(file: trusted_file.ConfigFile | None) -> Sourced[Mapping[str, frozenset[str]]]:
    if file is None or file.allowed_actions is None:
        return Sourced({})
    return Sourced(file.allowed_actions, f"{file.path}: rbac.allowed_actions", from_file=True)


def _headers(file: trusted_file.ConfigFile | None) -> Sourced[Mapping[str, str]]:
    if file is None or file.headers is None:
        return Sourced({})
    found: dict[str, str] = {}
    seen = set[str]()
    for name, value in file.headers.items():
        source = trusted_file.source_of(file.path, value.line, f"approve.headers.{name[:40]}")
        values.check_header(source, name, value.text)
        if name.lower() in seen:
            raise source.refuse("duplicate header", "remove one of the two")
        seen.add(name.lower())
        found[name] = value.text
    return Sourced(found, f"{file.path}: approve.headers", from_file=True)
