"""The real nginx or Caddy before a server, with the examples of docs/examples as they are, but for addresses and files."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from molecule_approve.server.run import ServePlan
from tests.callers import until
from tests.pages import ROOT

if TYPE_CHECKING:
    from molecule_approve.paths import Places
    from tests.certificates import KeyPair

EXAMPLES = ROOT / "docs" / "examples"

_WAYS = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"
_NGINX, _CADDY = shutil.which("nginx", path=_WAYS), shutil.which("caddy", path=_WAYS)

needs_nginx = pytest.mark.skipif(_NGINX is None, reason="nginx is not installed on this machine")
needs_caddy = pytest.mark.skipif(_CADDY is None, reason="caddy is not installed on this machine")

KINDS = (
    *(pytest.param(kind, marks=needs_nginx) for kind in ("own host", "path removed", "path kept")),
    pytest.param("caddy", marks=needs_caddy),
)
"""nginx passes all of a host on, or what is below a path, which it removes or keeps; Caddy all of a host."""

_MAIN = """\
daemon off;
worker_processes 1;
{user}
pid {folder}/nginx.pid;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{site}
}}
"""


def plan_behind(places: Places, url: str) -> ServePlan:
    """A server that nginx on this machine passes calls on to, as the examples say."""
    return ServePlan(places, public_url=url, trusted_proxies=(ip_network("127.0.0.1"),))


def url_of(kind: str, port: int) -> str:
    """The public address."""
    return f"https://localhost:{port}{'' if kind in {'own host', 'caddy'} else '/approve'}"


@contextmanager
def proxy(folder: Path, kind: str, port: int, upstream: str, pair: KeyPair) -> Iterator[None]:
    """A proxy at this port, until the block ends."""
    command = _caddy(folder, port, upstream, pair) if kind == "caddy" else _nginx(folder, kind, port, upstream, pair)
    with (folder / "proxy.err").open("wb") as err:
        # Caddy keeps files of its own below HOME.
        process = subprocess.Popen(command, stderr=err, env={"PATH": _WAYS, "HOME": str(folder)})
    try:
        until(lambda: _listens(port) or process.poll() is not None)
        assert process.poll() is None, (folder / "proxy.err").read_text()
        yield
    finally:
        process.terminate()
        process.wait(10)


def _nginx(folder: Path, kind: str, port: int, upstream: str, pair: KeyPair) -> list[str]:
    user = "user root;" if os.geteuid() == 0 else ""
    config = folder / "nginx.conf"
    config.write_text(_MAIN.format(folder=folder, user=user, site=_site(kind, port, upstream, pair)))
    return [str(_NGINX), "-p", str(folder), "-c", str(config), "-e", "stderr"]


def _caddy(folder: Path, port: int, upstream: str, pair: KeyPair) -> list[str]:
    config = folder / "Caddyfile"
    own = f"https://localhost:{port} {{\n\ttls {pair.cert} {pair.key}\n"
    text = (EXAMPLES / "Caddyfile").read_text()
    text = _replaced(text, ("approve.example.org {\n", own), ("127.0.0.1:8788", upstream))
    config.write_text(f"{{\n\tadmin off\n\tauto_https off\n}}\n{text}")
    return [str(_CADDY), "run", "--adapter", "caddyfile", "--config", str(config)]


def _listens(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


def _site(kind: str, port: int, upstream: str, pair: KeyPair) -> str:
    site = _replaced(
        (EXAMPLES / "nginx.conf").read_text(),
        ("127.0.0.1:8788", upstream),
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("server_name approve.example.org", "server_name localhost"),
        ("/etc/letsencrypt/live/approve.example.org/fullchain.pem", str(pair.cert)),
        ("/etc/letsencrypt/live/approve.example.org/privkey.pem", str(pair.key)),
    )
    if kind == "own host":
        return site
    below = (EXAMPLES / "nginx-sub-path.conf").read_text()
    if kind == "path kept":
        below = _replaced(below, ("proxy_pass http://molecule_approve/;", "proxy_pass http://molecule_approve;"))
    return f"{site.partition('    location / {')[0]}{below}}}\n"


def _replaced(text: str, *pairs: tuple[str, str]) -> str:
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new)
    return text
