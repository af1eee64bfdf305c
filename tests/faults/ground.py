# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ground of the campaign: four hosts, two balancers, clients; put back to its first state before each case.

The hosts are directories of this machine, each with an instance of its own; the rest is real: HAProxy, gunicorn, ansible-playbook.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fleet
from build_release import build_release

from .places import SUPPORT
from .proxy import Proxy
from .services import Services

HOSTS = ("app1", "app2", "app3", "app4")
BLUE, GREEN = HOSTS[:2], HOSTS[2:]
OLD, NEW = "1.0", "2.0"
WEIGHTS = dict(zip(HOSTS, (100, 30, 100, 100)))
BROKEN = {
    "3.1": "no_start", "3.2": "error_500", "3.3": "wrong_version", "3.4": "hangs", "3.5": "dies_after 1", "3.6": "dies_after 3",
}  # fmt: skip
PATIENCE = 60.0  # seconds for anything to come up
RATE = 120.0  # requests a second, of all clients
CLIENTS = "keepalive=4,connect=4,post=2,slow=4,sticky=4"
LONGEST_REQUEST = 4.0  # seconds
DISK = 4 * 1024 * 1024  # bytes of a host's own disk


class Ground:
    """Everything that runs; `close` ends all of it.

    :param work: an empty directory of its own.
    """

    def __init__(self, work: Path) -> None:
        self.work = work
        self.network, self.journal, self.locks = work / "network", work / "journal", work / "locks"
        self.directories = {host: work / "hosts" / host for host in HOSTS}
        ports = fleet.free_ports(len(HOSTS) + 2)
        self.ports = dict(zip(HOSTS, ports))
        # Not below the checkout: a socket's path must not exceed about a hundred characters.
        short = Path("/tmp") / f"zero-downtime-faults-{ports[-1]}"
        self.proxies = [
            Proxy(name, work, Path(f"{short}.{name}"), port, self.ports) for name, port in zip(("b1", "b2"), ports[-2:])
        ]
        self.services: Services | None = None
        self.mounted: list[Path] = []
        self.pristine: dict[str, int | None] = {}
        self.before: dict[str, dict[str, tuple[str, int]]] = {}
        self.power_cuts: list[dict[str, Any]] = []
        self.load: subprocess.Popen[bytes] | None = None
        self._short, self.mark = short, str(ports[-1])

    def begin(self) -> None:
        """Start what all cases share."""
        fleet.PATIENCE = PATIENCE
        for directory in (self.network, self.locks, *self.directories.values()):
            directory.mkdir(parents=True)
        for version in (OLD, NEW):
            build_release(version, self.work / "releases")
        for version, fault in BROKEN.items():
            build_release(version, self.work / "releases", fault)
        self._mount()
        self.services = Services(Path(f"{self._short}.services"), self.directories, self.ports)

    def _mount(self) -> None:
        # A disk of its own for each host, so that one can be full. Only root can have that.
        if os.geteuid() or not shutil.which("mount"):
            return
        for directory in self.directories.values():
            line = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "faults", str(directory)]
            if subprocess.run(line, check=False, capture_output=True).returncode:
                return
            self.mounted.append(directory)

    def close(self) -> None:
        """End everything."""
        self.end_strangers()
        self.end_load()
        for proxy in self.proxies:
            proxy.stop()
        if self.services:
            self.services.close()
        for directory in self.mounted:
            subprocess.run(["umount", "-l", str(directory)], check=False)

    # The first state

    def reset(self, strategy: str) -> None:
        """1.0 everywhere, all as configured for that strategy, no journal; what nobody touched is left alone."""
        idle = GREEN if strategy == "blue_green" else ()
        members = {host: ("disabled" if host in idle else "enabled", WEIGHTS[host]) for host in HOSTS}
        self.before = {proxy.name: dict(members) for proxy in self.proxies}
        shutil.rmtree(self.journal, ignore_errors=True)
        self.end_strangers()
        self.power_cuts.clear()
        for left in (*self.network.iterdir(), *self.locks.iterdir()):
            _remove(left)
        with ThreadPoolExecutor(len(HOSTS)) as pool:
            list(pool.map(self._reset_host, HOSTS))
        known = self.work / "strategy"
        if not known.exists() or known.read_text() != strategy:
            known.write_text(strategy)
            for proxy in self.proxies:
                proxy.start(members)
        for proxy in self.proxies:
            if proxy.touched or not proxy.answers():
                proxy.restart()
            proxy.set(members)
        fleet.until(lambda: set(self.versions().values()) == {OLD}, f"{OLD} does not come up everywhere: {self.versions()}")
        serving = len(HOSTS) - len(idle)
        fleet.until(lambda: all(proxy.available() == serving for proxy in self.proxies), "HAProxy does not see all of them")

    def _reset_host(self, host: str) -> None:
        services, place = self.services, self.directories[host]
        assert services is not None
        services.delays.pop(host, None)
        fresh = services.pid(host) and services.pid(host) == self.pristine.get(host)
        if not fresh:
            services.kill(host)
        for left in place.iterdir():
            if not fresh or left.name not in ("releases", "current", "log"):
                _remove(left)
        release = place / "releases" / OLD
        if not fresh:
            release.mkdir(parents=True)
            archive = self.work / "releases" / f"shop-{OLD}.tar.gz"
            shutil.unpack_archive(archive, release)
            (place / "current").symlink_to(f"releases/{OLD}")
        for left in (place / "releases").iterdir():
            if left.name != OLD:
                _remove(left)
        if not fresh:
            services.restart(host)
            self.pristine[host] = services.pid(host)

    def strangers(self, marker: str = "", keepers: bool = True) -> dict[int, str]:
        """The processes that runs whose marker begins so have left, by number, with their command lines.

        :param keepers: those too that were left behind on purpose; they stand in no directory of a controller.
        """
        wanted, found = f"FAULTS_CASE={self.mark}/{marker}".encode(), {}
        for place in Path("/proc").glob("[0-9]*"):
            try:
                words = (place / "environ").read_bytes().split(b"\0")
                state = (place / "stat").read_text().rsplit(")", 1)[1].split()[0]
                if not keepers and os.readlink(place / "cwd") == "/":
                    continue
                if state != "Z" and any(word.startswith(wanted) for word in words):
                    found[int(place.name)] = (place / "cmdline").read_text().replace("\0", " ").strip()[:200]
            except (OSError, IndexError):  # gone, or not ours
                pass
        return found

    def end_strangers(self) -> None:
        """End what runs have left behind."""
        for pid in self.strangers():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    # What is, seen by nobody's help

    def versions(self) -> dict[str, str]:
        """What each host answers with."""
        with ThreadPoolExecutor(len(HOSTS)) as pool:
            return dict(zip(HOSTS, pool.map(lambda host: fleet._version(self.ports[host]), HOSTS)))

    def current(self) -> dict[str, str]:
        """Which release is the current one on each host's disk."""
        found = {}
        for host, place in self.directories.items():
            link = place / "current"
            found[host] = os.path.basename(os.readlink(link)) if link.is_symlink() else "none"
        return found

    def pools(self) -> dict[str, dict[str, tuple[str, int]]]:
        """State and weight of every member on each balancer that answers."""
        return {proxy.name: proxy.pool() for proxy in self.proxies if proxy.answers()}

    def lease(self) -> dict[str, Any] | None:
        """The lease's file, None when there is none."""
        path = self.journal / "shop" / "lease.json"
        return json.loads(path.read_text()) if path.exists() else None

    def outcomes(self) -> list[str]:
        """Of all rollouts, oldest first; ``unfinished`` for one without."""
        found = [json.loads(path.read_text()) for path in (self.journal / "shop" / "rollouts").glob("*.json")]
        return [journal["outcome"] or "unfinished" for journal in sorted(found, key=lambda journal: journal["fence"])]

    # Hosts

    def cut_power(self, host: str) -> None:
        """Nothing answers there any more, and what was under way there is cut."""
        assert self.services is not None
        self.lose_way(host, "hangs 1")
        self.power_cuts.append({"at": time.time(), "member": host})
        self.services.kill(host)

    def power_up(self, host: str) -> None:
        """It boots, and starts whatever is the current release there."""
        assert self.services is not None
        if self.services.pid(host) is None:
            self.services.restart(host)
        self.find_way(host)

    def lose_way(self, host: str, how: str) -> None:
        """The controller cannot reach the host; see `connection/breakable.py`."""
        (self.network / host).write_text(how)

    def find_way(self, host: str) -> None:
        """It can again."""
        (self.network / host).unlink(missing_ok=True)

    def fill_disk(self, host: str) -> bool:
        """Fill the host's disk; False where it has none of its own."""
        if self.directories[host] not in self.mounted:
            return False
        try:
            with open(self.directories[host] / "filler", "wb", buffering=0) as file:
                while True:
                    file.write(b"x" * 4096)
        except OSError:
            return True

    def clear_disk(self, host: str) -> None:
        """There is room again."""
        (self.directories[host] / "filler").unlink(missing_ok=True)

    # Clients

    def begin_load(self, directory: Path) -> None:
        """Clients of both balancers, until `end_load`; every request is counted."""
        self.samples, self._stop = directory / "samples", directory / "stop"
        line = [sys.executable, "-m", "load", "run", "--rate", str(RATE), "--clients", CLIENTS, "--requests", "1000000"]
        line += ["--slow-seconds", "0.5", "--timeout", str(LONGEST_REQUEST), "--seconds", "600", "--stop-file", str(self._stop)]
        line += ["--samples", str(self.samples), "--summary", str(directory / "summary")]
        for proxy in self.proxies:
            line += ["--url", f"http://127.0.0.1:{proxy.port}"]
        with open(directory / "load.log", "wb") as log:
            self.load = subprocess.Popen(line, cwd=SUPPORT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        fleet.until(self.samples.exists, f"the load does not begin, see {log.name}")

    def end_load(self) -> list[dict[str, Any]]:
        """Let the clients finish what they have under way; every request of theirs."""
        if self.load is None:
            return []
        self._stop.touch()
        try:
            self.load.wait(3 * LONGEST_REQUEST)
        except subprocess.TimeoutExpired:
            self.load.send_signal(signal.SIGKILL)
            self.load.wait()
        self.load = None
        with open(self.samples, encoding="utf-8") as lines:
            samples = [json.loads(line) for line in lines if line.endswith("\n")]
        return sorted(samples, key=lambda sample: sample["start"])

    def deaths(self) -> list[dict[str, Any]]:
        """When instances died by themselves or by a power cut, and whose they were."""
        return self.power_cuts + [
            {"at": float(line), "member": host}
            for host, place in self.directories.items()
            if (place / "deaths").exists()
            for line in (place / "deaths").read_text().splitlines()
        ]


def _remove(left: Path) -> None:
    """A file, a link, or a directory with all that is in it."""
    if left.is_dir() and not left.is_symlink():
        shutil.rmtree(left)
    else:
        left.unlink()
