# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of balancers that cannot do everything."""

from __future__ import annotations

import re

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.declaration import Capabilities
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.needs import Asks, unmet

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


def test_who_neither_leaves_nor_returns_asks_for_nothing():
    assert problems(on_drain_timeout="cut", health="fresh") == []


@pytest.mark.parametrize(
    ("own", "range_", "told"),
    [(1, (0, 256), True), (1, (1, 100), True), (2, (1, 100), False), (100, (1, 100), False), (0, (0, 256), False)],
)
def test_a_warm_up_that_weights_are_too_small_for(own, range_, told):
    found = problems(Capabilities(weight_range=range_), returns=True, warmup=(10, 50), own_weights={"m1": own})
    assert [("m1 has weight 1" in sentence) for sentence in found] == [True] * told
