"""A sign-in from its address to the person, at a provider that lies as it is told."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from molecule_approve.server.openid import exchanges
from molecule_approve.server.openid.exchanges import LARGEST, Exchange
from molecule_approve.server.openid.faults import AnswerError, OpenIdError, ProviderError, UnknownKeyError
from molecule_approve.server.openid.provider import FAILURE_PAUSE, KEPT, KEYS_PAUSE, OpenIdProvider
from molecule_approve.server.openid.steps import Outset, Return, challenge_of
from molecule_approve.server.plan import OpenIdPlan
from molecule_approve.server.tokens import hash_token
from tests.client.conftest import new_certificate
from tests.server.openid.provider import CLIENT, EC, Provider, other_rsa, public, serving, signed

if TYPE_CHECKING:
    from molecule_approve.server.openid.people import Person

BACK = "http://127.0.0.1:8788/desk/openid/return"
VERIFIER = "a-verifier-of-the-page-that-is-long-enough-0"


@dataclass
class Clock:
    """A clock that a test puts forward; the wall clock goes with it."""

    passed: float = 0.0
    began: float = field(default_factory=time.time)

    def monotonic(self) -> float:
        return self.passed

    def now(self) -> float:
        return self.began + self.passed


class Visit:
    """One server's way to the provider, and one sign-in after the other."""

    def __init__(self, provider: Provider, **settings: Any) -> None:  # noqa: ANN401 - the fields of the settings
        self.clock = Clock()
        self.provider = provider
        given = OpenIdPlan(provider.issuer, CLIENT[0], Path("/none"), **settings)
        self.ours = OpenIdProvider(given, CLIENT[1], self.clock.monotonic, self.clock.now)

    async def sign_in(self, **changed: Any) -> Person:  # noqa: ANN401 - the fields of the answer
        address = await self.ours.address(Outset(BACK, "the-state", "the-nonce", challenge_of(VERIFIER)))
        back = self.provider.authorize(address)
        answer = Return(back["code"], VERIFIER, BACK, hash_token("the-nonce"), None)
        return await self.ours.person(replace(answer, **changed))


def refused(provider: Provider, kind: type[OpenIdError], match: str, **changed: Any) -> None:  # noqa: ANN401 - as above
    with pytest.raises(kind, match=match):
        asyncio.run(Visit(provider).sign_in(**changed))


def test_the_address_asks_for_a_code_with_pkce(provider: Provider) -> None:
    """State, nonce and the challenge are in it; neither the verifier nor the secret is."""
    provider.metadata = {"authorization_endpoint": f"{provider.issuer}/authorize?tenant=1"}
    outset = Outset(BACK, "the-state", "the-nonce", challenge_of(VERIFIER))
    address = asyncio.run(Visit(provider, scopes=("email", "openid")).ours.address(outset))
    assert parse_qs(urlsplit(address).query) == {
        "tenant": ["1"],
        "response_type": ["code"],
        "client_id": ["approvals"],
        "redirect_uri": [BACK],
        "scope": ["openid email"],
        "state": ["the-state"],
        "nonce": ["the-nonce"],
        "code_challenge": [challenge_of(VERIFIER)],
        "code_challenge_method": ["S256"],
    }
    assert VERIFIER not in address


