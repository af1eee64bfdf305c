# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running playbooks on this machine, through both doors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

HERE = Path(__file__).parent
CHECKOUT = HERE.parents[2]


class Run:
    """What a playbook did."""

    def __init__(self, process: subprocess.CompletedProcess, told: Path) -> None:
        self.output = process.stdout + process.stderr
        self.failed = process.returncode != 0
        self.tasks = [json.loads(line) for line in told.read_text().splitlines()] if told.exists() else []

    def __getitem__(self, name: str) -> dict:
        """The result of the last task called so, a role's name before it aside."""
        return [result for task, result in self.tasks if task.split(" : ")[-1] == name][-1]

    @property
    def ran(self) -> list[str]:
        """The names of the tasks that were not skipped."""
        return [task.split(" : ")[-1] for task, result in self.tasks if not result.get("skipped")]

    @property
    def message(self) -> str:
        """That of the task that failed."""
        return next(result["msg"] for task, result in reversed(self.tasks) if result.get("failed"))


@pytest.fixture(scope="session")
def collections(tmp_path_factory):
    """A directory to find the collection in."""
    path = tmp_path_factory.mktemp("collections")
    link = path / "ansible_collections" / "zero_downtime" / "deploy"
    link.parent.mkdir(parents=True)
    link.symlink_to(CHECKOUT)
    return path


@pytest.fixture
def play(tmp_path, collections):
    """Run tasks on a host that is this machine: ``play(tasks, check=..., shipped=..., python=..., **variables)``."""

    def run(tasks, check=False, shipped=False, python=sys.executable, **variables):
        playbook = [{"hosts": "all", "gather_facts": False, "vars": variables, "tasks": tasks}]
        (tmp_path / "play.yml").write_text(yaml.safe_dump(playbook))
        inventory = f"host ansible_connection=local ansible_python_interpreter={python}"
        if shipped:
            # Privilege escalation, if only to oneself, takes the module out of Ansible's own process.
            inventory += " ansible_become=true ansible_become_method=su"
        (tmp_path / "inventory").write_text(inventory)
        (tmp_path / "remote_tmp").mkdir(exist_ok=True)
        told = tmp_path / "told"
        told.unlink(missing_ok=True)
        process = subprocess.run(
            [
                str(Path(sys.executable).parent / "ansible-playbook"),
                "-i", "inventory", "play.yml", *(["--check", "--diff"] if check else []),
            ],  # fmt: skip
            cwd=tmp_path,
            env={
                **os.environ,
                "ANSIBLE_COLLECTIONS_PATH": str(collections),
                "ANSIBLE_CALLBACK_PLUGINS": str(HERE / "callback"),
                "ANSIBLE_CALLBACKS_ENABLED": "told",
                "ANSIBLE_REMOTE_TMP": str(tmp_path / "remote_tmp"),
                "ANSIBLE_INJECT_FACT_VARS": "false",
                "TOLD": str(told),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        found = Run(process, told)
        assert found.tasks, found.output
        # Whatever was shipped has been taken away again.
        assert os.listdir(tmp_path / "remote_tmp") == []
        return found

    return run
