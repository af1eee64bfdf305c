# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which colour is live, and the plan by which the other one takes over."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain import colors, undoing

from .test_plan import member, pool, runs

# Two instances on each of two hosts.
TARGETS = [{"host": host, "members": {"blue": f"{host}-b", "green": f"{host}-g"}} for host in ("a", "c")]
SMALLER = [TARGETS[0], {"host": "c", "members": {"blue": "c-b"}}]
OPTIONS = {
    "version": "2.0",
    "unfinished": False,
    "min_available": "50%",
    "health": "fresh",
    "drain_wait": 0.0,
    "on_drain_timeout": "fail",
    "drain_timeout": 60.0,
    "health_timeout": 60.0,
    "accept_errors": False,
    "sessions": "switch",
}


def two(blue="enabled", green="disabled", name="lb1", **cannot):
    states = {"b": blue, "g": green}
    return pool(*[member(f"{h}-{c}", state) for c, state in states.items() for h in ("a", "c")], name=name, **cannot)


def found(*pools, known=None, asked=""):
    return colors.find(TARGETS, list(pools), known or {}, asked)


def planned(*pools, blue="1.0", green="0.9", known=None, targets=None, **options):
    which = colors.find(targets or TARGETS, list(pools), (known or {}).get("colors", {}), "")
    health = {"blue": [runs(h, blue) for h in ("a", "c")], "green": [runs(h, green) for h in ("a", "c")]}
    return colors.plan(which, list(pools), health, known or {}, {**OPTIONS, **options})


def test_the_live_colour_is_the_one_with_the_traffic():
    assert (found(two())["live"], found(two())["idle"]) == ("blue", "green")
    assert found(two("drained", "enabled"))["live"] == "green"
    # Who is enabled at weight 0 serves nobody new.
    idle = pool(member("a-b"), member("c-b"), member("a-g", weight=0), member("c-g", weight=0))
    assert found(idle)["live"] == "blue"


@pytest.mark.parametrize(
    "pools, words",
    [
        ([two("enabled", "enabled")], "both colours have members in traffic (blue, green)"),
        ([two("disabled", "disabled")], "neither colour has members in traffic"),
        ([two(), two("disabled", "enabled", name="lb2")], "both colours have"),
    ],
)
def test_where_it_cannot_be_told_the_user_is_asked(pools, words):
    (said,) = found(*pools)["problems"]
    assert words in said and "blue_green_live" in said
    assert found(*pools, asked="green")["live"] == "green"


def test_an_unfinished_rollout_knows_better_than_the_traffic():
    assert found(two("disabled", "enabled"), known={"live": "blue"})["live"] == "blue"


@pytest.mark.parametrize(
    "targets, words",
    [
        ([{"host": "a", "members": {}}], "Nothing tells which colour a has"),
        ([{"host": "a", "members": {"blue": "m"}}], "the hosts have 1: blue"),
        ([{"host": "a", "members": {"x": "1", "y": "2", "z": "3"}}], "the hosts have 3: x, y, z"),
    ],
)
def test_two_colours_it_takes(targets, words):
    assert words in colors.find(targets, [two()], {})["problems"][0]


def test_a_colour_that_is_none_is_refused():
    assert "the colours are blue and green" in found(two(), asked="grene")["problems"][0]


def test_the_idle_colour_is_deployed_to_and_what_was_before_is_known_of_both():
    made = planned(two())
    assert (made["hosts"], made["groups"], made["left_alone"], made["there"]) == (["a", "c"], [["a", "c"]], [], [])
    assert made["before"]["members"] == {"a": "a-g", "c": "c-g"}
    assert made["before"]["versions"] == {"a": "0.9", "c": "0.9"}
    assert made["before"]["colors"]["versions"]["blue"] == {"a": "1.0", "c": "1.0"}
    assert made["before"]["balancers"]["lb1"]["a-b"] == {"state": "enabled", "weight": 100}
    assert made["split"] == {"blue": ["a-b", "c-b"], "green": ["a-g", "c-g"]}


