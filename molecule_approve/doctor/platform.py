"""The platform: whether it can be reached, by which way, what it answers to the token, its events and its clock."""

from __future__ import annotations

import email.utils
import os
import ssl
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC
from functools import partial
from typing import TYPE_CHECKING, Any

from molecule_approve import wire
from molecule_approve.client import dial
from molecule_approve.client.http import Answer, Http
from molecule_approve.client.peer import LIST_LIMIT, error_for
from molecule_approve.client.rest import RestPlatform
from molecule_approve.clock import Deadline, boottime
from molecule_approve.errors import ApprovalError, CredentialError, PlatformError
from molecule_approve.model import Endpoint
from molecule_approve.settings.urls import is_plain_http
from molecule_approve.settings.values import Transport

from .checks import NETWORK, Check, Finding, Grade, failure
from .settings import proxy_name

if TYPE_CHECKING:
    import socket

    from molecule_approve.settings.resolve import Settings

RENEW = 14
"""Days before a certificate's end from which on it is worth a warning."""

DRIFT = 5.0
"""Seconds by which two clocks may differ without a warning."""

_DAY = 86_400.0


def checks(settings: Settings) -> Iterator[tuple[str, Check]]:
    """The checks of the platform that the settings name."""
    yield "platform.connection", partial(_connection, settings)
    try:
        endpoint = settings.endpoint()
    except ApprovalError as exc:
        found = failure("platform.workspace", exc)
        yield found.check, lambda: [found]
        return
    yield "platform.answer", partial(_answer, settings, endpoint)
    yield "platform.approver", partial(_approver, settings, endpoint)
    yield "platform.events", partial(_events, settings, endpoint)


# --- the way there -----------------------------------------------------------------------------------------------------


def _connection(settings: Settings) -> Iterator[Finding]:
    """Connect as a request would, up to the certificate, and send nothing."""
    endpoint = Endpoint(settings.platform_url.value, "", unix_socket=settings.unix_socket, proxy=settings.proxy.value)
    deadline, grip, began = Deadline.after(NETWORK), dial.Handle(), boottime()
    try:
        sock = dial.dial(endpoint, deadline, grip)
    except ApprovalError as exc:
        yield failure("platform.connection", exc)._replace(advice=settings.hint_on_unreachable(exc.hint))
        return
    with closing(sock):
        yield Finding("platform.connection", Grade.OK, f"{_way(settings)} in {_milliseconds(began)}")
        yield from _tls(settings, sock, deadline, grip)


def _way(settings: Settings) -> str:
    if settings.unix_socket is not None:
        return f"connects to the embedded server at {os.fspath(settings.unix_socket)}"
    host, port = dial.address_of(settings.platform_url.value)
    through = "directly" if settings.proxy.value is None else f"through the proxy {proxy_name(settings.proxy.value)}"
    return f"connects to {host} port {port} {through}"


def _milliseconds(began: float) -> str:
    return f"{(boottime() - began) * 1000:.0f} ms"


def _tls(settings: Settings, sock: socket.socket, deadline: Deadline, grip: dial.Handle) -> Iterator[Finding]:
    url = settings.platform_url.value
    if is_plain_http(url):
        yield Finding(
            "platform.tls", Grade.WARNING, "the connection is not encrypted: who can read it has the token", "use https://"
        )
    elif not url.startswith("https://"):
        yield Finding("platform.tls", Grade.SKIPPED, "not needed: the connection stays on this machine")
    else:
        host, _ = dial.address_of(url)
        try:
            secure = dial.start_tls(sock, dial.tls_context(), host, deadline, grip)
        except ApprovalError as exc:
            yield failure("platform.tls", exc)
            return
        with closing(secure):
            yield _certificate(secure.version() or "TLS", secure.getpeercert() or {}, time.time())


def _certificate(version: str, certificate: Any, now: float) -> Finding:  # noqa: ANN401 - as ssl gives it
    """The finding of a certificate that was accepted."""
    ends = str(certificate["notAfter"])
    left = (ssl.cert_time_to_seconds(ends) - now) / _DAY
    names = {name: value for part in certificate["issuer"] for name, value in part}
    issuer = names.get("organizationName") or names.get("commonName") or "an authority without a name"
    detail = f"{version}; the certificate is by {issuer}, and valid until {ends} ({left:.0f} days)"
    if left < RENEW:
        return Finding("platform.tls", Grade.WARNING, detail, "renew the certificate of the platform")
    return Finding("platform.tls", Grade.OK, detail)


# --- what it answers ---------------------------------------------------------------------------------------------------


