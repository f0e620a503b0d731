"""What to serve, where, and how it is reached: the one value that ``cli/serve`` makes out of options and server.yaml."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from .limits import Limits

if TYPE_CHECKING:
    from molecule_approve.model import Secret
    from molecule_approve.paths import Places
    from molecule_approve.policy.approval_rules import Policy

Network = IPv4Network | IPv6Network


def _nothing(*_: str) -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True)
class OpenIdPlan:
    """The OpenID provider at which approvers sign in, and who of its users is one, as ``openid:`` of server.yaml says.

    A person is an approver if the name claim is in ``approvers``, or if one of its groups is listed in ``groups``.

    Attributes:
        issuer: the provider's address, exactly as its discovery document and its ID tokens spell it.
        client_id: this server's name at the provider.
        client_secret_file: holds the client's secret alone; only the server's user may read it.
        name_claim: the claim that becomes the approver's name; where it is ``email``, the provider must have verified it.
        approvers: the names that are approvers whatever their groups.
        groups_claim: the claim that lists a person's groups; None if groups do not matter.
        groups: for each group of ours, the values of that claim that belong to it.
        scopes: what is asked of the provider beside ``openid``.
    """

    issuer: str
    client_id: str
    client_secret_file: Path
    name_claim: str = "email"
    approvers: tuple[str, ...] = ()
    groups_claim: str | None = None
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    scopes: tuple[str, ...] = ("email", "profile")


@dataclass(frozen=True, slots=True)
class ServePlan:
    """What to serve, and where.

    Attributes:
        host: the address to listen on.
        port: 0 for a free one.
        anonymous: whether callers without a token may make requests, list them and listen.
        warn: gets one sentence about each problem while it runs.
        public_url: the address under which others reach the server, without a slash at its end; None for this machine only.
        tls_cert, tls_key: the certificate chain and its key (PEM), with which it serves TLS itself.
        plain_http: whether it may listen beyond loopback without TLS.
        trusted_proxies: the networks whose ``X-Forwarded-For`` counts.
        metrics_from: the networks that may read ``/metrics``, beside this machine.
        database: the address of the database; None for SQLite in the state folder.
        self_approval: whether an approver may decide its own requests; None for only as long as there is no second one.
        openid: the provider at which approvers sign in.
        policy: the rules that say who has to approve what; None for any approver.
        read_policy: reads them from their file instead, at the start and whenever it is asked to; None without a file. It
            raises ConfigError.
        policy_file: the file that it reads, if one was named.
        sources: where each setting comes from that is not a default.
    """

    places: Places
    host: str = "127.0.0.1"
    port: int = 0
    anonymous: bool = False
    limits: Limits = field(default_factory=Limits)
    warn: Callable[[str], None] = _nothing
    on_sign_in: Callable[[], None] = _nothing
    public_url: str | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    plain_http: bool = False
    trusted_proxies: tuple[Network, ...] = ()
    metrics_from: tuple[Network, ...] = ()
    database: Secret | None = None
    self_approval: bool | None = None
    openid: OpenIdPlan | None = None
    policy: Policy | None = None
    read_policy: Callable[[], Policy | None] | None = None
    policy_file: Path | None = None
    sources: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
