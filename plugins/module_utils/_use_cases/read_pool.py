# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read a pool from each of its balancers."""

from __future__ import annotations

from typing import Any

from .._balancers.base import Balancer
from .._balancers.registry import BALANCER_OPTIONS, POOL_OPTION, PROVIDERS, by_pool, open_balancer, too_old
from .._clock import Clock
from .._domain import guard
from .._domain.counters import Counters, Served
from .._domain.errors import InvalidInput
from .._domain.members import kept_state
from .together import all_or_none, side_by_side

ARGUMENT_SPEC: dict[str, Any] = {
    "balancers": {"type": "list", "elements": "dict", "required": True, "options": BALANCER_OPTIONS},
    "pool": POOL_OPTION,
    "counters": {"type": "bool", "default": False},
    "details": {"type": "bool", "default": False},
}


def run(params: dict[str, Any], check_mode: bool, clock: Clock) -> dict[str, Any]:
    """The pool as each balancer sees it; nothing is written."""
    entries = by_pool(params["balancers"], params["pool"])

    def read(entry: dict[str, Any]) -> dict[str, Any]:
        name, pool = entry["name"], entry["pool"][0]
        balancer = open_balancer(entry)
        version = balancer.version()
        refused = too_old(balancer.provider, version)
        if refused:
            raise InvalidInput(f"Balancer {name}: {refused} Nothing was touched.")
        seen = balancer.members(pool)
        if version == "unknown":  # some tell it along with their members
            version = balancer.version()
        members = [member.as_dict() for member in seen]
        told: dict[str, Any] = {}
        if params["counters"]:
            counted, served = _counters(name, balancer, pool)
            for member in members:
                member["counters"] = counted[member["name"]].as_dict() if member["name"] in counted else None
            told["served"] = served.as_dict() if served else None
        if params["details"]:
            told.update(_details(balancer, pool))
        return {
            "name": name,
            "provider": balancer.provider,
            "endpoint": balancer.instance,
            "version": version,
            "capabilities": balancer.capabilities.as_dict(),
            "pool": pool,
            "available": guard.available(seen),
            "members": members,
            **told,
        }

    return summed(all_or_none([entry["name"] for entry in entries], side_by_side(entries, read)))


def _details(balancer: Balancer, pool: str) -> dict[str, Any]:
    """Facts for a plan that take more queries: other pools over the same servers, and the balancer's own timing."""
    others = balancer.other_pools(pool) if balancer.capabilities.finds_pools else None
    return {
        "other_pools": None if others is None else [other.as_dict() for other in others],
        "timing": balancer.timing(pool).as_dict(),
        "in_flight_source": balancer.in_flight_source if balancer.capabilities.in_flight else "",
    }


def _counters(name: str, balancer: Balancer, pool: str) -> tuple[dict[str, Counters], Served | None]:
    """What a balancer has counted of each member, and of what users got.

    :raises InvalidInput: where it counts neither, with the reason.
    """
    can = balancer.capabilities
    if not can.counters and not can.served:
        remarks = PROVIDERS[balancer.provider].remarks
        why = "; ".join(remarks[key] for key in ("counters", "served") if key in remarks)
        raise InvalidInput(
            f"Balancer {name}: provider {balancer.provider} does not count the requests of members or users and those that failed"
            f"{f' ({why})' if why else ''}. Leave out `counters`, and take such figures from elsewhere."
        )
    return balancer.counters(pool) if can.counters else {}, balancer.served(pool) if can.served else None


def summed(balancers: list[dict[str, Any]]) -> dict[str, Any]:
    """The task's result from the results of its balancers."""
    return {
        "changed": False,
        "balancers": balancers,
        "states": {
            balancer["name"]: {
                member["name"]: kept_state(member) for member in balancer["members"]
            }
            for balancer in balancers
        },
    }
