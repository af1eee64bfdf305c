# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's fleet behind one balancer, and playbooks that are run on it under load."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
DEMO = CHECKOUT / "examples" / "demo"
for directory in (DEMO, CHECKOUT / "tests" / "support" / "app"):
    if str(directory) not in sys.path:
        sys.path.insert(0, str(directory))

import fleet
from build_release import build_release

HOSTS = fleet.HOSTS
BLUE, GREEN = HOSTS[:3], HOSTS[3:]
LONGEST = 600.0  # seconds; a playbook that takes longer hangs
REQUESTS = 5000  # at the least, under each load
RATE = 150.0  # requests a second


class Shop:
    """The fleet behind one balancer, and the playbooks that are run on it."""

    def __init__(self, work, provider):
        self.work = work
        self.fleet = fleet.Fleet(work, provider)
        self.fleet.prepare()
        build_release("3.1", self.fleet.run / "releases", "fails 20")
        inventory = json.loads((self.fleet.run / "inventory.json").read_text())
        for host, variables in inventory["shop"]["hosts"].items():
            variables["blue_green_color"] = "blue" if host in BLUE else "green"
        (self.fleet.run / "inventory.json").write_text(json.dumps(inventory))
        _title, self.variables = self.fleet.start_balancer()

    def play(self, playbook, **variables):
        """Run a playbook; returns its exit code and what it printed."""
        given = {
            "demo_socket": str(self.fleet.socket),
            "demo_run": str(self.fleet.run),
            "demo_scripts": str(DEMO),
            "rollout_hosts": "shop",
            "rolling_batches": [3],
            "rolling_soak": 0.5,
            **self.variables,
            **variables,
        }
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "DEMO_"))}
        environment.update(
            ANSIBLE_COLLECTIONS_PATH=str(CHECKOUT / "build" / "dev"),
            ANSIBLE_CONFIG=str(DEMO / "ansible.cfg"),
            ANSIBLE_HOME=str(self.work / "ansible"),
            ANSIBLE_NOCOLOR="true",
            PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        )
        line = ["ansible-playbook", playbook, "-i", str(self.fleet.run / "inventory.json"), "-e", json.dumps(given)]
        done = subprocess.run(
            line,
            env=environment,
            cwd=self.work,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=LONGEST,
        )
        return done.returncode, done.stdout + done.stderr

    def good(self, playbook, **variables):
        code, said = self.play(playbook, **variables)
        assert code == 0, said[-4000:]
        return said

    def bad(self, playbook, **variables):
        code, said = self.play(playbook, **variables)
        assert code not in (0, None), said[-4000:]
        return said

    @contextmanager
    def under_load(self, name, clients=""):
        """Mixed clients while the block runs; yields a dictionary that is their report when it has ended.

        :param clients: of which kinds, as the load's option takes them.
        """
        report, began = {}, time.time()
        self.fleet.start_load(name, REQUESTS, LONGEST, RATE, clients)
        try:
            fleet.until(self.fleet.load_files[0]["samples"].exists, "the load does not begin")
            yield report
        finally:
            report.update(self.fleet.finish_load((began, time.time()))[0])

    def serving(self):
        """Who is in traffic."""
        said = self.good("zero_downtime.deploy.status")
        return [host for host in HOSTS if f"  {host}  enabled" in said]
