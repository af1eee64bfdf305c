# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests that have ended, and what they come to."""

from __future__ import annotations

import json
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.felt import (
    ANSWERED,
    ENTRIES,
    FINE,
    OUTCOMES,
    TOLD,
    Ended,
    Second,
    summary,
)

BEGAN = 1_763_790_000
URL = "http://shop.example/"

requests = st.lists(
    st.builds(
        Ended,
        at=st.floats(BEGAN, BEGAN + 120, exclude_max=True),
        outcome=st.sampled_from(OUTCOMES),
        took=st.floats(0.01, 9000),
        version=st.sampled_from(["1.4.1", "1.4.2", ""]),
        url=st.just(URL),
        why=st.sampled_from(["", "because"]),
    )
)


def seconds(ended):
    """One for each second, as a prober makes them."""
    found = {}
    for one in ended:
        found.setdefault(int(one.at), Second(int(one.at))).note(one)
    return list(found.values())


def told(ended, began=BEGAN, until=BEGAN + 120):
    return summary(seconds(ended), began, until, [URL], 10.0)


@given(requests, st.integers(0, 20))
def test_it_does_not_matter_in_which_pieces_and_in_which_order_seconds_are_told(ended, cut):
    pieces = seconds(ended[cut:]) + seconds(ended[:cut])
    one, other = summary(pieces, BEGAN, BEGAN + 120, [URL], 10.0), told(ended)
    # Of failures in the same millisecond, either may be told first.
    assert sorted(map(str, one.pop("failures")))[:1] == sorted(map(str, other.pop("failures")))[:1] or len(ended) > TOLD
    assert one == other


@given(requests)
def test_what_was_written_is_read_back(ended):
    for second in seconds(ended):
        assert Second.read(json.loads(json.dumps(second.plain()))).plain() == second.plain()


@given(requests)
def test_every_request_is_counted_once_wherever_it_is_counted(ended):
    felt = told(ended)
    failed = [one for one in ended if one.outcome not in FINE]
    assert felt["requests"] == len(ended) == sum(felt["series"]["requests"])
    assert felt["failed"] == len(failed) == sum(felt["series"]["failed"])
    assert felt["outcomes"] == Counter(one.outcome for one in ended)
    assert felt["versions"] == Counter(one.version for one in ended)
    assert {version: sum(column) for version, column in felt["series"]["versions"].items()} == felt["versions"]
    assert [failure["time"] for failure in felt["failures"]] == sorted(round(one.at, 3) for one in failed)[:TOLD]
    assert (felt["latency"]["max"] is None) == (not any(one.outcome in ANSWERED for one in ended))


@given(requests, st.integers(1, 40_000))
def test_columns_are_of_one_length_and_bounded(ended, length):
    series = told(ended, until=BEGAN + length)["series"]
    lengths = {len(series[name]) for name in ("requests", "failed", "p50", "p95", "p99")}
    lengths |= {len(column) for column in series["versions"].values()}
    (entries,) = lengths
    assert entries <= ENTRIES
    assert series["began"] == BEGAN and entries * series["step"] >= length


@given(requests)
def test_the_disturbance_is_from_the_first_to_the_last_failure(ended):
    felt = told(ended)
    failed = sorted(round(one.at, 3) for one in ended if one.outcome not in FINE)
    if failed:
        assert (felt["first_failure"], felt["last_failure"]) == (failed[0], failed[-1])
        assert felt["disturbance"] == round(failed[-1] - failed[0], 3)
    else:
        assert (felt["first_failure"], felt["last_failure"], felt["disturbance"]) == (None, None, 0.0)


def test_all_that_is_told():
    ended = [
        Ended(BEGAN + 0.1, "ok", 2.0, "1.4.1", URL),
        Ended(BEGAN + 0.6, "ok", 2.0, "1.4.1", URL),
        Ended(BEGAN + 2.25, "status", 4.0, "1.4.2", URL, "HTTP 503"),
        Ended(BEGAN + 2.75, "timeout", 5000.0, "", URL, "no answer within 5 s"),
    ]
    pieces = seconds(ended)
    pieces.append(Second(BEGAN + 1, late=3))
    assert summary(pieces, BEGAN + 0.1, BEGAN + 3.5, [URL], 10.0) == {
        "began": BEGAN + 0.1,
        "ended": BEGAN + 3.5,
        "urls": [URL],
        "rate": 10.0,
        "requests": 4,
        "failed": 2,
        "outcomes": {"ok": 2, "status": 1, "timeout": 1},
        "versions": {"1.4.1": 2, "1.4.2": 1, "": 1},
        "latency": {"p50": 2.028, "p95": 4.0, "p99": 4.0, "max": 4.0},
        "first_failure": BEGAN + 2.25,
        "last_failure": BEGAN + 2.75,
        "disturbance": 0.5,
        "failures": [
            {"time": BEGAN + 2.25, "outcome": "status", "url": URL, "why": "HTTP 503", "version": "1.4.2"},
            {"time": BEGAN + 2.75, "outcome": "timeout", "url": URL, "why": "no answer within 5 s", "version": ""},
        ],
        "late": 3,
        "series": {
            "began": BEGAN,
            "step": 1,
            "requests": [2, 0, 2, 0],
            "failed": [0, 0, 2, 0],
            "p50": [2.0, None, 4.0, None],
            "p95": [2.0, None, 4.0, None],
            "p99": [2.0, None, 4.0, None],
            "versions": {"": [0, 0, 1, 0], "1.4.1": [2, 0, 0, 0], "1.4.2": [0, 0, 1, 0]},
        },
    }


def test_of_nothing():
    felt = summary([], BEGAN, BEGAN, [URL], 10.0)
    assert (felt["requests"], felt["failed"], felt["latency"]["p99"], felt["disturbance"]) == (0, 0, None, 0.0)
    assert felt["series"]["requests"] == []


def test_a_skipped_request_is_no_failure():
    assert told([Ended(BEGAN, "skipped", 0.0)])["failed"] == 0


def test_a_failure_that_is_not_told_by_itself_is_counted():
    second = Second(BEGAN)
    second.note(Ended(BEGAN + 0.5, "reset", 1.0), detailed=False)
    assert (second.failed, second.first, second.failures) == (1, BEGAN + 0.5, [])
