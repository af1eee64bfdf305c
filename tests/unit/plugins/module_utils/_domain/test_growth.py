# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What counters grow by."""

from __future__ import annotations

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.growth import Counter, Growth
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.proportions import Counts
from hypothesis import given
from hypothesis import strategies as st

readings = st.lists(
    st.dictionaries(
        st.sampled_from("ab"), st.builds(Counter, st.integers(0, 9), st.integers(0, 9), st.sampled_from(["", "1", "2"]))
    ),
    max_size=12,
)


def grown(*taken, **how):
    growth = Growth(**how)
    for counters in taken:
        growth.take({name: Counter(*counter) for name, counter in counters.items()})
    return growth


def test_growth_is_measured_from_the_first_reading():
    growth = grown(
        {"lb1": (100, 7), "lb2": (50, 0)}, {"lb1": (130, 9), "lb2": (51, 1)}, {"lb1": (131, 9), "lb2": (60, 1)}
    )
    assert growth.counts == Counts(41, 3) and growth.restarts == 0


def test_what_belongs_to_the_analysis_counts_from_the_start():
    assert grown({"file": (100, 7)}, {"file": (130, 9)}, from_zero=True, newcomers=True).counts == Counts(130, 9)


def test_a_counter_that_begins_anew_is_counted_from_there():
    for second in ((5, 0, "tuesday"), (5, 0, "monday")):  # another start, or merely less than before
        growth = grown(
            {"lb": (100, 7, "monday")}, {"lb": (120, 8, "monday")}, {"lb": second}, {"lb": (15, 2, second[2])}
        )
        assert growth.counts == Counts(30, 3) and growth.restarts == 1
    # Another start with more than before is another start all the same.
    assert grown({"lb": (100, 7, "monday")}, {"lb": (900, 90, "tuesday")}).counts == Counts(0, 0)


def test_errors_that_become_fewer_were_not_yet_final_where_a_restart_would_be_told():
    monday = [{"lb": (*counts, "monday")} for counts in ((10, 0), (20, 5), (30, 3), (40, 6))]
    assert grown(*monday).counts == Counts(30, 6)
    growth = grown({"prometheus": (10, 0)}, {"prometheus": (20, 5)}, {"prometheus": (30, 3)}, {"prometheus": (40, 4)})
    assert growth.counts == Counts(20, 6) and growth.restarts == 1


def test_a_counter_that_is_missing_for_a_while_loses_nothing():
    assert grown({"lb": (100, 7)}, {}, {"lb": (120, 8)}).counts == Counts(20, 1)


def test_a_newcomer_has_begun_at_zero_where_the_source_says_so():
    assert grown({"a": (10, 0)}, {"a": (20, 0), "b": (0, 5)}, newcomers=True).counts == Counts(10, 5)
    assert grown({"a": (10, 0)}, {"a": (20, 0), "b": (90, 5)}, {"b": (95, 5)}).counts == Counts(15, 0)


def test_a_request_may_fail_long_after_it_was_counted():
    assert grown({"lb": (100, 0)}, {"lb": (102, 5)}).counts == Counts(5, 5)


@given(readings, st.booleans(), st.booleans())
def test_nothing_is_ever_negative_and_nothing_ever_shrinks(taken, from_zero, newcomers):
    growth = Growth(from_zero, newcomers)
    before = growth.counts
    for counters in taken:
        growth.take(counters)
        now = growth.counts
        assert now.requests >= before.requests >= 0 and now.errors >= before.errors and now.errors <= now.requests
        before = now
