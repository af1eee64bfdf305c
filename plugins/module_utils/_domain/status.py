# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service as it is now, in plain words.  Pure."""

from __future__ import annotations

from typing import Any

from .balancer_plan import other_pools, pools_by_endpoint
from .gates import place
from .pauses import under_way


def status(
    service: str, balancers: list[dict[str, Any]], health: list[dict[str, Any]], known: dict[str, Any]
) -> list[str]:
    """A service as it is now: versions, pools, lease.

    :param balancers: what `pool_info` returned.
    :param health: what `health_check` returned for the hosts.
    :param known: what `rollout` returned for ``read``.
    """
    lines = [f"Service {service}"]
    width = max([len(host["name"]) for host in health] or [0])
    for host in health:
        health_now = "healthy" if host["healthy"] else host["seen"]
        lines.append(f"  {host['name']:<{width}}  {host.get('version') or 'unknown version'}, {health_now}")
    named = pools_by_endpoint(balancers)
    for balancer in balancers:
        lines.append(
            f"Balancer {balancer['name']} ({balancer['provider']} {balancer['version']}), pool {balancer['pool']}: "
            f"{balancer['available']} of {len(balancer['members'])} available"
        )
        width = max([len(member["name"]) for member in balancer["members"]] or [0])
        for member in balancer["members"]:
            lines.append(f"  {member['name']:<{width}}  {_member_line(member)}")
        lines += [f"  also in pool {other}" for other in other_pools(balancer, named).values()]
    lines.append(_lease_line(known["lease"]))
    waiting = known.get("waits")
    if waiting:
        yes = f" Approved by {waiting['approved_by']}." if waiting["approved_by"] else ""
        lines.append(
            f"Paused: {waiting['id']} to {waiting['version']}, {waiting['strategy']}, {place(waiting['point'], waiting['number'])} since "
            f"{waiting['since']}, {waiting['why']}.{yes} Run the playbook promote to go on with it, or rollback to undo it."
        )
    elif under_way(known):
        lines.append(f"Under way: {known['journal']['id']} to {known['journal']['version']}.")
    elif known["journal"]:
        lines.append(
            f"Unfinished: {known['journal']['id']} to {known['journal']['version']}. Run the same command again to go on with it, or the "
            "playbook rollback to undo it."
        )
    return lines


def _member_line(member: dict[str, Any]) -> str:
    inherited = member.get("own_state", member["state"]) != member["state"]
    own = f" (inherited; its own state is {member['own_state']})" if inherited else ""
    tier = f", standby (tier {member['tier']})" if member.get("tier") else ""
    flight = "not known" if member["in_flight"] is None else member["in_flight"]
    return f"{member['state']}{own}, {member['health']}, weight {member['weight']}, in flight {flight}{tier}"


def _lease_line(lease: dict[str, Any]) -> str:
    if not lease["held"]:
        return "Lease: free"
    of = f"by {lease['owner']['name']} on {lease['owner'].get('controller')} since {lease['acquired']}"
    if lease.get("proof"):
        return f"Lease: left behind, {of}; {lease['proof']}, so the next rollout takes it at once"
    return f"Lease: {'expired' if lease['expired'] else 'held until ' + lease['expires']}, {of}"
