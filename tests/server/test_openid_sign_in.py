"""Signing in through a provider, over REST: whom it lets in, and every answer that it must not believe."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from molecule_approve.errors import ConfigError, ServerError
from molecule_approve.model import Secret
from molecule_approve.paths import Places
from molecule_approve.server import credentials
from molecule_approve.server.limits import Limits
from molecule_approve.server.openid.steps import challenge_of
from molecule_approve.server.plan import OpenIdPlan
from molecule_approve.server.run import Running, ServePlan
from molecule_approve.server.tokens import hash_token, new_token
from molecule_approve.settings.policy_yaml import parse_policy
from tests.callers import until
from tests.server.desk import Desk, desk_of
from tests.server.openid.provider import CLIENT, EC, Provider, other_rsa, public_as_secret, serving, signed, unsigned
from tests.server.openid.real import real_provider, say_yes

if TYPE_CHECKING:
    import httpx

    from molecule_approve.policy.approval_rules import Policy
    from tests.server.postgres import NewDatabase

BOTH_DATABASES = True

ALICE = "alice@example.org"


class Visitor:
    """A browser: it keeps the verifier of the sign-in that it began."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.verifier = new_token()

    def post(self, path: str, body: dict[str, Any], **headers: str) -> httpx.Response:
        """One call of the page's."""
        with self.desk.client(None) as client:
            return client.post(path, json=body, headers={"User-Agent": "a browser", **headers})

    def begin(self) -> httpx.Response:
        """Begin a sign-in."""
        return self.post("/desk/openid/start", {"challenge": challenge_of(self.verifier)})

    def start(self) -> str:
        """Begin a sign-in that can begin; the address at the provider."""
        answer = self.begin()
        assert answer.status_code == 201, answer.text
        return str(answer.json()["address"])

    def finish(self, back: dict[str, str], **changed: Any) -> httpx.Response:  # noqa: ANN401 - JSON
        """Come back; None leaves a field away."""
        body = {**back, "verifier": self.verifier, **changed}
        return self.post("/desk/openid/return", {key: value for key, value in body.items() if value is not None})


@dataclass
class House:
    """A server with a provider, and its desk."""

    desk: Desk
    provider: Provider
    said: list[str]

    def visit(self, **claims: Any) -> httpx.Response:  # noqa: ANN401 - JSON
        """A whole sign-in of somebody with these claims."""
        self.provider.claims = claims
        visitor = Visitor(self.desk)
        return visitor.finish(self.provider.authorize(visitor.start(), code=new_token()))

    def refused(self, answer: httpx.Response, status: int, code: str, word: str) -> None:
        """Check that nobody was signed in."""
        assert (answer.status_code, answer.json().get("code")) == (status, code), answer.text
        assert word in answer.json()["error"]
        assert self.sessions() == 0

    def sessions(self) -> int:
        """How many sessions there are."""
        return int(self.desk.select("SELECT count(*) FROM sessions")[0][0])


OpenHouse = Callable[..., House]


@pytest.fixture
def open_house(server_places: Places, new_database: NewDatabase, tmp_path: Path) -> Iterator[OpenHouse]:
    """Opens a server with a provider; what is named goes into its settings or limits."""
    (tmp_path / "secret").write_text(CLIENT[1])
    (tmp_path / "secret").chmod(0o600)
    with new_database() as database, ExitStack() as stack:

        def opened(limits: Limits | None = None, policy: Policy | None = None, **settings: Any) -> House:  # noqa: ANN401 - the fields of the settings
            provider = stack.enter_context(serving())
            given = {"approvers": (ALICE,), **settings}
            openid = OpenIdPlan(provider.issuer, CLIENT[0], tmp_path / "secret", **given)
            said: list[str] = []
            plan = ServePlan(
                server_places,
                database=database,
                limits=limits or Limits(),
                warn=said.append,
                openid=openid,
                policy=policy,
            )
            return House(stack.enter_context(desk_of(stack.enter_context(Running(plan)), "root")), provider, said)

        yield opened


@pytest.fixture
def house(open_house: OpenHouse) -> House:
    """A server whose provider may let alice in."""
    return open_house()


# --- who is let in


