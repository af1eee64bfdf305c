# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shop of the flows, for the live view; and small rollouts that touch nothing, for what needs no shop."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

HERE = Path(__file__).resolve().parent
for directory in (HERE, HERE.parents[1] / "support"):
    if str(directory) not in sys.path:
        sys.path.insert(0, str(directory))

_spec = importlib.util.spec_from_file_location("zero_downtime_flows_conftest", HERE.parent / "flows" / "conftest.py")
_flows = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_flows)
standing, core, shop, hooks = _flows.standing, _flows.core, _flows.shop, _flows.hooks

import runs
import shops

LIVE = "zero_downtime.deploy.live"


@pytest.fixture
def config(tmp_path):
    """Write an ansible.cfg that has the view beside the usual output, in place of it, or not at all."""

    def write(how=None, name=LIVE):
        path = tmp_path / f"{how}.cfg"
        path.write_text(
            f"[defaults]\n{f'{how} = {name}' if how else ''}\ncallback_plugins = {HERE / 'callback'}\nlocalhost_warning = false\n"
            "nocows = true\npipelining = true\n[inventory]\ninventory_unparsed_warning = false\n"
        )
        return path

    return write


@pytest.fixture
def play(tmp_path, config):
    """Run a playbook of these tasks on localhost: `play([task, …], config)`."""

    def run(tasks, given_config=None, *words, core="core-2.19", in_terminal=False, wait=True, **variables):
        (tmp_path / "play.yml").write_text(
            yaml.safe_dump([{"name": "A play", "hosts": "localhost", "gather_facts": False, "tasks": tasks}])
        )
        line = [str(shops.commands(core) / "ansible-playbook"), str(tmp_path / "play.yml"), *words]
        given = runs.environment(
            ANSIBLE_CONFIG=str(given_config or config()),
            ANSIBLE_HOME=str(tmp_path / "home"),
            ANSIBLE_LOCAL_TEMP=str(tmp_path / "tmp"),
            **variables,
        )
        if in_terminal:
            kind = type("Run", (runs.InTerminal,), {"MORE": {**runs.InTerminal.MORE, **variables}})
            made = kind(line, tmp_path / "log", given, tmp_path)
            return made.wait() if wait else made
        return subprocess.run(line, env=given, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)

    return run


@pytest.fixture
def rollout(tmp_path):
    """The tasks of a rollout that touches nothing: what it writes into the journal, with these tasks in its only batch."""

    def tasks(*inside, **keywords):
        def journal(action, **args):
            return {
                "zero_downtime.deploy.rollout": {
                    "action": action,
                    "service": "shop",
                    "path": str(tmp_path / "journal"),
                    **args,
                },
                "register": "begun" if action == "begin" else "recorded",
                **keywords,
            }

        lease = {"id": "{{ begun.id }}", "fence": "{{ begun.fence }}"}
        plan = {"__rollout": {"groups": [["app1"]], "lacks": {"soak": "never"}}}
        return [
            journal("begin", version="2.0", strategy="rolling"),
            {"ansible.builtin.set_fact": plan, "delegate_to": "localhost", "delegate_facts": True},
            journal("record", event="batch_begun", hosts=["app1"], **lease),
            *inside,
            {"ansible.builtin.set_fact": {"__rolling_reached": ["app1"]}},
            journal("finish", outcome="succeeded", summary={"lines": ["All is well."], "failed": False}, **lease),
        ]

    return tasks
