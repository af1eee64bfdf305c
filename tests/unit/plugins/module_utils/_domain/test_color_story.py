# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a blue-green rollout ended, and whose turn it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain import color_story
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.color_story import BACK, END, FAILED, SWITCH

from .test_colors import planned, two

PLAN = {**planned(two()), "service": "shop", "version": "2.0"}
DONE = {"problem": "", "seconds": 0.1234, "balancers": [{}, {}]}
BAKED = {"baked": True, "switched": DONE, "left": ""}
REACHED = {"__rollout": PLAN, "__rolling_reached": ["a", "c"], "__blue_green": {}}
STEPS = (SWITCH, FAILED, BACK, END)


def told(plan=None, halted=None, now=None, failures=None, check_mode=False):
    return color_story.story({**PLAN, **(plan or {})}, halted, now or {}, failures or {}, check_mode)


def test_an_end_as_it_should_be_says_how_long_the_switch_took():
    end = told(now=BAKED)
    assert (end["outcome"], end["failed"]) == ("succeeded", False)
    assert end["lines"][0] == "Rollout of shop to 2.0 succeeded: green is live, switched from blue in 0.12 s on 2 balancers."


@pytest.mark.parametrize(
    "given, outcome, words",
    [
        ({"plan": {"hosts": []}}, "nothing_to_do", "blue is live on it"),
        ({"halted": {"hosts": ["a"], "why": "no disk."}}, "rolled_back", "No traffic was moved: blue serves as before"),
        ({"now": {"why": "a: down.", "back": DONE}}, "rolled_back", "blue has its traffic back, in 0.12 s"),
        ({"now": {"why": "x.", "back": {"problem": "no socket."}}}, "rollback_failed", "NOT switched back, look at it now: no socket."),
        ({"now": {"why": "x."}, "failures": {"a": "down"}}, "rollback_failed", "a: down."),
        ({"now": {"why": "x."}}, "rollback_failed", "the way back ended before it was done"),
        ({"now": {**BAKED, "left": "a: hook retire."}}, "succeeded_with_failures", "Not all of blue could be let go: a: hook retire."),
    ],
)
def test_every_other_end_says_who_has_the_traffic(given, outcome, words):
    end = told(**given)
    assert end["outcome"] == outcome and words in " ".join(end["lines"])
    assert end["failed"] == (outcome != "nothing_to_do")


@pytest.mark.parametrize(
    "now, words", [({}, "blue serves as before. green is ready"), (BAKED, "green is live, switched from blue")]
)
def test_one_that_waits_says_for_what(now, words):
    paused = {"point": "switch", "number": None, "why": "waiting", "waits_for": "approval"}
    end = told(plan={"paused": paused}, now=now)
    assert (end["outcome"], end["failed"], end["paused"]) == ("paused", False, paused)
    assert words in " ".join(end["lines"])
    assert told(plan={"paused": {**paused, "waits_for": "gate"}}, now=now)["failed"]


def test_check_mode_foretells():
    assert "would deploy to green (a, c) and give it the traffic of blue" in told(check_mode=True)["lines"][0]
    end = told(halted={"hosts": ["a"], "why": "no such release."}, check_mode=True)
    assert end["failed"] and "would FAIL while green is deployed to: no such release" in end["lines"][0]
    assert end["lines"][1:] == ["Check mode: nothing was written."]


def test_the_end_of_a_rollback():
    way = color_story.switch_back({"__rollout": PLAN})
    done = color_story.undo_story("shop", way, {"back": DONE}, {}, False)
    assert done["lines"][0].startswith("Rollback of shop: blue has its traffic back, on 1.0, in 0.12 s on 2 balancers.")
    failed = color_story.undo_story("shop", way, {}, {"a": "down"}, False)
    assert (failed["outcome"], failed["failed"]) == ("rollback_failed", True) and "a: down." in failed["lines"][0]


def test_whose_turn_it_is():
    def turns(**facts):
        return {step: color_story.hosts_of(step, {**REACHED, **facts}) for step in STEPS}

    both = ["a", "c"]
    assert turns() == {SWITCH: both, FAILED: both, BACK: both, END: []}
    assert turns(__blue_green=BAKED) == {SWITCH: [], FAILED: [], BACK: [], END: both}
    nobody = dict.fromkeys(STEPS, [])
    assert turns(__rolling_reached=["a"]) == turns(__rolling_halted={"why": "x"}) == turns(__rollout_paused={"point": "switch"}) == nobody
    assert turns(__rollout={**PLAN, "hosts": []}) == turns(__rollout={"hosts": ["a"]}) == nobody
    # Somebody asked for a rollback: nothing else has its turn.
    asked = color_story.hosts_of(BACK, {"__rollback": {"switch": {"hosts": ["z"]}}, "__rollout": {"service": "shop"}})
    assert asked == ["z"]


@given(st.booleans(), st.booleans(), st.booleans(), st.sampled_from([[], ["a"], ["a", "c"]]))
def test_what_has_baked_is_never_switched_back_and_nothing_else_ends_the_old_colour(baked, halted, paused, reached):
    facts = {
        **REACHED,
        "__rolling_reached": reached,
        "__blue_green": {"baked": baked},
        **({"__rolling_halted": {"why": "x"}} if halted else {}),
        **({"__rollout_paused": {"point": "switch"}} if paused else {}),
    }
    assert not (baked and color_story.hosts_of(BACK, facts))
    if color_story.hosts_of(END, facts):
        assert baked and not halted and not paused and reached == ["a", "c"]
