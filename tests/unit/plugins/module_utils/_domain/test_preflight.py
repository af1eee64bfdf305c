# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a run before anything is contacted."""

from __future__ import annotations

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain import preflight
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.preflight import LEFT_OUT, REFUSED, RUNS, Kind

KNOWN = {"traffic_min_available", "traffic_drain_timeout", "canary_steps", "rolling_batches"}


@pytest.mark.parametrize(
    ("own", "run", "skip", "fate"),
    [
        ([], ["all"], [], RUNS),
        (["always"], [], [], RUNS),
        ([], ["all"], ["db"], RUNS),
        (["shop"], ["all"], ["db"], RUNS),
        ([], ["deploy"], [], REFUSED),
        ([], ["untagged"], [], REFUSED),
        (["shop"], ["tagged"], [], REFUSED),
        (["shop"], ["shop"], [], REFUSED),
        (["shop"], ["all", "never"], [], LEFT_OUT),
        (["shop"], ["db"], [], LEFT_OUT),
        (["shop"], ["all"], ["shop"], LEFT_OUT),
        ([], ["all"], ["step"], REFUSED),
        ([], ["all"], ["untagged"], REFUSED),
        (["shop"], ["all"], ["tagged"], REFUSED),
    ],
)
def test_a_playbook_is_whole_or_left_out_or_refused(own, run, skip, fate):
    assert preflight.tags(own, run, skip) == fate


def test_a_misspelt_name_is_told_with_the_nearest():
    names = ["traffic_min_availble", "traffic_drain_timeot", "canary_step", "rolling_batches", "release_notes_url", "release_owner_mail"]
    assert preflight.unknown_variables(names, KNOWN, ["release_owner_mail"]) == [
        "canary_step is no variable of this collection. Is canary_steps meant?",
        "release_notes_url is no variable of this collection. If it is your own, name it in rollout_accepted_variables.",
        "traffic_drain_timeot is no variable of this collection. Is traffic_drain_timeout meant?",
        "traffic_min_availble is no variable of this collection. Is traffic_min_available meant?",
    ]


def test_text_is_no_list_and_no_dictionary_and_is_not_shown():
    kinds = {"rollout_health": Kind("dict"), "rollout_gates": Kind("list", "dict"), "rolling_batches": Kind("list", "str")}
    kinds |= {"release_restart_command": Kind("list", "str"), "traffic_warmup": Kind("list", "int"), "rolling_soak": Kind("float")}
    values = {"rollout_health": '{"password": "s3cret"}', "rollout_gates": "[]", "rolling_batches": "1,2", "rolling_soak": "3"}
    told = preflight.misshapen({**values, "traffic_warmup": 10, "release_restart_command": "systemctl restart shop"}, kinds)
    assert [sentence.partition(":")[0] for sentence in told] == [
        "release_restart_command is text, and must be a list",
        "rollout_gates is text, and must be a list of dictionaries",
        "rollout_health is text, and must be a dictionary",
        "traffic_warmup is a number, and must be a list",
    ]
    assert "s3cret" not in str(told)
    assert preflight.misshapen({"rollout_health": {}, "rollout_gates": "", "traffic_warmup": [10]}, kinds) == []


def test_names_that_are_patterns_are_told():
    found = {"web 03": [], "a:b": ["a", "b"], "shop": ["a", "web-1"], "2001:db8::1": ["2001:db8::1"], "app[1]": ["app[1]"]}
    asked = []

    def found_by(pattern):
        asked.append(pattern)
        return found[pattern]

    (told,) = preflight.misread_names([*found, "web-1", "a.example.org"], ["all", "shop"], found_by)
    assert "Ansible reads 'web 03', 'a:b', 'shop' as a pattern" in told
    assert asked == [*found]  # plain names are not looked up


def test_what_must_be_the_same_for_all_hosts_is():
    one = {"rollout_balancers": [{"name": "lb1", "password": "s3cret"}], "rollout_member": "a", "release_path": "/a", "traffic_pool": "x"}
    two = {"rollout_balancers": [{"name": "lb2", "password": "s3cret"}], "rollout_member": "b", "release_path": "/b", "traffic_pool": "y"}
    (told,) = preflight.differing({"a": one, "b": one, "c": two})
    assert told.startswith("rollout_balancers is [lb1] for a and [lb2] for c, ") and "s3cret" not in told
    (told,) = preflight.differing({"a": {"rolling_soak": 1}, "b": {}})
    assert told.startswith("rolling_soak is 1 for a and not set for b, ")
    (told,) = preflight.differing({"a": {"rollout_etcd": {"password": "x"}}, "b": {"rollout_etcd": {"password": "y"}}})
    assert told.startswith("rollout_etcd is a dictionary of password for a and another one for b, ")
    assert preflight.differing({"a": one, "b": one}) == preflight.differing({}) == []


def test_the_controller_is_localhost():
    assert preflight.controllers_name("localhost") == []
    assert "has 127.0.0.1 and no localhost" in preflight.controllers_name("127.0.0.1")[0]


def test_hosts_beside_the_service_are_in_the_inventory():
    values = {
        "rollout_journal_host": "bastion",
        "rollout_probe": {"from": "localhost"},
        "rollout_balancers": [{"name": "lb1", "host": "lb1"}, {"host": "lb2"}, {"socket": "/run/sock"}],
    }
    assert preflight.missing_hosts(preflight.named_hosts(values), ["lb1", "app1"]) == [
        "rollout_journal_host is bastion, and the inventory has no such host: add it, or correct the name.",
        "`host` of the balancer lb2 is lb2, and the inventory has no such host: add it, or correct the name.",
    ]
    assert preflight.named_hosts({"rollout_balancers": "lb1", "rollout_probe": "x"}) == {}
