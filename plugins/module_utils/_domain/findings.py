# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one look says of one metric: a verdict, the figures and a sentence.  Pure."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field
from typing import Any, Iterable, List, Tuple, Union

from . import proportions, ranks
from .metrics import DOWN, EITHER, ERRORS, Metric
from .proportions import Counts, Errors, highest_rate

PASS, FAIL, INCONCLUSIVE = "pass", "fail", "inconclusive"


@dataclass
class Values:
    """One side of a metric of samples.

    :param dropped: values that are no numbers (NaN, infinite).
    :param negative: values below 0, of which no ratio makes sense.
    """

    usable: List[float] = field(default_factory=list)
    dropped: int = 0
    negative: int = 0

    def add(self, values: Iterable[float]) -> None:
        """Take in more of them."""
        for value in values:
            if not math.isfinite(value):
                self.dropped += 1
            elif value < 0:
                self.negative += 1
            else:
                self.usable.append(value)


Side = Union[Counts, Values]


@dataclass(frozen=True)
class Finding:
    """What a look says of a metric.

    :param verdict: ``fail``, ``pass`` (enough was seen, and it does not fail) or ``inconclusive``.
    :param lacks: why it cannot pass, as the end of a sentence; empty when enough was seen.
    :param absent: whether a side has nothing at all, or its source is silent.
    :param p_value: the chance of what was seen, or worse, if the canary were no worse than allowed.
    :param level: the p-value at which this look fails it.
    """

    verdict: str
    lacks: str
    absent: bool
    p_value: float
    level: float

    @property
    def shown(self) -> bool:
        """Whether it is a failure by evidence, or no failure; else it fails because nothing was seen."""
        return self.verdict != FAIL or self.p_value <= self.level


def find(metric: Metric, canary: Side, baseline: Side, level: float, silent: str = "") -> Finding:
    """Judge a metric by what has been seen of both sides so far.

    To fail it takes evidence, however little was seen; to pass it takes the minimum on both sides as well.

    :param level: what the look may spend of the chance of a false alarm.
    :param silent: why its source did not answer at this look; empty when it did.
    """
    chance = _p_value(metric, canary, baseline)
    lacks, absent = _lacking(metric, canary, baseline)
    if silent:
        lacks, absent = f"its source did not answer at the last look: {silent.rstrip('.')}", True
    if level > 0 and chance <= level:
        verdict = FAIL
    else:
        verdict = INCONCLUSIVE if lacks else PASS
    return Finding(verdict, lacks, absent, chance, level)


def _p_value(metric: Metric, canary: Side, baseline: Side) -> float:
    if isinstance(canary, Counts) and isinstance(baseline, Counts):
        return proportions.evidence(canary, baseline, metric.allowed, metric.tolerated or 0.0)
    if isinstance(canary, Values) and isinstance(baseline, Values) and not (canary.negative or baseline.negative):
        ours, theirs = ranks.thinned(canary.usable), ranks.thinned(baseline.usable)
        return ranks.evidence(ours, theirs, metric.direction, metric.allowed, metric.tolerated)
    return 1.0


def size(side: Side) -> int:
    """How many requests or samples."""
    return side.requests if isinstance(side, Counts) else len(side.usable)


def _lacking(metric: Metric, canary: Side, baseline: Side) -> Tuple[str, bool]:
    ours, theirs = size(canary), size(baseline)
    what = "requests" if metric.kind == ERRORS else "samples"
    if isinstance(canary, Values) and isinstance(baseline, Values) and (canary.negative or baseline.negative):
        return (
            f"{canary.negative + baseline.negative} of its values are below 0, and ratios of such make no sense",
            False,
        )
    if not ours or not theirs:
        where = "either side" if ours == theirs else "the canary" if theirs else "the baseline"
        return f"there are no {what} on {where}", True
    if min(ours, theirs) < metric.minimum:
        return (
            f"there are {ours:,} {what} on the canary and {theirs:,} on the baseline, and each needs {metric.minimum:,}",
            False,
        )
    return "", False


def told(metric: Metric, finding: Finding, canary: Side, baseline: Side) -> dict[str, Any]:
    """The finding as a task's result has it, with the figures that explain it."""
    figures = _figures(metric, finding, canary, baseline)
    return {
        "name": metric.name,
        "kind": metric.kind,
        "critical": metric.critical,
        "verdict": finding.verdict,
        "sentence": f"{metric.name} {_headline(finding)}: {_explained(metric, finding, canary, baseline, figures)}.",
        "canary": _shown(canary),
        "baseline": _shown(baseline),
        "allowed": round(1 - metric.allowed if metric.direction == DOWN else 1 + metric.allowed, 6),
        **figures,
        "p_value": finding.p_value,
        "threshold": finding.level,
    }


