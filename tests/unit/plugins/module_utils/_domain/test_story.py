# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a rollout ended: the outcome, the exit code, and the words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain import story
from ansible_collections.zero_downtime.deploy.plugins.module_utils._journal.journal import OUTCOMES

NOTHING = {"hosts": [], "batches": [], "reached": []}
AGAIN = "Run the same command again to go on, or the playbook rollback to undo it."


def rollout(*hosts, **more):
    found = {
        "hosts": list(hosts),
        "groups": [[host] for host in hosts],
        "left_alone": [],
        "reached": list(hosts),
        "touched": [],
    }
    return {"service": "shop", "version": "2.0", "before": {}, **found, **more}


def undoing(*hosts, **more):
    versions = dict.fromkeys(hosts, "1.0")
    return {
        "hosts": list(hosts),
        "groups": [list(hosts)],
        "reached": list(hosts),
        "before": {"versions": versions},
        **more,
    }


def end(rolled, halted=None, failures=None, undone=None, undo_failures=None, check_mode=False):
    return story.story(rolled, halted, failures or {}, undone or NOTHING, undo_failures or {}, check_mode)


def test_success():
    assert end(rollout("a", "b", before={"versions": {"a": "1.0", "b": "1.0"}})) == {
        "outcome": "succeeded",
        "failed": False,
        "lines": ["Rollout of shop to 2.0 succeeded: 2 hosts are on it, healthy and in traffic as before."],
        "left_out": [],
        "paused": {},
        "blame": {},
    }
    told = end(rollout("a", left_alone=["b", "c"]))
    assert told["lines"] == [
        "Rollout of shop to 2.0 succeeded: 1 host is on it, healthy and in traffic as before.",
        "Left alone, because already there: b, c.",
    ]


def test_nothing_to_do():
    told = end(rollout(left_alone=["a"]))
    assert (told["outcome"], told["failed"]) == ("nothing_to_do", False)
    assert told["lines"] == [
        "Rollout of shop to 2.0: nothing to do. 1 host is already healthy on it and in traffic as before."
    ]


def test_check_mode_tells_the_batches():
    told = end(rollout("a", "b", "c", groups=[["a"], ["b", "c"]], reached=[]), check_mode=True)
    assert (told["outcome"], told["failed"]) == ("succeeded", False)
    assert told["lines"] == ["Rollout of shop to 2.0 would deploy to a; b, c. Check mode: nothing was written."]


def test_within_the_budget():
    told = end(rollout("a", "b", "c"), failures={"b": "not healthy, last seen: 500."})
    assert (told["outcome"], told["failed"], told["left_out"]) == ("succeeded_with_failures", False, ["b"])
    assert told["lines"] == [
        "Rollout of shop to 2.0 succeeded: 2 hosts are on it, healthy and in traffic as before.",
        "Out of traffic, failed within the budget of rolling_max_failures: b: not healthy, last seen: 500.",
        "Mend them and run the same command again: it deploys to them alone.",
    ]


def test_a_rollout_that_ended_early_is_no_success():
    told = end(rollout("a", "b", "c", reached=["a"]), failures={"c": "hook"})
    assert (told["outcome"], told["failed"], told["left_out"]) == ("abandoned", True, ["b", "c"])
    assert told["lines"] == [
        "Rollout of shop to 2.0 ended before it was done with b, c, see above. They may be out of traffic, the playbook "
        f"status tells. {AGAIN}"
    ]


HALTED = {"hosts": ["b", "c"], "why": "b: not healthy, last seen: 500."}
WHY = "Rollout of shop to 2.0 FAILED in the batch b, c: b: not healthy, last seen: 500."


def test_undone():
    told = end(rollout("a", "b", "c", reached=["a"], touched=["b", "c"]), HALTED, {"b": "x"}, undoing("b", "c", "a"))
    assert (told["outcome"], told["failed"], told["left_out"]) == ("rolled_back", True, [])
    assert told["lines"] == [WHY, "3 hosts are back on 1.0, states and weights as before."]


def test_undone_to_several_versions_and_to_one_that_nobody_knows():
    undone = undoing("a", "b", "c", before={"versions": {"a": "1.0", "b": "1.1", "c": None}})
    told = end(rollout("a", "b", "c", reached=[]), HALTED, {}, undone)
    assert told["lines"][1] == "3 hosts are back on 1.0, 1.1, what it had, states and weights as before."


def test_partly_undone():
    told = end(
        rollout("a", "b", "c", reached=["a"]), HALTED, {"b": "x"}, undoing("b", "c", "a"), {"b": "cannot be reached"}
    )
    assert (told["outcome"], told["failed"], told["left_out"]) == ("rollback_failed", True, ["b"])
    assert told["lines"] == [
        WHY,
        "2 hosts are back on 1.0, states and weights as before. NOT undone, look at them now: b: cannot be reached. They are "
        "out of traffic where the balancers allowed it. Mend them, then run the playbook rollback (or the same rollout) again.",
    ]


