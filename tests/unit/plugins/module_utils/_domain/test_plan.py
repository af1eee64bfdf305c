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
    pools[balancer]["members"][0].update(now)
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


# Undoing


def event(name, *hosts, **details):
    return {"event": name, "hosts": list(hosts), "details": details}


def journal(*events, **more):
    return {
        "id": "j1",
        "version": "2.0",
        "strategy": "rolling",
        "events": list(events),
        "before": {"versions": {"a": "1.0"}},
        **more,
    }


def undone(*events):
    return plan.undo_plan(journal(*events))["groups"]


def test_the_last_batch_is_undone_first():
    made = plan.undo_plan(
        journal(
            event("planned", "a", "b", "c"),
            event("batch_begun", "a"),
            event("batch_begun", "b", "c"),
            event("halted", "b", "c"),
        )
    )
    assert made == {
        "hosts": ["b", "c", "a"],
        "batches": [2, 1],
        "groups": [["b", "c"], ["a"]],
        "before": {"versions": {"a": "1.0"}},
        "shares": [],
        "switch": {},
    }


def test_who_was_refused_or_is_undone_is_left_out():
    begun = [event("batch_begun", "a", "b"), event("batch_begun", "c"), event("batch_begun", "d")]
    assert undone(*begun, event("batch_refused", "d")) == [["c"], ["a", "b"]]
    assert undone(*begun, event("batch_refused", "d"), event("undone", "c"), event("undone", "a")) == [["b"]]
    assert undone(*begun, event("undone", "d"), event("undone", "c"), event("undone", "b", "a")) == []


def test_who_is_touched_again_after_it_was_refused_or_undone_is_to_be_undone_again():
    assert undone(event("batch_begun", "a"), event("batch_refused", "a"), event("batch_begun", "a")) == [["a"]]
    assert undone(
        event("batch_begun", "a"), event("batch_begun", "b"), event("undone", "a"), event("batch_begun", "a")
    ) == [["a"], ["b"]]


def test_a_second_attempt_that_is_refused_does_not_hide_what_the_first_one_did():
    first = [event("batch_begun", "a", "b")]
    assert undone(*first, event("batch_begun", "a", "c"), event("batch_refused", "a", "c")) == [["a", "b"]]


def test_a_rollback_s_journal_begins_with_what_it_undoes():
    to_undo = event("to_undo", "a", "b", "c", groups=[["a"], ["b", "c"]])
    assert undone(to_undo) == [["b", "c"], ["a"]]
    assert undone(to_undo, event("undoing", "b", "c"), event("undone", "b")) == [["c"], ["a"]]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["batch_begun", "batch_refused", "undone"]),
            st.lists(st.sampled_from("abcde"), unique=True, min_size=1),
        ),
        max_size=12,
    )
)
def test_no_host_is_undone_twice_and_only_who_was_touched(story):
    made = plan.undo_plan(journal(*[event(name, *hosts) for name, hosts in story]))
    assert len(made["hosts"]) == len(set(made["hosts"]))
    assert made["hosts"] == [host for group in made["groups"] for host in group]
    assert made["batches"] == [len(group) for group in made["groups"]] and 0 not in made["batches"]
    for host in "abcde":
        named = [name for name, hosts in story if host in hosts]
        assert host not in made["hosts"] or "batch_begun" in named
        assert host in made["hosts"] or not named or named[-1] != "batch_begun"


def test_without_a_journal_there_is_nothing_to_undo():
    nothing = {"hosts": [], "batches": [], "groups": [], "before": {}, "shares": [], "switch": {}}
    assert plan.undo_plan(None) == plan.undo_plan({}) == plan.undo_plan(journal(before={})) == nothing


# The way back


def ended(outcome, *events, **more):
    return journal(*events, outcome=outcome, **more)


def test_an_unfinished_rollout_is_undone_before_any_other():
    known = {"journal": journal(event("batch_begun", "a")), "history": [ended("succeeded", event("batch_begun", "x"))]}
    way = plan.way_back(known)
    assert (way["version"], way["strategy"], way["record"], way["groups"]) == ("2.0", "rolling", {}, [["a"]])


def test_else_the_last_one_that_deployed_anything_with_what_its_journal_must_be_told():
    begun = [event("batch_begun", "a"), event("batch_begun", "b", "c")]
    known = {"journal": None, "history": [ended("nothing_to_do"), ended("succeeded", *begun, id="j7")]}
    way = plan.way_back(known)
    assert (way["version"], way["strategy"], way["groups"]) == ("2.0", "rollback", [["b", "c"], ["a"]])
    assert way["record"] == {"groups": [["a"], ["b", "c"]], "undoes": "j7", "switched": False}
    # So a run that is killed now leaves a journal from which the next one goes on.
    assert undone(event("to_undo", "a", "b", "c", **way["record"])) == way["groups"]


@pytest.mark.parametrize("outcome", ["succeeded", "succeeded_with_failures", "rollback_failed", "abandoned"])
def test_what_may_have_left_hosts_on_it_is_undone(outcome):
    assert plan.way_back({"journal": None, "history": [ended(outcome, event("batch_begun", "a"))]})["hosts"] == ["a"]


@pytest.mark.parametrize(
    "history",
    [
        [],
        [ended("nothing_to_do", event("batch_begun", "a"))],
        [ended("succeeded")],
        [
            ended("rolled_back", event("batch_begun", "a"), event("undone", "a")),
            ended("succeeded", event("batch_begun", "b")),
        ],
    ],
)
def test_what_is_undone_already_is_not_undone_again(history):
    way = plan.way_back({"journal": None, "history": history})
    assert way == {
        "version": "none",
        "strategy": "rollback",
        "record": {},
        "hosts": [],
        "batches": [],
        "groups": [],
        "before": {},
        "shares": [],
        "switch": {},
    }


@pytest.mark.parametrize(
    ("versions", "undone_to"),
    [
        ({"a": "1", "b": None}, {"a": "1", "b": "1"}),
        ({"a": "1", "b": None, "c": "0"}, {"a": "1", "b": None, "c": "0"}),
        ({"a": "2", "b": None}, {"a": "2", "b": None}),
        ({"a": None}, {"a": None}),
    ],
)
def test_a_host_that_was_lost_before_gets_what_all_the_others_had(versions, undone_to):
    record = {**journal(event("batch_begun", "a", "b")), "version": "2", "before": {"versions": versions}}
    assert plan.undo_plan(record)["before"]["versions"] == undone_to


def test_of_what_was_before_only_what_is_asked_for():
    one, two = {"state": "enabled", "weight": 1}, {"state": "drained", "weight": 2}
    before = {"balancers": {"lb1": {"m1": one, "m2": two}, "lb2": {"m1": two}}, "versions": {}}
    assert plan.states_before(before, ["m1"]) == {"lb1": {"m1": one}, "lb2": {"m1": two}}
    assert plan.states_before(before, ["m2", "m3"]) == {"lb1": {"m2": two}, "lb2": {}}


def test_who_is_not_undone_gets_its_own_share_again_after_a_canary():
    before = {"members": {"a": "m-a", "b": "m-b", "c": "m-c"}}
    begun = [event("batch_begun", "a"), event("canary_step_begun")]

    def shares(*events):
        return plan.undo_plan({**journal(*events), "before": before})["shares"]

    assert shares(*begun) == ["m-b", "m-c"]
    assert shares(begun[0]) == []
    # From here on every host has what is its own.
    assert shares(*begun, event("canary_promoted"), event("batch_begun", "b")) == []
