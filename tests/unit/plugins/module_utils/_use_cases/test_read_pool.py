# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a pool from its balancers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.counters import Counters
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import InvalidInput, Unreachable
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases import read_pool, set_members
from ansible_collections.zero_downtime.deploy.tests.unit.plugins.module_utils._use_cases.fake_balancer import (
    FakeBalancer,
    FakeClock,
)


@pytest.fixture
def pair(monkeypatch):
    clock = FakeClock()
    balancers = {name: FakeBalancer(name, clock) for name in ("lb1", "lb2")}
    monkeypatch.setattr(read_pool, "open_balancer", lambda entry: balancers[entry["name"]])
    return balancers


def run(check=False, **options):
    params = {"balancers": [{"name": "lb1"}, {"name": "lb2"}], "pool": ["app"], "counters": False, "details": False, **options}
    return read_pool.run(params, check, FakeClock())


@pytest.mark.parametrize("check", [True, False])
def test_each_balancer_has_its_own_view(pair, check):
    pair["lb2"].set("m1", state="drained", weight=7)
    result = run(check)
    assert result["changed"] is False
    assert [(b["name"], b["provider"], b["version"], b["pool"], b["available"]) for b in result["balancers"]] == [
        ("lb1", "fake", "99.0", "app", 4),
        ("lb2", "fake", "99.0", "app", 3),
    ]
    assert result["states"]["lb1"]["m1"] == {"state": "enabled", "weight": 100}
    assert result["states"]["lb2"]["m1"] == {"state": "drained", "weight": 7}
    assert result["balancers"][1]["members"] == [member.as_dict() for member in pair["lb2"].pool]
    assert pair["lb1"].wrote == pair["lb2"].wrote == []


def test_counters_are_each_members_own_and_null_where_there_are_none(pair):
    for lb in pair.values():
        lb.capabilities = replace(lb.capabilities, counters=True)
        lb.counters = lambda pool: {"m1": Counters(10, 1, "now"), "m2": Counters(0, 0, "now")}
    for balancer in run(counters=True)["balancers"]:
        assert [member["counters"] for member in balancer["members"]] == [
            {"requests": 10, "errors": 1, "since": "now"},
            {"requests": 0, "errors": 0, "since": "now"},
            None,
            None,
        ]
    assert all("counters" not in member for balancer in run()["balancers"] for member in balancer["members"])


def test_who_does_not_count_is_refused_with_the_reason(pair):
    pair["lb2"].provider = "nginx"
    pair["lb1"].provider = "haproxy"
    said = r"Balancer lb2: provider nginx does not count .* \(NGINX open source counts nothing by server\)\. Leave out `counters`"
    with pytest.raises(InvalidInput, match=said):
        run(counters=True)


def test_one_that_cannot_be_read_fails_the_task(pair):
    def gone(lb):
        raise Unreachable("lb2 is gone.")

    pair["lb2"].before_read = gone
    with pytest.raises(Unreachable, match=r"^lb2 is gone\.$"):
        run()


def test_what_it_returns_is_what_as_before_takes(pair, monkeypatch, tmp_path):
    states = run()["states"]
    monkeypatch.setattr(set_members, "open_balancer", lambda entry: pair[entry["name"]])
    pair["lb1"].set("m1", weight=3)
    defaults = {name: option.get("default") for name, option in set_members.ARGUMENT_SPEC.items()}
    params = {**defaults, "balancers": [{"name": "lb1"}, {"name": "lb2"}], "pool": ["app"], "members": ["m1"]}
    result = set_members.run({**params, "state": "as_before", "before": states}, False, FakeClock())
    assert result["changed"] and run()["states"] == states
