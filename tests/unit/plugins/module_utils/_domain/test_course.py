# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What hosts went through, from what tasks have returned."""

from __future__ import annotations

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain import course

SKIPPED = {"changed": False, "skipped": True}


def took(began, ended, **more):
    return {"began": began, "ended": ended, **more}


def batch(drain, check, back, known=(), hosts=("a",), now=99.0, checked=None, **more):
    checks = check if isinstance(check, list) else [check]
    results = {"drain": [drain], "check": checks, "return": [back], "checked": [checked or SKIPPED]}
    return course.of_batch(list(known), 1, list(hosts), results, now, **more)


def told(stages):
    return [(stage["phase"], stage["began"], stage["ended"], stage["ok"]) for stage in stages]


def test_the_deployment_is_what_is_between_drain_and_check():
    stages = batch(took(1, 2, problem=""), took(5, 6, targets=[{"healthy": True}]), took(6, 7, problem=""))
    assert told(stages) == [("drain", 1, 2, True), ("deploy", 2, 5, True), ("check", 5, 6, True), ("return", 6, 7, True)]


def test_a_check_after_the_return_is_the_soak():
    stages = batch(took(1, 2), took(8, 9), took(6, 7))
    assert told(stages) == [("drain", 1, 2, True), ("deploy", 2, 6, True), ("return", 6, 7, True), ("soak", 8, 9, True)]
    known = batch(took(1, 2), took(8, 9), took(6, 7), checked=took(4, 5))
    assert told(known)[1:3] == [("deploy", 2, 4, True), ("check", 4, 5, True)]


def test_hosts_that_ask_for_themselves_are_one_stage():
    stages = batch(took(1, 2), [took(5, 6, targets=[{"healthy": True}]), took(4, 7, targets=[{"healthy": False}])], SKIPPED)
    assert told(stages)[-1] == ("check", 4, 7, False)


def test_what_nobody_answers_for_is_the_deployments():
    assert told(batch(took(1, 2), SKIPPED, SKIPPED, failed=True)) == [("drain", 1, 2, True), ("deploy", 2, 99.0, False)]
    sick = took(5, 6, targets=[{"healthy": False}])
    assert told(batch(took(1, 2), sick, SKIPPED, failed=True)) == [("drain", 1, 2, True), ("deploy", 2, 5, True), ("check", 5, 6, False)]


def test_a_batch_that_was_not_drained_was_not_deployed_to():
    assert told(batch(took(1, 2, problem="busy"), SKIPPED, SKIPPED, failed=True)) == [("drain", 1, 2, False)]
    assert batch(SKIPPED, SKIPPED, {}) == []


def test_what_is_undone_is_told_apart_and_nothing_is_told_twice():
    known = batch(took(1, 2), took(5, 6, targets=[{"healthy": False}]), SKIPPED, failed=True)
    # The check is still that of the way forward.
    undone = batch(took(7, 8), took(5, 6), took(9, 10), known, undo=True)
    assert told(undone[len(known):]) == [("undo_drain", 7, 8, True), ("undo_deploy", 8, 9, True), ("undo_return", 9, 10, True)]
    assert course.undone(undone) == 10 and course.undone(known) is None


def test_a_switch_and_the_watch_that_followed():
    stages = course.of_switch([], ["a", "b"], took(3, 4, problem=""), [took(1, 2), took(5, 8, targets=[{"healthy": False}])])
    assert told(stages) == [("switch", 3, 4, True), ("watch", 5, 8, False)]
    assert course.of_switch(stages, ["a"], {}, []) == stages
    back = course.of_switch(stages, ["c"], took(9, 10), [took(5, 8)], undo=True)
    assert told(back[2:]) == [("undo_switch", 9, 10, True)]


def test_each_host_has_its_phases():
    phases = course.phases(course.of_switch([], ["a", "b"], took(3, 4), []))
    assert phases == [{"host": host, "batch": 0, "phase": "switch", "began": 3, "ended": 4, "ok": True} for host in ("a", "b")]
