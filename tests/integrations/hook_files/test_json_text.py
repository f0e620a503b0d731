"""json_text.py: a value that changes within its own text."""

from __future__ import annotations

import json
from typing import Any

import pytest

from molecule_approve.integrations.hook_files.json_text import rewritten

ODD = '{\n\t"b" : {"x":1.0e5,  "y":"\\u00e9\\ud800"},\n\t"a": [1,2, 3]\n}\n\n'


def test_an_unchanged_value_keeps_every_byte() -> None:
    """Also where nobody would lay it out so."""
    assert rewritten(ODD, json.loads(ODD)) == ODD


def test_only_what_changed_is_laid_out_anew() -> None:
    """A new member is indented as the file is; its neighbours keep their spelling, and the keys their order."""
    value: Any = json.loads(ODD)
    value["c"] = {"d": [{}]}
    expected = (
        '{\n\t"b": {"x":1.0e5,  "y":"\\u00e9\\ud800"},\n\t"a": [1,2, 3],\n\t"c": {\n\t\t"d": [\n\t\t\t{}\n\t\t]\n\t}\n}\n\n'
    )
    assert rewritten(ODD, value) == expected


def test_a_member_deep_inside_changes_alone() -> None:
    """Objects around it are opened up, and the parts beside it are copied."""
    text = '{"a": {"b": [ 1 ], "c": 1}, "d": "x"}'
    assert rewritten(text, {"a": {"b": [1], "c": 2}, "d": "x"}) == (
        '{\n  "a": {\n    "b": [ 1 ],\n    "c": 2\n  },\n  "d": "x"\n}'
    )


def test_an_item_that_goes_leaves_the_others_as_they_are() -> None:
    """Whichever place they move to."""
    text = '[\n  {"one":1},\n  {"two":2},\n  {"three":3}\n]'
    assert rewritten(text, [{"one": 1}, {"three": 3}]) == '[\n  {"one":1},\n  {"three":3}\n]'


def test_a_key_keeps_its_escapes() -> None:
    """It is copied, not written anew."""
    assert rewritten('{"\\u00e9": 1}', {"é": 1, "b": "ö"}) == '{\n  "\\u00e9": 1,\n  "b": "ö"\n}'


def test_true_is_not_one() -> None:
    """Python takes them for equal, JSON does not."""
    assert rewritten('{"a": 1}', {"a": True}) == '{\n  "a": true\n}'


def test_a_value_of_another_kind_replaces_the_old_one() -> None:
    """Nothing of an object stays in a list, nor the other way round."""
    assert rewritten('{"a": {"b": 1}}', {"a": [{"b": 2}]}) == '{\n  "a": [\n    {\n      "b": 2\n    }\n  ]\n}'


def test_lines_end_as_they_did() -> None:
    """CR LF stays CR LF."""
    assert rewritten('{\r\n    "a": 1\r\n}\r\n', {"a": 1, "b": ["x", "y"]}) == (
        '{\r\n    "a": 1,\r\n    "b": ["x", "y"]\r\n}\r\n'
    )


@pytest.mark.parametrize("text", ["", " \n"])
def test_nothing_becomes_a_file_of_its_own(text: str) -> None:
    """With two spaces and an end of line."""
    assert rewritten(text, {"a": {"b": []}}) == '{\n  "a": {\n    "b": []\n  }\n}\n'
