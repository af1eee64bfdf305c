# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scales of charts: where a value lies between 0 and 100, and which values are written beside an axis.  Pure."""

from __future__ import annotations

import math
from typing import NamedTuple, Sequence

from .report_words import clock, short_day

_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)
# Beyond this ratio of the highest to the usual, the usual would lie on the axis.
_LOGARITHMIC_FROM = 40.0


class Tick(NamedTuple):
    """A place on an axis, 0 to 100, and what stands there."""

    at: float
    label: str


class Window:
    """A stretch of time as the width of a chart.

    :param began: seconds since 1970, the left end.
    :param ended: the right end; a window is never empty.
    """

    def __init__(self, began: float, ended: float) -> None:
        self.began, self.ended = began, max(ended, began + 1.0)

    def x(self, time: float) -> float:
        """Where `time` lies, 0 to 100; what is outside lies at the edge."""
        return min(100.0, max(0.0, (time - self.began) / (self.ended - self.began) * 100))

    def ticks(self, most: int = 6) -> list[Tick]:
        """At most `most` round times of the day, UTC."""
        length = self.ended - self.began
        step = next((step for step in _STEPS if length / step <= most), 86400 * math.ceil(length / 86400 / most))
        first = math.ceil(self.began / step) * step
        times = [first + step * index for index in range(int((self.ended - first) // step) + 1)]
        if step < 86400:
            return [Tick(self.x(time), clock(time)[: 8 if step < 60 else 5]) for time in times]
        return [Tick(self.x(time), short_day(time)) for time in times]


class Scale:
    """Values as the height of a chart, 0 at the bottom to 100 at the top.

    :param highest: the largest value to be shown.
    :param usual: what values are usually like; far below `highest` the scale is logarithmic, so that both can be read.
        Without it the scale is always linear.
    :param whole: values are counts, between which there is nothing.
    """

    def __init__(self, highest: float, usual: float | None = None, whole: bool = False) -> None:
        self.logarithmic = False
        if usual and highest / usual > _LOGARITHMIC_FROM:
            self.logarithmic = True
            # A decade below the usual where it would else lie on the axis.
            self._low = math.floor(math.log10(usual)) - (0 if usual / 10 ** math.floor(math.log10(usual)) > 2 else 1)
            self._high = math.ceil(math.log10(highest))
            self.values: Sequence[float] = [10.0**power for power in range(self._low, self._high + 1)]
        else:
            step = _nice(highest / 4, whole)
            count = max(1, math.ceil(highest / step - 1e-9))
            self.values = [step * index for index in range(count + 1)]

    @property
    def top(self) -> float:
        """The value at the top."""
        return self.values[-1]

    def y(self, value: float) -> float:
        """How high `value` lies, 0 to 100."""
        if not self.logarithmic:
            share = value / self.top
        elif value <= 0:
            share = 0.0
        else:
            share = (math.log10(value) - self._low) / (self._high - self._low)
        return min(100.0, max(0.0, share * 100))

    def at(self) -> list[tuple[float, float]]:
        """The heights that are marked, and their values."""
        return [(self.y(value), value) for value in self.values]


def _nice(least: float, whole: bool) -> float:
    """The smallest of 1, 2, 2.5, 5, 10, … that is not below `least`."""
    if least <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(least))
    step = next(factor * power for factor in (1.0, 2.0, 2.5, 5.0, 10.0) if factor * power >= least * (1 - 1e-9))
    return float(math.ceil(step)) if whole else step
