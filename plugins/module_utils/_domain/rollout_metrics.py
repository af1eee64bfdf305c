# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rollout, and the history of a service, as metrics.  Pure.

Names and units follow https://prometheus.io/docs/practices/naming/: seconds, ratios from 0 to 1, and no word that names the
type.  All of them are gauges, or a summary, of the *last* rollout: a rollout is an event and none of them goes on growing, so that
nothing is called ``_total``.
"""

from __future__ import annotations

import math
from typing import Any, Dict, List, Mapping, Optional

from .exposition import SUMMARY, Family, Sample
from .history import ROLLBACK as UNDO
from .history import SUCCEEDED, UNDONE

PREFIX = "zero_downtime_"
ROLLOUT, HISTORY = PREFIX + "rollout_", PREFIX + "history_"
BEGIN, FAILURE, ROLLBACK, FINISH = "begin", "failure", "rollback", "finish"
EVENTS = (BEGIN, FAILURE, ROLLBACK, FINISH)
STATES = {
    BEGIN: "running",
    FAILURE: "failing",
    ROLLBACK: "rolling_back",
}  # the label `outcome` of one that has not ended
PAUSED = "paused"
LARGEST = 1e15  # of a usable number; Python's integers have no end, and JSON's neither
QUANTILES = (("p50", "0.5"), ("p95", "0.95"), ("p99", "0.99"), ("max", "1"))

ABOUT: Dict[str, str] = {
    ROLLOUT
    + "info": "The last rollout of a service, always 1. The outcome is running, failing or rolling_back until it has ended.",
    ROLLOUT + "started_timestamp_seconds": "When the last rollout began.",
    ROLLOUT + "finished_timestamp_seconds": "When the last finished rollout ended.",
    ROLLOUT + "success": "Whether the last finished rollout did what it was to do, 1 or 0.",
    ROLLOUT + "requests": "Requests that the probe sent during the last finished rollout.",
    ROLLOUT + "failed_requests": "Those of the requests that failed.",
    ROLLOUT
    + "latency_seconds": "Latency of the answered requests of the last finished rollout. Their sum is not known.",
    ROLLOUT
    + "rollback_seconds": "How long the rollback of the last finished rollout took, from its decision until the last member was "
    "back, and from the first failed request to the last.",
    HISTORY + "window_seconds": "Over how long the history is told.",
    HISTORY + "rollouts": "Rollouts that ended in the window, rollbacks that somebody asked for included.",
    HISTORY + "deployments": "Rollouts in the window that brought a release, failed ones included.",
    HISTORY
    + "failed_deployments": "Deployments in the window that were rolled back, could not be, or were left half done.",
    HISTORY + "unprobed_rollouts": "Rollouts in the window of which it is not known what users felt.",
    HISTORY + "uninterrupted_ratio": "Rollouts without a failed request, of those in the window of which it is known.",
    HISTORY + "error_ratio": "Failed requests of all that the probes sent during rollouts in the window.",
    HISTORY + "deployments_per_day": "Successful deployments a day (DORA: deployment frequency).",
    HISTORY + "change_fail_ratio": "Failed deployments of all in the window (DORA: change fail rate).",
    HISTORY
    + "recovery_seconds": "From a failed deployment to the next good state (DORA: failed deployment recovery time).",
    HISTORY + "rollback_seconds": "How long rollbacks took in the window.",
    HISTORY + "lead_time_seconds": "From the commit to the end of its deployment (DORA: change lead time).",
}

OWN_LABELS = (
    "service",
    "id",
    "version",
    "strategy",
    "outcome",
    "quantile",
    "from",
    "statistic",
    "job",
    "instance",
    "le",
)


def replaces_all(event: str, record: Mapping[str, Any]) -> bool:
    """Whether these metrics take the place of all that were told before.

    Until a rollout has ended, what was said of the one before stays.
    """
    return event == FINISH and record.get("outcome") != PAUSED


def rollout_families(event: str, record: Mapping[str, Any], labels: Mapping[str, str], now: float) -> List[Family]:
    """A rollout's metrics, as far as they are known.

    :param event: one of :data:`EVENTS`.
    :param record: see docs/notices.md; what is missing, or is no number, is left out.
    :param labels: of the user, for every sample.
    :param now: when it ended, where the record does not say it.
    """
    mine = {"service": str(record.get("service") or ""), **labels}
    outcome = str(record.get("outcome") or "unknown") if event == FINISH else STATES[event]
    about = {key: str(record.get(key) or "") for key in ("id", "version", "strategy")}
    families = [_family(ROLLOUT + "info", Sample(1, {**mine, **about, "outcome": outcome}))]
    families += _one(ROLLOUT + "started_timestamp_seconds", finite(record.get("began")), mine)
    if not replaces_all(event, record):
        return families
    ended = finite(record.get("ended"))
    families += _one(ROLLOUT + "finished_timestamp_seconds", now if ended is None else ended, mine)
    good = (*SUCCEEDED, "nothing_to_do", *([UNDONE] if record.get("strategy") == UNDO else []))
    families += _one(ROLLOUT + "success", float(outcome in good), mine)
    felt = record.get("felt")
    if isinstance(felt, dict):
        families += _one(ROLLOUT + "requests", finite(felt.get("requests")), mine)
        families += _one(ROLLOUT + "failed_requests", finite(felt.get("failed")), mine)
        families += _latency(felt, mine)
    if outcome == UNDONE:
        durations = {
            "decision": _between(record, "decided", "undone"),
            "first_failure": _between(felt if isinstance(felt, dict) else {}, "first_failure", "last_failure"),
        }
        families.append(
            _family(
                ROLLOUT + "rollback_seconds",
                *[Sample(v, {**mine, "from": k}) for k, v in durations.items() if v is not None],
            )
        )
    return families


def history_families(found: Mapping[str, Any], service: str, labels: Mapping[str, str]) -> List[Family]:
    """The figures of a service's history.

    :param found: what :func:`.history.figures` returned; what is not known is left out, rather than told as 0.
    """
    mine = {"service": service, **labels}
    families = []
    for name, value in (
        ("window_seconds", found["window"]),
        ("rollouts", found["rollouts"]),
        ("deployments", found["deployments"]),
        ("failed_deployments", found["failed"]),
        ("unprobed_rollouts", found["unknown"]),
        ("uninterrupted_ratio", found["uninterrupted_rate"]),
        ("error_ratio", found["error_rate"]),
        ("deployments_per_day", found["frequency"]["per_day"]),
        ("change_fail_ratio", found["change_fail_rate"]),
    ):
        families += _one(HISTORY + name, value, mine)
    back = [
        sample
        for source, key in (("decision", "decided"), ("first_failure", "felt"))
        for sample in _statistics(found["rollback"][key], {**mine, "from": source})
    ]
    families.append(_family(HISTORY + "recovery_seconds", *_statistics(found["recovery"], mine)))
    families.append(_family(HISTORY + "rollback_seconds", *back))
    families.append(_family(HISTORY + "lead_time_seconds", *_statistics(found["lead_time"], mine)))
    return families


def finite(value: Any) -> Optional[float]:
    """A usable number; None for anything else."""
    if not isinstance(value, (int, float)) or isinstance(value, bool) or abs(value) > LARGEST:
        return None
    return None if math.isnan(value) else float(value)


def _latency(felt: Mapping[str, Any], labels: Mapping[str, str]) -> List[Family]:
    latency, outcomes = felt.get("latency"), felt.get("outcomes")
    if not isinstance(latency, dict):
        return []
    known = [(quantile, finite(latency.get(key))) for key, quantile in QUANTILES]
    samples = [
        Sample(round(value / 1000, 9), {**labels, "quantile": quantile})
        for quantile, value in known
        if value is not None
    ]
    if not samples:
        return []
    # A summary without a sum would be read as one whose sum is 0.
    samples.append(Sample(float("nan"), labels, "_sum"))
    answered = (
        [finite(outcomes.get(word)) or 0 for word in ("ok", "status")] if isinstance(outcomes, dict) else [math.nan]
    )
    samples.append(Sample(sum(answered), labels, "_count"))
    name = ROLLOUT + "latency_seconds"
    return [Family(name, ABOUT[name], samples, SUMMARY)]


def _statistics(found: Mapping[str, Any], labels: Mapping[str, str]) -> List[Sample]:
    return [
        Sample(found[word], {**labels, "statistic": word}) for word in ("median", "worst") if found[word] is not None
    ]


def _one(name: str, value: Optional[float], labels: Mapping[str, str]) -> List[Family]:
    return [] if value is None else [_family(name, Sample(value, labels))]


def _family(name: str, *samples: Sample) -> Family:
    return Family(name, ABOUT[name], list(samples))


def _between(record: Mapping[str, Any], begin: str, end: str) -> Optional[float]:
    first, last = finite(record.get(begin)), finite(record.get(end))
    return None if first is None or last is None or last < first else last - first
