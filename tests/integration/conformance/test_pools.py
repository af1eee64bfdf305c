# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Any balancer: servers that are members of several pools, and members that get traffic only when others are gone."""

from __future__ import annotations

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import InvalidInput, Refused
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs.base import (
    OTHER_POOL,
    POOL,
    set_pool,
    split_pool,
)

pytestmark = pytest.mark.usefixtures("apps")


@pytest.mark.needs("finds_pools")
def test_another_pool_over_the_same_servers_is_found(make_rig, apps):
    rig = make_rig(other={name: apps[name].port for name in ("m1", "m3")})
    found = {other.name: set(other.members) for other in rig.balancer().other_pools(POOL)}
    assert found == {OTHER_POOL: {"m1", "m3"}}


@pytest.mark.needs("finds_pools")
def test_a_pool_of_other_servers_is_not_reported(rig):
    assert rig.balancer().other_pools(POOL) == []


@pytest.mark.needs("finds_pools")
def test_a_member_leaves_and_returns_to_all_named_pools(make_rig, apps):
    rig = make_rig(other={name: app.port for name, app in apps.items()})

    def states():
        both = {pool: rig.balancer().members(pool) for pool in (POOL, OTHER_POOL)}
        return {pool: {m.name: m.state for m in members}["m1"] for pool, members in both.items()}

    both = {"pool": [POOL, OTHER_POOL]}
    set_pool(rig.entry(**both), ["m1"], state="disabled")
    assert states() == {POOL: "disabled", OTHER_POOL: "disabled"}
    set_pool(rig.entry(**both), ["m1"], state="enabled")
    assert states() == {POOL: "enabled", OTHER_POOL: "enabled"}


@pytest.mark.needs("standby")
def test_a_standby_member_does_not_count_while_others_carry_the_traffic(make_rig):
    rig = make_rig(standby=("m3", "m4"))
    tiers = {name: member.tier for name, member in rig.members().items()}
    assert tiers["m1"] == tiers["m2"] == 0 and min(tiers["m3"], tiers["m4"]) > 0
    with pytest.raises(Refused, match=r"would leave 0.*Nothing was touched"):
        set_pool(rig.entry(), ["m1", "m2"], state="disabled", min_available=1)
    set_pool(rig.entry(), ["m1"], state="disabled", min_available="50%")
    set_pool(rig.entry(), ["m3", "m4"], state="disabled", min_available=1)


@pytest.mark.needs("standby", "weights")
def test_a_split_across_tiers_is_refused(make_rig):
    rig = make_rig(standby=("m3",))
    with pytest.raises(InvalidInput, match=r"m3 .*standby.*Nothing was touched"):
        split_pool(rig.entry(), groups={"canary": {"members": ["m3"], "share": 20}, "rest": {"share": 80}})
    # A standby member that no group names stays what it is.
    result = split_pool(rig.entry(), groups={"canary": {"members": ["m1"], "share": 20}, "rest": {"share": 80}})
    assert result["balancers"][0]["shares"] == {"canary": pytest.approx(20, abs=0.5), "rest": pytest.approx(80, abs=0.5)}
    assert rig.members()["m3"].state == "enabled"
