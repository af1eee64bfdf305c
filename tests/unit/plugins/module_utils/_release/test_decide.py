# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be done to a layout, over all layouts there can be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import Refused
from ansible_collections.zero_downtime.deploy.plugins.module_utils._release.decide import (
    ABSENT,
    ACTIVE,
    PRESENT,
    REVERTED,
    State,
    Switch,
    plan,
    prune,
    settle,
)

VERSIONS = ["a", "b", "c", "d", "e", "f", "g"]


@st.composite
def states(draw):
    releases = draw(st.lists(st.sampled_from(VERSIONS), unique=True))
    linked = st.sampled_from([None, *releases])
    switch = st.builds(
        Switch, st.booleans(), linked, linked, st.sampled_from(releases or [None]), linked
    ) if releases else st.none()
    return State(True, draw(linked), draw(linked), tuple(releases), interrupted=draw(st.none() | switch))


@given(states(), st.sampled_from(VERSIONS), st.integers(1, 8))
def test_activating_never_removes_what_runs_or_ran_and_keeps_as_many_as_asked(state, version, keep):
    decided = plan(state, ACTIVE, version, keep)
    after = decided.after
    assert after.current == version
    assert version in after.releases
    assert after.previous is None or after.previous in after.releases
    assert after.previous != after.current
    assert not {after.current, after.previous} & set(decided.remove)
    there = set(state.releases) | {version}
    protected = {name for name in (after.current, after.previous) if name}
    assert len(after.releases) == min(len(there), max(keep, len(protected)))
    if decided.switch is not None and settle(state).current is not None:
        assert after.previous == settle(state).current


@given(st.lists(st.sampled_from(VERSIONS), unique=True), st.sets(st.sampled_from(VERSIONS)), st.integers(1, 8))
def test_the_oldest_go_first(releases, protected, keep):
    removed = prune(releases, protected, keep)
    spare = [release for release in releases if release not in protected]
    assert list(removed) == spare[: len(removed)]


@given(states(), st.sampled_from([ACTIVE, PRESENT, ABSENT]), st.sampled_from(VERSIONS), st.integers(1, 8))
def test_a_second_time_there_is_nothing_to_do(state, wanted, version, keep):
    try:
        first = plan(state, wanted, version, keep)
    except Refused:
        return
    second = plan(first.after, wanted, version, keep)
    assert not second.changes
    assert second.after == first.after


@given(states())
def test_reverting_goes_to_another_complete_release_and_twice_leads_back(state):
    settled = settle(state)
    interrupted = state.interrupted
    try:
        decided = plan(state, REVERTED, None, 1)
    except Refused as error:
        assert "no previous release" in error.message
        assert settled.previous in (None, settled.current)
        return
    assert not decided.remove
    if interrupted is not None and interrupted.reverts and state.current == interrupted.to_current:
        assert decided.after.current == state.current
        return
    assert decided.after.current == settled.previous
    assert decided.after.previous == settled.current
    if settled.current is not None:
        assert plan(decided.after, REVERTED, None, 1).after == decided.after._replace(
            current=settled.current, previous=settled.previous
        )


@given(states())
def test_settling_leaves_what_runs(state):
    assert settle(state).current == state.current


def test_a_switch_that_had_not_reached_current_is_taken_back():
    state = State(True, "b", "b", ("a", "b", "c"), interrupted=Switch(False, "b", "a", "c", "b"))
    assert settle(state).previous == "a"
    # What had not happened is not what is gone back from.
    assert plan(state, REVERTED, None, 5).after.current == "a"


def test_an_interrupted_revert_is_not_reverted():
    state = State(True, "a", "b", ("a", "b"), interrupted=Switch(True, "b", "a", "a", "b"))
    decided = plan(state, REVERTED, None, 5)
    assert (decided.after.current, decided.after.previous) == ("a", "b")
    assert decided.changes
    # What runs may still be the other one.
    assert decided.activates


def test_a_staged_release_is_not_pruned_by_staging():
    state = State(True, "a", None, ("a", "b", "c"))
    assert plan(state, PRESENT, "d", 1).remove == ()


def test_the_current_release_is_not_removed():
    with pytest.raises(Refused, match="is the current one"):
        plan(State(True, "a", None, ("a",)), ABSENT, "a", 5)


def test_removing_the_previous_release_leaves_none():
    decided = plan(State(True, "a", "b", ("b", "a")), ABSENT, "b", 5)
    assert decided.after.previous is None
    assert decided.after.releases == ("a",)


def test_a_directory_that_nobody_knows_to_be_complete_is_not_activated():
    with pytest.raises(Refused, match="nobody knows whether it is complete"):
        plan(State(True, None, None, (), unknown=("a",)), ACTIVE, "a", 5)
