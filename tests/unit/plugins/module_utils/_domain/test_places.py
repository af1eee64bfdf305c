# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A journal whose balancers have other names now."""

from __future__ import annotations

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.places import places, under_present_names

OUT = {"state": "disabled", "weight": 3}


def balancer(name, endpoint, pool="shop"):
    members = [{"name": "m1", "state": "enabled", "weight": 100}, {"name": "other", "state": "enabled", "weight": 1}]
    return {"name": name, "provider": "haproxy", "endpoint": endpoint, "pool": pool, "members": members}


def test_a_balancer_is_found_by_where_it_is():
    then = [balancer("a", "10.0.0.1:9999"), balancer("b", "10.0.0.2:9999"), balancer("cart", "10.0.0.2:9999", "cart")]
    before = {
        "balancers": {"a": {"m1": OUT}, "b": {"m1": {**OUT, "weight": 5}}, "cart": {"m1": OUT}},
        "places": places(then),
        "members": {"n1": "m1"},
    }
    # Two of them have exchanged their names, one is gone, one is new.
    now = [balancer("b", "10.0.0.1:9999"), balancer("a", "10.0.0.2:9999"), balancer("c", "10.0.0.3:9999")]
    found = under_present_names(before, now)
    assert found["balancers"] == {
        "b": {"m1": OUT},
        "a": {"m1": {**OUT, "weight": 5}},
        "cart": {"m1": OUT},
        "c": {"m1": {"state": "enabled", "weight": 100}},
    }
    assert under_present_names(found, now) == found
    assert under_present_names(before, then) == before


def test_a_journal_without_places_or_states_is_taken_as_it_is():
    assert under_present_names({}, [balancer("a", "x")]) == {}
    assert under_present_names({"balancers": {"a": {"m1": OUT}}}, [balancer("a", "x")])["balancers"] == {
        "a": {"m1": OUT}
    }
