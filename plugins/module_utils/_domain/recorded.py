# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All that is known of a rollout at its end, in one piece: what its report shows.  Pure.  Its schema is docs/report.schema.json."""

from __future__ import annotations

from typing import Any

from .course import WATCH, Stage, phases, undone
from .members import kept_state
from .record import SCHEMA


def record(
    journal: dict[str, Any],
    story: dict[str, Any],
    course: list[Stage],
    verdicts: list[dict[str, Any]],
    balancers: list[dict[str, Any]],
    failures: dict[str, str],
    times: dict[str, float | None],
    seen: dict[str, Any],
) -> dict[str, Any]:
    """The record of a rollout that has ended or paused.

    :param journal: of the rollout, as it is now, with times of events in seconds since 1970.
    :param story: how it ended: ``outcome``, ``failed``, ``lines``.
    :param verdicts: of a canary's watches: ``step``, ``hosts``, ``verdict``, ``why``, ``metrics``, ``began``, ``ended``.
    :param balancers: what `pool_info` returned at the end; empty where nobody looked.
    :param failures: by host.
    :param times: ``began`` and ``ended`` of this run; ``decided``, when it was decided to go back, or None.
    :param seen: ``felt`` and ``counted``, each None where nobody looked.
    """
    watches = [
        {"batch": 0, "hosts": one["hosts"], "phase": WATCH, "began": one["began"], "ended": one["ended"], "ok": one["verdict"] != "fail"}
        for one in verdicts
    ]
    return {
        "schema": SCHEMA,
        **{key: journal[key] for key in ("service", "id", "version", "strategy")},
        "from_versions": sorted({str(v) for v in (journal["before"].get("versions") or {}).values() if v}),
        **{key: story[key] for key in ("outcome", "failed", "lines")},
        **times,
        "undone": undone(course) if times["decided"] else None,
        "plan": journal["plan"],
        "events": journal["events"],
        "phases": phases(sorted(course + watches, key=lambda stage: float(stage["began"]))),
        "members": _members(journal["before"].get("balancers") or {}, balancers),
        "failures": failures,
        "verdicts": [{key: one[key] for key in ("step", "verdict", "why", "metrics")} for one in verdicts],
        **seen,
    }


def verdict(step: int, hosts: list[str], judged: dict[str, Any]) -> dict[str, Any]:
    """A verdict of the judge, as :func:`record` takes it.

    :param judged: what `canary_analysis` returned; one that broke off could not tell.
    """
    return {
        "step": step + 1,
        "hosts": list(hosts),
        "verdict": judged.get("verdict") or "inconclusive",
        "why": judged.get("sentence") or judged.get("problem") or judged.get("msg") or "",
        "metrics": [{"name": m["name"], "verdict": m["verdict"], "said": m["sentence"]} for m in judged.get("metrics") or []],
        "began": judged.get("began", 0.0),
        "ended": judged.get("ended", 0.0),
    }


def _members(before: dict[str, Any], balancers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each member of the rollout on each balancer, as it was before and as it is now."""
    now = {b["name"]: {m["name"]: m for m in b["members"]} for b in balancers}
    return [
        {"balancer": balancer, "member": member, "before": state, "after": _after(now.get(balancer, {}).get(member), state)}
        for balancer, of in before.items()
        for member, state in of.items()
    ]


def _after(member: dict[str, Any] | None, before: dict[str, Any]) -> dict[str, Any] | None:
    """A member's own state now; a weight that its balancer sets by itself is no deviation."""
    if member is None:
        return None
    weight = before.get("weight") if member.get("weight_by") else member["weight"]
    return {"state": kept_state(member)["state"], "weight": weight, "health": member["health"]}
