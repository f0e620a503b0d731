"""What is said of the platform: against the fake platform, the embedded server, a TLS peer, and nobody at all."""

from __future__ import annotations

import email.utils
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from molecule_approve.doctor import platform as platform_module
from molecule_approve.doctor.checks import Finding, Grade
from molecule_approve.doctor.platform import checks
from molecule_approve.settings.resolve import Flags, resolve
from tests.client.conftest import new_certificate
from tests.client.fakes import Peer
from tests.doctor.conftest import Around, found_by, of_platform
from tests.integration import behaviours
from tests.integration.fake_platform import FakePlatform

if TYPE_CHECKING:
    from molecule_approve.server.run import Running
    from tests.integration.raw_http import Channel

Look = Callable[..., dict[str, Finding]]

OK, WARNING, FAILED, SKIPPED = Grade.OK, Grade.WARNING, Grade.FAILED, Grade.SKIPPED


@pytest.fixture
def look(around: Around) -> Look:
    """Looks at the platform that these variables name."""

    def find(flags: Flags | None = None, **environ: str) -> dict[str, Finding]:
        made = around(flags, **environ)
        return found_by(checks(resolve(made.flags, made.environ, made.places, at_terminal=False)))

    return find


def grades(found: dict[str, Finding]) -> dict[str, Grade]:
    """The grades alone, without the subject."""
    return {name.removeprefix("platform."): finding.result for name, finding in found.items()}


def of_server(server: Running, **more: str) -> dict[str, str]:
    """The variables that name an embedded server by its address."""
    requester = server.requester
    return {
        "PLATFORM_URL": server.url,
        "WORKSPACE_ID": requester.workspace_id,
        "MOLECULE_TOKEN": requester.token,
    } | more


# --- all is well -------------------------------------------------------------------------------------------------------


def test_the_platform_works_and_does_not_verify_approvers(look: Look, fake: FakePlatform) -> None:
    """Nothing is requested and nothing is decided; what must not be read is not read."""
    found = look(**of_platform(fake))
    assert grades(found) == {
        "connection": OK, "tls": SKIPPED, "answer": OK, "token": OK, "clock": SKIPPED, "approver": WARNING, "events": OK,
    }  # fmt: skip
    assert f"connects to 127.0.0.1 port {fake.port} directly in " in found["platform.connection"].detail
    assert found["platform.token"].detail == f"the token is accepted for workspace {fake.workspace}"
    assert "proves little" in found["platform.approver"].detail
    assert {entry.request.method for entry in fake.seen} == {"GET"}
    assert fake.count("pending") == 0


def test_the_embedded_server_works_and_verifies_approvers(look: Look, live_server: Running) -> None:
    """By its address; its clock is this machine's."""
    found = look(**of_server(live_server))
    assert grades(found) == {
        "connection": OK, "tls": SKIPPED, "answer": OK, "token": OK, "clock": OK, "approver": OK, "events": OK,
    }  # fmt: skip


def test_the_embedded_server_works_over_its_socket(look: Look, live_server: Running) -> None:
    """The socket is named."""
    found = look(PLATFORM_URL="local")
    assert f"at {live_server.places.socket} in " in found["platform.connection"].detail
    assert set(grades(found).values()) == {OK, SKIPPED}


# --- the way there -----------------------------------------------------------------------------------------------------


@pytest.fixture
def dead() -> Iterator[str]:
    """An address where nobody listens, and nobody else can."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


def test_an_address_where_nobody_listens_fails(look: Look, dead: str) -> None:
    """Every check that needs it says something; the stream alone would not matter."""
    found = look(PLATFORM_URL=dead, WORKSPACE_ID="w", MOLECULE_TOKEN="t")
    assert grades(found) == {
        "connection": FAILED, "answer": FAILED, "token": SKIPPED, "clock": SKIPPED, "approver": SKIPPED, "events": WARNING,
    }  # fmt: skip
    assert "Connection refused" in found["platform.connection"].detail
    assert found["platform.connection"].advice == "check that the platform is running, and PLATFORM_URL"


def test_a_platform_that_never_answers_is_given_up(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call ends for itself."""
    monkeypatch.setattr(platform_module, "NETWORK", 0.8)
    began = time.monotonic()
    with Peer(lambda channel, _: channel.wait_for_end()) as silent:
        found = look(PLATFORM_URL=silent.url, WORKSPACE_ID="w", MOLECULE_TOKEN="t")
    assert time.monotonic() - began < 10
    assert (found["platform.connection"].result, found["platform.answer"].result) == (OK, FAILED)
    assert "did not answer in time" in found["platform.answer"].detail
    assert found["platform.events"].result is WARNING


