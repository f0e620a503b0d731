"""What a provider says of itself."""

from __future__ import annotations

from typing import Any

import pytest

from molecule_approve.server.openid.faults import ProviderError
from molecule_approve.server.openid.metadata import discovery_address, read_metadata

ISSUER = "https://id.example.org/realm"
GOOD: dict[str, Any] = {
    "issuer": ISSUER,
    "authorization_endpoint": "https://id.example.org/authorize?tenant=1",
    "token_endpoint": "https://tokens.example.org/token",
    "jwks_uri": "https://id.example.org/keys",
}


def test_it_is_found_below_the_issuer() -> None:
    """With or without a slash at its end."""
    wanted = "https://id.example.org/realm/.well-known/openid-configuration"
    assert discovery_address(ISSUER) == discovery_address(f"{ISSUER}/") == wanted
    assert discovery_address("http://localhost:9/") == "http://localhost:9/.well-known/openid-configuration"
    assert discovery_address("http://[::1]:9").startswith("http://[::1]:9/")
    with pytest.raises(ProviderError, match="issuer is not an https:// address"):
        discovery_address("http://id.example.org")


def test_a_whole_document_is_read() -> None:
    """The defaults are those of the specification; other hosts are the provider's choice."""
    found = read_metadata(GOOD, ISSUER)
    assert (found.token, found.userinfo) == ("https://tokens.example.org/token", None)
    assert not found.secret_in_body
    assert not found.names_itself
    more: dict[str, Any] = {
        "userinfo_endpoint": "https://id.example.org/me",
        "token_endpoint_auth_methods_supported": ["client_secret_post"],
        "authorization_response_iss_parameter_supported": True,
    }
    found = read_metadata({**GOOD, **more}, ISSUER)
    assert found.userinfo == "https://id.example.org/me"
    assert found.secret_in_body
    assert found.names_itself
    assert not read_metadata({**GOOD, "token_endpoint_auth_methods_supported": "client_secret_post"}, ISSUER).secret_in_body


@pytest.mark.parametrize("issuer", [f"{ISSUER}/", "https://id.example.org", ISSUER.upper(), None])
def test_the_document_of_another_issuer_is_refused(issuer: str | None) -> None:
    """The name must be the same to the letter."""
    with pytest.raises(ProviderError, match="another issuer"):
        read_metadata({**GOOD, "issuer": issuer}, ISSUER)
    with pytest.raises(ProviderError, match="another issuer"):
        read_metadata(issuer, ISSUER)


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"])
@pytest.mark.parametrize(
    "address",
    [
        "http://id.example.org/x",
        "http://127.0.0.1/x",
        "http://localhost/x",
        "javascript:alert(1)",
        "//id.example.org/x",
        "/x",
        "",
        "https://",
        "https://user@id.example.org/x",
        "https://id.example.org/x#there",
        "https://id.example.org:99999/x",
        "https://[::1/x",
        "https://id.example.org/x y",
        "https://id.example.org/\nx",
        "https://\u0456d.example.org/x",
        7,
    ],
)
def test_an_address_that_is_not_good_enough_is_refused(name: str, address: str | int) -> None:
    """Only https://: a provider elsewhere may not point at this machine, nor the page at a script."""
    with pytest.raises(ProviderError, match=name):
        read_metadata({**GOOD, name: address}, ISSUER)


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "jwks_uri"])
def test_an_address_that_is_missing_is_refused(name: str) -> None:
    """Each of the three is needed."""
    with pytest.raises(ProviderError, match=name):
        read_metadata({key: value for key, value in GOOD.items() if key != name}, ISSUER)


def test_a_provider_of_this_machine_may_do_without_tls() -> None:
    """Then its own addresses may too; those of others may not."""
    local = "http://127.0.0.1:9000"
    own = {"issuer": local, "authorization_endpoint": f"{local}/a", "token_endpoint": f"{local}/t"}
    assert read_metadata({**own, "jwks_uri": "http://localhost:9000/k"}, local).keys == "http://localhost:9000/k"
    with pytest.raises(ProviderError, match="jwks_uri"):
        read_metadata({**own, "jwks_uri": "http://192.0.2.1/k"}, local)
