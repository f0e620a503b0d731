"""Calls a minute: counted from a key's first one, on a clock that never jumps."""

from __future__ import annotations

from molecule_approve.server.rates import RateLimiter


def test_after_a_minute_a_key_has_its_calls_again() -> None:
    """Not before; and what is left is told meanwhile."""
    now = [0.0]
    rates = RateLimiter(lambda: now[0])
    assert [rates.charge("key", 2)[1] for _ in range(3)] == [True, True, False]
    now[0] = 59.9
    assert rates.charge("key", 2)[1] is False
    now[0] = 60.0
    allowance, within = rates.charge("key", 2)
    assert (allowance.remaining, within) == (1, True)


def test_a_minute_starts_with_a_keys_first_call_and_is_forgotten() -> None:
    """Counted on a clock that never jumps; a thousand old keys are swept away by the next call."""
    now = [0.0]
    rates = RateLimiter(lambda: now[0])
    for number in range(RateLimiter.MANY):
        rates.charge(f"key {number}", 1)
    assert rates.charge("key 7", 1)[1] is False
    now[0] = 59.5
    assert rates.charge("key 7", 1)[0].reset == 1
    now[0] = 60.0
    allowance, within = rates.charge("key 7", 1)
    assert (allowance.remaining, allowance.reset, within) == (0, 60, True)
    assert len(rates) == 1


def test_the_memory_of_many_addresses_is_bounded() -> None:
    """Beyond a number of keys the further ones share a count; whoever was known before keeps its own."""
    rates = RateLimiter(lambda: 0.0)
    for number in range(RateLimiter.MOST + 500):
        rates.charge(f"from {number}", 2)
    assert len(rates) == RateLimiter.MOST + 1
    assert rates.charge("from 7", 2)[1] is True
    assert rates.charge("from somewhere new", 2)[1] is False


def test_what_other_servers_counted_counts_here() -> None:
    """And each call is told, so that they know of it too."""
    rates, told = RateLimiter(lambda: 0.0), list[str]()
    rates.counted = told.append
    rates.elsewhere = {"key": 2}
    found = [rates.charge("key", 3) for _ in range(2)]
    assert [(allowance.remaining, within) for allowance, within in found] == [(0, True), (0, False)]
    assert told == ["key", "key"]
