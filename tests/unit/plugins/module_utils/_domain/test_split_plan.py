# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a strategy will ask for, held against what balancers can do, before anything is touched."""

from __future__ import annotations

import re

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.declaration import Capabilities
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.members import Member
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.split_plan import split_problems

BLUE, GREEN = ["a", "b"], ["c", "d"]
EVERYTHING = {
    "sticky_drain": True,
    "in_flight": True,
    "weight_range": (0, 256),
    "health_readback": True,
    "fresh_health": True,
}


def shared(blue, green):
    return {"blue": {"members": BLUE, "share": blue}, "green": {"members": GREEN, "share": green}}


def balancer(states=("enabled",) * 4, **can):
    members = [
        {**Member(name, "192.0.2.1:80", state, 100, "up").as_dict(), "counters": None}
        for name, state in zip("abcd", states)
    ]
    capabilities = Capabilities(**{**EVERYTHING, **can}).as_dict()
    return {"name": "lb", "pool": "app", "provider": "some", "capabilities": capabilities, "members": members}


def problems(steps, options=None, **can):
    return split_problems([balancer(**can)], steps, options or {}, "traffic_")


SWITCH = [shared(100, 0), shared(0, 100)]


def test_what_can_be_had_is_no_problem():
    assert problems([shared(100, 0), shared(95, 5), shared(50, 50), shared(0, 100)], {"leave": "drained"}) == []


@pytest.mark.parametrize(
    ("steps", "options", "can", "said"),
    [
        ([shared(95, 5)], {}, {"weight_range": None}, "has no weights.*`traffic_tolerance: 45`"),
        (SWITCH, {"leave": "drained"}, {"sticky_drain": False}, "cannot be `drained`. Use `disabled`"),
        (SWITCH, {}, {"fresh_health": False}, "`traffic_health: none`"),
        (SWITCH, {}, {"clean_writes": False}, "`traffic_accept_errors: true`"),
        (SWITCH, {"wait": True}, {"in_flight": False}, "with `traffic_drain_wait`"),
        ([{"blue": {"members": ["z"]}}], {}, {}, "has no member z"),
        ([{"blue": {"members": ["a"]}}], {}, {}, "b, c, d are in traffic and in no group"),
        ([{"blue": {"share": 7}}], {}, {}, "sum to 7 and not to 100"),
    ],
)
def test_what_cannot_is_told_once(steps, options, can, said):
    (sentence,) = problems([*steps, *steps], options, **can)
    assert re.search(said, sentence) and "Nothing was touched" not in sentence


@pytest.mark.parametrize("can", [{"weight_range": None}, {"in_flight": False}, {"health_readback": False}])
def test_a_switch_that_waits_for_nobody_asks_for_little(can):
    assert problems(SWITCH, **can) == []


def test_a_rest_is_who_is_in_traffic_by_then():
    steps = [{"canary": {"members": ["a"], "share": 5}, "rest": {}}]
    assert problems(steps, states=("disabled", "enabled", "enabled", "enabled")) == []
    assert problems(steps, states=("enabled", "disabled", "disabled", "disabled")) != []


def test_whom_a_step_brings_into_traffic_later_ones_find_there():
    steps = [{"canary": {"members": ["c"], "share": 5}, "rest": {}}, {"blue": {"members": BLUE}}]
    states = ("enabled", "enabled", "disabled", "disabled")
    assert problems(steps[1:], states=states) == []
    (sentence,) = problems(steps, states=states)
    assert "c is in traffic and in no group" in sentence
