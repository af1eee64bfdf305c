# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Groups of members, as tasks describe them."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import InvalidInput
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.groups import Group, filled, groups_in
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.members import Member

POOL = [
    Member("a", "192.0.2.1:80", "enabled", 100, "up"),
    Member("b", "192.0.2.2:80", "enabled", 100, "down"),
    Member("c", "192.0.2.3:80", "drained", 50, "up"),
    Member("d", "192.0.2.4:80", "disabled", 0, "unknown"),
]


def test_what_is_left_out_is_what_the_others_leave():
    groups = groups_in({"canary": {"members": ["a"], "share": "2.5%"}, "rest": {}})
    assert groups == [Group("canary", ("a",), Fraction(5, 2)), Group("rest", None, Fraction(195, 2))]
    canary, rest = filled(groups, POOL, "here")
    assert (canary.members, rest.members) == (("a",), ("b",))


@pytest.mark.parametrize("share", [5, 5.0, "5", "5%", " 5 % ", "5.0"])
def test_a_percent_may_be_written_in_many_ways(share):
    assert groups_in({"x": {"members": ["a"], "share": share}, "y": {"members": ["b"]}})[0].share == 5


def test_what_a_template_makes_of_a_number_is_one():
    (group,) = groups_in({"x": {"members": ["a", "b"], "share": "100", "weights": {"a": "3"}}})
    assert group.parts() == {"a": 75, "b": 25}


@pytest.mark.parametrize(
    ("described", "said"),
    [
        (None, "`groups` is None"),
        ({}, "should be a dictionary of groups"),
        (["a"], "should be a dictionary of groups"),
        ({"x": ["a"]}, "Group x is .* should be a dictionary"),
        (
            {"x": {"member": ["a"], "share": 100}},
            "Group x has `member`, and there is `members`, `share` and `weights` alone",
        ),
        ({"x": {"members": "a", "share": 100}}, "no list of names"),
        ({"x": {"members": ["a", 5], "share": 100}}, "no list of names"),
        ({"x": {"members": None, "share": 100}}, "no list of names"),
        ({"x": {"members": ["a"], "share": 101}}, "share 101, which is no percent"),
        ({"x": {"members": ["a"], "share": -1}}, "no percent"),
        ({"x": {"members": ["a"], "share": True}}, "no percent"),
        ({"x": {"members": ["a"], "share": None}}, "no percent"),
        ({"x": {"members": ["a"], "share": "1/2"}}, "no percent"),
        ({"x": {"members": ["a"], "share": float("nan")}}, "no percent"),
        ({"x": {"members": ["a"], "share": float("inf")}}, "no percent"),
        ({"x": {"members": ["a"], "share": 100, "weights": {"a": 0}}}, "whole numbers from 1"),
        ({"x": {"members": ["a"], "share": 100, "weights": [1]}}, "whole numbers from 1"),
        (
            {"x": {"members": ["a"], "share": 100, "weights": {"b": 1}}},
            "weights of b, which its `members` does not name",
        ),
        ({"x": {"members": ["a"], "share": 60}, "y": {"members": ["b"], "share": 30}}, "sum to 90 and not to 100"),
        ({"x": {"members": ["a"], "share": 60}, "y": {"members": ["b"], "share": 50}, "z": {}}, "sum to 110"),
        ({"x": {"members": ["a"], "share": 33.33}, "y": {"members": ["b"], "share": 66.66}}, "sum to 99.99"),
        ({"x": {"share": 60}, "y": {}}, "Groups x, y have no `members`: one alone"),
        ({"x": {"members": ["a"]}, "y": {"members": ["b"]}}, "Groups x, y have no `share`: one alone"),
        ({"x": {"members": ["a", "b"], "share": 60}, "y": {"members": ["b"]}}, "b cannot be in groups twice"),
        ({"x": {"members": ["a", "a"]}}, "a cannot be in groups twice"),
        ({"x": {"members": [], "share": 60}, "y": {"members": ["b"]}}, "Group x is to get 60 % and names no members"),
    ],
)
def test_what_makes_no_sense_is_told(described, said):
    with pytest.raises(InvalidInput, match=f"{said}.*Nothing was touched"):
        groups_in(described)


def test_all_that_is_wrong_is_told_at_once():
    with pytest.raises(InvalidInput, match=r"Group x has `typo`.*Group y has the share 200"):
        groups_in({"x": {"typo": 1}, "y": {"share": 200}})


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-200, 200) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
GROUP = st.fixed_dictionaries({}, optional={"members": VALUES, "share": VALUES, "weights": VALUES})


@given(VALUES | st.dictionaries(st.text(max_size=3), VALUES | GROUP, max_size=3))
def test_whatever_is_given_is_either_groups_that_fit_or_told(described):
    try:
        groups = groups_in(described)
    except InvalidInput:
        return
    assert sum(group.share for group in groups) == 100


def test_who_is_not_there_and_who_would_be_forgotten():
    with pytest.raises(InvalidInput, match=r"here has no member y, z\. Its members are: a, b, c, d\."):
        filled([Group("x", ("z", "a", "y"), Fraction(100))], POOL, "here")
    with pytest.raises(InvalidInput, match=r"here: b is in traffic and in no group.*take them out of traffic"):
        filled([Group("x", ("a",), Fraction(100))], POOL, "here")


def test_who_is_out_may_be_in_no_group():
    assert filled([Group("x", ("a", "b"), Fraction(100))], POOL, "here")[0].members == ("a", "b")


def test_a_rest_of_nobody_can_get_nothing_alone():
    groups = [Group("x", ("a", "b"), Fraction(50)), Group("rest", None, Fraction(50))]
    with pytest.raises(
        InvalidInput, match="group rest is to get 50 %, and nobody is in traffic whom no other group names"
    ):
        filled(groups, POOL, "here")
    groups = [Group("x", ("a", "b"), Fraction(100)), Group("rest", None, Fraction(0))]
    assert filled(groups, POOL, "here")[1].members == ()
