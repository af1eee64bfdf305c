# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines that stay."""

from __future__ import annotations

import pytest

from ansible_collections.zero_downtime.deploy.plugins.plugin_utils.live.words import (
    BAD,
    GOOD,
    NOW,
    PLAIN,
    felt_words,
    interrupted,
    lasting_lines,
    log_lines,
)

FELT = {"requests": 1234, "failed": 0, "p95": 4.26}


def logged(told, felt=None):
    return [line for news in told.news for line in log_lines(news, felt, told.now)]


def lasting(told, width=80, felt=None):
    return [line for news in told.news for line in lasting_lines(news, felt, width, told.now)]


def test_a_good_rollout(told):
    told.begin()
    told.good_batch("app1")
    told.good_batch("app2", "app3", reached=["app1"])
    told.finish("succeeded", "Rollout of shop to 2.0 succeeded.")
    expected = """\
shop 2.0 | batch 1 of 2 | begins: app1
shop 2.0 | batch 1 of 2 | drain 1.0 s
shop 2.0 | batch 1 of 2 | deploy 2.0 s
shop 2.0 | batch 1 of 2 | check 1.0 s
shop 2.0 | batch 1 of 2 | return 1.0 s
shop 2.0 | batch 2 of 2 | begins: app2, app3
shop 2.0 | batch 2 of 2 | drain 1.0 s
shop 2.0 | batch 2 of 2 | deploy 2.0 s
shop 2.0 | batch 2 of 2 | check 1.0 s
shop 2.0 | batch 2 of 2 | return 1.0 s
shop 2.0 | succeeded after 10 s | 1,234 requests, 0 failed, p95 4.3 ms"""
    assert "\n".join(text for text, _style in logged(told, FELT)) == expected
    assert logged(told)[-1] == ("shop 2.0 | succeeded after 10 s", GOOD)
    assert lasting(told) == [
        ("✓ batch 1 of 2: app1, 5.0 s (drain 1.0, deploy 2.0, check 1.0, return 1.0)", GOOD),
        ("✓ batch 2 of 2: app2, app3, 5.0 s", GOOD),
        ("✓ shop 2.0 | succeeded after 10 s", GOOD),
    ]
    assert (
        lasting(told, 100)[1][0] == "✓ batch 2 of 2: app2, app3, 5.0 s (drain 1.0, deploy 2.0, check 1.0, return 1.0)"
    )


def test_a_bad_one(told):
    told.begin(groups=[["app1"]])
    told.record("batch_begun", "app1")
    told.drain()
    told.check("app1", sick=["app1"])
    told.record("halted", "app1", why="app1: not healthy, last seen: HTTP 500.")
    told.fact(__rollback={"groups": [["app1"]]})
    told.record("undoing", "app1")
    told.drain()
    told.record("undone", "app1")
    told.finish("rolled_back", "Rollout of shop to 2.0 FAILED.", failed=True)
    assert logged(told)[2:] == [
        ("shop 2.0 | batch 1 of 1 | deploy 0.0 s", PLAIN),
        ("shop 2.0 | batch 1 of 1 | check 1.0 s, FAILED: app1", BAD),
        ("shop 2.0 | batch 1 of 1 | FAILED after 2.0 s: app1: not healthy, last seen: HTTP 500", BAD),
        ("shop 2.0 | undo 1 of 1 | begins: app1", PLAIN),
        ("shop 2.0 | undo 1 of 1 | drain 1.0 s", PLAIN),
        ("shop 2.0 | undo 1 of 1 | deploy 0.0 s", PLAIN),
        ("shop 2.0 | rolled back after 3.0 s", BAD),
    ]
    assert lasting(told) == [
        ("✗ batch 1 of 1: app1, FAILED after 2.0 s: app1: not healthy, last seen: HTTP 500", BAD),
        ("✓ undo 1 of 1: app1, back after 1.0 s (drain 1.0, deploy 0.0)", NOW),
        ("✗ shop 2.0 | rolled back after 3.0 s", BAD),
    ]


def test_a_batch_that_goes_on_without_a_host(told):
    told.begin(groups=[["app2", "app3"]])
    told.record("batch_begun", "app2", "app3")
    told.drain()
    told.check("app2", "app3", sick=["app3"])
    told.bring_back()
    told.fact(__rolling_reached=["app2", "app3"])
    why = "app3: not healthy, last seen: HTTP 500."
    assert logged(told)[-1] == (f"shop 2.0 | batch 1 of 1 | goes on without {why}", BAD)
    assert lasting(told) == [(f"✓ batch 1 of 1: app2, app3, 3.0 s, without {why}", NOW)]


def test_a_drain_that_fails_has_no_host_to_name(told):
    told.begin()
    told.record("batch_begun", "app1")
    told.drain(problem="app1 has 3 requests in flight after 60 s.")
    assert logged(told)[-1] == ("shop 2.0 | batch 1 of 2 | drain 1.0 s, FAILED", BAD)


@pytest.mark.parametrize(
    ("outcome", "failed", "line"),
    [
        ("succeeded_with_failures", False, ("shop 2.0 | succeeded with failures after 0.0 s", NOW)),
        ("nothing_to_do", False, ("shop 2.0 | nothing to do after 0.0 s", GOOD)),
        ("rollback_failed", True, ("shop 2.0 | FAILED to roll back after 0.0 s", BAD)),
        ("abandoned", True, ("shop 2.0 | ended before it was done after 0.0 s", BAD)),
    ],
)
def test_other_ends(told, outcome, failed, line):
    told.begin()
    told.finish(outcome, "A sentence.", failed=failed)
    assert logged(told) == [line]


def test_one_that_did_not_begin(told):
    told.begin()
    told.journal("finish", outcome="nothing_to_do", summary={"left_out": []})
    assert logged(told) == [("shop 2.0 | did not begin after 0.0 s", BAD)]


def test_one_that_has_paused(told):
    told.begin()
    told.journal("pause", summary={"lines": ["It has paused."], "failed": False})
    assert logged(told) == [("shop 2.0 | paused after 0.0 s", NOW)]


def test_many_hosts_are_counted(told):
    hosts = [f"app{number}" for number in range(40)]
    told.begin(groups=[hosts])
    told.record("batch_begun", *hosts)
    assert logged(told)[0][0] == "shop 2.0 | batch 1 of 1 | begins: app0, app1, app2, app3, app4, app5 and 34 more"


def test_a_run_that_ends_in_the_middle(told):
    told.begin()
    told.record("batch_begun", "app1")
    told.drain()
    told.now += 3
    text, style = interrupted(told.rollout, told.now)
    assert style == BAD and text == (
        "shop 2.0 | the run ended in batch 1 of 2 (app1), deploy after 4.0 s: "
        "run the same command again to go on, or the playbook rollback to undo it"
    )


def test_what_users_felt():
    assert felt_words(None) == "" and felt_words({}) == ""
    assert felt_words({"requests": 1, "failed": 1, "p95": None}) == "1 request, 1 failed"
    assert felt_words({"requests": 1000000, "failed": 0, "p95": 12.5}) == "1,000,000 requests, 0 failed, p95 12 ms"
