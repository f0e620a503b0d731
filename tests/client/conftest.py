"""Fixtures of the client's tests: throw-away certificates, and a fake of the platform on a real socket."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.fake_platform import FakePlatform

_WHO = "/CN=localhost"
_NAMES = "subjectAltName=DNS:localhost,IP:127.0.0.1"


@dataclass(frozen=True)
class Certificate:
    """A certificate for this machine that signs itself, and the server side that shows it."""

    file: Path
    server: ssl.SSLContext


def new_certificate(folder: Path, days: int) -> Certificate:
    """A certificate for localhost that is valid for so many days."""
    key, file = folder / "key.pem", folder / "cert.pem"
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    of = ["-days", str(days), "-subj", _WHO, "-addext", _NAMES]
    subprocess.run([*new, *of, "-keyout", key, "-out", file], check=True, capture_output=True)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file, key)
    return Certificate(file, server)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A certificate for localhost, good for a day."""
    return new_certificate(tmp_path_factory.mktemp("tls"), 1)


@pytest.fixture
def trusted(certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> Certificate:
    """The same certificate, named in SSL_CERT_FILE."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.file))
    return certificate


@pytest.fixture
def platform() -> Iterator[FakePlatform]:
    """A faithful fake of the platform that runs."""
    running = FakePlatform().start()
    yield running
    running.stop()
