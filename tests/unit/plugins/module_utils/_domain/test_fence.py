# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Until when may be written, with clocks that are wrong, and a controller that is stopped at any moment."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain import fence
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import InvalidInput, Late
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.fence import Reading
from ansible_collections.zero_downtime.deploy.plugins.module_utils._journal import lease as leases
from ansible_collections.zero_downtime.deploy.plugins.module_utils._journal.times import epoch

SKEW = st.floats(-1e7, 1e7)
PAUSE = st.floats(0, 5000)
TTL = st.integers(1, 100000)


class Machine:
    """Its clocks, told from the true time."""

    def __init__(self, skew, boot, tells=True):
        self.skew, self.boot, self.tells = skew, boot, tells

    def read(self, true):
        return Reading(true + self.skew, true - self.boot if self.tells else None)


machines = st.builds(Machine, SKEW, st.floats(-1e6, 0), st.booleans())


@given(machines, machines, machines, TTL, *[PAUSE] * 5)
def test_nobody_writes_once_another_may_take_the_lease(controller, keeper, host, ttl, asking, keeping, before, there, back):
    """Each of the pauses is what a network, a load or a suspended laptop makes of a moment."""
    true = 1.8e9
    asked = controller.read(true)
    true += asking
    kept = leases.acquire(leases.unheld("shop"), 1, {"name": "kim"}, "r-1", "1.4.2", keeper.read(true).now, ttl)
    may_be_taken = epoch(kept["expires"]) - keeper.skew  # in true time
    true += keeping
    lease = fence.held(leases.told(kept), asked)
    true += before
    on_host = host.read(true + there)
    true += there + back
    moved = fence.moved(lease, controller.read(true), on_host)
    for writes, its_lease in ((controller, lease), (host, moved)):
        rest = fence.left(its_lease, writes.read(true))
        last_write = true + rest - 0.001  # what a floating-point number of ten digits is good for
        assert rest <= 0 or last_write < may_be_taken


def test_most_of_the_time_can_be_used():
    asked = Reading(1000.0, 50.0)
    lease = fence.held({"ttl": 900}, asked)
    assert fence.left(lease, asked) == 809.0
    assert fence.left(fence.moved(lease, asked.later(1.5), Reading(7.0)), Reading(7.0)) == 807.5
    assert [fence.wanes(lease, asked.later(seconds)) for seconds in (0, 404, 405)] == [False, False, True]


@pytest.mark.parametrize("reading", [Reading(1000.0, 859.0), Reading(1809.0, 50.0), Reading(1809.0)])
def test_whichever_clock_comes_first_to_the_end_counts(reading):
    lease = fence.held({"ttl": 900, "service": "shop", "rollout": "r-7", "fence": 7}, Reading(1000.0, 50.0))
    said = r"^Balancer lb1: nothing is written any more.*shop \(rollout r-7, fencing number 7\).*another controller.*status"
    with pytest.raises(Late, match=said):
        fence.demand(lease, reading, "Balancer lb1")
    fence.demand(lease, Reading(1001.0, 51.0), "Balancer lb1")


@pytest.mark.parametrize("lease", [{}, {"until": None}, {"until": "soon"}, {"until": float("nan")}, {"until": True}, {"expires": "2026"}])
def test_what_is_no_lease_is_none(lease):
    with pytest.raises(InvalidInput, match="expected what zero_downtime.deploy.rollout returned"):
        fence.left(lease, Reading(0.0))


def test_the_lease_that_counts_is_the_last_one_of_the_service():
    old = {"service": "shop", "fence": 6, "until": 9000.0}
    first, renewed = {"service": "shop", "fence": 7, "until": 1000.0}, {"service": "shop", "fence": 7, "until": "1500.5"}
    others = {"service": "cart", "fence": 99, "until": 9000.0}
    assert fence.newest([None, old, first, renewed, others, {"service": "shop", "fence": 8}, "x"], "shop") == renewed
    assert fence.newest([others], "shop") == {}
