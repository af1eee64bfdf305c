# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines at the bottom of a terminal, as they are to be seen."""

from __future__ import annotations

import pytest
from told import Told

from ansible_collections.zero_downtime.deploy.plugins.plugin_utils.live.frame import clipped, columns, frame
from ansible_collections.zero_downtime.deploy.plugins.plugin_utils.live.words import (
    ASCII,
    BAD,
    GOOD,
    NOW,
    PLAIN,
    PRETTY,
)

FELT = {"requests": 12345, "failed": 0, "p95": 12.3}


def seen(told, width=80, height=24, felt=None, signs=PRETTY):
    """The lines as text."""
    lines = frame(told.rollout, felt, width, height, told.now, signs)
    return "\n".join("".join(text for text, _style in line) for line in lines)


def styles(told, style, felt=None):
    """What is shown in that style."""
    return [text for line in frame(told.rollout, felt, 80, 24, told.now) for text, its in line if its == style]


@pytest.fixture
def deploying(told):
    """In the middle of the second batch."""
    told.begin(lacks=())
    told.good_batch("app1")
    told.record("batch_begun", "app2", "app3")
    told.drain()
    told.now += 2.4
    return told


def test_in_the_middle_of_a_batch(deploying):
    expected = """
shop 2.0, rolling                                           8 s, about 5 s left
━━━━━━━━━━━━━━━━━━━━━━━━━━━━─────────────────────────────────────  1 of 3 hosts
batch 2 of 2   ✓ drain 1.0 s  ▸ deploy 2 s  check  return  soak
deploy: app2, app3
users so far: 12,345 requests, 0 failed, p95 12 ms"""
    assert seen(deploying, felt=FELT) == expected


def test_without_unicode(deploying):
    expected = """
shop 2.0, rolling                                           8 s, about 5 s left
############################-------------------------------------  1 of 3 hosts
batch 2 of 2   + drain 1.0 s  > deploy 2 s  check  return  soak
deploy: app2, app3"""
    assert seen(deploying, signs=ASCII) == expected


def test_in_a_narrow_terminal(deploying):
    expected = """
shop 2.0, rolling     8 s, about 5 s left
━━━━━━━━━━━━───────────────  1 of 3 hosts
batch 2 of 2   ✓ drain  ▸ deploy 2 s  ch…
deploy: app2, app3
users so far: 12,345 requests, 0 failed,…"""
    assert seen(deploying, width=42, felt=FELT) == expected


def test_in_a_low_terminal_the_least_important_is_left_out(deploying):
    expected = """\
shop 2.0, rolling                                           8 s, about 5 s left
━━━━━━━━━━━━━━━━━━━━━━━━━━━━─────────────────────────────────────  1 of 3 hosts
batch 2 of 2   ✓ drain 1.0 s  ▸ deploy 2 s  check  return  soak"""
    assert seen(deploying, height=6, felt=FELT) == expected
    assert seen(deploying, height=1) == "batch 2 of 2   ✓ drain 1.0 s  ▸ deploy 2 s  check  return  soak"


def test_a_host_that_has_failed(deploying):
    deploying.fact(host="app3", __rollout_failed="deploy, task 'Restart': it does not start")
    deploying.check("app2")
    assert seen(deploying).splitlines()[3:] == [
        "batch 2 of 2   ✓ drain 1.0 s  ✗ deploy 2.4 s  ✓ check 1.0 s  return  soak",
        "app2   failed: app3",
    ]
    assert styles(deploying, BAD) == ["✗ deploy 2.4 s", "failed: app3"]


def test_on_the_way_back(deploying):
    deploying.record("halted", "app2", "app3", why="it is bad")
    deploying.fact(__rollback={"groups": [["app2", "app3"], ["app1"]]})
    deploying.record("undoing", "app2", "app3")
    deploying.drain()
    expected = """
shop 2.0, rolling, going back                                               9 s
━━━━━━━━────────────────────────────────────────────────────  0 of 3 hosts back
undo 1 of 2   ✓ drain 1.0 s  ▸ deploy 0 s  check  return
deploy: app2, app3"""
    assert seen(deploying) == expected
    assert styles(deploying, NOW) == ["▸ deploy 0 s"] and styles(deploying, GOOD) == ["✓ drain 1.0 s"]


def test_a_canary_shows_its_latest_step(told):
    told.begin("canary")
    told.record("batch_begun", "app1")
    told.record("canary_step_begun", "app1")
    for lasts in (5.0, 7.0):
        told.task("zero_downtime.deploy.traffic_split", problem="")
        told.task("zero_downtime.deploy.canary_analysis", verdict="pass", lasts=lasts)
    assert seen(told).splitlines()[3] == "batch 1 of 2   ✓ switch 1.0 s  ✓ watch 7.0 s"


def test_before_the_first_batch(told):
    told.begin()
    assert seen(told) == "\nshop 2.0, rolling" + " " * 59 + "0 s"


def test_more_hosts_than_fit(told):
    hosts = [f"app{number}" for number in range(40)]
    told.begin(groups=[hosts])
    told.record("batch_begun", *hosts)
    told.drain()
    assert (
        seen(told).splitlines()[-1] == "deploy: app0, app1, app2, app3, app4, app5, app6, app7, app8, app9 and 30 more"
    )
    told.fact(host="app7", __rollout_failed="it is bad")
    assert seen(told).splitlines()[-1] == "deploy: app0, app1, app2 and 36 more   failed: app7"


def test_failed_requests_stand_out(deploying):
    assert styles(deploying, BAD, {**FELT, "failed": 3}) == ["12,345 requests, 3 failed, p95 12 ms"]
    assert styles(deploying, BAD, FELT) == []


@pytest.mark.parametrize("width", [0, 1, 20, 33, 60, 80, 81, 200, 500])
def test_no_line_is_wider_than_the_terminal(deploying, width):
    for hosts in (["app2", "app3"], ["app2-" + "x" * 300, "ホスト" * 30]):
        deploying.batch.hosts = hosts
        for line in frame(deploying.rollout, FELT, width, 24, deploying.now):
            assert sum(columns(text) for text, _style in line) < max(width, 20)


def test_in_a_wide_terminal_the_bar_ends(deploying):
    assert max(len(line) for line in seen(deploying, width=300).splitlines()) == 100


@pytest.mark.parametrize(
    ("text", "width", "seen"),
    [("abc", 3, "abc"), ("abcd", 3, "ab…"), ("日本語", 6, "日本語"), ("日本語", 5, "日本…"), ("日本語", 4, "日…")],
)
def test_what_does_not_fit_is_cut_by_columns(text, width, seen):
    assert clipped([(text, GOOD)], width) == [(seen, GOOD)]
    assert "".join(piece for piece, _style in clipped([(sign, PLAIN) for sign in text], width)) == seen


def test_there_is_always_something_to_show():
    told = Told()
    told.journal("begin")
    told.record("batch_begun")
    told.record("undoing")
    assert "undo" in seen(told)
