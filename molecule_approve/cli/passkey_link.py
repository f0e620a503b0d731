"""The link by which an approver enrols a passkey, for ``approvers keys add NAME --passkey``."""

from __future__ import annotations

import os

from molecule_approve.errors import ServerError
from molecule_approve.paths import locate, who_serves
from molecule_approve.safe_text import visible

from . import output
from .serve import administered, server_extra


def running_server(hint: str) -> str:
    """The address of the embedded server of this user that runs here; ``hint`` is for whoever wants another one.

    Raises:
        ServerError: none is running.
    """
    serving = who_serves(locate(os.environ))
    if serving is None:
        raise ServerError("no embedded server of this user is running", hint=f"start one: {output.PROGRAM} serve{hint}")
    return serving.url


def print_passkey_link(name: str, config: str | None) -> None:
    """Print a link for this approver's passkey, alone on stdout; it works once, within ten minutes.

    Raises:
        UsageError: there is no such approver.
        ServerError: no server is running, it lacks the extra, or its address is a number; and as for ``administered``.
    """
    with server_extra():
        from molecule_approve.server import enrolment, passkeys

    url = running_server("")
    site = passkeys.PasskeySite.of(url)
    if site.page is None:
        hint = "give it a name that people open: serve --public-url https://approve.example.org"
        raise ServerError(f"no passkey can be bound to the address {url}, which is a number", hint=hint)
    if not site.works:
        hint = "pip install 'molecule-approve[server,passkeys]', and start the server again"
        raise ServerError("the library for passkeys is not installed", hint=hint)
    with administered(config) as store:
        enrolment.new_key_code(store, name, tell=lambda code: output.answer(str(enrolment.enrolment_link(url, code))))
    output.say(visible(f"with this link {name} enrols a passkey; it is shown once, and works once, within ten minutes"))
