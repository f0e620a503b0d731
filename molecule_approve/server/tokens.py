"""Makes and hashes tokens, session tokens and sign-in codes, and reads the token of a call."""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .asgi import Headers


def new_token() -> str:
    """256 random bits, as text that needs no quoting in shells, URLs or headers."""
    return secrets.token_urlsafe(32)


def hash_token(token: str) -> str:
    """SHA-256 in hex, for the database. It needs no salt: a token is 256 random bits, not a password."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def bearer(headers: Headers) -> str | None:
    """The bearer token of the call, or None. Like the platform it takes no other spelling of the scheme than ``Bearer``."""
    scheme, _, token = (headers.get("authorization") or "").partition(" ")
    return token.strip() if scheme == "Bearer" and token.strip() else None
