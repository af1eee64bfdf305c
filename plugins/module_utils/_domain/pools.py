# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts about a pool beside its members.  Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Tuple


@dataclass(frozen=True)
class OtherPool:
    """Another pool of the same balancer through which requests reach servers of the pool that was asked about.

    :param name: of the other pool, as `pool` takes it.
    :param members: names of the members, in the pool that was asked about, whose servers it has too.
    :param reason: how they are found there, in a few words: ``same address``, ``tracks shop/app1``.
    """

    name: str
    members: Tuple[str, ...]
    reason: str = "same address"

    def as_dict(self) -> dict[str, Any]:
        """For a task's result."""
        return {**asdict(self), "members": list(self.members)}


@dataclass(frozen=True)
class Timing:
    """Seconds that a balancer takes by its own configuration; None where it is not known.

    :param leave: until a member that leaves counts as idle, at least: a deregistration delay.
    :param check: until a check that begins now has brought a member up, at most: interval times passes, and the timeout.
    :param source: where the figures come from, in a few words: ``inter 30s, rise 2 in /etc/haproxy/haproxy.cfg``.
    """

    leave: float | None = None
    check: float | None = None
    source: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For a task's result."""
        return asdict(self)


@dataclass(frozen=True)
class Pace:
    """Seconds between two looks at a balancer while something is waited for: short at first, and growing.

    :param first: before the second look.
    :param longest: at most.
    """

    first: float = 0.02
    longest: float = 0.25