def test_somebody_who_is_listed_signs_in(house: House) -> None:
    """An approver is made at the first sign-in, and is the same one at the next; the name decides."""
    with house.desk.client(None) as client:
        assert client.get("/desk/sign-in").json() == {"openid": True, "name": "127.0.0.1"}
    first, second = house.visit(), house.visit(email="Alice@Example.org")
    assert (first.status_code, first.json()["name"], set(first.json())) == (201, ALICE, {"token", "name", "expires_in"})
    assert (second.status_code, second.json()["name"]) == (201, ALICE)
    approval_id = house.desk.ask()
    with house.desk.client(first.json()["token"]) as client:
        decided = client.post(f"{house.desk.path}/{approval_id}/decide", json={"decision": "approved"})
        assert decided.status_code == 200
        assert [row["client"] for row in client.get("/desk/sessions").json()["sessions"]] == ["a browser"] * 2
    assert house.desk.one(approval_id)["decided_by"] == ALICE
    assert house.said == []


def test_the_address_names_the_page_that_the_browser_sees(house: House) -> None:
    """State, nonce and code challenge are new each time; what is kept of them are hashes."""
    first, second = (parse_qs(urlsplit(Visitor(house.desk).start()).query) for _ in range(2))
    assert first["redirect_uri"] == [f"{house.desk.server.url}/desk/openid/return"]
    for name in ("state", "nonce", "code_challenge"):
        assert first[name] != second[name]
    kept = house.desk.select("SELECT state_hash, nonce_hash FROM openid_sign_ins")
    wanted = {(hash_token(one["state"][0]), hash_token(one["nonce"][0])) for one in (first, second)}
    assert set(kept) == wanted


@pytest.mark.sqlite_only
def test_behind_the_public_address_the_browser_returns_there(
    open_house: OpenHouse, server_places: Places, tmp_path: Path
) -> None:
    """The provider knows that address; the answer counts where the sign-in began."""
    house = open_house()
    house.desk.server.stop()
    openid = OpenIdPlan(house.provider.issuer, CLIENT[0], tmp_path / "secret", approvers=(ALICE,))
    plan = ServePlan(server_places, public_url="https://approve.example.org/approve", openid=openid)
    with Running(plan) as server, desk_of(server, "bob") as desk:
        visitor = Visitor(desk)
        host = {"Host": "approve.example.org", "Origin": "https://approve.example.org"}
        begun = visitor.post("/approve/desk/openid/start", {"challenge": challenge_of(visitor.verifier)}, **host)
        query = parse_qs(urlsplit(begun.json()["address"]).query)
        assert query["redirect_uri"] == ["https://approve.example.org/approve/desk/openid/return"]
        back = house.provider.authorize(begun.json()["address"])
        # At another address of the same server the provider refuses the code, and the state is spent.
        assert visitor.finish(back).json()["code"] == "wrong_answer"
        begun = visitor.post("/approve/desk/openid/start", {"challenge": challenge_of(visitor.verifier)}, **host)
        back = {**house.provider.authorize(begun.json()["address"], code="another"), "verifier": visitor.verifier}
        assert visitor.post("/approve/desk/openid/return", back, **host).json()["name"] == ALICE


def test_a_group_is_enough(open_house: OpenHouse) -> None:
    """And whoever leaves it is refused at the next sign-in, where all sessions end; nobody else's do."""
    house = open_house(approvers=(), groups_claim="groups", groups={"operators": ("ops",)})
    house.refused(house.visit(), 403, "not_approver", f"you are {ALICE} at the provider, who is not an approver here")
    bob = {"email": "bob@example.org", "sub": "s-2"}
    entered, other = house.visit(groups=["ops"]), house.visit(groups=["ops"], **bob)
    assert (entered.status_code, other.status_code) == (201, 201)
    assert house.visit(groups=["ops-former"]).status_code == 403
    assert house.visit(groups=["none"], email="bob@example.org", sub="not bob").status_code == 403
    with house.desk.client(entered.json()["token"]) as gone, house.desk.client(other.json()["token"]) as stays:
        assert gone.get("/desk/requests").status_code == 401
        assert stays.get("/desk/requests").status_code == 200
    assert house.visit(groups="ops").status_code == 201


