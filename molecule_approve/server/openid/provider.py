"""The provider of server.yaml: where it sends the browser, and the exchange of a code for the person who signed in.

What it says of itself and its keys are kept for an hour. Which sign-ins are open is kept by the caller, in the database.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import quote_plus, urlencode, urlsplit

from . import exchanges
from .exchanges import Exchange
from .faults import AnswerError, ProviderError, UnknownKeyError
from .id_token import Expected, SigningKeys, check_id_token, read_keys
from .metadata import Metadata, discovery_address, read_metadata
from .people import Person, find_person, wanted_claims

if TYPE_CHECKING:
    from molecule_approve.model import JsonValue
    from molecule_approve.server.plan import OpenIdPlan

    from .steps import Outset, Return

KEPT = 3_600.0
"""Seconds for which the discovery document and the keys are kept."""

FAILURE_PAUSE = 1.0
"""Seconds after which a provider that could not be read is tried again."""

KEYS_PAUSE = 60.0
"""Seconds between two reads of the keys because of an unknown one: anybody may send a token that names one."""


class OpenIdProvider:
    """One provider. ``monotonic`` and ``now`` are clocks, in seconds; ``now`` is the wall clock."""

    def __init__(self, settings: OpenIdPlan, secret: str, monotonic: Callable[[], float], now: Callable[[], float]) -> None:
        self._settings = settings
        self._secret = secret
        self._monotonic = monotonic
        self._now = now
        self._metadata: tuple[Metadata, float] | None = None
        self._failure: tuple[ProviderError, float] | None = None
        self._describing = asyncio.Lock()
        self._keys: tuple[SigningKeys, float] | None = None
        self._reading = asyncio.Lock()

    async def address(self, outset: Outset) -> str:
        """Where to send the browser.

        Raises:
            ProviderError: the provider cannot be used now.
        """
        authorization = (await self._described()).authorization
        query = {
            "response_type": "code",
            "client_id": self._settings.client_id,
            "redirect_uri": outset.redirect_uri,
            "scope": " ".join(dict.fromkeys(("openid", *self._settings.scopes))),
            "state": outset.state,
            "nonce": outset.nonce,
            "code_challenge": outset.challenge,
            "code_challenge_method": "S256",
        }
        return f"{authorization}{'&' if '?' in authorization else '?'}{urlencode(query)}"

    @property
    def host(self) -> str:
        """The provider's name for people."""
        return urlsplit(self._settings.issuer).hostname or ""

    def subject_of(self, person: Person) -> str:
        """The person's id, the same in all of the world."""
        return f"{self._settings.issuer} {person.subject}"

    async def person(self, answer: Return) -> Person:
        """The person who signed in.

        Raises:
            ProviderError: the provider cannot be used now.
            AnswerError: its answer proves nobody.
        """
        metadata = await self._described()
        if answer.issuer != self._settings.issuer and (answer.issuer is not None or metadata.names_itself):
            raise AnswerError("the answer is not the provider's (iss)")
        tokens = await self._exchange(metadata, answer)
        claims = await self._checked(metadata, _text(tokens, "id_token"), answer.nonce_hash)
        if metadata.userinfo is not None and wanted_claims(self._settings) - claims.keys():
            claims = await self._more(metadata.userinfo, _text(tokens, "access_token"), claims)
        return find_person(claims, self._settings)

    async def _described(self) -> Metadata:
        # One at a time, and not at once after a failure: anybody can begin a sign-in, and each would call the provider.
        async with self._describing:
            if self._failure is not None and self._monotonic() - self._failure[1] < FAILURE_PAUSE:
                raise ProviderError(str(self._failure[0]))
            if self._metadata is None or self._monotonic() - self._metadata[1] >= KEPT:
                self._metadata = await self._describe(), self._monotonic()
            return self._metadata[0]

    async def _describe(self) -> Metadata:
        issuer = self._settings.issuer
        try:
            return read_metadata(await exchanges.read(discovery_address(issuer)), issuer)
        except ProviderError as exc:
            self._failure = exc, self._monotonic()
            raise

    async def _exchange(self, metadata: Metadata, answer: Return) -> dict[str, JsonValue]:
        form = {
            "grant_type": "authorization_code",
            "code": answer.code,
            "redirect_uri": answer.redirect_uri,
            "code_verifier": answer.verifier,
        }
        client = self._settings.client_id, self._secret
        if metadata.secret_in_body:
            form |= {"client_id": client[0], "client_secret": client[1]}
        # In a header both are encoded as in a form first (RFC 6749, 2.3.1).
        shown = None if metadata.secret_in_body else (quote_plus(client[0]), quote_plus(client[1]))
        found = await exchanges.call(Exchange(metadata.token, form, credentials=shown))
        if 400 <= found.status < 500 and isinstance(found.body, dict) and found.body.get("error") == "invalid_grant":
            raise AnswerError("the provider does not accept this code; it works once, within a short time")
        if found.status != 200 or not isinstance(found.body, dict):
            raise ProviderError(f"the provider refuses to exchange a code ({found.status}); check client id and secret")
        return found.body

    async def _checked(self, metadata: Metadata, text: str, nonce_hash: str) -> dict[str, JsonValue]:
        expected = Expected(self._settings.issuer, self._settings.client_id, nonce_hash, self._now())
        keys = await self._signing_keys(metadata, KEPT)
        try:
            return check_id_token(text, keys, expected)
        except UnknownKeyError:
            return check_id_token(text, await self._signing_keys(metadata, KEYS_PAUSE), expected)

    async def _signing_keys(self, metadata: Metadata, age: float) -> SigningKeys:
        """The keys, read again if they are so many seconds old."""
        async with self._reading:
            if self._keys is None or self._monotonic() - self._keys[1] >= age:
                self._keys = read_keys(await exchanges.read(metadata.keys)), self._monotonic()
            return self._keys[0]

    @staticmethod
    async def _more(address: str, access_token: str, claims: dict[str, JsonValue]) -> dict[str, JsonValue]:
        """The claims with those that the provider tells apart from the ID token, which must be about the same person."""
        found = await exchanges.call(Exchange(address, headers={"Authorization": f"Bearer {access_token}"}))
        if found.status != 200 or not isinstance(found.body, dict):
            raise ProviderError(f"the provider does not tell more about the person ({found.status})")
        if found.body.get("sub") != claims["sub"]:
            raise AnswerError("the provider tells about another person than the ID token (sub)")
        # What is signed counts. Whether an address is verified is said by whoever tells the address.
        signed = claims if "email" in claims else {name: claims[name] for name in claims.keys() - {"email_verified"}}
        return {**found.body, **signed}


def _text(tokens: dict[str, JsonValue], name: str) -> str:
    found = tokens.get(name)
    if not isinstance(found, str) or not found.isascii() or not found.isprintable():
        raise AnswerError(f"the provider's answer has no {name}")
    return found
