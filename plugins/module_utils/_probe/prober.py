# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sends requests at a steady pace, whatever becomes of those before.

The loop is open: request n is due at n / rate seconds from the beginning.  A closed one, which waits for each answer, would fall
silent in the very second in which a balancer hangs, and tell of one slow request where every user waited.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Callable, Dict, Optional, Sequence, Set

from .._clock import Clock
from .._domain.felt import FINE, TIMEOUT, TOLD, Ended, Second
from .._health.crew import Crew
from .caller import Caller, Unable
from .record import Writer

# How many requests are under way at once, at most.
WORKERS = 256
# Seconds after which a request is not sent any more: a prober that was held up must not make up for it in one burst.
TOO_LATE = 0.5
# How often it is asked whether to go on, in seconds.
LOOK = 0.2
# A request ends by itself at its timeout, except in a name lookup, which nothing can interrupt.
OVERDUE = 1.0
# How many versions are told apart; all others count as one.
VERSIONS_MOST, OTHER = 32, "other"


class Prober:
    """A trickle of requests to some URLs in turn, and the record of what became of them.

    :param rate: requests a second in all.
    :param timeout: of each, in seconds.
    :param began: when the first one is due, in seconds since 1970.
    :param origin: the same moment on the clock that never jumps, by which all times are told from there.
    :param over: why to end, if it is time to.
    """

    def __init__(
        self,
        callers: Sequence[Caller],
        rate: float,
        timeout: float,
        began: float,
        origin: float,
        writer: Writer,
        over: Callable[[], Optional[str]],
        clock: Clock,
    ) -> None:
        self._callers, self._rate, self._timeout = callers, rate, timeout
        self._writer, self._over, self._clock = writer, over, clock
        self._began, self._origin = began, origin
        self._crew = Crew(self._call, WORKERS, clock)
        self._running: Dict[int, float] = {}  # request: when it was sent
        self._seconds: Dict[int, Second] = {}  # what is not written yet
        self._versions: Set[str] = {""}
        self._room, self._refilled = float(TOLD), began

    def run(self) -> None:
        """Probe until it is over, and until what is under way has ended."""
        why = self._over()
        number, look, flush = 0, self._now + LOOK, self._now + 1.0
        while why is None:
            now = self._now
            if now >= look:
                why, look = self._over(), now + LOOK
            if now >= flush:
                self._flush(now)
                flush = now + 1.0
            while why is None and self._due(number) <= now:
                self._send(number, now)
                number += 1
            self._collect(min(self._due(number), look, flush) - self._now)
        end = self._now + self._timeout + OVERDUE
        while self._running and self._now < end:
            self._collect(min(end, flush) - self._now)
            if self._now >= flush:
                self._flush(self._now)
                flush += 1.0
        for number, sent in self._running.items():
            why_not = "no answer within %g s; the request itself hangs, in the lookup of a name perhaps" % self._timeout
            self._note(Ended(sent, TIMEOUT, (self._now - sent) * 1000, url=self._caller(number).url, why=why_not))
        self._flush(self._now, why)

    @property
    def _now(self) -> float:
        return self._began + self._clock.monotonic() - self._origin

    def _due(self, number: int) -> float:
        return self._began + number / self._rate

    def _send(self, number: int, now: float) -> None:
        if now - self._due(number) > TOO_LATE or len(self._running) >= WORKERS:
            self._second(self._due(number)).late += 1
            return
        self._running[number] = now
        self._crew.start(number)

    def _caller(self, number: int) -> Caller:
        return self._callers[number % len(self._callers)]

    def _call(self, number: int) -> Ended:
        """In a thread of its own."""
        return self._caller(number).call(self._clock, self._timeout, self._now)

    def _collect(self, patience: float) -> None:
        for report in self._crew.collect(patience):
            sent = self._running.pop(report.job)
            if isinstance(report.error, Unable):
                self._second(sent).late += 1
            elif report.error is not None:
                raise report.error
            else:
                self._note(report.result)

    def _note(self, ended: Ended) -> None:
        if ended.version not in self._versions:
            if len(self._versions) < VERSIONS_MOST:
                self._versions.add(ended.version)
            else:
                ended = replace(ended, version=OTHER)
        self._second(ended.at).note(ended, ended.outcome not in FINE and self._is_told())

    def _is_told(self) -> bool:
        """Whether there is room for one more failure to be told by itself: fifty at once, one more each second."""
        now = self._now
        self._room = min(float(TOLD), self._room + now - self._refilled)
        self._refilled = now
        if self._room < 1:
            return False
        self._room -= 1
        return True

    def _second(self, at: float) -> Second:
        return self._seconds.setdefault(int(at), Second(int(at)))

    def _flush(self, now: float, ended: Optional[str] = None) -> None:
        # What could not be written is written the next time.
        if self._writer.add(now, self._seconds.values(), ended):
            self._seconds = {}