def test_the_groups_of_the_last_sign_in_decide_who_may_approve(open_house: OpenHouse) -> None:
    """Who is no longer in the group, or no approver at all any more, does not count."""
    text = b"version: 1\nrules:\n- {name: ops, match: {action: 'stop*'}, approvers: ['group:ops']}\n"
    policy = parse_policy(text, Path("policy.yaml"), {"ops", "devs"})
    groups = {"ops": ("operators", "admins"), "devs": ("developers",)}
    house = open_house(policy=policy, approvers=(ALICE,), groups_claim="groups", groups=groups)
    bob = {"email": "bob@example.org", "sub": "bob"}
    refused = house.desk.asker.post(house.desk.path, json={"action": "stop it"})
    assert (refused.status_code, refused.json()["code"]) == (422, "policy")
    token = house.visit(**bob, groups=["operators", "developers", "others"]).json()["token"]
    assert house.visit(groups=["developers"]).status_code == 201
    of_bob, of_alice = ("bob@example.org", "devs"), (ALICE, "devs")
    query = "SELECT a.name, g.name FROM approvers a JOIN approver_groups g ON g.approver_id = a.id ORDER BY 1, 2"
    assert [tuple(row) for row in house.desk.select(query)] == [of_alice, of_bob, ("bob@example.org", "ops")]
    asked, other = house.desk.ask("stop it"), house.desk.ask("stop it")

    def decided(approval_id: str, token: str) -> httpx.Response:
        with house.desk.client(token) as client:
            return client.post(f"{house.desk.path}/{approval_id}/decide", json={"decision": "approved"})

    assert decided(asked, token).json()["status"] == "approved"
    again = house.visit(**bob, groups=["developers"]).json()["token"]
    assert decided(other, again).json()["code"] == "not_eligible"
    assert house.visit(**bob, groups=["others"]).status_code == 403
    assert [tuple(row) for row in house.desk.select(query)] == [of_alice]


def test_a_revoked_name_is_refused(open_house: OpenHouse) -> None:
    """The session ends at once; also under another name it is the same person. Added again by hand, it is somebody."""
    house = open_house(groups_claim="groups", groups={"operators": ("ops",)})
    session = house.visit().json()["token"]
    with house.desk.server.opened() as store:
        credentials.revoke(store, ALICE)
    with house.desk.client(session) as client:
        assert client.get("/desk/requests").status_code == 401
    assert house.visit().json()["code"] == "not_approver"
    assert "were revoked here" in house.visit(sub="s-9").json()["error"]
    assert "were revoked here" in house.visit(email="alice.new@example.org", groups=["ops"]).json()["error"]
    house.desk.server.add_approver(ALICE)
    assert house.visit().status_code == 201
    assert "were revoked here" in house.visit(email="alice.new@example.org", groups=["ops"]).json()["error"]


def test_who_was_revoked_does_not_come_back_as_somebody_else(open_house: OpenHouse) -> None:
    """Not under the name of an approver who is one, either: the provider lets its people choose names."""
    house = open_house(name_claim="login", approvers=("Alice", "root"))
    assert house.visit(login="Alice").status_code == 201
    with house.desk.server.opened() as store:
        credentials.revoke(store, "Alice")
    assert "were revoked here" in house.visit(login="root").json()["error"]
    assert house.visit(login="root", sub="s-2").json()["name"] == "root"


@pytest.mark.parametrize("spelling", ["\u00c9ve", "\u00e9ve", "E\u0301VE"])
def test_a_revoked_name_does_not_come_back_in_another_spelling(open_house: OpenHouse, spelling: str) -> None:
    """In no letter case and no Unicode form, and under no other id of the provider's."""
    house = open_house(name_claim="login", groups_claim="groups", groups={"all": ("ops",)}, approvers=())
    assert house.visit(login="\u00c9ve", groups=["ops"]).status_code == 201
    with house.desk.server.opened() as store:
        credentials.revoke(store, "\u00c9ve")
    assert "were revoked here" in house.visit(login=spelling, groups=["ops"], sub="s-2").json()["error"]


