# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom the plays of the collection are for, and beside which playbook they stand."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.errors import AnsibleLookupError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from ansible_collections.zero_downtime.deploy.plugins.lookup import rollout_hosts

GROUPS = {"groups": {"all": ["a", "b", "c"], "shop": ["b", "a"], "ungrouped": ["c"]}}


@pytest.fixture
def hosts(monkeypatch, tmp_path):
    """`hosts(*terms, **options)`, from a directory that is nobody's project."""
    monkeypatch.chdir(tmp_path)
    loader = DataLoader()

    def run(*terms, cli=None, limit=None, **options):
        monkeypatch.setattr(rollout_hosts.context, "CLIARGS", cli or {})
        lookup = rollout_hosts.LookupModule(loader=loader, templar=Templar(loader))
        return lookup.run([*terms], variables={**GROUPS, **({"ansible_limit": limit} if limit else {})}, **options)

    run.loader = loader
    return run


def test_where_no_host_is_meant_any_will_do_to_say_so(hosts):
    assert sorted(hosts("shop")) == sorted(hosts(["a", "b"])) == ["a", "b"]
    assert hosts("") == hosts("nobody") == hosts("shop", limit="c") == ["all:localhost"]
    assert sorted(hosts("shop", limit="a,c")) == sorted(hosts("shop", limit="@retry")) == ["a", "b"]


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
