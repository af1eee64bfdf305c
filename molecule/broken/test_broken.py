# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold when a release is bad: it is found out, undone by itself and told, and no request fails."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from scenario import figures
from scenario.fleet import journal, lease_is_free, left_behind, look, pools, versions
from scenario.load import Load
from scenario.places import HOSTS
from scenario.releases import build
from scenario.runs import Run
from scenario.watch import Watch

HOOKS = Path(__file__).with_name("hooks")
SOAK = 10  # seconds; `dies_after` as many dies while it lasts, unless coming back takes longer than that


@pytest.mark.parametrize(
    ("fault", "version", "says"),
    [
        pytest.param("no_start", "2.1.0", "connection refused", id="no_start"),
        pytest.param("wrong_version", "2.2.0", "0.0.0-wrong", id="wrong_version"),
        pytest.param("hangs", "2.3.0", "not healthy", id="hangs"),
        pytest.param(f"dies_after {SOAK}", "2.4.0", "not healthy", id="dies_after"),
    ],
)
def test_the_first_host_finds_it_out(fault: str, version: str, says: str, clients: Load) -> None:
    """One host has had the release, and has its old one again."""
    build(version, fault)
    before = look()
    clients.start(3000)
    run = Run(
        fault.split()[0],
        "zero_downtime.deploy.rolling",
        rollout_hosts="shop",
        rollout_version=version,
        rolling_soak=SOAK,
    )
    with Watch() as watch:
        code = run.wait()
    after = look()
    report = clients.stop()
    figures.keep(fault, report, seconds=run.seconds, undone_seconds=undone_seconds(after))

    assert code != 0
    assert report["failed"] == 0, report["failures"]
    assert bool(report["cut_by_death"]) <= fault.startswith("dies_after"), report["cuts"]
    undone(before, after)
    assert touched(after) == [["app1"]]
    assert watch.fewest == len(HOSTS) - 1
    assert f"Rollout of shop to {version} FAILED in the batch app1: app1: " in run.last_words()
    assert says in run.last_words()
    assert "1 host is back on 1.0.0, states and weights as before." in run.last_words()


def test_a_late_host_finds_it_out(clients: Load) -> None:
    """On one host of the last batch alone the release answers 500; all three batches are undone, last one first."""
    build("2.5.0")
    before = look()
    clients.start(20_000, rate=500)
    run = Run(
        "error_500",
        "zero_downtime.deploy.rolling",
        rollout_hosts="shop",
        rollout_version="2.5.0",
        rollout_hooks=str(HOOKS),
    )
    with Watch() as watch:
        code = run.wait()
    after = look()
    report = clients.stop()
    figures.keep("error_500 in batch 3", report, seconds=run.seconds, undone_seconds=undone_seconds(after))

    assert code != 0
    assert report["failed"] == 0, report["failures"]
    assert report["cut_by_death"] == 0
    assert report["requests"] >= 20_000
    assert {"1.0.0", "2.5.0"} <= set(report["by_version"])
    undone(before, after)
    assert touched(after) == [["app1"], ["app2", "app3"], ["app4", "app5", "app6"]]
    assert watch.fewest == len(HOSTS) - 3
    went_back = [sorted(event["hosts"]) for event in journal(after)["events"] if event["event"] == "undone"]
    assert went_back == touched(after)[::-1]
    assert "FAILED in the batch app4, app5, app6: app5: " in run.last_words()
    assert "500" in run.last_words()
    assert "6 hosts are back on 1.0.0, states and weights as before." in run.last_words()


def undone(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Versions, states and weights as before, lease free, nothing left."""
    assert versions(after) == versions(before) == dict.fromkeys(HOSTS, "1.0.0")
    assert {host["current"] for host in after["hosts"].values()} == {"1.0.0"}
    assert {host["shop"]["state"] for host in after["hosts"].values()} == {"active"}
    assert pools(after) == pools(before)
    assert lease_is_free(after)
    assert journal(after)["outcome"] == "rolled_back"
    assert left_behind(after) == {}


def touched(after: dict[str, Any]) -> list[list[str]]:
    """The batches that were begun."""
    return [event["hosts"] for event in journal(after)["events"] if event["event"] == "batch_begun"]


def undone_seconds(after: dict[str, Any]) -> float:
    """From the decision to the end."""
    told = journal(after)
    halted = next(event["time"] for event in told["events"] if event["event"] == "halted")
    return stamp(told["finished"]) - stamp(halted)


def stamp(text: str) -> float:
    """Seconds since the epoch."""
    return time.mktime(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ"))
