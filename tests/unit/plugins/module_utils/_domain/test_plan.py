# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a rollout and the plan that undoes it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.declaration import Capabilities
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain import guard, plan
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.members import (
    ENABLED,
    STATES,
    Change,
    Member,
)

OPTIONS = {
    "version": "2.0",
    "batches": [1],
    "first": [],
    "min_available": "50%",
    "health": "fresh",
    "drain_wait": 0.0,
    "on_drain_timeout": "fail",
    "drain_timeout": 60.0,
    "health_timeout": 60.0,
    "warmup": [],
    "no_way_back": "refuse",
}
CAN_ALL = Capabilities(
    sticky_drain=True,
    in_flight=True,
    weight_range=(0, 256),
    health_readback=True,
    fresh_health=True,
    cut=True,
    membership=True,
    counters=True,
).as_dict()


def member(name, state=ENABLED, weight=100, health="up", checked=True):
    return Member(name, "192.0.2.1:80", state, weight, health, 0, checked).as_dict()


def pool(*members, name="lb1", provider="haproxy", **cannot):
    return {
        "name": name,
        "provider": provider,
        "endpoint": f"/run/{name}",
        "capabilities": {**CAN_ALL, **cannot},
        "pool": "shop",
        "members": list(members),
    }


def targets(*hosts, **domains):
    return [{"host": host, "member": f"m-{host}", "domain": domains.get(host, "")} for host in hosts]


def runs(host, version="1.0", healthy=True, seen="200 OK"):
    return {"name": host, "healthy": healthy, "version": version, "seen": seen}


def fleet(*hosts, balancers=("lb1",), version="1.0"):
    """Hosts that are all well: targets, balancers, health."""
    pools = [pool(*[member(f"m-{host}") for host in hosts], name=name) for name in balancers]
    return targets(*hosts), pools, [runs(host, version) for host in hosts]


def planned(fleet, before=None, **options):
    return plan.rollout_plan(*fleet, before or {}, {**OPTIONS, **options})


@st.composite
def fleets(draw):
    """Hosts behind one or two balancers, all in any state and on any version; perhaps what was before."""
    hosts = [f"app{number}" for number in range(draw(st.integers(1, 7)))]
    others = [f"other{number}" for number in range(draw(st.integers(0, 2)))]

    def anyone(name):
        state, health = draw(st.sampled_from(STATES)), draw(st.sampled_from(["up", "down", "starting"]))
        return member(name, state, draw(st.sampled_from([0, 30, 100])), health, draw(st.booleans()))

    names = ["lb1", "lb2"][: draw(st.integers(1, 2))]
    pools = [pool(*[anyone(f"m-{host}") for host in hosts + others], name=name) for name in names]
    health = [runs(host, draw(st.sampled_from(["1.0", "2.0", None])), draw(st.booleans())) for host in hosts]
    known = draw(st.lists(st.sampled_from(hosts), unique=True))
    before = {
        "balancers": {
            name: {f"m-{host}": {"state": draw(st.sampled_from(STATES)), "weight": 30} for host in known}
            for name in names
        },
        "versions": dict.fromkeys(known, "1.0"),
    }
    return (targets(*hosts), pools, health), draw(st.sampled_from([{}, before]))


options = st.fixed_dictionaries(
    {
        "batches": st.lists(st.integers(1, 4) | st.sampled_from(["25%", "50%", "100%"]), min_size=1, max_size=3),
        "min_available": st.integers(0, 8).map(str) | st.sampled_from(["0%", "50%", "75%", "100%"]),
        "health": st.sampled_from(["fresh", "none"]),
        "no_way_back": st.sampled_from(["refuse", "accept"]),
    }
)


@given(fleets(), options)
def test_a_plan_without_problems_passes_the_guard_batch_by_batch(given_fleet, chosen):
    (hosts, pools, health), before = given_fleet
    made = planned((hosts, pools, health), before, **chosen)
    if made["problems"]:
        return
    for balancer in pools:
        members = [Member(**seen) for seen in balancer["members"]]
        states = made["before"]["balancers"][balancer["name"]]
        for group in made["groups"]:
            names = {f"m-{host}" for host in group}
            guard.check("the drain", members, [Change(name, "disabled") for name in names], chosen["min_available"])
            # Drained, deployed, returned as it was before; by then it is healthy, or the rollout would have halted.
            members = [
                replace(m, state=states[m.name]["state"], weight=states[m.name]["weight"], health="up")
                if m.name in names
                else m
                for m in members
            ]


