# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON that is changed and otherwise stays as it was written."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.json_text import parse, written
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain import plain_json

DATA = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.text(max_size=8), DATA, max_size=5)


@st.composite
def texts(draw, data=DATA):
    """Some data with its JSON, with white space wherever there may be some."""
    blank = st.text(" \t\r\n", max_size=3)

    def spread(value):
        before, after = draw(blank), draw(blank)
        if isinstance(value, dict) and value:
            members = [f"{draw(blank)}{spell(name)}{draw(blank)}:{spread(each)}" for name, each in value.items()]
            return f"{before}{{{','.join(members)}{draw(blank)}}}{after}"
        if isinstance(value, list) and value:
            return f"{before}[{','.join(map(spread, value))}]{after}"
        return f"{before}{spell(value)}{after}"

    def spell(value):
        return json.dumps(value, ensure_ascii=draw(st.booleans()))

    found = draw(data)
    return found, spread(found)


def whole(parsed):
    return "".join(map(str, parsed))


@given(texts())
def test_what_is_not_changed_is_as_it_was_to_the_last_blank(pair):
    data, text = pair
    parsed = parse(text)
    assert whole(parsed) == text and parsed[1].data == data


@given(texts(OBJECTS), st.text(max_size=8), DATA)
def test_a_member_is_put_where_it_is_or_at_the_end(pair, name, value):
    data, text = pair
    parsed = parse(text)
    parsed[1].put(name, written(value))
    assert list(json.loads(whole(parsed)).items()) == list({**data, name: value}.items())
    parsed[1].drop(name)
    assert json.loads(whole(parsed)) == {each: data[each] for each in data if each != name}
    if name not in data:
        assert whole(parsed) == text or not data


@given(texts(st.lists(DATA, min_size=1, max_size=5)), st.data())
def test_an_element_is_put_where_it_is_to_be(pair, draw):
    data, text = pair
    at = draw.draw(st.integers(0, len(data)))
    parsed = parse(text)
    parsed[1].insert(at, written("new"))
    assert json.loads(whole(parsed)) == [*data[:at], "new", *data[at:]]
    assert parsed[1].pop(at).data == "new"
    assert json.loads(whole(parsed)) == data


@given(st.lists(DATA, min_size=2, max_size=5), st.sampled_from([None, 1, 2, 4, "\t"]), st.data())
def test_who_goes_and_comes_back_leaves_no_trace(data, indent, draw):
    text = json.dumps({"list": data}, indent=indent)
    parsed = parse(text)
    found = parsed[1].get("list")
    # All but one, in any order, and back again in the opposite one.
    gone = [(at, found.pop(at)) for at in (draw.draw(st.integers(0, left)) for left in range(len(data) - 1, 0, -1))]
    for at, value in reversed(gone):
        found.insert(at, value)
    assert whole(parsed) == text


@pytest.mark.parametrize("indent", [1, 2, 4, "\t"])
def test_the_only_one_too_comes_back_to_a_line_of_its_own(indent):
    text = json.dumps({"list": [1]}, indent=indent)
    parsed = parse(text)
    found = parsed[1].get("list")
    found.append(found.pop(0))
    assert whole(parsed) == text


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("{}", '{"new": 1}'),
        ('{"a":1}', '{"a":1, "new":1}'),
        ('{"a":1,"b":2}', '{"a":1,"b":2,"new":1}'),
        ('{"a": 1, "b": 2}', '{"a": 1, "b": 2, "new": 1}'),
        ('{\n  "a" : 1\n}', '{\n  "a" : 1,\n  "new" : 1\n}'),
        ('{ "a:": 1 }', '{ "a:": 1, "new": 1 }'),
        ('{"a": 1, "new": {"long": [1, 2]}, "b": 2}', '{"a": 1, "new": 1, "b": 2}'),
        ('{"new": 5, "new": 7}', '{"new": 5, "new": 1}'),
    ],
)
def test_what_is_new_looks_like_its_neighbours(text, after):
    parsed = parse(text)
    parsed[1].put("new", written(1))
    assert whole(parsed) == after


def test_of_several_members_of_one_name_the_last_counts_and_all_go():
    value = parse('{"a": 1, "b": 2, "a": 3}')[1]
    assert value.get("a").data == 3 and value.get("c") is None
    value.drop("a")
    assert str(value) == '{"b": 2}'


@given(st.text())
def test_what_is_no_json_is_a_value_error(text):
    try:
        plain_json.loads(text)
    except ValueError:
        with pytest.raises(ValueError):
            parse(text)
    else:
        assert whole(parse(text)) == text


@pytest.mark.parametrize("text", ["", "{", '{"a" 1}', "[1,]", "\ufeff{}", "[" * 100000, "{} {}", "\u00a0{}"])
def test_more_of_that(text):
    with pytest.raises(ValueError):
        parse(text)
