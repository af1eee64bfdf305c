# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A release rolls over six hosts under load, then a broken one is undone by itself.

Exit code 0: not one request failed and both rollouts ended as they should; 1: otherwise; 130: interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

from fleet import HOSTS, RATE, Fleet, until
from narrator import Narrator

HERE = Path(__file__).resolve().parent
AT_LEAST = 20_000  # requests in each of the two parts
PROVIDERS = ["haproxy", "nginx", "apache", "caddy", "envoy", "traefik"]
LONGEST_LOAD = 110.0  # seconds; the load ends by itself, whatever becomes of us
BEFORE = 3.0  # seconds of load before a rollout begins, for the latency to compare with


class Demo:
    """The demo's story."""

    def __init__(
        self, work: Path, requests: int, rate: float, provider: str, variables: dict[str, Any], pools: int = 1
    ) -> None:
        self.work, self.requests, self.rate = work, requests, rate
        self.fleet = Fleet(work, provider, pools)
        places = {"demo_socket": self.fleet.socket, "demo_run": self.fleet.run, "demo_scripts": HERE}
        self.common = ["-i", str(self.fleet.run / "inventory.json"), "-e", json.dumps(variables)]
        for name, place in places.items():
            self.common += ["-e", f"{name}={place}"]
        self.narrator = Narrator(
            work,
            {
                "ANSIBLE_COLLECTIONS_PATH": str(work / "collections"),
                "ANSIBLE_CONFIG": str(HERE / "ansible.cfg"),
                "ANSIBLE_HOME": str(work / "ansible"),
            },
        )

    def begin(self) -> None:
        """The balancer and six instances of version 1.0."""
        self.fleet.prepare()
        title, variables = self.fleet.start_balancer()
        watched = {
            "rollout_probe": {
                "urls": [f"http://127.0.0.1:{self.fleet.port}/health"],
                "path": str(self.fleet.run / "probe"),
            },
            "rollout_report": str(self.work / "reports"),
        }
        self.common += ["-e", json.dumps({**variables, **watched})]
        print(f"{title} on 127.0.0.1:{self.fleet.port}, six instances behind it.")
        accepted = ", ".join(f"{name}: {value}" for name, value in variables.items() if name.startswith("traffic_"))
        if accepted:
            print(f"What this balancer cannot do is accepted by {accepted}.")
        print("First, version 1.0 everywhere ...", flush=True)
        code, _seconds, _steps = self.narrator.play("first", [*self.common, str(HERE / "first.yml")], quiet=True)
        if code:
            sys.exit(f"The first release did not come up, see {self.work / 'first.log'}.")

    def roll(self, version: str) -> dict[str, Any]:
        """One rollout under load; what happened, as the summary has it."""
        self.fleet.start_load(version, self.requests, LONGEST_LOAD, self.rate)
        began = time.monotonic()
        until(lambda: time.monotonic() - began >= BEFORE, "")
        started = time.time()
        words = [
            "zero_downtime.deploy.rolling",
            "-e",
            "rollout_hosts=shop",
            "-e",
            f"rollout_version={version}",
            *self.common,
        ]
        print(f"\n$ ansible-playbook {' '.join(words[:5])}", flush=True)
        code, seconds, steps = self.narrator.play(f"rolling-{version}", words)
        loads = self.fleet.finish_load((started, started + seconds))
        halted = [step.began for step in steps if step.name == "Keep why the rollout halted"]
        result = {
            "version": version,
            "exit_code": code,
            "seconds": round(seconds, 1),
            "hosts": self.fleet.versions(),
            "requests": sum(load["requests"] for load in loads),
            "failed": sum(load["failed"] for load in loads),
            "why": {why: count for load in loads for why, count in load["why"].items()},
            "by_pool": [{"requests": load["requests"], "failed": load["failed"]} for load in loads],
            "latency_ms_before": loads[0]["window"]["before"]["latency_ms"],
            "latency_ms_during": loads[0]["window"]["during"]["latency_ms"],
            "rollback_seconds": round(started + seconds - halted[0], 1) if halted else None,
        }
        self._say(result)
        return result

    def _say(self, result: dict[str, Any]) -> None:
        log = (self.work / f"rolling-{result['version']}.log").read_text()
        said = re.search(r'"(?:msg": ")?(Rollout of shop (?:[^"\\]|\\.)*)"', log)
        if said:
            text = said.group(1)
            print("\n  " + json.loads(f'"{text}"'))
        versions = ", ".join(f"{host} {version}" for host, version in result["hosts"].items())
        before, during = result["latency_ms_before"], result["latency_ms_during"]
        print(f"  exit code {result['exit_code']}; now: {versions}")
        print(f"  {result['requests']} requests, {result['failed']} failed {result['why'] or ''}")
        latency = [
            f"{name} {part['p50']:.1f}/{part['p99']:.1f} ms" for name, part in (("before", before), ("during", during))
        ]
        print(f"  latency p50/p99 {', '.join(latency)}", flush=True)


