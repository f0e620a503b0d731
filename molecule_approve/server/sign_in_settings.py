"""How approvers sign in, as ``server.yaml`` says it: values only, so that settings and server can share them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

SESSION_LIFETIME = 12 * 3_600.0
SESSION_IDLE = 3_600.0


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """How long a session of the page lasts, in seconds: at most ``lifetime``, and ``idle`` without a call."""

    lifetime: float = SESSION_LIFETIME
    idle: float = SESSION_IDLE


@dataclass(frozen=True, slots=True)
class OpenIdSettings:
    """The OpenID Connect provider by which approvers sign in, and who of its users is an approver.

    A person is an approver if the name claim is in ``approvers``, or if one of its groups is listed in ``groups``.

    Attributes:
        issuer: the provider's address, exactly as its discovery document and its ID tokens spell it.
        client_id: this server's name at the provider.
        client_secret_file: holds the client's secret alone; only the server's user may read it.
        name_claim: the claim that becomes the approver's name; where it is ``email``, the provider must have verified it.
        approvers: the names that are approvers whatever their groups.
        groups_claim: the claim that lists a person's groups; None if groups do not matter.
        groups: for each group of ours, the provider's groups that belong to it.
        scopes: what is asked of the provider beside ``openid``.
    """

    issuer: str
    client_id: str
    client_secret_file: Path
    name_claim: str = "email"
    approvers: frozenset[str] = frozenset()
    groups_claim: str | None = None
    groups: Mapping[str, frozenset[str]] = field(default_factory=dict)
    scopes: tuple[str, ...] = ("email", "profile")
