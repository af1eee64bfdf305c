# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.zero_downtime.deploy.plugins.module_utils._health.streak import Goal, Streak

ATTEMPTS = st.lists(st.tuples(st.booleans(), st.floats(0.001, 10)), max_size=30)
GOALS = st.builds(Goal, st.integers(1, 6), st.floats(0, 30))


def replay(attempts):
    """The streak after attempts given as (passed, seconds since the one before), and their times."""
    streak, now, history = Streak(), 100.0, []
    for passed, later in attempts:
        now += later
        streak = streak.after(passed, now)
        history.append((passed, now))
    return streak, history


@given(ATTEMPTS, GOALS)
def test_the_goal_is_met_exactly_by_the_passes_since_the_last_failure(attempts, goal):
    streak, history = replay(attempts)
    failures = [index for index, (passed, _at) in enumerate(history) if not passed]
    passes = [at for _passed, at in history[failures[-1] + 1 if failures else 0 :]]
    lasted = passes[-1] - passes[0] if passes else 0.0
    assert (streak.count, streak.lasted) == (len(passes), lasted)
    assert goal.met(streak) == (len(passes) >= goal.passes and lasted >= goal.min_healthy_time)


@given(ATTEMPTS, GOALS)
def test_a_failure_takes_all_proof_away(attempts, goal):
    streak, history = replay(attempts + [(False, 1.0)])
    assert streak.count == 0 and not goal.met(streak)


@given(GOALS, st.floats(0.01, 5))
def test_a_target_that_always_passes_is_proven_within_what_the_goal_takes(goal, interval):
    streak = Streak().after(True, 0.0)
    looks = 1
    while not goal.met(streak):
        due = goal.next_look(streak, interval)
        assert streak.last < due <= streak.last + interval
        streak = streak.after(True, due)
        looks += 1
    assert streak.last <= goal.takes(interval) + 1e-6
    assert looks >= goal.passes