def test_a_name_belongs_to_the_first_person_who_signs_in_under_it(open_house: OpenHouse) -> None:
    """Names change hands at a provider; ids do not."""
    house = open_house(name_claim="login", groups_claim="groups", groups={"all": ("ops",)}, approvers=())
    ops: dict[str, Any] = {"groups": ["ops"], "login": "Alice"}
    assert house.visit(**ops).status_code == 201
    for name in ("Alice", "ALICE"):
        answer = house.visit(sub="s-2", groups=["ops"], login=name)
        assert (answer.status_code, "belongs to another person" in answer.json()["error"]) == (403, True)
    assert house.visit(**{**ops, "login": "alice"}).json()["name"] == "Alice"


def test_a_name_that_another_approver_has_in_another_spelling_is_refused(open_house: OpenHouse) -> None:
    """Two names that people take for one would be two approvers; the sentence says which one there is."""
    house = open_house(name_claim="login", approvers=("Stra\u00dfe",))
    house.desk.server.add_approver("STRASSE")
    answer = house.visit(login="Stra\u00dfe")
    assert (answer.status_code, "taken by STRASSE" in answer.json()["error"]) == (403, True)


def test_a_group_does_not_take_the_name_of_who_has_a_token(open_house: OpenHouse) -> None:
    """Somebody who may choose a name at the provider would decide in theirs; server.yaml may say that they are one."""
    for approvers, status in (((), 403), (("root",), 201)):
        house = open_house(name_claim="login", groups_claim="groups", groups={"all": ("ops",)}, approvers=approvers)
        answer = house.visit(login="root", groups=["ops"])
        assert answer.status_code == status, answer.text
        with house.desk.server.opened() as store:
            credentials.revoke(store, "root")
        house.desk.server.stop()
    assert answer.json()["name"] == "root"


def test_a_name_is_taken_in_every_spelling(open_house: OpenHouse) -> None:
    """Also in letters that a database does not know: nobody becomes a second approver of one name."""
    house = open_house(name_claim="login", groups_claim="groups", groups={"all": ("ops",)}, approvers=())
    house.desk.server.add_approver("JOS\u00c9")
    for name in ("jos\u00e9", "jose\u0301"):
        house.refused(house.visit(login=name, groups=["ops"]), 403, "not_approver", "that name is taken; ask")


@pytest.mark.sqlite_only
@pytest.mark.parametrize(
    ("name", "word"),
    [
        *(("auto-expired", "reserved"), ("Withdrawn", "reserved")),
        *(("a\u200bb", "hidden"), ("a\x1b[2K", "hidden"), ("x" * 65, "65 characters")),
    ],
)
def test_a_name_that_nobody_may_have_is_refused(open_house: OpenHouse, name: str, word: str) -> None:
    """Reserved, hidden, too long: as where an administrator adds one."""
    house = open_house(name_claim="login", groups_claim="groups", groups={"all": ("ops",)})
    house.refused(house.visit(login=name, groups=["ops"]), 401, "wrong_answer", word)


# --- what it must not believe


FORGED: list[tuple[str, Callable[[dict[str, Any]], str], str]] = [
    ("issuer", lambda claims: signed({**claims, "iss": "https://evil.example.org"}), "iss"),
    ("audience", lambda claims: signed({**claims, "aud": "another"}), "aud"),
    ("audiences", lambda claims: signed({**claims, "aud": [CLIENT[0], "another"]}), "azp"),
    ("nonce", lambda claims: signed({**claims, "nonce": "another"}), "nonce"),
    ("expired", lambda claims: signed({**claims, "exp": int(time.time()) - 61}), "exp"),
    ("signature", lambda claims: signed(claims, other_rsa()), "signature"),
    ("key", lambda claims: signed(claims, EC, alg="ES256"), "key"),
    ("none", lambda claims: unsigned(claims, {"alg": "none"}), "signature"),
    ("HS256", lambda claims: signed(claims, public_as_secret(), alg="HS256", kid="one"), "signature"),
    ("not verified", lambda claims: signed({**claims, "email_verified": False}), "not verified"),
]


@pytest.mark.sqlite_only
@pytest.mark.parametrize(("what", "sign", "word"), FORGED, ids=[row[0] for row in FORGED])
def test_a_forged_answer_signs_nobody_in(house: House, what: str, sign: Callable[[dict[str, Any]], str], word: str) -> None:
    """The sentence says what is wrong, for the administrator too; the state is spent."""
    house.provider.sign = sign
    visitor = Visitor(house.desk)
    back = house.provider.authorize(visitor.start())
    house.refused(visitor.finish(back), 401, "wrong_answer", word)
    assert len(house.said) == 1
    assert "evil" not in house.said[0]
    house.refused(visitor.finish(back), 401, "wrong_return", "sign in again")


