# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The processes of one NGINX, as Linux's ``/proc`` shows them: when a reload is over, whether it took effect, who still serves.

https://nginx.org/en/docs/control.html says what a master does at a reload; https://man7.org/linux/man-pages/man5/proc.5.html what the
fields are.  Measured on 1.22 and 1.31:

* a master blocks its signals for as long as it is busy, retries for a taken port (2.5 s) and the 0.1 s between the start of new
  workers and the end of old ones included; waiting for signals it blocks none.  So a master that sleeps, has no SIGHUP pending and
  does not block it is through with every reload that it was told;
* a reload that failed leaves the same workers; one that took effect has started others, and has told the old ones to leave;
* an old worker serves on until it gets to that order: it changes its title, and only then accepts no more. When it has nothing
  under way it ends without sleeping in between, so one that sleeps is one that waits for its requests;
* when NGINX's program is replaced (SIGUSR2), the new master is a child of the old one, whose number is then in ``PID_FILE.oldbin``.
  The old master's workers serve by the configuration that they have until that master is told to end, and no reload reaches them.
  Workers whose master was killed go on as well.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import stat
import sys
import time
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Dict, Iterator, Set, Tuple

from .._domain.errors import Unreachable

SERVES, ENDS, WAITS = "serves", "ends", "waits"  # what a worker does: all, nothing new, nothing new and asleep

MASTER = "nginx: master process"  # the title of a worker too, for a moment after its birth
WORKER = "nginx: worker process"
LEAVING = "nginx: worker process is shutting down"

HUP = 1 << (signal.SIGHUP - 1)
# Of the file's time and the process's one is cut to the clock's tick and the other to the kernel's, each about 10 ms.
TICKS = 0.02
CONNECTED = ("01", "02")  # established, and about to be
TAIL = 65536  # bytes of a log that are looked at


@dataclass(frozen=True)
class Worker:
    """One worker process.

    :param started: in ticks since the machine's start; with the number it tells processes apart.
    """

    pid: int
    started: int


@dataclass(frozen=True)
class Old:
    """A worker of an earlier master.

    :param master: that master's number; 0 where it has ended.
    :param does: what the worker does.
    """

    master: int
    does: str


class Master:
    """The master process that a file names.

    :raises Unreachable: at its first use, when there is none.
    """

    def __init__(self, pid_file: str) -> None:
        self.pid_file = pid_file

    def pid(self) -> int:
        """Its number.

        :raises Unreachable: when it does not run.
        """
        try:
            with open(self.pid_file, encoding="ascii", errors="replace") as file:
                number = file.read(20).strip()
        except OSError as error:
            raise Unreachable(
                "%s, where NGINX notes its process, cannot be read: %s. Is NGINX running? `pid_file` says where it is."
                % (self.pid_file, error.strerror)
            ) from None
        title = _title(int(number)) if re.fullmatch(r"[0-9]{1,9}", number) else ""
        if not title.startswith(MASTER):
            raise Unreachable(
                "NGINX is not running, or not visible to this user: %s names process %r, which is %s."
                % (self.pid_file, number, repr(title[:80]) if title else "not there")
            )
        return int(number)

    @staticmethod
    def rests(pid: int) -> bool:
        """Whether it is through with every signal that it was sent."""
        status = _read("/proc/%d/status" % pid)
        state = re.search(r"^State:\s+S", status, re.MULTILINE)
        masks = re.findall(r"^(?:ShdPnd|SigPnd|SigBlk):\s+([0-9a-f]+)", status, re.MULTILINE)
        return bool(state) and len(masks) == 3 and not any(int(mask, 16) & HUP for mask in masks)

    def workers(self, pid: int) -> dict[Worker, str]:
        """Its workers, and what each of them does."""
        return self.all_workers(pid)[0]

    def all_workers(self, pid: int) -> Tuple[Dict[Worker, str], Dict[Worker, Old]]:
        """Its workers, and what each of them does; and those of earlier masters of the same NGINX."""
        masters = self._earlier(pid)
        program, _fields = _stat(str(pid))
        own: Dict[Worker, str] = {}
        old: Dict[Worker, Old] = {}
        for entry in os.listdir("/proc"):
            name, fields = _stat(entry) if entry.isdigit() else ("", [])
            if len(fields) < 20 or entry == str(pid):
                continue
            worker, parent = Worker(int(entry), int(fields[19])), int(fields[1])
            if parent == pid or parent in masters:
                does = _does(entry)
                if does and parent == pid:
                    own[worker] = does
                elif does:
                    old[worker] = Old(parent, does)
            elif name == program and _is_orphan(pid, entry, parent):
                old[worker] = Old(0, _does(entry) or ENDS)
        return own, old

    def _earlier(self, pid: int) -> Set[int]:
        """The masters of the same NGINX that this one took over from, as far as they run."""
        noted = _read(self.pid_file + ".oldbin").strip()
        _name, fields = _stat(str(pid))
        candidates = {noted, *fields[1:2]}
        return {
            int(one) for one in candidates if re.fullmatch("[0-9]{1,9}", one) and _title(int(one)).startswith(MASTER)
        } - {pid}


