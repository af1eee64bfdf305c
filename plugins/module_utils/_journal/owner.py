# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who owns a lease: the same process as another, in words, and whether it is provably gone.

An owner is a dict: ``name`` (a person or a job), ``controller`` (host name), ``pid`` and ``process_started``
(clock ticks after boot) of the controller's main process, ``boot_id``, ``pid_namespace`` and ``machine``
of the system it runs on.  What could not be found out is None, and nothing is ever concluded from a None.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Optional, Tuple

# The kernel gives the first PID namespace of every boot this number: a process in it runs in no container.
FIRST_PID_NAMESPACE = "pid:[4026531836]"

# pid -> (whether such a process exists, when it started or None when that cannot be read)
Look = Callable[[int], Tuple[bool, Optional[int]]]


def _agree(left: Dict[str, Any], right: Dict[str, Any], *keys: str) -> bool:
    return all(left.get(key) is not None and left.get(key) == right.get(key) for key in keys)


def same(left: Dict[str, Any], right: Dict[str, Any]) -> bool:
    """Whether both are certainly the same run of the same process; False when unsure."""
    known = _agree(left, right, "controller", "pid", "process_started")
    return known and all(left.get(key) == right.get(key) for key in ("boot_id", "pid_namespace", "machine"))


def described(owner: Dict[str, Any]) -> str:
    """`owner` in words, for a message."""
    words = str(owner.get("name") or "somebody")
    if owner.get("controller"):
        words += " on %s" % owner["controller"]
    if owner.get("pid"):
        words += " (process %s)" % owner["pid"]
    return words


def proof_of_death(holder: Dict[str, Any], here: Dict[str, Any], look: Look) -> Optional[str]:
    """Say why `holder` is certainly gone, or None when it lives or nobody can know.

    :param holder: who holds the lease.
    :param here: an owner that describes the system this runs on.
    :param look: tells about a process of this system.
    """
    if not _agree(holder, here, "controller", "boot_id", "pid_namespace"):
        return _rebooted(holder, here)
    if holder.get("pid") is None:
        return None
    exists, started = look(int(holder["pid"]))
    if not exists:
        return "process %s no longer runs on %s" % (holder["pid"], holder["controller"])
    if None not in (started, holder.get("process_started")) and started != holder["process_started"]:
        return "process %s of %s is another one by now" % (holder["pid"], holder["controller"])
    return None


def _rebooted(holder: Dict[str, Any], here: Dict[str, Any]) -> Optional[str]:
    """A process does not outlive its system's boot.

    Two containers, or two systems, can share a host name; so this counts only for the same installed
    system, and for processes outside of any container.
    """
    if holder.get("boot_id") in (None, here.get("boot_id")) or here.get("boot_id") is None:
        return None
    if not _agree(holder, here, "controller", "machine", "pid_namespace"):
        return None
    if holder["pid_namespace"] != FIRST_PID_NAMESPACE:
        return None
    return "%s was restarted since" % holder["controller"]
