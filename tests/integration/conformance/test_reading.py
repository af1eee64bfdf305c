# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Any balancer: reading a pool, and what is said of what cannot be read."""

from __future__ import annotations

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import InvalidInput, Unreachable
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.members import Change
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.marks import OUT
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs.base import POOL, read, set_pool


def test_a_pool_in_the_words_of_the_design(rig, apps):
    result = read(rig.entry(name="lb1"))
    (balancer,) = result["balancers"]
    assert result["changed"] is False
    assert {key: balancer[key] for key in ("name", "provider", "pool", "available")} == {
        "name": "lb1",
        "provider": rig.balancer().provider,
        "pool": POOL,
        "available": 4,
    }
    assert balancer["version"][0].isdigit() if rig.tells_version else balancer["version"] == "unknown"
    can = rig.balancer().capabilities
    assert balancer["capabilities"] == can.as_dict()
    for member in balancer["members"]:
        assert member.pop("checked") is can.health_readback
        assert bool(member.pop("last_check")) is can.health_readback
        assert member.pop("in_flight") in (0, None) and member.pop("health") == (
            "up" if can.health_readback else "unknown"
        )
    assert balancer["members"] == [
        {
            "name": name,
            "address": rig.address(name),
            "state": "enabled",
            "own_state": "enabled",
            "tier": 0,
            "weight": rig.weight,
            "weight_by": "",
        }
        for name in apps
    ]
    assert result["states"] == {"lb1": {name: {"state": "enabled", "weight": rig.weight} for name in apps}}


@pytest.mark.parametrize("state", [*OUT, "enabled"])
def test_a_state_reads_back_as_what_was_written(rig, state):
    weight = 7 if rig.balancer().capabilities.weight_range else None
    members = rig.balancer().apply(POOL, [Change("m2", state, weight)])
    others = ("enabled", rig.weight)
    assert {m.name: (m.state, m.weight) for m in members} == {
        "m1": others,
        "m2": (state, weight or rig.weight),
        "m3": others,
        "m4": others,
    }


@pytest.mark.needs("weights")
def test_the_ends_of_the_range_of_weights_read_back(rig):
    low, high = rig.balancer().capabilities.weight_range
    rig.balancer().apply(POOL, [Change("m1", None, low), Change("m2", None, high)])
    assert (rig.members()["m1"].weight, rig.members()["m2"].weight) == (low, high)


@pytest.mark.needs("health_readback", "traffic")
def test_a_member_that_is_down_is_told(rig, apps):
    apps["m3"].kill()
    pool = rig.wait_until("m3 is down", lambda pool: pool["m3"].health == "down")
    assert pool["m3"].state == "enabled" and not pool["m3"].available
    assert read(rig.entry())["balancers"][0]["available"] == 3


@pytest.mark.needs("health_readback", "sticky_drain", "traffic")
def test_a_drained_member_whose_check_fails_is_still_drained(rig, apps):
    rig.balancer().apply(POOL, [Change("m3", "drained")])
    apps["m3"].kill()
    pool = rig.wait_until("m3 is down", lambda pool: pool["m3"].health == "down")
    assert pool["m3"].state == "drained"


def test_an_unknown_pool_is_named_with_those_there_are(rig):
    with pytest.raises(InvalidInput, match=r"no pool 'nope'.*\bapp\b.*Nothing was touched"):
        read(rig.entry(), pool="nope")


@pytest.mark.parametrize("pool", ["", "app;disable server app/m1", "app\nshow info", "a b", "app/m1"])
def test_what_is_no_name_of_a_pool_never_reaches_the_balancer(rig, pool):
    with pytest.raises(InvalidInput):
        read(rig.entry(), pool=pool)
    assert rig.members()["m1"].state == "enabled"


def test_an_unknown_member_is_named_with_those_there_are(rig):
    with pytest.raises(InvalidInput, match=r"no member m9, m8\. Its members are: m1, m2, m3, m4\. Nothing was touched"):
        set_pool(rig.entry(), ["m1", "m9", "m8"], state="disabled")
    assert rig.members()["m1"].state == "enabled"


def test_nothing_is_there(rig):
    with pytest.raises(Unreachable, match="nothing.sock|nothing"):
        read(rig.missing_entry())


def test_it_has_stopped(rig):
    rig.stop()
    with pytest.raises(Unreachable):
        set_pool(rig.entry(timeout=2), ["m1"], state="disabled")


def test_one_that_hangs_is_given_up_within_the_deadline(rig):
    rig.freeze()
    with pytest.raises(Unreachable, match="within|did not"):
        set_pool(rig.entry(timeout=0.5), ["m1"], state="disabled")
    rig.thaw()
    assert rig.members()["m1"].state == "enabled"
