# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CONTRIBUTING, "Add a load balancer in an hour", done: two files and a declaration, and nothing else of the collection is touched."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[2]
LEFT_OUT = shutil.ignore_patterns(
    "build", ".venv", ".git", "__pycache__", ".*_cache", ".hypothesis", ".ansible", ".cache"
)


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    """The collection, with Toy as CONTRIBUTING says it."""
    path = tmp_path_factory.mktemp("collections")
    top = path / "ansible_collections" / "zero_downtime" / "deploy"
    shutil.copytree(CHECKOUT, top, ignore=LEFT_OUT)
    drivers = top / "plugins" / "module_utils" / "_balancers"
    rigs = top / "tests" / "integration" / "conformance" / "rigs"
    shutil.copy(HERE / "driver.py", drivers / "toy.py")
    with open(drivers / "declarations.py", "a", encoding="utf-8") as declarations:
        declarations.write("\n\n" + (HERE / "declaration.txt").read_text(encoding="utf-8"))
    shutil.copy(HERE / "rig.py", rigs / "toy.py")
    conftest = rigs.parent / "conftest.py"
    text = conftest.read_text(encoding="utf-8")
    assert "conformance.rigs import (\n" in text and "PROVIDERS = (\n" in text
    text = text.replace("conformance.rigs import (\n", "conformance.rigs import (\n    toy,\n")
    conftest.write_text(text.replace("PROVIDERS = (\n", "PROVIDERS = (\n    toy,\n"), encoding="utf-8")
    return path


def run(collection, *words, timeout=500, **environment):
    """Run a program with that collection; what it printed."""
    top = collection / "ansible_collections" / "zero_downtime" / "deploy"
    env = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PYTEST_"))}
    env.update(
        ANSIBLE_COLLECTIONS_PATH=str(collection), ANSIBLE_HOME=str(collection / "home"), PYTHONPATH=str(collection)
    )
    done = subprocess.run(
        [sys.executable, *words],
        cwd=top,
        env={**env, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    return done.stdout


def test_it_is_documented_and_in_the_table(collection):
    page = json.loads(run(collection, "-m", "ansible", "doc", "--json", "zero_downtime.deploy.pool_member"))
    options = page["zero_downtime.deploy.pool_member"]["doc"]["options"]["balancers"]["suboptions"]
    assert "toy" in options["provider"]["choices"]
    assert (
        "For O(balancers[].provider=toy). Path of the file with the pools. Required." in options["file"]["description"]
    )
    assert "| `toy` | no | yes | 1 to 100 | no | no | no | no | yes | yes |" in run(collection, "scripts/providers.py")


def test_it_passes_the_whole_conformance_suite(collection):
    said = run(collection, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/integration/conformance", "-k", "toy")
    assert " passed" in said and "failed" not in said


def test_both_doors_lead_to_it(collection, tmp_path):
    """The controller's own process, and a module that is packed for a host."""
    (tmp_path / "toy.json").write_text('{"app": {}}')
    entry = {"provider": "toy", "file": str(tmp_path / "toy.json"), "url": "http://127.0.0.1:1", "timeout": 1}
    tasks = [
        {"zero_downtime.deploy.pool_info": {"balancers": [place], "pool": "app"}, "ignore_errors": True}
        for place in (entry, {**entry, "host": "lb"})
    ]
    (tmp_path / "play.json").write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    inventory = tmp_path / "inventory.json"
    host = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    inventory.write_text(json.dumps({"all": {"hosts": {"lb": host}}}))
    said = run(collection, "-m", "ansible", "playbook", "-i", str(inventory), str(tmp_path / "play.json"))
    failed = [line for line in said.splitlines() if line.startswith("fatal")]
    assert ["Toy's page at http://127.0.0.1:1: connection refused" in line for line in failed] == [True, True], said
