"""A value that knows its source, and the readers that turn one text into one value."""

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
    """How the decision is received: by the event stream, or by polling only."""

    AUTO = "auto"
    WEBSOCKET = "websocket"
    POLL = "poll"


class Sourced(NamedTuple, Generic[T]):
    """A value and its source: ``--timeout``, ``APPROVAL_TIMEOUT``, a file with line and key, or ``default``.

    Attributes:
        from_file: the source is a file, so an invalid value is a ConfigError, not a UsageError.
    """

    value: T
    source: str = "default"
    from_file: bool = False

    def refuse(self, message: str, hint: str) -> ApprovalError:
        """The error of an invalid value; it names the source."""
        kind = ConfigError if self.from_file else UsageError
        return kind(f"{self.source}: {message}", hint=hint)

    def swap(self, value: Result) -> Sourced[Result]:
        """Another value from the same source."""
        return Sourced(value, self.source, self.from_file)


def read(given: Sourced[str], reader: Callable[[str], T]) -> Sourced[T]:
    """The value of a text; the reader's error gets the source."""
    if not given.value:
        raise given.refuse("the value is empty", "set a value, or remove it")
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
    raise UsageError(f"{text[:40]!r} is not true or false", hint="write true or false")


def span(least: float, most: float) -> Callable[[str], float]:
    """A reader of durations between two bounds, both in seconds and both allowed."""

    def reader(text: str) -> float:
        seconds = parse_duration(text)
        if not least <= seconds <= most:
            raise UsageError(
                f"{text[:40]!r} is out of range", hint=f"write a duration from {least:g} s to {most / 3600:g} h"
            )
        return seconds

    return reader


def workspace(text: str) -> str:
    """A workspace's id."""
    # It becomes a segment of a URL, where "." and ".." mean another one.
    if not re.match(r"[A-Za-z0-9._~-]{1,128}\Z", text) or text in {".", ".."}:
        raise UsageError(
            f"{text[:40]!r} is not a workspace id",
            hint="use 1 to 128 letters, digits, dots, dashes, underscores or tildes",
        )
    return text


def token(text: str) -> Secret:
    """A bearer token: printable ASCII without blanks. The error does not repeat it."""
    if not re.match(r"[!-~]+\Z", text):
        raise UsageError(
            "not a token: the value has a blank, a line break, a control character or a non-ASCII character",
            hint="copy the token again; check its end for a line break",
        )
    return Secret(text)


def path(text: str) -> Path:
    """A printable path; ``~`` and ``~user`` are expanded, for no shell has done that in a file or a variable."""
    if not text.isprintable():
        raise UsageError("the path has a control character or an invisible one", hint="use another path")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise UsageError(f"there is no user for the home folder in {text[:200]!r}", hint="write the folder's path") from None


def path_of(text: str, source: str) -> Path:
    """The path that an option's text means.

    Raises:
        UsageError: it means none; the message names the option.
    """
    return read(Sourced(text, source), path).value


def choice(text: str) -> Transport:
    """A transport by its name."""
    try:
        return Transport(text)
    except ValueError:
        raise UsageError(f"{text[:40]!r} is not a transport", hint="write auto, websocket or poll") from None


def switch(text: str) -> Transport:
    """A transport as ``APPROVAL_USE_WEBSOCKET`` names it."""
    if text.lower() == Transport.AUTO:
        return Transport.AUTO
    try:
        return Transport.WEBSOCKET if boolean(text) else Transport.POLL
    except UsageError:
        raise UsageError(f"{text[:40]!r} is not auto, true or false", hint="write auto, true or false") from None


def audit_is_optional(text: str) -> bool:
    """Whether ``approve.audit`` says ``optional``."""
    if text not in {"optional", "required"}:
        raise UsageError(f"{text[:40]!r} is not required or optional", hint="write required or optional")
    return text == "optional"


_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}
_LEAST = 65_536


def size(text: str) -> int | None:
    """A size in bytes: ``16MiB``, ``500K``, ``1GiB``, with units of 1,024; None for ``never``."""
    if text.lower() == "never":
        return None
    found = re.match(r"([0-9]{1,15}) ?(|[KMG])(?:i?B)?\Z", text, re.IGNORECASE)
    if found is None:
        raise UsageError(f"{text[:40]!r} is not a size", hint="write 16MiB, 500K, a number of bytes, or never")
    read_size = int(found[1]) * _UNITS[found[2].upper()]
    if read_size < _LEAST:
        raise UsageError(f"{text[:40]!r} is too small", hint="the least is 64K")
    return read_size


_RESERVED_HEADERS = frozenset({
    "accept-encoding", "authorization", "connection", "content-encoding", "content-length", "content-type", "cookie",
    "expect", "host", "idempotency-key", "keep-alive", "proxy-authorization", "proxy-connection", "te",
    "trailer", "transfer-encoding", "upgrade", "x-workspace-id",
})  # fmt: skip
"""Headers that carry the credential, the length or the meaning of a request: not configurable."""


def check_header(source: Sourced[None], name: str, value: str) -> None:
    """Return if the header is valid and may be configured.

    Raises:
        ConfigError: it is not, or may not. The error does not repeat the value.
    """
    if not re.match(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}\Z", name):
        raise source.refuse("not the name of a header", "use letters, digits and dashes")
    if name.lower() in _RESERVED_HEADERS or name.lower().startswith("sec-"):
        raise source.refuse("this header cannot be configured", "remove it: the program sends it where it is needed")
    if not re.match(r"[!-~]([ -~]*[!-~])?\Z", value):
        raise source.refuse("the header's value is empty or not printable ASCII", "write printable ASCII")
    if name.lower() == "origin" and not re.match(r"https?://[^/?#@\s]+\Z", value):
        raise source.refuse("not an origin", "write a scheme, a host and, if needed, a port: https://canvas.example.com")
