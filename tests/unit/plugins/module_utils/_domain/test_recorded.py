# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All that is known of a rollout, in one piece."""

from __future__ import annotations

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain import course
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.recorded import record, verdict

JOURNAL = {
    "service": "shop", "id": "20261122T041203Z-2.0-3", "version": "2.0", "strategy": "rolling", "plan": [["a"]],
    "before": {
        "versions": {"a": "1.0", "b": None},
        "balancers": {"lb": {"a": {"state": "enabled", "weight": 5}, "gone": {"state": "drained", "weight": 1}}},
    },
    "events": [{"time": 10.0, "event": "batch_begun", "hosts": ["a"], "details": {}}],
}  # fmt: skip
TOLD = {"outcome": "rolled_back", "failed": True, "lines": ["No."], "left_out": [], "paused": {}}
POOL = [{"name": "lb", "members": [{"name": "a", "address": "x:1", "state": "enabled", "weight": 5, "health": "up", "in_flight": 0}]}]


def made(stages=(), verdicts=(), decided=None):
    times = {"began": 1.0, "ended": 99.0, "decided": decided}
    return record(JOURNAL, TOLD, list(stages), list(verdicts), POOL, {"a": "not healthy"}, times, {"felt": None, "counted": None})


def test_members_are_as_they_were_and_as_they_are():
    assert made()["members"] == [
        {
            "balancer": "lb",
            "member": "a",
            "before": {"state": "enabled", "weight": 5},
            "after": {"state": "enabled", "weight": 5, "health": "up"},
        },
        {"balancer": "lb", "member": "gone", "before": {"state": "drained", "weight": 1}, "after": None},
    ]


def test_versions_from_before_are_those_that_are_known():
    assert made()["from_versions"] == ["1.0"]


def test_what_was_undone_ended_with_the_last_stage_back():
    took = {"began": 30.0, "ended": 40.0}
    stages = course.of_batch([], 1, ["a"], {"drain": [took], "check": [], "return": []}, 41.0, undo=True)
    assert made(stages, decided=25.0)["undone"] == 41.0
    assert made()["undone"] is None


def test_a_watch_is_a_stage_of_the_canary_and_its_verdict_is_told():
    judged = {
        "verdict": "fail", "sentence": "The canary fails.", "began": 5.0, "ended": 7.0,
        "metrics": [{"name": "errors", "kind": "errors", "verdict": "fail", "sentence": "Too many."}],
    }  # fmt: skip
    told = made(verdicts=[verdict(0, ["a"], judged)])
    assert told["verdicts"] == [
        {
            "step": 1,
            "verdict": "fail",
            "why": "The canary fails.",
            "metrics": [{"name": "errors", "verdict": "fail", "said": "Too many."}],
        }
    ]
    assert told["phases"] == [{"host": "a", "batch": 0, "phase": "watch", "began": 5.0, "ended": 7.0, "ok": False}]
