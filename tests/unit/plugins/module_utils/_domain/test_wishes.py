# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task asks for, worked out for the members there are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain import wishes
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import InvalidInput
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.members import Change, Member
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.wishes import Wish

POOL = [
    Member("a", "192.0.2.1:80", "enabled", 100, "up"),
    Member("b", "192.0.2.2:80", "drained", 50, "up"),
    Member("c", "192.0.2.3:80", "disabled", 0, "unknown"),
]


def asked(*names, state=None, weight=None, before=None):
    return wishes.changes(Wish(names, state, weight, before or {}), POOL, "Balancer lb, pool app", (0, 256))


def test_the_order_is_the_one_asked_for():
    assert asked("c", "a", state="drained") == [Change("c", "drained", None), Change("a", "drained", None)]


def test_unknown_members_are_named_with_those_there_are():
    with pytest.raises(InvalidInput) as error:
        asked("a", "x", "y", state="drained")
    assert (
        error.value.message
        == "Balancer lb, pool app has no member x, y. Its members are: a, b, c. Nothing was touched."
    )


@pytest.mark.parametrize("weight", [-1, 257])
def test_weights_out_of_range(weight):
    with pytest.raises(InvalidInput, match=rf"weight {weight} of b is outside 0 to 256\. Nothing was touched"):
        asked("b", weight=weight)
    with pytest.raises(InvalidInput, match=rf"weight {weight} of b is outside"):
        asked("b", state="as_before", before={"b": {"state": "enabled", "weight": weight}})


def test_as_before_is_each_members_own():
    before = {"a": {"state": "disabled", "weight": 7}, "b": {"state": "enabled", "weight": 1}, "z": {}}
    assert asked("a", "b", state="as_before", before=before) == [Change("a", "disabled", 7), Change("b", "enabled", 1)]


def test_as_before_with_a_weight_of_ones_own():
    assert asked("a", state="as_before", weight=9, before={"a": {"state": "enabled", "weight": 7}}) == [
        Change("a", "enabled", 9)
    ]


def test_weights_that_came_through_a_template_are_numbers():
    assert asked("a", state="as_before", before={"a": {"state": "enabled", "weight": "7"}}) == [
        Change("a", "enabled", 7)
    ]


def test_nothing_to_go_back_to():
    with pytest.raises(InvalidInput, match="`before` says nothing of b"):
        asked("a", "b", state="as_before", before={"a": {"state": "enabled", "weight": 1}})


@pytest.mark.parametrize(
    "known",
    [
        {},
        {"state": "enabled"},
        {"weight": 5},
        {"state": "on", "weight": 5},
        {"state": "enabled", "weight": "x"},
        "enabled",
        [1],
        7,
    ],
)
def test_a_before_that_is_none(known):
    with pytest.raises(InvalidInput, match=r"`before` of a is .* should be like \{state: enabled, weight: 100\}"):
        asked("a", state="as_before", before={"a": known})


def test_who_comes_back_and_who_does_not():
    changes = [Change("a", "enabled", 5), Change("b", "enabled"), Change("c", "disabled")]
    assert wishes.split(changes, POOL) == ([changes[0], changes[2]], [changes[1]])


@given(st.integers(0, 256), st.integers(1, 100))
def test_a_warm_up_weight_is_never_above_the_own_and_never_nothing(own, percent):
    weight = wishes.warmup_weight(own, percent, (0, 256))
    assert weight <= max(own, 0)
    assert (weight > 0) == (own > 0)
    assert weight == max(min(own, 1), own * percent // 100)