@given(fleets(), options)
def test_every_host_is_deployed_to_once_or_left_alone(given_fleet, chosen):
    given_fleet, before = given_fleet
    made = planned(given_fleet, before, **chosen)
    assert sorted(made["hosts"] + made["left_alone"]) == sorted(target["host"] for target in given_fleet[0])
    assert [host for group in made["groups"] for host in group] == made["hosts"]
    assert [len(group) for group in made["groups"]] == made["batches"]
    assert all(host in made["groups"][made["group_of"][host]] for host in made["hosts"])


@given(fleets(), options)
def test_who_is_out_of_traffic_everywhere_goes_first(given_fleet, chosen):
    (hosts, pools, health), before = given_fleet
    made = planned((hosts, pools, health), before, **chosen)
    serving = [
        any(
            Member(**seen).available
            for balancer in pools
            for seen in balancer["members"]
            if seen["name"] == f"m-{host}"
        )
        for host in made["hosts"]
    ]
    assert serving == sorted(serving)


@given(fleets(), options)
def test_what_an_unfinished_rollout_found_before_wins_over_what_is_seen_now(given_fleet, chosen):
    (hosts, pools, health), before = given_fleet
    made = planned((hosts, pools, health), before, **chosen)["before"]
    seen = {b["name"]: {m["name"]: m for m in b["members"]} for b in pools}
    for target in hosts:
        host, name = target["host"], target["member"]
        for balancer in seen:
            expected = before.get("balancers", {}).get(balancer, {}).get(name, seen[balancer][name])
            assert made["balancers"][balancer][name] == {"state": expected["state"], "weight": expected["weight"]}
        now = next(one["version"] for one in health if one["name"] == host)
        assert made["versions"][host] == before.get("versions", {}).get(host, now)
        assert made["members"][host] == name
    # Members that the rollout does not reach are none of its business.
    assert not [name for states in made["balancers"].values() for name in states if name.startswith("other")]


@pytest.mark.parametrize(
    ("says", "had"),
    [
        ("1.0", "1.0"),  # what others had: it was never touched, or was brought back
        ("2.0", None),  # perhaps an earlier attempt has put it there
        (None, None),
    ],
)
def test_a_host_that_could_not_be_asked_before_is_taken_at_its_word_now_where_others_had_the_same(says, had):
    assert plan.versions_before({"a": "2.0", "b": says}, {"a": "1.0", "b": None}) == {"a": "1.0", "b": had}
    # All that is known is that it is owed something; the others were never touched, or were brought back.
    assert plan.versions_before({"a": "1.0", "b": says}, {"b": None}) == {"a": "1.0", "b": had}
    made = planned(fleet("a", "b", version=says), before={"versions": {"a": "1.0", "b": None}})
    assert made["before"]["versions"] == {"a": "1.0", "b": had}


def test_who_is_there_already_is_left_alone():
    hosts, pools, health = fleet("a", "b", "c", "d", "e")
    health[0] = runs("a", "2.0")
    health[1] = runs("b", "2.0", healthy=False)
    health[2] = runs("c", None)
    health[3] = runs("d", "2.0.1")
    made = planned((hosts, pools, health), no_way_back="accept")
    assert made["left_alone"] == ["a"]
    assert (made["hosts"], made["batches"], made["problems"]) == (["b", "c", "d", "e"], [1, 1, 1, 1], [])


