# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rollout that has paused: where, what it waits for, and who let it go on.  Pure, from the events of its journal."""

from __future__ import annotations

from typing import Any, Optional

from .events import APPROVED, PAUSED, PLANNED
from .undoing import undo_plan

# What a pause waits for: a person, or a gate that opens by itself.
APPROVAL, GATE = "approval", "gate"


def waits(journal: Optional[dict[str, Any]]) -> Optional[dict[str, Any]]:
    """What an unfinished rollout waits for; None when it has not paused, or has gone on since.

    :return: ``id``, ``version``, ``strategy``, ``point``, ``number``, ``why``, ``waits_for``, ``since``, ``approved_by`` (None
        as long as nobody has).
    """
    found: Optional[dict[str, Any]] = None
    for event in (journal or {}).get("events", []):
        if event["event"] == PAUSED:
            found = {**event["details"], "since": event["time"], "approved_by": None}
        elif event["event"] == APPROVED and found is not None:
            found["approved_by"] = event["details"].get("who")
        else:
            found = None
    if journal is None or found is None:
        return None
    return {"id": journal["id"], "version": journal["version"], "strategy": journal["strategy"], **found}


def so_far(journal: dict[str, Any], approvals: Optional[list[dict[str, Any]]] = None) -> dict[str, Any]:
    """What earlier attempts of a rollout have passed.

    :param approvals: given beside those of the journal.
    :return: ``approvals``, ``begun`` (whether it got past the gates before the rollout), ``hosts`` in batches that had begun, and
        ``batches``, their number.
    """
    events = journal["events"]
    touched = undo_plan(journal)
    given = [{"point": e["details"]["point"], "number": e["details"].get("number")} for e in events if e["event"] == APPROVED]
    return {
        "approvals": given + (approvals or []),
        "begun": any(event["event"] == PLANNED for event in events),
        "hosts": touched["hosts"],
        "batches": len(touched["groups"]),
    }


def batch_number(groups: list[list[str]], group: int, before: dict[str, Any]) -> int:
    """Which batch of the whole rollout a group is, over all of its attempts; 0 for one whose hosts had all begun before.

    :param groups: of this attempt.
    :param group: its number there, from 0.
    :param before: what :func:`so_far` returned.
    """
    fresh = [not {*hosts} <= {*before["hosts"]} for hosts in groups]
    return before["batches"] + sum(fresh[: group + 1]) if fresh[group] else 0


def promotion(service: str, known: dict[str, Any], version: str, strategies: list[str]) -> dict[str, Any]:
    """What a promotion goes on with, or why there is nothing to go on with.

    :param known: what `rollout` returned for ``read``.
    :param version: what the user asked for, empty where it is left to the journal.
    :param strategies: those that can be gone on with.
    :return: ``problem`` (empty when there is none), ``version``, ``strategy``, ``approve`` (whether an approval is missing), and
        ``approvals``, the point that it is for.
    """
    waiting = known.get("waits")
    none = {"version": "", "strategy": "", "approve": False, "approvals": []}
    if waiting is None:
        return {"problem": "Nothing of service %s waits to be promoted. %s" % (service, _instead(known)), **none}
    problem = ""
    if version and version != waiting["version"]:
        problem = (
            "What waits is the rollout of %s to %s, and rollout_version is %s. Leave it out, or roll %s back and begin anew."
            % (service, waiting["version"], version, waiting["version"])
        )
    elif waiting["strategy"] not in strategies:
        problem = "What waits is a rollout of %s by %s, which cannot be promoted; run its own playbook again to go on (%s can)." % (
            service, waiting["strategy"], ", ".join(strategies),
        )  # fmt: skip
    approve = waiting["waits_for"] == APPROVAL and waiting["approved_by"] is None
    return {
        "problem": problem,
        "version": waiting["version"],
        "strategy": waiting["strategy"],
        "approve": approve,
        "approvals": [{"point": waiting["point"], "number": waiting.get("number")}] if approve else [],
    }


def under_way(known: dict[str, Any]) -> bool:
    """Whether somebody is at the unfinished rollout, as far as the lease tells.

    :param known: what `rollout` returned for ``read``.
    """
    lease = known["lease"]
    return bool(known.get("journal")) and lease["held"] and not lease["expired"] and not lease.get("proof")


def _instead(known: dict[str, Any]) -> str:
    unfinished, last = known.get("journal"), known.get("last")
    if under_way(known):
        return "Rollout %s to %s is under way." % (unfinished["id"], unfinished["version"])
    if unfinished:
        return (
            "Rollout %s to %s was cut off: run the same command again to go on with it, or the playbook rollback to undo it."
            % (unfinished["id"], unfinished["version"])
        )
    return "Its last rollout was %s to %s: %s." % (last["id"], last["version"], last["outcome"]) if last else "It has had no rollout yet."