def test_an_answer_works_once(house: House) -> None:
    """Replayed, also in the same browser, it is none; nor is its code with another state."""
    visitor = Visitor(house.desk)
    back = house.provider.authorize(visitor.start())
    assert visitor.finish(back).status_code == 201
    assert visitor.finish(back).json()["code"] == "wrong_return"
    state = house.provider.authorize(visitor.start(), code="another")["state"]
    assert visitor.finish({**back, "state": state}).json()["code"] == "wrong_answer"
    assert house.sessions() == 1


def test_an_old_id_token_under_a_new_code_is_refused(house: House) -> None:
    """Its nonce is that of the sign-in for which it was made."""
    made: list[str] = []

    def signed_once(claims: dict[str, Any]) -> str:
        made.append(signed(claims))
        return made[0]

    house.provider.sign = signed_once
    assert house.visit().status_code == 201
    answer = house.visit()
    assert (answer.status_code, "nonce" in answer.json()["error"]) == (401, True)


def test_the_answer_of_another_browsers_sign_in_is_refused(house: House) -> None:
    """A link to a sign-in of the attacker's own, opened by the victim; and an answer that the attacker saw on its way."""
    attacker, victim = Visitor(house.desk), Visitor(house.desk)
    for thief in (victim, attacker):
        owner = attacker if thief is victim else victim
        back = house.provider.authorize(owner.start())
        house.refused(thief.finish(back), 401, "wrong_return", "not begun in this browser")
        # The state is spent: nobody gets a second try at it.
        house.refused(owner.finish(back), 401, "wrong_return", "sign in again")
    assert "/token" not in house.provider.calls


def test_a_state_that_was_never_given_out_is_refused(house: House) -> None:
    """Guessed, empty or missing."""
    visitor = Visitor(house.desk)
    back = house.provider.authorize(visitor.start())
    house.refused(visitor.finish(back, state=new_token()), 401, "wrong_return", "sign in again")
    for changed in ({"state": ""}, {"state": None}, {"code": None}, {"verifier": None}, {"code": 7}, {"iss": 7}):
        assert visitor.finish(back, **changed).status_code == 400
    assert visitor.finish(back, iss="https://evil.example.org").json()["code"] == "wrong_answer"


@pytest.mark.sqlite_only
@pytest.mark.parametrize("challenge", [None, "", "short", "c" * 42, "c" * 44, "c" * 42 + "=", "c" * 42 + "\n", 7])
def test_only_a_challenge_begins_a_sign_in(house: House, challenge: object) -> None:
    """It goes into an address, and binds the answer to this browser."""
    with house.desk.client(None) as client:
        assert client.post("/desk/openid/start", json={"challenge": challenge}).status_code == 400


def test_a_sign_in_must_be_finished_in_time(open_house: OpenHouse) -> None:
    """Then its state is gone, and is swept away by the next one."""
    house = open_house(replace(Limits(), openid=0.05))
    visitor = Visitor(house.desk)
    back = house.provider.authorize(visitor.start())
    time.sleep(0.06)
    house.refused(visitor.finish(back), 401, "wrong_return", "took too long")


@pytest.mark.sqlite_only
@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example.org"}, {"Sec-Fetch-Site": "cross-site"}])
def test_another_page_can_neither_begin_nor_finish(house: House, headers: dict[str, str]) -> None:
    """Else it could sign its visitor in as somebody else."""
    visitor = Visitor(house.desk)
    back = {**house.provider.authorize(visitor.start()), "verifier": visitor.verifier}
    begun = {"challenge": challenge_of(visitor.verifier)}
    for path, body in (("/desk/openid/return", back), ("/desk/openid/start", begun)):
        assert visitor.post(path, body, **headers).status_code == 403
    assert visitor.finish(back).status_code == 201


