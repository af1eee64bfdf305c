# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One host: an overlay on the base, booted by systemd-nspawn in a cgroup of its own."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

from . import files
from .files import Plan
from .machine import (
    LabError, cgroup_roots, children, kill, process_started, remove_cgroup, remove_tree, run, wait_until,
)

SYSTEM = "etc/systemd/system"


class Host:
    """A host by its name; whether it runs is read from the machine, not remembered."""

    def __init__(self, lab: Path, plan: Plan, name: str) -> None:
        self.name = name
        self.plan = plan
        self.address = plan.address(name)
        self.machine = f"{plan.bridge}-{name}"
        self.device = f"vb-{self.machine}"[:15]  # its end of the line to the bridge, as systemd-nspawn names it
        self.root = lab / "hosts" / name
        self.tree = self.root / "m"
        self._base = lab / "base"
        self._record = lab / "run" / f"{name}.json"
        self._log = lab / "run" / f"{name}.log"

    # --- state

    @property
    def pid(self) -> int:
        """The process of the running systemd-nspawn, 0 when it does not run."""
        try:
            record = json.loads(self._record.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return 0
        return record["pid"] if process_started(record["pid"]) == record["started"] else 0

    # --- life

    def prepare(self, key: str, archive: Path | None) -> None:
        """Mount a pristine tree and write what makes it this host."""
        for part in ("u", "w", "m"):
            (self.root / part).mkdir(parents=True)
        layers = f"lowerdir={self._base},upperdir={self.root / 'u'},workdir={self.root / 'w'}"
        run("mount", "-t", "overlay", "overlay", "-o", layers, self.tree)
        self._write("etc/hostname", f"{self.name}\n")
        # A machine id of its own, and there from the start: without one systemd takes the boot for the first one
        # ever and enables every service.
        self._write("etc/machine-id", hashlib.md5(self.machine.encode()).hexdigest() + "\n")
        self._write("etc/hosts", files.hosts_file(self.plan))
        self._write("etc/systemd/network/10-host0.network", files.network_unit(self.plan, self.name))
        self._write("etc/systemd/journald.conf.d/lab.conf", files.JOURNALD)
        self._write("etc/ssh/sshd_config.d/lab.conf", files.SSHD)
        for home, owner in (("root", 0), ("home/deploy", 1000)):
            ssh = self.tree / home / ".ssh"
            ssh.mkdir(mode=0o700, exist_ok=True)
            self._write(f"{home}/.ssh/authorized_keys", key, 0o600)
            for path in (ssh, ssh / "authorized_keys"):
                os.chown(path, owner, owner)
        if self.name in self.plan.app_names:
            self._write(f"{SYSTEM}/shop.service", files.SHOP_SERVICE)
            self._enable("shop.service", f"/{SYSTEM}/shop.service")
            (self.tree / "srv/shop/releases").mkdir(parents=True)
            (self.tree / "srv/shop/shared").mkdir()
            if archive:
                self._release(archive)
        else:
            self._write("etc/haproxy/haproxy.cfg", files.haproxy_cfg(self.plan, self.name))
            self._enable("haproxy.service", "/lib/systemd/system/haproxy.service")

    def boot(self) -> None:
        """Start it; returns at once."""
        cgroups = [root / self.machine for root in cgroup_roots()]
        for cgroup in cgroups:
            cgroup.mkdir(exist_ok=True)
        # The shell puts itself into the host's cgroup and becomes systemd-nspawn there: in a shared cgroup the systemd
        # inside could not tell its units' processes from those of other hosts.
        enter = " && ".join(f"echo $$ > {cgroup}/cgroup.procs" for cgroup in cgroups)
        nspawn = ["systemd-nspawn", "-q", "-b", "-D", str(self.tree), "-M", self.machine, f"--hostname={self.name}",
                  "--register=no", "--keep-unit", f"--network-bridge={self.plan.bridge}", "--resolv-conf=off",
                  "--timezone=off", "--link-journal=no", "--console=pipe"]
        with open(self._log, "wb") as out:
            process = subprocess.Popen(  # pylint: disable=consider-using-with
                ["sh", "-c", f'{enter} && exec "$@"', "sh", *nspawn],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
        record = {"pid": process.pid, "started": process_started(process.pid)}
        self._record.write_text(json.dumps(record), encoding="utf-8")

    def stop(self) -> None:
        """As a power cut does: everything in it ends at once."""
        pid = self.pid
        if pid:
            # systemd-nspawn ends, and takes its network interface along, when the host's PID 1 does.
            for child in children(pid):
                kill(child)
            try:
                wait_until(f"end of {self.name}", lambda: not self.pid, 5)
            except LabError:
                kill(pid)
                wait_until(f"end of {self.name} (process {pid})", lambda: not self.pid, 5)
        self._record.unlink(missing_ok=True)
        remove_cgroup(self.machine)

    def remove(self) -> None:
        """Stop it and forget everything that was in it."""
        self.stop()
        remove_tree(self.root)
        shutil.rmtree(f"/run/systemd/nspawn/propagate/{self.machine}", ignore_errors=True)
        Path(f"/run/systemd/nspawn/locks/{self.machine}").unlink(missing_ok=True)

    def console(self) -> str:
        """The last lines of its console."""
        try:
            return "\n".join(self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-10:])
        except OSError:
            return ""

    # --- writing

    def _write(self, path: str, content: str, mode: int = 0o644) -> None:
        target = self.tree / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content, encoding="utf-8")
        target.chmod(mode)

    def _enable(self, unit: str, target: str) -> None:
        link = self.tree / SYSTEM / "multi-user.target.wants" / unit
        link.symlink_to(target)

    def _release(self, archive: Path) -> None:
        """The first release, in the layout releases/VERSION and current -> releases/VERSION."""
        version = archive.name.removeprefix("shop-").removesuffix(".tar.gz")
        release = self.tree / "srv/shop/releases" / version
        with tarfile.open(archive) as tar:
            tar.extractall(release, filter="data") if hasattr(tarfile, "data_filter") else tar.extractall(release)
        (self.tree / "srv/shop/current").symlink_to(f"releases/{version}")
