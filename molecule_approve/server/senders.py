"""Who sends a call: over which way, and from which address, as far as trusted proxies say it.

Of what proxies add, ``X-Forwarded-For`` alone counts. The public address is a setting, and proxies pass the ``Host`` header
on. ``X-Forwarded-Host``, ``X-Forwarded-Proto`` and ``Forwarded`` say only that a proxy sends the call, whoever that is: many
proxies let a client's own pass.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .asgi import Headers, Scope
    from .plan import Network

Address = IPv4Address | IPv6Address

_FORWARDING = frozenset({"forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"})
"""Headers of which each says that a proxy sends the call, also one that nobody has named to this server."""

_KNOWN = 1_000
"""Callers whose parsed address is kept: parsing it takes as long as all other checks of a call."""

_MANY_HOPS = 32
"""The most entries of ``X-Forwarded-For`` that are looked at."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends a call.

    Attributes:
        address: of the client; None on the Unix socket, and where it has gone meanwhile.
        over_unix: it comes on the Unix socket.
        proxied: a proxy sends it for somebody, who is known only if the proxy is a trusted one.
    """

    address: Address | None
    over_unix: bool = False
    proxied: bool = False

    @property
    def is_local(self) -> bool:
        """Whether a program of this machine calls, and no proxy for somebody else."""
        return self.over_unix or (self.is_loopback and not self.proxied)

    @property
    def is_loopback(self) -> bool:
        """Whether its address is a loopback address of this machine."""
        return self.address is not None and self.address.is_loopback

    @property
    def counted_as(self) -> str:
        """Under which key its calls are counted: one for all of this machine's loopback, one for each address beyond it.

        The Unix socket is open to the user alone. Whoever has one IPv6 address has a whole network of them.
        """
        if self.over_unix:
            return "on the socket"
        if self.address is None or self.address.is_loopback:
            return "over TCP"
        if isinstance(self.address, IPv6Address):
            return f"from {ip_network((self.address, 64), strict=False)}"
        return f"from {self.address}"

    def is_in(self, networks: Iterable[Network]) -> bool:
        """Whether its address is in one of the networks."""
        return self.address is not None and _is_in(self.address, networks)


def over_tcp(scope: Scope) -> bool:
    """Whether the call comes over TCP, not on the Unix socket."""
    # uvicorn gives a port for TCP only.
    server = scope.get("server")
    return server is None or server[1] is not None


def sender_of(scope: Scope, headers: Headers, proxies: tuple[Network, ...]) -> Sender:
    """The sender of a call: the client of the last proxy in a row of trusted ones, or whoever is connected."""
    if not over_tcp(scope):
        return Sender(None, over_unix=True)
    client = scope.get("client")
    address = None if client is None else _peer_address(client[0])
    # Whoever forges one is taken for less than it is, never for more.
    proxied = headers.has_any(_FORWARDING)
    if address is None or not _is_in(address, proxies):
        return Sender(address, proxied=proxied)
    hops = ",".join(headers.all("x-forwarded-for")).split(",")[-_MANY_HOPS:]
    if hops == [""]:
        return Sender(address, proxied=proxied)
    for hop in reversed(hops):
        found = _address(hop.strip())
        if found is None:
            break  # whoever wrote that is no proxy of ours, and what stands before it is its word alone
        address = found
        if not _is_in(address, proxies):
            break
    return Sender(address, proxied=True)


def _address(text: str) -> Address | None:
    """An address, with or without a port; one that is an IPv4 address within IPv6 is that."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


@lru_cache(_KNOWN)
def _peer_address(text: str) -> Address | None:
    return _address(text)


def _is_in(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)
