# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The door, and that its documentation says what it takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import yaml
from ansible_collections.zero_downtime.deploy.plugins.action.rollout_report import ActionModule
from ansible_collections.zero_downtime.deploy.plugins.modules import rollout_report
from ansible_collections.zero_downtime.deploy.tests.support.records import samples


def test_the_documentation_is_the_specification():
    documented = yaml.safe_load(rollout_report.DOCUMENTATION)["options"]
    spec = ActionModule.ARGUMENT_SPEC
    assert set(documented) == set(spec)
    for name, option in spec.items():
        assert (documented[name]["type"], documented[name].get("required", False)) == (
            option["type"],
            option.get("required", False),
        )


def test_it_runs_on_the_controller_whatever_the_host(tmp_path):
    """No host is contacted: the inventory's is not there at all."""
    (tmp_path / "record.json").write_text(json.dumps(samples.rolled_back()), encoding="utf-8")
    task = {
        "name": "Write",
        "zero_downtime.deploy.rollout_report": {
            "record": "{{ lookup('ansible.builtin.file', '" + str(tmp_path / "record.json") + "') | from_json }}",
            "directory": str(tmp_path / "reports"),
        },
    }
    (tmp_path / "play.yml").write_text(
        yaml.safe_dump([{"hosts": "all", "gather_facts": False, "become": True, "tasks": [task]}]), encoding="utf-8"
    )
    (tmp_path / "inventory.yml").write_text("all: {hosts: {nowhere.invalid: {}}}\n", encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "ansible",
        "playbook",
        "-i",
        str(tmp_path / "inventory.yml"),
        str(tmp_path / "play.yml"),
    ]
    env = {**os.environ, "ANSIBLE_HOME": str(tmp_path / "home")}
    runs = [
        subprocess.run([*command, *more], capture_output=True, text=True, env=env, check=False, timeout=120)
        for more in (["--check"], [], [])
    ]
    assert [run.returncode for run in runs] == [0, 0, 0], runs[0].stdout + runs[0].stderr
    assert ["changed=1" in run.stdout for run in runs] == [True, True, False]
    (written,) = (tmp_path / "reports").glob("*.json")
    assert json.loads(written.read_text(encoding="utf-8")) == samples.rolled_back()