@pytest.mark.sqlite_only
def test_the_page_of_return_is_the_page_and_nothing_else(house: House) -> None:
    """Whatever is in its address, nothing happens before the page itself says so; it redirects nowhere."""
    query = "?code=x&state=y&next=https://evil.example.org&redirect_uri=//evil.example.org"
    navigation = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    with house.desk.client(None) as browser:
        page = browser.get("/").text
        answer = browser.get(f"/desk/openid/return{query}", headers=navigation)
        assert (answer.status_code, answer.text) == (200, page)
        assert "location" not in answer.headers
        framed = {**navigation, "Sec-Fetch-Dest": "iframe"}
        assert browser.get(f"/desk/openid/return{query}", headers=framed).status_code == 403
    assert house.sessions() == 0


@pytest.mark.sqlite_only
def test_guessing_has_a_limit(open_house: OpenHouse) -> None:
    """Failed sign-ins are counted as failed logins; begun ones as calls without a credential."""
    house = open_house(replace(Limits(), failed_login_rate=2, unauthenticated_rate=5))
    visitor = Visitor(house.desk)
    back = house.provider.authorize(visitor.start())
    statuses = [visitor.finish(back, state=new_token()).status_code for _ in range(4)]
    assert statuses == [401, 401, 429, 429]
    assert visitor.finish(back).status_code == 201
    begun = [visitor.post("/desk/openid/start", {}).status_code for _ in range(6)]
    assert begun == [400, 400, 400, 400, 429, 429]


# --- faults


@pytest.mark.sqlite_only
def test_begun_sign_ins_are_bounded(open_house: OpenHouse) -> None:
    """Whoever begins ever more of them does not fill the database; a finished one makes room."""
    house = open_house(replace(Limits(), openid_begun=2))
    house.provider.claims = {"email": ALICE}
    first, second, late = (Visitor(house.desk) for _ in range(3))
    address, _ = first.start(), second.start()
    refused = late.begin()
    assert (refused.status_code, refused.json()["code"], refused.headers["retry-after"]) == (429, "too_many_sign_ins", "60")
    assert "too many sign-ins are under way; try again" in refused.json()["error"]
    assert first.finish(house.provider.authorize(address)).status_code == 201
    assert late.begin().status_code == 201


def test_a_provider_that_is_away_is_said(house: House) -> None:
    """503, and the sign-in works as soon as it is back; requests do not wait for it."""
    house.provider.answers["/.well-known/openid-configuration"] = (500, {}, b"")
    visitor = Visitor(house.desk)
    answer = visitor.begin()
    assert (answer.status_code, answer.json()["code"]) == (503, "provider_failed")
    assert house.said == ["a sign-in failed: 127.0.0.1 answered 500, without the document that is needed"]
    house.desk.ask()
    house.provider.answers = {"/token": (503, {}, b"")}
    until(lambda: visitor.begin().status_code == 201, "the provider is not tried again")
    back = house.provider.authorize(visitor.start())
    house.refused(visitor.finish(back), 503, "provider_failed", "refuses to exchange a code (503)")
    house.provider.answers = {}
    assert visitor.finish(house.provider.authorize(visitor.start())).status_code == 201


@pytest.mark.sqlite_only
def test_a_restart_in_the_middle_of_a_sign_in_loses_nothing(
    open_house: OpenHouse, server_places: Places, tmp_path: Path
) -> None:
    """Another server of the same database finishes what the first one began."""
    house = open_house()
    visitor = Visitor(house.desk)
    back = house.provider.authorize(visitor.start())
    port = urlsplit(house.desk.server.url).port or 0
    house.desk.server.stop()
    openid = OpenIdPlan(house.provider.issuer, CLIENT[0], tmp_path / "secret", approvers=(ALICE,))
    with Running(ServePlan(server_places, port=port, openid=openid)) as server, desk_of(server, "bob") as desk:
        visitor.desk = desk
        assert visitor.finish(back).json()["name"] == ALICE


@pytest.mark.sqlite_only
def test_without_a_provider_nobody_signs_in_through_one(desk: Desk) -> None:
    """404, and the sentence names the section of server.yaml that is missing."""
    answer = Visitor(desk).begin()
    assert (answer.status_code, answer.json()["code"]) == (404, "no_provider")
    assert "openid in server.yaml" in answer.json()["error"]


