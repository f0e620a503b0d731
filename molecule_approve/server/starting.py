"""Everything that a server needs before its first call: the lock, the database, the sockets."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from molecule_approve.clock import Steady, boottime
from molecule_approve.errors import ConfigError, ServerError, UsageError
from molecule_approve.paths import make_private

from . import credentials
from .identity import server_identity
from .origins import Addresses
from .passkeys import PasskeySite
from .plan import ServePlan
from .policy_check import policy_at_start
from .state_folder import StateFolder
from .tls import Certificate, CertificateError

if TYPE_CHECKING:
    from molecule_approve.paths import RequesterCredential

    from .database.interface import Store
    from .database.values import ServerIdentity
    from .openid.provider import OpenIdProvider

__all__ = ["Prepared", "ServePlan", "prepared"]

_BACKLOG = 2_048
_PORT_TRIES = 50
_NO_SUCH_ADDRESS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
_LOOPBACKS = {"127.0.0.1": "::1", "::1": "127.0.0.1", "0.0.0.0": "::1"}  # noqa: S104 - compared, not bound to
"""The addresses that ``localhost`` may mean, or that include one, each with the other one; ``::`` includes both."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A server that is ready to start: it has the lock, the database and the sockets.

    Attributes:
        url: the address for people and clients: the public one, if there is one.
        local_url: the address that it listens on.
        replica_id: its id among the servers of its database; None if it has the database for itself.
        certificate: for the TCP sockets; None if they speak plain HTTP.
        provider: through which approvers sign in; None if there is none.
    """

    plan: ServePlan
    store: Store
    requester: RequesterCredential
    sockets: tuple[socket.socket, ...]
    url: str
    local_url: str
    addresses: Addresses
    state_folder: StateFolder
    identity: ServerIdentity
    certificate: Certificate | None = None
    provider: OpenIdProvider | None = None
    replica_id: str | None = None

    @property
    def passkey_site(self) -> PasskeySite:
        """Where passkeys can be used: on the public page; without one on this machine's, under its name."""
        return PasskeySite.of(self.addresses.home or self.local_url)

    def announce(self) -> None:
        """Tell this user's commands who serves, with which database, and by which policy."""
        policy = "" if self.plan.policy_file is None else str(self.plan.policy_file.absolute())
        self.state_folder.announce(self.url, self.store.name if self.store.shared else "", policy)


def address_to_bind(plan: ServePlan) -> str:
    """The address to bind to.

    Raises:
        UsageError, ConfigError: it is not an address; or it is beyond loopback, and the plan lacks what that needs. The
            message names the option, or the line of server.yaml.
    """
    address = "127.0.0.1" if plan.host == "localhost" else plan.host
    try:
        own = ip_address(address).is_loopback
    except ValueError:
        hint = "write an IP address, or localhost; the name that people use goes into --public-url (public_url)"
        raise _refusal(plan, "host", f"{plan.host!r} is not an address of this machine", hint) from None
    if (plan.tls_cert is None) != (plan.tls_key is None):
        given, missing = ("tls_key", "tls_cert") if plan.tls_cert is None else ("tls_cert", "tls_key")
        hint = f"a certificate and its key go together; add {_option(missing)}, or {missing} in server.yaml"
        raise _refusal(plan, given, f"{missing} is missing", hint)
    if not own:
        _check_beyond_loopback(plan)
    _check_public_url(plan)
    return address


def _option(key: str) -> str:
    return f"--{key.replace('_', '-')}"


def _refusal(plan: ServePlan, key: str, message: str, hint: str) -> UsageError | ConfigError:
    """The error about a setting; it names where the setting comes from."""
    source = plan.sources.get(key, _option(key))
    kind = UsageError if source == _option(key) else ConfigError
    return kind(f"{source}: {message}", hint=hint)


@contextmanager
def _refused_as(plan: ServePlan, key: str) -> Iterator[None]:
    """Around what takes a setting apart: its UsageError names where the setting comes from."""
    try:
        yield
    except UsageError as exc:
        raise _refusal(plan, key, exc.message, exc.hint) from exc


def _check_beyond_loopback(plan: ServePlan) -> None:
    if plan.tls_cert is None and not plan.plain_http:
        raise _refusal(
            plan,
            "host",
            f"{plan.host} is not a loopback address, and without TLS tokens would cross the network unprotected",
            "add --tls-cert and --tls-key; or omit --host, and let a proxy with TLS pass calls on; or allow it with "
            "--plain-http",
        )
    if plan.public_url is None:
        raise _refusal(
            plan,
            "host",
            f"{plan.host} is not a loopback address, and --public-url is missing",
            "name the address that people open, such as --public-url https://approve.example.org; calls under another "
            "name are refused",
        )


def _check_public_url(plan: ServePlan) -> None:
    parts = urlsplit(plan.public_url or "")
    if parts.scheme == "http" and not plan.plain_http and not _is_loopback(parts.hostname or ""):
        raise _refusal(
            plan,
            "public_url",
            "an http:// address: tokens would cross the network unprotected",
            "use https://, or allow it with --plain-http",
        )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextmanager
