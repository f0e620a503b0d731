"""Calls to the provider: bounded in time and size, over https or on loopback, and never along a redirect.

The only file of the server with httpx.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import certifi
import httpx

from molecule_approve import strict_json
from molecule_approve.strict_json import StrictJsonError

from .faults import ProviderError
from .metadata import is_plain_loopback

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from molecule_approve.model import JsonValue

PATIENCE = 10.0
"""Seconds for one whole exchange."""

LARGEST = 512 * 1024
"""Bytes of one answer."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One call: a POST if there is a form, else a GET."""

    address: str
    form: Mapping[str, str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    credentials: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class ProviderAnswer:
    """The status, and the body as JSON; None if it is not JSON."""

    status: int
    body: JsonValue


async def call(exchange: Exchange, *, patience: float = PATIENCE) -> ProviderAnswer:
    """Make one call.

    Raises:
        ProviderError: no whole answer came in time, it is too large, or it is a redirect.
    """
    host = urlsplit(exchange.address).hostname
    try:
        async with asyncio.timeout(patience), _answer(exchange, patience) as answer:
            if answer.is_redirect:
                raise ProviderError(f"{host} answered with a redirect ({answer.status_code}); redirects are not followed")
            return ProviderAnswer(answer.status_code, _json(await _body(answer)))
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError) as exc:
        why = "in time" if isinstance(exc, TimeoutError | httpx.TimeoutException) else f"({type(exc).__name__})"
        raise ProviderError(f"{host} does not answer {why}") from exc


async def read(address: str) -> JsonValue:
    """The JSON at an address.

    Raises:
        ProviderError: there is none.
    """
    found = await call(Exchange(address))
    if found.status != 200 or found.body is None:
        raise ProviderError(f"{urlsplit(address).hostname} answered {found.status}, without the document that is needed")
    return found.body


@asynccontextmanager
async def _answer(exchange: Exchange, patience: float) -> AsyncIterator[httpx.Response]:
    # Proxies of the environment serve https alone, and never loopback.
    plain = is_plain_loopback(exchange.address)
    method = "GET" if exchange.form is None else "POST"
    headers = {"Accept": "application/json", "Accept-Encoding": "identity", **exchange.headers}
    # In a thread, because reading all authorities takes 30 ms of the event loop.
    authorities = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if plain else await asyncio.to_thread(_authorities)
    async with (
        httpx.AsyncClient(verify=authorities, trust_env=not plain, timeout=patience, follow_redirects=False) as client,
        client.stream(method, exchange.address, data=exchange.form, headers=headers, auth=exchange.credentials) as answer,
    ):
        yield answer


def _authorities() -> ssl.SSLContext:
    """The system's certificate authorities (also SSL_CERT_FILE) and certifi's, as everywhere in this program."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


async def _body(answer: httpx.Response) -> bytes:
    # Raw, so that a small answer cannot unpack into a large one.
    found = bytearray()
    async for piece in answer.aiter_raw():
        found += piece
        if len(found) > LARGEST:
            raise ProviderError(f"the provider's answer has more than {LARGEST} bytes")
    return bytes(found)


def _json(body: bytes) -> JsonValue:
    try:
        return strict_json.loads(body)
    except StrictJsonError:
        return None
