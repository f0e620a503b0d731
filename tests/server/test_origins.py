"""Where a call comes from, as far as browsers say it: names that were rebound, foreign pages, other sites."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import httpx
import pytest

from molecule_approve.server.origins import Addresses
from molecule_approve.server.plan import ServePlan
from molecule_approve.server.run import Running
from tests.certificates import new_pair
from tests.integration.raw_http import PLAIN

if TYPE_CHECKING:
    from pathlib import Path

    from molecule_approve.paths import Places
    from tests.server.desk import Desk


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8788", "localhost.", "localhost:x", "[::1", "127.0.0.2"])
def test_a_foreign_host_name_is_refused(desk: Desk, host: str) -> None:
    """A name that was rebound to loopback reaches nothing, with whatever token."""
    answer = desk.asker.get(desk.path, headers={"Host": host})
    assert (answer.status_code, answer.json()["code"]) == (421, "wrong_host")
    right = f"http://localhost:{desk.server.url.rpartition(':')[2]}/"
    assert answer.json()["error"].endswith(f"open {right}")
    page = desk.asker.get("/", headers={"Host": host, "Accept": "text/html"})
    assert (page.status_code, f'<a href="{right}">' in page.text) == (421, True)


@pytest.mark.parametrize(("host", "named"), [("127.0.0.1", "localhost"), ("127.0.0.2", "127.0.0.2")])
def test_a_refusal_names_the_address_that_is_served(server_places: Places, tmp_path: Path, host: str, named: str) -> None:
    """With TLS if only that is served; page and JSON agree. `localhost` would not lead to 127.0.0.2."""
    pair = new_pair(tmp_path)
    trust = ssl.create_default_context(cafile=str(pair.cert))
    trust.check_hostname = False
    with (
        Running(ServePlan(server_places, host, tls_cert=pair.cert, tls_key=pair.key)) as server,
        httpx.Client(verify=trust, base_url=server.url, headers={"Host": "evil.example"}) as client,
    ):
        right = f"https://{named}:{server.url.rpartition(':')[2]}/"
        assert client.get("/").json()["error"].endswith(f"; open {right}")
        assert f'<a href="{right}">' in client.get("/", headers={"Accept": "text/html"}).text


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "LOCALHOST"])
@pytest.mark.parametrize("port", ["", ":9999", ":{0}"])
def test_every_usual_name_of_the_server_is_good(shared_desk: Desk, host: str, port: str) -> None:
    """With its port, or with another: that is what comes through `ssh -L 9999:127.0.0.1:8788`."""
    named = host + port.format(shared_desk.server.url.rpartition(":")[2])
    assert shared_desk.asker.get(shared_desk.path, headers={"Host": named}).status_code == 200


def test_the_address_that_it_listens_on_is_a_name_too() -> None:
    """An unusual one of loopback included; beyond loopback only the public address is one."""
    assert Addresses.of("0.0.0.0").names == {"127.0.0.1", "localhost", "[::1]"}
    assert Addresses.of("127.0.0.2").names == {"127.0.0.2", "127.0.0.1", "localhost", "[::1]"}
    assert Addresses.of("::1").names == {"127.0.0.1", "localhost", "[::1]"}


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost:9999", 200),
        ("http://LOCALHOST:9999", 200),
        ("http://localhost", 403),
        ("http://localhost:8788", 403),
        ("http://127.0.0.1:9999", 403),
        ("https://localhost:9999", 403),
    ],
)
def test_the_page_is_ours_where_its_origin_is_what_was_called(shared_desk: Desk, origin: str, status: int) -> None:
    """Through a tunnel, too; what another port of this machine serves is foreign, whatever port we listen on."""
    headers = {"Host": "localhost:9999", "Origin": origin}
    assert shared_desk.asker.get(shared_desk.path, headers=headers).status_code == status


def test_a_foreign_origin_is_refused(desk: Desk) -> None:
    """A web page elsewhere can do nothing here; our own address can."""
    for origin, status in (("https://evil.example", 403), ("null", 403), (desk.server.url, 200)):
        assert desk.asker.get(desk.path, headers={"Origin": origin}).status_code == status


def test_of_several_origins_every_one_must_be_ours(shared_desk: Desk) -> None:
    """In whatever order; none at all is said by leaving it out, and what only looks like ours is not."""
    own = shared_desk.server.url
    for origins in ([own, "null"], ["null", own], [""], [own, ""], [f"{own}/"], [f"{own}, null"], ["https" + own[4:]]):
        headers = [("Origin", origin) for origin in origins]
        assert shared_desk.asker.get(shared_desk.path, headers=headers).status_code == 403, origins


@pytest.mark.parametrize("host", ["", "127.0.0.1:{0}.", "127.0.0.1.:{0}", "127.0.0.1:0{0}", "127.1:{0}", "127.0.0.1:{0}, x"])
def test_what_only_means_our_name_is_another(shared_desk: Desk, host: str) -> None:
    """A name is compared as it stands: no dot, no zero and no shorter way of writing it is put right."""
    named = host.format(shared_desk.server.url.rpartition(":")[2])
    assert shared_desk.asker.get(shared_desk.path, headers={"Host": named}).status_code == 421


def test_the_unix_socket_serves_the_same(desk: Desk) -> None:
    """REST over the socket in the runtime folder, under the name `localhost`; another name is refused there, too."""
    transport = httpx.HTTPTransport(verify=PLAIN, uds=str(desk.server.places.socket))
    with httpx.Client(transport=transport, base_url="http://localhost", headers=desk.asker.headers) as client:
        assert client.get(desk.path).json() == []
        refused = client.get(desk.path, headers={"Host": "evil.example"})
        assert (refused.status_code, refused.json()["error"].rpartition("; ")[2]) == (421, "open http://localhost/")
    assert desk.server.places.runtime.stat().st_mode & 0o777 == 0o700
    assert desk.server.places.socket.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("site", "status"), [("same-origin", 200), ("none", 200), ("same-site", 403), ("cross-site", 403)])
def test_a_call_for_another_site_is_refused(shared_desk: Desk, site: str, status: int) -> None:
    """Another port of this machine is another site; a call without the header comes from no browser, or from an old one."""
    answer = shared_desk.asker.get(shared_desk.path, headers={"Sec-Fetch-Site": site})
    assert answer.status_code == status
    assert (answer.json()["code"] == "wrong_site") if status == 403 else True


def test_of_two_words_about_the_site_the_worse_one_counts(shared_desk: Desk) -> None:
    """No order, no comma and no case makes it better; an unknown word is a bad one."""
    for words in (["same-origin", "cross-site"], ["cross-site", "none"], ["none, cross-site"], ["Cross-Site"], ["x"], [""]):
        headers = [("Sec-Fetch-Site", word) for word in words]
        assert shared_desk.asker.get(shared_desk.path, headers=headers).status_code == 403, words


FOLLOWED = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


def test_a_link_from_elsewhere_leads_to_the_page(shared_desk: Desk) -> None:
    """People click links in mail and chat; a sign-in page on the disk sends a browser here, too."""
    with shared_desk.client(None) as stranger:
        assert stranger.get("/", headers=FOLLOWED).status_code == 200
        assert stranger.get("/", headers={**FOLLOWED, "Sec-Fetch-Site": "same-site"}).status_code == 200
        for path in ("/history", "/sessions", "/requests/0190c6a2"):
            assert stranger.get(path, headers=FOLLOWED).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "changed"),
    [
        ("GET", "/", {"Sec-Fetch-Dest": "iframe"}),
        ("GET", "/", {"Sec-Fetch-Dest": "embed"}),
        ("GET", "/", {"Sec-Fetch-Mode": "no-cors"}),
        ("GET", "/", {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}),
        ("GET", "/", {"Origin": "https://evil.example"}),
        ("POST", "/", {}),
        ("HEAD", "/", {}),
        ("GET", "/static/inbox.js", {}),
        ("GET", "/desk/requests", {}),
        ("GET", "/approvals/pending", {}),
        ("GET", "/health", {}),
        ("GET", "/nothing", {}),
    ],
)
def test_a_link_from_elsewhere_leads_nowhere_else(
    shared_desk: Desk, method: str, path: str, changed: dict[str, str]
) -> None:
    """Not into a frame, not by a script, not to data, not with another method; whatever the credential."""
    answer = shared_desk.decider.request(method, path, headers={**FOLLOWED, **changed})
    assert answer.status_code == 403
