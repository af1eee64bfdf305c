# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors on both sides, against SciPy's own distribution and against enumeration."""

from __future__ import annotations

from math import comb

import pytest
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.proportions import (
    Counts,
    Errors,
    evidence,
    highest_rate,
)
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import binomtest, fisher_exact, nchypergeom_fisher
from scipy.stats.contingency import odds_ratio


@st.composite
def counts(draw, most=400, least=1):
    requests = draw(st.integers(least, most))
    return Counts(requests, draw(st.integers(0, requests)))


increases = st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0, 3.0])


def by_hand(canary, baseline, odds):
    """The definition, in whole numbers as far as it goes."""
    total = canary.errors + baseline.errors
    falls = range(max(0, total - baseline.requests), min(total, canary.requests) + 1)
    weight = {k: comb(canary.requests, k) * comb(baseline.requests, total - k) * odds**k for k in falls}
    return sum(value for k, value in weight.items() if k >= canary.errors) / sum(weight.values())


@given(counts(60), counts(60), increases)
def test_the_chance_is_the_definition_s(canary, baseline, increase):
    assert Errors(canary, baseline).as_many(1 + increase) == pytest.approx(
        by_hand(canary, baseline, 1 + increase), rel=1e-9
    )


@given(counts(), counts(), increases)
def test_the_chance_is_scipys(canary, baseline, increase):
    total = canary.errors + baseline.errors
    assume(total)
    theirs = nchypergeom_fisher(canary.requests + baseline.requests, canary.requests, total, 1 + increase)
    assert Errors(canary, baseline).as_many(1 + increase) == pytest.approx(theirs.sf(canary.errors - 1), abs=1e-9)
    assert Errors(canary, baseline).as_few(1 + increase) == pytest.approx(theirs.cdf(canary.errors), abs=1e-9)


@given(counts(), counts())
def test_without_an_increase_it_is_fishers_exact_test(canary, baseline):
    table = [
        [canary.errors, canary.requests - canary.errors],
        [baseline.errors, baseline.requests - baseline.errors],
    ]
    assert Errors(canary, baseline).as_many(1) == pytest.approx(fisher_exact(table, "greater").pvalue, abs=1e-9)


@pytest.mark.parametrize(("ours", "theirs"), [(20, 10), (7, 0), (0, 7), (100, 50)])
def test_the_interval_is_scipys(ours, theirs):
    canary, baseline = Counts(5000, ours), Counts(4000, theirs)
    table = [[ours, 5000 - ours], [theirs, 4000 - theirs]]
    expected = odds_ratio(table).confidence_interval(0.99)
    low, high = Errors(canary, baseline).interval(0.005)
    assert low == pytest.approx(expected.low, rel=1e-6)
    assert (float("inf") if high is None else high) == pytest.approx(expected.high, rel=1e-6)


@given(counts(), counts(), st.sampled_from([1e-6, 1e-3, 0.05]), increases)
def test_what_fails_is_what_the_interval_rules_out(canary, baseline, level, increase):
    low, high = Errors(canary, baseline).interval(level)
    assert high is None or low <= high
    p_value = Errors(canary, baseline).as_many(1 + increase)
    if abs(p_value - level) > 1e-9:
        assert (p_value < level) == (low > 1 + increase)


@given(counts(), counts(), increases, st.sampled_from([0.0, 0.001, 0.1]))
def test_one_more_error_on_the_canary_never_speaks_for_it(canary, baseline, increase, tolerated):
    assume(canary.errors < canary.requests)
    worse = Counts(canary.requests, canary.errors + 1)
    assert evidence(worse, baseline, increase, tolerated) <= evidence(canary, baseline, increase, tolerated) + 1e-12


@given(counts(least=0), increases, st.sampled_from([0.0, 0.01]))
def test_twins_are_never_told_apart(side, increase, tolerated):
    assert evidence(side, side, increase, tolerated) >= 0.5


@given(counts(least=0), counts(least=0))
def test_a_side_without_requests_is_no_evidence(canary, baseline):
    assert evidence(Counts(), baseline, 0, 0) == evidence(canary, Counts(), 0, 0) == 1


@given(counts(), counts(), increases, st.floats(0, 0.9))
def test_what_is_tolerated_has_to_be_ruled_out_as_well(canary, baseline, increase, tolerated):
    beyond = binomtest(canary.errors, canary.requests, tolerated, "greater").pvalue
    assert evidence(canary, baseline, increase, tolerated) >= beyond - 1e-9
    assert evidence(canary, baseline, increase, tolerated) >= evidence(canary, baseline, increase, 0)


def test_a_baseline_without_errors():
    # Each of 25 errors fell on the canary: 0.6 to the power of 25 or so, a little less since a request fails but once.
    assert evidence(Counts(125, 25), Counts(124, 0), 0.5, 0) == pytest.approx(0.6**25, rel=0.9)
    # The same against 100,000 requests: nobody minds a rate of 0.025%, if they say so.
    assert evidence(Counts(100_000, 25), Counts(100_000, 0), 0.5, 0) < 1e-5
    assert evidence(Counts(100_000, 25), Counts(100_000, 0), 0.5, 0.001) == pytest.approx(1)


def test_many_errors_are_no_trouble():
    assert evidence(Counts(10**6, 200_000), Counts(10**6, 10_000), 0.5, 0.001) == 0
    assert evidence(Counts(10**6, 10_000), Counts(10**6, 10_000), 0.0, 0) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(("requests", "errors"), [(200, 0), (200, 3), (5000, 50)])
def test_the_highest_rate_is_scipys(requests, errors):
    expected = binomtest(errors, requests, alternative="less").proportion_ci(0.99, "exact").high
    assert highest_rate(Counts(requests, errors), 0.01) == pytest.approx(expected)


def test_rates_at_the_ends():
    assert Counts().rate is None and Counts(4, 1).rate == 0.25
    assert highest_rate(Counts(3, 3), 0.01) == 1
    assert Errors(Counts(10, 1), Counts(10, 0)).ratio() is None
    assert Errors(Counts(10, 5), Counts(10, 2)).ratio() == 4


def test_a_level_that_rules_out_no_ratio_however_high():
    low, high = Errors(Counts(333, 332), Counts(206, 1)).interval(1e-250)
    assert 0 < low < 1 and high is None