@pytest.mark.parametrize("now", [{"state": "disabled"}, {"weight": 10}, {"state": "drained"}])
@pytest.mark.parametrize("balancer", [0, 1])
def test_who_is_there_and_not_yet_as_before_is_brought_home(now, balancer):
    hosts, pools, health = fleet("a", "b", balancers=("lb1", "lb2"), version="2.0")
    pools[balancer]["members"][0].update({**now, "own_state": now.get("state", ENABLED)})
    before = {
        "balancers": {name: {"m-a": {"state": ENABLED, "weight": 100}} for name in ("lb1", "lb2")},
        "versions": {"a": "1.0"},
    }
    made = planned((hosts, pools, health), before)
    assert (made["hosts"], made["left_alone"]) == (["a"], ["b"])
    # Found like that by the first attempt, it is as before.
    assert planned((hosts, pools, health))["hosts"] == []


def test_a_rollout_that_is_done_plans_nothing_whatever_the_pool():
    hosts, pools, health = fleet("a", "b", version="2.0")
    pools[0]["members"] = [member("m-a", checked=False), member("m-b", "disabled", checked=False)]
    made = planned((hosts, pools, health), min_available="100%", batches=["100%"])
    assert (made["hosts"], made["batches"], made["groups"], made["problems"]) == ([], [], [], [])


def test_resumed_who_is_out_comes_back_first_and_the_chosen_ones_before_that():
    hosts, pools, health = fleet("a", "b", "c", "d", "e", "f")
    pools[0]["members"][3].update(state="disabled")
    pools[0]["members"][5].update(health="down")
    assert planned((hosts, pools, health), batches=[2])["groups"] == [["d", "f"], ["a", "b"], ["c", "e"]]
    assert planned((hosts, pools, health), batches=[2], first=["c"])["groups"] == [["c", "d"], ["f", "a"], ["b", "e"]]
    assert planned((hosts, pools, health), batches=[2], first="c")["hosts"][0] == "c"


def test_batches_are_spread_over_domains():
    _hosts, pools, health = fleet("a", "b", "c", "d")
    spread = targets("a", "b", "c", "d", a="north", b="north", c="south", d="south")
    assert planned((spread, pools, health), batches=[2])["groups"] == [["a", "c"], ["b", "d"]]


# Problems


def problems(fleet, before=None, **options):
    return planned(fleet, before, **options)["problems"]


def test_a_stranger_among_the_first():
    assert problems(fleet("a", "b"), first=["z", "a", "y"]) == [
        "rolling_first names z, y, which the rollout does not reach."
    ]


def test_a_member_that_a_balancer_does_not_know():
    hosts, pools, health = fleet("a", "b", balancers=("lb1", "lb2"))
    pools[1]["members"].pop(0)
    assert problems((hosts, pools, health)) == [
        "Balancer lb2, pool shop has no member m-a; its members are m-b. Set rollout_member where a host has another name there."
    ]
    pools[1]["members"].clear()
    assert "has no member m-a, m-b; its members are none." in problems((hosts, pools, health))[0]


def test_hosts_that_are_one_member():
    hosts, pools, health = fleet("a", "b", "c")
    hosts[2]["member"] = hosts[0]["member"]
    assert problems((hosts, pools, health)) == ["a, c are all member m-a: give each host its own rollout_member."]


def test_hosts_that_are_checked_in_one_and_the_same_way():
    hosts, pools, health = fleet("a", "b", "c")
    for host, name in zip(hosts, ("shop", "shop", "c")):
        host["check"] = {"url": "http://192.0.2.1/", "host": name}
    assert problems((hosts, pools, health)) == [
        "rollout_health asks a and b in one and the same way, so that one answers for the other: give each an address of its own, or leave "
        "out of rollout_hosts what is the same host under another name."
    ]


def test_a_member_without_a_check():
    hosts, pools, health = fleet("a", "b")
    pools[0]["members"][1].update(checked=False, health="unknown")
    assert problems((hosts, pools, health)) == [
        "Balancer lb1, pool shop has no health check for m-b, so nothing tells when they may take traffic again. "
        "Add one, or accept it with traffic_health: none."
    ]
    assert problems((hosts, pools, health), health="none") == []
    # Whom the rollout leaves alone need not return.
    health[1] = runs("b", "2.0")
    assert problems((hosts, pools, health)) == []