def test_a_live_colour_that_is_there_has_nothing_to_do():
    made = planned(two(), blue="2.0")
    assert (made["hosts"], made["left_alone"]) == ([], ["a", "c"])


def test_an_unfinished_one_is_gone_on_with_after_its_switch():
    known = {"colors": {"live": "blue", "versions": {"green": {"a": "0.9", "c": "0.9"}}}}
    made = planned(two("disabled", "enabled"), green="2.0", known=known, unfinished=True)
    assert (made["live"], made["idle"], made["there"]) == ("blue", "green", ["a", "c"])
    assert made["before"]["versions"] == {"a": "0.9", "c": "0.9"}


def lonely(healthy):
    which = found(two())
    health = {"blue": [runs("a", healthy=healthy), runs("c", healthy=False)], "green": []}
    return colors.plan(which, [two()], health, {}, OPTIONS)["problems"]


def test_without_a_healthy_live_colour_there_is_no_way_back():
    assert lonely(True) == []
    assert "finds no host of blue healthy" in lonely(False)[0]


@pytest.mark.parametrize(
    "pools, given_options, words",
    [
        ([two(fresh_health=False)], {}, "traffic_health: none"),
        ([two(sticky_drain=False)], {"sessions": "finish"}, "Use blue_green_sessions: switch."),
        ([two()], {"targets": SMALLER}, "green has 1 members there, fewer than the 2 that must be available"),
        ([pool(member("a-b"), member("c-b"))], {}, "has no member a-g, c-g"),
        ([{**two(), "members": [*two()["members"], member("x")]}], {}, "belong to neither colour (x)"),
    ],
)
def test_what_speaks_against_it_is_said_before_anything_is_touched(pools, given_options, words):
    assert words in " ".join(planned(*pools, **given_options)["problems"])


def test_two_instances_cannot_be_one_member():
    same = [{"host": host, "members": {"blue": f"{host}-b", "green": "a-g"}} for host in ("a", "c")]
    assert "More than one instance is member a-g" in planned(two(), targets=same)["problems"][0]


def journal(*events, strategy="blue_green"):
    before = planned(two())["before"]
    return {"strategy": strategy, "before": before, "events": [{"event": e, "hosts": [], "details": d} for e, d in events]}


def test_the_way_back_is_to_switch_back_and_nothing_else():
    begun = [("batch_begun", {}), ("switching", {})]
    undo = undoing.undo_plan(journal(*begun))
    assert (undo["hosts"], undo["switch"]["live"], undo["switch"]["hosts"]) == ([], "blue", ["a", "c"])
    assert undo["switch"]["versions"] == {"a": "1.0", "c": "1.0"}
    # Their checks have begun, for which the balancers have drained the members of the idle colour.
    assert undoing.undo_plan(journal(("batch_begun", {}), ("switch_begun", {})))["switch"] == undo["switch"]
    assert undoing.undo_plan(journal(("batch_begun", {})))["switch"] == {}
    assert undoing.undo_plan(journal(*begun, ("switched_back", {})))["switch"] == {}


def test_a_rollback_of_the_last_one_that_is_cut_off_goes_on():
    done = {**journal(("switching", {})), "outcome": "succeeded", "id": "j1", "version": "2.0"}
    way = undoing.way_back({"journal": None, "history": [done]}, [], {})
    assert (way["strategy"], way["switch"]["live"], way["hosts"]) == ("rollback", "blue", [])
    cut_off = journal(("to_undo", way["record"]), strategy="rollback")
    assert undoing.undo_plan(cut_off)["switch"]["live"] == "blue"


@given(st.lists(st.sampled_from(["batch_begun", "switching", "switched_back", "halted"]), max_size=8))
def test_a_switch_back_is_never_switched_back(events):
    way = undoing.switch_back(journal(*[(event, {}) for event in events]))
    turns = [event for event in events if event.startswith("switch")]
    assert bool(way) == (turns[-1:] == ["switching"])
