"""An OpenID provider that lies as a test tells it: a real server on loopback, which signs whatever it is given."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from joserfc.jwk import ECKey, OctKey, RSAKey
from joserfc.jws import JWSRegistry

if TYPE_CHECKING:
    import ssl

EC = ECKey.generate_key("P-256", {"kid": "curve"}, auto_kid=False)

CLIENT = ("approvals", "a secret & more")


@cache
def rsa() -> RSAKey:
    """The provider's own key. It takes long to make, so the processes that only collect tests make none."""
    return RSAKey.generate_key(2048, {"kid": "one", "use": "sig"}, auto_kid=False)


@cache
def other_rsa() -> RSAKey:
    """Somebody else's, of the same name."""
    return RSAKey.generate_key(2048, {"kid": "one", "use": "sig"}, auto_kid=False)


def public_as_secret() -> OctKey:
    """The provider's public key as a secret: what a check believes that takes the token's own algorithm."""
    return OctKey.import_key(rsa().as_pem(private=False).replace(b"-----", b""))


def public(key: RSAKey | ECKey) -> Any:  # noqa: ANN401 - JSON
    """The key as a JWK set shows it."""
    return key.as_dict(private=False)


def signed(claims: dict[str, Any], key: RSAKey | ECKey | OctKey | None = None, **header: Any) -> str:  # noqa: ANN401 - any value
    """The claims as a JWT of this key or the provider's own, whatever the header says; None leaves a field of it away."""
    key = key or rsa()
    whole = {"alg": "RS256", "kid": key.kid, **header}
    text = unsigned(claims, {name: value for name, value in whole.items() if value is not None})
    signature = JWSRegistry.algorithms[whole["alg"]].sign(text[:-1].encode(), key)
    return text + _plain(signature)


def unsigned(claims: dict[str, Any], header: dict[str, Any]) -> str:
    """The claims as a JWT without a signature."""
    return f"{_plain(json.dumps(header).encode())}.{_plain(json.dumps(claims).encode())}."


def _plain(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


@dataclass
class Provider:
    """What the provider says.

    Attributes:
        metadata: goes over what its discovery document says.
        keys: what its JWK set shows.
        claims: goes over the claims of its ID tokens; None leaves one away.
        sign: makes the ID token of the claims.
        userinfo: what its userinfo address tells beside the ``sub``.
        answers: goes over whole answers, by path: a status, headers and a body.
        calls: the paths that were called, in their order.
        codes: what was asked for under each code.
    """

    issuer: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    keys: list[Any] = field(default_factory=lambda: [public(rsa())])
    claims: dict[str, Any] = field(default_factory=dict)
    sign: Callable[[dict[str, Any]], str] = signed
    userinfo: dict[str, Any] = field(default_factory=dict)
    answers: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    authorization: str = ""

    def described(self) -> dict[str, Any]:
        """The discovery document."""
        at = self.issuer
        own = {"issuer": at, "authorization_endpoint": f"{at}/authorize", "token_endpoint": f"{at}/token"}
        return {**own, "jwks_uri": f"{at}/keys", "userinfo_endpoint": f"{at}/me", **self.metadata}

    def authorize(self, address: str, code: str = "the-code") -> dict[str, str]:
        """What the person at the browser does: says yes. The answer as it is in the address of return."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        self.codes[code] = query
        return {"code": code, "state": query["state"]}

    def id_token(self, asked: dict[str, str]) -> str:
        """The ID token for a code."""
        now = int(time.time())
        own = {"iss": self.issuer, "sub": "s-1", "aud": asked["client_id"], "exp": now + 300, "iat": now}
        who = {"nonce": asked["nonce"], "email": "alice@example.org", "email_verified": True}
        found = {**own, **who, **self.claims}
        return str(self.sign({name: value for name, value in found.items() if value is not None}))

    def exchange(self, form: dict[str, str], credentials: str) -> tuple[int, dict[str, Any]]:
        """The token address: each code once, for who proves to be the client and to have begun the sign-in."""
        shown = base64.b64decode(credentials.removeprefix("Basic ")).decode() if credentials else ""
        in_body = f"{form.get('client_id')}:{form.get('client_secret')}"
        if shown != "approvals:a+secret+%26+more" and in_body != ":".join(CLIENT):
            return 401, {"error": "invalid_client"}
        asked = self.codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        proof = _plain(digest)
        if asked is None or asked["redirect_uri"] != form.get("redirect_uri") or asked["code_challenge"] != proof:
            return 400, {"error": "invalid_grant"}
        return 200, {"id_token": self.id_token(asked), "access_token": "access", "token_type": "Bearer"}


class _Handler(BaseHTTPRequestHandler):
    provider: Provider

    def do_GET(self) -> None:
        self._answer({})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self._answer({name: values[0] for name, values in parse_qs(body).items()})

    def _answer(self, form: dict[str, str]) -> None:
        provider, path = self.provider, urlsplit(self.path).path
        provider.calls.append(path)
        provider.authorization = self.headers.get("Authorization", "")
        if path in provider.answers:
            self._send(*provider.answers[path])
        elif path == "/.well-known/openid-configuration":
            self._json(200, provider.described())
        elif path == "/keys":
            self._json(200, {"keys": provider.keys})
        elif path == "/token":
            self._json(*provider.exchange(form, provider.authorization))
        elif path == "/me":
            self._json(200, {"sub": provider.claims.get("sub", "s-1"), **provider.userinfo})
        else:
            self._json(404, {})

    def _json(self, status: int, body: dict[str, Any]) -> None:
        self._send(status, {"Content-Type": "application/json"}, json.dumps(body).encode())

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        """Say nothing."""


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[Provider]:
    """A provider on a free port of loopback; with ``tls`` over https, at localhost."""
    provider = Provider()
    handler = type("Handler", (_Handler,), {"provider": provider})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        provider.issuer = f"http://127.0.0.1:{server.server_port}"
        if tls is not None:
            provider.issuer = f"https://localhost:{server.server_port}"
            # Each connection shakes hands in its own thread.
            server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield provider
        finally:
            server.shutdown()
            thread.join()
