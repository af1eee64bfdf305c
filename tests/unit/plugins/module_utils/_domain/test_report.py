# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures and sentences of a report."""

from __future__ import annotations

import pytest
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain import report
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.record import OUTCOMES, STRATEGIES, VERDICTS
from ansible_collections.zero_downtime.deploy.tests.support.records import samples


def figures(record):
    return {figure.label: (figure.value, figure.notes) for figure in report.figures(record)}


def test_key_figures_of_a_rollout_that_was_undone():
    record = samples.rolled_back()
    record.update(began=1000.0, ended=1095.0, decided=1060.0, undone=1088.0)
    record["felt"].update(requests=1070, failed=4, disturbance=12.3, rate=10.0)
    found = figures(record)
    assert found["Requests felt"] == ("1,070", ["sampled, 10 a second"])
    assert found["Failed"] == ("4", ["within 12 s"])
    assert found["Error rate"] == ("0.37 %", ["of requests felt"])
    assert found["Duration"] == ("1 min 35 s", ["3 hosts touched"])
    assert found["Time to roll back"] == ("28 s", ["from the decision", "12 s from the first bad response"])


def test_no_failure_tells_how_much_a_sample_is_worth():
    record = samples.rolling()
    record["felt"]["requests"] = 1250
    assert figures(record)["Error rate"] == ("0 %", ["up to 0.24 % not ruled out"])
    assert report.highest_rate(300) == pytest.approx(0.00994, abs=1e-5)  # the rule of three says 1 %
    assert (1 - report.highest_rate(300)) ** 300 == pytest.approx(0.05)


def test_without_a_probe_no_figure_is_made_up():
    found = figures(samples.no_probe())
    for label in ("Requests felt", "Failed", "Error rate", "Latency, p95"):
        assert found[label] == ("–", ["no probe was running"])
    assert found["Time to roll back"] == ("–", ["nothing was undone"])
    assert report.lead(samples.no_probe()) == "No probe was running, so what users felt is not known."


def test_a_way_back_that_did_not_end():
    record = {**samples.rolled_back(), "decided": 1795320800.0, "undone": None}
    assert figures(record)["Time to roll back"] == ("–", ["decided at 04:13:20 UTC", "not every member was seen back"])


def test_a_way_back_without_a_bad_response_or_without_a_probe():
    record = samples.rolled_back()
    record["felt"].update(failed=0, first_failure=None)
    assert figures(record)["Time to roll back"][1] == ["from the decision", "no bad response was felt"]
    assert figures({**record, "felt": None})["Time to roll back"][1] == [
        "from the decision",
        "first bad response: not known",
    ]


def test_a_probe_that_asked_nothing():
    record = samples.rolling()
    record["felt"]["requests"] = 0
    assert figures(record)["Error rate"] == ("–", ["nothing was asked"])
    assert report.errors_said(record["felt"]) == ["The probe has sent no request."]
    assert report.lead(record) == "The probe has sent no request, so what users felt is not known."


def test_what_failed_in_words():
    felt = samples.rolled_back()["felt"]
    felt.update(requests=1000, failed=5, outcomes={"ok": 995, "status": 4, "truncated": 1}, disturbance=12.3)
    felt.update(first_failure=1795320756.2, last_failure=1795320768.5)
    assert report.errors_said(felt) == [
        "5 of 1,000 requests failed (0.50 %): 4 answered with a status of 5xx, 1 cut off in the middle of the answer.",
        "The first failed at 04:12:36 UTC and the last at 04:12:48 UTC, 12 s apart.",
    ]
    felt.update(failed=1, outcomes={"ok": 999, "reset": 1}, late=3)
    assert report.errors_said(felt)[1] == "That was at 04:12:36 UTC."
    assert report.errors_said(felt)[2].startswith("3 requests could not be sent in time")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            [9, 5, 0],
            [0, 5, 9],
            "1.4.2 answered first at 00:01:41 UTC, 1.4.1 last at 00:01:42 UTC: both were in traffic for 1.0 s.",
        ),
        ([9, 0, 0], [0, 9, 9], "1.4.2 has answered since 00:01:41 UTC, and nothing else has since then."),
        (
            [9, 5, 9],
            [0, 4, 0],
            "1.4.2 answered first at 00:01:41 UTC and last at 00:01:42 UTC. 1.4.1 answered to the end.",
        ),
        ([9, 9, 9], [0, 0, 0], "No request was answered by 1.4.2."),
        (
            [0, 0, 0],
            [0, 0, 0],
            "No answer told which version it came from, so the probe knows requests, and not whose they were.",
        ),
    ],
)
def test_when_the_new_version_took_over(old, new, said):
    record = samples.rolling()
    record["felt"]["series"].update(began=100, step=1, versions={"1.4.1": old, "1.4.2": new})
    record["felt"]["versions"] = {"1.4.1": sum(old), "1.4.2": sum(new)}
    assert report.traffic_said(record) == said


def test_members():
    assert (
        report.members_said(samples.rolling()) == "All members are as before, in state and weight: 12 on 2 balancers."
    )
    assert report.members_said(samples.no_probe()) == "2 of 8 members on 2 balancers are not as before."
    assert report.members_said(samples.blue_green()).endswith("That is meant: the colours have changed places.")
    assert report.members_said(samples.nothing()) == "What state the members were in is not in the record."


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ({"state": "enabled", "weight": 100}, {"state": "enabled", "weight": 100, "health": "up"}, True),
        ({"state": "enabled", "weight": 100}, {"state": "enabled", "weight": 100, "health": "unknown"}, True),
        ({"state": "enabled", "weight": 100}, {"state": "enabled", "weight": 100, "health": "down"}, False),
        ({"state": "enabled", "weight": 100}, {"state": "enabled", "weight": 50, "health": "up"}, False),
        ({"state": "enabled", "weight": 100}, None, False),
        (None, None, True),
    ],
)
def test_as_before(before, after, same):
    assert report.as_before({"before": before, "after": after}) is same


def test_a_state_in_words():
    assert report.member_state({"state": "drained", "weight": 0, "health": "up"}) == "drained, weight 0, up"
    assert report.member_state({}) == "state unknown" and report.member_state(None) == "not there"


def test_what_figures_are_worth():
    kinds = {count.source: count.kind for count in report.counts(samples.canary())}
    assert kinds == {
        "Probe": "Sampled: 20 requests a second of its own",
        "lb1, its members": "Lower limit: it began to count anew",
    }
    record = samples.rolling()
    assert [count.kind for count in report.counts(record)][1:] == ["Exact: every request"] * 3
    first, second = record["counted"]["balancers"]
    first.update(exact=False, uncounted="answers that break off", at_most=9)
    second.update(exact=False, of="nothing", uncounted="everything")
    assert [count.kind for count in report.counts(record)][1:] == [
        "Lower limit: it leaves out answers that break off; Not exact: at most 9 errors, as some may be counted twice",
        "Nothing: it does not count as it is configured",
        "As good as the least of them",
    ]


def test_events_in_words():
    assert report.event_said("batch_begun") == "Batch begun"
    assert report.details_said({"why": "x", "step": 1, "hosts": ["a"]}) == 'why: x, step: 1, hosts: ["a"]'
    assert len(report.details_said({"why": "x" * 5000})) == report.LONGEST_DETAILS


def test_every_word_of_a_record_has_its_own():
    assert set(report.OUTCOMES) == set(OUTCOMES)
    assert set(report.STRATEGIES) == set(STRATEGIES)
    assert set(report.VERDICTS) == set(VERDICTS)