def _answer(settings: Settings, endpoint: Endpoint) -> Iterator[Finding]:
    """Read the workspace's list once, which changes nothing: it shows the token, the clock and the time to answer."""
    del settings
    began, before = boottime(), time.time()
    try:
        with closing(Http(endpoint)) as http:
            path = f"/workspaces/{endpoint.workspace_id}/approvals"
            answer = http.exchange("GET", path, Deadline.after(NETWORK), limit=LIST_LIMIT)
    except PlatformError as exc:
        yield failure("platform.answer", exc)
        yield Finding("platform.token", Grade.SKIPPED, "not checked: there was no answer")
        yield Finding("platform.clock", Grade.SKIPPED, "not checked: there was no answer")
        return
    yield from _judged(answer, endpoint, _milliseconds(began))
    yield _clock(answer.headers.get("date"), before, time.time())


def _judged(answer: Answer, endpoint: Endpoint, took: str) -> Iterator[Finding]:
    answered = f"the platform answers {answer.status} in {took}"
    try:
        if answer.status != 200:
            raise error_for(answer)
        wire.read_list(answer.body, endpoint.workspace_id)
    except CredentialError as exc:
        yield Finding("platform.answer", Grade.OK, answered)
        yield failure("platform.token", exc)
    except PlatformError as exc:
        yield failure("platform.answer", exc)
        yield Finding("platform.token", Grade.SKIPPED, "not checked: the answer does not show it")
    else:
        yield Finding("platform.answer", Grade.OK, answered)
        yield _token(endpoint)


def _token(endpoint: Endpoint) -> Finding:
    if endpoint.token is None:
        anybody = f"no token was sent, and the platform wants none: anybody may ask as workspace {endpoint.workspace_id}"
        return Finding("platform.token", Grade.WARNING, anybody, "set MOLECULE_TOKEN, and let the platform demand it")
    return Finding("platform.token", Grade.OK, f"the token is accepted for workspace {endpoint.workspace_id}")


def _clock(date: str | None, before: float, after: float) -> Finding:
    """Compare the answer's Date, which has whole seconds, with the time of the call."""
    try:
        moment = email.utils.parsedate_to_datetime(date or "")
    except ValueError:
        return Finding("platform.clock", Grade.SKIPPED, "not checked: the answer has no valid Date header")
    server = (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
    drift = max(before - (server + 1), server - after, 0.0)
    if drift <= DRIFT:
        return Finding("platform.clock", Grade.OK, "this machine's clock agrees with the platform's")
    which = "behind" if server > after else "ahead of"
    detail = f"this machine's clock is {drift:.0f} s {which} the platform's: times in the audit log cannot be compared"
    return Finding("platform.clock", Grade.WARNING, detail, "synchronize the clocks, with NTP for example")


# --- who decides -------------------------------------------------------------------------------------------------------


def _approver(settings: Settings, endpoint: Endpoint) -> Iterator[Finding]:
    """Whether an approval proves that somebody else approved."""
    deadline = Deadline.after(NETWORK)
    with closing(RestPlatform(endpoint)) as platform:
        try:
            if platform.verifies_approvers(deadline):
                yield _with_own_credential(platform, deadline)
            else:
                yield _unverified(demanded=settings.require_verified_approver.value)
        except PlatformError as exc:
            yield Finding("platform.approver", Grade.SKIPPED, f"not checked: {exc.message}")


def _unverified(*, demanded: bool) -> Finding:
    if demanded:
        refused = "this platform does not verify who approves, and require_verified_approver refuses such a platform"
        return Finding("platform.approver", Grade.FAILED, refused, "use the embedded server, or omit the setting")
    return Finding(
        "platform.approver",
        Grade.WARNING,
        "an approval proves little: this platform lets the requester's own token decide, under any name",
        "keep that token away from whoever is to be gated, or use the embedded server; see docs/security.md",
    )


def _with_own_credential(platform: RestPlatform, deadline: Deadline) -> Finding:
    """On the embedded server only an approver's token may read the inbox; the requester's is refused."""
    try:
        platform.queue(deadline)
    except CredentialError:
        named = "the embedded server takes an approver's name from the approver's own token"
        return Finding("platform.approver", Grade.OK, named)
    return Finding(
        "platform.approver",
        Grade.WARNING,
        "the requester's token is an approver's: whoever asks can approve",
        "set MOLECULE_TOKEN to a requester's token",
    )


def _events(settings: Settings, endpoint: Endpoint) -> Iterator[Finding]:
    """Open the event stream, and close it again. Without it a request works all the same, by polling."""
    if settings.transport.value is Transport.POLL:
        yield Finding("platform.events", Grade.SKIPPED, f"not used: polling only ({settings.transport.source})")
        return
    began = boottime()
    with closing(RestPlatform(endpoint)) as platform:
        try:
            platform.watch(Deadline.after(NETWORK))
        except ApprovalError as exc:
            advice = f"{exc.hint or 'check the proxies in between'}; until then a request polls"
            yield failure("platform.events", exc, Grade.WARNING)._replace(advice=advice)
            return
        yield Finding("platform.events", Grade.OK, f"the event stream opens in {_milliseconds(began)}")
