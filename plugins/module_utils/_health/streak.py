# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a target has been passing: passes in a row, and since when. Pure; times are handed in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Streak:
    """Passes in a row.

    :param count: how many.
    :param since: when the first of them ended, in seconds of any one clock.
    :param last: when the last of them ended.
    """

    count: int = 0
    since: float = 0.0
    last: float = 0.0

    def after(self, passed: bool, at: float) -> "Streak":
        """The streak after one more attempt, which ended at `at`. A failure ends it."""
        if not passed:
            return Streak()
        return Streak(self.count + 1, self.since if self.count else at, at)

    @property
    def lasted(self) -> float:
        """Seconds from the first to the last pass."""
        return self.last - self.since


@dataclass(frozen=True)
class Goal:
    """When a streak is proof of health.

    :param passes: at least so many in a row.
    :param min_healthy_time: seconds from the first to the last of them, at least.
    """

    passes: int
    min_healthy_time: float = 0.0

    def met(self, streak: Streak) -> bool:
        """Whether `streak` proves the target healthy."""
        return streak.count >= self.passes and streak.lasted >= self.min_healthy_time

    def next_look(self, streak: Streak, interval: float) -> float:
        """When to look at a passing target again: after `interval`, sooner when that pass would be the last needed."""
        due = streak.last + interval
        enough = streak.since + self.min_healthy_time
        if streak.count >= self.passes and streak.last < enough < due:
            return enough
        return due

    def takes(self, interval: float) -> float:
        """Seconds that a target needs at least, when every attempt passes at once."""
        return max((self.passes - 1) * interval, self.min_healthy_time)
