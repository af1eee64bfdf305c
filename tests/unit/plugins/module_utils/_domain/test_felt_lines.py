# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What users felt, in a few words."""

from __future__ import annotations

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.felt_lines import kept, lines

FELT = {
    "began": 1.0, "ended": 61.0, "urls": ["http://shop/"], "rate": 10.0, "requests": 600, "failed": 0, "outcomes": {"ok": 600},
    "versions": {},
    "latency": {"p50": 2.0, "p95": 5.2, "p99": 9.0, "max": 12.0}, "first_failure": None, "last_failure": None, "disturbance": 0.0,
    "failures": [], "late": 0, "series": {"requests": [10]},
}  # fmt: skip


def test_a_rollout_that_nobody_noticed():
    assert lines(FELT, None) == ["What users felt, by a probe of 10 requests a second: 0 of 600 failed, p95 5 ms."]


def test_one_that_somebody_did():
    felt = {**FELT, "failed": 3, "outcomes": {"ok": 597, "status": 1, "truncated": 2}, "disturbance": 0.74, "late": 2}
    assert lines(felt, {"requests": 5, "said": "The members failed 3."}) == [
        "What users felt, by a probe of 10 requests a second: 3 of 600 failed, p95 5 ms (1 status, 2 truncated, within 0.7 s). "
        "2 more could not be sent in time: the probe's machine was too busy.",
        "The members failed 3.",
    ]


def test_where_nothing_was_seen_that_is_said():
    nothing = {**FELT, "requests": 0, "latency": dict.fromkeys(FELT["latency"])}
    assert lines(nothing, None) == ["What users felt is not known: the probe has made no request."]
    assert lines(None, None) == []
    assert lines(None, {"requests": 0, "said": "nothing"}) == []


def test_the_journal_keeps_the_figures_alone():
    assert kept(None) is None
    assert {"failed", "disturbance"} <= kept(FELT).keys() and not {"series", "urls", "failures"} & kept(FELT).keys()
