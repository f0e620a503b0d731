"""The embedded server's settings, from option > server.yaml > default, each with its source."""

from __future__ import annotations

import ipaddress
import os
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit

from molecule_approve import database_url
from molecule_approve.errors import ConfigError, UsageError
from molecule_approve.model import Secret

from . import trusted_file, urls, values
from .given import CONFIGS
from .trusted_file import ServerFile
from .values import Sourced

T = TypeVar("T")

VARIABLE = "MOLECULE_SERVER_CONFIG"
"""Names server.yaml, where no option does."""

FILE_NAME = "server.yaml"

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_OPTIONS = {"trusted_proxies": "--trusted-proxy"}
"""The options that are not named like their keys."""


class ServerFlags(NamedTuple):
    """The options of ``serve`` as they were typed, named like the keys of server.yaml; None for one that was not given."""

    config: str | None = None
    host: str | None = None
    port: int | None = None
    public_url: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    trusted_proxies: tuple[str, ...] | None = None
    plain_http: bool | None = None
    database: str | None = None
    anonymous_requests: bool | None = None
    log_format: str | None = None
    policy: str | None = None


class OpenIdSettings(NamedTuple):
    """``openid:``, the provider at which approvers sign in. ``groups``: the claim's values of each group of ours."""

    issuer: str
    client_id: str
    client_secret_file: Sourced[Path]
    name_claim: str
    approvers: tuple[str, ...]
    groups_claim: str | None
    groups: Mapping[str, tuple[str, ...]]
    scopes: tuple[str, ...]

    @property
    def secret_file(self) -> Path:
        """The file with the client's secret."""
        return self.client_secret_file.value


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """The settings of one server, named like their keys.

    Attributes:
        database: the address of the database, which may hold a password; None for the SQLite file of the state folder.
        policy: the file with the rules; None for policy.yaml in the state folder, if it is there.
        self_approval: None for what follows from the number of approvers.
        session_lifetime: in seconds; None for the default, as for ``session_idle``.
        path: the server.yaml that was read, or None.
    """

    host: Sourced[str]
    port: Sourced[int]
    public_url: Sourced[str | None]
    tls_cert: Sourced[Path | None]
    tls_key: Sourced[Path | None]
    trusted_proxies: Sourced[tuple[Network, ...]]
    metrics_from: Sourced[tuple[Network, ...]]
    plain_http: Sourced[bool]
    database: Sourced[Secret | None]
    policy: Sourced[Path | None]
    self_approval: Sourced[bool | None]
    anonymous_requests: Sourced[bool]
    log_format: Sourced[str]
    session_lifetime: Sourced[float | None]
    session_idle: Sourced[float | None]
    openid: Sourced[OpenIdSettings | None]
    path: Path | None

    def sources(self) -> dict[str, str]:
        """Where each setting comes from that is not a default."""
        found = [(name, getattr(self, name)) for name in self.__slots__]
        if self.openid.value is not None:
            found.append(("openid.client_secret_file", self.openid.value.client_secret_file))
        return {name: one.source for name, one in found if isinstance(one, Sourced) and one.source != "default"}


class _Server:
    """What was given for a server: the options, and ``file``, which may be empty."""

    def __init__(self, flags: ServerFlags, file: ServerFile | None) -> None:
        self._flags = flags
        self.file = file or ServerFile(Path(FILE_NAME))

    def setting(self, key: str, reader: Callable[[str], T], *, default: T) -> Sourced[T]:
        """The setting as the reader parses it, or its default."""
        typed = getattr(self._flags, key, None)
        if typed is not None:
            return values.read(Sourced(str(typed), f"--{key.replace('_', '-')}"), reader)
        if key in self.file.values:
            scalar = self.file.values[key]
            return values.read(self._source(key, scalar.line).swap(scalar.text), reader)
        return Sourced(default)

    def several(self, key: str, reader: Callable[[str], T]) -> Sourced[tuple[T, ...]]:
        """The setting that is a list; empty if nothing was given."""
        typed = getattr(self._flags, key, None)
        if typed:
            option = Sourced(None, _OPTIONS[key])
            return option.swap(tuple(values.read(option.swap(text), reader).value for text in typed))
        items = self.file.lists.get(key, ())
        found = tuple(values.read(self._source(key, item.line).swap(item.text), reader).value for item in items)
        return self._source(key, items[0].line).swap(found) if items else Sourced(())

    def file_path(self, key: str) -> Sourced[Path | None]:
        """A path: in server.yaml it starts at that file's folder, as an option where the caller is."""
        found = self.setting(key, values.path, default=None)
        if found.value is None or not found.from_file:
            return found
        return found.swap(self.file.path.parent / found.value)

    def openid(self) -> Sourced[OpenIdSettings | None]:
        """``openid:``, if it is there."""
        file = self.file
        lines = [item.line for key, item in file.values.items() if key.startswith("openid.")]
        lines += [items[0].line for key, items in file.lists.items() if items and key.startswith("openid.")]
        if not lines and not file.groups:
            return Sourced(None)
        section = self._source("openid", min(lines, default=1))
        for key in ("issuer", "client_id", "client_secret_file"):
            if f"openid.{key}" not in file.values:
                raise section.refuse(f"{key} is missing", f"add openid.{key}, or remove the section")
        if file.groups and "openid.groups_claim" not in file.values:
            raise section.refuse("groups_claim is missing", "add the provider's claim that lists a person's groups")
        if not file.groups and not file.lists.get("openid.approvers"):
            hint = "add openid.approvers, or openid.groups with openid.groups_claim"
            raise section.refuse("it lists no approvers and no groups, so that nobody could sign in", hint)
        secret = self.file_path("openid.client_secret_file")
        return section.swap(
            OpenIdSettings(
                issuer=self.setting("openid.issuer", _issuer, default="").value,
                client_id=self.setting("openid.client_id", str, default="").value,
                client_secret_file=secret.swap(secret.value or Path()),
                name_claim=self.setting("openid.name_claim", str, default="email").value,
                approvers=self.several("openid.approvers", str).value,
                groups_claim=self.setting("openid.groups_claim", str, default=None).value,
                groups={name: tuple(item.text for item in items) for name, items in file.groups.items()},
                scopes=self.several("openid.scopes", str).value or ("email", "profile"),
            )
        )

    def _source(self, key: str, line: int) -> Sourced[None]:
        return trusted_file.source_of(self.file.path, line, key)


