# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab as a whole: up, down, reset, status."""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path

from . import files, link, network
from .base import ensure_base
from .files import ADMIN_PORT, APP_PORT, Plan
from .host import Host
from .machine import LabError, remove_tree, run, unmount_under, wait_until

SUPPORT = Path(__file__).resolve().parents[2]
BOOT_SECONDS, BOOT_SECONDS_MORE = 60.0, 2.0  # for all, and for each host that boots beside
TMPFS_SIZE = "4g"


def say(text: str) -> None:
    """Progress goes to stderr; stdout is for what a program may read."""
    print(text, file=sys.stderr, flush=True)


class Lab:
    """Everything under one directory (`ZD_LAB_DIR`)."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.key = directory / "id_ed25519"
        self.inventory_path = directory / "inventory.yml"
        self._state_path = directory / "lab.json"
        self._hosts_dir = directory / "hosts"
        self._run_dir = directory / "run"

    # --- what is there

    @property
    def state(self) -> dict:
        """What `up` wrote: plan, release, and what to put back; empty after `down`."""
        try:
            return json.loads(self._state_path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}

    @property
    def plan(self) -> Plan:
        """The plan of the lab that is up.

        :raises LabError: it is down.
        """
        state = self.state
        if not state:
            raise LabError("the lab is down: `lab.py up` first")
        return Plan(**state["plan"])

    def hosts(self) -> list[Host]:
        """The hosts of the lab that is up."""
        plan = self.plan
        return [Host(self.directory, plan, name) for name in plan.names]

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One command at a time changes the lab."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with open(self.directory / "lock", "w", encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say("another command is changing the lab; waiting for it")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    # --- commands

    def up(self, plan: Plan, release: str) -> None:
        """Bring the lab up; what runs already stays as it is."""
        state = self.state
        if state and (state["plan"] != asdict(plan) or state["release"] != release):
            say("the lab is up with another plan: taking it down first")
            self.down()
            state = {}
        if not state:
            self._bury_dead(plan)
            network.check_free(plan)
        ensure_base(self.directory, say)
        if not state:
            self._make_key()
            self._run_dir.mkdir(exist_ok=True)
            state = {"plan": asdict(plan), "release": release, "inotify": 0}
            self._save(state)
            state["inotify"] = network.raise_inotify()
            self._save(state)
        network.bridge_up(plan, self.directory)
        self._hosts_dir.mkdir(exist_ok=True)
        if not os.path.ismount(self._hosts_dir):
            # In memory: quick, gone with one unmount, and works where the lab's own directory is an overlay.
            run("mount", "-t", "tmpfs", "-o", f"size={TMPFS_SIZE},mode=0755", "zd-lab", self._hosts_dir)
        self._write_inventory(plan)
        missing = [host for host in self.hosts() if not host.pid]
        self._boot(missing)
        self._wait_ready(missing)

    def down(self, purge: bool = False) -> None:
        """Leave nothing: processes, mounts, bridge, cgroups; `purge` deletes the base too."""
        state = self.state
        if state:
            self._close_masters()
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(Host.remove, self.hosts()))
            network.bridge_down(self.plan)
            network.restore_inotify(state["inotify"])
        unmount_under(self._hosts_dir)
        for path in (self._hosts_dir, self._run_dir, self.directory / "releases", self.control_path_dir):
            remove_tree(path)
        for path in (self._state_path, self.inventory_path, self.directory / "ansible.cfg", self.key,
                     self.key.with_suffix(".pub"), self.directory / "wgetrc"):
            path.unlink(missing_ok=True)
        if purge:
            remove_tree(self.directory / "base")
            (self.directory / "base.json").unlink(missing_ok=True)

    def reset(self, names: list[str]) -> None:
        """Make hosts (all by default) anew, as `up` made them."""
        hosts = self._chosen(names)
        self._close_masters()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(Host.remove, hosts))
        self._boot(hosts)
        self._wait_ready(hosts)

    def stop(self, names: list[str]) -> None:
        """Cut the power of some hosts; `reset` makes them anew."""
        for host in self._chosen(names):
            host.stop()

    def link(self, names: list[str], loss: float | None, cuts: list[str], kbit: int | None) -> None:
        """Disturb the lines of hosts, or mend them; see :mod:`zdlab.link`.

        :param cuts: peers, each perhaps with ``:`` and a port.
        """
        programs = [link.losing(loss)] if loss else []
        for cut in cuts:
            peer, _colon, port = cut.partition(":")
            programs.append(link.cutting(self.plan.address(peer), int(port) if port else None))
        for host in self._chosen(names):
            link.disturb(host.device, programs, kbit)

    def status(self) -> dict:
        """What runs, as seen from here."""
        if not self.state:
            return {"up": False}
        seen: dict = {"up": any(host.pid for host in self.hosts()), "directory": str(self.directory), "hosts": {}}
        for host in self.hosts():
            entry: dict = {"address": host.address, "pid": host.pid, "ssh": _ssh_answers(host.address)}
            if host.name in host.plan.app_names:
                entry["version"] = _version(host.address)
            else:
                entry["members"] = {name: f"{status} {weight}" for name, (status, _check, weight)
                                    in _members(host.address).items()}
            seen["hosts"][host.name] = entry
        return seen

    def deaths(self) -> list[dict]:
        """Moments at which an application killed itself (its fault `dies_after`), of all hosts."""
        found = []
        for host in self.hosts():
            if host.name not in host.plan.app_names:
                continue
            asked = self.ssh(host.name, "cat /run/shop/death 2>/dev/null || true")
            found += [{"member": host.name, "at": float(line)} for line in asked.split()]
        return sorted(found, key=lambda death: death["at"])

    def ssh(self, name: str, command: str) -> str:
        """Run a command as root on a host and return what it says."""
        options = files.SSH_OPTIONS.split()
        return run("ssh", *options, "-o", "BatchMode=yes", "-o", "ConnectTimeout=5", "-i", self.key,
                   f"root@{self.plan.address(name)}", command).stdout

    # --- steps

    def _bury_dead(self, plan: Plan) -> None:
        """Clear away a lab of another directory that was killed before it could do so.

        :raises LabError: a host of it runs.
        """
        owner = network.bridge_owner(plan)
        if owner is None:
            return
        other = Lab(owner)
        # Its lock, while its directory is there: whoever brings it up has a bridge before hosts.
        with other.locked() if owner.is_dir() else nullcontext():
            if any(host.pid for host in other.hosts()) if other.state else network.bridge_in_use(plan):
                raise LabError(f"the lab in {owner} is up on {plan.bridge}: take it down first "
                               f"(ZD_LAB_DIR={owner} lab.py down), or choose others by ZD_LAB_BRIDGE and ZD_LAB_NET")
            say(f"the lab in {owner} was killed: clearing it away")
            other.down()
            network.bridge_down(plan)

    def _chosen(self, names: list[str]) -> list[Host]:
        hosts = self.hosts()
        unknown = set(names) - {host.name for host in hosts}
        if unknown:
            raise LabError(f"no such host: {', '.join(sorted(unknown))}; the lab has {', '.join(self.plan.names)}")
        return [host for host in hosts if not names or host.name in names]

    def _boot(self, hosts: list[Host]) -> None:
        key = self.key.with_suffix(".pub").read_text(encoding="utf-8")
        archive = self._archive()
        for host in hosts:
            host.remove()
            host.prepare(key, archive)
            host.boot()

    def _archive(self) -> Path | None:
        release = self.state["release"]
        if release == "none":
            return None
        sys.path.insert(0, str(SUPPORT / "app"))
        from build_release import build_release  # pylint: disable=import-outside-toplevel,import-error
        return build_release(release, self.directory / "releases")

    def _wait_ready(self, hosts: list[Host]) -> None:
        """Wait until these hosts, just booted, take ssh and serve; what runs on others is not looked at.

        :raises LabError: with the console of the host that does not.
        """
        plan, release = self.plan, self.state["release"]
        booted = {host.name for host in hosts}
        patience = BOOT_SECONDS + BOOT_SECONDS_MORE * len(hosts)
        for host in hosts:
            try:
                wait_until(f"ssh on {host.name}", lambda h=host: _ssh_answers(h.address), patience)
            except LabError as error:
                raise LabError(f"{error}; its console, last lines:\n{host.console()}") from None
        for host in hosts:
            if host.name in plan.balancer_names:
                wait_until(f"haproxy on {host.name}", lambda h=host: bool(_members(h.address)), patience)
            elif release != "none":
                wait_until(f"version {release} on {host.name}",
                           lambda h=host: _version(h.address) == release, patience)
        for host in hosts:
            if host.name in plan.balancer_names and release != "none" and booted.issuperset(plan.app_names):
                wait_until(f"all members up on {host.name}", lambda h=host: all(
                    (status, check) == ("UP", "L7OK") for status, check, _weight in _members(h.address).values()),
                    patience)

    @property
    def control_path_dir(self) -> Path:
        """Where ssh keeps the sockets of shared connections; short, as such a path must be."""
        return Path("/run") / f"zd-lab-{self.state.get('plan', {}).get('bridge', 'none')}"

    def _close_masters(self) -> None:
        """End shared ssh connections: the hosts that they lead to are about to go."""
        for path in self.control_path_dir.glob("*"):
            run("ssh", "-o", f"ControlPath={path}", "-O", "exit", "lab", check=False)
            path.unlink(missing_ok=True)

    def _make_key(self) -> None:
        for path in (self.key, self.key.with_suffix(".pub")):
            path.unlink(missing_ok=True)
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "zd-lab", "-f", self.key)

    def _save(self, state: dict) -> None:
        new = self._state_path.with_suffix(".new")
        new.write_text(json.dumps(state, indent=2) + "\n", encoding="utf-8")
        new.rename(self._state_path)

    def _write_inventory(self, plan: Plan) -> None:
        self.control_path_dir.mkdir(mode=0o700, exist_ok=True)
        self.inventory_path.write_text(
            files.inventory(plan, str(self.key), str(self.control_path_dir)), encoding="utf-8")
        (self.directory / "ansible.cfg").write_text(files.ansible_cfg(str(self.inventory_path)), encoding="utf-8")


# --- looking from outside


def _ssh_answers(address: str) -> bool:
    try:
        with socket.create_connection((address, 22), timeout=1) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _version(address: str) -> str:
    """The version that /health tells; empty when it does not answer 200."""
    connection = http.client.HTTPConnection(address, APP_PORT, timeout=2)
    try:
        connection.request("GET", "/health")
        answer = connection.getresponse()
        body = answer.read()
        return json.loads(body)["version"] if answer.status == 200 else ""
    except (OSError, ValueError, http.client.HTTPException):
        return ""
    finally:
        connection.close()


def _members(address: str) -> dict[str, tuple[str, str, str]]:
    """Status, check and weight of the members, as the balancer tells them; empty when it does not."""
    try:
        with socket.create_connection((address, ADMIN_PORT), timeout=2) as connection:
            connection.sendall(b"show stat shop 4 -1\n")
            text = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    except OSError:
        return {}
    lines = [line.split(",") for line in text.splitlines() if line]
    if not lines:
        return {}
    head = lines[0]
    column = {name: head.index(name) for name in ("svname", "status", "check_status", "weight")}
    return {line[column["svname"]]: (line[column["status"]], line[column["check_status"]], line[column["weight"]])
            for line in lines[1:]}
