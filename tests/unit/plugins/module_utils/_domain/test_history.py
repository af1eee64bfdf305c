# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures of the history, by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.history import DAY, figures, spread
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.history_lines import (
    COLUMNS,
    _percent,
    history_lines,
)

NOW = 1763790000.0


def felt(requests=600, failed=0, first=None, last=None):
    disturbance = 0.0 if first is None else last - first
    return {
        "requests": requests,
        "failed": failed,
        "disturbance": disturbance,
        "first_failure": first,
        "last_failure": last,
    }


def past(days_ago=1.0, outcome="succeeded", version="1.4.2", took=60.0, **other):
    ended = NOW - days_ago * DAY
    return {
        "id": f"{version}-{days_ago}", "service": "shop", "version": version, "strategy": "rolling", "outcome": outcome,
        "began": ended - took, "ended": ended, "decided": None, "undone": None, "felt": None, **other,
    }  # fmt: skip


def rolled_back(days_ago, back, disturbed=None, **other):
    ended = NOW - days_ago * DAY
    seen = felt() if disturbed is None else felt(failed=6, first=ended - 50, last=ended - 50 + disturbed)
    return past(days_ago, "rolled_back", decided=ended - back - 1, undone=ended - 1, felt=seen, **other)


def test_nothing_is_known_of_nothing():
    found = figures([], NOW)
    assert (found["rollouts"], found["deployments"], found["requests"]) == (0, 0, 0)
    for name in ("uninterrupted_rate", "error_rate", "change_fail_rate"):
        assert found[name] is None
    assert found["frequency"] == {"per_day": None, "per_week": None}
    assert found["recovery"] == {"count": 0, "median": None, "worst": None, "open": 0, "unknown": 0}
    assert history_lines([], NOW) == ["History: no rollout has ended yet."]


def test_a_rollout_without_a_probe_is_never_counted_as_good():
    found = figures([past(1, felt=felt()), past(2), past(3, felt=felt(requests=0)), past(4, felt=felt(failed=1))], NOW)
    assert (found["uninterrupted"], found["interrupted"], found["unknown"]) == (1, 1, 2)
    assert found["uninterrupted_rate"] == 0.5
    assert figures([past(1)], NOW)["uninterrupted_rate"] is None


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [
        ("succeeded", "uninterrupted"),
        ("succeeded_with_failures", "uninterrupted"),
        ("rolled_back", "uninterrupted"),
        ("rollback_failed", "interrupted"),
        ("abandoned", "interrupted"),
    ],
)
def test_without_interruption_is_what_succeeded_or_went_back_unnoticed(outcome, kind):
    assert figures([past(1, outcome, felt=felt())], NOW)[kind] == 1


def test_the_error_rate_is_that_of_all_requests():
    found = figures([past(1, felt=felt(1000, 2)), past(2, felt=felt(3000, 1)), past(3)], NOW)
    assert (found["probed"], found["requests"], found["failed_requests"]) == (2, 4000, 3)
    assert found["error_rate"] == 0.00075


def test_the_time_to_roll_back():
    found = figures([rolled_back(1, 10, 4), rolled_back(2, 30, 2), rolled_back(3, 20), past(4)], NOW)["rollback"]
    assert found["decided"] == {"count": 3, "median": 20.0, "worst": 30.0}
    assert found["felt"] == {"count": 2, "median": 3.0, "worst": 4.0}


def test_an_unknown_decision_is_no_fast_one():
    found = figures([past(1, "rolled_back", undone=NOW), rolled_back(2, 30)], NOW)
    assert found["rollback"]["decided"] == {"count": 1, "median": 30.0, "worst": 30.0}
    assert (found["recovery"]["count"], found["recovery"]["unknown"]) == (1, 1)


@pytest.mark.parametrize("outcome", ["nothing_to_do", "superseded", "paused"])
def test_what_brought_nothing_is_no_rollout(outcome):
    found = figures([past(1, outcome, felt=felt(failed=3)), past(2)], NOW)
    assert (found["rollouts"], found["deployments"], found["failed_requests"]) == (1, 1, 0)
    assert found["change_fail_rate"] == 0


@pytest.mark.parametrize("outcome", ["abandoned", "rolled_back"])
def test_what_ended_before_it_touched_anything_is_no_rollout(outcome):
    assert figures([past(1, outcome, touched=False)], NOW)["rollouts"] == 0
    assert figures([past(1, outcome, touched=True)], NOW)["rollouts"] == 1


def test_deployment_frequency_is_that_of_successful_ones():
    found = figures([past(days) for days in range(1, 29)] + [past(28, "rolled_back", took=0)], NOW)
    assert found["days"] == 28.000694444444445  # since the oldest one began
    assert found["frequency"]["per_day"] == pytest.approx(1.0, abs=1e-4)
    assert found["frequency"]["per_week"] == pytest.approx(7.0, abs=1e-3)