def prepared(plan: ServePlan) -> Iterator[Prepared]:
    """Prepare a server: everything that can fail before its first call.

    Raises:
        UsageError: see :func:`address_to_bind`, and :meth:`Addresses.of`.
        ConfigError: the user's folders are open to others, or cannot be made; the policy cannot be used.
        ServerError: a server runs already, the port is in use, the database or the certificate cannot be used.
    """
    host = address_to_bind(plan)
    with _refused_as(plan, "public_url"):
        addresses = Addresses.of(host, plan.public_url, plan.metrics_from)
    certificate = _certificate(plan)
    provider = _provider(plan)
    with ExitStack() as stack:
        make_private(plan.places.state)
        make_private(plan.places.runtime)
        state_folder = stack.enter_context(StateFolder(plan.places, plan.warn))
        replica_id = None if plan.database is None else state_folder.replica_id()
        opened = credentials.opened(plan.places, plan.limits, Steady(time.time), plan.database, replica_id)
        with _refused_as(plan, "database"):
            store = stack.enter_context(opened)
        requester = credentials.own_workspace(plan.places, store, replica_id)
        plan = replace(plan, policy=policy_at_start(plan, store))
        sockets = listen_tcp(host, plan.port, _LOOPBACKS.get(host))
        for listening in sockets:
            stack.enter_context(listening)
        unix = stack.enter_context(state_folder.listen(plan.places.socket))
        port = sockets[0].getsockname()[1]
        local_url = _url(host, port, secure=certificate is not None)
        url = plan.public_url or local_url
        everything = (*sockets, unix)
        me = server_identity(store)
        yield Prepared(
            plan,
            store,
            requester,
            everything,
            url,
            local_url,
            addresses,
            state_folder,
            me,
            certificate,
            provider,
            replica_id,
        )


def _provider(plan: ServePlan) -> OpenIdProvider | None:
    """The provider of server.yaml, if there is one. It is not contacted yet: a sign-in can wait for it, requests cannot.

    Raises:
        ServerError: the extra ``openid`` is not installed.
        ConfigError: the file with the client's secret is missing, empty, or open to others.
    """
    if plan.openid is None:
        return None
    try:
        # Not at the top: they take 0.3 s to load, which only this needs.
        from .openid.provider import OpenIdProvider  # noqa: PLC0415
        from .openid.secret_file import read_secret  # noqa: PLC0415
    except ImportError as exc:
        hint = "pip install 'molecule-approve[server,openid]', or remove openid from server.yaml"
        raise ServerError("the library for OpenID Connect is not installed", hint=hint) from exc
    try:
        secret = read_secret(plan.openid.client_secret_file)
    except ConfigError as exc:
        key = "openid.client_secret_file"
        raise ConfigError(f"{plan.sources.get(key, key)}: {exc.message}", hint=exc.hint) from exc
    return OpenIdProvider(plan.openid, secret, boottime, time.time)


def _certificate(plan: ServePlan) -> Certificate | None:
    if plan.tls_cert is None or plan.tls_key is None:
        return None
    try:
        certificate = Certificate(plan.tls_cert, plan.tls_key)
    except CertificateError as exc:
        source = plan.sources.get(exc.setting, _option(exc.setting))
        raise ServerError(f"{source}: {exc.message}", hint=exc.hint) from exc
    host = urlsplit(plan.public_url or "").hostname
    # What a proxy in front of it checks, its administrator knows.
    if host is not None and not plan.trusted_proxies and not certificate.covers(host):
        plan.warn(
            f"the certificate {plan.tls_cert} is not for {host}, the host of the public address: clients will refuse it"
        )
    return certificate


def _url(host: str, port: int, *, secure: bool) -> str:
    return f"{'https' if secure else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def listen_tcp(host: str, port: int, other: str | None) -> list[socket.socket]:
    """Sockets that listen on the host and, if the machine has it, on the other loopback address, with the same port.

    A program that had this port on the other address would answer for ``localhost``.

    Raises:
        ServerError: the port cannot be used on one of them.
    """
    for _ in range(_PORT_TRIES):
        first = _listen_at(host, port)
        found = first.getsockname()[1]
        try:
            return [first] if other is None else [first, _listen_at(other, found)]
        except ServerError as exc:
            number = getattr(exc.__cause__, "errno", None)
            if number in _NO_SUCH_ADDRESS:
                return [first]
            first.close()
            # With port 0 the system chose a port that is free on the first address.
            if port != 0 or number != errno.EADDRINUSE:
                raise
    raise ServerError(f"found no port that is free on both {host} and {other}", hint="choose a port with --port")


def _listen_at(host: str, port: int) -> socket.socket:
    try:
        # With the protocol named, asyncio sets TCP_NODELAY; without it each answer waits 40 ms for an ACK.
        listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        with _closed_on_failure(listening):
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((host, port))
            # At once: until one socket listens, several can be bound to one port.
            listening.listen(_BACKLOG)
    except (OSError, OverflowError) as exc:
        why = getattr(exc, "strerror", None) or exc
        hint = "choose another port with --port, or --port 0 for a free one"
        if host in _LOOPBACKS:
            hint = f"another program there would answer for http://localhost:{port}; {hint}"
        raise ServerError(f"cannot listen on {host} port {port}: {why}", hint=hint) from exc
    return listening


@contextmanager
def _closed_on_failure(listening: socket.socket) -> Iterator[None]:
    try:
        yield
    except BaseException:
        listening.close()
        raise
