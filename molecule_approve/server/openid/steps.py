"""The two steps of a sign-in: what the browser takes to the provider, and what it brings back."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

RETURN = "/desk/openid/return"
"""Where the provider sends the browser back to: the page, which then calls the same address with POST."""


def challenge_of(verifier: str) -> str:
    """The PKCE challenge (RFC 7636, S256) of a verifier."""
    digest = hashlib.sha256(verifier.encode("utf-8", "surrogateescape")).digest()
    return base64.urlsafe_b64encode(digest).decode("ascii").rstrip("=")


@dataclass(frozen=True, slots=True)
class Outset:
    """What the browser takes to the provider. ``state`` and ``nonce`` are secrets of this sign-in."""

    redirect_uri: str
    state: str
    nonce: str
    challenge: str


@dataclass(frozen=True, slots=True)
class Return:
    """What the browser brings back, with what was kept of this sign-in. ``issuer`` is None if the answer names none."""

    code: str
    verifier: str
    redirect_uri: str
    nonce_hash: str
    issuer: str | None
