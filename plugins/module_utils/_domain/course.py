# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the hosts of a rollout went through, and when: its course.  Pure.

A stage is a step of a batch, which all of its hosts take together: ``batch`` (from 1; 0 for what is no batch), ``hosts``,
``phase``, ``began`` and ``ended`` (seconds since 1970, by the controller's clock) and ``ok``.  Phases on the way back begin with
``undo_``.
"""

from __future__ import annotations

from typing import Any, Dict, Iterable

DRAIN, DEPLOY, CHECK, RETURN, SOAK, SWITCH, WATCH = "drain", "deploy", "check", "return", "soak", "switch", "watch"
CHECKED = "checked"
UNDO = "undo_"

Stage = Dict[str, Any]


def of_batch(
    course: list[Stage],
    batch: int,
    hosts: list[str],
    results: dict[str, list[dict[str, Any]]],
    now: float,
    failed: bool = False,
    undo: bool = False,
) -> list[Stage]:
    """The course with the stages of one more batch.

    :param results: what the tasks `drain`, `check` and `return` have returned, on one host or on several; those that were
        skipped have no times. A check that began after the return is the soak, and `checked` is the one before it.
    :param now: when the batch came to its end.
    :param failed: whether it failed. What nobody else answers for is the deployment's.
    """
    since = max([stage["ended"] for stage in course if {*hosts}.intersection(stage["hosts"])], default=0.0)
    drain, check, back = (_span(results.get(phase, []), since) for phase in (DRAIN, CHECK, RETURN))
    soak = check if check and back and check[0] >= back[1] else None
    check = _span(results.get(CHECKED, []), since) if soak else check
    spans = {DRAIN: drain, CHECK: check, RETURN: back, SOAK: soak}
    if drain and drain[2]:
        until = next((span[0] for span in (check, back) if span), now)
        elsewhere = any(not span[2] for span in (check, back, soak) if span)
        spans[DEPLOY] = (drain[1], until, elsewhere or not failed)
    prefix = UNDO if undo else ""
    stages = [
        {
            "batch": batch,
            "hosts": list(hosts),
            "phase": prefix + phase,
            "began": span[0],
            "ended": span[1],
            "ok": span[2],
        }
        for phase, span in spans.items()
        if span
    ]
    return course + sorted(stages, key=lambda stage: float(stage["began"]))


def of_switch(
    course: list[Stage], hosts: list[str], switch: dict[str, Any], checks: list[dict[str, Any]], undo: bool = False
) -> list[Stage]:
    """The course with a switch of all traffic to these hosts, and the watch that followed.

    :param switch: what `traffic_split` returned.
    :param checks: what `health_check` returned after it.
    """
    span = _span([switch], 0.0)
    if not span:
        return course
    watch = _span(checks, span[1])
    prefix = UNDO if undo else ""
    stages = [(prefix + SWITCH, span), (prefix + WATCH, watch)]
    return course + [
        {"batch": 0, "hosts": list(hosts), "phase": phase, "began": of[0], "ended": of[1], "ok": of[2]}
        for phase, of in stages
        if of
    ]


def undone(course: Iterable[Stage]) -> float | None:
    """When the last host was back as it was before; None where nothing was undone."""
    return max([stage["ended"] for stage in course if stage["phase"].startswith(UNDO)], default=None)


def phases(course: Iterable[Stage]) -> list[dict[str, Any]]:
    """The stages by host, as a report tells them."""
    return [
        {"host": host, **{key: stage[key] for key in ("batch", "phase", "began", "ended", "ok")}}
        for stage in course
        for host in stage["hosts"]
    ]


def _span(results: list[dict[str, Any]], since: float) -> tuple[float, float, bool] | None:
    """From the first beginning to the last end, and whether all went well; None where none of them is of this batch."""
    mine = [result for result in results if "began" in result and result["began"] >= since]
    if not mine:
        return None
    return min(r["began"] for r in mine), max(r["ended"] for r in mine), all(_well(r) for r in mine)


def _well(result: dict[str, Any]) -> bool:
    return not (result.get("failed") or result.get("problem") or any(not t["healthy"] for t in result.get("targets") or []))
