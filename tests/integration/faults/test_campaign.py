# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A part of the fault campaign, as large as fits; `make faults CASES=all` is the whole of it."""

from __future__ import annotations

import pytest
from faults.campaign import Campaign
from faults.cases import Case
from faults.table import line

DRAIN = "Take out of traffic and wait until nothing is in flight"
SWITCH = "Give all of the traffic to green"

# Strategy, fault, the task (and which of that name, the last one is -1), ms into it, recovery, whether from elsewhere.
CASES = [
    ("rolling", "kill", DRAIN, 0, 60, "again", True),
    ("rolling", "b2-hung", DRAIN, -1, None, "again", False),
    pytest.param("blue_green", "kill", SWITCH, -1, 40, "rollback", True, marks=pytest.mark.thorough),
    pytest.param("canary", "error_500", "", 0, None, "itself", False, marks=pytest.mark.thorough),
]


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    """The ground that the cases share."""
    campaign = Campaign(tmp_path_factory.mktemp("faults"))
    try:
        campaign.begin()
        yield campaign
    finally:
        campaign.close()


@pytest.mark.parametrize(
    ("strategy", "fault", "task", "which", "delay", "recovery", "elsewhere"), CASES, ids=lambda value: str(value).replace(" ", "_")
)
def test_whatever_breaks_nobody_notices(campaign, strategy, fault, task, which, delay, recovery, elsewhere):
    step = None
    if task:
        numbers = [each["number"] for each in campaign.steps(strategy) if each["task"].endswith(task)]
        assert numbers, f"no task {task!r} in a rollout by {strategy}"
        step = numbers[which]
    told = campaign.run(Case(strategy, fault, step, delay, recovery, elsewhere))
    assert not told["skipped"] and not told["violations"], line(told)
