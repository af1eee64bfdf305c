# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What users have felt so far: the figures of a probe, read from its record while it grows.

This is the one place that knows what such a record looks like.
"""

from __future__ import annotations

import json
from typing import Any


def felt_so_far(path: str) -> dict[str, Any] | None:
    """Sum up a record of JSON lines ``{"t": second, "requests": n, "failed": n, "latency": …}``.

    `latency` is the 95th percentile of that second in milliseconds, an object that has it as ``p95``, or a list of all of them.

    :return: ``requests``, ``failed`` and ``p95`` (milliseconds; None where nothing was answered); None where there is no record, or
        nothing in it that can be read.  A line that is not whole yet, or makes no sense, is passed over.
    """
    requests = failed = 0
    found = False
    latencies: list[tuple[float, float]] = []
    try:
        with open(path, encoding="utf-8", errors="replace") as record:
            for line in record:
                try:
                    second = json.loads(line)
                    sent, bad = int(second["requests"]), int(second.get("failed") or 0)
                    latencies += _weighed(second.get("latency"), sent)
                except (ValueError, TypeError, KeyError, AttributeError):
                    continue
                found = True
                requests, failed = requests + sent, failed + bad
    except OSError:
        return None
    return {"requests": requests, "failed": failed, "p95": _percentile(latencies, 0.95)} if found else None


def _weighed(latency: Any, requests: int) -> list[tuple[float, float]]:
    """Latencies, and for how many requests each of them stands."""
    if isinstance(latency, dict):
        latency = latency.get("p95")
    if isinstance(latency, list):
        return [(float(each), 1.0) for each in latency]
    return [] if latency is None else [(float(latency), float(requests))]


def _percentile(weighed: list[tuple[float, float]], share: float) -> float | None:
    left = share * sum(weight for _value, weight in weighed)
    for value, weight in sorted(weighed):
        left -= weight
        if left <= 0:
            return value
    return None
