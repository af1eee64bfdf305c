# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole watches: what is said when, and what must never be said."""

from __future__ import annotations

import json

import numpy
import pytest
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.findings import (
    FAIL,
    INCONCLUSIVE,
    PASS,
    Finding,
    Values,
)
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.judge import Judge, verdict
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.metrics import Metric
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.proportions import Counts
from hypothesis import given, settings
from hypothesis import strategies as st

ERRORS = Metric("errors", "errors", 0.25, 0.0, minimum=200)
LATENCY = Metric("latency", "samples", 0.25, minimum=20)


def values(*numbers):
    side = Values()
    side.add(numbers)
    return side


def latencies(seed, size, factor=1.0):
    return values(*(factor * numpy.random.default_rng(seed).lognormal(0, 0.25, size)))


def judged(canary, baseline, metric=ERRORS, fraction=1.0, silent="", **how):
    judge = Judge([metric], 0.02, **how)
    case = judge.cases[0]
    case.canary, case.baseline, case.silent = canary, baseline, silent
    return judge.look(fraction), judge.told()[0]


@pytest.mark.parametrize(
    ("canary", "baseline", "metric", "expected", "said"),
    [
        pytest.param(Counts(5000, 50), Counts(5000, 50), ERRORS, PASS, "up to 1.25 times is allowed", id="alike"),
        pytest.param(
            Counts(5000, 0), Counts(5000, 0), ERRORS, PASS, "a rate of up to 0.0782% cannot be", id="no errors"
        ),
        pytest.param(Counts(5000, 9), Counts(5000, 90), ERRORS, PASS, "0.18%", id="better"),
        pytest.param(Counts(5000, 130), Counts(5000, 50), ERRORS, FAIL, "the odds of failing are at least", id="worse"),
        pytest.param(Counts(125, 25), Counts(125, 0), ERRORS, FAIL, "25 of 125", id="few, and plainly worse"),
        pytest.param(Counts(199, 0), Counts(5000, 0), ERRORS, INCONCLUSIVE, "each needs 200", id="too few"),
        pytest.param(Counts(5000, 5), Counts(), ERRORS, INCONCLUSIVE, "no requests on the baseline", id="no baseline"),
        pytest.param(Counts(), Counts(5000, 5), ERRORS, INCONCLUSIVE, "no requests on the canary", id="no canary"),
        pytest.param(Counts(), Counts(), ERRORS, INCONCLUSIVE, "no requests on either side", id="empty"),
        pytest.param(Counts(300, 300), Counts(300, 300), ERRORS, PASS, "100%", id="everything fails on both"),
        pytest.param(values(), values(), LATENCY, INCONCLUSIVE, "no samples on either side", id="no values"),
        pytest.param(values(*[1] * 20), values(), LATENCY, INCONCLUSIVE, "no samples on the baseline", id="one-sided"),
        pytest.param(
            values(*[1] * 19), values(*[1] * 60), LATENCY, INCONCLUSIVE, "19 samples on the canary", id="sparse"
        ),
        pytest.param(values(*[1] * 20), values(*[1] * 20), LATENCY, PASS, "the median", id="constant"),
        pytest.param(values(*[2] * 20), values(*[1] * 20), LATENCY, FAIL, "are 2 to 2 times", id="constant and worse"),
        pytest.param(values(*[0] * 20), values(*[0] * 20), LATENCY, PASS, "0 times or more", id="zeros"),
        pytest.param(values(*[3] * 20), values(*[0] * 20), LATENCY, FAIL, "more than any number", id="beside zeros"),
        pytest.param(values(*[float("nan")] * 40), values(*[1] * 40), LATENCY, INCONCLUSIVE, "no samples", id="NaN"),
        pytest.param(
            values(*[1] * 20, float("inf"), float("nan")), values(*[1] * 20), LATENCY, PASS, "20 values", id="some NaN"
        ),
        pytest.param(
            values(*[-1] * 20), values(*[1] * 20), LATENCY, INCONCLUSIVE, "20 of its values are", id="below 0"
        ),
        pytest.param(latencies(1, 60), latencies(2, 60), LATENCY, PASS, "latency passes", id="latencies alike"),
        pytest.param(latencies(1, 60, 1.6), latencies(2, 60), LATENCY, FAIL, "up to 1.25 times", id="latencies worse"),
    ],
)
def test_fixed_verdicts(canary, baseline, metric, expected, said):
    found, told = judged(canary, baseline, metric)
    assert (found, told["verdict"]) == (expected, expected)
    assert said in told["sentence"], told["sentence"]
    json.dumps(told, allow_nan=False)  # what JSON cannot say does not leave the controller


