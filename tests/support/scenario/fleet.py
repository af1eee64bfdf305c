# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab as it is, asked without the collection: over ssh, HAProxy's own runtime API, and the application's /health."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from .places import BALANCERS, CHECKOUT, HOSTS, LAB

MAINTENANCE, DRAIN = 0x01, 0x08  # bits of srv_admin_state that an administrator sets


def addresses() -> dict[str, str]:
    """The hosts' addresses, from the lab's inventory."""
    groups = yaml.safe_load((LAB / "inventory.yml").read_text())["all"]["children"]
    return {name: host["ansible_host"] for group in groups.values() for name, host in group["hosts"].items()}


def lab(*words: str) -> str:
    """Run a command of the lab and return what it says; see tests/support/README.md."""
    command = [CHECKOUT / "scripts" / "on-host", "python3", CHECKOUT / "tests" / "support" / "lab" / "lab.py", *words]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True).stdout


def ssh(host: str, command: str, text: str = "") -> str:
    """Run a command as root on a host, with `text` on its stdin."""
    options = [
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "LogLevel=ERROR",
        "BatchMode=yes",
        "ConnectTimeout=5",
    ]
    line = [
        "ssh",
        *(f"-o{option}" for option in options),
        "-i",
        str(LAB / "id_ed25519"),
        f"root@{addresses()[host]}",
        command,
    ]
    return subprocess.run(line, check=True, input=text, stdout=subprocess.PIPE, text=True).stdout


def runtime(balancer: str, command: str) -> str:
    """One command to a balancer's runtime API."""
    with socket.create_connection((addresses()[balancer], 9999), timeout=5) as connection:
        connection.sendall(f"{command}\n".encode())
        return b"".join(iter(lambda: connection.recv(65536), b"")).decode()


def pool(balancer: str) -> dict[str, dict[str, Any]]:
    """State, weight and the balancer's own view of every member."""
    rows = [line.split() for line in runtime(balancer, "show servers state shop").splitlines() if line]
    names = rows[1][1:]  # after the format's number: "# be_id be_name …"
    stat = [line.split(",") for line in runtime(balancer, "show stat shop 4 -1").splitlines() if line]
    status = {row[1]: row[stat[0].index("status")] for row in stat[1:]}
    members = {}
    for row in rows[2:]:
        told = dict(zip(names, row))
        administrator = int(told["srv_admin_state"])
        state = "disabled" if administrator & MAINTENANCE else "drained" if administrator & DRAIN else "enabled"
        members[told["srv_name"]] = {
            "state": state,
            "weight": int(told["srv_uweight"]),
            "status": status[told["srv_name"]],
        }
    return members


def in_flight(balancer: str, member: str) -> int:
    """Requests that a member is working on for a balancer."""
    stat = [line.split(",") for line in runtime(balancer, "show stat shop 4 -1").splitlines() if line]
    (row,) = (row for row in stat[1:] if row[1] == member)
    return int(row[stat[0].index("scur")])


def version(host: str) -> str | None:
    """The version that answers, None when none does."""
    try:
        with urllib.request.urlopen(f"http://{addresses()[host]}:8080/health", timeout=2) as answer:
            return str(json.load(answer)["version"])
    except (OSError, ValueError):
        return None


def look(without: tuple[str, ...] = ()) -> dict[str, Any]:
    """Everything that a rollout could change.

    :param without: hosts that are off.
    :return: ``hosts`` and ``balancers`` by name, each with what `spy` tells, ``version`` and ``pool``.
    """
    spy = Path(__file__).with_name("spy.py").read_text()
    names = [name for name in [*HOSTS, *BALANCERS] if name not in without]
    with ThreadPoolExecutor(4) as workers:
        told = dict(zip(names, workers.map(lambda name: json.loads(ssh(name, "python3 -", spy)), names)))
        versions = dict(zip(HOSTS, workers.map(version, HOSTS)))
    return {
        "hosts": {name: {**told.get(name, {}), "version": versions[name]} for name in HOSTS},
        "balancers": {name: {**told[name], "pool": pool(name)} for name in BALANCERS},
    }


def versions(seen: dict[str, Any]) -> dict[str, str | None]:
    """By host, of what `look` returned."""
    return {name: host["version"] for name, host in seen["hosts"].items()}


def pools(seen: dict[str, Any]) -> dict[str, dict[str, dict[str, Any]]]:
    """By balancer, of what `look` returned."""
    return {name: balancer["pool"] for name, balancer in seen["balancers"].items()}


def journal(seen: dict[str, Any]) -> dict[str, Any]:
    """The last journal."""
    journals: list[dict[str, Any]] = seen["balancers"]["lb1"]["journals"]
    return journals[-1]


def lease_is_free(seen: dict[str, Any]) -> bool:
    """Whether nobody holds the lease."""
    lease = seen["balancers"]["lb1"]["lease"]
    return lease is None or lease["owner"] is None


def left_behind(seen: dict[str, Any]) -> dict[str, list[str]]:
    """Temporary files, by host."""
    return {
        name: host["left_behind"] for part in seen.values() for name, host in part.items() if host.get("left_behind")
    }


def until(condition: Callable[[], Any], what: str, seconds: float = 60.0) -> None:
    """Wait for a condition.

    :raises AssertionError: not within `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        time.sleep(0.05)
