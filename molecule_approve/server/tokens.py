"""Tokens, session tokens and sign-in codes as text: made, hashed, found in a call. Whose they are, ``access`` says."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping


def new_token() -> str:
    """256 random bits, as text that needs no quoting anywhere."""
    return secrets.token_urlsafe(32)


def hash_token(token: str) -> str:
    """What the database keeps of a token. A plain hash is enough: the token is 256 random bits, not a password."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def bearer(headers: Mapping[str, str]) -> str | None:
    """The token of the call, or None. The scheme is written with a capital, as the platform wants it."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme == "Bearer" and token.strip() else None
