# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lengths of time, and how long the rest will take."""

from __future__ import annotations

import pytest

from ansible_collections.zero_downtime.deploy.plugins.plugin_utils.live.pace import about, lasted, remaining, running


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.0 s"), (0.44, "0.4 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.4, "59 s"), (59.6, "1 min"), (125, "2 min 5 s"),
        (3599.9, "1 h"), (3600, "1 h"), (7500, "2 h 5 min"),
    ],
)  # fmt: skip
def test_what_has_lasted(seconds, words):
    assert lasted(seconds) == words


def test_what_goes_on_changes_once_a_second():
    assert [running(seconds) for seconds in (0.1, 0.9, 1.0, 9.99, 59.9, 61)] == [
        "0 s",
        "0 s",
        "1 s",
        "9 s",
        "59 s",
        "1 min 1 s",
    ]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.3, "about 5 s"), (13, "about 15 s"), (118, "about 2 min"), (200, "about 3 min 30 s"), (1000, "about 17 min")],
)
def test_an_estimate_is_no_more_exact_than_it_can_be(seconds, words):
    assert about(seconds) == words


def test_nothing_is_said_before_a_batch_is_done(told):
    told.begin()
    assert remaining(told.rollout, told.now) is None
    told.record("batch_begun", "app1")
    told.drain()
    assert remaining(told.rollout, told.now) is None


def test_the_rest_goes_at_the_pace_of_what_is_done(told):
    told.begin(groups=[["app1"], ["app2", "app3"], ["app4"]])
    told.good_batch("app1")  # five seconds for one host
    assert remaining(told.rollout, told.now) == 15.0
    told.record("batch_begun", "app2", "app3")
    told.now += 4
    assert remaining(told.rollout, told.now) == 11.0
    # However slow it is, the one after it is still to come.
    told.now += 100
    assert remaining(told.rollout, told.now) == 5.0


def test_the_way_back_has_its_own_pace(told):
    told.begin()
    told.good_batch("app1")
    told.fact(__rollback={"groups": [["app2", "app3"], ["app1"]]})
    told.record("undoing", "app2", "app3")
    assert remaining(told.rollout, told.now) is None
    told.now += 4
    told.record("undone", "app2", "app3")
    assert remaining(told.rollout, told.now) == 2.0


def test_nothing_is_left_when_it_has_ended(told):
    told.begin()
    told.good_batch("app1")
    told.finish("succeeded", "Good.")
    assert remaining(told.rollout, told.now) is None
