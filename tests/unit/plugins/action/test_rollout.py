# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who asks, and the proof of a dead owner against real processes."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.zero_downtime.deploy.plugins.action import rollout
from ansible_collections.zero_downtime.deploy.plugins.module_utils._journal.owner import proof_of_death


@pytest.fixture
def sleeper():
    """A process that lives until it is killed."""
    process = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.stdin.close()
    process.wait()


def owner_of(process):
    return dict(rollout.this_run({}), pid=process.pid, process_started=rollout.look(process.pid)[1])


def test_this_run_describes_a_living_process():
    here = rollout.this_run({})
    assert here["pid"] == os.getpid() and rollout.look(here["pid"]) == (True, here["process_started"])
    assert here["name"] and here["controller"]
    assert proof_of_death(here, here, rollout.look) is None


@pytest.mark.parametrize(
    ("etcd", "needed"),
    [(None, True), ({}, True), ({"urls": ["x"]}, False), ({"urls": ["x"], "client_cert": "c", "client_key": "k"}, True)],
)
def test_files_and_keys_care_who_reads_them(etcd, needed):
    assert rollout.ActionModule.needs_privilege(None, {"action": "read", "etcd": etcd}) is needed


def test_an_awx_job_is_named():
    assert rollout.person({"awx_job_id": 42}) == "AWX job 42"
    assert rollout.person({"tower_job_id": "7"}) == "AWX job 7"


def test_a_user_without_a_name(monkeypatch):
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(rollout.os, "getuid", lambda: 54321)
    assert rollout.person({}) == "user 54321"


def _tell_main_process(queue):
    queue.put(rollout.main_process())


def test_the_main_process_is_the_workers_parent():
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    worker = context.Process(target=_tell_main_process, args=(queue,))
    worker.start()
    worker.join()
    assert queue.get() == os.getpid()


@pytest.mark.skipif(not Path("/proc/self/ns/pid").exists(), reason="proof needs a kernel that tells about processes")
def test_a_killed_process_is_proven_dead_as_a_zombie_and_afterwards(sleeper):
    holder, here = owner_of(sleeper), rollout.this_run({})
    assert proof_of_death(holder, here, rollout.look) is None
    sleeper.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert proof_of_death(holder, here, rollout.look)
    sleeper.wait()
    assert "no longer runs" in proof_of_death(holder, here, rollout.look)


def test_a_process_id_out_of_range_is_no_proof():
    assert rollout.look(2**70) == (True, None)


# One run of Ansible that begins and, when told so, stays until it is killed.
PLAYBOOK = """
- hosts: localhost
  gather_facts: false
  connection: local
  tasks:
    - zero_downtime.deploy.rollout:
        action: begin
        service: shop
        path: "{{ state }}"
        version: "{{ version | default('2') }}"
        strategy: rolling
      register: begun
    - ansible.builtin.copy:
        content: "{{ begun | to_json }}"
        dest: "{{ result }}"
        mode: "0600"
    - ansible.builtin.wait_for:
        path: "{{ result }}.go"
        timeout: 120
      when: stay is defined
"""


class Controller:
    """Runs of ansible-playbook against one directory."""

    def __init__(self, path):
        self.path = path
        self.playbook = path / "play.yml"
        self.playbook.write_text(PLAYBOOK)
        self.environment = dict(
            os.environ, PYTHONPATH=os.pathsep.join(sys.path), ANSIBLE_LOCALHOST_WARNING="false",
            ANSIBLE_HOME=str(path / "home"),
            ANSIBLE_COLLECTIONS_PATH=os.environ.get("ANSIBLE_COLLECTIONS_PATH", _collections()),
        )

    def start(self, name, *options):
        result = self.path / name
        command = [
            sys.executable, "-m", "ansible", "playbook", str(self.playbook),
            "-e", f"state={self.path / 'state'}", "-e", f"result={result}", *options,
        ]
        return subprocess.Popen(
            command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def run(self, name, *options):
        process = self.start(name, *options)
        output = process.communicate()[0]
        result = self.path / name
        return process.returncode, output, json.loads(result.read_text()) if result.exists() else None


def _collections():
    return str(Path(rollout.__file__).absolute().parents[5])


def test_a_killed_runs_lease_is_taken_at_once_and_a_living_ones_is_not(tmp_path):
    controller = Controller(tmp_path)
    first = controller.start("first", "-e", "stay=true")
    try:
        output = []
        for line in first.stdout:
            output.append(line)
            if "TASK [ansible.builtin.wait_for]" in line:
                break
        else:
            pytest.fail("".join(output))
        held = json.loads((tmp_path / "first").read_text())
        assert held["lease"]["owner"]["pid"] == first.pid

        code, said, result = controller.run("second")
        assert code == 2 and result is None
        assert "is held by" in said and f"(process {first.pid})" in said and "Traceback" not in said

        first.kill()
        first.wait()
        code, said, _nothing = controller.run("checked", "--check")
        assert code == 0, said
        assert json.loads((tmp_path / "state" / "shop" / "lease.json").read_text())["owner"]["pid"] == first.pid
        code, said, result = controller.run("third")
    finally:
        # The task that outlives the killed run waits for this file, and ends.
        (tmp_path / "first.go").write_text("")
        first.kill()
        first.stdout.close()
        first.wait()
    assert code == 0, said
    assert result["resumed"] and result["fence"] == held["fence"] + 1 and result["id"] == held["id"]
    assert result["taken_over_from"]["reason"] == "dead"
    assert f"process {first.pid} no longer runs" in result["taken_over_from"]["proof"]
