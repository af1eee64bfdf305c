# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the balancers have counted while a rollout lasted, and whether the probe has seen the same.  Pure.

The balancers count everybody's requests, the probe's among them, at the members; the probe sees its own alone, but also those that
never reach a member, and what a retry of the balancer has saved.  So the two are no equals, and two things cannot be: failures of the
probe that a member must have made and that no balancer has counted; and a rate of errors at the members of which the probe, with
as many requests as it made, would hardly ever have seen nothing.
"""

from __future__ import annotations

from typing import Any, Dict, Mapping, Sequence

from .growth import Counter, Growth

# Outcomes of the probe that come from a member, unless the balancer answered in its stead.
FROM_A_MEMBER = ("truncated", "garbled")
# Below this, it is no chance that a probe among so many errors has met none.
HARDLY = 0.001


def grown(looks: Sequence[Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """What each balancer has counted from the first look to the last.

    :param looks: what `pool_info` with `counters` returned (its `balancers`), at each look.  The more of them, the less is lost where a
        balancer was restarted in between and began to count anew.
    :return: ``name``, ``requests``, ``errors``, ``restarted``, ``exact`` (whether nothing can have been missed).
    """
    growths: Dict[str, Growth] = {}
    for look in looks:
        for balancer in look:
            growths.setdefault(balancer["name"], Growth(newcomers=True)).take(_counters(balancer))
    return [
        {
            "name": name,
            "requests": growth.counts.requests,
            "errors": growth.counts.errors,
            "restarted": growth.restarts > 0,
            "exact": growth.restarts == 0,
        }
        for name, growth in growths.items()
    ]


def looked(known: Mapping[str, Any], balancers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What has been counted up to this look, in a piece small enough to be kept: ``balancers`` as of :func:`grown`, and ``last``.

    :param known: what this function returned at the look before; empty at the first.
    """
    seen = [{"name": b["name"], "members": [_counted(member) for member in b["members"]]} for b in balancers]
    if not known:
        return {"balancers": grown([seen]), "last": seen}
    new = {balancer["name"]: balancer for balancer in grown([known["last"], seen])}
    sums = [_sum(balancer, new.pop(balancer["name"], None)) for balancer in known["balancers"]]
    return {"balancers": [*sums, *new.values()], "last": seen}


def _sum(one: dict[str, Any], more: dict[str, Any] | None) -> dict[str, Any]:
    if not more:
        return one
    counts = {key: one[key] + more[key] for key in ("requests", "errors")}
    return {**one, **counts, "restarted": one["restarted"] or more["restarted"], "exact": one["exact"] and more["exact"]}


def _counted(member: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": member["name"], "counters": member.get("counters")}


def compared(balancers: list[dict[str, Any]], felt: dict[str, Any] | None) -> dict[str, Any]:
    """The report's `counted`: the balancers, their sums, and what the comparison with the probe comes to."""
    requests, errors = sum(b["requests"] for b in balancers), sum(b["errors"] for b in balancers)
    agrees, said = _agreement(balancers, requests, errors, felt)
    return {"balancers": balancers, "requests": requests, "errors": errors, "agrees": agrees, "said": said}


def _agreement(
    balancers: list[dict[str, Any]], requests: int, errors: int, felt: dict[str, Any] | None
) -> tuple[bool | None, str]:
    counted = f"The members failed {errors} of the {requests} requests that the balancers gave them"
    restarted = [b["name"] for b in balancers if b["restarted"]]
    if restarted:
        counted += f" (at least: {', '.join(restarted)} began to count anew)"
    if not felt or not felt["requests"]:
        return None, f"{counted}. There is no probe to compare that with."
    probe = f"the probe saw {felt['failed']} of its {felt['requests']} fail"
    must = sum(felt["outcomes"].get(outcome, 0) for outcome in FROM_A_MEMBER)
    if must > errors and not restarted:
        return False, f"{counted}, but {probe}, {must} of them in a way that only a member can: the counters miss some."
    if errors and not felt["failed"] and requests and (1 - errors / requests) ** felt["requests"] < HARDLY:
        return False, f"{counted}, and {probe}, which at such a rate is no chance: does the probe ask the same pool?"
    return True, f"{counted}; {probe}. The two do not contradict each other."


def _counters(balancer: Mapping[str, Any]) -> dict[str, Counter]:
    return {m["name"]: Counter(**m["counters"]) for m in balancer["members"] if m.get("counters")}
