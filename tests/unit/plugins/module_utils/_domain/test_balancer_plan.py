# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What speaks against a rollout by the balancers' own facts, and how the plan shows them."""

from __future__ import annotations

import re

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.balancer_plan import (
    balancer_problems,
    plan_lines,
)

OPTIONS = {"drain_timeout": 60.0, "drain_wait": 5.0, "health": "fresh", "health_timeout": 60.0}
ADMIN = {"name": "admin", "members": ["app1", "app2"], "reason": "same address"}


def balancer(name="lb1", pool="web", endpoint="lb1 /run/haproxy.sock", **facts):
    members = [{"name": "app1"}, {"name": "app2"}, {"name": "sorry", "tier": 1}]
    known = {"provider": "haproxy", "version": "2.8.25", "capabilities": {"in_flight": True}, "members": members}
    return {**known, "name": name, "pool": pool, "endpoint": endpoint, **facts}


def problems(*balancers, members=("app1", "app2"), **options):
    return balancer_problems(list(balancers), members, {**OPTIONS, **options})


def test_a_pool_that_is_not_named_is_refused_with_what_accepts_it():
    (said,) = problems(balancer(other_pools=[ADMIN]))
    assert "admin (app1, app2: same address)" in said and "rollout_accepted_pools: [admin]" in said and "rollout_pools" in said


def test_it_may_be_accepted_named_or_of_other_members():
    assert problems(balancer(other_pools=[ADMIN]), accepted_pools=["admin"]) == []
    assert problems(balancer("lb1/web", other_pools=[ADMIN]), balancer("lb1/admin", "admin")) == []
    assert problems(balancer(other_pools=[ADMIN]), members=["app3"]) == []
    assert problems(balancer(other_pools=None)) == []


def test_a_pool_that_is_named_on_another_balancer_alone_is_not_named_here():
    (said,) = problems(balancer(other_pools=[ADMIN]), balancer("lb2/admin", "admin", endpoint="lb2 /run/haproxy.sock"))
    assert said.startswith("Balancer lb1:")


@pytest.mark.parametrize(
    ("timing", "said"),
    [
        ({"leave": 300.0, "check": None, "source": "deregistration_delay"}, r"busy for 300 s .*traffic_drain_timeout is 60 s"),
        ({"leave": None, "check": 90.0, "source": "inter 30s"}, r"up to 90 s .*\(inter 30s\).*traffic_health_timeout is 60 s"),
    ],
)
def test_waits_that_are_too_short_are_refused_with_the_numbers(timing, said):
    (found,) = problems(balancer(timing=timing))
    assert re.search(said, found)
    assert problems(balancer(timing=timing), drain_timeout=301, health_timeout=91) == []


def test_a_slot_that_has_another_hosts_address_is_refused():
    slot = {"name": "s1", "address": "192.0.2.7:80", "slot": "app.example"}
    template = balancer(members=[slot, {"name": "s2", "address": "-", "slot": "app.example"}])
    (said,) = problems(template, members=["s1"], addresses={"s1": "192.0.2.8"})
    assert "s1 is at 192.0.2.7:80 and its host at 192.0.2.8" in said
    assert problems(template, members=["s1"], addresses={"s1": "192.0.2.7"}) == []
    assert problems(template, members=["s1"], addresses={"s1": "app1.example"}) == []
    assert "s2 is at -" in problems(template, members=["s2"], addresses={"s2": "192.0.2.8"})[0]
    assert "bound to no host: s1 (app.example, now 192.0.2.7:80)" in plan_lines("Rollout", [], [template], OPTIONS)[1]


def test_the_plan_shows_tiers_the_source_of_the_count_and_the_longest_wait():
    timing = {"leave": None, "check": 4.0, "source": "inter 2s, rise 2"}
    shown = plan_lines("Rollout", [["app1"], ["app2"]], [balancer(timing=timing, in_flight_source="show stat")], OPTIONS)
    assert shown == [
        "Rollout: app1; app2.",
        "Balancer lb1 (haproxy 2.8.25), pool web: tier 0: app1, app2; tier 1: sorry. In flight: show stat. "
        "Longest wait: 60 s to leave, 4 s to return (inter 2s, rise 2).",
    ]
    blind = balancer(capabilities={"in_flight": False}, members=[])
    assert plan_lines("Rollout", [], [blind], {**OPTIONS, "health": "none"})[1].endswith(
        "no members. In flight: not told by this balancer, so every drain takes 5 s. Longest wait: 5 s to leave, none to return."
    )
