"""What a provider says of itself (OpenID Connect Discovery 1.0), and which addresses are good enough for a secret."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .faults import ProviderError

if TYPE_CHECKING:
    from molecule_approve.model import JsonValue

WELL_KNOWN = "/.well-known/openid-configuration"


@dataclass(frozen=True, slots=True)
class Metadata:
    """The provider's addresses and abilities.

    Attributes:
        authorization: where the browser is sent.
        token: where the code is exchanged.
        keys: its public keys, as a JWK set.
        userinfo: tells claims that the ID token lacks; None if it has no such address.
        secret_in_body: the client's secret is sent in the body, because the provider does not take it in a header.
        names_itself: each answer by way of the browser carries the issuer (RFC 9207).
    """

    authorization: str
    token: str
    keys: str
    userinfo: str | None
    secret_in_body: bool
    names_itself: bool


def discovery_address(issuer: str) -> str:
    """Where the provider describes itself.

    Raises:
        ProviderError: the issuer's address cannot be used.
    """
    check_address(issuer, "issuer", plain=True)
    return issuer.removesuffix("/") + WELL_KNOWN


def is_plain_loopback(address: str) -> bool:
    """Whether this is http:// on this machine itself, where nobody listens in between."""
    parts = urlsplit(address)
    host = parts.hostname or ""
    if parts.scheme != "http":
        return False
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def check_address(address: object, what: str, *, plain: bool) -> str:
    """The address, which must be https://; with ``plain`` http:// on loopback will do.

    Raises:
        ProviderError: it is another one, or not a valid one, or carries a password or a fragment.
    """
    try:
        parts = urlsplit(address) if isinstance(address, str) else None
        usable = parts is not None and parts.hostname and parts.username is None and not parts.fragment and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not isinstance(address, str) or not address.isascii() or not address.isprintable() or " " in address:
        raise ProviderError(f"the provider's {what} is not a valid address")
    if not address.startswith("https://") and not (plain and is_plain_loopback(address)):
        raise ProviderError(f"the provider's {what} is not an https:// address")
    return address


def read_metadata(body: JsonValue, issuer: str) -> Metadata:
    """Read a discovery document, which must be this issuer's.

    Raises:
        ProviderError: it is another issuer's, or lacks what a sign-in needs.
    """
    if not isinstance(body, dict) or body.get("issuer") != issuer:
        raise ProviderError("the provider's discovery document names another issuer than server.yaml")
    plain = is_plain_loopback(issuer)
    methods = body.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    userinfo = body.get("userinfo_endpoint")
    return Metadata(
        authorization=check_address(body.get("authorization_endpoint"), "authorization_endpoint", plain=plain),
        token=check_address(body.get("token_endpoint"), "token_endpoint", plain=plain),
        keys=check_address(body.get("jwks_uri"), "jwks_uri", plain=plain),
        userinfo=None if userinfo is None else check_address(userinfo, "userinfo_endpoint", plain=plain),
        secret_in_body=isinstance(methods, list) and "client_secret_basic" not in methods,
        names_itself=body.get("authorization_response_iss_parameter_supported") is True,
    )