def resolve_server(flags: ServerFlags, environ: Mapping[str, str]) -> ServerSettings:
    """The server's settings.

    Raises:
        UsageError: an option or the variable has an invalid value.
        ConfigError: server.yaml is invalid, or others can write it.
    """
    file, readable = _read(flags, environ)
    given = _Server(flags, file)
    openid = given.openid()
    # Nobody is known to be alone where others can sign in.
    own_requests = None if openid.value is None else False
    return ServerSettings(
        host=given.setting("host", str, default="127.0.0.1"),
        port=given.setting("port", _port, default=8788),
        public_url=given.setting("public_url", urls.public_url, default=None),
        tls_cert=given.file_path("tls_cert"),
        tls_key=given.file_path("tls_key"),
        trusted_proxies=given.several("trusted_proxies", _network),
        metrics_from=given.several("metrics_from", _network),
        plain_http=given.setting("plain_http", values.boolean, default=False),
        database=_database(given, readable=readable),
        policy=given.file_path("policy"),
        self_approval=given.setting("self_approval", values.boolean, default=own_requests),
        anonymous_requests=given.setting("anonymous_requests", values.boolean, default=False),
        log_format=given.setting("log_format", _log_format, default="text"),
        session_lifetime=given.setting("session.lifetime", values.span(60, 30 * 86_400), default=None),
        session_idle=given.setting("session.idle", values.span(60, 30 * 86_400), default=None),
        openid=openid,
        path=None if file is None else file.path,
    )


def _read(flags: ServerFlags, environ: Mapping[str, str]) -> tuple[ServerFile | None, bool]:
    """server.yaml, and whether everybody can read it; None if none is named and there is none beside config.yaml."""
    named = Sourced(flags.config, "--config") if flags.config is not None else _named(environ)
    path = _beside_config(environ) if named is None else values.read(named, values.path).value
    if os.path.isdir(path):  # noqa: PTH112 - as in given.read_config
        path /= FILE_NAME
    found = trusted_file.read_kept(path, wanted=named is not None)
    if found is None:
        return None, False
    from . import config_yaml  # noqa: PLC0415 - as in given.read_config

    return config_yaml.parse_server(found.data, path), found.readable_by_all


def _named(environ: Mapping[str, str]) -> Sourced[str] | None:
    return Sourced(environ[VARIABLE], VARIABLE) if VARIABLE in environ else None


def _beside_config(environ: Mapping[str, str]) -> Path:
    config = Path(environ.get("WORKSPACE_CONFIG_PATH") or CONFIGS)
    return config.parent / FILE_NAME if config.suffix in {".yaml", ".yml"} else config


def _database(given: _Server, *, readable: bool) -> Sourced[Secret | None]:
    found = given.setting("database", _database_url, default=None)
    if found.value is None:
        return found
    address = found.value.reveal()
    misread = database_url.is_misread(address)
    if misread or database_url.has_password(address):
        what = f"{found.source}: the address {'may have' if misread else 'has'} a password"
        if not found.from_file:
            hint = f"write it in {FILE_NAME}, or name a password file in PGPASSFILE"
            raise UsageError(f"{what}, which every user of this machine could see", hint=hint)
        if readable:
            raise ConfigError(
                f"{what}, and every user of this machine can read the file",
                hint=f"chmod o-r {shlex.quote(str(given.file.path))}",
            )
    if misread:
        hint = "for example postgresql://approve@db.example.org/approve; special characters are written as %XX"
        raise found.refuse("the address has a port that is not a number, or an @ behind its user", hint)
    return found


# --- readers: as those of ``values`` -----------------------------------------------------------------------------------


def _port(text: str) -> int:
    if not re.match(r"[0-9]{1,5}\Z", text) or int(text) > 65_535:
        raise UsageError(f"{text[:40]!r} is not a port", hint="write a number from 0 to 65535; 0 takes a free one")
    return int(text)


def _network(text: str) -> Network:
    hint = "write an address or a network, such as 10.0.0.7 or 10.0.0.0/8"
    try:
        found = ipaddress.ip_network(text)
    except ValueError as exc:
        raise UsageError(f"{text[:60]!r} is not a network: {exc}", hint=hint) from None
    if found.prefixlen == 0:
        raise UsageError(f"{text} is every address there is", hint=hint)
    return found


def _log_format(text: str) -> str:
    if text not in {"text", "json"}:
        raise UsageError(f"{text[:40]!r} is not a log format", hint="write text or json")
    return text


def _database_url(text: str) -> Secret:
    try:
        known = urlsplit(text).scheme in {"postgresql", "postgres"}
    except ValueError:
        known = False
    if not known:
        hint = "write it like postgresql://molecule@db.example.org/approvals, or remove it for SQLite"
        raise UsageError("not the address of a database", hint=hint)
    return Secret(text)


def _issuer(text: str) -> str:
    found = urls.base_url(text)
    if urls.is_plain_http(found):
        raise UsageError(
            "the issuer must be an https:// address", hint="the provider's answers would cross the network unprotected"
        )
    return text
