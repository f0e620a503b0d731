"""JSON as one exact sequence of bytes."""

from __future__ import annotations

import json
import struct

import pytest

from molecule_approve.proofs.canonical import canonical, digest_of

# RFC 8785, appendix B: the bits of a number, and its text.
NUMBERS = {
    "0000000000000000": "0",
    "8000000000000000": "0",
    "0000000000000001": "5e-324",
    "8000000000000001": "-5e-324",
    "7fefffffffffffff": "1.7976931348623157e+308",
    "ffefffffffffffff": "-1.7976931348623157e+308",
    "4340000000000000": "9007199254740992",
    "c340000000000000": "-9007199254740992",
    "4430000000000000": "295147905179352830000",
    "44b52d02c7e14af5": "9.999999999999997e+22",
    "44b52d02c7e14af6": "1e+23",
    "44b52d02c7e14af7": "1.0000000000000001e+23",
    "444b1ae4d6e2ef4e": "999999999999999700000",
    "444b1ae4d6e2ef4f": "999999999999999900000",
    "444b1ae4d6e2ef50": "1e+21",
    "3eb0c6f7a0b5ed8c": "9.999999999999997e-7",
    "3eb0c6f7a0b5ed8d": "0.000001",
    "41b3de4355555553": "333333333.3333332",
    "41b3de4355555557": "333333333.33333343",
    "becbf647612f3696": "-0.0000033333333333333333",
    "43143ff3c1cb0959": "1424953923781206.2",
}


@pytest.mark.parametrize(("bits", "text"), NUMBERS.items())
def test_a_number_is_written_as_ecmascript_writes_it(bits: str, text: str) -> None:
    """Every number of the RFC's table has the text that stands there."""
    assert canonical(struct.unpack(">d", bytes.fromhex(bits))[0]) == text.encode()


def test_keys_are_sorted_by_utf_16_and_texts_escaped_as_little_as_json_allows() -> None:
    """The order of keys and the escapes are those of the RFC."""
    value = {"\U0001f600": 2, "\ufb33": 3, "a": ['\x00\x1f\n\u20ac\x7f"\\/', True, None, 12]}
    expected = '{"a":["\\u0000\\u001f\\n€\x7f\\"\\\\/",true,null,12],"\U0001f600":2,"\ufb33":3}'
    assert canonical(value) == expected.encode()  # type: ignore[arg-type]  # a list of JSON values


def test_an_integer_keeps_all_its_digits() -> None:
    """An integer beyond what a double can hold is not rounded."""
    assert canonical(2**80 + 1) == b"1208925819614629174706177"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": [float("-inf")]}, "\ud800", {"\udfff": 1}])
def test_what_has_no_canonical_form_is_refused(value: object) -> None:
    """A number that is not finite and half a character have no form."""
    with pytest.raises(ValueError):
        canonical(value)  # type: ignore[arg-type]  # JSON, but for the value


def test_what_is_nested_without_end_is_refused() -> None:
    """As what has no canonical form; a reader of JSON may take it."""
    with pytest.raises(ValueError, match="too deeply nested"):
        canonical(json.loads("[" * 900 + "]" * 900))


def test_equal_values_have_equal_hashes_whatever_their_order() -> None:
    """The order of keys does not matter, the values do."""
    assert digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
    assert digest_of({"a": 1, "b": 2}) != digest_of({"a": 2, "b": 1})