def test_the_challenge_is_that_of_the_specification() -> None:
    """The example of RFC 7636, appendix B."""
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    assert challenge_of(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


@pytest.mark.parametrize("methods", [["client_secret_basic"], ["client_secret_post"]])
def test_a_code_becomes_a_person(provider: Provider, methods: list[str]) -> None:
    """The client's secret is sent as the provider takes it; what it says of itself is read once."""
    provider.metadata = {"token_endpoint_auth_methods_supported": methods}
    visit = Visit(provider)

    async def twice() -> list[Person]:
        return [await visit.sign_in(), await visit.sign_in()]

    assert [person.name for person in asyncio.run(twice())] == ["alice@example.org"] * 2
    assert sorted(set(provider.calls)) == ["/.well-known/openid-configuration", "/keys", "/token"]
    assert (provider.calls.count("/keys"), provider.calls.count("/.well-known/openid-configuration")) == (1, 1)
    assert (provider.authorization != "") == (methods == ["client_secret_basic"])


def test_the_issuer_of_an_answer_is_checked(provider: Provider) -> None:
    """Where it is said it must be ours, and where the provider says that it says so it must be said (RFC 9207)."""
    assert asyncio.run(Visit(provider).sign_in(issuer=provider.issuer)).subject == "s-1"
    refused(provider, AnswerError, "iss", issuer="https://evil.example.org")
    provider.metadata = {"authorization_response_iss_parameter_supported": True}
    refused(provider, AnswerError, "iss")
    assert asyncio.run(Visit(provider).sign_in(issuer=provider.issuer)).subject == "s-1"


@pytest.mark.parametrize(
    "changed",
    [{"code": "another"}, {"verifier": "the-verifier-of-another-page"}, {"redirect_uri": "https://evil.example.org/"}],
)
def test_a_code_that_is_not_ours_is_refused(provider: Provider, changed: dict[str, str]) -> None:
    """Unknown, begun by another browser, or meant for another address."""
    refused(provider, AnswerError, "does not accept this code", **changed)


@pytest.mark.parametrize(
    ("claims", "word"),
    [
        ({"iss": "https://evil.example.org"}, "iss"),
        ({"aud": "another-client"}, "aud"),
        ({"nonce": "of-another-sign-in"}, "nonce"),
        ({"exp": int(time.time()) - 120}, "exp"),
        ({"iat": int(time.time()) + 600}, "iat"),
        ({"email_verified": False}, "not verified"),
    ],
)
def test_a_wrong_id_token_is_refused(provider: Provider, claims: dict[str, Any], word: str) -> None:
    """Whoever signed it."""
    provider.claims = claims
    refused(provider, AnswerError, word)


def test_a_forged_id_token_is_refused(provider: Provider) -> None:
    """Signed with another key of the same name."""
    provider.sign = lambda claims: signed(claims, other_rsa())
    refused(provider, AnswerError, "signature")


def test_new_keys_are_read_at_most_once_a_minute(provider: Provider) -> None:
    """Unknown keys make nobody read them in a row, and a provider that changes its keys goes on."""
    visit = Visit(provider)

    async def all_of_it() -> None:
        await visit.sign_in()
        provider.sign = lambda claims: signed(claims, EC, alg="ES256")
        visit.clock.passed = KEYS_PAUSE - 1
        for _ in range(3):
            with pytest.raises(UnknownKeyError):
                await visit.sign_in()
        assert provider.calls.count("/keys") == 1
        provider.keys = [public(EC)]
        visit.clock.passed = KEYS_PAUSE
        await visit.sign_in()
        assert provider.calls.count("/keys") == 2
        visit.clock.passed = KEYS_PAUSE + KEPT
        provider.claims = {"exp": int(visit.clock.now()) + 60, "iat": int(visit.clock.now())}
        await visit.sign_in()
        assert provider.calls.count("/keys") == 3
        assert provider.calls.count("/.well-known/openid-configuration") == 2

    asyncio.run(all_of_it())


def test_what_the_id_token_lacks_is_asked_for(provider: Provider) -> None:
    """With the access token, at the userinfo address; only there, only then, and only about the same person."""
    provider.claims = {"email": None, "email_verified": None}
    provider.userinfo = {"email": "carol@example.org", "email_verified": True}
    assert asyncio.run(Visit(provider).sign_in()).name == "carol@example.org"
    assert provider.authorization == "Bearer access"
    provider.userinfo["email_verified"] = False
    refused(provider, AnswerError, "not verified")
    del provider.userinfo["email_verified"]
    provider.claims["email_verified"] = True
    refused(provider, AnswerError, "not verified")
    provider.userinfo["sub"] = "s-2"
    refused(provider, AnswerError, "another person")
    provider.answers["/me"] = (404, {}, b"{}")
    refused(provider, ProviderError, "404")
    provider.metadata = {"userinfo_endpoint": None}
    refused(provider, AnswerError, "no email claim")


def test_what_is_signed_counts(provider: Provider) -> None:
    """The userinfo address only adds: here the groups, and nothing about the name."""
    provider.userinfo = {"email": "carol@example.org", "email_verified": True, "groups": ["ops"]}
    found = asyncio.run(Visit(provider, groups_claim="groups", groups={"operators": ("ops",)}).sign_in())
    assert (found.name, found.groups) == ("alice@example.org", frozenset({"operators"}))


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ((400, {}, b'{"error": "invalid_client"}'), ProviderError),
        ((401, {}, b'{"error": "invalid_client"}'), ProviderError),
        ((500, {}, b'{"error": "invalid_grant"}'), ProviderError),
        ((200, {}, b"[]"), ProviderError),
        ((200, {}, b"<h1>Welcome</h1>"), ProviderError),
        ((200, {}, b'{"id_token": "a", "id_token": "b"}'), ProviderError),
        ((200, {}, b"{}"), AnswerError),
        ((200, {}, b'{"id_token": 7}'), AnswerError),
        ((200, {}, b'{"id_token": "a\\nb"}'), AnswerError),
        ((302, {"Location": "/elsewhere"}, b""), ProviderError),
        ((307, {"Location": "http://192.0.2.1/token"}, b""), ProviderError),
    ],
)
def test_another_answer_of_the_token_address_proves_nobody(
    provider: Provider, answer: tuple[int, dict[str, str], bytes], kind: type[OpenIdError]
) -> None:
    """A refusal, a page, a redirect: nothing is followed, and nobody is signed in."""
    provider.answers["/token"] = answer
    refused(provider, kind, "redirects are not followed" if answer[0] in {302, 307} else ".")
    assert "/elsewhere" not in provider.calls


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/keys"])
@pytest.mark.parametrize(
    "answer",
    [
        (404, {}, b"{}"),
        (200, {}, b"<h1>Welcome</h1>"),
        (200, {}, b"[" * 10_000),
        (200, {"Content-Encoding": "gzip"}, b"\x1f\x8b\x08"),
        (302, {"Location": "/elsewhere"}, b"{}"),
        (200, {}, b'"' + b"x" * LARGEST + b'"'),
        (200, {}, b"{}"),
    ],
)
def test_another_answer_about_the_provider_stops_the_sign_in(
    provider: Provider, path: str, answer: tuple[int, dict[str, str], bytes]
) -> None:
    """Each is a fault of the provider's, which a later sign-in may not meet."""
    provider.answers[path] = answer
    visit = Visit(provider)

    async def fails_then_works() -> None:
        with pytest.raises(ProviderError):
            await visit.sign_in()
        provider.answers.clear()
        visit.clock.passed += FAILURE_PAUSE
        await visit.sign_in()

    asyncio.run(fails_then_works())
    assert "/elsewhere" not in provider.calls


