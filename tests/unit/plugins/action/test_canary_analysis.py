# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's door: balancers are read by the door of `pool_info`, which reaches them wherever they are."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible_collections.zero_downtime.deploy.plugins.action import canary_analysis
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import Unreachable

BALANCERS = [{"host": "lb1", "provider": "haproxy", "socket": "/run/haproxy/admin.sock"}]


class Task:
    """What an action plugin knows of its task."""

    check_mode = False

    def __init__(self, args):
        self.args = args

    def copy(self):
        return Task(dict(self.args))


def door(args, result):
    """The action plugin, and what its `pool_info` was asked; that one returns `result(number of the call)`."""
    asked = []

    def pool_info(name, task, **_about):
        def run(task_vars):
            asked.append((name, task.args, task_vars))
            return result(len(asked))

        return SimpleNamespace(run=run)

    action = object.__new__(canary_analysis.ActionModule)
    action._task, action._task_vars = Task(args), {"hostvars": {"lb1": {}}}
    action._connection = action._play_context = action._loader = action._templar = None
    action._shared_loader_obj = SimpleNamespace(action_loader=SimpleNamespace(get=pool_info))
    return action, asked


def counted(number):
    """Each call is a hundred requests later, of which the canary's fail half."""
    sides = {"m1": 50 * number, "m2": 0}
    members = [
        {"name": name, "state": "enabled", "health": "up", "counters": {"requests": 100 * number, "errors": errors, "since": "x"}}
        for name, errors in sides.items()
    ]
    return {"changed": False, "balancers": [{"name": "lb1", "members": members}]}


def options(**more):
    metric = {"name": "errors", "kind": "errors", "source": {"balancers": True}, "allowed_increase": "25%"}
    groups = {"canary": ["m1"], "baseline": ["m2"]}
    return {
        "groups": groups,
        "metrics": [metric],
        "balancers": BALANCERS,
        "pool": "app",
        "watch": 0.2,
        "interval": 0.1,
        **more,
    }


def test_every_look_asks_pool_info_for_the_counters():
    action, asked = door(options(on_failure="report"), counted)
    result = action.in_process(action._task.args)
    assert (result["verdict"], result["looks"]) == ("fail", 1)
    wanted = {"balancers": BALANCERS, "pool": "app", "counters": True}
    assert asked == [("zero_downtime.deploy.pool_info", wanted, {"hostvars": {"lb1": {}}})] * 2


def test_a_fail_is_the_task_s_with_the_figures():
    action, _asked = door(options(), counted)
    result = action.in_process(action._task.args)
    assert result["failed"] and result["verdict"] == "fail" and "50 of 100 requests" in result["msg"]


def test_balancers_that_cannot_be_read_are_no_data():
    action, _asked = door(
        options(on_failure="report"), lambda _number: {"failed": True, "msg": "lb1 cannot be reached."}
    )
    with pytest.raises(Unreachable, match="lb1 cannot be reached"):
        action._read_pool(action._task.args, True)
    result = action.in_process(action._task.args)
    assert result["verdict"] == "inconclusive" and "lb1 cannot be reached" in result["sentence"]


def test_wrong_options_are_told_before_anything_is_asked():
    action, asked = door(options(pause=3), counted)
    assert "Unsupported parameters" in action.in_process(action._task.args)["msg"] and asked == []
