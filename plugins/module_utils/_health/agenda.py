# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is probed next. Pure; times are handed in.

Targets that hang take a thread for a whole timeout. Were all threads theirs, the others would wait; so those whose
last attempt was slow and those that were quick each have a share of the threads that the other kind cannot take.
"""

from __future__ import annotations

import heapq
from collections import deque
from typing import Deque, Dict, List, Tuple


class Agenda:
    """Hands out jobs when they are due.

    :param size: how many may run at once.
    :param jobs: how many there are; with a place for each, none has to be kept free.
    """

    def __init__(self, size: int, jobs: int) -> None:
        self.size = size
        self._most = size if jobs <= size else max(1, size - size // 4)
        self._later: List[Tuple[float, int, bool]] = []
        self._ready: Dict[bool, Deque[int]] = {False: deque(), True: deque()}
        self._running: Dict[int, bool] = {}

    def plan(self, job: int, due: float, slow: bool = False) -> None:
        """Note that `job` is to run at `due`; `slow`: its last attempt was."""
        heapq.heappush(self._later, (due, job, slow))

    def take(self, now: float) -> int | None:
        """The job to run now, if one is due and there is room for it."""
        while self._later and self._later[0][0] <= now:
            _due, job, slow = heapq.heappop(self._later)
            self._ready[slow].append(job)
        if not self.room:
            return None
        for slow in (False, True):
            if self._ready[slow] and not (self._kind_running(slow) >= self._most and self._contended(slow)):
                job = self._ready[slow].popleft()
                self._running[job] = slow
                return job
        return None

    def done(self, job: int) -> None:
        """A job has ended, or is given up on; its place is free."""
        self._running.pop(job, None)

    @property
    def room(self) -> bool:
        """Whether one more job may run."""
        return len(self._running) < self.size

    @property
    def running(self) -> int:
        """How many jobs run."""
        return len(self._running)

    @property
    def next_due(self) -> float | None:
        """When the next job becomes due; None: none is planned."""
        return self._later[0][0] if self._later else None

    def _kind_running(self, slow: bool) -> int:
        return sum(1 for kind in self._running.values() if kind is slow)

    def _contended(self, slow: bool) -> bool:
        # The slow never take the last places: a quick one may come at any moment.
        return slow or bool(self._ready[True])
