# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where things lie in a chart."""

from __future__ import annotations

import pytest
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.scales import Scale, Window
from hypothesis import given
from hypothesis import strategies as st


def test_times_are_round_and_lie_where_they_belong():
    window = Window(1795320718.0, 1795320838.0)
    assert [tick.label for tick in window.ticks()] == ["04:12:00", "04:12:30", "04:13:00", "04:13:30"]
    assert [round(tick.at, 3) for tick in window.ticks()] == [1.667, 26.667, 51.667, 76.667]
    assert (window.x(1795320718.0 - 9), window.x(1795320838.0 + 9)) == (0, 100)


@pytest.mark.parametrize(("hours", "first"), [(1, "04:20"), (30, "06:00"), (24 * 40, "26 Nov")])
def test_times_of_long_windows(hours, first):
    assert Window(1795320718.0, 1795320718.0 + hours * 3600).ticks()[0].label == first


@given(st.floats(0, 4e9), st.floats(0, 1e8))
def test_there_are_few_times(began, length):
    ticks = Window(began, began + length).ticks()
    assert len(ticks) <= 7 and all(0 <= tick.at <= 100 for tick in ticks)


@pytest.mark.parametrize(
    ("highest", "whole", "values"),
    [(10, False, [0, 2.5, 5, 7.5, 10]), (17, False, [0, 5, 10, 15, 20]), (0, False, [0, 1]), (1, True, [0, 1]),
     (3, True, [0, 1, 2, 3]), (11, True, [0, 5, 10, 15])],
)  # fmt: skip
def test_values_at_the_axis(highest, whole, values):
    assert Scale(highest, whole=whole).values == values


@given(st.floats(1e-3, 1e9), st.floats(1e-3, 1e9))
def test_every_value_has_its_place(one, other):
    usual, highest = sorted((one, other))
    scale = Scale(highest, usual)
    assert scale.top >= highest * (1 - 1e-9)
    assert 0 <= scale.y(usual) <= scale.y(highest) <= 100
    assert scale.y(usual) > 2 and 2 <= len(scale.values) <= 16


def test_a_spike_far_above_the_usual_makes_it_logarithmic():
    scale = Scale(2150, usual=2.3)
    assert scale.logarithmic and list(scale.values) == [1, 10, 100, 1000, 10000]
    assert scale.y(100) == 50 and scale.y(0) == 0
    assert not Scale(80, usual=2.3).logarithmic
