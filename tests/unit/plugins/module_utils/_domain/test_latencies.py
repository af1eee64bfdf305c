# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Percentiles out of buckets, held against those of the durations themselves."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.latencies import SHORTEST, Latencies

durations = st.floats(min_value=SHORTEST, max_value=600_000, allow_nan=False)


def of(values):
    counted = Latencies()
    for value in values:
        counted.note(value)
    return counted


@given(st.lists(durations, min_size=1), st.sampled_from([0.5, 0.95, 0.99, 1.0]))
def test_a_percentile_is_at_most_two_and_a_half_percent_off(values, share):
    true = sorted(values)[math.ceil(share * len(values)) - 1]
    # What is told is rounded to a microsecond.
    assert of(values).percentile(share) == pytest.approx(true, rel=0.025, abs=0.0006)


@given(st.lists(durations), st.lists(durations))
def test_two_histograms_add_up_to_that_of_all(one, two):
    both = of(one)
    both.add(of(two))
    assert both.plain() == of(one + two).plain()


@given(st.lists(durations))
def test_what_was_written_is_read_back(values):
    counted = of(values)
    assert Latencies.read(json.loads(json.dumps(counted.plain()))).plain() == counted.plain()


def test_the_longest_is_exact_and_no_percentile_is_longer():
    counted = of([1.0, 1.0, 1.049])
    assert counted.longest == 1.049 and counted.percentile(0.99) <= 1.049


def test_of_nothing_there_is_no_percentile():
    assert Latencies().percentile(0.99) is None and Latencies().longest is None and not Latencies()


def test_no_time_at_all_counts_as_the_shortest():
    assert of([0.0, -1.0]).percentile(0.5) == SHORTEST