def test_an_endless_answer_is_not_read_to_its_end(provider: Provider) -> None:
    """Also one that would be good otherwise."""
    provider.metadata = {"padding": "x" * LARGEST}
    refused(provider, ProviderError, f"more than {LARGEST} bytes")


def test_a_provider_that_fails_is_not_called_by_everybody(provider: Provider) -> None:
    """Those who begin a sign-in at once, or within a second after the failure, are told of the one that was tried."""
    provider.answers["/.well-known/openid-configuration"] = (500, {}, b"")
    visit = Visit(provider)

    async def many() -> None:
        found = await asyncio.gather(*(visit.sign_in() for _ in range(5)), return_exceptions=True)
        assert {str(one) for one in found} == {"127.0.0.1 answered 500, without the document that is needed"}
        assert len(provider.calls) == 1
        visit.clock.passed += FAILURE_PAUSE
        with pytest.raises(ProviderError):
            await visit.sign_in()
        assert len(provider.calls) == 2

    asyncio.run(many())


def test_a_provider_that_does_not_answer_is_said(provider: Provider) -> None:
    """Nobody listens there, or nobody answers in time; the sentence names the host alone."""
    with pytest.raises(ProviderError, match=r"^127\.0\.0\.1 does not answer \(ConnectError\)$"):
        asyncio.run(exchanges.read("http://127.0.0.1:1/secret-path"))
    with pytest.raises(ProviderError, match=r"^127\.0\.0\.1 does not answer in time$"):
        asyncio.run(exchanges.call(Exchange(f"{provider.issuer}/keys"), patience=0))


def test_a_provider_over_tls_needs_a_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that nobody vouches for is refused, and nothing turns that off; one's own authority is named in SSL_CERT_FILE."""
    certificate = new_certificate(tmp_path, 1)
    with serving(certificate.server) as provider:
        refused(provider, ProviderError, r"^localhost does not answer \(ConnectError\)$")
        assert provider.calls == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate.file))
        assert asyncio.run(Visit(provider).sign_in()).subject == "s-1"
