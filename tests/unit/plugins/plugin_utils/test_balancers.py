# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's door: which balancers are visited together, and what comes back from them."""

from __future__ import annotations

import os
import time

import pytest

from ansible_collections.zero_downtime.deploy.plugins.action import pool_info, pool_member
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.registry import by_pool
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import DeployError
from ansible_collections.zero_downtime.deploy.plugins.plugin_utils import on_host
from ansible_collections.zero_downtime.deploy.plugins.plugin_utils.balancers import BalancerAction, group_by_place

HAPROXY = {"provider": "haproxy", "timeout": 5.0}


def test_balancers_are_grouped_by_the_host_they_are_reached_from():
    entries = [
        {**HAPROXY, "host": "lb1", "socket": "/a", "address": None, "name": None},
        {**HAPROXY, "host": None, "address": "h:1", "socket": None, "name": None},
        {**HAPROXY, "host": "lb1", "socket": "/b", "address": None, "name": "second"},
        {**HAPROXY, "host": "lb2", "socket": "/a", "address": None, "name": None},
    ]
    pooled = {**HAPROXY, "pool": ["app"]}
    assert group_by_place(by_pool(entries, ["app"])) == {
        "lb1": [{**pooled, "socket": "/a", "name": "lb1"}, {**pooled, "socket": "/b", "name": "second"}],
        "": [{**pooled, "address": "h:1", "name": "h:1"}],
        "lb2": [{**pooled, "socket": "/a", "name": "lb2"}],
    }


def test_a_failed_place_keeps_its_reason_and_its_facts():
    outcome = BalancerAction._as_outcome(
        {
            "failed": True,
            "msg": "Too few.",
            "changed": True,
            "minimum": 2,
            "invocation": {},
            "_ansible_no_log": False,
            "exception": "x",
        }
    )
    assert isinstance(outcome, DeployError)
    assert (outcome.message, outcome.facts) == ("Too few.", {"changed": True, "minimum": 2})


def test_a_module_that_broke_says_why():
    outcome = BalancerAction._as_outcome(
        {"failed": True, "msg": "MODULE FAILURE", "module_stderr": "SyntaxError\n", "rc": 1}
    )
    assert outcome.message == "MODULE FAILURE SyntaxError"
    assert BalancerAction._as_outcome({"failed": True}).message == "No reason was given."


def test_a_place_that_succeeded_is_its_result():
    assert BalancerAction._as_outcome({"changed": True, "balancers": []}) == {"changed": True, "balancers": []}


def member_action(**args):
    action = object.__new__(pool_member.ActionModule)
    action._task = type("Task", (), {"args": {"pool": "app", "members": ["m1"], "state": "disabled", **args}})()
    return action


def result(changed=True, after="disabled"):
    was = {"name": "m1", "address": "192.0.2.1:80", "state": "enabled", "weight": 40, "health": "up"}
    member = {"name": "m1", "before": was, "after": {**was, "state": after}}
    return {"changed": changed, "balancers": [{"name": "lb1", "members": [member]}]}


def test_what_is_put_back_is_what_was_before_without_cutting_anybody():
    assert member_action().put_back_args(result()) == {
        "members": ["m1"],
        "state": "as_before",
        "before": {"lb1": {"m1": {"state": "enabled", "weight": 40}}},
        "addresses": {},
        "min_available": "0",
        "health": "none",
    }


def test_who_was_removed_is_added_again_where_it_was():
    assert member_action(state="absent").put_back_args(result(after="absent"))["addresses"] == {"m1": "192.0.2.1:80"}


def test_how_work_ends_is_the_tasks_own_choice_on_the_way_back_too():
    told = {"on_drain_timeout": "cut", "drain_timeout": 3, "drain_wait": 2, "accept_errors": True}
    args = member_action(**told).put_back_args(result())
    assert {key: args[key] for key in told} == told


def test_where_nothing_changed_nothing_is_put_back():
    assert member_action().put_back_args(result(changed=False)) is None
    assert object.__new__(pool_info.ActionModule).put_back_args(result()) is None


def die():
    os._exit(3)


def test_jobs_run_in_processes_of_their_own_and_answer_in_order():
    jobs = [lambda number=number: {"number": number, "pid": os.getpid()} for number in range(4)]
    results = on_host.side_by_side(jobs)
    assert [each["number"] for each in results] == [0, 1, 2, 3]
    assert len({each["pid"] for each in results} | {os.getpid()}) == 5


@pytest.mark.parametrize("at_once", [1, 3])
def test_no_more_jobs_run_at_once_than_may(at_once, tmp_path):
    def job(number):
        (tmp_path / str(number)).touch()
        seen = len(list(tmp_path.iterdir()))
        time.sleep(0.05)  # so that others would be seen beside it
        (tmp_path / str(number)).unlink()
        return {"number": number, "seen": seen}

    results = on_host.side_by_side([lambda number=number: job(number) for number in range(8)], at_once)
    assert [each["number"] for each in results] == list(range(8))
    assert max(each["seen"] for each in results) <= at_once


def test_a_single_job_runs_here():
    assert on_host.side_by_side([lambda: {"pid": os.getpid()}]) == [{"pid": os.getpid()}]


def test_a_job_that_breaks_or_dies_is_a_failure_and_the_others_are_heard():
    results = on_host.side_by_side([lambda: {"ok": True}, lambda: 1 // 0, die])
    assert results[0] == {"ok": True}
    assert results[1]["failed"] and results[1]["msg"].startswith("ZeroDivisionError")
    assert results[2]["failed"] and "ended without an answer" in results[2]["msg"]


class Text(str):
    """As Ansible marks text."""


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ({Text("a"): [Text("b"), 1, True, None, 1.5]}, {"a": ["b", 1, True, None, 1.5]}),
        ((1, 2), [1, 2]),
        ({"a": {"b": Text("c")}}, {"a": {"b": "c"}}),
        (os.sep.__class__, str(str)),
    ],
)
def test_what_travels_between_processes_is_plain(value, plain):
    made = on_host._plain(value)
    assert made == plain
    assert not isinstance(made, dict) or {type(key) for key in made} == {str}


def test_only_the_engines_own_variables_of_a_host_are_looked_at():
    class HostVars(dict):
        """A secret that must not be templated where it is not asked for."""

        def __getitem__(self, name):
            assert name != "vault_password"
            return super().__getitem__(name)

    host_vars = HostVars(ansible_host="192.0.2.1", inventory_hostname="lb1", vault_password="x", ansible_become=True)
    assert on_host._engine_vars(host_vars) == {
        "ansible_host": "192.0.2.1",
        "inventory_hostname": "lb1",
        "ansible_become": True,
    }


@pytest.mark.parametrize(
    ("entry", "needs"),
    [
        ({"socket": "/run/haproxy/admin.sock"}, True),
        ({"file": "/etc/nginx/conf.d/shop.conf"}, True),
        ({"read": ["/usr/local/lib/lb/inhouse.py", "read"]}, True),
        ({"address": "lb1:9999"}, False),
        ({"url": "http://lb1:2019", "socket": None}, False),
    ],
)
def test_privileges_matter_where_the_machine_itself_is_touched(entry, needs):
    args = {"balancers": [{"address": "lb2:9999"}, entry]}
    assert member_action().needs_privilege(args) is needs
