# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of balancers that cannot do everything."""

from __future__ import annotations

import re

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.declaration import Capabilities
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.groups import groups_in
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.needs import Asks, unmet
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.share_limits import off_sentence

NOTHING = Capabilities(clean_writes=False)


def problems(can=NOTHING, **asks):
    return unmet("Balancer lb, pool app", "some", can.as_dict(), Asks(**asks), prefix="traffic_")


@pytest.mark.parametrize(
    ("asks", "can", "said"),
    [
        ({"state": "drained", "drain_wait": 1}, {"sticky_drain": True}, "no state between enabled and disabled"),
        ({"state": "disabled"}, {"in_flight": True}, "with `traffic_drain_wait`"),
        (
            {"state": "disabled", "drain_wait": 1, "on_drain_timeout": "cut"},
            {"cut": True},
            "`traffic_on_drain_timeout: fail`",
        ),
        (
            {"returns": True, "health": "fresh"},
            {"fresh_health": True},
            "whether a member is healthy, .*`traffic_health: none`",
        ),
        ({"writes": True}, {"clean_writes": True}, "`provider: health_endpoint`, .*`traffic_accept_errors: true`"),
        ({"membership": True}, {"membership": True}, "cannot add or remove members"),
        ({"weight": 5}, {"weight_range": (1, 9)}, "has no weights, .*`weight` cannot"),
        (
            {"returns": True, "warmup": (10,), "own_weights": {"m1": 5}},
            {"weight_range": (1, 9)},
            "has no weights, .*`traffic_warmup`",
        ),
    ],
)
def test_what_it_cannot_do_is_named_with_what_accepts_it(asks, can, said):
    (sentence,) = problems(**asks)
    assert sentence.startswith("Balancer lb, pool app: provider some ") and re.search(said, sentence)
    assert problems(Capabilities(**can), **asks) == []


def test_a_check_that_cannot_be_made_anew_is_not_fresh():
    (sentence,) = problems(Capabilities(health_readback=True), returns=True, health="fresh")
    assert "whether its check, begun anew, passes" in sentence


def test_errors_that_are_accepted_are_no_problem():
    assert problems(writes=True, accept_errors=True) == []


def test_a_check_that_is_known_already_is_enough_for_health_current():
    (sentence,) = problems(returns=True, health="current")
    assert "whether a member is healthy" in sentence
    assert problems(Capabilities(health_readback=True), returns=True, health="current") == []
    assert problems(Capabilities(fresh_health=True), returns=True, health="current") == []


def test_who_does_not_wait_asks_nothing_of_what_is_in_flight():
    assert problems(state="disabled", on_drain_timeout="cut", waits=False) == []
    assert "cannot be `drained`" in problems(state="drained", waits=False)[0]


def blue_and_green(blue):
    return tuple(groups_in({"blue": {"members": ["a"], "share": blue}, "green": {"members": ["b"]}}))


def test_shares_without_weights_are_those_that_numbers_give():
    (sentence,) = problems(groups=blue_and_green(95), tolerance=0.5)
    assert "makes blue 50 %, green 50 % and not blue 95 %, green 5 %" in sentence
    assert "`traffic_tolerance: 45`" in sentence
    assert problems(groups=blue_and_green(95), tolerance=45) == problems(groups=blue_and_green(50)) == []
    assert problems(groups=blue_and_green(100)) == problems(groups=blue_and_green(0)) == []
    assert problems(Capabilities(weight_range=(1, 2)), groups=blue_and_green(95)) == []


def test_what_weights_cannot_give_is_said():
    weights = {"a": 10, "b": 1}
    said = off_sentence("Balancer lb, pool app", blue_and_green(95), weights, 0.5)
    assert said == (
        "Balancer lb, pool app: its weights, 1 to 10 here, give blue 90.91 %, green 9.09 %, though blue 95 %, green 5 % were asked "
        "for: 4.09 points off."
    )
    assert off_sentence("there", blue_and_green(95), weights, 5) == ""


def test_who_neither_leaves_nor_returns_asks_for_nothing():
    assert problems(on_drain_timeout="cut", health="fresh") == []


@pytest.mark.parametrize(
    ("own", "range_", "told"),
    [(1, (0, 256), True), (1, (1, 100), True), (2, (1, 100), False), (100, (1, 100), False), (0, (0, 256), False)],
)
def test_a_warm_up_that_weights_are_too_small_for(own, range_, told):
    found = problems(Capabilities(weight_range=range_), returns=True, warmup=(10, 50), own_weights={"m1": own})
    assert [("m1 has weight 1" in sentence) for sentence in found] == [True] * told
