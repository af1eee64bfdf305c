# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our rolling deployment and the usual one, in turn, in the same lab, under the same load, with the same ansible.cfg."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable, Mapping
from statistics import mean
from typing import Any

import figures
from balancer import POOL, PORT, HAProxy, own_check
from clients import Clients
from places import HERE, LAB, OUT, SUPPORT, Cost, lab, playbook

DEPLOY = ("Unpack the release", "Restart the application")  # the tasks of playbooks/hooks/deploy.yml
CHECKS = 3  # how often the balancer's own check is timed
INVENTORIES = ["-i", str(LAB / "inventory.yml"), "-i", str(HERE / "inventory")]
ADMIN_PORT = 9999
SOCKET = "/run/haproxy/admin.sock"


class Bench:
    """Sides that can be run, each run to a new version."""

    def __init__(self, name: str, batch: int, urls: list[str], usual: dict[str, Any]) -> None:
        self.name, self.batch, self.urls, self.usual = name, batch, urls, usual
        self._number = itertools.count(1)

    def _variables(self) -> dict[str, Any]:
        version = f"1.0.{next(self._number)}"
        line = [sys.executable, str(SUPPORT / "app" / "build_release.py"), version, str(OUT / "releases")]
        subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
        return {
            "bench_archive": str(OUT / "releases" / f"shop-{version}.tar.gz"),
            "bench_version": version,
            "bench_serial": self.batch,
            "bench_hooks": str(HERE / "playbooks" / "hooks"),
        }

    def floor(self) -> Cost:
        """The deploy tasks alone."""
        return playbook(f"{self.name}-floor", "playbooks/floor.yml", *INVENTORIES, **self._variables())

    def usual_one(self, facts: bool) -> Cost:
        """The playbook as it is usually written."""
        variables = {**self._variables(), **self.usual, "bench_facts": facts}
        return playbook(f"{self.name}-usual", "playbooks/usual.yml", *INVENTORIES, **variables)

    def ours(self, environment: dict[str, str] | None = None, **more: Any) -> Cost:
        """The collection's playbook."""
        given = self._variables()
        variables = {
            **given,
            "rollout_hosts": "shop",
            "rollout_version": given["bench_version"],
            "rollout_hooks": given["bench_hooks"],
            "rolling_batches": [self.batch],
            **more,
        }
        return playbook(
            f"{self.name}-ours", "zero_downtime.deploy.rolling", *INVENTORIES, environment=environment, **variables
        )

    def rounds(self, count: int, sides: Mapping[str, Callable[[], Cost]]) -> dict[str, list[dict[str, Any]]]:
        """Run every side in turn, `count` times, each with clients."""
        runs: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
        for number in range(1, count + 1):
            for name, side in sides.items():
                with Clients(self.urls) as clients:
                    cost = side()
                seen = {of: clients.seen.get(of, 0) for of in ("requests", "failed", "why")}
                deploy = sum(piece["seconds"] for piece in cost.pieces if piece["piece"] in DEPLOY)
                runs[name].append({"wall": cost.wall, "cpu": cost.cpu, "memory": cost.memory, "deploy": deploy, **seen})
                print(f"  round {number}, {name}: {cost.wall:.1f} s, cpu {cost.cpu:.1f} s, {seen}", flush=True)
        return runs


def over_ssh() -> list[dict[str, Any]]:
    """The lab's pair of balancers, as the README has them: a socket on a host of its own."""
    return [{"host": name, "provider": "haproxy", "socket": SOCKET} for name in ("lb1", "lb2")]


def here(hosts: int) -> HAProxy:
    """One HAProxy on loopback, before so many of the lab's hosts."""
    servers = "\n".join(
        f"    server app{number} 10.203.0.{10 + number}:8080 cookie app{number}" for number in range(1, hosts + 1)
    )
    return HAProxy(POOL, port=PORT, servers=servers)


def six(rounds: int) -> dict[str, Any]:
    """Six hosts one at a time, behind one HAProxy on loopback."""
    lab("up", "--apps", "6", "--balancers", "1")
    names = [f"app{number}" for number in range(1, 7)]
    with here(len(names)) as haproxy:
        own = {
            "rollout_balancers": [{"name": "here", "provider": "haproxy", "socket": haproxy.socket}],
            "rollout_journal_host": "localhost",
            "rollout_journal_path": str(OUT / "journal"),
        }
        usual = {"bench_balancers": ["localhost"], "bench_socket": haproxy.socket}
        bench = Bench("six", 1, [f"http://127.0.0.1:{PORT}"], usual)
        bench.floor()  # connections, caches
        check = mean(own_check([haproxy.socket], [[name] for name in names]) for time in range(CHECKS))
        runs = bench.rounds(
            rounds,
            {
                "floor": bench.floor,
                "usual": lambda: bench.usual_one(facts=True),
                "ours": lambda: bench.ours(**own),
                "usual without facts": lambda: bench.usual_one(facts=False),
            },
        )
    return figures.compared(runs, len(names), check)


def sixty(rounds: int) -> dict[str, Any]:
    """Sixty hosts in six batches, behind a pair of balancers on hosts of their own."""
    lab("up", "--apps", "60", "--balancers", "2")
    addresses = ["10.203.0.2", "10.203.0.3"]
    names = [f"app{number}" for number in range(1, 61)]
    over_tcp = [
        {"name": f"at {address}", "provider": "haproxy", "address": f"{address}:{ADMIN_PORT}"} for address in addresses
    ]
    usual = {"bench_balancers": ["lb1", "lb2"], "bench_socket": SOCKET}
    bench = Bench("sixty", 10, [f"http://{address}:8000" for address in addresses], usual)
    bench.floor()
    groups = [names[first : first + 10] for first in range(0, 60, 10)]
    check = mean(own_check([(address, ADMIN_PORT) for address in addresses], groups) for time in range(CHECKS))
    runs = bench.rounds(
        rounds,
        {
            "floor": bench.floor,
            "usual": lambda: bench.usual_one(facts=True),
            "ours": lambda: bench.ours(rollout_balancers=over_ssh()),
            "ours, balancers over TCP": lambda: bench.ours(rollout_balancers=over_tcp, rollout_journal_host="lb1"),
            "usual without facts": lambda: bench.usual_one(facts=False),
        },
    )
    return figures.compared(runs, 6, check)
