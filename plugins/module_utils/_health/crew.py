# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Threads that make attempts side by side.

``concurrent.futures`` is no choice here: its threads are waited for when the process ends, and a name lookup
that hangs cannot be interrupted.
"""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass
from typing import Any, Callable

from .._clock import Clock


@dataclass(frozen=True)
class Report:
    """How an attempt ended.

    :param job: what was handed in.
    :param result: what came out.
    :param error: the exception, when one came out: a bug of ours.
    :param took: seconds.
    :param at: when it ended, on the clock.
    """

    job: int
    result: Any
    error: BaseException | None
    took: float
    at: float


class Crew:
    """Up to so many threads; one more for each job that is known to hang.

    :param work: called in a thread with a job.
    :param size: how many jobs run at once.
    """

    def __init__(self, work: Callable[[int], Any], size: int, clock: Clock) -> None:
        self.size = size
        self._work = work
        self._clock = clock
        self._jobs: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._reports: queue.SimpleQueue[Report] = queue.SimpleQueue()
        self._threads = 0
        self._busy = 0

    def start(self, job: int) -> None:
        """Begin with a job at once, in a thread of its own."""
        if self._busy >= self._threads:
            threading.Thread(target=self._serve, name="health_check", daemon=True).start()
            self._threads += 1
        self._busy += 1
        self._jobs.put(job)

    def collect(self, patience: float) -> list[Report]:
        """Wait up to `patience` seconds for a report; return all that are there."""
        reports = []
        try:
            reports.append(self._reports.get(timeout=max(0.0, patience)))
            while True:
                reports.append(self._reports.get_nowait())
        except queue.Empty:
            pass
        self._busy -= len(reports)
        return reports

    def dismiss(self) -> None:
        """Let the threads go, each as soon as it is done; nobody waits for them."""
        for _thread in range(self._threads):
            self._jobs.put(None)
        self._threads = 0

    def _serve(self) -> None:
        while True:
            job = self._jobs.get()
            if job is None:
                return
            began = self._clock.monotonic()
            result, problem = None, None
            try:
                result = self._work(job)
            except BaseException as error:  # pylint: disable=broad-exception-caught
                # Raised again where it is seen: in the thread that collects.
                problem = error
            ended = self._clock.monotonic()
            self._reports.put(Report(job, result, problem, ended - began, ended))