def test_absent_data_fails_where_that_was_asked_for_and_at_the_end_alone():
    for canary, baseline, silent in ((Counts(), Counts(9, 0), ""), (Counts(5000, 1), Counts(5000, 1), "gone")):
        assert judged(canary, baseline, silent=silent)[0] == INCONCLUSIVE
        found, told = judged(canary, baseline, silent=silent, absent_fails=True)
        assert found == FAIL and told["sentence"].startswith("errors fails: ")
        assert judged(canary, baseline, silent=silent, absent_fails=True, fraction=0.9)[0] == INCONCLUSIVE
    # Too little is not nothing.
    assert judged(Counts(100, 0), Counts(100, 0), absent_fails=True)[0] == INCONCLUSIVE


def test_a_silent_source_is_no_pass_and_says_why():
    found, told = judged(Counts(5000, 50), Counts(5000, 50), silent="It is gone.")
    assert found == INCONCLUSIVE and told["sentence"].endswith("did not answer at the last look: It is gone.")


def test_a_fail_is_said_at_once_and_a_pass_at_the_end_alone():
    assert judged(Counts(125, 25), Counts(125, 0), fraction=1 / 24)[0] == FAIL
    assert judged(Counts(5000, 50), Counts(5000, 50), fraction=0.99)[0] == INCONCLUSIVE


def test_what_has_failed_stays_failed_and_keeps_its_figures():
    judge = Judge([Metric("a", "errors", 0.0, 0.0, critical=False, minimum=1)] + [
        Metric(name, "errors", 0.0, 0.0, critical=False, minimum=1) for name in "bc"
    ], 0.02)  # fmt: skip
    for case in judge.cases:
        case.canary = case.baseline = Counts(1000, 10)
    judge.cases[0].canary = Counts(1000, 200)
    assert judge.look(0.5) == INCONCLUSIVE
    judge.cases[0].canary = Counts(10_000, 200)
    judge.cases[0].baseline = Counts(10_000, 200)
    assert judge.look(1) == PASS  # one of three that are not critical
    assert judge.told()[0]["verdict"] == FAIL and judge.told()[0]["canary"]["requests"] == 1000


def finding(said, lacks=False):
    return Finding(said, "too little" if lacks else "", False, 0.5, 0.1)


@pytest.mark.parametrize(
    ("findings", "expected"),
    [
        ([(True, FAIL), (True, PASS)], FAIL),
        ([(True, PASS), (False, FAIL)], FAIL),  # one of one that is not critical is more than half
        ([(True, PASS), (False, FAIL), (False, PASS)], PASS),
        ([(False, FAIL), (False, FAIL), (False, PASS)], FAIL),
        ([(True, INCONCLUSIVE), (False, FAIL), (False, PASS)], INCONCLUSIVE),
        ([(True, PASS), (False, INCONCLUSIVE)], INCONCLUSIVE),
        ([(True, FAIL), (True, INCONCLUSIVE)], FAIL),
        ([], INCONCLUSIVE),
    ],
)
def test_what_findings_come_to(findings, expected):
    assert verdict([(critical, finding(said, said == INCONCLUSIVE)) for critical, said in findings]) == expected


def test_a_failing_metric_that_is_not_critical_needs_enough_too_before_the_others_pass():
    findings = [(True, finding(PASS)), (False, finding(FAIL, lacks=True)), (False, finding(PASS))]
    assert verdict(findings) == INCONCLUSIVE


