# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values on both sides: known answers, SciPy's own, and what must hold of any."""

from __future__ import annotations

import numpy
import pytest
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.ranks import (
    FEWEST,
    MOST,
    evidence,
    interval,
    ratio,
    surprise,
    thinned,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, mannwhitneyu

# Powers of two too: what is multiplied keeps its ties.
values = st.one_of(st.floats(0, 1e6), st.sampled_from([0.0, 1.0, 2.0, 4.0]))
sides = st.lists(values, min_size=FEWEST, max_size=40)


def drawn(seed, size, factor=1.0):
    return [factor * float(value) for value in numpy.random.default_rng(seed).lognormal(0, 0.25, size)]


@given(sides, sides)
def test_without_an_increase_it_is_mann_and_whitneys_test(canary, baseline):
    if len({*canary, *baseline}) > 1:
        expected = mannwhitneyu(canary, baseline, alternative="greater").pvalue
        # SciPy alone counts the chances out for fewer values.
        assert evidence(canary, baseline, "up", 0, None) == pytest.approx(expected, abs=0.02)


def test_few_values_without_ties_are_counted_out():
    canary, baseline = [float(n) for n in range(10, 18)], [float(n) for n in range(8)]
    assert surprise(canary, baseline, "greater") == pytest.approx(1 / 12870)  # of C(16, 8) orders, this one


@given(sides, st.sampled_from(["up", "down", "either"]), st.sampled_from([0.0, 0.25]))
def test_twins_are_never_told_apart(side, direction, allowed):
    assert evidence(side, side, direction, allowed, None) >= 0.5


@given(sides, sides, st.floats(0.01, 100))
def test_the_unit_does_not_matter(canary, baseline, unit):
    small = [[max(value, 1e-3) for value in side] for side in (canary, baseline)]
    ours = evidence(*small, "up", 0.25, None)
    scaled = [[unit * value for value in side] for side in small]
    # Rounding may part what was tied.
    assert evidence(*scaled, "up", 0.25, None) == pytest.approx(ours, abs=0.05)


@given(sides, sides, st.sampled_from([0.0, 0.2]), st.integers(0, 39), st.floats(0, 1e6))
def test_one_slower_value_never_speaks_for_the_canary_much(canary, baseline, allowed, which, slower):
    worse = list(canary)
    worse[which % len(worse)] += slower
    before, after = (evidence(side, baseline, "up", allowed, None) for side in (canary, worse))
    # Ties change the approximation a little.
    assert after <= before + 0.02


@pytest.mark.parametrize("size", range(FEWEST))
def test_below_the_fewest_nothing_is_evidence(size):
    assert evidence([100.0] * size, [1.0] * 50, "up", 0, None) == 1
    assert evidence([100.0] * 50, [1.0] * size, "up", 0, None) == 1


@pytest.mark.parametrize(
    ("canary", "baseline", "direction", "fails"),
    [
        pytest.param([0.0] * 20, [0.0] * 20, "up", False, id="nothing but zeros"),
        pytest.param([5.0] * 20, [5.0] * 20, "either", False, id="constant and the same"),
        pytest.param([10.0] * 20, [5.0] * 20, "up", True, id="constant and twice as much"),
        pytest.param([6.0] * 20, [5.0] * 20, "up", False, id="constant and within what is allowed"),
        pytest.param([0.0] * 20, [5.0] * 20, "up", False, id="better is not worse"),
        pytest.param([0.0] * 20, [5.0] * 20, "down", True, id="lower is worse where down is"),
        pytest.param([0.0] * 20, [5.0] * 20, "either", True, id="lower is worse where either is"),
        pytest.param([5.0] * 20, [0.0] * 20, "up", True, id="a baseline of zeros"),
        pytest.param([1.0] * 3 + [0.0] * 17, [0.0] * 20, "up", False, id="three of twenty beside zeros"),
        pytest.param([1.0, 2.0] * 10, [1.0, 2.0] * 10, "up", False, id="tied throughout"),
        pytest.param([2.0, 3.0, 3.0, 4.0] * 6, [1.0, 1.0, 2.0, 2.0] * 6, "up", True, id="tied and higher"),
        pytest.param([1e9] + [1.0] * 19, [1.0] * 20, "up", False, id="one wild value"),
    ],
)
def test_fixed_verdicts(canary, baseline, direction, fails):
    assert (evidence(canary, baseline, direction, 0.25, None) <= 0.001) is fails


def test_what_is_tolerated_has_to_be_ruled_out_as_well():
    slow, quick = drawn(1, 60, 0.09), drawn(2, 60, 0.03)
    assert evidence(slow, quick, "up", 0.25, None) < 1e-9
    # Three times as slow, and yet below 0.1 s for half of the requests.
    expected = binomtest(sum(value > 0.1 for value in slow), 60, 0.5, "greater").pvalue
    assert evidence(slow, quick, "up", 0.25, 0.1) == pytest.approx(expected) and expected > 0.5
    assert evidence(slow, quick, "up", 0.25, 0.05) < 1e-6
    assert evidence(quick, slow, "down", 0.25, 0.01) > 0.99
    assert evidence(quick, slow, "down", 0.25, 0.06) < 1e-6


def test_the_estimate_is_the_middle_of_all_ratios():
    canary, baseline = drawn(1, 30, 1.5), drawn(2, 25)
    by_hand = sorted(ours / theirs for ours in canary for theirs in baseline)
    assert ratio(canary, baseline) == pytest.approx((by_hand[374] + by_hand[375]) / 2)


@pytest.mark.parametrize(
    ("canary", "baseline", "estimate", "ends"),
    [
        ([5.0] * 20, [5.0] * 20, 1.0, (1.0, 1.0)),
        ([10.0] * 20, [5.0] * 20, 2.0, (2.0, 2.0)),
        ([0.0] * 20, [0.0] * 20, None, (0.0, None)),
        ([0.0] * 20, [5.0] * 20, 0.0, (0.0, 0.0)),
        ([5.0] * 20, [0.0] * 20, None, (None, None)),
    ],
)
def test_estimates_at_the_ends(canary, baseline, estimate, ends):
    assert ratio(canary, baseline) == pytest.approx(estimate)
    for found, expected in zip(interval(canary, baseline, 0.001), ends):
        assert found == (None if expected is None else pytest.approx(expected, rel=2e-3))


@settings(max_examples=25)  # an interval is many tests
@given(sides, sides, st.sampled_from([0.001, 0.01]), st.sampled_from([0.0, 0.25, 1.0]))
def test_what_fails_is_what_the_interval_rules_out(canary, baseline, level, allowed):
    low, high = interval(canary, baseline, level)
    assert high is None or (low is not None and low <= high * 1.002)
    fails = evidence(canary, baseline, "up", allowed, None) <= level
    if low is None or abs(low / (1 + allowed) - 1) > 0.002:
        assert fails == (low is None or low > 1 + allowed)


def test_many_values_are_thinned_evenly():
    many = list(range(3 * MOST))
    assert list(thinned(many)) == many[::3] and thinned(many[:MOST]) == many[:MOST]
