# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long requests took, in little room: counts in buckets whose width grows with the duration.  Pure.

Each bucket reaches 5 % further than the one before.  A duration is told as its bucket's middle, which is at most 2.44 % from
every duration in it, so a percentile is at most 2.5 % from the true one (of durations of a microsecond and more; what is shorter
counts as that).  A hundred buckets span a factor of 130, and counts of two histograms just add up.
"""

from __future__ import annotations

import math
from typing import Any, Dict, Mapping, Optional

GROWTH = 1.05
WIDEST = 2000  # the largest number of a bucket: of durations of 10^42 milliseconds
SHORTEST = 0.001  # milliseconds

_LOG = math.log(GROWTH)


class Latencies:
    """A histogram of durations, all in milliseconds, and the longest of them exactly."""

    def __init__(self) -> None:
        self.counts: Dict[int, int] = {}
        self.longest: Optional[float] = None

    def __bool__(self) -> bool:
        return bool(self.counts)

    def note(self, took: float) -> None:
        """Count one duration."""
        bucket = math.ceil(math.log(max(took, SHORTEST)) / _LOG)
        self.counts[bucket] = self.counts.get(bucket, 0) + 1
        self._reach(took)

    def add(self, other: "Latencies") -> None:
        """Count all that `other` has counted."""
        for bucket, count in other.counts.items():
            self.counts[bucket] = self.counts.get(bucket, 0) + count
        self._reach(other.longest)

    def percentile(self, share: float) -> Optional[float]:
        """The duration that at least this share (0..1) of all did not exceed; None where nothing was counted."""
        left = math.ceil(share * sum(self.counts.values()))
        for bucket in sorted(self.counts):
            left -= self.counts[bucket]
            if left <= 0:
                middle = 2 * GROWTH**bucket / (GROWTH + 1)
                return round(middle if self.longest is None else min(middle, max(self.longest, SHORTEST)), 3)
        return None

    def plain(self) -> Dict[str, Any]:
        """What :meth:`read` takes, of plain JSON types."""
        return {"counts": {str(bucket): count for bucket, count in self.counts.items()}, "longest": self.longest}

    @classmethod
    def read(cls, plain: Mapping[str, Any]) -> "Latencies":
        """The inverse of :meth:`plain`.

        :raises ValueError: a bucket is none that :meth:`note` could have filled.
        """
        read = cls()
        read.counts = {int(bucket): int(count) for bucket, count in plain["counts"].items()}
        if any(abs(bucket) > WIDEST for bucket in read.counts):
            raise ValueError("there is no such duration")
        read.longest = plain["longest"]
        return read

    def _reach(self, took: Optional[float]) -> None:
        if took is not None and (self.longest is None or took > self.longest):
            self.longest = round(took, 3)
