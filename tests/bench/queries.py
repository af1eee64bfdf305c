# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What it costs to look for other pools, former workers and the balancer's own timing: a pool of 1,000 members on four HAProxy.

A batch of 100 members is drained and brought back with these queries and without them, round by round in turn.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from statistics import median
from typing import Any

from balancer import HAProxy
from fleet import BALANCERS, CHECK_PORT, CONFIGURATION
from places import CHECKOUT, OUT

SIZE, BATCH = 1000, 100
SECOND = """\
backend shop_admin
{servers}
"""
# The modules' use cases, without Ansible around them.
PROGRAM = """
import json, sys, time
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.haproxy import HAProxy
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.haproxy_workers import Workers
from ansible_collections.zero_downtime.deploy.plugins.module_utils._clock import Clock
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.pools import Timing
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases import read_pool, set_members

asked = json.loads(sys.argv[1])
ENTRY = {"balancers": [{"name": path, "provider": "haproxy", "socket": path} for path in asked["sockets"]], "pool": "shop"}
REAL = HAProxy.timing, HAProxy.drains_first, HAProxy._with_trackers, Workers.counted


def call(use_case, **options):
    spec = ArgumentSpecValidator(use_case.ARGUMENT_SPEC, **getattr(use_case, "CONSTRAINTS", {})).validate({**ENTRY, **options})
    began = time.perf_counter()
    use_case.run(spec.validated_parameters, False, Clock())
    return time.perf_counter() - began


def batch():
    there = {"members": asked["members"], "health": "none"}
    return call(set_members, state="disabled", **there) + call(set_members, state="enabled", **there)


told = {"batch": [], "batch_without": [], "plan": [], "plan_without": []}
for _round in range(asked["rounds"]):
    told["batch"].append(batch())
    told["plan"].append(call(read_pool, details=True))
    told["plan_without"].append(call(read_pool))
    HAProxy.timing, HAProxy.drains_first = lambda self, pool: Timing(), lambda self, pool: False
    HAProxy._with_trackers = Workers.counted = lambda self, pool, members: members
    told["batch_without"].append(batch())
    HAProxy.timing, HAProxy.drains_first, HAProxy._with_trackers, Workers.counted = REAL
print(json.dumps(told))
"""


def measure(rounds: int) -> dict[str, Any]:
    """Return the seconds of each round, and their medians."""
    names = [f"host{number:04}" for number in range(SIZE)]
    # Each at an address of its own, as hosts have it.
    servers = "\n".join(f"    server {host} 127.1.{number // 250}.{number % 250 + 1}:{CHECK_PORT}" for number, host in enumerate(names))
    # Loopback alone: all of 127.0.0.0/8 answers there.
    everywhere = CONFIGURATION.replace("bind 127.0.0.1:{port}", "bind 0.0.0.0:{port}")
    with ExitStack() as stack:
        sockets = [
            stack.enter_context(HAProxy(everywhere + SECOND, f"queries{number}", port=CHECK_PORT + number, servers=servers)).socket
            for number in range(BALANCERS)
        ]
        asked = {"sockets": sockets, "members": names[:BATCH], "rounds": rounds}
        path = f"{CHECKOUT / 'build' / 'collections'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, json.dumps(asked)],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )
    seconds = json.loads(done.stdout)
    return {"seconds": seconds, "median": {name: median(of) for name, of in seconds.items()}}


def lines(told: dict[str, Any]) -> list[str]:
    """Return the result as a person reads it, with the share of a batch where the section `fleet` was measured before."""
    middle = told["median"]
    more, once = middle["batch"] - middle["batch_without"], middle["plan"] - middle["plan_without"]
    shown = [
        f"{SIZE} members on {BALANCERS} balancers, {BATCH} of them drained and brought back: {middle['batch']:.3f} s, without the queries "
        f"{middle['batch_without']:.3f} s: {1000 * more:.0f} ms a batch",
        f"once for each rollout, the plan's own queries: {1000 * once:.0f} ms",
    ]
    fleet = OUT / "fleet.json"
    if fleet.exists():
        size = json.loads(fleet.read_text())["sizes"].get(str(SIZE))
        if size:
            share = size["share_of_a_batch"]
            shown.append(f"of our share of a batch at {SIZE} hosts ({share} s): {100 * more / share:.1f} %")
    return shown
