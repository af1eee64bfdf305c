# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rollout as metrics, read back by a strict reader."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import InvalidInput
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.exposition import (
    Family,
    Sample,
    blocks,
    number,
    render,
)
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.history import figures
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.rollout_metrics import (
    ABOUT,
    EVENTS,
    history_families,
    rollout_families,
)
from ansible_collections.zero_downtime.deploy.tests.unit.plugins.module_utils._domain.strict_exposition import parse

NOW = 1763790060.0
RECORD = {
    "service": "shop", "id": "20251122T054000Z-1.4.2-7", "version": "1.4.2", "strategy": "rolling", "outcome": "rolled_back",
    "began": 1763790000.0, "ended": 1763790060.0, "decided": 1763790013.5, "undone": 1763790030.0,
    "felt": {
        "requests": 600, "failed": 3, "outcomes": {"ok": 597, "status": 1, "truncated": 2},
        "latency": {"p50": 2.1, "p95": 5.0, "p99": 9.0, "max": 12.0}, "first_failure": 1763790012.25, "last_failure": 1763790014.0,
    },
}  # fmt: skip
HOSTILE = '<!channel> "quoted" \\ back\nnew line} 1 2'


def told(event="finish", record=None, labels=None):
    text = render(rollout_families(event, RECORD if record is None else record, labels or {}, NOW))
    return {
        (name.replace("zero_downtime_rollout_", ""), *(f"{k}={v}" for k, v in labels if k != "service")): value
        for (name, labels), value in parse(text).items()
    }


def test_a_finished_one():
    found = told()
    assert math.isnan(found.pop(("latency_seconds_sum",)))
    assert found == {
        ("info", "id=20251122T054000Z-1.4.2-7", "outcome=rolled_back", "strategy=rolling", "version=1.4.2"): 1,
        ("started_timestamp_seconds",): 1763790000,
        ("finished_timestamp_seconds",): 1763790060,
        ("success",): 0,
        ("requests",): 600,
        ("failed_requests",): 3,
        ("latency_seconds", "quantile=0.5"): 0.0021,
        ("latency_seconds", "quantile=0.95"): 0.005,
        ("latency_seconds", "quantile=0.99"): 0.009,
        ("latency_seconds", "quantile=1"): 0.012,
        ("latency_seconds_count",): 598,
        ("rollback_seconds", "from=decision"): 16.5,
        ("rollback_seconds", "from=first_failure"): 1.75,
    }


@pytest.mark.parametrize(
    ("event", "outcome"), [("begin", "running"), ("failure", "failing"), ("rollback", "rolling_back")]
)
def test_one_that_has_not_ended_says_nothing_of_its_end(event, outcome):
    found = told(event)
    assert {key[0] for key in found} == {"info", "started_timestamp_seconds"}
    assert f"outcome={outcome}" in next(iter(found))


def test_a_pause_is_no_end():
    found = told("finish", {**RECORD, "outcome": "paused"})
    assert {key[0] for key in found} == {"info", "started_timestamp_seconds"}


def test_what_is_not_known_is_left_out():
    found = told("finish", {"service": "shop", "outcome": "succeeded", "felt": None})
    assert {key[0]: value for key, value in found.items()} == {
        "info": 1,
        "finished_timestamp_seconds": NOW,
        "success": 1,
    }
    assert ("rollback_seconds", "from=decision") not in told("finish", {**RECORD, "outcome": "succeeded"})
    silent = {**RECORD["felt"], "latency": dict.fromkeys(("p50", "p95", "p99", "max"))}
    assert not [key for key in told("finish", {**RECORD, "felt": silent}) if "latency" in key[0]]


@pytest.mark.parametrize(
    ("outcome", "success"),
    [
        ("succeeded", 1),
        ("succeeded_with_failures", 1),
        ("nothing_to_do", 1),
        ("rolled_back", 0),
        ("abandoned", 0),
        ("what?", 0),
    ],
)
def test_success(outcome, success):
    assert told("finish", {**RECORD, "outcome": outcome})["success",] == success


def test_a_rollback_that_was_asked_for_is_a_success():
    assert told("finish", {**RECORD, "strategy": "rollback"})["success",] == 1
    assert told("finish", {**RECORD, "strategy": "rollback", "outcome": "rollback_failed"})["success",] == 0


