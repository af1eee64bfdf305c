# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Time as a dependency: use cases are handed a clock, so that tests need not wait."""

from __future__ import annotations

import time
from typing import Optional


class Clock:
    """The machine's own clock."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary origin; for durations and deadlines."""
        return time.monotonic()

    def now(self) -> float:
        """Seconds since the epoch; for what other machines read."""
        return time.time()

    def running(self) -> Optional[float]:
        """Seconds since the machine's boot, those in which it slept included; None where it does not tell.

        Read where a shell reads it too, as a container may have one of its own: see ``plugin_utils/lease.py``.
        """
        try:
            with open("/proc/uptime", encoding="ascii") as stream:
                return float(stream.read().split()[0])
        except (OSError, ValueError, IndexError):
            return None

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""
        if seconds > 0:
            time.sleep(seconds)


class Deadline:
    """A point in time that a wait must not outlast.

    :param clock: whose ``monotonic()`` counts.
    :param seconds: from now on.
    """

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._started = clock.monotonic()
        self.seconds = seconds

    @property
    def elapsed(self) -> float:
        """Seconds since the deadline was set."""
        return self._clock.monotonic() - self._started

    @property
    def left(self) -> float:
        """Seconds left, never below zero."""
        return max(0.0, self.seconds - self.elapsed)

    @property
    def passed(self) -> bool:
        """Whether no time is left."""
        return self.left <= 0.0
