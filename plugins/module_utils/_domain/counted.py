# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the balancers have counted while a rollout lasted, and whether the probe has seen the same.  Pure.

A balancer tells at best what users got of the pool: everybody's requests, the probe's among them, each once.  Else it tells what the
members failed, and what a retry has saved is a failure there.  The probe sees its own requests alone, but also those that never reach
a pool.  So the two are no equals, and two things cannot be: failures of the probe that the pool must have made and that no balancer
has counted; and a rate of errors of which the probe, with as many requests as it made, would hardly ever have seen nothing.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Mapping, Sequence

from .growth import Counter, Growth
from .served_growth import ServedGrowth

USERS, MEMBERS, NOTHING = "users", "members", "nothing"

# Outcomes of the probe that come from a member, unless the balancer answered in its stead; and those that a balancer which counts
# what users got has counted, unless somebody before the pool made them.
FROM_A_MEMBER = ("truncated", "garbled")
FROM_THE_POOL = ("status", "closed", *FROM_A_MEMBER)
# Below this, it is no chance that a probe among so many errors has met none.
HARDLY = 0.001


def grown(looks: Sequence[Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """What each balancer has counted from the first look to the last.

    :param looks: what `pool_info` with `counters` returned (its `balancers`), at each look.  The more of them, the less is lost where a
        balancer was restarted in between and began to count anew.
    :return: for each balancer what it tells of ``users`` and of ``members`` (``of``; ``nothing`` where it tells of neither): ``name``,
        ``requests``, ``errors`` and ``at_most`` (that there were more errors than this many is excluded), ``left`` (clients that did not
        wait), ``restarted``, ``uncounted`` (failures that it leaves out, in words), ``exact`` (whether nothing can have been missed).
    """
    known: dict[str, Any] = {}
    for look in looks:
        known = looked(known, look)
    found: list[dict[str, Any]] = known.get("balancers", [])
    return found


def looked(known: Mapping[str, Any], balancers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What has been counted up to this look, in a piece small enough to be kept: ``balancers`` as of :func:`grown`, and ``last``.

    :param known: what this function returned at the look before; empty at the first.
    """
    last = {one["name"]: one for one in known.get("last", ())}
    sums = {(one["name"], one["of"]): one for one in known.get("balancers", ())}
    seen = []
    for balancer in balancers:
        name, before = balancer["name"], last.get(balancer["name"], {})
        now: dict[str, Any] = {"name": name}
        twice = 0  # who was not answered may be among the members' failures as one whose answer broke off, too
        if balancer.get("served"):
            served = ServedGrowth(before.get("served"))
            now["served"] = served.take(balancer["served"])
            piece = (served.requests, served.errors, served.at_most, served.left, served.restarted)
            _add(sums, balancer, USERS, piece)
            twice = served.unanswered
        counters = {member["name"]: member["counters"] for member in balancer["members"] if member.get("counters")}
        if counters:
            growth = Growth(newcomers=True)
            for reading in [*([before.get("members", {})] if before else []), counters]:
                growth.take({member: Counter(**counter) for member, counter in reading.items()})
            now["members"] = {member: asdict(growth.last[member]) for member in counters}
            errors = growth.counts.errors
            piece = (growth.counts.requests, max(0, errors - twice), errors, 0, growth.restarts > 0)
            _add(sums, balancer, MEMBERS, piece)
        if not any((name, of) in sums for of in (USERS, MEMBERS, NOTHING)):
            _add(sums, {"name": name, "capabilities": {"uncounted": "everything"}}, NOTHING, (0, 0, 0, 0, False))
        seen.append(now)
    return {"balancers": list(sums.values()), "last": seen}


def _add(
    sums: dict[tuple[str, str], dict[str, Any]], balancer: Mapping[str, Any], of: str, piece: tuple[int, int, int, int, bool]
) -> None:
    """Add to what is known what has been counted since."""
    name = balancer["name"]
    uncounted = (balancer.get("capabilities") or {}).get("uncounted") or ""
    sum_, keys = sums.get((name, of), {}), ("requests", "errors", "at_most", "left")
    counts = {key: sum_.get(key, 0) + more for key, more in zip(keys, piece)}
    restarted = sum_.get("restarted", False) or piece[4]
    exact = not restarted and not uncounted and counts["errors"] == counts["at_most"]
    sums[name, of] = {"name": name, "of": of, **counts, "restarted": restarted, "uncounted": uncounted, "exact": exact}


def best(balancers: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each balancer what it tells of users, else what it tells of members, else that it tells nothing."""
    found: dict[str, dict[str, Any]] = {}
    for of in (NOTHING, MEMBERS, USERS):
        found.update({one["name"]: one for one in balancers if one["of"] == of})
    return [found[name] for name in dict.fromkeys(one["name"] for one in balancers)]


def compared(balancers: list[dict[str, Any]], felt: dict[str, Any] | None) -> dict[str, Any]:
    """The report's `counted`: the balancers, their sums, and what the comparison with the probe comes to."""
    told = best(balancers)
    sums = {key: sum(one[key] for one in told) for key in ("requests", "errors", "at_most")}
    agrees, said = _agreement(told, sums, felt)
    return {"balancers": balancers, **sums, "agrees": agrees, "said": said}


def _agreement(told: list[dict[str, Any]], sums: Mapping[str, int], felt: dict[str, Any] | None) -> tuple[bool | None, str]:
    counted = _counted(told)
    if not felt or not felt["requests"]:
        return None, f"{counted}. There is no probe to compare that with."
    probe = f"the probe saw {felt['failed']} of its {felt['requests']} fail"
    users = all(one["of"] == USERS for one in told)
    seen = FROM_THE_POOL if users else FROM_A_MEMBER
    if any(one["uncounted"] for one in told):
        seen = tuple(outcome for outcome in seen if outcome not in FROM_A_MEMBER)
    must, whole = sum(felt["outcomes"].get(outcome, 0) for outcome in seen), not any(one["restarted"] for one in told)
    if must > sums["at_most"] and whole and all(one["of"] != NOTHING for one in told):
        if users:
            return False, f"{counted}, but {probe}, {must} of them in a way that is counted there. Who is between the probe and the pool?"
        return False, f"{counted}, but {probe}, {must} of them in a way that only a member can: the counters miss some."
    errors, requests = sums["errors"], sums["requests"]
    if errors and not felt["failed"] and requests and (1 - errors / requests) ** felt["requests"] < HARDLY:
        return False, f"{counted}, and {probe}, which at such a rate is no chance: does the probe ask the same pool?"
    return True, f"{counted}; {probe}. The two do not contradict each other."


def _counted(told: list[dict[str, Any]]) -> str:
    """What was counted, in a sentence without its end."""
    said = []
    for of in (USERS, MEMBERS):
        mine = [one for one in told if one["of"] == of]
        if mine:
            said.append(_of(of, {key: sum(one[key] for one in mine) for key in ("requests", "errors", "at_most", "left")}))
            if len(mine) < len(told):
                said[-1] += f" by {_names(mine)}"
    remarks = [f"at least: {_names(anew)} began to count anew" for anew in [[one for one in told if one["restarted"]]] if anew]
    remarks += [f"{one['name']} leaves out {one['uncounted']}" for one in told if one["uncounted"]]
    return ", and ".join(said or ["The balancers count nothing"]) + (f" ({'; '.join(remarks)})" if remarks else "")


def _of(of: str, sums: Mapping[str, int]) -> str:
    errors = str(sums["errors"]) if sums["errors"] == sums["at_most"] else f"{sums['errors']} to {sums['at_most']}"
    if of == MEMBERS:
        return f"The members failed {errors} of the {sums['requests']} requests that the balancers gave them"
    left = f", and {sums['left']} clients left before their answer was whole" if sums["left"] else ""
    return f"The balancers counted that {errors} of the {sums['requests']} requests of users failed{left}"


def _names(told: list[dict[str, Any]]) -> str:
    return ", ".join(one["name"] for one in told)
