"""``approvers keys``: the keys with which approvers prove their decisions.

An administrator works on the server's database, as with the other ``approvers`` commands. An approver, by token, works on a
running server, where a key that is enrolled already vouches for the new one.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from molecule_approve.clock import Deadline, utc_now
from molecule_approve.errors import ServerError, UsageError
from molecule_approve.safe_text import visible
from molecule_approve.settings.values import path_of

from . import options, output
from .exits import Exit
from .help import CliCommand, CliGroup, commands, option
from .options import READ, SHORTEST_ID, ConnectionOptions, PlatformUrl, named, open_platform
from .passkey_link import print_passkey_link
from .serve import ServerConfig, administered
from .signing import Sign, SigningKey

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from molecule_approve.client.keys import OwnKey
    from molecule_approve.client.rest import RestPlatform
    from molecule_approve.model import JsonValue
    from molecule_approve.server.database.values import KeyRow

app = commands(
    name="keys",
    help="Manage the keys with which approvers prove their decisions.",
    cls=CliGroup,
    epilog="molecule-approve approvers keys add alice --ssh id_ed25519_sk.pub\nmolecule-approve approvers keys list",
)

_LIST = f"list them: {output.PROGRAM} approvers keys list"
_LONGEST_FILE = 65_536

Mine = Annotated[bool, option("--mine", None, "Your own keys on a running server, by the token in MOLECULE_APPROVER_TOKEN.")]


@app.command(
    cls=CliCommand,
    epilog="""
        molecule-approve approvers keys add alice --passkey   # on the server's machine
        molecule-approve approvers keys add alice --ssh id_ed25519_sk.pub   # on the server's machine
        molecule-approve approvers keys add --ssh new.pub --sign ~/.ssh/id_ed25519_sk
    """,
)
def add(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]", help="On the server's machine, as its user: the approver's name. Without it: of your token."
        ),
    ] = None,
    ssh: Annotated[str | None, option("--ssh", "PATH", "The public key: a .pub file of ssh-keygen.")] = None,
    passkey: Annotated[bool, option("--passkey", None, "Print a link with which NAME enrols a passkey.")] = False,
    label: Annotated[str | None, option("--label", "TEXT", "What to call it. [the comment in the file]")] = None,
    sign: Sign = None,
    platform_url: PlatformUrl = None,
    config: ServerConfig = None,
) -> int:
    """Enrol an SSH key of an approver, or print a link with which the approver enrols a passkey.

    On the server's machine, its administrator does it for NAME. Without NAME it is a further SSH key of your own, on a
    running server: one that is enrolled already has to sign for it (--sign).
    """
    if passkey == (ssh is not None):
        raise UsageError("add needs either --ssh or --passkey", hint="pass one of them")
    if ssh is None:
        return _invite(name, config, others=(label, sign, platform_url))
    text = _public_key(ssh)
    if name is None:
        if sign is None or config is not None:
            hint = "pass NAME on the server's machine, or --sign with a key of yours that is enrolled, and no --config"
            raise UsageError("who enrols this key is not clear", hint=hint)
        return _add_own(text, label, SigningKey(sign), platform_url)
    if sign is not None or platform_url is not None:
        hint = "omit NAME to add a key of your own, or omit --sign and --platform-url"
        raise UsageError("a key for NAME is enrolled on the server's machine, without a signature", hint=hint)
    with administered(config) as store:
        from molecule_approve.server import enrolment

        row = enrolment.enrol_ssh(store, name, text, label)
    _say_added(row, name)
    return Exit.OK


def _invite(name: str | None, config: str | None, others: tuple[str | None, ...]) -> int:
    if name is None or any(other is not None for other in others):
        hint = "pass NAME, without --label, --sign and --platform-url; further ones of your own you add on the page"
        raise UsageError("a link for a passkey is made on the server's machine, for NAME", hint=hint)
    print_passkey_link(name, config)
    return Exit.OK


def _public_key(path: str) -> str:
    """The text of a .pub file.

    Raises:
        UsageError: it cannot be read, or is none.
    """
    try:
        with path_of(path, "--ssh").open("rb") as file:
            text = file.read(_LONGEST_FILE).decode("utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "it is not text"
        raise UsageError(f"cannot read the public key {path}: {why}", hint="pass a .pub file of ssh-keygen") from None
    if "PRIVATE KEY" in text:
        raise UsageError(f"{path} is a private key", hint=f"pass the public one: {path}.pub")
    if len(text.splitlines()) != 1 or len(text.split()) < 2:
        raise UsageError(f"{path} is not one public key", hint="pass a .pub file of ssh-keygen")
    return text


def _add_own(text: str, label: str | None, key: SigningKey, platform_url: str | None) -> int:
    from molecule_approve.proofs.key_statement import KeyStatement

    public_key = " ".join(text.split()[:2])
    with _own_platform(platform_url) as platform:
        own = platform.own_keys(Deadline.after(READ))
        if own is None:
            raise _no_keys()
        signed = key.signed(KeyStatement(own.server_id, own.name, "ssh", public_key, utc_now()))
        comment = " ".join(text.split()[2:])
        called = label or comment or _fingerprint("ssh", public_key) or public_key
        added = platform.add_key(public_key, called[:64], signed, Deadline.after(READ))
    _say_added(added, own.name)
    return Exit.OK


@contextmanager
def _own_platform(platform_url: str | None) -> Iterator[RestPlatform]:
    """The running server, for the approver of this token."""
    from .decide import stoppable, token

    settings = ConnectionOptions(platform_url=platform_url).settings()
    with stoppable(), open_platform(settings, token(), any_workspace=True) as platform, named():
        yield platform


def _no_keys() -> ServerError:
    return ServerError(
        "this platform knows no keys of approvers", hint="only molecule-approve serve does; check PLATFORM_URL"
    )


def _say_added(row: KeyRow | OwnKey, name: str) -> None:
    output.answer(row.id)
    output.say(f"{visible(name)} can sign with the key {visible(row.label)} {_fingerprint(row.kind, row.public_key)}")


def _fingerprint(kind: str, public_key: str) -> str:
    """An SSH key's, as ``ssh-keygen -l`` shows it; empty for any other, and for what a server only calls one."""
    from molecule_approve.proofs.faults import ProofError
    from molecule_approve.proofs.ssh import read_ssh_key

    try:
        return read_ssh_key(public_key).fingerprint if kind == "ssh" else ""
    except ProofError:
        return ""


