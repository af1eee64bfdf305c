# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a canary adds to the plan of a rolling rollout."""

from __future__ import annotations

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain import plan
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.canary_plan import known_part

from .test_plan import OPTIONS, fleet, member, pool, runs, targets

SIX = [f"app{number}" for number in range(1, 7)]
METRIC = {"name": "errors", "kind": "errors", "allowed_increase": 0.5, "source": {"balancers": True}}
CANARY = {
    "steps": [{"traffic": 5, "watch": 10}, {"traffic": 20, "watch": 10}, {"hosts": "50%", "watch": 10}],
    "max_load": "200%",
    "metrics": [METRIC],
    "hosts": [],
    "passed": 0,
    "promoted": False,
}


def planned(made_fleet, before=None, **canary):
    hosts, pools, health = made_fleet
    options = {**OPTIONS, "batches": [1, 2], "canary": {**CANARY, **canary}}
    return plan.rollout_plan(hosts, pools, health, before or {}, options)


def test_the_batches_of_the_canary_come_first_and_the_rest_rolls():
    made = planned(fleet(*SIX))
    assert made["problems"] == []
    assert made["groups"] == [["app1"], ["app2", "app3"], ["app4"], ["app5", "app6"]]
    assert made["canary"]["todo"] == [[0, 1], [2]]
    assert made["canary"]["steps"][0]["members"] == {
        "canary": ["m-app1"],
        "baseline": ["m-app6"],
        "rest": ["m-app2", "m-app3", "m-app4", "m-app5"],
    }


def test_with_nothing_to_deploy_there_is_no_canary():
    made = planned(fleet(*SIX, version="2.0"))
    assert (made["hosts"], made["canary"], made["problems"]) == ([], {}, [])


def test_an_unfinished_one_goes_on_with_its_own_hosts_which_need_no_deployment():
    """app5 was the canary, at a share of its own; nobody else was touched."""
    members = [member(f"m-{host}", weight=5 if host == "app5" else 100) for host in SIX]
    before = {"balancers": {"lb1": {f"m-{host}": {"state": "enabled", "weight": 100} for host in SIX}}, "versions": {}}
    health = [runs(host, "2.0" if host == "app5" else "1.0") for host in SIX]
    made = planned((targets(*SIX), [pool(*members)], health), before, hosts=["app5", "app1", "app2"], passed=1)
    assert made["groups"][:2] == [["app5"], ["app1", "app2"]]
    assert (made["there"], made["canary"]["todo"]) == (["app5"], [[1], [2]])


def test_one_that_waits_for_its_promotion_has_its_last_step_left():
    assert planned(fleet(*SIX), passed=3)["canary"]["todo"] == [[], [2]]


def test_who_is_on_the_version_and_as_before_is_in_the_canary_still():
    health = [runs(host, "2.0" if host == "app1" else "1.0") for host in SIX]
    made = planned((*fleet(*SIX)[:2], health), hosts=["app1"])
    assert made["groups"][0] == ["app1"] and made["left_alone"] == []


def test_whom_users_get_the_version_from_already_leads_and_is_not_compared_with():
    """A rollout of before could undo neither app4 nor app5, and app6 is out of traffic."""
    health = [runs(host, "2.0" if host in ("app4", "app5") else "1.0") for host in SIX]
    members = [member(f"m-{host}", state="disabled" if host == "app6" else "enabled") for host in SIX]
    made = planned((targets(*SIX), [pool(*members)], health))
    assert made["problems"] == [] and made["left_alone"] == []
    assert made["groups"] == [["app6"], ["app4", "app5"], ["app1"], ["app2", "app3"]]
    assert made["there"] == ["app4", "app5"]
    assert [step["baseline"] for step in made["canary"]["steps"]] == [["app3"], ["app3"], ["app1", "app2", "app3"]]


def test_who_is_out_of_traffic_is_deployed_to_anew():
    members = [member(f"m-{host}", state="disabled" if host == "app1" else "enabled") for host in SIX]
    health = [runs(host, "2.0" if host == "app1" else "1.0") for host in SIX]
    assert planned((targets(*SIX), [pool(*members)], health), hosts=["app1"])["there"] == []


def problems(*, can=None, hosts=6, **canary):
    names = SIX[:hosts]
    members = [member(f"m-{host}") for host in names]
    pools = [pool(*members, **(can or {}))]
    return " ".join(planned((targets(*names), pools, [runs(host) for host in names]), **canary)["problems"])


@pytest.mark.parametrize(
    "given, words",
    [
        ({"steps": []}, "canary_steps is empty"),
        ({"metrics": []}, "canary_metrics is empty, so nothing could ever pass"),
        ({"steps": [{"traffic": 5}]}, "No step of canary_steps has a `watch`"),
        ({"can": {"weight_range": None}}, "a canary cannot get a share of the traffic there. Say `hosts` and no `traffic`"),
        ({"can": {"counters": False}}, "does not count requests and errors by member"),
        ({"hosts": 3}, "would carry 270 % of the traffic"),
        ({"max_load": "120%"}, "more than canary_max_load (120 %)"),
    ],
)
def test_what_speaks_against_it_is_said_before_anything_is_touched(given, words):
    assert words in problems(**given)


def test_a_fleet_of_two_may_be_told_to_carry_it():
    assert problems(hosts=2, steps=[{"traffic": 5, "watch": 1}], max_load="200%") == ""


def event(name, **details):
    return {"event": name, "hosts": [], "details": details}


def test_what_the_journal_knows_of_it():
    assert known_part(None) == known_part({"events": []}) == {"hosts": [], "passed": 0, "promoted": False}
    events = [event("planned", canary=["a"]), event("canary_step_passed", step=0), event("canary_step_passed", step=1)]
    assert known_part({"events": events}) == {"hosts": ["a"], "passed": 2, "promoted": False}
    again = [*events, event("planned", canary=["a", "b"]), event("canary_promoted")]
    assert known_part({"events": again}) == {"hosts": ["a", "b"], "passed": 2, "promoted": True}
