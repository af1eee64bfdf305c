# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waits of a task that Ansible's own limit would cut short."""

from __future__ import annotations

import pytest
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.waits import TASKS, cut_short, waits
from ansible_collections.zero_downtime.deploy.plugins.plugin_utils.variables import kinds

VALUES = {
    "traffic_drain_timeout": 60,
    "traffic_drain_wait": "5",
    "traffic_health_timeout": 20,
    "traffic_warmup": [10, 50],
    "traffic_warmup_step": 8,
}


def test_a_limit_shorter_than_a_wait_is_told_with_the_limit_that_would_do():
    assert cut_short(30, waits(VALUES, "rolling")) == [
        "Ansible ends every task after 30 s (task_timeout in ansible.cfg, or ANSIBLE_TASK_TIMEOUT), and one of this rollout may wait "
        "longer: traffic_drain_timeout + traffic_drain_wait (65 s), traffic_health_timeout + traffic_warmup_step of each step (36 s). "
        "Set task_timeout to 80 or more, or to 0, or wait for less."
    ]
    assert (
        cut_short(80, waits(VALUES, "rolling"))
        == cut_short(0, waits(VALUES, "rolling"))
        == cut_short(30, waits(VALUES, ""))
        == []
    )


@pytest.mark.parametrize(
    ("strategy", "values", "longest"),
    [
        ("rolling", {"rolling_soak": 300}, 300),
        ("rollback", {"rolling_soak": 300, "rollback_soak": 40}, 40),
        ("canary", {"canary_steps": [{"watch": "2m"}, {"watch": "5m"}]}, 300),
        ("canary", {"canary_steps": "text", "traffic_drain_timeout": "soon"}, 0),
        ("blue_green", {"blue_green_bake": 30, "blue_green_warm": 600.0}, 630),
    ],
)
def test_each_strategy_has_waits_of_its_own(strategy, values, longest):
    assert max(waits(values, strategy).values()) == longest


def test_the_variables_exist():
    names = {name for tasks in TASKS.values() for task in tasks for name in task}
    assert names <= set(kinds())
