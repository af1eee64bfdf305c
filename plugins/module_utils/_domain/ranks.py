# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Are the canary's values higher (or lower)?  By ranks, so that a few wild ones decide nothing.  Pure.

The test is Mann and Whitney's (Annals of Mathematical Statistics 18, 1947, 50-60), made against the baseline *times* what
is allowed: a latency that may rise by 25% is held against 1.25 times the baseline's values.  So what is allowed needs no
estimate of its own, and the size of the change is a ratio: Hodges and Lehmann's estimate (Annals of Mathematical
Statistics 34, 1963, 598-611) and its interval, on a scale of ratios.  Values are 0 or more.
"""

from __future__ import annotations

import math
from typing import Any, Callable, Sequence

UP, DOWN, EITHER = "up", "down", "either"
# Below so many values on a side, ties make the approximation surer than the exact chances are.
FEWEST = 8
# Up to so many on both sides, and without ties, the chances are counted out; above, the normal approximation is as good,
# and errs towards no alarm where chances are small.
EXACT = 20
# So many values on a side are enough for any change that matters; of more, every second, third … is taken.
MOST = 2000
_PRECISION = 1e-3  # of an interval's ends, relative
_LARGEST = 700.0  # logarithm of a number


def thinned(values: Sequence[float]) -> Sequence[float]:
    """At most :data:`MOST` values, evenly from all."""
    return values[:: math.ceil(len(values) / MOST)] if len(values) > MOST else values


def surprise(ours: Sequence[float], theirs: Sequence[float], way: str) -> float:
    """The p-value of "`ours` tend to be no higher than `theirs`" (`way` is ``greater``), or no lower (``less``).

    1.0 where there is nothing to compare, and where all values are the same.
    """
    from scipy.stats import mannwhitneyu

    if not len(ours) or not len(theirs):
        return 1.0
    distinct = len({*ours, *theirs})
    if distinct == 1:
        return 1.0
    exact = distinct == len(ours) + len(theirs) and max(len(ours), len(theirs)) <= EXACT
    method = "exact" if exact else "asymptotic"
    return float(mannwhitneyu(ours, theirs, alternative=way, method=method).pvalue)


def evidence(
    canary: Sequence[float], baseline: Sequence[float], direction: str, allowed: float, tolerated: float | None
) -> float:
    """The p-value of "the canary's values are no worse than allowed".

    :param direction: what is worse: ``up``, ``down``, or ``either`` (then each way gets half).
    :param allowed: 0.25 for a quarter higher (`up`), lower (`down`).
    :param tolerated: a value that nobody minds: that half of the canary's values are no worse must be ruled out as well
        (sign test; the larger p-value counts). Not with ``either``.
    """
    if min(len(canary), len(baseline)) < FEWEST:
        return 1.0
    ways = []
    if direction in (UP, EITHER):
        ways.append(surprise(canary, [(1 + allowed) * value for value in baseline], "greater"))
    if direction in (DOWN, EITHER):
        ways.append(surprise(canary, [(1 - allowed) * value for value in baseline], "less"))
    change = min(1.0, len(ways) * min(ways))
    return change if tolerated is None else max(change, _beyond(canary, tolerated, direction))


def _beyond(values: Sequence[float], bound: float, direction: str) -> float:
    """The p-value of "half of these values, or more, lie on the good side of `bound`"."""
    from scipy.stats import binom

    worse = sum(value > bound if direction == UP else value < bound for value in values)
    return float(binom.sf(worse - 1, len(values), 0.5))


def ratio(canary: Sequence[float], baseline: Sequence[float]) -> float | None:
    """By what the baseline's values are to be multiplied to be like the canary's (Hodges and Lehmann); None: by no number."""
    import numpy

    # Two zeros are alike whatever they are multiplied by: they say nothing.
    middle = numpy.nanmedian(_ratios(canary, baseline)) if max([*canary, *baseline], default=0) > 0 else numpy.inf
    return float(middle) if numpy.isfinite(middle) else None


def interval(canary: Sequence[float], baseline: Sequence[float], level: float) -> tuple[float | None, float | None]:
    """The ratios that a test at `level` on either side does not rule out.

    The lower end is 0 when there is none, and None when any number is too low; the upper end is None when there is none.
    """
    import numpy

    ratios = _ratios(canary, baseline)
    seen = ratios[numpy.isfinite(ratios) & (ratios > 0)]
    # Logarithms: of values that are worlds apart the ratios' product is no number any more.
    bottom, top = (math.log(seen.min()) - 1, math.log(seen.max()) + 1) if seen.size else (0.0, 0.0)

    def end(still: Callable[[Sequence[float]], bool]) -> float | None:
        """The first ratio at which `still` no longer holds of the multiplied baseline."""

        def holds(log: float) -> bool:
            return still([math.exp(min(log, _LARGEST)) * value for value in baseline])

        if not holds(bottom):
            return 0.0
        if holds(top):
            return None
        low, high = bottom, top
        while high - low > _PRECISION:
            middle = (low + high) / 2
            low, high = (middle, high) if holds(middle) else (low, middle)
        return math.exp(min((low + high) / 2, _LARGEST))

    return (
        end(lambda scaled: surprise(canary, scaled, "greater") <= level),
        end(lambda scaled: surprise(canary, scaled, "less") > level),
    )


def _ratios(canary: Sequence[float], baseline: Sequence[float]) -> Any:
    """Of every pair, in one array."""
    import numpy

    with numpy.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return numpy.divide.outer(numpy.asarray(canary, float), numpy.asarray(baseline, float))
