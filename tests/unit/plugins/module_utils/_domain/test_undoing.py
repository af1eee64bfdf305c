# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What undoes a rollout."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain import undoing


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
    return undoing.undo_plan(journal(*events))["groups"]


def test_the_last_batch_is_undone_first():
    made = undoing.undo_plan(
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
    made = undoing.undo_plan(journal(*[event(name, *hosts) for name, hosts in story]))
    assert len(made["hosts"]) == len(set(made["hosts"]))
    assert made["hosts"] == [host for group in made["groups"] for host in group]
    assert made["batches"] == [len(group) for group in made["groups"]] and 0 not in made["batches"]
    for host in "abcde":
        named = [name for name, hosts in story if host in hosts]
        assert host not in made["hosts"] or "batch_begun" in named
        assert host in made["hosts"] or not named or named[-1] != "batch_begun"


def test_without_a_journal_there_is_nothing_to_undo():
    nothing = {"hosts": [], "batches": [], "groups": [], "before": {}, "shares": [], "switch": {}}
    assert undoing.undo_plan(None) == undoing.undo_plan({}) == undoing.undo_plan(journal(before={})) == nothing


# The way back


def ended(outcome, *events, **more):
    return journal(*events, outcome=outcome, **more)


def test_an_unfinished_rollout_is_undone_before_any_other():
    known = {"journal": journal(event("batch_begun", "a")), "history": [ended("succeeded", event("batch_begun", "x"))]}
    way = undoing.way_back(known, [], {})
    assert (way["version"], way["strategy"], way["record"], way["groups"]) == ("2.0", "rolling", {}, [["a"]])


def test_else_the_last_one_that_deployed_anything_with_what_its_journal_must_be_told():
    begun = [event("batch_begun", "a"), event("batch_begun", "b", "c")]
    known = {"journal": None, "history": [ended("nothing_to_do"), ended("succeeded", *begun, id="j7")]}
    way = undoing.way_back(known, [], {})
    assert (way["version"], way["strategy"], way["groups"]) == ("2.0", "rollback", [["b", "c"], ["a"]])
    assert way["record"] == {"groups": [["a"], ["b", "c"]], "undoes": "j7", "switched": False}
    # So a run that is killed now leaves a journal from which the next one goes on.
    assert undone(event("to_undo", "a", "b", "c", **way["record"])) == way["groups"]


@pytest.mark.parametrize("outcome", ["succeeded", "succeeded_with_failures", "rollback_failed", "abandoned"])
def test_what_may_have_left_hosts_on_it_is_undone(outcome):
    assert undoing.way_back({"journal": None, "history": [ended(outcome, event("batch_begun", "a"))]}, [], {})["hosts"] == ["a"]


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
    way = undoing.way_back({"journal": None, "history": history}, [], {})
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
    assert undoing.undo_plan(record)["before"]["versions"] == undone_to


def test_who_is_not_undone_gets_its_own_share_again_after_a_canary():
    before = {"members": {"a": "m-a", "b": "m-b", "c": "m-c"}}
    begun = [event("batch_begun", "a"), event("canary_step_begun")]

    def shares(*events):
        return undoing.undo_plan({**journal(*events), "before": before})["shares"]

    assert shares(*begun) == ["m-b", "m-c"]
    assert shares(begun[0]) == []
    # From here on every host has what is its own.
    assert shares(*begun, event("canary_promoted"), event("batch_begun", "b")) == []


def test_a_host_that_was_renamed_in_the_inventory_is_known_by_its_member():
    before = {"versions": {"a": "1.0", "b": "1.0", "c": "1.0"}, "members": {"a": "m1", "b": "m2", "c": "m3"}}
    cut_off = journal(event("batch_begun", "a", "b"), event("batch_begun", "c"), event("undone", "b"), before=before)
    way = undoing.way_back({"journal": cut_off, "history": []}, [], {"web1": "m1", "web2": "m2", "c": "m3"})
    assert way["groups"] == [["c"], ["web1"]]
    assert way["before"]["versions"] == {"web1": "1.0", "web2": "1.0", "c": "1.0"} and way["before"]["members"]["web1"] == "m1"
    # Renamed once more, after an attempt that has written down the first new names.
    again = {**cut_off, "before": way["before"], "events": [*cut_off["events"], event("undone", "c")]}
    way = undoing.way_back({"journal": again, "history": []}, [], {"app1": "m1", "web2": "m2", "c": "m3"})
    assert way["groups"] == [["app1"]] and way["before"]["versions"]["app1"] == "1.0"
