# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The processes of one HAProxy on this machine, as Linux's ``/proc`` shows them, and the connections that they have.

https://man7.org/linux/man-pages/man5/proc.5.html says what the fields are.  A reload starts a new worker and leaves the former one to
finish its requests.  Measured on 2.2, 2.6, 2.8, 3.0 and 3.2:

* in master-worker mode both are children of one master; without a master, the new process has ``-sf`` and the numbers of former ones
  on its command line, and those of a reload before that are left out once the one between has ended;
* a former worker listens on nothing;
* it keeps pooled connections to servers until ``pool-purge-delay`` has ended them one by one: about 20 s with its default.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import sys
import time
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Dict, Iterator, List, Tuple

# Seconds by which a process may be older, or younger, than HAProxy's own clock says: it reads its configuration between the two.
OLDER, YOUNGER = 10.0, 300.0
APART = 3.0  # seconds between the starts of two that can be told apart: HAProxy tells its age in whole ones
LISTENS = "0A"
# Connections over which a request or its answer may still come: being opened, open, and closed on HAProxy's side alone.
CARRIES = ("01", "02", "04", "05")


@dataclass(frozen=True)
class Process:
    """One process.

    :param name: of its program, as the kernel has it.
    :param started: in seconds since the machine's start.
    """

    pid: int
    name: str
    parent: int
    started: float


@dataclass(frozen=True)
class Connections:
    """The TCP connections of one process.

    :param to: remote address and port, as the kernel writes them, to how many lead there.
    :param clients: those that came in, on a port that is, or was, listened on.
    :param servers: those that lead out.
    :param listens: whether the process itself listens.
    """

    to: Dict[str, int]
    clients: int
    servers: int
    listens: bool

    def lead_to(self, address: str) -> int | None:
        """How many lead to a server; None where that cannot be told, as of a unix socket.

        :param address: ``host:port``; a port of 0 is any.
        """
        host, _colon, port = address.rpartition(":")
        try:
            ends = _written(host.strip("[]"))
        except ValueError:
            return None
        if int(port) == 0:
            return sum(count for remote, count in self.to.items() if remote.rpartition(":")[0] in ends)
        return sum(self.to.get("%s:%04X" % (end, int(port)), 0) for end in ends)


def find(number: int, uptime: float) -> int | None:
    """The HAProxy that has run for `uptime` seconds and calls itself `number`, in a container perhaps; None when it is not here, or
    is not to be told from another one."""
    if not os.path.isdir("/proc/self"):
        return None
    began = time.clock_gettime(time.CLOCK_BOOTTIME) - uptime

    def is_it(process: Process) -> bool:
        # `hapee` is the name of its commercial edition.
        fits = "hap" in process.name.lower() and -OLDER <= process.started - began <= YOUNGER
        return fits and _own_number(process.pid) == number

    process = _process(number)
    if process and is_it(process):  # in no container; to look at all processes takes 15 ms and more
        return number
    near = sorted((abs(process.started - began), process.pid) for process in _all_processes() if is_it(process))
    # Those of two containers may bear one number, and have been started together.
    alike = len(near) > 1 and near[1][0] - near[0][0] < APART
    return near[0][1] if near and not alike else None


def master_of(pid: int) -> int | None:
    """Its master; None where it runs without one."""
    process = _process(pid)
    parent = _process(process.parent) if process else None
    return parent.pid if process and parent and parent.name == process.name else None


def former(pid: int) -> List[int]:
    """All processes beside `pid` that may still have requests of the same HAProxy."""
    me, master = _process(pid), master_of(pid)
    words = _words(pid)
    named, rest = _without_former(words)
    if me is None or (master is None and not named):
        return []
    same = [other for other in _all_processes() if other.name == me.name and other.pid not in (pid, master)]
    if master is not None:
        return [other.pid for other in same if other.parent == master]
    user = _users(pid)
    return [
        other.pid
        for other in same
        if other.started <= me.started
        and _users(other.pid) == user
        and (_own_number(other.pid) in named or _without_former(_words(other.pid))[1] == rest)
    ]


