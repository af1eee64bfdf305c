# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a canary adds to the plan of a rolling rollout.  Pure."""

from __future__ import annotations

from typing import Any

from . import canary
from .errors import InvalidInput
from .events import PLANNED, PROMOTED, STEP_PASSED
from .split_plan import split_problems


def known_part(journal: dict[str, Any] | None) -> dict[str, Any]:
    """What an unfinished canary has come to, from its journal.

    :return: ``hosts`` that were planned to be in it, ``passed`` (how many steps), ``promoted`` (whether all of them).
    """
    events = (journal or {}).get("events") or []
    planned = [event["details"].get("canary") for event in events if event["event"] == PLANNED]
    return {
        "hosts": next((hosts for hosts in reversed(planned) if hosts), []),
        "passed": max([0, *(event["details"]["step"] + 1 for event in events if event["event"] == STEP_PASSED)]),
        "promoted": any(event["event"] == PROMOTED for event in events),
    }


def plan_part(
    order: list[str],
    targets: list[dict[str, Any]],
    balancers: list[dict[str, Any]],
    before: dict[str, Any],
    there: list[str],
    options: dict[str, Any],
) -> dict[str, Any]:
    """The steps of a canary over the hosts that a rollout deploys to.

    :param order: those hosts, in order; who was in an unfinished canary comes first.
    :param before: as the plan has it.
    :param there: who runs the version already and is in traffic: in the canary of an unfinished rollout.
    :param options: ``steps``, ``max_load`` (percent), ``passed`` (steps), ``metrics``.
    :return: ``groups`` (its batches of hosts), ``steps`` (as :func:`.canary.parts` has them, with ``members`` by group and
        ``split``, the groups of `traffic_split`), ``todo`` (by batch, the numbers of its steps that are left), ``passed`` (how many have),
        ``there`` (of its hosts, who need no deployment), ``hosts``, and ``problems``.
    """
    try:
        steps = canary.steps(options["steps"], len(order))
    except InvalidInput as error:
        return {"groups": [], "steps": [], "todo": [], "there": [], "hosts": [], "problems": [error.message]}
    member_of = {target["host"]: target["member"] for target in targets}
    parts = canary.parts(order, steps)
    for part in parts:
        part["members"] = {name: [member_of[host] for host in part[name]] for name in ("canary", "baseline", "rest")}
        part["split"] = _split(part, before)
    hosts = parts[-1]["canary"]
    known = {*there}
    return {
        "groups": canary.groups(order, steps),
        "steps": parts,
        # The last one is done when the canary is promoted, and nothing is planned for a canary that is.
        "todo": [[n for n in numbers if n >= min(options["passed"], len(steps) - 1)] for numbers in canary.steps_of_group(steps)],
        "passed": options["passed"],
        "there": [host for host in hosts if host in known],
        "hosts": hosts,
        "problems": [*_overloaded(parts, len(order), options), *_unseen(balancers, steps, options), *_unsplit(balancers, parts, options)],
    }


def _split(part: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """The groups of `traffic_split`; within a group members share as their own weights have it."""
    known = next(iter(before["balancers"].values()), {})
    return {
        name: {
            "members": members,
            "share": part["shares"][name],
            "weights": {member: max(1, known[member]["weight"]) for member in members if member in known},
        }
        for name, members in part["members"].items()
        if members and part["shares"]
    }


def _overloaded(parts: list[dict[str, Any]], total: int, options: dict[str, Any]) -> list[str]:
    """Whoever is not in the canary carries what it is spared."""
    most = float(str(options["max_load"]).strip().rstrip("%"))
    for part in parts:
        for name, share in (part["shares"] or {}).items():
            load = share / len(part[name]) * total
            if load > most + 0.5:
                return [
                    f"With {part['text']}, each of the {len(part[name])} hosts in group {name} would carry {load:.0f} % of the traffic "
                    f"that it has when all {total} share it, more than canary_max_load ({most:g} %). Give the canary more of the traffic, "
                    "say `hosts` without `traffic`, or raise canary_max_load if the hosts can carry it."
                ]
    return []


def _unseen(balancers: list[dict[str, Any]], steps: list[canary.Step], options: dict[str, Any]) -> list[str]:
    """What the judge or the split needs of a balancer and it cannot do."""
    problems = []
    if any(step.watch for step in steps) and not options["metrics"]:
        problems.append("canary_metrics is empty, so nothing could ever pass. Name at least one metric.")
    if not any(step.watch for step in steps):
        problems.append("No step of canary_steps has a `watch`, so nobody would judge the canary. Give it one, such as 2m.")
    counted = [metric for metric in options["metrics"] if (metric.get("source") or {}).get("balancers")]
    for balancer in balancers:
        where = f"Balancer {balancer['name']}: provider {balancer['provider']}"
        if balancer["capabilities"]["weight_range"] is None and any(step.traffic is not None for step in steps):
            problems.append(
                f"{where} has no weights, or none as it is configured, so a canary cannot get a share of the traffic there. Say `hosts` "
                "and no `traffic` in canary_steps: each host gets what the others get."
            )
        if counted and not balancer["capabilities"].get("counters"):
            problems.append(
                f"{where} does not count requests and errors by member, so canary_metrics cannot take them from there. Name another "
                "source: Prometheus, a command or a file."
            )
    return problems


def _unsplit(balancers: list[dict[str, Any]], parts: list[dict[str, Any]], options: dict[str, Any]) -> list[str]:
    """What a split would refuse later: members in traffic that the rollout does not reach, above all."""
    weighed = [balancer for balancer in balancers if balancer["capabilities"]["weight_range"]]
    return split_problems(weighed, [part["split"] for part in parts if part["split"]], options.get("split") or {}, "traffic_")
