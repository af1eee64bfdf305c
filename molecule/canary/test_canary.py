# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold when a few hosts go first: a good release reaches all, a bad one harms few and is gone."""

from __future__ import annotations

from typing import Any

from scenario import figures
from scenario.fleet import journal, lease_is_free, left_behind, look, pools, versions
from scenario.load import Load
from scenario.places import HOSTS
from scenario.releases import build
from scenario.runs import Run


def canary(name: str, version: str, *steps: dict[str, Any]) -> Run:
    """Start a canary."""
    given = {"rollout_hosts": "shop", "rollout_version": version, "canary_steps": list(steps)}
    return Run(name, "zero_downtime.deploy.canary", canary_interval=1, rolling_batches=[3], **given)


def settled(before: dict[str, Any], after: dict[str, Any], version: str, outcome: str) -> None:
    """One version everywhere, states and weights as before, nothing in the way of the next rollout."""
    assert versions(after) == dict.fromkeys(HOSTS, version)
    assert pools(after) == pools(before)
    assert lease_is_free(after) and left_behind(after) == {}
    assert journal(after)["outcome"] == outcome


def test_one_that_is_no_worse_goes_to_all(clients: Load) -> None:
    build("2.0.0")
    before = look()
    clients.start(5000)
    run = canary("passes", "2.0.0", {"traffic": 20, "watch": 10}, {"hosts": "50%", "watch": 3})
    code = run.wait()
    after = look()
    report = clients.stop()
    figures.keep("1.0.0 to 2.0.0", report, seconds=run.seconds)

    assert code == 0, run.output
    assert report["failed"] == 0, report["failures"]
    assert report["requests"] >= 5000
    settled(before, after, "2.0.0", "succeeded")
    told = [event["event"] for event in journal(after)["events"] if event["event"].startswith("canary_")]
    assert told == ["canary_step_begun", "canary_step_passed"] * 2 + ["canary_promoted"]


def test_one_that_fails_a_fifth_is_gone_before_a_hundred_have_failed(clients: Load) -> None:
    """At 5 % of 500 requests a second, over both balancers; it is the canary's own answers that fail, and no others."""
    before = look()
    build("3.0.0", "fails 20")
    clients.start(3000, rate=500)
    run = canary("fails", "3.0.0", {"traffic": 5, "watch": 60})
    code = run.wait()
    after = look()
    report = clients.stop()
    figures.keep("fails 20 % at a share of 5 %", report, seconds=run.seconds)

    assert code != 0
    assert set(report["why"]) == {"status"} and 0 < report["failed"] < 100, report["why"]
    assert {member for member, of in report["by_member"].items() if of["failed"]} == {"app1"}
    settled(before, after, next(iter(versions(before).values())), "rolled_back")
    assert "1 host is back on" in run.last_words() and "states and weights as before" in run.last_words()