def started(worker: Worker) -> float:
    """When, by the clock that files are stamped with."""
    boot = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return boot + worker.started / os.sysconf("SC_CLK_TCK")


class Connections:
    """Those that are open where a process is, at one moment.

    On a busy balancer the kernel's table has tens of thousands of rows, most of them of connections that have ended (39,000 took
    0.1 s): it is read once, and only when somebody asks.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._tables: dict[str, str] = {}

    def to(self, host: IPv4Address | IPv6Address, port: int) -> int:
        """How many lead to an address."""
        name = "tcp" if host.version == 4 else "tcp6"
        if name not in self._tables:
            self._tables[name] = _read("/proc/%d/net/%s" % (self.pid, name))
        words = (host.packed[at : at + 4] for at in range(0, len(host.packed), 4))
        remote = "%s:%04X" % ("".join("%08X" % int.from_bytes(word, sys.byteorder) for word in words), port)
        return sum(self._tables[name].count(" %s %s " % (remote, state)) for state in CONNECTED)


class Log:
    """What a process writes to its log files from now on.  Only root, and who runs it, may read that."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._sizes = dict(self._files())

    def alarms(self) -> str:
        """What it has said of errors that keep it from going on; empty when that is not known."""
        said: dict[str, None] = {}
        for path, size in self._sizes.items():
            with contextlib.suppress(OSError), open(path, "rb") as file:
                file.seek(max(size, os.fstat(file.fileno()).st_size - TAIL))
                text = file.read(TAIL).decode("utf-8", "replace")
                said.update(dict.fromkeys(re.findall(r"\[(?:emerg|alert)\] %d#\d+: (.*)" % self.pid, text)))
        return "; ".join(said)[:1000]

    def _files(self) -> Iterator[tuple[str, int]]:
        """Those that it holds open, wherever they are, and their sizes."""
        directory = "/proc/%d/fd" % self.pid
        with contextlib.suppress(OSError):
            for entry in os.listdir(directory):
                path = os.path.join(directory, entry)
                with contextlib.suppress(OSError):
                    found = os.stat(path)
                    if stat.S_ISREG(found.st_mode):
                        yield path, found.st_size


def _stat(entry: str) -> tuple[str, list[str]]:
    """The program's name, and what is behind it, as it may hold spaces and parentheses: state, parent, ..."""
    name, _parenthesis, rest = _read("/proc/%s/stat" % entry).rpartition(")")
    return name.partition("(")[2], rest.split()


def _does(entry: str) -> str:
    """Tell if a worker serves, ends or waits; empty where the process is no worker, or has ended."""
    title = _title(int(entry))
    if title.startswith(LEAVING):
        return WAITS if _stat(entry)[1][:1] == ["S"] else ENDS  # since it has that title
    return SERVES if title.startswith((WORKER, MASTER)) else ""


def _is_orphan(pid: int, entry: str, parent: int) -> bool:
    """Whether this is a worker of an earlier master, which has ended, of the NGINX that process `pid` is the master of.

    It has inherited listening sockets and log files from the same master as that one.  Where neither may be seen, it may be one.
    """
    if not _title(int(entry)).startswith(WORKER) or _title(parent).startswith(MASTER):
        return False
    ours, theirs = _open_files(pid), _open_files(int(entry))
    return ours is None or theirs is None or bool(ours & theirs)


def _open_files(pid: int) -> Set[Tuple[int, int]] | None:
    """The sockets and regular files that a process has open; None where this user may not see that."""
    found = set()
    directory = "/proc/%d/fd" % pid
    try:
        entries = os.listdir(directory)
    except OSError:
        return None
    for entry in entries:
        with contextlib.suppress(OSError):
            each = os.stat(os.path.join(directory, entry))
            if stat.S_ISREG(each.st_mode) or stat.S_ISSOCK(each.st_mode):
                found.add((each.st_dev, each.st_ino))
    return found


def _title(pid: int) -> str:
    return _read("/proc/%d/cmdline" % pid).replace("\0", " ").strip()


def _read(path: str) -> str:
    """A file of ``/proc``; nothing when the process has ended."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
