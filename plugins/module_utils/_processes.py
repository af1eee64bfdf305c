# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes of this system: looking at one, and leaving one behind."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from typing import Callable, Iterable, Optional, Tuple


def main_process() -> int:
    """The process id of the playbook's main process; a task runs in a child of it."""
    parent = multiprocessing.parent_process()
    return os.getpid() if parent is None or parent.pid is None else parent.pid


def orphaned() -> bool:
    """Whether this is a playbook's worker whose main process is gone; never for a module, which has a process of its own."""
    parent = multiprocessing.parent_process()
    return parent is not None and os.getppid() != parent.pid


def look(pid: int) -> Tuple[bool, Optional[int]]:
    """Whether process `pid` exists on this system, and when it started (clock ticks after boot, None if unknown)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False, None
    except (OSError, OverflowError):
        # It may exist and not be ours to ask.
        pass
    line = first_line(f"/proc/{pid}/stat")
    if line is None:
        return True, None
    # The second field is the command in parentheses and may hold anything; state is field 3, start field 22.
    fields = line.rpartition(")")[2].split()
    try:
        # A zombie has ended; only its parent has not noticed yet.
        return fields[0] not in ("Z", "X"), int(fields[19])
    except (IndexError, ValueError):
        return True, None


def first_line(path: str) -> Optional[str]:
    """The first line of a small file; None where it is empty or cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.readline().strip() or None
    except OSError:
        return None


def leave_behind(work: Callable[[], None], keep: Iterable[int] = ()) -> None:
    """Do `work` in a process that outlives this one and holds nothing of it open.

    :param keep: file descriptors that it does hold.
    """
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    try:
        os.setsid()
        if os.fork():
            os._exit(0)
        os.chdir("/")
        first = 3
        for descriptor in sorted(keep):
            os.closerange(first, descriptor)
            first = descriptor + 1
        os.closerange(first, min(os.sysconf("SC_OPEN_MAX"), 65536))
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nothing, descriptor)
        work()
    finally:
        # Not sys.exit: what the parent has to clean up is its own.
        os._exit(0)


def call_oneself(name: str) -> None:
    """Have this process listed by that name (15 characters of it) in ``top`` and ``ps -o comm``, where the system can."""
    with contextlib.suppress(OSError), open("/proc/self/comm", "w", encoding="ascii") as stream:
        stream.write(name)
