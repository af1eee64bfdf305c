# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold when all of the traffic moves at once: nobody notices, on no balancer, neither there nor back."""

from __future__ import annotations

import re

import pytest
from scenario import figures
from scenario.fleet import journal, lease_is_free, left_behind, look, pool, runtime, versions
from scenario.load import Load
from scenario.places import BALANCERS, HOSTS
from scenario.releases import build
from scenario.runs import Run

BLUE, GREEN = HOSTS[:3], HOSTS[3:]
COLORED = {
    "rollout_hosts": "shop",
    "blue_green_color": f"{{{{ 'blue' if inventory_hostname in {BLUE} else 'green' }}}}",
    "blue_green_bake": 2,
}
WARM = {"rollout_gates": [{"before": "promotion", "approval": "the old colour is needed no more"}]}


def run(name: str, playbook: str = "blue_green", **variables: object) -> Run:
    """Run a playbook to its end, which is a good one."""
    started = Run(name, f"zero_downtime.deploy.{playbook}", **COLORED, **variables)
    assert started.wait() == 0, started.output
    return started


def serving() -> dict[str, list[str]]:
    """Who is in traffic, by balancer."""
    return {name: [host for host, member in pool(name).items() if member["state"] == "enabled"] for name in BALANCERS}


def switch_seconds(said: str, words: str) -> float:
    """From the decision until every balancer had been read back, as the run tells it."""
    found = re.search(rf"{words} (\d+\.\d+) s", said)
    assert found, said
    return float(found.group(1))


@pytest.fixture
def blue_serves() -> None:
    """Green is out of traffic on both balancers."""
    for balancer in BALANCERS:
        for host in GREEN:
            runtime(balancer, f"set server shop/{host} state maint")


def test_there_and_back_and_there_again(blue_serves: None, clients: Load) -> None:
    build("2.0.0")
    clients.start(5000)
    there = run("there", rollout_version="2.0.0", **WARM)
    assert serving() == dict.fromkeys(BALANCERS, GREEN)
    back = run("back", "rollback")
    assert serving() == dict.fromkeys(BALANCERS, BLUE)
    run("there-again", rollout_version="2.0.0", **WARM)
    run("promoted", "promote", **WARM)
    after = look()
    report = clients.stop()
    seconds = {
        "switch_seconds": switch_seconds(there.output, "switched from blue in"),
        "back_seconds": switch_seconds(back.output, "has its traffic back, on 1.0.0, in"),
    }
    figures.keep("there, back, there again, promoted", report, **seconds)

    assert report["failed"] == 0, report["failures"]
    assert report["requests"] >= 5000
    assert serving() == dict.fromkeys(BALANCERS, GREEN)
    assert versions(after) == {**dict.fromkeys(BLUE, "1.0.0"), **dict.fromkeys(GREEN, "2.0.0")}
    assert lease_is_free(after) and left_behind(after) == {}
    assert journal(after)["outcome"] == "succeeded"
