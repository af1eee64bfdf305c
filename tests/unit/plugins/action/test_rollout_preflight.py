# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rollout that Ansible was not given whole, as the playbooks find it; no host is there to be contacted."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import yaml
from ansible_collections.zero_downtime.deploy.plugins.action.rollout_preflight import ARGUMENT_SPEC
from ansible_collections.zero_downtime.deploy.plugins.modules import rollout_preflight
from ansible_collections.zero_downtime.deploy.plugins.plugin_utils.variables import kinds

ROLLING = "zero_downtime.deploy.rolling"
SHOP = {
    "rollout_service": "shop",
    "rollout_balancers": [{"name": "lb1", "provider": "haproxy", "socket": "/nonexistent/sock"}],
    "rollout_health": {"url": "http://{{ inventory_hostname }}.invalid/"},
}


@pytest.fixture
def run(tmp_path):
    """Run a playbook against hosts of the group `shop`; what it printed, which ended with a failure."""

    def run(*options, playbook=ROLLING, hosts=("app1", "app2"), of_host=None, others=(), code=2, **variables):
        shop = {"hosts": {name: {**(of_host or {}).get(name, {})} for name in hosts}, "vars": {**SHOP, **variables}}
        inventory = {"all": {"hosts": dict.fromkeys(others, {}), "children": {"shop": shop}}}
        (tmp_path / "inventory.yml").write_text(yaml.safe_dump(inventory), encoding="utf-8")
        given = ["-e", "rollout_hosts=shop", "-e", "rollout_version=r2"]
        line = [sys.executable, "-m", "ansible", "playbook", str(playbook), "-i", str(tmp_path / "inventory.yml"), *given, *options]
        env = {**os.environ, "ANSIBLE_HOME": str(tmp_path / "home"), "COLUMNS": "1000"}
        done = subprocess.run(line, capture_output=True, text=True, env=env, check=False, timeout=300, cwd=tmp_path)
        said = done.stdout + done.stderr
        assert done.returncode == code or (code is None and done.returncode), said
        return said

    return run


def test_the_documentation_is_the_specification():
    documented = yaml.safe_load(rollout_preflight.DOCUMENTATION)["options"]
    assert {name: {key: option[key] for key in ARGUMENT_SPEC[name]} for name, option in documented.items()} == ARGUMENT_SPEC


def test_the_variables_of_all_roles_are_known():
    found = kinds()
    assert found["rollout_health"].type == "dict" and found["release_restart_command"].elements == "str" and len(found) > 80


def test_all_that_is_wrong_is_told_at_once(run):
    said = run(
        "-e", "traffic_min_availble=3", "-e", "rollout_notices=hello",
        hosts=["app1", "app2", "web 03"], of_host={"app2": {"rollout_pool": "other"}}, others=["127.0.0.1"],
    )  # fmt: skip
    assert "traffic_min_availble is no variable of this collection. Is traffic_min_available meant?" in said
    assert "rollout_notices is text" in said and "Ansible reads 'web 03' as a pattern" in said
    assert "rollout_pool is not set for app1 and other for app2" in said and "has 127.0.0.1 and no localhost" in said
    assert "Nothing was contacted." in said and "Traceback" not in said


def test_a_limit_that_leaves_no_host_is_told(run):
    said = run("--limit", "db1", others=["db1"])
    assert "--limit db1 leaves none of the hosts that rollout_hosts matches (app1, app2). Nothing was contacted." in said


def test_every_playbook_begins_with_it(checkout):
    for name in ("rolling", "canary", "blue_green", "rollback", "promote", "status"):
        first = yaml.safe_load((checkout / "playbooks" / f"{name}.yml").read_text(encoding="utf-8"))[0]
        assert first["tasks"][0]["ansible.builtin.import_tasks"] == "../roles/rollout/tasks/preflight.yml", name
    task = yaml.safe_load((checkout / "roles/rollout/tasks/preflight.yml").read_text(encoding="utf-8"))[0]["block"][0]
    assert "zero_downtime.deploy.rollout_preflight" in task and task["tags"] == "always"


def test_tags_would_run_a_part_of_it(run):
    said = run("--tags", "deploy")
    assert "--tags deploy would run a part of this playbook alone" in said and "Nothing was contacted." in said


def test_one_whose_import_has_a_tag_is_left_out_by_it(run, tmp_path):
    site = tmp_path / "site.yml"
    site.write_text(yaml.safe_dump([
        {"name": "Roll", "ansible.builtin.import_playbook": ROLLING, "tags": "shop"},
        {"name": "Other", "hosts": "shop", "gather_facts": False, "tasks": [
            {"name": "Say it", "ansible.builtin.debug": {"msg": "the other play ran"}, "tags": "db"}
        ]},
    ]), encoding="utf-8")  # fmt: skip
    assert "the other play ran" in run("--tags", "db", playbook=site, code=0)


def test_options_that_leave_out_tasks_are_refused(run):
    said = run("--start-at-task", "Finish", code=None)
    assert "--start-at-task leaves out tasks of a rollout" in said and "Nothing was contacted." in said
