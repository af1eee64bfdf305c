# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings what a source says to the metrics that live from it, and remembers when it said nothing."""

from __future__ import annotations

from typing import Dict, List

from .._domain.errors import DeployError, InvalidInput
from .._domain.findings import Values
from .._domain.growth import Growth
from .._domain.judge import Case
from .._domain.metrics import ERRORS
from .source import Groups, Reading, Source

CANARY, BASELINE = "canary", "baseline"


class Feed:
    """One source and its metrics.

    :param cases: of the metrics that it feeds.
    """

    def __init__(self, source: Source, cases: List[Case], groups: Groups) -> None:
        self._source, self._groups = source, groups
        self.cases = cases
        self._growths: Dict[str, Growth] = {
            group: Growth(from_zero=source.whole, newcomers=source.newcomers) for group in groups
        }
        self.asked = self.missed = 0
        self.silent = ""
        self.down: List[str] = []  # of the canary, by the last answer
        self.down_looks = 0  # in a row

    @property
    def restarts(self) -> int:
        """How many counters began anew."""
        return sum(growth.restarts for growth in self._growths.values())

    def begin(self) -> None:
        """Where the watch begins: take what counters are to grow from.

        :raises InvalidInput: the source can never say anything, as it was asked for.
        """
        if self._source.whole:
            return
        try:
            readings = self._source.read(self._groups, 0.0)
        except InvalidInput as error:
            names = ", ".join(case.metric.name for case in self.cases)
            raise InvalidInput(f"Metric {names}: {error.message} The watch did not begin.") from None
        except DeployError:
            return  # the looks will tell
        for group, reading in readings.items():
            self._growths[group].take(reading.counters)

    def read(self, elapsed: float) -> None:
        """Ask the source, and lay before the cases what it says."""
        self.asked += 1
        try:
            readings = self._source.read(self._groups, elapsed)
            self.silent = ""
        except DeployError as error:
            self.missed += 1
            self.silent = error.message
            readings = {}
        for group, reading in readings.items():
            self._growths[group].take(reading.counters)
            if group == CANARY:
                self.down = reading.down
                self.down_looks = self.down_looks + 1 if reading.down else 0
        for case in self.cases:
            case.silent = self.silent
            for group, reading in readings.items():
                self._lay_before(case, group, reading)

    def _lay_before(self, case: Case, group: str, reading: Reading) -> None:
        if case.metric.kind == ERRORS:
            counts = self._growths[group].counts
            if group == CANARY:
                case.canary = counts
            else:
                case.baseline = counts
            return
        side = case.canary if group == CANARY else case.baseline
        if isinstance(side, Values):
            side.add(reading.values)
