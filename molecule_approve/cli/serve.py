"""``serve``: runs the embedded server until a signal stops it. The server itself is in ``server/``."""

from __future__ import annotations

import os
import shlex
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

from molecule_approve.errors import DeliveryError, ServerError, UsageError
from molecule_approve.safe_text import visible

from . import output
from .exits import Exit
from .help import CliCommand, commands, option

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from molecule_approve.paths import Places
    from molecule_approve.server.database.interface import Store
    from molecule_approve.server.plan import ServePlan
    from molecule_approve.server.starting import Prepared
    from molecule_approve.settings.server_settings import ServerSettings

    from .browser import SignInPage

app = commands()

ServerConfig = Annotated[str | None, option("--config", "PATH", "server.yaml or its folder. [env:MOLECULE_SERVER_CONFIG]")]

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


def administered(config: str | None) -> AbstractContextManager[Store]:
    """The server's database, for a command of its administrator: that of server.yaml, else this user's SQLite file.

    ``config`` names server.yaml or its folder, as for ``serve``.

    Raises:
        ConfigError: the file is invalid, or the running server uses another kind of database.
        ServerError: the database cannot be used, or its libraries are not installed.
    """
    from molecule_approve.paths import locate
    from molecule_approve.settings.server_settings import ServerFlags, resolve_server

    with server_extra():
        from molecule_approve.server import credentials

    places, database = locate(os.environ), resolve_server(ServerFlags(config=config), os.environ).database.value
    credentials.check_same_database(places, database)
    return credentials.opened(places, database=database)


@app.command(
    cls=CliCommand,
    epilog="""
        molecule-approve serve
        molecule-approve serve --open
        molecule-approve serve --public-url https://approve.example.org --trusted-proxy 127.0.0.1
        PLATFORM_URL=local molecule-approve run -- ./drop-staging.sh   # in another terminal
    """,
)
def serve(
    config: ServerConfig = None,
    host: Annotated[
        str | None, option("--host", "ADDRESS", "The address to listen on; beyond loopback it needs TLS. [127.0.0.1]")
    ] = None,
    port: Annotated[
        int | None, option("--port", "NUMBER", "The port; 0 takes a free one. [8788]", min=0, max=65_535)
    ] = None,
    public_url: Annotated[
        str | None, option("--public-url", "URL", "The address that people and clients use, if it is another one.")
    ] = None,
    tls_cert: Annotated[str | None, option("--tls-cert", "FILE", "The certificate chain (PEM).")] = None,
    tls_key: Annotated[str | None, option("--tls-key", "FILE", "Its key (PEM).")] = None,
    trusted_proxy: Annotated[
        list[str] | None, option("--trusted-proxy", "CIDR", "A network whose X-Forwarded-For counts (repeatable).")
    ] = None,
    plain_http: Annotated[
        bool | None, option("--plain-http", None, "Listen beyond loopback without TLS: a proxy provides it.")
    ] = None,
    database: Annotated[str | None, option("--database", "URL", "The database, if it is not the SQLite file.")] = None,
    policy: Annotated[
        str | None,
        option("--policy", "FILE", "The rules that say who has to approve what. [policy.yaml in the state folder]"),
    ] = None,
    browser: Annotated[bool, option("--open", None, "Open the page in the browser, signed in as you.")] = False,
    anonymous: Annotated[
        bool | None,
        option(
            "--anonymous-requests", None, "Let clients without a token send, list and watch requests; they cannot decide."
        ),
    ] = None,
    log_format: Annotated[
        str | None, option("--log-format", "FORMAT", "What the log on stderr consists of: text or json. [text]")
    ] = None,
) -> int:
    """Run the embedded server until SIGINT or SIGTERM.

    SIGHUP makes it read its policy again.
    It prints its address on stdout when it is ready. At a terminal, the first start makes you an approver
    and prints your token.
    """
    _fill_descriptors()
    from molecule_approve.paths import locate
    from molecule_approve.settings.server_settings import ServerFlags, resolve_server

    with server_extra():
        from molecule_approve.server import log_lines, run
        from molecule_approve.server.threads import threads_needed
    from .browser import SignInPage

    proxies = None if trusted_proxy is None else tuple(trusted_proxy)
    typed = (config, host, port, public_url, tls_cert, tls_key, proxies, plain_http, database, anonymous, log_format, policy)
    settings = resolve_server(ServerFlags(*typed), os.environ)
    places = locate(os.environ)
    as_json = settings.log_format.value == "json"
    written = log_lines.written(lambda line: output.talk(line if as_json else f"{output.PROGRAM}: {line}"), as_json=as_json)
    with threads_needed(), written, closing(SignInPage(places.sign_in_page, _complain)) as page:
        warn, inform = (log_lines.warn, log_lines.inform) if as_json else (_complain, _complain)
        plan = replace(plan_of(settings, places), warn=warn, on_sign_in=page.close)
        run.serve(plan, lambda server: _welcome(server, page if browser else None, inform))
    return Exit.OK


