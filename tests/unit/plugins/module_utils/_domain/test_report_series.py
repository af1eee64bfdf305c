# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many seconds in few points."""

from __future__ import annotations

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.report_series import (
    first_answer,
    last_answer,
    merged,
)
from hypothesis import given
from hypothesis import strategies as st

SERIES = {
    "began": 100, "step": 1, "requests": [10, 10, 0, 10, 10], "failed": [0, 1, 0, 2, 0],
    "p50": [2.0, 8.0, None, 3.0, None], "p95": [4.0, 5.0, None, 90.0, None], "p99": [5.0, 6.0, None, 95.0, None],
    "versions": {"1": [10, 9, 0, 0, 0], "2": [0, 0, 0, 8, 10]},
}  # fmt: skip


def test_counts_are_added_up_and_no_slow_second_is_hidden():
    first, second, third = merged(SERIES, most=3)
    assert (first.began, first.ended, first.requests, first.failed) == (100, 102, 20, 1)
    assert (first.p50, first.p95, first.p99) == (5.0, 5.0, 6.0)
    assert (second.p50, second.p95, second.failed) == (3.0, 90.0, 2)
    assert (third.began, third.ended, third.seconds, third.p50) == (104, 105, 1, None)
    assert [each.versions for each in (first, second, third)] == [
        {"1": 19, "2": 0},
        {"1": 0, "2": 8},
        {"1": 0, "2": 10},
    ]


def test_few_enough_are_left_as_they_are():
    assert [each.requests for each in merged(SERIES)] == SERIES["requests"]


@given(st.lists(st.integers(0, 50), max_size=900), st.integers(1, 300))
def test_nothing_is_lost(failed, most):
    column = [None] * len(failed)
    series = {
        "began": 0,
        "step": 2,
        "requests": failed,
        "failed": failed,
        "p50": column,
        "p95": column,
        "p99": column,
        "versions": {"": failed},
    }
    found = merged(series, most)
    assert len(found) <= most and sum(each.failed for each in found) == sum(failed)
    assert all(one.ended == other.began for one, other in zip(found, found[1:]))
    assert not found or (found[0].began, found[-1].ended) == (0, 2 * len(failed))


def test_first_and_last_answer():
    assert (first_answer(SERIES, "2"), last_answer(SERIES, ["1"])) == (103, 102)
    assert (first_answer(SERIES, "3"), last_answer(SERIES, [])) == (None, None)