def test_a_release_that_nobody_can_name():
    hosts, pools, health = fleet("a", "b", "c")
    health[0], health[1] = runs("a", None), runs("b", None, healthy=False)
    assert problems((hosts, pools, health)) == [
        "Nothing tells which release runs on a, so a failed rollout could not be undone there. Let "
        "rollout_health name where the version is found (version, version_header or version_pattern), write a hook "
        "on_rollback.yml, or accept it with rolling_no_way_back: accept."
    ]
    assert problems((hosts, pools, health), no_way_back="accept") == []
    assert problems((hosts, pools, health), undo_hook=True) == []
    # The first attempt knew it.
    assert problems((hosts, pools, health), {"versions": {"a": "1.0"}}) == []


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        ({"batches": []}, "rolling_batches is empty: name at least one size, such as [1, '25%']."),
        ({"batches": ["many"]}, "rolling_batches holds counts such as 2 and shares such as '25%', not 'many'."),
        (
            {"min_available": "half"},
            "min_available is a count such as 2 or a share such as '50%', not 'half'. Nothing was touched.",
        ),
    ],
)
def test_sizes_that_make_no_sense(asked, problem):
    assert problems(fleet("a", "b"), **asked) == [problem]


def test_a_batch_that_the_guard_would_refuse():
    assert problems(fleet("a", "b", "c", "d", balancers=("lb1", "lb2")), batches=[1, 3]) == [
        "Batch 2 (b, c, d) would leave 1 of 4 members of pool shop available on balancer lb1, and the minimum is 2 "
        "(traffic_min_available: 50%). Make rolling_batches smaller, bring other members back, or lower the minimum."
    ]


def test_members_that_will_not_be_back_in_traffic_do_not_count_for_the_next_batch():
    hosts, pools, health = fleet("a", "b", "c", "d")
    found = {"m-a": {"state": "disabled", "weight": 100}, "m-b": {"state": ENABLED, "weight": 0}}
    assert problems((hosts, pools, health), min_available="3") == []
    for name in found:
        before = {"balancers": {"lb1": {name: found[name]}}}
        assert "would leave 2 of 4" in problems((hosts, pools, health), before, min_available="3")[0]


def test_during_an_outage_the_rollout_may_bring_the_service_back():
    hosts, pools, health = fleet("a", "b", "c")
    for down in pools[0]["members"]:
        down.update(health="down")
    assert problems((hosts, pools, [runs(host, None, healthy=False) for host in "abc"]), batches=[3]) == []


def test_a_check_that_finds_nobody_healthy_whom_the_balancers_see_well_is_doubted():
    hosts, pools, _health = fleet("a", "b", balancers=("lb1", "lb2"))
    nobody = [runs(host, None, healthy=False, seen="HTTP 404.") for host in "ab"]
    (told,) = problems((hosts, pools, nobody))
    assert told.startswith(
        "rollout_health finds none of the hosts healthy (a: HTTP 404), while every balancer has a, b in traffic"
    )
    assert problems((hosts, pools, nobody), no_way_back="accept") == []
    assert problems((hosts, pools, [nobody[0], runs("b", "1.0")])) == []
    for unseen in ({"health": "down"}, {"health": "unknown", "checked": False}, {"state": "disabled"}):
        hosts, pools, _health = fleet("a", "b", balancers=("lb1", "lb2"))
        for each in pools[1]["members"]:
            each.update(unseen)
        assert problems((hosts, pools, nobody), health="none", min_available="0") == []


def test_all_problems_are_told_at_once():
    hosts, pools, health = fleet("a", "b")
    pools[0]["members"][1].update(checked=False)
    health[0] = runs("a", None)
    told = problems((hosts, pools, health), first=["z"], batches=["x"])
    assert len(told) == 4


def test_of_what_was_before_only_what_is_asked_for():
    one, two = {"state": "enabled", "weight": 1}, {"state": "drained", "weight": 2}
    before = {"balancers": {"lb1": {"m1": one, "m2": two}, "lb2": {"m1": two}}, "versions": {}}
    assert plan.states_before(before, ["m1"]) == {"lb1": {"m1": one}, "lb2": {"m1": two}}
    assert plan.states_before(before, ["m2", "m3"]) == {"lb1": {"m2": two}, "lb2": {}}