def test_another_replica_finishes_a_sign_in(served_url: str, home: Path, tmp_path: Path) -> None:
    """A proxy sends each call to any of them; of two that get the same answer one believes it, and both know the session."""
    (tmp_path / "secret").write_text(CLIENT[1])
    (tmp_path / "secret").chmod(0o600)
    host = {"Host": "approve.example.org"}
    with ExitStack() as stack:
        provider = stack.enter_context(serving())
        openid = OpenIdPlan(provider.issuer, CLIENT[0], tmp_path / "secret", approvers=(ALICE,))
        found = []
        for name in ("one", "two"):
            places = Places(home / name, home / f"{name}-run")
            plan = ServePlan(places, database=Secret(served_url), public_url="https://approve.example.org", openid=openid)
            found.append(stack.enter_context(desk_of(stack.enter_context(Running(plan)), name)))
        first, second = found
        visitor = Visitor(first)
        begun = visitor.post("/desk/openid/start", {"challenge": challenge_of(visitor.verifier)}, **host)
        back = {**provider.authorize(begun.json()["address"]), "verifier": visitor.verifier}
        visitor.desk = second
        entered = visitor.post("/desk/openid/return", back, **host)
        visitor.desk = first
        assert (entered.json()["name"], visitor.post("/desk/openid/return", back, **host).status_code) == (ALICE, 401)
        for desk in found:
            with desk.client(entered.json()["token"]) as client:
                assert client.get("/desk/sessions").json()["name"] == ALICE


@pytest.mark.sqlite_only
def test_a_server_without_the_clients_secret_does_not_start(server_places: Places, tmp_path: Path) -> None:
    """Missing, or open to others."""
    plan = ServePlan(server_places, openid=OpenIdPlan("https://id.example.org", "approvals", tmp_path / "secret"))
    with pytest.raises(ConfigError, match="cannot be read"), Running(plan):
        pass
    (tmp_path / "secret").write_text("s")
    (tmp_path / "secret").chmod(0o644)
    with pytest.raises(ConfigError, match="open to other users"), Running(plan):
        pass


@pytest.mark.sqlite_only
def test_without_the_library_it_says_what_to_install(
    server_places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only where server.yaml names a provider."""
    monkeypatch.setitem(__import__("sys").modules, "molecule_approve.server.openid.provider", None)
    plan = ServePlan(server_places, openid=OpenIdPlan("https://id.example.org", "approvals", tmp_path / "secret"))
    with pytest.raises(ServerError, match="OpenID Connect is not installed") as failed, Running(plan):
        pass
    assert "molecule-approve[server,openid]" in str(failed.value.hint)
    with Running(replace(plan, openid=None)):
        pass


# --- a provider that somebody else wrote


@pytest.mark.sqlite_only
def test_a_real_provider_lets_its_people_in(server_places: Places, tmp_path: Path) -> None:
    """Discovery, keys, the exchange and the claims of somebody else's software, which refuses a code's second use."""
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "secret").chmod(0o600)
    people: list[dict[str, Any]] = [
        {"sub": "1", "email": ALICE, "email_verified": True, "groups": ["ops"]},
        {"sub": "2", "email": "bob@example.org", "email_verified": True},
        {"sub": "3", "email": "carol@example.org", "email_verified": False, "groups": ["ops"]},
    ]
    with real_provider(*people) as issuer:
        groups = {"operators": ("ops",)}
        openid = OpenIdPlan(issuer, "approvals", tmp_path / "secret", groups_claim="groups", groups=groups)
        with Running(ServePlan(server_places, openid=openid)) as server, desk_of(server, "root") as desk:

            def enter(sub: str) -> httpx.Response:
                visitor = Visitor(desk)
                back = say_yes(visitor.start(), sub)
                assert str(back).startswith(f"{server.url}/desk/openid/return?")
                return visitor.finish(dict(back.params))

            assert enter("1").json()["name"] == ALICE
            assert enter("2").json()["code"] == "not_approver"
            assert "not verified" in enter("3").json()["error"]
            visitor = Visitor(desk)
            used, fresh = (dict(say_yes(visitor.start(), "1").params) for _ in range(2))
            assert visitor.finish(used).status_code == 201
            assert visitor.finish({**fresh, "code": used["code"]}).json()["code"] == "wrong_answer"
