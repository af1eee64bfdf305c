# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Let a restart of its balancers bring a pool back as it is now."""

from __future__ import annotations

from typing import Any

from .._balancers.registry import BALANCER_OPTIONS, POOL_OPTION, by_pool, open_balancer
from .._clock import Clock
from .fence import LEASE_OPTION, fenced
from .together import all_or_none, side_by_side

ARGUMENT_SPEC: dict[str, Any] = {
    "balancers": {"type": "list", "elements": "dict", "required": True, "options": BALANCER_OPTIONS},
    "pool": POOL_OPTION,
    **LEASE_OPTION,
}


def run(params: dict[str, Any], check_mode: bool, clock: Clock) -> dict[str, Any]:
    """Ask each balancer for it; one that cannot is an error, and the others have it all the same."""
    entries = by_pool(params["balancers"], params["pool"])

    def persist(entry: dict[str, Any]) -> dict[str, Any]:
        balancer, pool = fenced(open_balancer(entry), params.get("lease"), clock), entry["pool"][0]
        balancer.members(pool)  # a pool that is not there is told, whatever the balancer keeps
        return {"name": entry["name"], "pool": pool, "changed": balancer.persist(pool, check_mode)}

    return summed(all_or_none([entry["name"] for entry in entries], side_by_side(entries, persist)))


def summed(balancers: list[dict[str, Any]]) -> dict[str, Any]:
    """The task's result from the results of its balancers."""
    return {"changed": any(balancer["changed"] for balancer in balancers), "balancers": balancers}
