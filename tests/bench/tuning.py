# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the settings that a user has are worth: one run each, 24 hosts in the lab, one setting changed at a time."""

from __future__ import annotations

from typing import Any

from comparison import Bench, over_ssh
from places import lab

BATCH = 8
# Ansible's own words for what examples/shop/ansible.cfg sets, with the values that Ansible has without it.
SETTINGS: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "as in examples/shop/ansible.cfg": ({}, {}),
    "forks = 5": ({"ANSIBLE_FORKS": "5"}, {}),
    "pipelining = false": ({"ANSIBLE_PIPELINING": "false"}, {}),
    "no ControlPersist": ({"ANSIBLE_SSH_ARGS": "-o ControlMaster=no"}, {}),
    "no ansible_python_interpreter": ({}, {"ansible_python_interpreter": "auto"}),
    "rolling_batches: [4]": ({}, {"rolling_batches": [4]}),
    "rolling_batches: [1, 25%, 50%]": ({}, {"rolling_batches": [1, "25%", "50%"]}),
    "rolling_batches: [1]": ({}, {"rolling_batches": [1]}),
}


def measure() -> dict[str, Any]:
    """Seconds, and seconds of CPU, of a rollout with each setting."""
    lab("up", "--apps", "24", "--balancers", "2")
    bench = Bench("tuning", BATCH, [], {})
    bench.floor()  # connections, caches
    told = {}
    for name, (environment, variables) in SETTINGS.items():
        cost = bench.ours(environment, **{"rollout_balancers": over_ssh(), **variables})
        told[name] = {"wall": round(cost.wall, 1), "cpu": round(cost.cpu, 1)}
        print(f"  {name:34} {cost.wall:6.1f} s, cpu {cost.cpu:5.1f} s", flush=True)
    return told