def test_the_undoing_that_did_not_get_everywhere():
    told = end(rollout("a", "b", "c", reached=["a"]), HALTED, {}, undoing("b", "c", "a", reached=["b", "c"]))
    assert (told["outcome"], told["left_out"]) == ("rollback_failed", ["a"])
    assert "NOT undone, look at them now: a: the undoing ended before it got here, see above." in told["lines"][1]
    assert told["lines"][1].startswith("2 hosts are back")


def test_others_words_end_before_ours_begin():
    told = end(rollout("b", "c", reached=[]), {**HALTED, "why": "Task failed: read from master failed\r\nssh: Connection timed out"})
    assert told["lines"][0].endswith(": read from master failed ssh: Connection timed out.")


def test_halted_before_anything_was_touched():
    told = end(rollout("b", "c", reached=[]), HALTED)
    assert (told["outcome"], told["failed"], told["left_out"]) == ("rolled_back", True, [])
    assert told["lines"] == [WHY, "No host had been touched: the service is as it was before."]


@pytest.mark.parametrize(("reached", "touched"), [(["a"], []), ([], ["a"]), (["a"], ["a"])])
def test_halted_where_nothing_may_be_undone_does_not_say_that_nothing_was_touched(reached, touched):
    told = end(rollout("a", "b", "c", reached=reached, touched=touched), HALTED)
    assert (told["outcome"], told["failed"], told["left_out"]) == ("abandoned", True, ["a"])
    assert told["lines"] == [WHY, f"Nothing was undone: a had been touched before. {AGAIN}"]


def test_in_check_mode_nothing_was_touched():
    told = end(rollout("a", "b", "c", reached=[], touched=["a"]), HALTED, check_mode=True)
    assert (told["outcome"], told["failed"], told["left_out"]) == ("abandoned", True, [])
    assert told["lines"] == [WHY.replace("FAILED", "would FAIL"), "Check mode: nothing was written."]


def test_what_is_owed_to_hosts_beyond_this_rollout_is_owed_still():
    before = {"versions": {"a": "1.0", "b": "2.0", "z": "1.0"}}
    assert end(rollout("a", left_alone=["b"], before=before))["left_out"] == ["z"]
    assert end(rollout("a", "b", before=before), failures={"a": "x"})["left_out"] == ["a", "z"]
    assert end(rollout("a", "b", before=before), HALTED, {}, undoing("a", "b"))["left_out"] == ["z"]


hosts = st.lists(st.sampled_from([f"app{number}" for number in range(9)]), unique=True)


@given(hosts, hosts, hosts, hosts, hosts, st.booleans(), st.booleans())
def test_nobody_is_counted_as_done_or_back_who_was_not_reached(
    planned, reached, failing, to_undo, got_back, is_halted, check_mode
):
    reached = [host for host in reached if host in planned]
    failures = {host: "it failed" for host in failing if host in planned}
    undone = undoing(*[host for host in to_undo if host in planned])
    undone["reached"] = [host for host in undone["hosts"] if host in got_back]
    undo_failures = {host: "it failed" for host in failing if host in undone["hosts"]}
    halted = {"hosts": planned, "why": "so"} if is_halted else None
    told = end(rollout(*planned, reached=reached), halted, failures, undone, undo_failures, check_mode)
    assert told["outcome"] in OUTCOMES
    # Whatever is not as it should be makes the run fail, and nobody is out of traffic without being named to the next rollout.
    if not is_halted and not check_mode and planned:
        assert told["failed"] == (set(reached) != set(planned))
        well = [host for host in planned if host not in failures]
        assert told["failed"] or told["lines"][0].endswith(
            f"succeeded: {len(well)} host{' is' if len(well) == 1 else 's are'} on it, healthy and in traffic as before."
        )
        assert told["failed"] or told["left_out"] == list(failures)
        assert set(told["left_out"]) >= set(planned) - set(reached)
    if is_halted and check_mode:
        assert told["failed"] and "touched" not in " ".join(told["lines"])
    elif is_halted:
        assert told["failed"]
        back = [host for host in undone["hosts"] if host in undone["reached"] and host not in undo_failures]
        assert (told["outcome"] == "rolled_back") == (
            set(back) == set(undone["hosts"]) and bool(undone["hosts"] or not reached)
        )
        assert f"{len(back)} host" in told["lines"][1] or not back
        assert set(told["left_out"]) >= set(undone["hosts"]) - set(back)


# A rollback that somebody asked for


