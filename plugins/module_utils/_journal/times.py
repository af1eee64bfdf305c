# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Points in time and spans, as a journal stores them and as a message tells them."""

from __future__ import annotations

import calendar
import time

_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


def iso(seconds: float) -> str:
    """Seconds since the epoch as UTC in ISO 8601, whole seconds."""
    return time.strftime(_FORMAT, time.gmtime(int(seconds)))


def epoch(text: str) -> int:
    """The inverse of :func:`iso`; ValueError for anything else."""
    return calendar.timegm(time.strptime(text, _FORMAT))


def compact(seconds: float) -> str:
    """Like :func:`iso` without separators, so that it fits into a file name."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(int(seconds)))


def span(seconds: float) -> str:
    """A duration in words: ``7 min 30 s``; the two largest units are enough for a person."""
    rest = max(0, int(round(seconds)))
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        if count:
            parts.append("%d %s" % (count, unit))
    return " ".join(parts[:2]) or "0 s"
