# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Edits of JSON: only what is meant changes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers import json_edits

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.text(max_size=6), VALUES, min_size=1, max_size=5)
STYLES = st.sampled_from(
    [
        {},
        {"indent": 2},
        {"indent": 4, "ensure_ascii": False},
        {"separators": (",", ":")},
        {"separators": (" , ", " : ")},
    ]
)


@given(OBJECTS, STYLES, st.data())
def test_an_entry_comes_and_goes_without_a_trace(value, style, data):
    text = " \n" + json.dumps(value, **style) + "\n"
    after = data.draw(st.sampled_from(sorted(value)))
    with_it = json_edits.inserted(text, (after,), "a key that is not there", '{"x": [1]}')
    assert json.loads(with_it) == {**value, "a key that is not there": {"x": [1]}}
    assert json_edits.removed(with_it, ("a key that is not there",)) == text


@given(OBJECTS, STYLES, VALUES, st.data())
def test_a_value_is_replaced_in_its_place_alone(value, style, new, data):
    text = json.dumps(value, **style)
    key = data.draw(st.sampled_from(sorted(value)))
    old = json_edits.part(text, (key,))
    changed = json_edits.replaced(text, (key,), json_edits.dump(new))
    assert json.loads(changed) == {**value, key: new}
    assert changed.startswith(text[: old.start]) and changed.endswith(text[old.end :])
    assert list(json.loads(changed)) == list(value)


@given(OBJECTS, STYLES, st.data())
def test_any_entry_can_be_removed(value, style, data):
    key = data.draw(st.sampled_from(sorted(value)))
    left = json.loads(json_edits.removed(json.dumps(value, **style), (key,)))
    assert left == {other: value[other] for other in value if other != key}


@given(st.lists(VALUES, max_size=5), STYLES, st.lists(VALUES, max_size=5))
def test_a_list_gets_other_items_and_its_own_back(old, style, new):
    text = json.dumps({"list": old}, **style)
    items = [text[item.start : item.end] for item in json_edits.parts(text, ("list",))]
    changed = json_edits.with_items(text, ("list",), [json_edits.dump(value) for value in new], " ")
    assert json.loads(changed) == {"list": new}
    assert json_edits.with_items(text, ("list",), items, " ") == text
    if len(old) > 1 and len(new) > 1:
        assert json_edits.with_items(changed, ("list",), items, " ") == text


@pytest.mark.parametrize(
    ("text", "items", "wanted"),
    [
        ("[\n  1,\n  2\n]", ["2"], "[\n  2\n]"),
        ("[\n  1\n]", ["1", "2"], "[\n  1,\n  2\n]"),
        ("[1]", ["1", "2"], "[1, 2]"),
        ("[1, 2]", [], "[]"),
        ("[]", ["1", "2"], "[\n  1,\n  2\n]"),
        ("[ 1,2 ]", ["3", "4"], "[ 3,4 ]"),
    ],
)
def test_items_are_set_off_as_their_neighbours_are(text, items, wanted):
    assert json_edits.with_items(text, (), items, "\n  ") == wanted


def test_of_a_key_that_is_there_twice_the_last_counts_as_for_every_reader():
    text = '{"a": 1, "a": 2}'
    assert json_edits.part(text, ("a",)).value == json.loads(text)["a"] == 2
    assert json_edits.replaced(text, ("a",), "3") == '{"a": 1, "a": 3}'


def test_what_is_not_there():
    for path in (("b",), ("a", "x"), ("a", 2), ("a", 0, "x"), ("c", "x"), ("c", 0)):
        with pytest.raises(KeyError):
            json_edits.part('{"a": [1, 2], "c": "d"}', path)


@given(st.text() | st.just("[" * 100000) | st.just('{"a":' * 100000))
def test_what_is_no_json_is_a_value_error(text):
    try:
        json_edits.load(text)
    except ValueError:
        pass