def _headline(finding: Finding) -> str:
    return {PASS: "passes", FAIL: "fails", INCONCLUSIVE: "is inconclusive"}[finding.verdict]


def _shown(side: Side) -> dict[str, Any]:
    if isinstance(side, Counts):
        return {"requests": side.requests, "errors": side.errors, "rate": side.rate}
    return {
        "samples": len(side.usable),
        "median": statistics.median(side.usable) if side.usable else None,
        "dropped": side.dropped + side.negative,
    }


def _figures(metric: Metric, finding: Finding, canary: Side, baseline: Side) -> dict[str, Any]:
    """Estimate and interval of the ratio of the canary to the baseline: of odds, or of values."""
    estimate: float | None = None
    ends: tuple[float | None, float | None] = (None, None)
    if isinstance(canary, Counts) and isinstance(baseline, Counts):
        if canary.requests and baseline.requests and finding.level > 0:
            fell = Errors(canary, baseline)
            estimate, ends = fell.ratio(), fell.interval(finding.level)
    elif finding.level > 0 and not _lacking(metric, canary, baseline)[1] and not (canary.negative or baseline.negative):
        ours, theirs = ranks.thinned(canary.usable), ranks.thinned(baseline.usable)
        estimate, ends = ranks.ratio(ours, theirs), ranks.interval(ours, theirs, finding.level)
    return {"estimate": estimate, "interval": list(ends)}


def _explained(metric: Metric, finding: Finding, canary: Side, baseline: Side, figures: dict[str, Any]) -> str:
    if finding.verdict == INCONCLUSIVE or not finding.shown:
        return finding.lacks
    explain = _errors_explained if isinstance(canary, Counts) else _values_explained
    said: str = explain(metric, finding, canary, baseline, figures)
    if finding.verdict == FAIL:
        said += f" (p {finding.p_value:.2g}, and {finding.level:.2g} is enough at this look)"
    return said


def _errors_explained(
    metric: Metric, finding: Finding, canary: Counts, baseline: Counts, figures: dict[str, Any]
) -> str:
    seen = (
        f"{canary.errors:,} of {canary.requests:,} requests to the canary failed ({percent(canary.rate)}), "
        f"and {baseline.errors:,} of {baseline.requests:,} to the baseline ({percent(baseline.rate)}); "
    )
    low, high = figures["interval"]
    allowed = f"up to {times(1 + metric.allowed)} is allowed"
    if metric.tolerated:
        allowed += f", and a rate of {percent(metric.tolerated)} is tolerated"
    if finding.verdict == FAIL:
        return f"{seen}the odds of failing are at least {times(low)} the baseline's, {allowed}"
    if high is None:
        most = percent(highest_rate(canary, finding.level)) if finding.level > 0 else "100%"
        return f"{seen}the baseline has no errors to compare with, and on the canary a rate of up to {most} cannot be ruled out"
    return f"{seen}odds of failing up to {times(high)} the baseline's cannot be ruled out, {allowed}"


def _values_explained(
    metric: Metric, finding: Finding, canary: Values, baseline: Values, figures: dict[str, Any]
) -> str:
    ours, theirs = statistics.median(canary.usable), statistics.median(baseline.usable)
    seen = (
        f"the median of the canary's {len(canary.usable):,} values is {ours:.4g}, "
        f"of the baseline's {len(baseline.usable):,} {theirs:.4g}; "
    )
    low, high = figures["interval"]
    bounds = {
        DOWN: f"down to {times(1 - metric.allowed)}",
        EITHER: f"{1 - metric.allowed:.3g} to {times(1 + metric.allowed)}",
    }
    allowed = f"{bounds.get(metric.direction, f'up to {times(1 + metric.allowed)}')} is allowed"
    if metric.tolerated is not None:
        allowed += f", and {metric.tolerated:.4g} is tolerated"
    if low is None:
        between = "more than any number of times"
    else:
        between = f"{low:.3g} times or more" if high is None else f"{low:.3g} to {high:.3g} times"
    if finding.verdict == FAIL:
        return f"{seen}the canary's values are {between} the baseline's, {allowed}"
    return f"{seen}{between} the baseline's values cannot be ruled out, {allowed}"


def times(number: float) -> str:
    """A ratio in words."""
    return f"{number:.3g} times"


def percent(rate: float | None) -> str:
    """A rate for a reader."""
    return "none" if rate is None else f"{100 * rate:.3g}%"
