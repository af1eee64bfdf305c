# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a probe has felt, second by second, made few enough to be drawn and read.  Pure."""

from __future__ import annotations

import statistics
from typing import Any, NamedTuple

MOST = 240  # points of a chart; more cannot be told apart, and cost bytes


class Stretch(NamedTuple):
    """Some seconds that follow each other, as one point of a chart."""

    began: float
    ended: float
    requests: float
    failed: float
    p50: float | None
    p95: float | None
    p99: float | None
    versions: dict[str, float]

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.ended - self.began


def merged(series: dict[str, Any], most: int = MOST) -> list[Stretch]:
    """The entries of a probe's series, so many of them in one that at most `most` are left.

    Counts are added up, so none is lost.  Percentiles cannot be put together from percentiles: a stretch has the middle of its
    seconds' p50, and the highest of their p95 and p99, so that no second that was slow is hidden by others.

    :param series: ``series`` of what the probe felt.
    """
    length, step = len(series["requests"]), series["step"]
    together = max(1, -(-length // most))
    found = []
    for first in range(0, length, together):
        part = slice(first, min(first + together, length))
        p50 = _told(series["p50"][part])
        p95, p99 = _told(series["p95"][part]), _told(series["p99"][part])
        found.append(
            Stretch(
                began=series["began"] + part.start * step,
                ended=series["began"] + part.stop * step,
                requests=sum(series["requests"][part]),
                failed=sum(series["failed"][part]),
                p50=statistics.median(p50) if p50 else None,
                p95=max(p95, default=None),
                p99=max(p99, default=None),
                versions={version: sum(counts[part]) for version, counts in series["versions"].items()},
            )
        )
    return found


def _told(column: list[float | None]) -> list[float]:
    return [value for value in column if value is not None]


def first_answer(series: dict[str, Any], version: str) -> float | None:
    """When the first answer of `version` was seen (the beginning of that entry); None when there was none."""
    return next(
        (
            series["began"] + index * series["step"]
            for index, count in enumerate(series["versions"].get(version, ()))
            if count
        ),
        None,
    )


def last_answer(series: dict[str, Any], versions: list[str]) -> float | None:
    """When the last answer of any of `versions` was seen (the end of that entry); None when there was none."""
    ends = [
        index
        for version in versions
        for index, count in enumerate(series["versions"].get(version, ()))
        if count
    ]  # fmt: skip
    return series["began"] + (max(ends) + 1) * series["step"] if ends else None
