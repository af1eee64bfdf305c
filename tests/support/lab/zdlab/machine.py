# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab asks of the machine it runs on: commands, cgroups, mounts, processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

# command -> Debian package that brings it
NEEDS = {
    "debootstrap": "debootstrap",
    "systemd-nspawn": "systemd-container",
    "ip": "iproute2",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "mount": "mount",
}
SBIN = "/usr/local/sbin:/usr/sbin:/sbin"
CGROUPS = Path("/sys/fs/cgroup")


class LabError(Exception):
    """Something that the person at the keyboard must know or do."""


def check_machine() -> None:
    """Say everything that is missing, at once.

    :raises LabError: no root, a missing command, no cgroups.
    """
    missing = []
    os.environ["PATH"] = f"{os.environ.get('PATH', '/usr/bin:/bin')}:{SBIN}"
    if os.geteuid() != 0:
        missing.append("root (the lab mounts, and starts systemd-nspawn)")
    packages = sorted({package for command, package in NEEDS.items() if not shutil.which(command)})
    if packages:
        missing.append(f"packages; on Debian: apt-get install {' '.join(packages)}")
    if not cgroup_roots():
        missing.append(
            "cgroups: neither v2 at /sys/fs/cgroup nor the systemd hierarchy of v1 at /sys/fs/cgroup/systemd")
    if missing:
        raise LabError("the lab cannot run here. Missing:\n  - " + "\n  - ".join(missing))


def run(*command: object, check: bool = True, **options: object) -> subprocess.CompletedProcess:
    """Run a command to its end and return it, with its output as text.

    :raises LabError: when it fails and `check` is set, with the command and what it said.
    """
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, **options)
    if check and done.returncode:
        said = (done.stderr.strip() or done.stdout.strip())[-2000:]
        raise LabError(f"`{' '.join(words)}` ended with {done.returncode}: {said}")
    return done


def wait_until(what: str, ready: Callable[[], bool], seconds: float, pause: float = 0.05) -> None:
    """Ask `ready` until it says yes.

    :raises LabError: not within `seconds`; `what` says what was expected.
    """
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise LabError(f"{what}: not within {seconds:g} s")
        time.sleep(pause)


# --- processes: always by id, and never a recycled id


def process_started(pid: int) -> int:
    """When a process started, in ticks since boot; 0 when there is none (or only its remains)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in "ZX" else int(fields[19])


def children(pid: int) -> list[int]:
    """The direct children of a process."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(child) for child in path.read_text(encoding="utf-8").split()]
        except OSError:
            continue
    return found


def kill(pid: int) -> None:
    """SIGKILL one process; no error when it is gone."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


# --- cgroups


def cgroup_roots() -> list[Path]:
    """Where a host's own cgroup is made: one place on cgroup v2, two on the hybrid of v1 and v2."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    if (CGROUPS / "systemd").is_dir():
        return [path for path in (CGROUPS / "systemd", CGROUPS / "unified") if path.is_dir()]
    return []


def _in_cgroup(path: str) -> list[int]:
    try:
        return [int(pid) for pid in Path(path, "cgroup.procs").read_text(encoding="ascii").split()]
    except OSError:
        return []


def remove_cgroup(name: str) -> None:
    """Remove a host's cgroups, innermost first, and end what still runs in them: systemd-nspawn may have been killed."""
    for root in cgroup_roots():
        for path, _directories, _files in os.walk(root / name, topdown=False):
            def gone(path: str = path) -> bool:
                for pid in _in_cgroup(path):
                    kill(pid)
                try:
                    os.rmdir(path)
                except FileNotFoundError:
                    pass
                except OSError:
                    return False
                return True
            wait_until(f"cgroup {path} empty", gone, 5)


# --- mounts


def mounts_under(directory: Path) -> list[str]:
    """Mount points at or below a directory, deepest and latest first."""
    top = str(directory)
    points = []
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        point = line.split()[4].encode().decode("unicode_escape")
        if point == top or point.startswith(top + "/"):
            points.append(point)
    return points[::-1]


def unmount_under(directory: Path) -> None:
    """Unmount everything at or below a directory.

    :raises LabError: something still uses it.
    """
    for point in mounts_under(directory):
        wait_until(f"unmounting {point}", lambda p=point: run("umount", p, check=False).returncode == 0, 5)


def remove_tree(directory: Path) -> None:
    """Delete a directory, but never through a mount.

    :raises LabError: something is still mounted there.
    """
    unmount_under(directory)
    if mounts_under(directory):
        raise LabError(f"{directory} still holds mounts, not deleted: {mounts_under(directory)}")
    if directory.exists():
        shutil.rmtree(directory)
