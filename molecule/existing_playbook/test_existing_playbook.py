# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold after a playbook of the user's own ran twice, and once without `serial`, with clients all the time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from scenario import figures
from scenario.fleet import left_behind, look, pools, versions
from scenario.load import Load
from scenario.places import HOSTS, RUNS, TOLD
from scenario.runs import Run, told
from scenario.watch import Watch

HERE = Path(__file__).parent
MINIMUM = 2  # traffic_min_available in the inventory


@pytest.fixture(scope="module")
def before() -> dict[str, Any]:
    """The lab before."""
    return dict(json.loads((RUNS / "before.json").read_text()))


def processes(seen: dict[str, Any]) -> dict[str, int]:
    """The shop's main process by host."""
    return {name: host["shop"]["pid"] for name, host in seen["hosts"].items()}


def in_traffic(before: dict[str, Any], after: dict[str, Any], version: str) -> None:
    """A version everywhere, states and weights as before; nothing left behind."""
    assert versions(after) == dict.fromkeys(HOSTS, version)
    assert pools(after) == pools(before)
    assert left_behind(after) == {}


def test_every_host_was_restarted_and_worked_on(before: dict[str, Any]) -> None:
    """By the handler that the old role notifies, and by the playbook's own tasks."""
    first, _again = told(TOLD, "converge")
    restarts = [
        task for task in first if task["changed"] and task["task"] == "zero_downtime.deploy.traffic : Restart shop"
    ]
    assert sorted(task["host"] for task in restarts) == HOSTS
    in_traffic(before, look(), "1.1.0")


def test_a_second_run_restarts_nothing() -> None:
    """Nothing has changed, so nothing notifies the handler."""
    _first, again = told(TOLD, "converge")
    assert not [task for task in again if "Take out of traffic" in task["task"]]


def test_all_at_once_is_refused() -> None:
    """Without `serial` the hosts that are too many are refused, and told so; they serve on as before."""
    before = look()
    run = Run("without_serial", str(HERE / "without_serial.yml"), old_shop_greeting="all at once")
    with Watch() as watch:
        assert run.wait() != 0
    after = look()
    in_traffic(before, after, "1.1.0")
    refused = {host for host, counts in run.recap().items() if counts["failed"]}
    assert refused
    assert watch.fewest >= MINIMUM
    assert {host for host in HOSTS if processes(after)[host] == processes(before)[host]} == refused
    assert f"the minimum is {MINIMUM} (min_available: {MINIMUM})" in run.last_words()
    assert "Take fewer members at a time (serial" in run.last_words()


def test_a_handler_rolls_back() -> None:
    """Each host goes back to the release it had, batch by batch."""
    before = look()
    run = Run("back", str(HERE / "back.yml"))
    with Watch() as watch:
        assert run.wait() == 0, run.output
    in_traffic(before, look(), "1.0.0")
    assert watch.fewest == len(HOSTS) - 3


def test_not_one_request_failed() -> None:
    """From before the first run to after the refusal."""
    report = Load(RUNS, "all").stop()
    figures.keep("all", report)
    assert report["failed"] == 0, report["failures"]
    assert report["requests"] >= 3000
