# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rollout costs the controller as the fleet grows: 10, 100 and 1,000 hosts, in ten batches, behind four balancers.

The hosts are local connections: what is measured is the controller. The balancers are four real HAProxy, each with every host as a
member of its pool; a small server answers for the hosts' health, with the version that the deploy step wrote down.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from balancer import HAProxy
from places import HERE, OUT, Cost, playbook

SIZES = (10, 100, 1000)
BATCHES = 10
BALANCERS = 4
HEALTH_PORT, CHECK_PORT = 18100, 18101
DEPLOY = "Write down the version"
CONFIGURATION = """\
global
    maxconn 4000
    stats socket {socket} mode 600 level admin
    stats timeout 30s
defaults
    mode http
    timeout connect 2s
    timeout client 10s
    timeout server 10s
    timeout check 1s
frontend well
    bind 127.0.0.1:{port}
    http-request return status 200 content-type text/plain string well
backend shop
    option httpchk GET /
    default-server check inter 2s fastinter 200ms downinter 200ms fall 2 rise 1 weight 100
{servers}
"""
# What the pieces of a rollout are called, and the tasks that they are made of.
PIECES = {
    "gate": ("Hold the lease and write down the batch",),
    "drain": ("Take out of traffic and wait until nothing is in flight",),
    "deploy: Ansible": ("Run the user's own tasks",),
    "health": ("Check the hosts from the controller",),
    "return": ("Bring back into traffic, once every balancer sees it healthy",),
}


class Health:
    """Answers for every host, on one port, between `with` and its end."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Health:
        self._thread.start()
        return self

    def __exit__(self, *_error: Any) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            asyncio.start_server(self._answer, "127.0.0.1", HEALTH_PORT, backlog=1024)
        )
        self._loop.run_forever()
        server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            name = head.split()[1].decode().rpartition("/")[2]
            body = json.dumps({"version": (self._directory / name).read_text().strip()}).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


def measure() -> dict[str, Any]:
    """Every size, with its floor."""
    return {str(size): _one(size) for size in SIZES}


def _one(size: int) -> dict[str, Any]:
    names = [f"host{number:04}" for number in range(size)]
    versions = OUT / "fleet" / "versions"
    shutil.rmtree(versions.parent, ignore_errors=True)
    versions.mkdir(parents=True)
    for name in names:
        (versions / name).write_text("1.0.0\n")
    inventory = OUT / "fleet" / "inventory.json"
    inventory.write_text(json.dumps({"shop": {"hosts": dict.fromkeys(names, {}), "vars": _variables(versions)}}))
    with ExitStack() as stack:
        stack.enter_context(Health(versions))
        sockets = []
        for number in range(BALANCERS):
            name = f"fleet{number}"
            servers = "\n".join(f"    server {host} 127.0.0.1:{CHECK_PORT + number}" for host in names)
            haproxy = HAProxy(CONFIGURATION, name, port=CHECK_PORT + number, servers=servers)
            sockets.append(stack.enter_context(haproxy).socket)
        batch = max(1, size // BATCHES)
        balancers = [
            {"name": f"lb{number}", "provider": "haproxy", "socket": path} for number, path in enumerate(sockets)
        ]
        floor = playbook(
            f"fleet-{size}-floor",
            "playbooks/fleet_floor.yml",
            "-i",
            str(inventory),
            bench_serial=batch,
            bench_version="1.0.1",
        )
        ours = playbook(
            f"fleet-{size}-ours", "zero_downtime.deploy.rolling", "-i", str(inventory),
            rollout_hosts="shop", rollout_version="1.0.2", bench_version="1.0.2", rolling_batches=[batch], rollout_balancers=balancers,
            rollout_hooks=str(HERE / "playbooks" / "fleet_hooks"),
        )  # fmt: skip
        told = _told(size, floor, ours)
        print(f"  {size} hosts: {json.dumps(told)}", flush=True)
        return told


def _variables(versions: Path) -> dict[str, Any]:
    return {
        "ansible_connection": "local",
        "ansible_python_interpreter": "{{ ansible_playbook_python }}",
        "bench_versions": str(versions),
        "rollout_service": "shop",
        "rollout_health": {
            "url": f"http://127.0.0.1:{HEALTH_PORT}/{{{{ inventory_hostname }}}}",
            "version": "$.version",
        },
        "rollout_journal_host": "localhost",
        "rollout_journal_path": str(OUT / "fleet" / "journal"),
        "rolling_soak": 0,
        "traffic_min_available": "50%",
    }


def _told(size: int, floor: Cost, ours: Cost) -> dict[str, Any]:
    """The cost of each piece, for a batch and for the rollout as a whole."""
    pieces = dict.fromkeys([*PIECES, "other"], 0.0)
    once, batches = 0.0, False
    for piece in ours.pieces:
        if piece["piece"].startswith("play: "):
            batches = piece["piece"].startswith("play: Roll the release")
        kind = next((kind for kind, tasks in PIECES.items() if piece["piece"] in tasks), "other")
        if not batches:
            once += piece["seconds"]
        elif piece["piece"] != DEPLOY:
            pieces[kind] += piece["seconds"]
    # What the balancers' own checks took: it depends on when a batch comes back between two of them, so it is taken from this run.
    check = sum(piece["check"] for piece in ours.pieces)
    pieces["return"] -= check
    shared = sum(piece["seconds"] for piece in floor.pieces)
    return {
        "hosts": size,
        "wall": ours.wall,
        "cpu": ours.cpu,
        "memory": ours.memory,
        "floor": {
            "wall": floor.wall,
            "cpu": floor.cpu,
            "memory": floor.memory,
            "balancer_check": round(check / BATCHES, 2),
        },
        "share_of_a_batch": round((ours.wall - shared - check) / BATCHES, 2),
        "once": round(once, 2),
        "batch": {name: round(seconds / BATCHES, 3) for name, seconds in pieces.items()},
    }
