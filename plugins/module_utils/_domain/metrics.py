# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The metrics that a canary is judged by, as a user asks for them.  Pure."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Sequence

from .errors import InvalidInput
from .ranks import DOWN, EITHER, FEWEST, UP

ERRORS, SAMPLES = "errors", "samples"
# Every metric takes its part of the false alarms that are allowed, so that more of them see less.
MOST_METRICS = 12
_MINIMUM = {ERRORS: 200, SAMPLES: 20}
# Above this, a bare number was meant as percent.
_HIGHEST_FACTOR = 10.0


@dataclass(frozen=True)
class Metric:
    """One of them.

    :param allowed: the change for the worse that is allowed, 0.25 for a quarter.
    :param tolerated: errors: a rate; samples: a value, None for none. On its good side nobody minds a change.
    :param critical: whether its failure alone is the canary's.
    :param minimum: requests or samples on each side, without which it does not pass.
    :param direction: of samples, what is worse.
    """

    name: str
    kind: str
    allowed: float
    tolerated: float | None = None
    critical: bool = True
    minimum: int = 0
    direction: str = UP


def read_metrics(asked: Sequence[dict[str, Any]]) -> list[Metric]:
    """Check the option `metrics`, but for its sources.

    :raises InvalidInput: with everything that is wrong.
    """
    wrong = []
    if not 1 <= len(asked) <= MOST_METRICS:
        wrong.append(
            f"{len(asked)} metrics, expected 1 to {MOST_METRICS}: each takes its part of the false alarms, so that many see little"
        )
    names = [one["name"] for one in asked]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        wrong.append(f"several metrics are called {', '.join(twice)}")
    metrics = []
    for one in asked:
        try:
            allowed = read_share(one["allowed_increase"])
        except ValueError as error:
            wrong.append(f"metric {one['name']}: allowed_increase: {error}")
            continue
        minimum = _MINIMUM[one["kind"]] if one.get("minimum") is None else one["minimum"]
        tolerated = one.get("tolerated")
        if tolerated is None and one["kind"] == ERRORS:
            tolerated = 0.0
        metric = Metric(
            one["name"], one["kind"], allowed, tolerated, one.get("critical", True), minimum, one.get("direction") or UP
        )
        metrics.append(metric)
        wrong += [f"metric {metric.name}: {what}" for what in _wrong(metric)]
    if wrong:
        said = "; ".join(wrong)
        raise InvalidInput(f"{said[0].upper()}{said[1:]}. Nothing was watched.")
    return metrics


def _wrong(metric: Metric) -> list[str]:
    wrong = []
    least = 1 if metric.kind == ERRORS else FEWEST
    if metric.minimum < least:
        wrong.append(f"minimum: expected at least {least}, found {metric.minimum}")
    if metric.kind == ERRORS and metric.direction != UP:
        wrong.append("direction is for samples alone: fewer errors are never worse")
    if metric.direction != UP and metric.allowed >= 1:
        wrong.append(
            f"allowed_increase: values that may fall by {metric.allowed:.0%} cannot fall too far; expected less than 100%"
        )
    if metric.tolerated is not None:
        if metric.direction == EITHER:
            wrong.append("tolerated: nothing is on the good side where either direction is bad")
        elif metric.kind == ERRORS and not 0 <= metric.tolerated < 1:
            wrong.append(
                f"tolerated: expected a rate of errors from 0 to below 1, such as 0.001, found {metric.tolerated:g}"
            )
        elif not 0 <= metric.tolerated < math.inf:
            wrong.append(f"tolerated: expected a number, 0 or more, found {metric.tolerated:g}")
    return wrong


def read_share(text: Any) -> float:
    """``0.25`` and ``25%`` alike, as a number.

    :raises ValueError: in parts of a sentence.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(%?)\s*", str(text))
    if not match:
        raise ValueError(f"expected a share such as 25% or 0.25, found {text!r}")
    number = float(match.group(1))
    if match.group(2):
        return number / 100
    if number > _HIGHEST_FACTOR:
        raise ValueError(f"{text} is {number:.0%}; write {text}% if you mean percent")
    return number


__all__ = ["DOWN", "EITHER", "ERRORS", "MOST_METRICS", "Metric", "SAMPLES", "UP", "read_metrics", "read_share"]
