# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of a journal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import Refused
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.undoing import undo_plan
from ansible_collections.zero_downtime.deploy.plugins.module_utils._journal import journal

NOW = 1795255200.0
KIM = {"name": "kim"}

values = st.recursive(
    st.integers(0, 3) | st.sampled_from(["", "x"]),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
trees = st.dictionaries(st.sampled_from("abc"), values, max_size=3)


def leaves(tree, path=()):
    """Each path to what is no dict, with its value."""
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, path + (key,))
        else:
            yield path + (key,), value


def at(tree, path):
    for key in path:
        tree = tree[key]
    return tree


def begun(unfinished=(), version="2", strategy="rolling", fence=1, now=NOW, last=None):
    return journal.begin(list(unfinished), last, "shop", version, strategy, KIM, fence, now)


@given(trees, trees)
def test_the_first_observation_wins_and_none_is_lost(first, later):
    both = journal.merged(first, later)
    for path, value in leaves(first):
        if value != {}:
            assert at(both, path) == value
    assert set(both) == set(first) | set(later)
    assert journal.merged(both, later) == both
    assert journal.merged({}, later) == later


def test_what_could_not_be_observed_is_filled_in_later():
    first = {"versions": {"app1": "1", "app2": None}}
    assert journal.merged(first, {"versions": {"app1": "2", "app2": "1"}}) == {"versions": {"app1": "1", "app2": "1"}}


@given(st.text(alphabet="aZ09.-_+/\\ \né☃", max_size=100), st.integers(1, 10**6))
def test_an_id_is_a_safe_file_name_and_knows_its_number(version, fence):
    rollout = journal.new_id(version, fence, NOW)
    assert journal.fence_of(rollout) == fence
    assert "/" not in rollout and len(rollout) < 200 and not rollout.startswith(".")


@pytest.mark.parametrize(
    "text", ["", "..", "../20261121T100000Z-1-1", "20261121T100000Z-a/b-1", "20261121T100000Z-1-1\n"]
)
def test_what_is_no_id(text):
    assert journal.fence_of(text) is None


def test_the_same_again_goes_on_under_the_same_id():
    first = begun().journal
    first = journal.record(first, NOW, before={"a": 1}, event="batch_begun")
    again = begun([first], fence=2, now=NOW + 60)
    assert again.resumed and not again.superseded
    assert (again.journal["id"], again.journal["fence"]) == (first["id"], 2)
    assert again.journal["before"] == {"a": 1} and again.journal["events"] == first["events"]
    assert [attempt["fence"] for attempt in again.journal["attempts"]] == [1, 2]


@pytest.mark.parametrize("other", [{"version": "3"}, {"strategy": "canary"}])
def test_another_one_supersedes_it_and_inherits_what_was_before(other):
    first = journal.record(begun().journal, NOW, before={"web1": {"weight": 100}})
    second = begun([first], fence=2, **other)
    assert not second.resumed
    assert second.journal["before"] == {"web1": {"weight": 100}}
    assert second.journal["supersedes"] == first["id"]
    (old,) = second.superseded
    assert (old["outcome"], old["superseded_by"]) == ("superseded", second.journal["id"])


def test_a_begin_that_was_cut_off_before_marking_is_made_good():
    first = journal.record(begun().journal, NOW, before={"a": 1})
    second = begun([first], version="3", fence=2).journal
    third = begun([first, second], version="3", fence=3)
    assert third.resumed and third.journal["id"] == second["id"] and third.journal["before"] == {"a": 1}
    assert [old["id"] for old in third.superseded] == [first["id"]]


def test_recording_nothing_changes_nothing():
    first = journal.record(begun().journal, NOW, before={"a": 1}, plan=[["web1"]])
    assert journal.record(first, NOW + 1) == first
    assert journal.record(first, NOW + 1, before={"a": 2}, plan=[["web1"]]) == first


def test_a_finished_one_takes_no_more():
    done = journal.finish(begun().journal, "succeeded", {"hosts": 3}, NOW)
    assert journal.finish(done, "succeeded", {"hosts": 4}, NOW + 1) == done
    with pytest.raises(Refused, match="succeeded"):
        journal.finish(done, "abandoned", None, NOW + 1)
    with pytest.raises(Refused, match="finished"):
        journal.record(done, NOW, event="late")