def test_hostile_words_stay_in_their_label():
    text = render(
        rollout_families("begin", {**RECORD, "version": HOSTILE, "service": HOSTILE}, {"environment": HOSTILE}, NOW)
    )
    assert len(text.splitlines()) == 6  # three for each of info and start
    labels = dict(next(iter(parse(text)))[1])
    assert labels["version"] == labels["service"] == labels["environment"] == HOSTILE


def test_labels_of_the_user_are_in_every_sample():
    families = rollout_families("finish", RECORD, {"environment": "production"}, NOW)
    families += history_families(figures([], NOW), "shop", {"environment": "production"})
    assert all(dict(labels)["environment"] == "production" for _name, labels in parse(render(families)))


def test_the_history():
    known = [
        {**RECORD, "felt": {**RECORD["felt"], "disturbance": 1.75}},
        {
            **RECORD,
            "id": "2",
            "outcome": "succeeded",
            "began": NOW - 15 * 86400,
            "ended": NOW - 14 * 86400,
            "felt": None,
        },
    ]
    found = parse(render(history_families(figures(known, NOW), "shop", {})))
    short = {
        (name.replace("zero_downtime_history_", ""), *(v for k, v in labels if k != "service")): x
        for (name, labels), x in found.items()
    }
    assert short == {
        ("window_seconds",): 7776000, ("rollouts",): 2, ("deployments",): 2, ("failed_deployments",): 1, ("unprobed_rollouts",): 1,
        ("uninterrupted_ratio",): 0, ("error_ratio",): 0.005, ("deployments_per_day",): 1 / 15, ("change_fail_ratio",): 0.5,
        ("recovery_seconds", "median"): 16.5, ("recovery_seconds", "worst"): 16.5,
        ("rollback_seconds", "decision", "median"): 16.5, ("rollback_seconds", "decision", "worst"): 16.5,
        ("rollback_seconds", "first_failure", "median"): 1.75, ("rollback_seconds", "first_failure", "worst"): 1.75,
    }  # fmt: skip


def test_a_history_of_which_nothing_is_known_is_not_told_as_zero():
    found = parse(render(history_families(figures([], NOW), "shop", {})))
    assert {name.replace("zero_downtime_history_", "") for name, _labels in found} == {
        "window_seconds", "rollouts", "deployments", "failed_deployments", "unprobed_rollouts",
    }  # fmt: skip


scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20))
anything = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=8,
)
KEYS = "service id version strategy outcome began ended decided undone lines failures from_versions".split()
FELT = "requests failed outcomes latency first_failure last_failure disturbance".split()
strange = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(KEYS, anything),
        "felt": st.one_of(anything, st.fixed_dictionaries({}, optional=dict.fromkeys(FELT, anything))),
    },
)


@given(st.sampled_from(EVENTS), strange)
def test_whatever_a_record_holds_the_text_is_in_order(event, record):
    parse(render(rollout_families(event, record, {}, NOW)))


def test_numbers():
    assert [number(x) for x in (0, 1.0, 0.1, 1763790000.25, 1e300, -2.5)] == [
        "0",
        "1",
        "0.1",
        "1763790000.25",
        "1e+300",
        "-2.5",
    ]
    assert [number(x) for x in (float("nan"), float("inf"), float("-inf"))] == ["NaN", "+Inf", "-Inf"]


@pytest.mark.parametrize(
    "family",
    [
        Family("1st", "x", [Sample(1)]),
        Family("a", "x", [Sample(1, {"b-c": "d"})]),
        Family("a", "x", [Sample(1, {"__x": "d"})]),
    ],
)
def test_a_name_that_is_none_is_refused(family):
    with pytest.raises(InvalidInput, match="cannot be the name"):
        render([family])


def test_blocks_are_what_was_rendered():
    families = [
        Family("a_seconds", "one\ntwo", [Sample(1), Sample(2, {"x": "# HELP b\n"})]),
        Family("b_info", "x", [Sample(1)]),
    ]
    text = render(families)
    assert list(blocks("# a comment\n" + text)) == ["a_seconds", "b_info"]
    assert "".join(blocks(text).values()) == text


def test_every_metric_has_its_help():
    assert all(about.endswith(".") and "\n" not in about for about in ABOUT.values())
