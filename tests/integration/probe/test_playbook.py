# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Both doors, as a playbook opens them: the prober outlives its task, and not its playbook."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import yaml

from ansible_collections.zero_downtime.deploy.plugins.module_utils._probe.mandate import OWNER_GONE
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs.base import until

NAME = "zero_downtime.deploy.traffic_probe"
# A module is shipped where another user is asked for, be it the same one.
SHIPPED = {"become": True, "become_method": "ansible.builtin.su", "become_user": "root"}


class Run:
    """A run of ansible-playbook."""

    def __init__(self, directory, tasks, check=False):
        self.directory = directory
        self.told = directory / "told.json"
        named = [{"name": f"Task {number}", "register": f"told_{number}", **task} for number, task in enumerate(tasks)]
        results = ", ".join(task["register"] for task in named)
        tell = {
            "ansible.builtin.copy": {
                "content": f"{{{{ [{results}] | to_json }}}}",
                "dest": str(self.told),
                "mode": "0600",
            },
            "check_mode": False,
            "diff": False,
        }
        host = {"hosts": "localhost", "gather_facts": False, "connection": "local"}
        more = {"vars": {"ansible_python_interpreter": sys.executable}}
        playbook = directory / "play.yml"
        playbook.write_text(yaml.safe_dump([{**host, **more, "tasks": [*named, tell]}]), encoding="utf-8")
        environment = {**os.environ, "ANSIBLE_LOCALHOST_WARNING": "false", "ANSIBLE_HOME": str(directory / "home")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ansible", "playbook", str(playbook), *["--check"] * check],
            env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def results(self):
        output = self.process.communicate(timeout=120)[0]
        assert self.process.returncode == 0, output
        return json.loads(self.told.read_text(encoding="utf-8"))


@pytest.fixture
def url(members):
    return f"http://127.0.0.1:{members[0].port}/"


@pytest.fixture
def task(probe):
    """Makes a task of the module."""

    def make(state, keywords=None, **options):
        return {NAME: {"name": "shop", "path": str(probe.path), "state": state, **options}, **(keywords or {})}

    return make


@pytest.mark.parametrize("door", ["in the controller's process", "as a module"])
def test_a_playbook_that_probes(tmp_path, probe, url, task, door):
    keywords = {}
    if door == "as a module":
        if os.getuid() != 0:
            pytest.skip("needs root, to become somebody")
        keywords = SHIPPED
    began = task(
        "started", keywords, urls=[url], rate=50, version_header="X-Version", headers={"X-Secret": "top-secret"}
    )
    enough = {"until": "read.felt.requests >= 60", "retries": 60, "delay": 1, "register": "read", **keywords}
    started, again, read, stopped, over = Run(
        tmp_path, [began, began, task("read", enough), task("stopped", keywords), task("stopped", keywords)]
    ).results()
    assert [one["changed"] for one in (started, again, read, stopped, over)] == [True, False, False, True, False]
    assert [one["running"] for one in (started, again, read, stopped, over)] == [True, True, True, False, False]
    assert stopped["felt"]["versions"] == {"m1": stopped["felt"]["requests"]} and stopped["felt"]["failed"] == 0
    assert stopped["felt"]["requests"] >= 60 and over["felt"] == stopped["felt"]
    assert "top-secret" not in json.dumps([started, again, read, stopped])


def test_check_mode_sends_nothing(tmp_path, probe, url, task):
    promised, stopped = Run(tmp_path, [task("started", urls=[url]), task("stopped")], check=True).results()
    assert (promised["changed"], promised["running"], stopped["changed"]) == (True, False, False)
    assert not probe.path.exists()


def test_the_prober_ends_with_the_playbook(tmp_path, probe, url, task):
    Run(tmp_path, [task("started", urls=[url])]).results()
    until("the prober has ended", lambda: probe.run("read")["ended"], lambda why: why == OWNER_GONE)


def test_the_prober_ends_with_a_playbook_that_is_killed(tmp_path, probe, url, task):
    go_on = tmp_path / "never"
    wait = {"ansible.builtin.wait_for": {"path": str(go_on), "timeout": 60}}
    run = Run(tmp_path, [task("started", urls=[url]), wait])
    try:
        until("the prober runs", lambda: probe.run("read")["running"])
        probe.wait_for(10)
        assert probe.run("read")["ended"] is None
    finally:
        run.process.kill()
        run.process.wait()
        go_on.touch()
    until("the prober has ended", lambda: probe.run("read")["ended"], lambda why: why == OWNER_GONE)
    run.process.stdout.close()


def test_the_prober_may_outlive_the_playbook(tmp_path, probe, url, task):
    Run(tmp_path, [task("started", urls=[url], owner_pid=0)]).results()
    probe.wait_for(10)
    assert probe.run("stopped")["changed"]
