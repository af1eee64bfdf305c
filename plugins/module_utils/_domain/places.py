# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a journal has by names that users may change before it is finished: of balancers, and of hosts in the inventory.  Pure.

A balancer is found again by where it is, a host by its member.
"""

from __future__ import annotations

from typing import Any, Mapping

from .members import kept_state


def under_present_names(before: dict[str, Any], balancers: list[dict[str, Any]]) -> dict[str, Any]:
    """What was before a rollout, by the names that its balancers have now. Of a balancer that is new, members are taken as they are.

    :param before: of a journal; its ``places`` say where each balancer is.
    :param balancers: what `pool_info` returned.
    """
    if not before.get("balancers"):
        return before
    now = {place(balancer): balancer["name"] for balancer in balancers}
    names = {name: now.get(where, name) for name, where in (before.get("places") or {}).items()}
    known = {names.get(name, name): members for name, members in before["balancers"].items()}
    ours = {*(before.get("members") or {}).values()}
    for balancer in balancers:
        known.setdefault(
            balancer["name"], {one["name"]: kept_state(one) for one in balancer["members"] if one["name"] in ours}
        )
    return {**before, "balancers": known, "places": {**(before.get("places") or {}), **places(balancers)}}


def under_present_hosts(before: dict[str, Any], members: Mapping[str, str]) -> dict[str, Any]:
    """What was before a rollout, by the names that its hosts have in the inventory now.

    :param before: of a journal.
    :param members: of the hosts that there are, by host.
    :return: also ``names``: of the hosts that are called otherwise now, by the names in the journal's events.
    """
    known = before.get("members") or {}
    now = {member: host for host, member in members.items() if host not in known}
    names = {host: now[member] for host, member in known.items() if host not in members and member in now}
    if not names:
        return before
    return {
        **before,
        "members": {names.get(host, host): member for host, member in known.items()},
        "versions": {names.get(host, host): version for host, version in (before.get("versions") or {}).items()},
        "names": {**{old: names.get(new, new) for old, new in (before.get("names") or {}).items()}, **names},
    }


def places(balancers: list[dict[str, Any]]) -> dict[str, str]:
    """Where each balancer is, by its name."""
    return {balancer["name"]: place(balancer) for balancer in balancers}


def place(balancer: Mapping[str, Any]) -> str:
    """Where a balancer is: no other one of a service is there, whatever it is called."""
    return f"{balancer['provider']} {balancer['endpoint']} {balancer['pool']}"
