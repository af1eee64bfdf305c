# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the probe costs those who share the machine with it: clients without it, with it, and without it again, round by round.

Two runs without it differ too: that difference is the noise, and what the probe changes is held against it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

from balancer import PORT
from clients import Clients
from comparison import Bench, here
from places import CHECKOUT, OUT, lab

SECONDS = 20.0  # of each run
RATE = 50.0  # the probe's requests a second
URL = f"http://127.0.0.1:{PORT}"
NAME = "bench"
# The module's use case, without Ansible around it.
PROGRAM = """
import json, sys
from ansible_collections.zero_downtime.deploy.plugins.module_utils._clock import Clock
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases import probe_traffic
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
read = ArgumentSpecValidator(probe_traffic.ARGUMENT_SPEC, **probe_traffic.CONSTRAINTS).validate(json.loads(sys.argv[1]))
assert not read.error_messages, read.error_messages
print(json.dumps(probe_traffic.run(read.validated_parameters, False, Clock()), default=str))
"""


def probe(state: str, **options: Any) -> None:
    """Start or stop the probe."""
    given = {"name": NAME, "path": str(OUT / "probe"), "state": state, **options}
    path = f"{CHECKOUT / 'build' / 'collections'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    environment = {**os.environ, "PYTHONPATH": path}
    subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(given)], check=True, stdout=subprocess.DEVNULL, env=environment
    )


def used() -> float:
    """Seconds of the processor that the probe that runs has used; nobody else's is called so."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "comm").read_text() == "zd-probe\n":
                fields = (process / "stat").read_text().rpartition(")")[2].split()
                return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        except OSError:  # it has ended meanwhile
            continue
    sys.exit("the probe does not run")


def run(with_probe: bool) -> dict[str, float]:
    """Clients for a while; their latency in milliseconds, and the probe's share of a core in percent."""
    with Clients([URL]) as clients:
        if with_probe:
            probe("started", urls=[URL], rate=RATE, lifetime=SECONDS * 3, owner_pid=os.getpid())
        began, before = time.monotonic(), used() if with_probe else 0.0
        time.sleep(SECONDS)
        core = (used() - before) / (time.monotonic() - began) * 100 if with_probe else 0.0
        if with_probe:
            probe("stopped")
    return {
        "core": core,
        "failed": clients.seen["failed"],
        "requests": clients.seen["requests"],
        **clients.seen["latency_ms"],
    }


def measure(rounds: int) -> dict[str, Any]:
    """Rounds of three runs, and what they say of the p95."""
    lab("up", "--apps", "6", "--balancers", "1")
    with here(6):
        Bench("probe", 6, [URL], {}).floor()
        run(False)  # caches, connections
        found = [{"before": run(False), "with": run(True), "after": run(False)} for _number in range(rounds)]
    changes = [one["with"]["p95"] - mean((one["before"]["p95"], one["after"]["p95"])) for one in found]
    noise = [abs(one["after"]["p95"] - one["before"]["p95"]) for one in found]
    without = [one[when]["p95"] for one in found for when in ("before", "after")]
    return {
        "rounds": found,
        "rate": RATE,
        "core": round(median(one["with"]["core"] for one in found), 2),
        "p95_without": round(median(without), 3),
        "p95_with": round(median(one["with"]["p95"] for one in found), 3),
        "p95_change": round(median(changes), 3),
        "noise": {"between_two_without": round(median(noise), 3), "deviation_without": round(stdev(without), 3)},
        "failed": sum(each["failed"] for one in found for each in one.values()),
    }


def lines(told: dict[str, Any]) -> list[str]:
    """What is printed."""
    each = [" / ".join(f"{one[when]['p95']:.2f}" for when in ("before", "with", "after")) for one in told["rounds"]]
    noise = told["noise"]["between_two_without"], told["noise"]["deviation_without"]
    return [
        f"  p95 in ms without / with a probe of {told['rate']:g}/s / without: {', '.join(each)}",
        f"  p95 {told['p95_without']:.2f} ms without, {told['p95_with']:.2f} ms with it: changed by {told['p95_change']:+.2f} ms",
        f"  two runs without it differ by {noise[0]:.2f} ms, their deviation is {noise[1]:.2f} ms",
        f"  the probe takes {told['core']:.1f} % of a core; {told['failed']} failed requests",
    ]