def test_blank_is_what_never_recorded_nor_inherited_anything():
    first = begun().journal
    assert journal.blank(first)
    assert not journal.blank(journal.record(first, NOW, before={"a": 1}))
    assert not journal.blank(journal.record(first, NOW, plan=[["a"]]))
    assert not journal.blank(journal.record(first, NOW, event="halted"))
    assert not journal.blank(begun([first], version="3", fence=2).journal)


def test_pruning_spares_the_unfinished():
    done = [journal.finish(begun(fence=n).journal, "succeeded", None, NOW) for n in range(2, 6)]
    assert journal.to_prune([begun(fence=1).journal] + done, 2) == done[:2]
    assert journal.to_prune(done, 10) == []


def test_a_diff_shows_what_is_added():
    first = begun().journal
    later = journal.record(first, NOW, {"lb1": {}}, [["web1"], ["web2", "web3"]], "batch_begun", ["web1"])
    assert journal.lines(first, later)["after"] == (
        "plan: web1; web2, web3\nfound before: lb1\nbatch_begun: web1\n"
    )


def test_who_supersedes_a_rollout_undoes_what_that_one_had_touched_too():
    first = begun().journal
    for event, hosts in (("batch_begun", ["a"]), ("batch_begun", ["b", "c"]), ("batch_begun", ["d"]), ("batch_refused", ["d"])):
        first = journal.record(first, NOW, event=event, hosts=hosts)
    second = begun([first], version="3", fence=2).journal
    assert undo_plan(second)["groups"] == [["b", "c"], ["a"]]
    third = begun([journal.record(second, NOW, event="batch_begun", hosts=["b", "e"])], version="4", fence=3).journal
    assert undo_plan(third)["groups"] == [["e"], ["b", "c"], ["a"]]


@pytest.mark.parametrize(("outcome", "groups"), [("rollback_failed", [["b"], ["a"]]), ("rolled_back", []), ("succeeded", [])])
def test_what_the_last_one_could_not_undo_is_undone_with_the_next(outcome, groups):
    last = begun().journal
    for event, hosts in (("batch_begun", ["a"]), ("batch_begun", ["b", "c"]), ("undone", ["c"])):
        last = journal.record(last, NOW, event=event, hosts=hosts)
    last = journal.finish(last, outcome, {"left_out": ["a", "b"]}, NOW)
    assert undo_plan(begun(last=last, fence=2).journal)["groups"] == groups


def test_what_the_last_one_left_out_is_still_owed_its_state_from_before():
    before = {
        "balancers": {"lb1": {"m1": {"state": "enabled", "weight": 5}, "m2": {"state": "enabled", "weight": 7}}},
        "versions": {"app1": "1", "app2": "1"},
        "members": {"app1": "m1", "app2": "m2"},
    }
    last = journal.finish(
        journal.record(begun().journal, NOW, before=before), "rollback_failed", {"left_out": ["app2"]}, NOW
    )
    owed = begun(last=last, fence=2).journal["before"]
    assert owed == {
        "balancers": {"lb1": {"m2": {"state": "enabled", "weight": 7}}},
        "versions": {"app2": "1"},
        "members": {"app2": "m2"},
    }


def test_a_canary_that_could_not_be_undone_owes_everybody_their_own_shares():
    before = {
        "balancers": {"lb1": {"m1": {"state": "enabled", "weight": 5}, "m2": {"state": "enabled", "weight": 7}}},
        "versions": {"app1": "1", "app2": "1"},
        "members": {"app1": "m1", "app2": "m2"},
    }
    last = journal.record(begun().journal, NOW, before=before, event="batch_begun", hosts=["app1"])
    last = journal.record(last, NOW, event="canary_step_begun", hosts=["app1"])
    last = journal.finish(last, "rollback_failed", {"left_out": ["app1"]}, NOW)
    owed = begun(last=last, fence=2).journal["before"]
    assert owed["balancers"] == before["balancers"] and owed["versions"] == {"app1": "1"}


def test_one_that_left_nobody_out_owes_nothing():
    last = journal.finish(journal.record(begun().journal, NOW, event="x"), "succeeded", {"lines": []}, NOW)
    assert begun(last=last, fence=2).journal["before"] == {}
