"""``serve``: runs the embedded server until a signal stops it. The server itself is in ``server/``."""

from __future__ import annotations

import getpass
import os
import shlex
from contextlib import closing, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Annotated

from molecule_approve.errors import DeliveryError, ServerError, UsageError
from molecule_approve.safe_text import visible

from . import output
from .exits import Exit
from .help import CliCommand, commands, option

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from molecule_approve.server.starting import Prepared

    from .browser import SignInPage

app = commands()

NOBODY = f"there is no approver yet: {output.PROGRAM} approvers add NAME"


@contextmanager
def server_extra() -> Iterator[None]:
    """Around the imports of the extra ``server``.

    Raises:
        ServerError: the extra is not installed.
    """
    try:
        yield
    except ImportError as exc:
        hint = "pip install 'molecule-approve[server]', or use another platform"
        raise ServerError("the libraries of the embedded server are not installed", hint=hint) from exc


@app.command(
    cls=CliCommand,
    epilog="""
        molecule-approve serve
        molecule-approve serve --open
        PLATFORM_URL=local molecule-approve run -- ./drop-staging.sh   # in another terminal
    """,
)
def serve(
    host: Annotated[str, option("--host", "ADDRESS", "The loopback address to listen on.")] = "127.0.0.1",
    port: Annotated[int, option("--port", "NUMBER", "The port; 0 takes a free one.", min=0, max=65_535)] = 8788,
    browser: Annotated[bool, option("--open", None, "Open the page in the browser, signed in as you.")] = False,
    anonymous: Annotated[
        bool,
        option(
            "--anonymous-requests", None, "Let clients without a token send, list and watch requests; they cannot decide."
        ),
    ] = False,
) -> int:
    """Run the embedded server until SIGINT or SIGTERM.

    It prints its address on stdout when it is ready. At a terminal, the first start makes you an approver
    and prints your token.
    """
    _fill_descriptors()
    from molecule_approve.paths import locate

    with server_extra():
        from molecule_approve.server import run
    from .browser import SignInPage

    places = locate(os.environ)
    with closing(SignInPage(places.sign_in_page, _complain)) as page:
        plan = run.ServePlan(places, host, port, anonymous, warn=_complain, on_sign_in=page.close)
        run.serve(plan, lambda server: _welcome(server, page if browser else None))
    return Exit.OK


def _fill_descriptors() -> None:
    """Open /dev/null in place of closed standard streams: a file of ours that took their number would be written into."""
    while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(handle)


def _complain(sentence: str) -> None:
    output.say(f"{visible(sentence)}")


def _welcome(server: Prepared, page: SignInPage | None) -> None:
    """Print the notes on stderr, then the address on stdout: a caller that waits for this line can connect at once."""
    from molecule_approve.settings.resolve import in_ci

    if server.plan.anonymous:
        _complain("clients without a token may request, list and listen (--anonymous-requests)")
    talking = output.at_terminal() and not in_ci(os.environ)
    name = _person(server, make=talking)
    _say_who_decides_own(server)
    if name is not None and talking:
        _show_link(server, name)
    if page is not None:
        # A link of its own: the one above works once, and somebody may open it too.
        page.open(server.url if name is None else _link(server, name))
    output.answer(server.url)


def _say_who_decides_own(server: Prepared) -> None:
    from molecule_approve.server import credentials

    known = [name for name, _ in credentials.approvers(server.store)]
    if server.plan.self_approval is None and len(known) == 1:
        _complain(
            f"{known[0]} is the only approver, and may decide what {known[0]} requests; with a second approver, nobody "
            "decides their own requests"
        )


def _person(server: Prepared, *, make: bool) -> str | None:
    """The approver named like the user, whom the first start adds if ``make`` says so; None, after a hint, for nobody."""
    from molecule_approve.server import credentials

    name, known = _user(), {name for name, _ in credentials.approvers(server.store)}
    if not known:
        if make and _first_approver(server, name):
            return name
        _complain(NOBODY)
        return None
    if not make or name not in known:
        _complain("to decide in a browser: molecule-approve approvers link NAME")
    return name if name in known else None


def _user() -> str:
    name = ""
    with suppress(OSError, KeyError):  # an account without a name
        name = getpass.getuser()
    return name


def _first_approver(server: Prepared, name: str) -> bool:
    from molecule_approve.server import credentials

    def show(token: str) -> None:
        output.confide(
            f"You are an approver now, as {name}. This is your token; it is shown once:\n  {token}\n"
            "Keep it where no requester can read it. approve, deny and review read it from MOLECULE_APPROVER_TOKEN.\n"
        )

    # An account without a name, or with a misleading one: its owner chooses another.
    with suppress(UsageError, DeliveryError):
        credentials.add_approver(server.store, name, show)
        return True
    return False


def _show_link(server: Prepared, name: str) -> None:
    def show(link: str) -> None:
        output.confide(
            f"To decide in a browser as {name}, open this link within a minute; it works once:\n  {link}\n"
            f"A new one: {output.PROGRAM} approvers link {shlex.quote(name)}\n"
        )

    with suppress(DeliveryError):
        _link(server, name, show)


def _link(server: Prepared, name: str, tell: Callable[[str], None] = lambda _: None) -> str:
    """A sign-in link. If ``tell`` raises, its code is not valid."""
    from molecule_approve.server import credentials

    made = partial(credentials.sign_in_link, server.url)
    return made(credentials.new_code(server.store, name, tell=lambda code: tell(made(code))))