def test_the_built_in_address_that_cannot_be_reached_is_explained(look: Look) -> None:
    """That nobody chose it, and what else is missing."""
    found = look()
    assert found["platform.connection"].result is FAILED
    assert found["platform.connection"].advice.startswith("PLATFORM_URL is not set; ")
    assert (found["platform.workspace"].result, found["platform.workspace"].detail) == (FAILED, "no workspace is set")


def test_an_unencrypted_connection_is_a_warning(look: Look, fake: FakePlatform) -> None:
    """Where it leaves the machine: here it only seems to."""
    outside = Peer(lambda channel, _: channel.wait_for_end(), socket.create_server(("0.0.0.0", 0)))
    with outside:
        address = f"http://{_own_address()}:{outside.port}"
        found = look(PLATFORM_URL=address, APPROVAL_ALLOW_HTTP="true")
    assert grades(found) == {"connection": OK, "tls": WARNING, "workspace": FAILED}


def _own_address() -> str:
    """An address of this machine that is not a loopback one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has only loopback addresses")
        return str(probe.getsockname()[0])


@contextmanager
def tls_platform(folder: Path, days: int) -> Iterator[tuple[FakePlatform, Path]]:
    """A platform over TLS, and the file of its certificate."""
    certificate = new_certificate(folder, days)
    platform = FakePlatform(tls=certificate.server, host="localhost").start()
    yield platform, certificate.file
    platform.stop()


@pytest.mark.parametrize(("days", "grade"), [(90, OK), (5, WARNING)])
def test_a_certificate_is_told_with_its_end(
    look: Look, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int, grade: Grade
) -> None:
    """One that ends within two weeks is a warning; the event stream works over TLS too."""
    with tls_platform(tmp_path, days) as (platform, file):
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        found = look(**of_platform(platform))
    assert found["platform.tls"].result is grade
    assert "TLSv1.3; the certificate is by localhost, and valid until " in found["platform.tls"].detail
    assert f"({days} days)" in found["platform.tls"].detail
    assert (found["platform.token"].result, found["platform.events"].result) == (OK, OK)


def test_a_certificate_that_is_not_trusted_fails(look: Look, tmp_path: Path) -> None:
    """And the advice names the variable."""
    with tls_platform(tmp_path, 90) as (platform, _):
        found = look(**of_platform(platform))
    assert grades(found)["connection"] is OK
    assert (found["platform.tls"].result, found["platform.answer"].result) == (FAILED, FAILED)
    assert "is not trusted" in found["platform.tls"].detail
    assert "SSL_CERT_FILE" in found["platform.tls"].advice


def test_the_proxy_is_named_without_its_password(look: Look) -> None:
    """One that works, up to the platform behind it, which is none here."""

    def tunnel(channel: Channel, _: int) -> None:
        channel.read_until(b"\r\n\r\n")
        channel.send(b"HTTP/1.1 200 OK\r\n\r\n")

    with Peer(tunnel) as proxy:
        found = look(
            PLATFORM_URL="https://platform.example",
            WORKSPACE_ID="w",
            https_proxy=f"http://user:s3cr3t@127.0.0.1:{proxy.port}",
        )
    assert f"port 443 through the proxy 127.0.0.1:{proxy.port} in " in found["platform.connection"].detail
    assert found["platform.tls"].result is FAILED
    assert "s3cr3t" not in str(found)


# --- what it answers ---------------------------------------------------------------------------------------------------


def test_a_wrong_token_fails(look: Look, fake: FakePlatform) -> None:
    """The platform answers, so the address is right; the event stream says the same."""
    found = look(**of_platform(fake, MOLECULE_TOKEN="wrong"))
    assert (found["platform.answer"].result, found["platform.token"].result) == (OK, FAILED)
    assert "rejects the token (401)" in found["platform.token"].detail
    assert "MOLECULE_TOKEN" in found["platform.token"].advice
    assert found["platform.events"].result is WARNING


def test_a_workspace_that_the_server_does_not_know_fails(look: Look, live_server: Running) -> None:
    """The advice names the variable."""
    found = look(**of_server(live_server, WORKSPACE_ID="another"))
    assert (found["platform.answer"].result, found["platform.token"].result) == (FAILED, SKIPPED)
    assert "WORKSPACE_ID" in found["platform.answer"].advice


def test_no_token_where_one_is_wanted_fails(look: Look, fake: FakePlatform) -> None:
    """The advice names the variable."""
    found = look(PLATFORM_URL=fake.url, WORKSPACE_ID=fake.workspace)
    assert found["platform.token"].result is FAILED
    assert "no token was sent" in found["platform.token"].detail


def test_no_token_where_none_is_wanted_is_a_warning(look: Look, fake: FakePlatform) -> None:
    """Anybody may ask there."""
    fake.on("list", behaviours.answers(b"[]"))
    found = look(PLATFORM_URL=fake.url, WORKSPACE_ID=fake.workspace)
    assert found["platform.token"].result is WARNING


@pytest.mark.parametrize("behaviour", [behaviours.status(500), behaviours.answers(b"<html>"), behaviours.answers(b"{}")])
def test_an_answer_that_is_none_fails(look: Look, fake: FakePlatform, behaviour: object) -> None:
    """A server in trouble, a login page, another service; of the token nothing is known."""
    fake.on("list", behaviour)  # type: ignore[arg-type]  # each is one
    found = look(**of_platform(fake))
    assert (found["platform.answer"].result, found["platform.token"].result) == (FAILED, SKIPPED)


@pytest.mark.parametrize(
    ("seconds", "grade", "words"),
    [
        (0, OK, r"this machine's clock agrees with the platform's"),
        (3_600, WARNING, r"this machine's clock is (3599|3600) s behind the platform's"),
        (-3_600, WARNING, r"this machine's clock is (3599|3600) s ahead of the platform's"),
    ],
)
def test_a_clock_that_differs_is_a_warning(look: Look, fake: FakePlatform, seconds: int, grade: Grade, words: str) -> None:
    """In both directions."""
    date = email.utils.formatdate(int(time.time()) + seconds, usegmt=True)
    fake.on("list", behaviours.answers(b"[]", 200, ("Content-Type", "application/json"), ("Date", date)))
    clock = look(**of_platform(fake))["platform.clock"]
    assert clock.result is grade
    assert re.match(words, clock.detail)


@pytest.mark.parametrize(("date", "grade"), [("yesterday", SKIPPED), ("Mon, 27 Apr 2026 10:00:00", WARNING)])
def test_a_date_without_a_zone_is_utc_and_one_that_is_none_is_not_used(
    look: Look, fake: FakePlatform, date: str, grade: Grade
) -> None:
    """As with Retry-After."""
    fake.on("list", behaviours.answers(b"[]", 200, ("Content-Type", "application/json"), ("Date", date)))
    assert look(**of_platform(fake))["platform.clock"].result is grade


# --- who decides, and events -------------------------------------------------------------------------------------------


def test_a_platform_that_must_verify_approvers_and_does_not_fails(look: Look, around: Around, fake: FakePlatform) -> None:
    """A request would be refused before it is sent."""
    found = look(Flags(require_verified_approver=True), **of_platform(fake))
    assert found["platform.approver"].result is FAILED


def test_a_requester_with_an_approvers_token_is_a_warning(look: Look, live_server: Running) -> None:
    """Whoever asks could approve."""
    found = look(**of_server(live_server, MOLECULE_TOKEN=live_server.add_approver("alice")))
    assert found["platform.approver"].result is WARNING
    assert "the requester's token is an approver's" in found["platform.approver"].detail


def test_an_event_stream_that_refuses_our_origin_is_a_warning(look: Look, fake: FakePlatform) -> None:
    """With the setting that helps, and what happens meanwhile."""
    fake.cors_origin = "https://canvas.example"
    events = look(**of_platform(fake))["platform.events"]
    assert events.result is WARNING
    assert "CORS_ORIGINS" in events.detail
    assert events.advice.startswith("set approve.headers: {Origin: ...}")
    assert events.advice.endswith("; until then a request polls")


def test_an_event_stream_without_a_hint_still_has_advice(look: Look, fake: FakePlatform) -> None:
    """A proxy that knows no WebSocket."""
    fake.on("socket", behaviours.status(502))
    events = look(**of_platform(fake))["platform.events"]
    assert events.advice == "check the proxies in between; until then a request polls"


def test_an_event_stream_that_is_not_wanted_is_not_opened(look: Look, fake: FakePlatform) -> None:
    """The source of that setting is named."""
    events = look(**of_platform(fake, APPROVAL_USE_WEBSOCKET="false"))["platform.events"]
    assert (events.result, fake.count("socket")) == (SKIPPED, 0)
    assert events.detail == "not used: polling only (APPROVAL_USE_WEBSOCKET)"