def master_socket(master: int) -> str | None:
    """Path of the socket that its command line gives it (``-S PATH,level,operator``), as it is seen from here; None when there is none."""
    words = _words(master)
    for option, value in zip(words, words[1:]):
        path = value.split(",")[0]
        path = path[len("unix@") :] if path.startswith("unix@") else path
        if option == "-S" and os.path.isabs(path):
            inside = "/proc/%d/root%s" % (master, path)
            # Another one than here in a container. A path of a socket has room for about a hundred characters.
            with contextlib.suppress(OSError):
                return path if os.path.samefile(inside, path) else inside
            return inside if os.path.exists(inside) else path
    return None


def connections(pid: int) -> Connections | None:
    """The connections of a process; None when it has ended.

    :raises PermissionError: when this user may not look.
    """
    inodes = set()
    directory = "/proc/%d/fd" % pid
    try:
        for entry in os.listdir(directory):
            try:
                target = os.readlink(os.path.join(directory, entry))
            except FileNotFoundError:  # closed meanwhile
                continue
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    except (FileNotFoundError, ProcessLookupError):
        return None
    return _counted("%s\n%s" % (_read(pid, "net/tcp"), _read(pid, "net/tcp6")), inodes)


def may_look(pid: int) -> bool:
    """Whether this user may see the connections of a process: the list of its descriptors alone tells."""
    try:
        os.listdir("/proc/%d/fd" % pid)
    except PermissionError:
        return False
    except OSError:  # it has ended
        pass
    return True


def user() -> str:
    """Who runs this, for messages."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a number that no name belongs to, as in some containers
        return str(os.getuid())


def _counted(tables: str, inodes: set[str]) -> Connections:
    listening, mine, listens = set(), [], False
    for line in tables.split("\n"):
        fields = line.split()
        if len(fields) < 10 or not fields[0].endswith(":"):
            continue
        local, remote, state, inode = fields[1], fields[2], fields[3], fields[9]
        if state == LISTENS:
            listening.add(local.rpartition(":")[2])
            listens = listens or inode in inodes
        elif state in CARRIES and inode in inodes:
            mine.append((local.rpartition(":")[2], remote))
    to: Dict[str, int] = {}
    clients = 0
    for port, remote in mine:
        if port in listening:
            clients += 1
        else:
            to[remote] = to.get(remote, 0) + 1
    return Connections(to, clients, len(mine) - clients, listens)


def _written(host: str) -> Tuple[str, ...]:
    """An address as the kernel's tables have it: 32 bits at a time, in the machine's order; an IPv4 one in both tables."""
    address = ip_address(host)
    packed = address.packed
    text = "".join("%08X" % int.from_bytes(packed[at : at + 4], sys.byteorder) for at in range(0, len(packed), 4))
    if address.version == 6:
        return (text,)
    return (text, "%s%08X%s" % ("0" * 16, int.from_bytes(b"\x00\x00\xff\xff", sys.byteorder), text))


def _without_former(words: List[str]) -> Tuple[set[int], List[str]]:
    """Of a command line the numbers of former processes, and its other words but for the program's."""
    numbers, rest, option = set(), [], ""
    for word in words[1:]:
        if word.startswith("-"):
            option = word
        if option in ("-sf", "-st"):
            if word.isdigit():
                numbers.add(int(word))
        elif option != "-x":
            rest.append(word)
    return numbers, rest


def _own_number(pid: int) -> int:
    """What a process has as its own number: another one than here when it runs in a container."""
    numbers = re.search(r"^NSpid:\s+(.*)", _read(pid, "status"), re.MULTILINE)
    return int(numbers.group(1).split()[-1]) if numbers else pid


def _all_processes() -> Iterator[Process]:
    for entry in os.listdir("/proc"):
        process = _process(int(entry)) if entry.isdigit() else None
        if process:
            yield process


def _process(pid: int) -> Process | None:
    """A process that has not ended."""
    head, _parenthesis, tail = _read(pid, "stat").rpartition(")")
    fields = tail.split()
    if len(fields) < 20 or fields[0] in "ZX":
        return None
    return Process(pid, head.partition("(")[2], int(fields[1]), int(fields[19]) / os.sysconf("SC_CLK_TCK"))


def _users(pid: int) -> List[str]:
    return re.findall(r"^Uid:\s+(.*)", _read(pid, "status"), re.MULTILINE)


def _words(pid: int) -> List[str]:
    return list(filter(None, _read(pid, "cmdline").split("\0")))


def _read(pid: int, name: str) -> str:
    """A file of ``/proc``; nothing when the process has ended."""
    try:
        with open("/proc/%d/%s" % (pid, name), encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