@app.command(
    "list",
    cls=CliCommand,
    epilog="""
        molecule-approve approvers keys list alice
        molecule-approve approvers keys list --export > approvers.keys
        molecule-approve approvers keys list --mine
    """,
)
def list_keys(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Only those of this approver.")] = None,
    json: options.Json = False,
    export: Annotated[
        bool, option("--export", None, "Write the lines of a keys file, for a gate and for `receipt verify`.")
    ] = False,
    mine: Mine = False,
    platform_url: PlatformUrl = None,
    config: ServerConfig = None,
) -> int:
    """List the keys with which approvers can sign."""
    if export and json:
        raise UsageError("--export and --json are two forms of the same list", hint="pass one of them")
    if mine:
        if name is not None or export or config is not None:
            raise UsageError("--mine goes with --json and --platform-url only", hint="omit NAME, --export and --config")
        return _list_own(platform_url, as_json=json)
    _check_administrator(platform_url)
    with administered(config) as store:
        from molecule_approve.server import enrolment

        if export:
            for line in enrolment.exported(store, name, _page(config)):
                output.answer(line)
            return Exit.OK
        rows = [(one.approver, one.key) for one in enrolment.enrolled(store, name)]
    _list(rows, as_json=json)
    return Exit.OK


def _check_administrator(platform_url: str | None) -> None:
    if platform_url is not None:
        hint = "pass --mine for your own keys on a running server, or omit --platform-url"
        raise UsageError("the keys of all approvers are listed and removed on the server's machine", hint=hint)


def _page(config: str | None) -> str | None:
    """The address of the server's page, as far as it is known: the public one, or that of the server that runs."""
    from molecule_approve.paths import locate, who_serves
    from molecule_approve.settings.server_settings import ServerFlags, resolve_server

    serving = who_serves(locate(os.environ))
    public = resolve_server(ServerFlags(config=config), os.environ).public_url.value
    return public or (None if serving is None else serving.url)


def _list_own(platform_url: str | None, *, as_json: bool) -> int:
    with _own_platform(platform_url) as platform:
        own = platform.own_keys(Deadline.after(READ))
    if own is None:
        raise _no_keys()
    _list([(own.name, key) for key in own.keys], as_json=as_json)
    return Exit.OK


def _list(rows: Sequence[tuple[str, KeyRow | OwnKey]], *, as_json: bool) -> None:
    if as_json:
        output.answer_json([_as_json(name, row) for name, row in rows])
        return
    for name, row in rows:
        words = (row.id[:8], visible(name), row.kind, _fingerprint(row.kind, row.public_key), visible(row.label))
        output.answer(f"{'  '.join(filter(None, words))}  since {visible(row.added_at)}")
    if not rows:
        output.say(f"there is no key yet: {output.PROGRAM} approvers keys add NAME --ssh FILE.pub")


def _as_json(name: str, row: KeyRow | OwnKey) -> JsonValue:
    return {
        "id": row.id,
        "approver": name,
        "kind": row.kind,
        "label": row.label,
        "public_key": row.public_key,
        "fingerprint": _fingerprint(row.kind, row.public_key) or None,
        "added_at": row.added_at,
        "added_by": row.added_by,
    }


@app.command(
    cls=CliCommand,
    epilog="molecule-approve approvers keys remove 3f2a1c\nmolecule-approve approvers keys remove 3f2a1c --mine",
)
def remove(
    key: Annotated[str, typer.Argument(metavar="KEY", help="The key's id, or at least six characters of its beginning.")],
    mine: Mine = False,
    platform_url: PlatformUrl = None,
    config: ServerConfig = None,
) -> int:
    """Remove a key: it proves nothing any more, at once. Requests that have ended stay as they are."""
    if mine and config is not None:
        raise UsageError("--mine removes a key on a running server", hint="omit --config, or omit --mine")
    removed = _remove_own(key, platform_url) if mine else _remove(key, platform_url, config)
    output.say(f"the key {removed} is removed")
    return Exit.OK


def _remove_own(key: str, platform_url: str | None) -> str:
    with _own_platform(platform_url) as platform:
        own = platform.own_keys(Deadline.after(READ))
        if own is None:
            raise _no_keys()
        found = _chosen(key, [one.id for one in own.keys])
        platform.remove_key(found, Deadline.after(READ))
    return found


def _remove(key: str, platform_url: str | None, config: str | None) -> str:
    _check_administrator(platform_url)
    with administered(config) as store:
        from molecule_approve.server import enrolment

        found = _chosen(key, [one.key.id for one in enrolment.enrolled(store)])
        enrolment.remove_key(store, found)
    return found


def _chosen(text: str, ids: Sequence[str]) -> str:
    """The only id that begins so.

    Raises:
        UsageError: none does, or several, or it is too short to tell.
    """
    found = [one for one in ids if one.startswith(text.lower())]
    if len(found) != 1 or len(text) < SHORTEST_ID:
        raise UsageError(f"{len(found) or 'no'} keys have an id that begins with '{text[:80]}'", hint=_LIST)
    return found[0]