def test_a_young_service_is_not_said_to_be_deployed_a_thousand_times_a_day():
    found = figures([past(0.001)], NOW)
    assert (found["days"], found["frequency"]["per_day"], found["frequency"]["per_week"]) == (7.0, 1 / 7, 1.0)


def test_the_window_has_an_end():
    known = [past(1), past(89), past(91, "rolled_back")]
    found = figures(known, NOW)
    assert (found["deployments"], found["days"], found["change_fail_rate"]) == (2, 90.0, 0.0)
    assert found["frequency"]["per_day"] == 2 / 90
    assert figures(known, NOW, 7 * DAY)["deployments"] == 1


def test_the_change_fail_rate():
    known = [
        past(1), past(2, "succeeded_with_failures"), rolled_back(3, 10), past(4, "rollback_failed"), past(5, "abandoned"),
        past(6, "nothing_to_do"), past(7, "superseded"), past(8, "abandoned", touched=False),
    ]  # fmt: skip
    found = figures(known, NOW)
    assert (found["deployments"], found["succeeded"], found["failed"], found["change_fail_rate"]) == (5, 2, 3, 0.6)


def rollback(days_ago, outcome="rolled_back", **other):
    return past(days_ago, outcome, strategy="rollback", **other)


def test_a_rollback_that_somebody_asks_for_makes_its_deployment_a_failed_one():
    known = [past(3, version="1.4.1"), past(2), rollback(1, undone=NOW - DAY - 5, felt=felt(200, 1))]
    found = figures(known, NOW)
    assert (found["rollouts"], found["deployments"], found["succeeded"], found["failed"]) == (3, 2, 2, 1)
    assert found["change_fail_rate"] == 0.5
    assert found["recovery"] == {"count": 1, "median": DAY - 5, "worst": DAY - 5, "open": 0, "unknown": 0}
    assert (found["interrupted"], found["unknown"]) == (1, 2)


def test_it_undoes_the_last_deployment_of_its_version_only():
    known = [past(5), past(4, version="1.4.3"), past(3), rollback(2)]
    assert figures(known, NOW)["failed"] == 1
    assert figures([*known, past(1)], NOW)["change_fail_rate"] == 1 / 4
    # Of another service, or one that touched nothing, it says nothing.
    assert figures([past(3), rollback(2, service="other")], NOW)["failed"] == 0
    assert figures([past(3), rollback(2, touched=False)], NOW)["failed"] == 0


def test_recovery_of_one_that_undid_itself_is_its_own_rollback():
    assert figures([rolled_back(2, 12)], NOW)["recovery"]["worst"] == 12.0


def test_recovery_of_one_that_was_left_half_is_the_next_good_state():
    left = past(3, "abandoned")
    assert figures([left], NOW)["recovery"] == {"count": 0, "median": None, "worst": None, "open": 1, "unknown": 0}
    assert figures([left, past(2, "rollback_failed"), past(1)], NOW)["recovery"]["worst"] == 2 * DAY
    assert (
        figures([left, rollback(2.5, undone=NOW - 2.5 * DAY - 10), past(1)], NOW)["recovery"]["worst"] == 0.5 * DAY - 10
    )
    # What touched nothing, or is of another service, has mended nothing.
    assert figures([left, past(2, service="other"), past(2, "nothing_to_do")], NOW)["recovery"]["open"] == 1


def test_recovery_counts_from_the_decision_where_there_was_one():
    failed = past(3, "rollback_failed", decided=NOW - 3 * DAY - 40)
    assert figures([failed, past(1)], NOW)["recovery"]["worst"] == 2 * DAY + 40


def test_a_bad_release_is_not_recovered_from_by_a_rollout_that_went_back_to_it():
    known = [past(4), rolled_back(3, 10, version="1.4.3"), rollback(2, "rollback_failed"), past(1, version="1.4.4")]
    found = figures(known, NOW)
    assert (found["failed"], found["recovery"]["worst"]) == (2, 3 * DAY)


def test_lead_time_only_where_the_commit_is_known():
    known = [past(1, committed=NOW - 2 * DAY), past(2), past(3, "rolled_back", committed=NOW - 4 * DAY)]
    assert figures(known, NOW)["lead_time"] == {"count": 1, "median": DAY, "worst": DAY, "unknown": 1}


def test_spread():
    assert spread([3, None, 1, 2, 10]) == {"count": 4, "median": 2.5, "worst": 10.0}


numbers = st.one_of(st.none(), st.floats(min_value=NOW - 200 * DAY, max_value=NOW))
records = st.builds(
    lambda days, outcome, strategy, version, touched, decided, undone, seen: past(
        days, outcome, version, strategy=strategy, touched=touched, decided=decided, undone=undone, felt=seen
    ),
    st.floats(min_value=0, max_value=200),
    st.sampled_from(
        "succeeded succeeded_with_failures rolled_back rollback_failed nothing_to_do abandoned superseded paused".split()
    ),
    st.sampled_from(["rolling", "rollback", "blue_green"]),
    st.sampled_from(["1", "2", "3" * 60, "\x1b[31m"]),
    st.booleans(),
    numbers,
    numbers,
    st.one_of(
        st.none(),
        st.builds(lambda n, share: felt(n, int(n * share)), st.integers(0, 10**9), st.floats(min_value=0, max_value=1)),
    ),
)


