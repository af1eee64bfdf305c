# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the samples say. Pure functions of samples; a sample is a dictionary as `clients` makes it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from .exchange import CLOSED, STATUS, TRUNCATED

SHOWN_FAILURES = 50
# A death is logged just before the kernel is asked to kill. Until the process is torn down and its sockets are closed
# and seen closed by the balancer, a request may still begin that this death cuts. Measured on two cores under load,
# the last such request began 7 ms after the logged moment and ended within 9 ms; the rest is room for a slower machine.
# Anything begun later than this has another cause and counts as failed.
TEARDOWN_SECONDS = 0.1


def percentile(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank percentile of ordered values; 0.0 of none."""
    if not ordered:
        return 0.0
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]


def latency(samples: Iterable[dict]) -> dict[str, float]:
    """p50, p95, p99 and max of the requests that were answered well, in milliseconds."""
    ordered = sorted((s["end"] - s["start"]) * 1000 for s in samples if s["outcome"] == "ok")
    found = {name: percentile(ordered, share) for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))}
    found["max"] = ordered[-1] if ordered else 0.0
    return {name: round(value, 3) for name, value in found.items()}


def totals(samples: Sequence[dict]) -> dict:
    """Requests, by outcome, with the reasons of the failures and the latency."""
    failed = [s for s in samples if s["outcome"] != "ok"]
    return {
        "requests": len(samples),
        "ok": len(samples) - len(failed),
        "failed": len(failed),
        "why": dict(Counter(s["why"] for s in failed)),
        "latency_ms": latency(samples),
    }


def fast(samples: Iterable[dict]) -> list[dict]:
    """Without those that are slow by intent."""
    return [s for s in samples if s["kind"] != "slow"]


def summarize(samples: Sequence[dict]) -> dict:
    """All that a reader of the run wants to know; `latency_ms` at the top leaves the slow kind out."""
    samples = sorted(samples, key=lambda s: s["start"])
    failures = [s for s in samples if s["outcome"] != "ok"]
    summary = totals(samples)
    summary["latency_ms"] = latency(fast(samples))
    started, ended = (samples[0]["start"], max(s["end"] for s in samples)) if samples else (0.0, 0.0)
    seconds = ended - started
    return {
        **summary,
        "started": started,
        "ended": ended,
        "seconds": round(seconds, 3),
        "rate": round(len(samples) / seconds, 1) if seconds else 0.0,
        "by_kind": {kind: totals([s for s in samples if s["kind"] == kind])
                    for kind in sorted({s["kind"] for s in samples})},
        "by_version": _count_by("version", samples),
        "by_member": _count_by("member", samples),
        "first_failure": failures[0]["start"] if failures else None,
        "last_failure": failures[-1]["start"] if failures else None,
        "failures": failures[:SHOWN_FAILURES],
    }


def split(samples: Iterable[dict], start: float, end: float) -> dict:
    """The run before, during and after a window of time (seconds since the epoch).

    A request that was under way at any moment of the window is `during`.
    """
    parts: dict[str, list[dict]] = {"before": [], "during": [], "after": []}
    for sample in samples:
        part = "before" if sample["end"] < start else "after" if sample["start"] > end else "during"
        parts[part].append(sample)
    split_up = {}
    for name, part in parts.items():
        split_up[name] = {**totals(part), "latency_ms": latency(fast(part)),
                          "slow_latency_ms": latency(s for s in part if s["kind"] == "slow")}
    return split_up


def cut_by(sample: dict, deaths: Iterable[dict]) -> dict | None:
    """The death that cut this request, if one did.

    It did when all of this holds: the request was under way at the death or began within TEARDOWN_SECONDS of it;
    it failed as a cut one does (no answer, half an answer, or the balancer's 502 for either); and what is known of the
    answering member is that it was the one that died.

    :param deaths: ``{"at": seconds since the epoch, "member": name}``; an empty member means any.
    """
    if sample["outcome"] == "ok":
        return None
    if not (sample["why"] in (CLOSED, TRUNCATED) or (sample["why"] == STATUS and sample["status"] == 502)):
        return None
    for death in deaths:
        under_way = sample["start"] <= death["at"] + TEARDOWN_SECONDS and sample["end"] >= death["at"]
        named = death.get("member", "")
        if under_way and (not named or not sample["member"] or sample["member"] == named):
            return death
    return None


def attribute(samples: Iterable[dict], deaths: Sequence[dict]) -> dict:
    """Failures that the deaths forced, apart from all others.

    :returns: ``cut_by_death`` and ``failed`` as counts, ``cuts`` and ``failures`` as the samples themselves (first 50).
    """
    cuts, failures = [], []
    for sample in samples:
        if sample["outcome"] != "ok":
            (cuts if cut_by(sample, deaths) else failures).append(sample)
    return {"cut_by_death": len(cuts), "failed": len(failures),
            "cuts": cuts[:SHOWN_FAILURES], "failures": failures[:SHOWN_FAILURES]}


def _count_by(name: str, samples: Iterable[dict]) -> dict[str, dict[str, int]]:
    counted: dict[str, dict[str, int]] = {}
    for sample in samples:
        entry = counted.setdefault(sample[name] or "unknown", {"requests": 0, "failed": 0})
        entry["requests"] += 1
        entry["failed"] += sample["outcome"] != "ok"
    return dict(sorted(counted.items()))
