# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for what only time brings: an idle member, a fresh check.  Polls start short and grow."""

from __future__ import annotations

from typing import Callable, Iterable

from .._balancers.base import Balancer
from .._clock import Clock, Deadline
from .._domain.errors import NotApplied, Unreachable
from .._domain.members import Member

# Seconds between two polls: a share of what has been waited so far, so that no wait is longer by more than that share than what it
# waits for.  The first and the longest are the balancer's own, see `Pace`.
SHARE = 0.1
RETRY = 0.25  # seconds between two tries to reach a balancer that does not answer
RESTART = 10.0  # seconds that a balancer may take to come back


class Watch:
    """Watches members of one pool on one balancer."""

    def __init__(self, balancer: Balancer, pool: str, clock: Clock) -> None:
        self.balancer, self.pool, self.clock = balancer, pool, clock

    def read(self, deadline: Deadline) -> list[Member]:
        """The pool; a balancer that is being restarted does not answer for a moment.

        :raises Unreachable: when it has not answered for as long as a restart takes, or until the deadline.
        """
        restart = Deadline(self.clock, min(RESTART, deadline.left))
        while True:
            try:
                return self.balancer.members(self.pool)
            except Unreachable:
                if restart.passed:
                    raise
                self.clock.sleep(RETRY)

    def until(
        self,
        names: Iterable[str],
        content: Callable[[Member], bool],
        in_a_row: int,
        deadline: Deadline,
        seen: list[Member] | None = None,
        kept: Callable[[list[Member]], list[Member]] = list,
    ) -> tuple[dict[str, float], list[Member]]:
        """Poll until every member has been `content` in as many polls in a row.

        The polls that one more success needs are granted past the deadline too: a member is not called busy for
        having become idle at the last moment.

        :param seen: the pool as it was read a moment ago, which is the first poll.
        :param kept: called with what was read; writes anew what has got lost, and returns the pool as it is then.
        :return: seconds that each member took (those that made it), and the whole pool as last seen.
        :raises NotApplied: when a member is no longer in the pool.
        """
        waiting = {name: 0 for name in names}
        took: dict[str, float] = {}
        extra = in_a_row - 1
        while True:
            if seen is None:
                seen = kept(self.read(deadline))
            gone = {*waiting, *took}.difference(member.name for member in seen)
            if gone:
                raise NotApplied(
                    f"Balancer {self.balancer.name}: pool {self.pool} no longer has {', '.join(sorted(gone))}. "
                    "Was its configuration changed meanwhile?"
                )
            for member in seen:
                if member.name in waiting:
                    waiting[member.name] = waiting[member.name] + 1 if content(member) else 0
                    if waiting[member.name] >= in_a_row:
                        del waiting[member.name]
                        took[member.name] = round(deadline.elapsed, 3)
            if not waiting:
                return took, seen
            if deadline.passed:
                if not extra or not any(waiting.values()):
                    return took, seen
                extra -= 1
            pace = self.balancer.pace
            pause = min(pace.longest, max(pace.first, deadline.elapsed * SHARE))
            # Past the deadline there are only the extra polls; just before it, no sleep is too short for the clock to notice.
            self.clock.sleep(pace.first if deadline.passed else min(pause, max(deadline.left, 0.001)))
            seen = None


def idle(member: Member) -> bool:
    """Whether the balancer has nothing under way for the member."""
    return member.in_flight == 0


def healthy(member: Member) -> bool:
    """Whether the balancer's check is content."""
    return member.healthy
