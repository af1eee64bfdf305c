# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's door to splits: all places are made ready before any switches, and what failed is put back."""

from __future__ import annotations

import pytest

from ansible_collections.zero_downtime.deploy.plugins.action.traffic_split import ActionModule, both

GROUPS = {"blue": {"members": ["m1"], "share": 0}, "green": {"members": ["m2"], "share": 100}}
PLACES = {"lb1": [{"name": "lb1", "provider": "haproxy"}], "lb2": [{"name": "lb2", "provider": "haproxy"}]}


def told(name, before, after, seconds=0.0, waited=None):
    """A place's result about m2."""
    was, now = (
        {"name": "m2", "address": "a:1", "state": state, "weight": 1, "health": "up"} for state in (before, after)
    )
    member = {"name": "m2", "group": "green", "before": was, "after": now, "waited": waited or {}}
    balancer = {
        "name": name, "pool": "app", "changed": before != after, "available": 1, "reasserted": 1, "seconds": seconds,
        "shares": {}, "weights": {}, "warnings": [], "members": [member],
    }  # fmt: skip
    return {
        "changed": before != after,
        "balancers": [balancer],
        "before": {name: {"m2": {"state": before, "weight": 1}}},
    }


@pytest.fixture
def action():
    """An action whose places answer with what `answers` has for them, one after the other."""
    action = object.__new__(ActionModule)
    args = {"pool": "app", "groups": GROUPS, "balancers": [{"provider": "haproxy", "host": name, "socket": "/s"} for name in PLACES]}
    action._task = type("Task", (), {"args": args, "check_mode": False})()
    action.asked, action.answers = [], {name: [] for name in PLACES}

    def at(place, args, task_vars):
        action.asked.append((place, {key: args.get(key) for key in ("prepare", "health", "before")}))
        return action.answers[place].pop(0)

    action.at = at
    return action


@pytest.fixture(autouse=True)
def one_after_the_other(monkeypatch):
    """In this process, so that what was asked can be seen."""
    monkeypatch.setattr(
        "ansible_collections.zero_downtime.deploy.plugins.plugin_utils.balancers.side_by_side",
        lambda jobs: [job() for job in jobs],
    )


def test_all_are_made_ready_before_any_switches(action):
    action.answers = {
        name: [told(name, "disabled", "drained", waited={"for": "fresh health"}), told(name, "drained", "enabled", 0.01)]
        for name in PLACES
    }
    results = action.everywhere(PLACES, {})
    assert [(place, asked["prepare"], asked["health"]) for place, asked in action.asked] == [
        ("lb1", True, None), ("lb2", True, None), ("lb1", None, "current"), ("lb2", None, "current"),
    ]  # fmt: skip
    assert [result["before"] for result in results] == [
        {name: {"m2": {"state": "disabled", "weight": 1}}} for name in PLACES
    ]
    assert all(result["changed"] and result["balancers"][0]["reasserted"] == 2 for result in results)
    assert results[0]["balancers"][0]["members"][0]["waited"] == {"for": "fresh health"}
    assert action._seconds is not None


def test_when_one_cannot_be_made_ready_none_switches(action):
    failed = {"failed": True, "msg": "No."}
    action.answers = {"lb1": [told("lb1", "disabled", "drained")], "lb2": [failed]}
    assert action.everywhere(PLACES, {})[1] == failed and len(action.asked) == 2


def test_one_that_fails_to_switch_goes_back_to_before_it_was_ready(action):
    failed = {"failed": True, "msg": "No."}
    action.answers = {
        "lb1": [told("lb1", "disabled", "drained"), told("lb1", "drained", "enabled")],
        "lb2": [told("lb2", "disabled", "drained"), failed, told("lb2", "drained", "disabled")],
    }
    results = action.everywhere(PLACES, {})
    assert results[1] == failed
    assert action.asked[-1] == (
        "lb2",
        {"prepare": None, "health": "none", "before": {"lb2": {"m2": {"state": "disabled", "weight": 1}}}},
    )
    # The other one is put back by who called, to what it was at the very beginning.
    assert action.put_back_args(results[0])["before"] == {"lb1": {"m2": {"state": "disabled", "weight": 1}}}


def test_and_when_it_cannot_that_is_said(action):
    failed = {"failed": True, "msg": "No."}
    action.answers = {
        "lb1": [told("lb1", "disabled", "drained"), told("lb1", "drained", "enabled")],
        "lb2": [told("lb2", "disabled", "drained"), failed, {"failed": True, "msg": "Gone."}],
    }
    result = action.everywhere(PLACES, {})[1]
    assert result["msg"] == "No. What had been made ready on lb2 could NOT be put back: Gone." and result["changed"]


def test_without_a_check_all_answer_before_any_switches(action):
    action._task.args["health"] = "none"
    action.answers = {name: [told(name, "disabled", "disabled"), told(name, "disabled", "enabled")] for name in PLACES}
    assert all(result["changed"] for result in action.everywhere(PLACES, {}))
    assert [(place, asked["prepare"], asked["health"]) for place, asked in action.asked] == [
        ("lb1", True, "none"), ("lb2", True, "none"), ("lb1", None, "none"), ("lb2", None, "none"),
    ]  # fmt: skip


def test_to_make_ready_is_one_step(action):
    action._task.args["prepare"] = True
    action.answers = {name: [told(name, "disabled", "drained")] for name in PLACES}
    action.everywhere(PLACES, {})
    assert len(action.asked) == 2 and action._seconds is None


def test_once_all_have_answered_they_switch_at_once(action):
    action._task.args.update(prepared=True, health="none")
    action.answers = {name: [told(name, "disabled", "enabled")] for name in PLACES}
    action.everywhere(PLACES, {})
    assert len(action.asked) == 2 and action._seconds is not None


def test_check_mode_asks_once(action):
    action._task.check_mode = True
    action.answers = {name: [told(name, "disabled", "enabled")] for name in PLACES}
    action.everywhere(PLACES, {})
    assert len(action.asked) == 2 and action._seconds is None


def test_where_nothing_changed_nothing_is_put_back(action):
    assert action.put_back_args(told("lb1", "enabled", "enabled")) is None


def test_what_was_changed_by_either_step_is_changed():
    assert both(told("lb1", "disabled", "drained"), told("lb1", "drained", "drained"))["changed"]
