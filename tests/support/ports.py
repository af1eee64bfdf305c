# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports for the servers of a test."""

from __future__ import annotations

import functools
import itertools
import os
import random
import socket
from collections.abc import Iterator
from pathlib import Path


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody uses, and that nobody else is given while a server is down for a moment.

    None of those that the system gives to outgoing connections: a balancer makes thousands of them, and one would take the
    port of a member that restarts.  None that the demo's fleet takes its own from, none that the tests in another process
    beside these may choose, and none that was given before, as long as there are others.
    """
    return list(itertools.islice(filter(_is_free, _candidates()), count))


@functools.cache
def _candidates() -> Iterator[int]:
    """This process's share of the ports, in any order, again and again."""
    outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    ours = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % workers
    share = range(20000 + ours, outgoing if outgoing > 21000 else 65536, workers)
    return itertools.cycle(random.SystemRandom().sample(share, len(share)))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
