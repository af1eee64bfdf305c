# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the rollouts of a service come to, over a while: figures, and lines for a person.  Pure.

The figures are those that the field knows.  Four are DORA's, as https://dora.dev/guides/dora-metrics/ defines them; where DORA
leaves open what counts as a deployment, this module says what it takes for one:

- a *rollout* is every attempt that has ended and touched a host, a rollback that somebody asked for included;
- a *deployment* is a rollout that brings a release, so not a rollback that somebody asked for;
- nothing_to_do, superseded, paused, and whatever ended before it touched a host are neither.

What is not known is None, and never counted as good.

A ``past`` is a dictionary with ``id``, ``service``, ``version``, ``strategy``, ``outcome``, ``began``, ``ended``, ``decided``,
``undone`` and ``felt`` (``requests``, ``failed``, ``disturbance``, ``first_failure``, ``last_failure``; None without a probe).  Times are
seconds since the epoch, None where they are not known.  It may also have ``touched`` (False: no host was; true without it) and
``committed`` (when the change was committed, for the lead time).
"""

from __future__ import annotations

import statistics
from typing import Any, Dict, List, Optional, Tuple

DAY = 86400.0
WINDOW = 90 * DAY
SHORTEST = 7 * DAY  # what a frequency is counted over at the least: one rollout an hour ago is not 24 a day

ROLLBACK = "rollback"  # the strategy of a rollback that somebody asked for; its version is the one that it takes away
SUCCEEDED = ("succeeded", "succeeded_with_failures")
UNDONE = "rolled_back"
FAILED = ("rolled_back", "rollback_failed", "abandoned")

Past = Dict[str, Any]
Figures = Dict[str, Any]


def figures(past: List[Past], now: float, window: float = WINDOW) -> Figures:
    """What the rollouts that ended in the last `window` seconds come to.

    :param past: in any order, of one service or of several.
    :param now: seconds since the epoch.
    :return: plain data; every key is always there, None where nothing is known:

        - ``window`` (seconds), ``days``: over how many days frequencies are counted, which is less than the window when the oldest
          rollout that is known is younger, and 7 at the least;
        - ``rollouts``, ``deployments``, ``succeeded`` (of the deployments), ``failed`` (likewise, see :func:`is_failed`): counts;
        - ``uninterrupted``, ``interrupted``, ``unknown``: rollouts, see :func:`interruption`; ``uninterrupted_rate``: the first of the
          first two together, 0 to 1;
        - ``probed``: rollouts with a probe, ``requests`` and ``failed_requests`` of their users, ``error_rate``, 0 to 1: the error rate
          that users experienced while something was rolled out;
        - ``rollback``: ``decided``, from the decision until the last member was back, and ``felt``, from the first bad response until
          the rate was back at its baseline, each as :func:`spread`, of those that were rolled back;
        - ``frequency``: ``per_day`` and ``per_week``, successful deployments (DORA: deployment frequency, how many deployments there
          are over a given period);
        - ``change_fail_rate``, 0 to 1 (DORA: the ratio of deployments that require immediate intervention following a deployment);
        - ``recovery``, as :func:`spread`, and ``open``, how many have not been recovered from, and ``unknown``, of how many it cannot be
          told (DORA: failed deployment recovery time, the time it takes to recover from a deployment that fails and requires immediate
          intervention), see :func:`recovery`;
        - ``lead_time``, as :func:`spread`, and ``unknown``, of how many the commit's time is not known (DORA: change lead time, the
          time it takes for a change to go from committed to version control to deployed in production).
    """
    known = sorted((one for one in past if _is_time(one.get("ended"))), key=lambda one: one["ended"])
    since = now - window
    rollouts = [one for one in known if one["ended"] > since and is_rollout(one)]
    deployments = [one for one in rollouts if not is_rollback(one)]
    undone_later = _taken_back(known)
    good = [one for one in deployments if one["outcome"] in SUCCEEDED]
    bad = [one for one in deployments if is_failed(one, undone_later)]
    verdicts = [interruption(one) for one in rollouts]
    interruptions = {word: verdicts.count(word) for word in ("uninterrupted", "interrupted", "unknown")}
    seen = interruptions["uninterrupted"] + interruptions["interrupted"]
    probed = [one["felt"] for one in rollouts if _has_probe(one)]
    requests, failed = sum(felt["requests"] for felt in probed), sum(felt["failed"] for felt in probed)
    back = [one for one in rollouts if one["outcome"] == UNDONE]
    days = _days(known, now, window)
    recovered = [recovery(one, known, undone_later) for one in bad]
    return {
        "window": float(window),
        "days": days,
        "rollouts": len(rollouts),
        "deployments": len(deployments),
        "succeeded": len(good),
        "failed": len(bad),
        **interruptions,
        "uninterrupted_rate": _share(interruptions["uninterrupted"], seen),
        "probed": len(probed),
        "requests": requests,
        "failed_requests": failed,
        "error_rate": _share(failed, requests),
        "rollback": {
            "decided": spread([_between(one.get("decided"), one.get("undone")) for one in back]),
            "felt": spread([_disturbed(one) for one in back]),
        },
        "frequency": {
            "per_day": len(good) / days if deployments else None,
            "per_week": 7 * len(good) / days if deployments else None,
        },
        "change_fail_rate": _share(len(bad), len(deployments)),
        "recovery": {
            **spread([seconds for state, seconds in recovered if state == "recovered"]),
            "open": [state for state, _seconds in recovered].count("open"),
            "unknown": [state for state, _seconds in recovered].count("unknown"),
        },
        "lead_time": {
            **spread([_between(one.get("committed"), one["ended"]) for one in good]),
            "unknown": [_between(one.get("committed"), one["ended"]) for one in good].count(None),
        },
    }


def is_rollback(one: Past) -> bool:
    """Whether somebody asked for this rollback; one that a rollout decided by itself is part of that rollout."""
    return bool(one["strategy"] == ROLLBACK)


def is_rollout(one: Past) -> bool:
    """Whether it has ended and changed anything that users might notice."""
    return one["outcome"] in SUCCEEDED or (one["outcome"] in FAILED and one.get("touched", True) is not False)


def is_failed(one: Past, taken_back: Dict[str, Past]) -> bool:
    """Whether a deployment needed intervention: rolled back, by itself or later by somebody, not to be rolled back, or left half.

    Hosts that stay out of traffic within the budget of failures make no failed deployment: that is what the budget says.

    :param taken_back: rollbacks that somebody asked for, by the ids of the deployments that they undid.
    """
    return one["outcome"] in FAILED or one["id"] in taken_back


def interruption(one: Past) -> str:
    """``uninterrupted``, ``interrupted`` or ``unknown``.

    Without interruption is a rollout that succeeded or was rolled back while no request of its probe failed.  One without a probe is
    unknown, unless it was left half done or could not be rolled back.
    """
    if one["outcome"] not in (*SUCCEEDED, UNDONE):
        return "interrupted"
    if not _has_probe(one):
        return "unknown"
    return "interrupted" if one["felt"]["failed"] else "uninterrupted"


def recovery(one: Past, known: List[Past], taken_back: Dict[str, Past]) -> Tuple[str, Optional[float]]:
    """How long a failed deployment was with its users: from the decision to undo it, or from its end where none was made, until the
    next good state of the service, which is its own rollback or the next success.

    :param known: all that is known, by the time of its end.
    :return: ``recovered`` with seconds, ``open`` or ``unknown`` (it went back by itself, and when that was decided is not known).
    """
    decided = one.get("decided")
    start = decided if _is_time(decided) else one["ended"]
    if one["outcome"] == UNDONE:
        undone = one.get("undone")
        seconds = _between(decided, undone if _is_time(undone) else one["ended"])
        return ("unknown", None) if seconds is None else ("recovered", seconds)
    own = taken_back.get(one["id"])
    for later in known:
        if later["ended"] <= one["ended"] or later["service"] != one["service"] or not is_rollout(later):
            continue
        # A later rollout that undid itself leads back to a release that was good only where this one is not it.
        if later["outcome"] == UNDONE and (later is own or one["outcome"] in FAILED):
            undone = later.get("undone")
            return "recovered", max(0.0, (undone if _is_time(undone) else later["ended"]) - start)
        if later["outcome"] in SUCCEEDED:
            return "recovered", max(0.0, later["ended"] - start)  # controllers' clocks differ
    return "open", None


def spread(seconds: List[Optional[float]]) -> Dict[str, Any]:
    """``count`` of what is known, its ``median`` and its ``worst``, in seconds; None without any."""
    values = [each for each in seconds if each is not None]
    return {
        "count": len(values),
        "median": float(statistics.median(values)) if values else None,
        "worst": float(max(values)) if values else None,
    }


def _taken_back(known: List[Past]) -> Dict[str, Past]:
    """Rollbacks that somebody asked for, by the deployment that each undid: the last one before it of that service and version."""
    found: Dict[str, Past] = {}
    for at, one in enumerate(known):
        if not is_rollback(one) or not is_rollout(one):
            continue
        for earlier in reversed(known[:at]):
            same = (earlier["service"], earlier["version"]) == (one["service"], one["version"])
            if same and not is_rollback(earlier) and is_rollout(earlier):
                found.setdefault(earlier["id"], one)
                break
    return found


def _days(known: List[Past], now: float, window: float) -> float:
    """Over how many days frequencies are counted: journals are pruned, and a service may be young."""
    oldest = min([one["began"] if _is_time(one.get("began")) else one["ended"] for one in known], default=now)
    return min(window, max(SHORTEST, now - oldest)) / DAY


def _has_probe(one: Past) -> bool:
    """Whether users were watched; a probe that never asked has seen nothing."""
    return bool(one.get("felt")) and one["felt"]["requests"] > 0


def _disturbed(one: Past) -> Optional[float]:
    felt = one.get("felt") or {}
    return _between(felt.get("first_failure"), felt.get("last_failure"))


def _between(begin: Any, end: Any) -> Optional[float]:
    """Seconds from one time to another; None where either is not known, or the clocks contradict each other."""
    return float(end - begin) if _is_time(begin) and _is_time(end) and end >= begin else None


def _share(part: float, whole: float) -> Optional[float]:
    return part / whole if whole else None


def _is_time(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
