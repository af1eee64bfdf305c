# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only members have that take themselves out."""

from __future__ import annotations

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers import health_endpoint
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import InvalidInput, NotApplied
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.clients import Bound, Load
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs.base import read, set_pool


def test_members_leave_both_balancers_and_are_seen_by_both(make_health_endpoint, apps):
    pair = make_health_endpoint(), make_health_endpoint()
    entry = {**pair[0].entry(), "seen_by": [rig.entry()["seen_by"][0] for rig in pair]}
    with Load(pair[0].port) as one, Load(pair[1].port) as two:
        set_pool(entry, ["m1"], state="disabled", min_available=3)
        assert [rig.proxy.members()["m1"].health for rig in pair] == ["down", "down"]
        apps["m1"].kill()
        assert "m1" not in {Bound(rig.port).get() for rig in pair for each in range(8)}
        apps["m1"].start()
        set_pool(entry, ["m1"], state="enabled")
        assert [rig.proxy.members()["m1"].health for rig in pair] == ["up", "up"]
    assert one.failures == two.failures == []


def test_a_switch_that_the_check_does_not_ask_is_found_out_and_turned_back(make_health_endpoint, apps):
    rig = make_health_endpoint()
    for app in apps.values():
        app.switch = None
    with pytest.raises(
        NotApplied, match=r"0.5 s after .* still passes for m1\. Does it ask .*as they were before \(m1\)"
    ):
        set_pool(rig.entry(notice=0.5), ["m1"], state="disabled")
    assert not (rig.directory.parent / "m1.out").exists()


def test_a_member_that_the_balancer_itself_holds_out_is_not_said_to_be_in(make_health_endpoint):
    rig = make_health_endpoint()
    set_pool(rig.entry(), ["m1"], state="disabled")
    rig.proxy.ask("set server app/m1 state maint")
    with pytest.raises(NotApplied, match="The balancer itself holds it out of traffic"):
        set_pool(rig.entry(), ["m1"], state="enabled")


def test_members_that_the_balancer_does_not_check_cannot_leave_this_way(make_health_endpoint):
    rig = make_health_endpoint(checked=False, wait=False)
    with pytest.raises(InvalidInput, match="has no health check for m1, so a check that fails changes nothing there"):
        set_pool(rig.entry(), ["m1"], state="disabled")


def test_where_no_balancer_can_be_read_time_passes(make_health_endpoint, apps):
    rig = make_health_endpoint()
    entry = {**rig.entry(notice=1.0), "seen_by": None, "hosts": ["m1", "m2", "m3", "m4"]}
    assert {m["health"] for m in read(entry)["balancers"][0]["members"]} == {"unknown"}
    with Load(rig.port) as load:
        set_pool(entry, ["m1"], state="disabled", min_available=3)
        apps["m1"].kill()
        Bound(rig.port).get()
        apps["m1"].start()
        set_pool(entry, ["m1"], state="enabled")
    assert load.failures == []


def test_a_host_that_cannot_be_asked_is_not_known_to_be_out(make_health_endpoint, apps, monkeypatch):
    rig = make_health_endpoint()
    apps["m1"].kill()
    rig.wait_until("m1 is down", lambda pool: pool["m1"].health == "down")

    def unreachable(requests):
        return {host: {"failed": True, "msg": "no route to host"} for host in requests}

    monkeypatch.setattr(health_endpoint.HealthEndpoint, "reach", staticmethod(unreachable))
    member = rig.members()["m1"]
    assert (member.state, member.available) == ("enabled", False)
