# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What users felt: requests that have ended, by the second in which they began, and what they come to.  Pure.

Times are seconds since 1970, latencies milliseconds.  A request belongs to the second in which it was sent, since that is when its
user's trouble began, whenever a timeout ended it.  Seconds can be told in pieces and in any order: they add up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence

from .latencies import Latencies
from .shape import MAYBE_TIME, TIME, wrong

OK = "ok"  # a status below 500 and the whole body
STATUS = "status"  # 5xx
REFUSED = "refused"  # no connection
RESET = "reset"  # the connection was reset before an answer began
CLOSED = "closed"  # the connection was closed before an answer began
TRUNCATED = "truncated"  # the answer began and did not reach its end
TIMEOUT = "timeout"
GARBLED = "garbled"  # no HTTP
NAME = "name"  # the host's name could not be resolved
TLS = "tls"
OUTCOMES = (OK, STATUS, REFUSED, RESET, CLOSED, TRUNCATED, TIMEOUT, GARBLED, NAME, TLS)

# What is no failure.
FINE = frozenset((OK, "skipped"))
ANSWERED = frozenset((OK, STATUS))
# How many failures are told one by one, and how many entries a series has at most.
TOLD, ENTRIES = 50, 3600

# What :meth:`Second.plain` tells, each of it where there is something to tell.
_PLAIN: Dict[str, Any] = {
    "at": TIME,
    "outcomes": {...: int},
    "versions": {...: int},
    "latencies": {"counts": {...: int}, "longest": (int, float, type(None))},
    "first": MAYBE_TIME,
    "last": MAYBE_TIME,
    "late": int,
    "failures": [{"time": TIME, "outcome": str, "url": str, "why": str, "version": str}],
}

_SHARES = (("p50", 0.50), ("p95", 0.95), ("p99", 0.99))


@dataclass(frozen=True)
class Ended:
    """A request that has ended.

    :param at: when it was sent.
    :param took: milliseconds from then until its end.
    :param version: which version answered; empty where that was not told.
    :param url: where to, without secrets.
    :param why: why it failed, in a sentence.
    """

    at: float
    outcome: str
    took: float
    version: str = ""
    url: str = ""
    why: str = ""


@dataclass
class Second:
    """What became of the requests that were sent in one second.

    :param at: its beginning, a whole number.
    :param first: when the first one was sent that failed; `last`: the last one.
    :param late: how many were due and could not be sent in time.
    :param failures: some of those that failed, as they are told.
    """

    at: int
    outcomes: Dict[str, int] = field(default_factory=dict)
    versions: Dict[str, int] = field(default_factory=dict)
    latencies: Latencies = field(default_factory=Latencies)
    first: Optional[float] = None
    last: Optional[float] = None
    late: int = 0
    failures: List[Dict[str, Any]] = field(default_factory=list)

    @property
    def requests(self) -> int:
        """How many have ended."""
        return sum(self.outcomes.values())

    @property
    def failed(self) -> int:
        """How many of them failed."""
        return sum(count for outcome, count in self.outcomes.items() if outcome not in FINE)

    def note(self, ended: Ended, detailed: bool = True) -> None:
        """Count a request.

        :param detailed: whether it is told by itself, too, if it failed.
        """
        _count(self.outcomes, {ended.outcome: 1})
        _count(self.versions, {ended.version: 1})
        if ended.outcome in ANSWERED:
            self.latencies.note(ended.took)
        if ended.outcome in FINE:
            return
        at = round(ended.at, 3)
        self._stretch(at, at)
        if detailed:
            self.failures.append(
                {"time": at, "outcome": ended.outcome, "url": ended.url, "why": ended.why, "version": ended.version}
            )

    def add(self, other: "Second") -> None:
        """Count all that `other` has counted."""
        _count(self.outcomes, other.outcomes)
        _count(self.versions, other.versions)
        self.latencies.add(other.latencies)
        self._stretch(other.first, other.last)
        self.late += other.late
        self.failures.extend(other.failures)

    def plain(self) -> Dict[str, Any]:
        """What :meth:`read` takes, of plain JSON types; what is empty is left out."""
        told = {
            "at": self.at,
            "outcomes": self.outcomes,
            "versions": self.versions,
            "latencies": self.latencies.plain() if self.latencies else None,
            "first": self.first,
            "last": self.last,
            "late": self.late,
            "failures": self.failures,
        }
        return {name: value for name, value in told.items() if value or name == "at"}

    @classmethod
    def read(cls, plain: Mapping[str, Any]) -> "Second":
        """The inverse of :meth:`plain`.

        :raises ValueError: it is something else.
        """
        about = dict(plain)
        problem = wrong(about, {"at": TIME, **{name: _PLAIN[name] for name in about if name in _PLAIN}}, "second")
        if problem or not isinstance(about["at"], int) or not set(about) <= set(_PLAIN):
            raise ValueError(problem or "it is no second that a prober writes")
        latencies = about.pop("latencies", None)
        return cls(latencies=Latencies.read(latencies) if latencies else Latencies(), **about)

    def _stretch(self, first: Optional[float], last: Optional[float]) -> None:
        if first is not None:
            self.first = first if self.first is None else min(self.first, first)
        if last is not None:
            self.last = last if self.last is None else max(self.last, last)


def summary(seconds: Iterable[Second], began: float, ended: float, urls: Sequence[str], rate: float) -> Dict[str, Any]:
    """`felt`: what a probe has seen from `began` to `ended`.

    :param seconds: any number of them for each second, in any order.
    :param urls: without secrets.
    :param rate: requests a second that were asked for.
    """
    seconds = list(seconds)
    total = Second(0)
    for second in seconds:
        total.add(second)
    return {
        "began": round(began, 3),
        "ended": round(ended, 3),
        "urls": list(urls),
        "rate": rate,
        "requests": total.requests,
        "failed": total.failed,
        "outcomes": _sorted(total.outcomes),
        "versions": _sorted(total.versions),
        "latency": {
            **{name: total.latencies.percentile(share) for name, share in _SHARES},
            "max": total.latencies.longest,
        },
        "first_failure": total.first,
        "last_failure": total.last,
        "disturbance": 0.0 if total.first is None or total.last is None else round(total.last - total.first, 3),
        "failures": sorted(total.failures, key=lambda failure: failure["time"])[:TOLD],
        "late": total.late,
        "series": _series(seconds, began, ended, sorted(total.versions)),
    }


def _series(seconds: Sequence[Second], began: float, ended: float, versions: Sequence[str]) -> Dict[str, Any]:
    first = min([math.floor(began)] + [second.at for second in seconds])
    behind = max([math.ceil(ended)] + [second.at + 1 for second in seconds])
    step = max(1, math.ceil((behind - first) / ENTRIES))
    entries = [Second(first + place * step) for place in range(math.ceil((behind - first) / step))]
    for second in seconds:
        entries[(second.at - first) // step].add(second)
    return {
        "began": first,
        "step": step,
        "requests": [entry.requests for entry in entries],
        "failed": [entry.failed for entry in entries],
        **{name: [entry.latencies.percentile(share) for entry in entries] for name, share in _SHARES},
        "versions": {version: [entry.versions.get(version, 0) for entry in entries] for version in versions},
    }


def _count(counts: Dict[str, int], more: Mapping[str, int]) -> None:
    for name, count in more.items():
        counts[name] = counts.get(name, 0) + count


def _sorted(counts: Mapping[str, int]) -> Dict[str, int]:
    return {name: counts[name] for name in sorted(counts)}