def plan_of(settings: ServerSettings, places: Places) -> ServePlan:
    """The settings as the server knows them."""
    from molecule_approve.server.limits import Limits
    from molecule_approve.server.plan import OpenIdPlan, ServePlan
    from molecule_approve.settings.policy_file import server_policy

    usual, openid = Limits(), settings.openid.value
    limits = replace(
        usual,
        session=settings.session_lifetime.value or usual.session,
        session_idle=settings.session_idle.value or usual.session_idle,
    )
    same = ("host", "port", "public_url", "tls_cert", "tls_key", "plain_http", "trusted_proxies", "metrics_from")
    return ServePlan(
        places,
        **{name: getattr(settings, name).value for name in (*same, "database", "self_approval")},
        anonymous=settings.anonymous_requests.value,
        limits=limits,
        openid=None if openid is None else OpenIdPlan(**{**openid._asdict(), "client_secret_file": openid.secret_file}),
        read_policy=partial(server_policy, settings, places.state),
        policy_file=settings.policy.value,
        sources=settings.sources(),
    )


def _fill_descriptors() -> None:
    """Open /dev/null in place of closed standard streams: a file of ours that took their number would be written into."""
    while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(handle)


def _complain(sentence: str) -> None:
    output.say(f"{visible(sentence)}")


def _welcome(server: Prepared, page: SignInPage | None, inform: Callable[[str], None]) -> None:
    """Print the notes on stderr, then the address on stdout: a caller that waits for this line can connect at once.

    ``inform`` gets the notes that tell of no problem.
    """
    from molecule_approve.settings.resolve import in_ci

    if server.plan.anonymous:
        server.plan.warn("clients without a token may request, list and listen (--anonymous-requests)")
    talking = output.at_terminal() and not in_ci(os.environ)
    name = _person(server, inform, make=talking)
    _say_who_decides_own(server, inform)
    if name is not None and talking:
        _show_link(server, name)
    if page is not None:
        # A link of its own: the one above works once, and somebody may open it too.
        page.open(server.url if name is None else _link(server, name))
    output.answer(server.url)


def _say_who_decides_own(server: Prepared, inform: Callable[[str], None]) -> None:
    from molecule_approve.server import credentials

    known = [name for name, _ in credentials.approvers(server.store)]
    if server.plan.self_approval is None and len(known) == 1:
        inform(
            f"{known[0]} is the only approver, and may decide what {known[0]} requests; with a second approver, nobody "
            "decides their own requests"
        )


def _person(server: Prepared, inform: Callable[[str], None], *, make: bool) -> str | None:
    """The approver named like the user, whom the first start adds if ``make`` says so; None, after a hint, for nobody."""
    from molecule_approve.server import credentials
    from molecule_approve.server.users import user_name

    # The name of this user's requests over the Unix socket, so that both are known as one person.
    name, known = user_name(), {name for name, _ in credentials.approvers(server.store)}
    if not known:
        if make and _first_approver(server, name):
            return name
        if server.plan.openid is None:
            server.plan.warn(NOBODY)
        return None
    if not make or name not in known:
        inform("to decide in a browser: molecule-approve approvers link NAME")
    return name if name in known else None


def _first_approver(server: Prepared, name: str) -> bool:
    from molecule_approve.server import credentials

    def show(token: str) -> None:
        output.confide(
            f"You are an approver now, as {name}. This is your token; it is shown once:\n  {token}\n"
            "Keep it where no requester can read it. approve, deny and review read it from MOLECULE_APPROVER_TOKEN.\n"
        )

    # An account with a reserved or a misleading name: its owner chooses another.
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
