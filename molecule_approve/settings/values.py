"""A value that knows its source, and the readers that turn one text into one value. Which text counts, says config.py."""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from molecule_approve.errors import ApprovalError, ConfigError, UsageError
from molecule_approve.model import Secret

from .durations import parse_duration

T = TypeVar("T")
Result = TypeVar("Result")


class Transport(StrEnum):
    """How the answer comes: the event stream where there is one, or reads only."""

    AUTO = "auto"
    WEBSOCKET = "websocket"
    POLL = "poll"


class Sourced(NamedTuple, Generic[T]):
    """A value and where it came from: ``--timeout``, ``APPROVAL_TIMEOUT``, a file with line and key, or ``default``.

    Attributes:
        from_file: it came from a file, so that what is wrong with it is a ConfigError and no UsageError.

    """

    value: T
    source: str = "default"
    from_file: bool = False

    def refuse(self, message: str, hint: str = "") -> ApprovalError:
        """The error that says what is wrong with the value, naming its source."""
        kind = ConfigError if self.from_file else UsageError
        return kind(f"{self.source}: {message}", hint=hint)

    def swap(self, value: Result) -> Sourced[Result]:
        """Another value from the same source."""
        return Sourced(value, self.source, self.from_file)


def read(given: Sourced[str], reader: Callable[[str], T]) -> Sourced[T]:
    """The value that a text means; what the reader refuses is refused with its source."""
    if not given.value:
        raise given.refuse("is empty", "give it a value, or remove it")
    try:
        return given.swap(reader(given.value))
    except UsageError as exc:
        raise given.refuse(exc.message, exc.hint) from None


# --- readers: one text -> one value, or a UsageError that does not know its source -------------------------------------


def boolean(text: str) -> bool:
    """True or False, in the usual spellings."""
    word = text.lower()
    if word in {"true", "1", "yes", "on"}:
        return True
    if word in {"false", "0", "no", "off"}:
        return False
    raise UsageError(f"{text[:40]!r} is neither true nor false", hint="write true or false")


def span(least: float, most: float) -> Callable[[str], float]:
    """A reader of durations between two bounds, both in seconds and both allowed."""

    def reader(text: str) -> float:
        seconds = parse_duration(text)
        if not least <= seconds <= most:
            raise UsageError(f"{text[:40]!r} is out of range", hint=f"it must lie between {least:g} s and {most / 3600:g} h")
        return seconds

    return reader


def workspace(text: str) -> str:
    """A workspace's id."""
    # It becomes a segment of an address: "." and ".." would name another one.
    if not re.match(r"[A-Za-z0-9._~-]{1,128}\Z", text) or text in {".", ".."}:
        raise UsageError(
            f"{text[:40]!r} is no workspace id",
            hint="an id has 1 to 128 letters, digits, dots, dashes, underscores or tildes",
        )
    return text


def token(text: str) -> Secret:
    """A bearer token: what a header can carry. The error does not repeat it."""
    if not re.match(r"[!-~]+\Z", text):
        raise UsageError(
            "this is no token: it holds a blank, a line break, a control character or one beyond ASCII",
            hint="a token is one word; look at its end for a line break",
        )
    return Secret(text)


def path(text: str) -> Path:
    """A path that a message can show; ``~`` and ``~user`` stand for a home folder, as where no shell has replaced them."""
    if not text.isprintable():
        raise UsageError("the path holds a control character or an invisible one", hint="name another path")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise UsageError(f"no user has the home folder in {text[:200]!r}", hint="write the folder itself") from None


def choice(text: str) -> Transport:
    """A transport by its name."""
    try:
        return Transport(text)
    except ValueError:
        raise UsageError(f"{text[:40]!r} is no transport", hint="write auto, websocket or poll") from None


def switch(text: str) -> Transport:
    """A transport as ``APPROVAL_USE_WEBSOCKET`` names it."""
    if text.lower() == Transport.AUTO:
        return Transport.AUTO
    try:
        return Transport.WEBSOCKET if boolean(text) else Transport.POLL
    except UsageError:
        raise UsageError(f"{text[:40]!r} is neither auto nor true nor false", hint="write auto, true or false") from None


def audit_is_optional(text: str) -> bool:
    """Whether ``approve.audit`` says ``optional``."""
    if text not in {"optional", "required"}:
        raise UsageError(f"{text[:40]!r} is neither required nor optional", hint="write required or optional")
    return text == "optional"


_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}
_LEAST = 65_536


def size(text: str) -> int | None:
    """A size in bytes: ``16MiB``, ``500K``, ``1GiB``, with units of 1,024; None for ``never``."""
    if text.lower() == "never":
        return None
    found = re.match(r"([0-9]{1,15}) ?(|[KMG])(?:i?B)?\Z", text, re.IGNORECASE)
    if found is None:
        raise UsageError(f"{text[:40]!r} is no size", hint="write 16MiB, 500K, a number of bytes, or never")
    read_size = int(found[1]) * _UNITS[found[2].upper()]
    if read_size < _LEAST:
        raise UsageError(f"{text[:40]!r} is too small", hint="a log has at least 64K before it becomes an archive")
    return read_size


_RESERVED_HEADERS = frozenset({
    "accept-encoding", "authorization", "connection", "content-encoding", "content-length", "content-type", "cookie",
    "expect", "host", "idempotency-key", "keep-alive", "proxy-authorization", "proxy-connection", "te",
    "trailer", "transfer-encoding", "upgrade", "x-workspace-id",
})  # fmt: skip
"""Headers that carry the credential, the length or the meaning of a request: ours to send, nobody's to configure."""


def check_header(source: Sourced[None], name: str, value: str) -> None:
    """Return if the header can be sent and is nobody else's to send.

    Raises:
        ConfigError: it cannot, or it is. The error does not repeat the value.

    """
    if not re.match(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}\Z", name):
        raise source.refuse("this is no header's name", "a name has letters, digits and dashes")
    if name.lower() in _RESERVED_HEADERS or name.lower().startswith("sec-"):
        raise source.refuse("this header cannot be configured", "remove it: the program sends it itself where it is wanted")
    if not re.match(r"[!-~]([ -~]*[!-~])?\Z", value):
        raise source.refuse("the header's value is empty, or holds more than printable ASCII", "write printable ASCII")
    if name.lower() == "origin" and not re.match(r"https?://[^/?#@\s]+\Z", value):
        raise source.refuse("this is no origin", "write a scheme, a host and perhaps a port: https://canvas.example.com")
