# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Do more of the canary's requests fail?  Exact for any number of requests and errors.  Pure.

Given how many requests failed in all, the number of them that fell on the canary has Fisher's noncentral hypergeometric
distribution, whose only parameter is the ratio of the two sides' odds of failing (Fisher, The logic of inductive
inference, Journal of the Royal Statistical Society 98, 1935, 39-82).  So nothing is approximated, a baseline without
errors is a case like any other, and with few data only overwhelming evidence counts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Callable

FARTHEST = 50.0  # logarithm of the highest ratio of odds that is looked for


@dataclass(frozen=True)
class Counts:
    """One side: requests, and how many of them failed (at most all)."""

    requests: int = 0
    errors: int = 0

    @property
    def rate(self) -> float | None:
        """The share that failed; None without requests."""
        return self.errors / self.requests if self.requests else None


class Errors:
    """How the errors of both sides fell.

    SciPy's own distribution (``scipy.stats.nchypergeom_fisher``) adds up its probabilities one call each; here they are
    taken all at once from SciPy's logarithms of binomials, which tens of thousands of errors need.
    """

    def __init__(self, canary: Counts, baseline: Counts) -> None:
        import numpy
        from scipy.special import betaln

        self.canary, self.baseline = canary, baseline
        total = canary.errors + baseline.errors
        self._falls = numpy.arange(max(0, total - baseline.requests), min(total, canary.requests) + 1)
        self._here = canary.errors - int(self._falls[0])
        rest = total - self._falls
        # log of C(n, k), but for a summand that is the same for all
        self._logs = -betaln(canary.requests - self._falls + 1, self._falls + 1) - betaln(
            baseline.requests - rest + 1, rest + 1
        )

    def as_many(self, odds: float) -> float:
        """The chance of as many errors on the canary, or more, if its odds of failing were `odds` times the baseline's."""
        return self._share(slice(self._here, None), math.log(odds))

    def as_few(self, odds: float) -> float:
        """The chance of as few errors on the canary, or fewer."""
        return self._share(slice(None, self._here + 1), math.log(odds))

    def _share(self, part: slice, log_odds: float) -> float:
        import numpy

        logs = self._logs + self._falls * log_odds
        weights = numpy.exp(logs - logs.max())
        return float(min(1.0, weights[part].sum() / weights.sum()))

    def ratio(self) -> float | None:
        """The ratio of odds that was seen; None when the baseline has no error (or nothing else), or the canary nothing else."""
        ours, theirs = self.canary, self.baseline
        below = (ours.requests - ours.errors) * theirs.errors
        return ours.errors * (theirs.requests - theirs.errors) / below if below else None

    def interval(self, level: float) -> tuple[float, float | None]:
        """The ratios of odds that a test at `level` on either side does not rule out; None when there is no upper end.

        The intervals of all looks, each at the level that its look spends, hold together (repeated confidence
        intervals: Jennison and Turnbull, Journal of the Royal Statistical Society B 51, 1989, 305-361).
        """
        from scipy.optimize import brentq

        def end(chance: Callable[[float], float]) -> float:
            return math.exp(brentq(lambda log: chance(math.exp(log)) - level, -FARTHEST, FARTHEST))

        # At a level that is small enough not even the farthest ratio is ruled out.
        low = end(self.as_many) if self.as_many(math.exp(-FARTHEST)) < level else 0.0
        high = end(self.as_few) if self.as_few(math.exp(FARTHEST)) < level else None
        return low, high


def evidence(canary: Counts, baseline: Counts, allowed: float, tolerated: float) -> float:
    """The p-value of "the canary's odds of failing are at most 1 + `allowed` times the baseline's, or it fails at most at the
    rate `tolerated`".

    Both must be ruled out, so the larger of the two p-values is the one that counts (an intersection-union test).

    :param allowed: 0.5 for half as much again.
    :param tolerated: a rate of errors that nobody minds; its test is the exact binomial one.
    """
    from scipy.stats import binom

    if not canary.errors or not baseline.requests:
        return 1.0
    more = Errors(canary, baseline).as_many(1 + allowed)
    return max(more, float(binom.sf(canary.errors - 1, canary.requests, tolerated))) if tolerated else more


def highest_rate(side: Counts, level: float) -> float:
    """The highest rate of errors that a test at `level` does not rule out (Clopper and Pearson, Biometrika 26, 1934, 404-413)."""
    from scipy.stats import beta

    if side.errors >= side.requests:
        return 1.0
    return float(beta.isf(level, side.errors + 1, side.requests - side.errors))
