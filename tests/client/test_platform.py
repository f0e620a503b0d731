"""The contract: that both who keep it and who double it in these tests have its shape."""

from __future__ import annotations

from molecule_approve.client.platform import Platform, Sighting, Subscription, Withdrawal
from molecule_approve.client.rest import RestPlatform
from tests.client.fakes import Clock, Contract, Stream, endpoint


def test_whoever_keeps_the_contract_has_its_shape() -> None:
    """The REST client and the tests' double are platforms, as the type checker sees when it reads this."""
    platforms: list[Platform] = [RestPlatform(endpoint("http://127.0.0.1:1")), Contract(Clock())]
    stream: Subscription = Stream(Clock(), [])
    wanted = {name for name in vars(Platform) if not name.startswith("_")}
    assert all(wanted <= set(dir(platform)) for platform in platforms)
    assert stream.next(0.0) is None


def test_a_sighting_of_nothing_claims_nothing() -> None:
    """The defaults are the cautious ones: no row, not crowded, nothing strange."""
    assert Sighting(None) == Sighting(None, duplicates=(), crowded=False, oldest=None, strange=False)
    assert not Withdrawal(withdrawn=False, ended_before=False).withdrawn
