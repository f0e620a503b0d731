"""The server's certificate: checked at the start, and read again when its files change."""

from __future__ import annotations

import shlex
import ssl
import stat
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from molecule_approve.errors import ServerError

if TYPE_CHECKING:
    from pathlib import Path

_RENEW = "renew it, and check the clock of this machine"
_BOTH = "name a certificate chain and its key, both in PEM format"
_ROUNDS = 4
"""Flights of a handshake, and one more."""

Stamp = tuple[tuple[int, int, int], ...]
"""Device, inode and time of change of each file."""


class CertificateError(ServerError):
    """The certificate or its key cannot be used; ``setting`` is the one of the two that is to blame."""

    def __init__(self, setting: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.setting = setting


class Certificate:
    """A certificate chain and its key. ``context`` is for good; new connections get what was read last.

    Raises:
        CertificateError: a file cannot be read, others can read the key, the two do not belong together, or it has expired.
    """

    def __init__(self, chain: Path, key: Path) -> None:
        self._chain = chain
        self._key = key
        self._stamp: Stamp = ()
        self._stamp = self._look()
        self._current = self._read()
        self.context = _plain_context()
        self.context.sni_callback = self._choose
        # Without a certificate of its own a context refuses every client before the callback.
        self.context.load_cert_chain(chain, key, password=partial(_no_password, key))

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self._current

    def refresh(self) -> bool:
        """Read the files again if they have changed; whether they had.

        Raises:
            CertificateError: as at the start; the certificate that was read before stays in use, until they change again.
        """
        stamp = self._look()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        self._current = self._read()
        return True

    def covers(self, host: str) -> bool:
        """Whether clients accept it for this host, as far as its names say."""
        try:
            _shake_hands(self._current, self._chain, host)
        except ssl.SSLCertVerificationError:
            return False
        return True

    def _look(self) -> Stamp:
        """What tells a change of the files; missing ones, while they are being replaced, count as not changed."""
        try:
            found = [path.stat() for path in (self._chain, self._key)]
        except OSError:
            return self._stamp
        return tuple((one.st_dev, one.st_ino, one.st_mtime_ns) for one in found)

    def _read(self) -> ssl.SSLContext:
        _check_key(self._key)
        context = _plain_context()
        try:
            context.load_cert_chain(self._chain, self._key, password=partial(_no_password, self._key))
        except ssl.SSLError as exc:
            message = f"cannot use the certificate {self._chain} with the key {self._key}: {_why(exc)}"
            raise CertificateError("tls_cert", message, _BOTH) from exc
        except OSError as exc:
            message = f"cannot read the certificate {self._chain}: {exc.strerror}"
            raise CertificateError("tls_cert", message, "check the path") from exc
        try:
            _shake_hands(context, self._chain)
        except ssl.SSLCertVerificationError as exc:
            message = f"clients would refuse the certificate {self._chain}: {exc.verify_message}"
            raise CertificateError("tls_cert", message, _RENEW) from exc
        return context


def _plain_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    return context


def _no_password(key: Path) -> str:
    # OpenSSL would ask for it at the terminal.
    hint = "store it without a password, readable for this user only"
    raise CertificateError("tls_key", f"the key {key} is encrypted", hint)


def _why(exc: ssl.SSLError) -> str:
    reasons = {
        "KEY_VALUES_MISMATCH": "the key belongs to another certificate",
        "NO_START_LINE": "a file is not in PEM format",
    }
    return reasons.get(exc.reason or "", exc.reason or "a file is not in PEM format")


def _check_key(key: Path) -> None:
    try:
        found = key.stat()
    except OSError as exc:
        raise CertificateError("tls_key", f"cannot read the key {key}: {exc.strerror}", "check the path") from exc
    # A group may read it: Debian's ssl-cert, and Kubernetes' fsGroup.
    if not stat.S_ISREG(found.st_mode) or found.st_mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise CertificateError(
            "tls_key",
            f"the key {key} is not a file that only its owner and group can read",
            f"chmod 600 {shlex.quote(str(key))}",
        )


def _shake_hands(server: ssl.SSLContext, chain: Path, host: str | None = None) -> None:
    """Shake hands in memory with a client that trusts this very certificate: time, purpose and name are left to be judged.

    Raises:
        ssl.SSLCertVerificationError: the client refuses it.
    """
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = host is not None
    client.load_verify_locations(chain)
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    asked, answered = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(answered, asked, server_hostname=host)
    answering = server.wrap_bio(asked, answered, server_side=True)
    for _ in range(_ROUNDS):
        for side in (asking, answering):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
