# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated traffic, seeded: what two groups of members would have said of it at each look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

import numpy

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.findings import Values
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.judge import Case
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.proportions import Counts

Random = numpy.random.Generator
Draw = Callable[[Random, int], numpy.ndarray]
SIGMA = 0.25  # spread of the latencies' logarithm


def lognormal(random: Random, number: int) -> numpy.ndarray:
    """The usual latency: its logarithm is normal."""
    return random.lognormal(0, SIGMA, number)


def with_outliers(random: Random, number: int) -> numpy.ndarray:
    """Likewise, but one in twenty takes ten times as long."""
    return random.lognormal(0, SIGMA, number) * numpy.where(random.random(number) < 0.05, 10, 1)


def heavy(random: Random, number: int) -> numpy.ndarray:
    """Heavier tails: its logarithm is Student's t with three degrees of freedom."""
    return numpy.exp(SIGMA * random.standard_t(3, number))


def queue(random: Random, number: int) -> numpy.ndarray:
    """Lengths of a queue: small whole numbers, so that most of them are tied."""
    return random.poisson(1, number).astype(float)


@dataclass(frozen=True)
class Requests:
    """Requests that fail at a rate.

    :param pace: requests a second on each side; they arrive at random (Poisson).
    :param burst: how many fail at once, when they fail.
    """

    pace: float
    canary: float
    baseline: float
    burst: int = 1

    def feed(self, case: Case, random: Random, seconds: float) -> None:
        """What happens in the next `seconds`."""
        case.canary = self._more(case.canary, self.canary, random, seconds)
        case.baseline = self._more(case.baseline, self.baseline, random, seconds)

    def _more(self, before: Counts, rate: float, random: Random, seconds: float) -> Counts:
        came = random.poisson(self.pace * seconds)
        failed = min(came, self.burst * random.binomial(came, rate / self.burst))
        return Counts(before.requests + came, before.errors + failed)


@dataclass(frozen=True)
class Samples:
    """Values, of which so many come at each look.

    :param slower: what the canary's are multiplied by.
    :param shared: the part of a value's deviation that it has from the value before, as overlapping ranges give it.
    """

    draw: Draw
    each: float
    slower: float = 1.0
    shared: float = 0.0

    def feed(self, case: Case, random: Random, _seconds: float) -> None:
        """What comes until the next look."""
        for side, factor in ((case.canary, self.slower), (case.baseline, 1.0)):
            assert isinstance(side, Values)
            whole = int(self.each) + (random.random() < self.each % 1)
            for value in self.draw(random, whole):
                if self.shared and side.usable:
                    value = (side.usable[-1] / factor) ** self.shared * value ** ((1 - self.shared**2) ** 0.5)
                side.usable.append(factor * float(value))
