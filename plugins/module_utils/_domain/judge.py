# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All metrics over a whole watch.  Pure: a look is told its time and what has been seen, and says whether to go on.

- One failing critical metric fails the canary, and so do failing metrics that are not critical when they are more than
  half of those.
- A pass is said at the end alone, when every metric has enough on both sides.
- Anything else is inconclusive, and stays it until more is seen.
"""

from __future__ import annotations

from typing import Any, Dict, List, Sequence

from .findings import FAIL, INCONCLUSIVE, PASS, Finding, Side, Values, find, told
from .metrics import ERRORS, Metric
from .proportions import Counts
from .spending import Budget


class Case:
    """One metric: what has been seen of it, and what it has spent."""

    def __init__(self, metric: Metric, false_alarms: float) -> None:
        """:param false_alarms: the chance of one that this metric has over the whole watch."""
        self.metric = metric
        self.canary: Side = Counts() if metric.kind == ERRORS else Values()
        self.baseline: Side = Counts() if metric.kind == ERRORS else Values()
        self.silent = ""  # why its source did not answer at this look
        self.finding = Finding(INCONCLUSIVE, "nothing has been looked at", True, 1.0, 0.0)
        self._budget = Budget(false_alarms)
        self._failed: Dict[str, Any] | None = None

    def look(self, fraction: float, absent_fails: bool) -> None:
        """Judge it when `fraction` of the watch is over. What has failed once has failed."""
        level = self._budget.spend(fraction)
        if self._failed is not None:
            # It cannot become better, but what it lacked may have come.
            now = find(self.metric, self.canary, self.baseline, 0.0, self.silent)
            self.finding = Finding(FAIL, now.lacks, now.absent, self.finding.p_value, self.finding.level)
            return
        self.finding = find(self.metric, self.canary, self.baseline, level, self.silent)
        if fraction >= 1 and absent_fails and self.finding.absent and self.finding.verdict == INCONCLUSIVE:
            self.finding = Finding(FAIL, self.finding.lacks, True, self.finding.p_value, level)
        if self.finding.verdict == FAIL:
            self._failed = told(self.metric, self.finding, self.canary, self.baseline)

    def told(self) -> dict[str, Any]:
        """The finding with its figures; of a failure, those that it failed by."""
        return self._failed or told(self.metric, self.finding, self.canary, self.baseline)


class Judge:
    """The whole analysis.

    :param false_alarms: the chance of failing a canary that is no worse than allowed, over all metrics and looks: each
        metric gets an equal part (union bound), so that it holds however the metrics depend on each other.
    :param absent_fails: whether a metric without any data on a side fails at the end, instead of being inconclusive.
    """

    def __init__(self, metrics: Sequence[Metric], false_alarms: float, absent_fails: bool = False) -> None:
        self.cases = [Case(metric, false_alarms / len(metrics)) for metric in metrics]
        self._absent_fails = absent_fails

    def look(self, fraction: float) -> str:
        """Judge what the cases have; ``fail`` ends the watch, and ``pass`` is said when `fraction` is 1 alone."""
        for case in self.cases:
            case.look(fraction, self._absent_fails)
        said = verdict([(case.metric.critical, case.finding) for case in self.cases])
        return INCONCLUSIVE if said == PASS and fraction < 1 else said

    def told(self) -> List[dict[str, Any]]:
        """Each metric's finding, in their order."""
        return [case.told() for case in self.cases]


def verdict(findings: Sequence[tuple[bool, Finding]]) -> str:
    """What the findings come to; each with whether its metric is critical."""
    others = [finding for critical, finding in findings if not critical]
    failing = sum(finding.verdict == FAIL for finding in others)
    if failing * 2 > len(others) or any(critical and finding.verdict == FAIL for critical, finding in findings):
        return FAIL
    if not findings or any(finding.lacks for _critical, finding in findings):
        return INCONCLUSIVE
    return PASS
