"""Why a sign-in by OpenID Connect fails: the provider cannot be used, or its answer does not hold."""

from __future__ import annotations


class OpenIdError(Exception):
    """A sign-in that failed; the text says why, without a secret, and without text of the provider's."""


class ProviderError(OpenIdError):
    """The provider cannot be reached, or what it says of itself cannot be used. Trying again may help."""


class AnswerError(OpenIdError):
    """The provider's answer does not prove who signs in. This sign-in is over."""


class UnknownKeyError(AnswerError):
    """The ID token is signed with a key that is not among the provider's keys; it may have changed them."""
