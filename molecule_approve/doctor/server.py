"""The embedded server of this user: whether it runs, who may decide there, and whether the requester could do it too."""

from __future__ import annotations

import ipaddress
import os
import urllib.parse
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from molecule_approve.client import dial
from molecule_approve.clock import Deadline
from molecule_approve.errors import ApprovalError
from molecule_approve.model import Endpoint
from molecule_approve.paths import who_serves
from molecule_approve.server.reading import names_in
from molecule_approve.settings.urls import is_this_machine

from .checks import NETWORK, Check, Finding, Grade, Setup, failure
from .settings import is_root, owner

if TYPE_CHECKING:
    from molecule_approve.paths import Places, Serving
    from molecule_approve.settings.resolve import Settings

_APART = "run `molecule-approve serve` as another user or on another machine; see docs/security.md"
TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
"""Linux's tables of TCP sockets (proc(5))."""

_LISTENING = "0A"
_LIST = "to read it as the server's user: molecule-approve approvers list"
_START = "start it: molecule-approve serve"


def checks(around: Setup, settings: Settings | None) -> Iterator[tuple[str, Check]]:
    """The checks of this user's embedded server; whether it is needed, the settings say."""
    needed = settings is not None and settings.local
    yield "server.running", partial(_running, around.places, needed=needed)
    yield "server.database", partial(_database, around)
    yield "server.approvers", partial(_approvers, around.places, needed=needed)
    yield "server.approver_token", partial(_approver_token, around)
    yield "server.separation", partial(_separation, around.places, settings)


def _running(places: Places, *, needed: bool) -> Iterator[Finding]:
    serving = who_serves(places)
    if serving is None:
        grade = Grade.FAILED if needed else Grade.SKIPPED
        yield Finding("server.running", grade, "no embedded server of this user is running", _START if needed else "")
    else:
        detail = f"process {serving.pid} serves at {serving.url} and at the socket {serving.socket or places.socket}"
        yield Finding("server.running", Grade.OK, detail)


def _database(around: Setup) -> Iterator[Finding]:
    """Which database server.yaml names. It is not opened: that would make or change its tables."""
    from molecule_approve.settings.server_settings import ServerFlags, resolve_server  # noqa: PLC0415 - seldom there

    try:
        found = resolve_server(ServerFlags(), around.environ).database
    except ApprovalError as exc:
        yield failure("server.database", exc, Grade.WARNING)
        return
    if found.value is None:
        yield Finding("server.database", Grade.OK, f"SQLite: {around.places.database}")
    else:
        detail = f"not checked: a PostgreSQL database ({found.source}), which is not opened here"
        yield Finding("server.database", Grade.SKIPPED, detail, _LIST)


def _approvers(places: Places, *, needed: bool) -> Iterator[Finding]:
    # Without a server that runs, SQLite would have to make files to read the database.
    serving = who_serves(places)
    if serving is None:
        yield Finding("server.approvers", Grade.SKIPPED, "not checked: no embedded server of this user is running")
        return
    if serving.shared:
        yield Finding("server.approvers", Grade.SKIPPED, f"not checked: they are in {serving.shared}", _LIST)
        return
    names = names_in(places.database, "approvers")
    if names:
        yield Finding("server.approvers", Grade.OK, f"may decide: {', '.join(names)}")
    else:
        grade = Grade.FAILED if needed else Grade.WARNING
        yield Finding("server.approvers", grade, "nobody may decide", "molecule-approve approvers add NAME")


# --- would an approval prove that somebody else approved? --------------------------------------------------------------


def _approver_token(around: Setup) -> Iterator[Finding]:
    if around.environ.get("MOLECULE_APPROVER_TOKEN"):
        yield Finding(
            "server.approver_token",
            Grade.WARNING,
            "an approval proves little: MOLECULE_APPROVER_TOKEN is set here, so that whoever asks can approve",
            "unset it where requests are made, and keep it where only the approver can read it",
        )
    else:
        yield Finding("server.approver_token", Grade.OK, "no approver's token is in this environment")


def _separation(places: Places, settings: Settings | None) -> Iterator[Finding]:
    """Whether this user can read or write what decides on the server that the settings name."""
    if settings is None:
        yield Finding("server.separation", Grade.SKIPPED, "not checked: the settings cannot be used")
    elif settings.local or _is_address_of(who_serves(places), settings.platform_url.value):
        access = "read and write" if os.access(places.database, os.R_OK | os.W_OK) else "replace"
        detail = f"an approval proves little: the server runs as this user, who can {access} its database {places.database}"
        yield Finding("server.separation", Grade.WARNING, detail, _APART)
    elif (here := _is_here(settings)) is None:
        yield Finding("server.separation", Grade.SKIPPED, "not checked: the platform cannot be reached")
    elif not here:
        yield Finding("server.separation", Grade.OK, "the platform's address is not one of this machine")
    elif is_root():
        detail = "an approval proves little: the server is on this machine, and this process is root"
        yield Finding("server.separation", Grade.WARNING, detail, _APART)
    else:
        yield _of_listener(listener_uid(dial.address_of(settings.platform_url.value)[1]))


def _is_here(settings: Settings) -> bool | None:
    """Whether the server is on this machine; where its name does not show it, a connection does. None: there is none."""
    url = settings.platform_url.value
    if is_this_machine(url) or settings.proxy.value is not None:
        return is_this_machine(url)
    try:
        with closing(dial.dial(Endpoint(url, ""), Deadline.after(NETWORK), dial.Handle())) as sock:
            there, here = sock.getpeername()[0], sock.getsockname()[0]
    except (ApprovalError, OSError):  # other checks say why
        return None
    return there == here or ipaddress.ip_address(there).is_loopback


def _of_listener(uid: int | None) -> Finding:
    """The finding of a server on this machine, by the user whose process listens at its port."""
    if uid is None:
        unknown = "not checked: the system does not say whose process listens at the platform's address"
        return Finding("server.separation", Grade.SKIPPED, unknown)
    if uid == os.geteuid():
        detail = "the process that listens at the platform's address runs as this user: an approval proves little"
        return Finding("server.separation", Grade.WARNING, f"{detail}, unless it is a tunnel to another machine", _APART)
    return Finding("server.separation", Grade.OK, f"the server on this machine runs as {owner(uid)}, not as this user")


def listener_uid(port: int) -> int | None:
    """The user whose process listens at that TCP port of this machine; None where the system does not say (only Linux)."""
    for table in TABLES:
        with suppress(OSError):
            for line in table.read_text("ascii").splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    return int(fields[7])
    return None


def _is_address_of(serving: Serving | None, url: str) -> bool:
    """Whether the address is that of the server, which listens on both loopback addresses."""
    if serving is None or not is_this_machine(url):
        return False
    return urllib.parse.urlsplit(serving.url).port == (urllib.parse.urlsplit(url).port or 80)