counts = st.tuples(st.integers(0, 600), st.integers(0, 600)).map(lambda pair: Counts(max(pair), min(pair)))
samples = st.lists(st.one_of(st.floats(0, 100), st.just(float("nan"))), max_size=40).map(
    lambda numbers: values(*numbers)
)
metrics = st.builds(
    lambda kind, critical, allowed: Metric("", kind, allowed, 0.0 if kind == "errors" else None, critical, 20),
    st.sampled_from(["errors", "samples"]),
    st.booleans(),
    st.sampled_from([0.0, 0.25]),
)
evidence = st.lists(metrics, min_size=1, max_size=3).flatmap(
    lambda some: st.tuples(
        *(
            st.tuples(
                st.just(metric), *[counts if metric.kind == "errors" else samples] * 2, st.sampled_from(["", "gone"])
            )
            for metric in some
        )
    )
)


def watched(some, fractions, **how):
    judge = Judge([metric for metric, *_sides in some], 0.02, **how)
    for case, (_metric, canary, baseline, silent) in zip(judge.cases, some):
        case.canary, case.baseline, case.silent = canary, baseline, silent
    return [judge.look(fraction) for fraction in fractions], judge


@settings(max_examples=60)
@given(evidence, st.lists(st.floats(0, 0.99), max_size=3), st.booleans())
def test_never_a_pass_without_the_minimum_on_both_sides_for_every_metric(some, fractions, absent_fails):
    said, judge = watched(some, [*sorted(fractions), 1.0], absent_fails=absent_fails)
    assert PASS not in said[:-1]
    if said[-1] == PASS:
        for metric, canary, baseline, silent in some:
            sizes = [side.requests if isinstance(side, Counts) else len(side.usable) for side in (canary, baseline)]
            assert min(sizes) >= metric.minimum and not silent
    assert len(judge.told()) == len(some)
    json.dumps(judge.told(), allow_nan=False)


@settings(max_examples=60)
@given(evidence)
def test_twins_never_fail(some):
    twins = [(metric, canary, canary, silent) for metric, canary, _baseline, silent in some]
    said, _judge = watched(twins, [0.2, 0.6, 1.0])
    assert FAIL not in said


@settings(max_examples=60)
@given(counts, counts, st.integers(1, 100), st.floats(0.01, 1))
def test_more_errors_on_the_canary_never_make_a_fail_a_pass(canary, baseline, more, fraction):
    worse = Counts(canary.requests, min(canary.requests, canary.errors + more))
    before, after = (judged(side, baseline, fraction=fraction)[0] for side in (canary, worse))
    assert (before, after) not in {(FAIL, PASS), (FAIL, INCONCLUSIVE), (INCONCLUSIVE, PASS)}


@settings(max_examples=60)
@given(evidence, st.integers(1, 4))
def test_inconclusive_does_not_become_a_pass_by_itself(some, times):
    said, _judge = watched(some, [1.0] * (times + 1))
    if said[0] == INCONCLUSIVE:
        assert set(said) == {INCONCLUSIVE}


def test_looking_often_does_not_raise_the_false_alarms_as_it_does_without_a_budget():
    """Seeded, so it always comes out the same; scripts/judge has the figures of thousands."""
    failed = without = 0
    for seed in range(100):
        random = numpy.random.default_rng(seed)
        judge = Judge([Metric("errors", "errors", 0.0, 0.0, minimum=200)], 0.02)
        case = judge.cases[0]
        said, chances = [], []
        for look in range(1, 25):
            sides = (case.canary, case.baseline)
            case.canary, case.baseline = (
                Counts(side.requests + 200, side.errors + int(random.binomial(200, 0.02))) for side in sides
            )
            said.append(judge.look(look / 24))
            chances.append(case.finding.p_value)
        failed += FAIL in said
        without += min(chances) <= 0.02
    assert failed <= 5 < 10 < without
