# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom the plays of the collection are for, and beside which playbook they stand."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.errors import AnsibleLookupError
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.lookup.inventory_hostnames import LookupModule as InventoryHostnames
from ansible.template import Templar
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.preflight import misread_names
from ansible_collections.zero_downtime.deploy.plugins.lookup import rollout_hosts

GROUPS = {"all": ["a", "b", "c"], "shop": ["b", "a"], "ungrouped": ["c"]}


@pytest.fixture
def hosts(monkeypatch, tmp_path):
    """`hosts(*terms, **options)`, from a directory that is nobody's project."""
    monkeypatch.chdir(tmp_path)
    loader = DataLoader()

    def run(*terms, cli=None, limit=None, groups=None, **options):
        monkeypatch.setattr(rollout_hosts.context, "CLIARGS", cli or {})
        lookup = rollout_hosts.LookupModule(loader=loader, templar=Templar(loader))
        known = {"groups": groups or GROUPS}
        return lookup.run([*terms], variables={**known, **({"ansible_limit": limit} if limit else {})}, **options)

    def found_by(name, groups):
        lookup = InventoryHostnames(loader=loader, templar=Templar(loader))
        return [str(each) for each in lookup.run([name], variables={"groups": groups})]

    run.loader, run.found_by = loader, found_by
    return run


def test_where_no_host_is_meant_any_will_do_to_say_so(hosts, tmp_path):
    assert sorted(hosts("shop")) == sorted(hosts(["a", "b"])) == ["a", "b"]
    assert hosts("") == hosts("nobody") == hosts("shop", limit="c") == ["all:localhost"]
    retry = tmp_path / "retry"
    retry.write_text("a\nc\n")
    assert sorted(hosts("shop", limit="a,c")) == sorted(hosts("shop", limit=f"@{retry}")) == ["a", "b"]
    retry.write_text("c\n")
    assert hosts("shop", limit=f"@{retry}") == ["all:localhost"]


def test_a_plan_keeps_its_order_and_nobody_is_nobody(hosts):
    assert hosts(planned=["b", "a"]) == ["b", "a"]
    assert hosts(planned=[]) == hosts("shop", ours=False) == ["localhost:!localhost"]


@pytest.mark.parametrize("option", ["start_at_task", "step"])
def test_options_that_leave_out_tasks_are_refused(hosts, option):
    with pytest.raises(AnsibleLookupError, match=f"--{option.replace('_', '-')} leaves out tasks.*Nothing was contacted"):
        hosts("shop", cli={option: "Finish"})


def test_the_play_stands_beside_the_playbook_of_the_project(hosts, tmp_path):
    site = tmp_path / "project" / "site.yml"
    site.parent.mkdir()
    site.touch()
    hosts("shop", cli={"args": [str(site)]})
    assert Path(hosts.loader.get_basedir()) == site.parent
    for own in ("zero_downtime.deploy.rolling", str(rollout_hosts.COLLECTION / "playbooks" / "rolling.yml")):
        hosts("shop", cli={"args": [own]})
        assert Path(hosts.loader.get_basedir()) == tmp_path


NAMES = [
    "app1", "app2", "app10", "web-1", "web_2", "shop", "db", "10.0.0.1", "a b", "a,b", "a:b",
    "fe80::1%eth0", "app[1]", "app*", "!app1", "&db", "~app",
]  # fmt: skip
PATTERNS = [
    "shop", "web", "all", "*", "app*", "app[0:9]", "~app.*", "shop:!web", "shop:&web", "web,db",
    "app1", "ungrouped", "nobody", "!shop", "shop[0]",
]  # fmt: skip


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shop=st.lists(st.sampled_from(NAMES), unique=True, max_size=5),
    web=st.lists(st.sampled_from(NAMES), unique=True, max_size=4),
    alone=st.lists(st.sampled_from(NAMES), unique=True, max_size=2),
    pattern=st.sampled_from(PATTERNS),
    limit=st.sampled_from(["", "", *PATTERNS]),
    order=st.randoms(use_true_random=False),
)
def test_the_hosts_that_are_rolled_are_those_of_the_pattern_each_once_or_it_is_refused(hosts, shop, web, alone, pattern, limit, order):
    inventory = InventoryManager(loader=hosts.loader, sources=[])
    for group, of_group in (("shop", shop), ("web", web), ("ungrouped", alone)):
        inventory.add_group(group)
        for name in of_group:
            inventory.add_host(name, group)
    inventory.reconcile_inventory()
    groups = inventory.get_groups_dict()
    expected = [host.name for host in inventory.get_hosts(pattern)]
    play = hosts(pattern, limit=limit, groups=groups)
    odd = misread_names(expected, groups, lambda name: hosts.found_by(name, groups))
    inventory.subset(limit or None)
    meant = [name for name in expected if name in {host.name for host in inventory.get_hosts("all")}]
    if odd or not meant:
        return  # the module rollout_preflight refuses it
    assert sorted(host.name for host in inventory.get_hosts(play)) == sorted(meant)
    order.shuffle(meant)
    assert [host.name for host in inventory.get_hosts(hosts(planned=meant, groups=groups))] == meant