def test_a_rollback():
    assert story.undo_story("shop", undoing("b", "a"), {})["lines"] == [
        "Rollback of shop: 2 hosts are back on 1.0, states and weights as before."
    ]
    assert story.undo_story("shop", undoing("b", "a"), {})["outcome"] == "rolled_back"


def test_a_rollback_with_nothing_to_undo():
    told = story.undo_story("shop", NOTHING, {})
    assert (told["outcome"], told["failed"], told["lines"]) == (
        "nothing_to_do",
        False,
        ["Rollback of shop: nothing to undo."],
    )


def test_a_rollback_in_check_mode():
    told = story.undo_story("shop", undoing("a", "b", groups=[["b"], ["a"]], reached=[]), {}, check_mode=True)
    assert (told["outcome"], told["failed"]) == ("rolled_back", False)
    assert told["lines"] == ["Rollback of shop would undo b; a. Check mode: nothing was written."]


def test_a_rollback_that_failed_or_did_not_get_everywhere():
    told = story.undo_story("shop", undoing("c", "b", "a", reached=["c", "b"]), {"b": "hook"})
    assert (told["outcome"], told["failed"], told["left_out"]) == ("rollback_failed", True, ["b", "a"])
    assert told["lines"][0].startswith("Rollback of shop: 1 host is back on 1.0")
    assert "b: hook; a: the undoing ended before it got here, see above." in told["lines"][0]


# Words


PAUSED = {"point": "batch", "number": 2, "why": "waiting for approval: x", "waits_for": "approval"}
SHUT = {**PAUSED, "why": "frozen", "waits_for": "gate"}


def test_a_pause_for_a_person_is_no_failure():
    told = end(rollout("a", "b", "c", left_alone=["d"], reached=["a"], paused=PAUSED))
    assert (told["outcome"], told["failed"], told["paused"], told["left_out"]) == ("paused", False, PAUSED, [])
    assert told["lines"] == [
        "Rollout of shop to 2.0 has paused before batch 2: waiting for approval: x.",
        "2 hosts are on 2.0, healthy and in traffic as before; still to come: b, c. Nothing was undone.",
        "To approve it and go on, run the playbook promote; to undo it, the playbook rollback.",
    ]


def test_a_closed_gate_is_one():
    told = end(rollout("a", "b", reached=["a"], paused=SHUT))
    assert (told["outcome"], told["failed"]) == ("paused", True)
    assert told["lines"][0] == "Rollout of shop to 2.0 HALTED before batch 2: frozen."
    assert told["lines"][-1] == "To go on, once the way is open, run the playbook promote; to undo it, the playbook rollback."


def test_a_pause_before_anything_was_touched_and_one_with_hosts_that_failed():
    told = end(rollout("a", reached=[], paused={**PAUSED, "point": "rollout", "number": None}))
    assert told["lines"][:2] == ["Rollout of shop to 2.0 has paused before the rollout: waiting for approval: x.", "Nothing was touched."]
    told = end(rollout("a", "b", "c", reached=["a", "b"], paused=PAUSED), failures={"b": "disk full"})
    assert told["lines"][1].startswith("1 host is on 2.0") and "b: disk full." in told["lines"][2]


def test_a_pause_that_is_only_foretold():
    told = end(rollout("a", reached=[], paused=PAUSED), check_mode=True)
    assert told["lines"] == ["Rollout of shop to 2.0 would pause before batch 2: waiting for approval: x. Check mode: nothing was written."]
    assert not told["failed"] and end(rollout("a", reached=[], paused=SHUT), check_mode=True)["failed"]


def test_a_run_fails_on_the_hosts_that_did():
    halted = {"hosts": ["a", "b", "c"], "why": "b: HTTP 500; c: gone.", "failures": {"b": "HTTP 500", "c": "gone"}}
    told = end(rollout("a", "b", "c"), halted)
    whole = f"{' '.join(told['lines'])} And more."
    assert story.blamed(told, ["a", "b", "c"], ["And more."]) == {"last": {"c": whole}, "others": {"b": "HTTP 500."}}
    # One of them is lost to the play; a balancer refused.
    assert story.blamed(told, ["a", "b"], ["And more."]) == {"last": {"b": whole}, "others": {}}
    assert story.blamed(end(rollout("a", "b"), {**halted, "failures": {}}), ["a", "b"], [])["last"].keys() == {"a"}


def test_a_host_that_cannot_be_reached_is_told_so():
    halted = {"hosts": ["a", "b"], "why": "a, b: HTTP 500.", "failures": {"a": "HTTP 500", "b": "HTTP 500"}}
    assert story.halted_with_lost(halted, {"b": "no route"})["why"] == "a: HTTP 500; b: unreachable: no route."
    refused = {**halted, "why": "lb1: no answer"}
    assert story.halted_with_lost(refused, {"b": "no route"})["why"] == "lb1: no answer"
