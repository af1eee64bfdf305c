# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From shares to weights: exact where that can be, nearest otherwise, and never nothing for who is to get something."""

from __future__ import annotations

from fractions import Fraction
from math import gcd

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain import shares
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.groups import Group

RANGES = [(0, 256), (1, 65535), (1, 100), (0, 65535), (1, 2147483647), (1, 10), (3, 9)]


def two(blue, green, weights=None):
    return [Group("blue", ("a", "b"), Fraction(str(blue)), weights or {}), Group("green", ("c",), Fraction(str(green)))]


@st.composite
def splits(draw, most=5):
    """Groups whose shares sum to 100, with members and weights of their own."""
    count = draw(st.integers(1, most))
    cuts = sorted(draw(st.lists(st.integers(0, 10000), min_size=count - 1, max_size=count - 1)))
    bounds = [0, *cuts, 10000]
    groups = []
    for number, (low, high) in enumerate(zip(bounds, bounds[1:])):
        members = tuple(f"m{number}_{each}" for each in range(draw(st.integers(1, 4))))
        weights = draw(st.dictionaries(st.sampled_from(members), st.integers(1, 9)))
        groups.append(Group(f"g{number}", members, Fraction(high - low, 100), weights))
    return groups


@pytest.mark.parametrize(
    ("groups", "weights"),
    [
        (two(95, 5), {"a": 19, "b": 19, "c": 2}),
        (two(50, 50), {"a": 1, "b": 1, "c": 2}),
        (two(100, 0), {"a": 1, "b": 1}),
        (two(0, 100), {"c": 1}),
        (two("66.6", "33.4", {"a": 2}), {"a": 222, "b": 111, "c": 167}),
    ],
)
def test_the_smallest_weights_that_give_it_exactly(groups, weights):
    assert shares.weights_for(groups, (0, 256)) == weights


def test_weights_begin_where_the_range_does():
    assert shares.weights_for(two(50, 50), (3, 9)) == {"a": 3, "b": 3, "c": 6}


def test_what_no_weights_give_is_as_near_as_can_be():
    groups = [Group("blue", ("a",), Fraction("99.5")), Group("green", ("b",), Fraction("0.5"))]
    weights = shares.weights_for(groups, (1, 100))
    assert weights == {"a": 100, "b": 1}
    assert shares.given(groups, weights) == {"blue": Fraction(10000, 101), "green": Fraction(100, 101)}
    assert shares.off_by(groups, weights) == Fraction(100, 101) - Fraction(1, 2)


def test_without_weights_everybody_counts_alike():
    weights = shares.weights_for(two(95, 5), None)
    assert weights == {"a": 1, "b": 1, "c": 1}
    assert shares.off_by(two(95, 5), weights) == Fraction(100, 3) - 5


@given(splits(), st.sampled_from(RANGES))
def test_who_is_to_get_something_has_a_weight_in_range_and_nobody_else_has_one(groups, range_):
    weights = shares.weights_for(groups, range_)
    assert set(weights) == {name for group in groups if group.share for name in group.members}
    assert all(max(range_[0], 1) <= weight <= range_[1] for weight in weights.values())


@given(splits(), st.sampled_from(RANGES))
def test_what_they_give_sums_to_everything(groups, range_):
    assert sum(shares.given(groups, shares.weights_for(groups, range_)).values()) == 100


@given(splits(), st.sampled_from(RANGES))
def test_they_are_off_by_no_more_than_rounding_makes(groups, range_):
    """One number that is rounded, or raised to the least there is, is off by less than that least and 1, of at most all together."""
    weights = shares.weights_for(groups, range_)
    most = min(range_[1], shares.HEAVIEST)
    bound = Fraction(100 * 2 * len(weights) * max(range_[0], 1), most)
    assert shares.off_by(groups, weights) <= bound


@given(splits(), st.sampled_from(RANGES))
def test_no_smaller_ones_give_the_same(groups, range_):
    weights = shares.weights_for(groups, range_)
    assume(max(range_[0], 1) == 1)
    assert gcd(*weights.values()) == 1 or max(weights.values()) == min(range_[1], shares.HEAVIEST)


# Rounding a smaller part up and a larger one down comes nearest here, and is not what the weights of the group say.
UNEVEN = [
    Group("g0", ("m0_0", "m0_1", "m0_2", "m0_3"), Fraction(259, 25), {"m0_0": 6, "m0_1": 7, "m0_2": 7}),
    Group("g1", ("m1_0",), Fraction(131, 100)),
    Group("g2", ("m2_0",), Fraction(8833, 100)),
]


@given(splits(), st.sampled_from(RANGES))
@example(UNEVEN, (0, 256))
def test_within_a_group_each_gets_its_part(groups, range_):
    weights = shares.weights_for(groups, range_)
    for group in groups:
        own = group.parts()
        for one in group.members:
            for other in group.members:
                if group.share and own[one] >= own[other]:
                    assert weights[one] >= weights[other]


@given(st.integers(1, 9999), st.integers(1, 3), st.integers(1, 3), st.integers(1, 14))
def test_of_two_groups_no_weights_at_all_come_nearer(hundredths, blue, green, most):
    share = Fraction(hundredths, 100)
    groups = [
        Group("blue", tuple(f"b{each}" for each in range(blue)), share),
        Group("green", tuple(f"g{each}" for each in range(green)), 100 - share),
    ]
    off = shares.off_by(groups, shares.weights_for(groups, (1, most)))
    every = [
        abs(Fraction(100 * one * blue, one * blue + other * green) - share)
        for one in range(1, most + 1)
        for other in range(1, most + 1)
    ]
    assert float(off) == pytest.approx(float(min(every)), abs=1e-6)


@given(splits(), st.sampled_from(RANGES), st.integers(1, 7))
def test_weights_in_the_same_proportion_are_as_good(groups, range_, times):
    weights = shares.weights_for(groups, range_)
    assert shares.in_proportion(weights, {name: weight * times for name, weight in weights.items()})


@pytest.mark.parametrize("there", [{"a": 19, "b": 18}, {"a": 0, "b": 0}, {"a": 1}])
def test_others_are_not(there):
    assert not shares.in_proportion({"a": 1, "b": 1}, there)


def test_nobody_in_traffic_gets_nothing():
    assert shares.given(two(95, 5), {}) == {"blue": 0, "green": 0}
