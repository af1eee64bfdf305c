# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a batch of a rollout stands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.standing import Steps, standing

WAS = {"state": "enabled", "weight": 100}
PLAN = {
    "groups": [["a"], ["b", "c"], ["d"]],
    "group_of": {"a": 0, "b": 1, "c": 1, "d": 2},
    "batches": [1, 2, 1],
    "there": [],
    "so_far": {"hosts": [], "batches": 0},
    "before": {"members": {host: f"web-{host}" for host in "abcd"}, "balancers": {"lb1": {f"web-{host}": WAS for host in "abcd"}}},
}
KNOWN = {"reached": ["a"], "failures": {}, "canary": {"action": "go_on", "why": ""}, "paused": {}}
DONE = {"problem": ""}


def stands(host="b", plan=None, most=0, known=None, recorded=None, drained=None, returned=None, broken=None, failed=None):
    steps = Steps(recorded or {}, drained or {}, returned or {}, broken or {}, {**(broken or {}), **(failed or {})})
    return standing(plan or PLAN, host, {**KNOWN, **(known or {})}, steps, most)


def test_a_batch_that_begins():
    seen = stands()
    assert seen["begins"] and seen["leased"] and not seen["drained"] and seen["number"] == 2
    assert (seen["hosts"], seen["to_drain"]) == (["b", "c"], ["web-b", "web-c"])


@pytest.mark.parametrize(("host", "begins"), [("a", False), ("b", True), ("d", False)])
def test_batches_begin_in_turn(host, begins):
    assert stands(host)["begins"] is begins


def test_no_batch_begins_where_a_gate_is_not_open():
    assert not stands(known={"paused": {"point": "batch"}})["begins"]


@pytest.mark.parametrize("recorded", [{"failed": True, "msg": "held by x"}, {"unreachable": True}])
def test_without_the_lease_nothing_is_drained(recorded):
    seen = stands(recorded=recorded)
    assert not seen["leased"] and seen["to_drain"] == []
    assert seen["why"] == recorded.get("msg", "the journal cannot be reached")


def test_a_host_that_fails_before_the_drain_keeps_its_batch_in_traffic():
    assert stands(broken={"c": "hook before_drain"}, most=1)["to_drain"] == []


@pytest.mark.parametrize(
    ("drained", "touched"),
    [
        ({}, False),
        ({"skipped": True, "changed": False}, False),
        ({"problem": "2 of 4 would be left", "changed": False}, False),
        ({"problem": "still busy, and lb2 could not be put back", "changed": True}, True),
        ({"failed": True, "msg": "Timed out after 9 second(s).", "changed": False}, True),
        ({"unreachable": True}, True),
        (DONE, True),
    ],
)
def test_who_may_be_out_of_traffic_counts_as_touched(drained, touched):
    assert stands(drained=drained)["touched"] is touched


def test_who_is_sound_returns_as_it_was():
    seen = stands(drained=DONE, failed={"c": "not healthy"}, most=1)
    assert seen["drained"] and seen["goes_on"] and seen["sound"] == ["b"]
    assert (seen["to_return"], seen["to_leave_out"]) == (["web-b"], ["web-c"])


def test_one_failure_too_many_ends_the_batch():
    seen = stands(drained=DONE, failed={"c": "not healthy"})
    assert not seen["goes_on"] and seen["to_return"] == []
    assert seen["why"] == "c: not healthy."


def test_failures_of_earlier_batches_count():
    known = {"failures": {"a": "x"}}
    assert not stands(known=known, failed={"c": "y"}, most=1)["goes_on"]
    assert stands(known=known, failed={"c": "y"}, most=2)["failures"] == {"a": "x", "c": "y"}


def test_a_batch_of_an_earlier_attempt_stays_in_traffic():
    seen = stands(plan={**PLAN, "there": ["b", "c"], "so_far": {"hosts": ["b", "c"], "batches": 1}})
    assert seen["drained"] and seen["number"] == 0
    assert seen["to_drain"] == seen["to_return"] == []


def test_the_idle_colour_does_not_return():
    assert stands(plan={**PLAN, "live": "blue"}, drained=DONE)["to_return"] == []


def test_a_canary_returns_in_steps():
    plan = {**PLAN, "canary": {"todo": [[], [0, 1]]}}
    seen = stands(plan=plan, drained=DONE)
    assert seen["steps"] == [0, 1] and seen["to_return"] == []
    # The batches after the canary go the way of a rolling rollout.
    assert stands("d", plan=plan, drained=DONE)["to_return"] == ["web-d"]


@pytest.mark.parametrize("action", ["undo", "ask", "wait"])
def test_nothing_goes_on_when_the_canary_does_not(action):
    seen = stands(known={"canary": {"action": action, "why": "errors doubled"}}, drained=DONE)
    assert not seen["goes_on"] and seen["to_return"] == [] and seen["why"] == "errors doubled"


def test_the_first_thing_that_went_wrong_is_why():
    everything = {
        "drained": {"problem": "guard"}, "returned": {"problem": "no fresh check"}, "failed": {"b": "refused"},
        "known": {"canary": {"action": "undo", "why": "slow"}},
    }  # fmt: skip
    assert stands(**everything)["why"] == "guard"
    assert stands(**{**everything, "drained": DONE})["why"] == "b: refused."
    assert stands(**{**everything, "drained": DONE, "failed": {}})["why"] == "no fresh check"
    assert "ended by a task of a hook" in stands(drained=DONE)["why"]


@given(
    there=st.booleans(), failed=st.sets(st.sampled_from("bc")), most=st.integers(0, 3), leased=st.booleans(),
    action=st.sampled_from(["go_on", "undo", "ask", "wait"]), drained=st.sampled_from(["", "guard"]), returned=st.sampled_from(["", "x"]),
)  # fmt: skip
def test_nobody_returns_who_has_failed_or_whose_rollout_does_not_go_on(there, failed, most, leased, action, drained, returned):
    seen = stands(
        plan={**PLAN, "there": ["b", "c"] * there}, most=most, known={"canary": {"action": action, "why": ""}},
        recorded={} if leased else {"failed": True}, drained={"problem": drained}, returned={"problem": returned},
        failed=dict.fromkeys(failed, "x"),
    )  # fmt: skip
    assert not {f"web-{host}" for host in failed} & {*seen["to_return"]}
    assert seen["goes_on"] or not seen["to_return"]
    assert leased or not seen["to_drain"]
    assert {*seen["sound"]} == {"b", "c"} - failed