def verdict(good: dict[str, Any], bad: dict[str, Any]) -> list[str]:
    """What is wrong with the two rollouts; empty when all is as it should be."""
    wrong = []
    for part in (good, bad):
        if part["failed"]:
            wrong.append(f"{part['failed']} requests failed during the rollout of {part['version']}")
        if set(part["hosts"].values()) != {"2.0"}:
            wrong.append(f"after the rollout of {part['version']} the hosts run {part['hosts']}, not 2.0")
    if good["exit_code"]:
        wrong.append("the good release did not succeed")
    if not bad["exit_code"]:
        wrong.append("the broken release was reported as a success")
    return wrong


def repeat(demo: Demo, times: int) -> int:
    """Roll good releases to and fro; the exit code of all of it."""
    parts = [demo.roll(("2.0", "1.0")[number % 2]) for number in range(times)]
    bad = [
        part
        for part in parts
        if part["failed"] or part["exit_code"] or set(part["hosts"].values()) != {part["version"]}
    ]
    summary = {"ok": not bad, "repetitions": parts}
    (demo.work / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    seconds = sorted(part["seconds"] for part in parts)
    print(
        f"\nSummary: {times} rollouts in {seconds[0]} to {seconds[-1]} s each, {len(bad)} of them with a failure; "
        f"{sum(part['requests'] for part in parts)} requests, {sum(part['failed'] for part in parts)} failed."
    )
    return 1 if bad else 0


def main() -> int:
    """See the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--requests", type=int, default=AT_LEAST, help="at least so many in each part")
    parser.add_argument("--rate", type=float, default=RATE, help="at most so many requests a second")
    parser.add_argument("--repeat", type=int, default=0, help="only roll good releases, so often, to and fro")
    parser.add_argument("--variables", type=json.loads, default={}, help="more variables for the playbooks, as JSON")
    parser.add_argument(
        "--provider",
        default=os.environ.get("DEMO_PROVIDER") or "haproxy",
        choices=PROVIDERS,
        help="the kind of balancer",
    )
    parser.add_argument(
        "--pools", type=int, default=1, choices=(1, 2), help="through so many pools over the same instances"
    )
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    demo = Demo(args.work, args.requests, args.rate, args.provider, args.variables, args.pools)
    try:
        demo.begin()
        if args.repeat:
            return repeat(demo, args.repeat)
        good = demo.roll("2.0")
        bad = demo.roll("3.0")
    except KeyboardInterrupt:
        print("\nInterrupted: stopping the balancer, the instances and the load.", file=sys.stderr)
        return 130
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the clean-up is short, and must not be left half done
        demo.fleet.stop()
    wrong = verdict(good, bad)
    summary = {"ok": not wrong, "wrong": wrong, "rolling": good, "broken": bad}
    (args.work / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    print(
        f"\nSummary: 1.0 to 2.0 on {len(HOSTS)} hosts in {good['seconds']} s; the broken 3.0 undone {bad['rollback_seconds']} s after "
        f"the decision; {good['requests'] + bad['requests']} requests, {good['failed'] + bad['failed']} failed."
    )
    for line in wrong:
        print(f"WRONG: {line}.", file=sys.stderr)
    print("Look at build/demo/reports/shop-latest.html: how the last of them went, and what users felt.")
    print("Details: build/demo/summary.json, and the playbooks' own output in build/demo/rolling-*.log.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
