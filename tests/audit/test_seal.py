"""Seals: what they cover, what their keys give away, and that no key is shown or comes back from a later one."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import TYPE_CHECKING

import pytest

from molecule_approve.audit.record import encode
from molecule_approve.audit.seal import FARTHEST, Keys, SealKey, from_text, holds, is_sealed

if TYPE_CHECKING:
    from collections.abc import Callable

    from molecule_approve.audit.record import Record

KEY = SealKey("7d444840-9dc0-11d1-b245-5ffdce74fad2", 7, b"k" * 32)


def a_line(make: Callable[..., Record], key: SealKey = KEY, **extras: str) -> bytes:
    """A record under its key."""
    return encode(make(**extras), log_id=key.log_id, seq=key.seq, prev="ab" * 32, key=key.key)


def test_a_seal_is_the_hmac_of_all_that_stands_before_it(make: Callable[..., Record]) -> None:
    """As any language can compute it, with the field in the last place; the line is the same without it."""
    line = a_line(make)
    body, _, rest = line.rpartition(b',"seal":"')
    assert rest == hmac.new(KEY.key, body, hashlib.sha256).hexdigest().encode() + b'"}'
    assert list(json.loads(line))[-1] == "seal"
    assert body + b"}" == encode(make(), log_id=KEY.log_id, seq=7, prev="ab" * 32)
    assert is_sealed(line)
    assert holds(line, KEY.key)


def test_a_seal_holds_for_its_key_and_its_bytes_only(make: Callable[..., Record]) -> None:
    """Another key, another record's key, and every single bit of the line that is turned over."""
    line = a_line(make)
    assert not holds(line, b"j" * 32)
    assert not holds(line, KEY.at(8).key)
    for place in range(len(line)):
        damaged = line[:place] + bytes([line[place] ^ 1]) + line[place + 1 :]
        assert not holds(damaged, KEY.key)


@pytest.mark.parametrize(
    "line", [b"", b"{}", b'{"seal":"x"}', b'{"a":1,"seal":"' + b"0" * 63 + b'"}', b'{"a":1,"seal":"' + b"0" * 64 + b'" }']
)
def test_a_line_without_a_seal_is_not_sealed(line: bytes) -> None:
    """Nor one that only looks like it."""
    assert not is_sealed(line)
    assert not holds(line, KEY.key)


def test_a_text_that_looks_like_a_seal_is_none(make: Callable[..., Record]) -> None:
    """What somebody asks for stands escaped in the line, and in front of its end."""
    forged = ',"seal":"' + "0" * 64 + '"}'
    plain = encode(make(resource=forged, note=forged), log_id=KEY.log_id, seq=7, prev="ab" * 32)
    assert not is_sealed(plain)
    assert holds(a_line(make, note=forged), KEY.key)


def test_an_even_longer_record_fits_with_its_seal(make: Callable[..., Record]) -> None:
    """The seal's room is kept when a text is cut."""
    line = a_line(make, note="x" * 200_000)
    assert len(line) < 65_536
    assert holds(line, KEY.key)


def test_each_record_has_a_key_of_its_own() -> None:
    """The next one is a hash of the one before; a later key gives no earlier one."""
    assert KEY.at(7) == KEY
    assert KEY.at(8).key == hashlib.sha256(b"molecule-approve seal, next key\n" + KEY.key).digest()
    assert KEY.at(10) == KEY.at(8).at(9).at(10)
    assert len({KEY.at(seq).key for seq in range(7, 107)}) == 100
    with pytest.raises(ValueError, match="key of record 7 cannot give the key of the earlier record 6"):
        KEY.at(6)


def test_a_key_goes_through_its_text() -> None:
    """As it is printed and kept, white space around it aside."""
    text = KEY.to_text()
    assert text == f"seal1:{KEY.log_id}:7:{'6b' * 32}"
    assert from_text(f"  {text}\n") == KEY


@pytest.mark.parametrize(
    "text",
    [
        "",
        "seal1",
        f"seal2:a:7:{'6b' * 32}",
        f"seal1::7:{'6b' * 32}",
        f"seal1:a b:7:{'6b' * 32}",
        f"seal1:{'a' * 65}:7:{'6b' * 32}",
        f"seal1:a:0:{'6b' * 32}",
        f"seal1:a:07:{'6b' * 32}",
        f"seal1:a:-7:{'6b' * 32}",
        f"seal1:a:{'9' * 19}:{'6b' * 32}",
        f"seal1:a:\u0663:{'6b' * 32}",
        f"seal1:a:7:{'6B' * 32}",
        f"seal1:a:7:{'6b' * 31}",
        f"seal1:a:7:{'6b' * 33}",
        f"seal1:a:7:{'6b' * 32}:",
        f"seal1:a:7:{'6b' * 32}\nseal1:a:7:{'6b' * 32}",
    ],
)
def test_what_is_no_key_is_refused_and_not_repeated(text: str) -> None:
    """Half a key in an error message would be half a key given away."""
    with pytest.raises(ValueError, match="a seal key looks like") as caught:
        from_text(text)
    assert "6b6b" not in str(caught.value)


def test_a_key_is_never_shown() -> None:
    """Neither alone nor inside of something else that a traceback shows."""
    for shown in (repr(KEY), str(KEY), repr([KEY]), f"{(KEY,)}"):
        assert "seq=7" in shown
        assert "kkk" not in shown
        assert KEY.key.hex() not in shown


def test_of_several_keys_the_newest_counts(make: Callable[..., Record]) -> None:
    """Forwards, backwards and over long ways: each record under the last key that was given for it."""
    second = SealKey(KEY.log_id, 200_000, b"s" * 32)
    keys = Keys([second, KEY])
    assert (keys.log_id, keys.first) == (KEY.log_id, 7)
    for seq in (7, 8, 150_000, 9, 140_000, 199_999, 200_000, 200_001, 150_000, 7):
        key = (second if seq >= second.seq else KEY).at(seq)
        assert keys.hold(a_line(make, key), seq), seq
        assert not keys.hold(a_line(make, KEY.at(seq) if seq >= second.seq else second), seq), seq


def test_a_record_that_is_too_far_from_its_key_is_not_waited_for(make: Callable[..., Record]) -> None:
    """A made-up number must not keep the verifier busy for hours."""
    assert not Keys([KEY]).hold(a_line(make), KEY.seq + FARTHEST + 1)


def test_keys_belong_to_one_log() -> None:
    """One at least."""
    for keys in ([], [KEY, KEY._replace(log_id="other")]):
        with pytest.raises(ValueError, match="same log"):
            Keys(keys)
