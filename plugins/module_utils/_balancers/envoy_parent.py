# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The processes of an Envoy that was restarted without a break, as Linux's ``/proc`` shows them.
https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/operations/hot_restart

Measured on 1.40, and the reason for each line here:

* The former process serves the connections that it has for `--parent-shutdown-time-s`, 15 minutes by default.  It follows the EDS file
  as the new one does, so it sends nothing new to a host that is gone from the file.
* Its requests are in no statistic of the new process: `rq_active` of a host, and of a cluster, is 0 while they are under way.
* Each process listens on a unix socket that is named for its base ID and epoch.  The kernel shows the names to every user; to learn
  whose socket it is takes root, or the user who runs Envoy.
* A host that is gone from the file keeps those connections alone that have a request under way.  So these are what is counted.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import struct
from dataclasses import dataclass
from typing import Any

from .eds_file import normal, pick, seconds

PROCESSES_AT_ONCE = 3  # a process's number among them is in the name of its socket
OPEN = ("01", "02", "08")  # established, about to be, and closed by the other side alone
SLACK = 60.0  # seconds from the start of a process until it counts the time of its former one


@dataclass(frozen=True)
class Former:
    """The process that was there before a hot restart, and still serves.

    :param connections: of both processes, by the address of the other side; None where this user, or this machine, does not see them.
    """

    connections: dict[str, int] | None

    def to(self, address: str) -> int | None:
        """Connections to a host; None where that is not known, as for unix sockets."""
        if self.connections is None or address.startswith(("/", "@")):
            return None
        return self.connections.get(address, 0)


def former(server: Any) -> Former | None:
    """The former process, if it still serves.

    :param server: the answer to `/server_info`; None where that is not known.
    :raises ValueError: when it is not an answer of Envoy.
    """
    if server is None:
        return Former(None)
    options = pick(server, "command_line_options", {})
    epoch = int(pick(options, "restart_epoch", 0))
    if epoch == 0:
        return None
    sockets = _sockets(options)
    mine, its = (sockets.get((number) % PROCESSES_AT_ONCE) for number in (epoch, epoch - 1))
    if mine is None:  # Envoy runs where it is not seen from here
        since = seconds(pick(server, "uptime_current_epoch", "0s"))
        return None if since > seconds(pick(options, "parent_shutdown_time", "900s")) + SLACK else Former(None)
    if its is None:
        return None
    processes = _processes({mine, its})
    if set(processes) != {mine, its}:
        return Former(None)
    connections: dict[str, int] = {}
    for pid, inodes in processes.values():
        for address in _connected(pid, inodes):
            connections[address] = connections.get(address, 0) + 1
    return Former(connections)


def _sockets(options: Any) -> dict[int, str]:
    """Inodes of the sockets on which the processes of this base ID listen for each other, by number of the process."""
    path = str(pick(options, "socket_path", "@envoy_domain_socket"))
    base = int(pick(options, "base_id", 0)) * 10
    found = {}
    for line in _lines("/proc/net/unix"):
        fields = line.split()
        # An abstract name is as long as the address can be, and what is left of it is shown as `@`.
        name = re.fullmatch(re.escape(path) + r"_parent_([0-9]+)@*", fields[7]) if len(fields) == 8 else None
        if name and 0 <= int(name.group(1)) - base < PROCESSES_AT_ONCE:
            found[int(name.group(1)) - base] = fields[6]
    return found


def _processes(wanted: set[str]) -> dict[str, tuple[int, set[str]]]:
    """The processes that have these sockets: by inode, with the inodes of all of their sockets."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            inodes = _inodes(int(entry))
            for inode in wanted.intersection(inodes):
                found[inode] = (int(entry), inodes)
    return found


def _inodes(pid: int) -> set[str]:
    """Of a process's sockets; none of another user's process."""
    folder = "/proc/%d/fd" % pid
    try:
        names = os.listdir(folder)
    except OSError:
        return set()
    targets = []
    for name in names:
        with contextlib.suppress(OSError):  # closed meanwhile
            targets.append(os.readlink("%s/%s" % (folder, name)))
    return {target[8:-1] for target in targets if target.startswith("socket:[")}


def _connected(pid: int, inodes: set[str]) -> list[str]:
    """The other sides of a process's connections."""
    found = []
    for table in ("tcp", "tcp6"):
        for line in _lines("/proc/%d/net/%s" % (pid, table)):
            fields = line.split()
            if len(fields) > 9 and fields[9] in inodes and fields[3] in OPEN:
                found.append(_address(fields[2]))
    return found


def _address(told: str) -> str:
    """``0100007F:1F90`` as ``127.0.0.1:8080``."""
    host, _colon, port = told.partition(":")
    packed = b"".join(struct.pack("=I", int(host[at : at + 8], 16)) for at in range(0, len(host), 8))
    if packed.startswith(b"\0" * 10 + b"\xff\xff"):  # an IPv4 address in a socket for IPv6
        packed = packed[12:]
    family = socket.AF_INET if len(packed) == 4 else socket.AF_INET6
    return normal("%s:%d" % (socket.inet_ntop(family, packed), int(port, 16)))


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()[1:]
    except OSError:  # the process has ended
        return []