def test_a_clock_that_is_late_does_not_make_a_recovery_shorter_than_nothing():
    bad = {**past(2, "rollback_failed"), "decided": NOW + DAY}
    assert figures([bad, past(1)], NOW)["recovery"]["worst"] == 0


@given(st.lists(records, max_size=12), st.randoms())
def test_figures_are_consistent_whatever_happened(known, random):
    found = figures(known, NOW)
    assert found["uninterrupted"] + found["interrupted"] + found["unknown"] == found["rollouts"] >= found["deployments"]
    assert found["failed"] == found["recovery"]["count"] + found["recovery"]["open"] + found["recovery"]["unknown"]
    assert found["succeeded"] + found["failed"] >= found["deployments"]  # one that was undone later is both
    for name in ("uninterrupted_rate", "error_rate", "change_fail_rate"):
        assert found[name] is None or 0 <= found[name] <= 1
    for each in (found["recovery"], found["rollback"]["decided"], found["rollback"]["felt"]):
        assert each["count"] == 0 or 0 <= each["median"] <= each["worst"]
    assert 7 <= found["days"] <= 90
    shuffled = list(known)
    random.shuffle(shuffled)
    if len({one["ended"] for one in known}) == len(known):
        assert figures(shuffled, NOW) == found


@given(st.lists(records, max_size=12))
def test_lines_are_plain_and_not_wider_than_a_terminal(known):
    lines = history_lines(known, NOW)
    assert lines and all(len(line) <= COLUMNS and line.isprintable() for line in lines)


def test_the_lines():
    known = [
        past(0.5, felt=felt(), committed=NOW - DAY),
        rolled_back(1, 14, 2.5, version="1.4.1"),
        past(30, version="1.4.0", took=3700),
        past(31, "nothing_to_do", "1.4.0", took=2),
    ]
    assert history_lines(known, NOW) == [
        "when (UTC)        version  strategy  outcome        requests  failed   duration",
        "2025-11-21 17:39  1.4.2    rolling   succeeded           600       0       60 s",
        "2025-11-21 05:39  1.4.1    rolling   rolled back         600       6       60 s",
        "2025-10-23 04:38  1.4.0    rolling   succeeded             -       -  1 h 2 min",
        "2025-10-22 05:39  1.4.0    rolling   nothing to do         -       -        2 s",
        "In the last 90 days: 3 rollouts, 3 deployments.",
        "Without interruption: 50.0% (1 of 2); unknown: 1 rollout without a probe.",
        "Requests that failed while something was rolled out: 6 of 1200 (0.5%).",
        "Time to roll back: from the decision 14 s; from the first bad response until the last 2.5 s.",
        "Deployment frequency: 0.5 a week, 0.06 a day (successful ones, over 31 days).",
        "Change fail rate: 33.3% (1 of 3).",
        "Failed deployment recovery time: 14 s.",
        "Change lead time: 12 h; unknown: 1.",
    ]
    assert history_lines(known, NOW, shown=1)[1:3] == [
        "2025-11-21 17:39  1.4.2    rolling   succeeded       600       0      60 s",
        "In the last 90 days: 3 rollouts, 3 deployments.",
    ]
    assert history_lines(known[2:], NOW, DAY)[-1] == "In the last 1 day: no rollout."


def test_a_long_version_is_cut_before_the_line_is_too_long():
    line = history_lines(
        [past(1, "succeeded_with_failures", "v" * 80, strategy="blue_green", felt=felt(10**9, 10**8))], NOW
    )[1]
    assert (
        len(line) == COLUMNS
        and line.startswith("2025-11-21 05:39  vvv")
        and "...  blue_green  succeeded with failures  1000000000" in line
    )


def test_what_is_not_known_is_said():
    assert history_lines([past(1)], NOW)[3:] == [
        "Without interruption: unknown, 1 rollout without a probe.",
        "Requests that failed while something was rolled out: unknown, there was no probe.",
        "Time to roll back: from the decision unknown; from the first bad response until the last unknown.",
        "Deployment frequency: 1.0 a week, 0.14 a day (successful ones, over 7 days).",
        "Change fail rate: 0% (0 of 1).",
        "Failed deployment recovery time: none has failed.",
        "Change lead time: unknown, the time of the commit is not known.",
    ]


@pytest.mark.parametrize(
    ("share", "said"),
    [(0, "0%"), (1, "100%"), (0.5, "50.0%"), (1e-5, "0.001%"), (0.99999, "99.999%"), (None, "unknown")],
)
def test_a_share_that_is_not_quite_everything_does_not_look_so(share, said):
    assert _percent(share) == said
