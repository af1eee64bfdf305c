# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts of the balancers that decide whether a rollout may begin, and the lines of the plan that show them.  Pure."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any, Collection, Iterable, Mapping, Sequence

from .sentences import listed

Balancers = Sequence[Mapping[str, Any]]


def balancer_problems(balancers: Balancers, members: Iterable[str], options: Mapping[str, Any]) -> list[str]:
    """Return the sentences that speak against beginning: pools that the service does not name, and waits that are too short.

    :param balancers: as `pool_info` returned them, with `details`.
    :param members: names of the members that the rollout takes out.
    :param options: ``accepted_pools``, ``drain_timeout``, ``health``, ``health_timeout``, and ``addresses``, of the members' hosts by
        member, as far as they are known.
    """
    leaving = {*members}
    problems = _unnamed_pools(balancers, leaving, options.get("accepted_pools") or [])
    for balancer in balancers:
        problems += _too_short(balancer, options) + _other_hosts(balancer, leaving, options.get("addresses") or {})
    return problems


def _other_hosts(balancer: Mapping[str, Any], leaving: Collection[str], addresses: Mapping[str, str]) -> list[str]:
    """A slot of a `server-template` gets any address of its name: another host may be meant by it than the one of that name."""
    wrong = [
        f"{member['name']} is at {member['address']} and its host at {addresses[member['name']]}"
        for member in balancer["members"]
        if member.get("slot") and member["name"] in leaving and _is_other(member["address"], addresses.get(member["name"], ""))
    ]
    if not wrong:
        return []
    return [
        f"Balancer {balancer['name']}, pool {balancer['pool']}: slots of a server-template are bound to no host, and these have another "
        f"host's address now: {'; '.join(wrong)}. Set rollout_member of each host to the slot that has its address, or write a "
        "`server` line for each host."
    ]


def _is_other(address: str, host: str) -> bool:
    try:
        return ip_address(address.rpartition(":")[0].strip("[]")) != ip_address(host)
    except ValueError:  # no address, or a name
        return address == "-"


def pools_by_endpoint(balancers: Balancers) -> dict[str, set[str]]:
    """Return the pools that a service names, by the balancer that they are on.

    :param balancers: as `pool_info` returned them: one for each pool.
    """
    named: dict[str, set[str]] = {}
    for balancer in balancers:
        named.setdefault(_endpoint(balancer), set()).add(balancer["pool"])
    return named


def other_pools(
    balancer: Mapping[str, Any], named: Mapping[str, set[str]], leaving: Collection[str] | None = None
) -> dict[str, str]:
    """Return the pools over the same servers that the service does not name: by name the sentence that shows each.

    :param named: see :func:`pools_by_endpoint`.
    :param leaving: members that matter; all of them if it is not given.
    """
    found = {}
    for other in balancer.get("other_pools") or []:
        names = [name for name in other["members"] if leaving is None or name in leaving]
        if names and other["name"] not in named[_endpoint(balancer)]:
            found[other["name"]] = f"{other['name']} ({listed(names)}: {other['reason']})"
    return found


def _endpoint(balancer: Mapping[str, Any]) -> str:
    return str(balancer.get("endpoint", balancer["name"]))


def _unnamed_pools(balancers: Balancers, leaving: set[str], accepted: Sequence[str]) -> list[str]:
    named = pools_by_endpoint(balancers)
    problems = []
    for balancer in balancers:
        others = other_pools(balancer, named, leaving)
        found = {name: shown for name, shown in others.items() if name not in accepted}
        if not found:
            continue
        problems.append(
            f"Balancer {balancer['name']}: requests reach members of pool {balancer['pool']} by other pools too, which this service "
            f"does not name: {'; '.join(found.values())}. They would be cut when a host is restarted. Add these pools to rollout_pools "
            f"(or to `pool` of the entry in rollout_balancers), or accept it with rollout_accepted_pools: [{', '.join(sorted(found))}]."
        )
    return problems


def _too_short(balancer: Mapping[str, Any], options: Mapping[str, Any]) -> list[str]:
    where = f"Balancer {balancer['name']}, pool {balancer['pool']}"
    timing = balancer.get("timing") or {}
    leave, check = timing.get("leave"), timing.get("check")
    source = f" ({timing['source']})" if timing.get("source") else ""
    problems = []
    if leave is not None and leave > float(options["drain_timeout"]):
        problems.append(
            f"{where}: a member that leaves is busy for {leave:g} s by the balancer's own configuration{source}, and "
            f"traffic_drain_timeout is {float(options['drain_timeout']):g} s. Set it to more than {leave:g}, or lower the balancer's delay."
        )
    if check is not None and options.get("health") == "fresh" and check > float(options["health_timeout"]):
        problems.append(
            f"{where}: its health check takes up to {check:g} s to bring a member up{source}, and traffic_health_timeout is "
            f"{float(options['health_timeout']):g} s. Set it to more than {check:g}, or let the balancer check more often."
        )
    return problems


def plan_lines(name: str, groups: Sequence[Sequence[str]], balancers: Balancers, options: Mapping[str, Any]) -> list[str]:
    """Return the plan as a person reads it: batches, then each pool on each balancer.

    :param name: of the rollout, as a line begins.
    :param options: ``drain_timeout``, ``drain_wait``, ``health``, ``health_timeout``.
    """
    lines = [f"{name}: {'; '.join(listed([*group]) for group in groups) or 'nothing to deploy'}."]
    for balancer in balancers:
        slots = [f"{m['name']} ({m['slot']}, now {m['address']})" for m in balancer["members"] if m.get("slot")]
        lines.append(
            f"Balancer {balancer['name']} ({balancer['provider']} {balancer.get('version', 'unknown')}), pool {balancer['pool']}: "
            f"{_by_tier(balancer)}. In flight: {_source(balancer, options)}. Longest wait: {_longest(balancer, options)}."
            + (f" Slots of a server-template, bound to no host: {listed(slots)}." if slots else "")
        )
    return lines


def _by_tier(balancer: Mapping[str, Any]) -> str:
    tiers: dict[int, list[str]] = {}
    for member in balancer["members"]:
        tiers.setdefault(member.get("tier", 0), []).append(member["name"])
    if not tiers:
        return "no members"
    if len(tiers) == 1:
        return listed(next(iter(tiers.values())))
    return "; ".join(f"tier {tier}: {listed(names)}" for tier, names in sorted(tiers.items()))


def _source(balancer: Mapping[str, Any], options: Mapping[str, Any]) -> str:
    if not balancer["capabilities"]["in_flight"]:
        return f"not told by this balancer, so every drain takes {float(options['drain_wait']):g} s"
    return balancer.get("in_flight_source") or "counted by the balancer"


def _longest(balancer: Mapping[str, Any], options: Mapping[str, Any]) -> str:
    can, timing = balancer["capabilities"], balancer.get("timing") or {}
    leaves = float(options["drain_timeout"] if can["in_flight"] else options["drain_wait"])
    out = f"{leaves:g} s to leave"
    if options.get("health") != "fresh":
        return f"{out}, none to return"
    if timing.get("check") is None:
        return f"{out}, {float(options['health_timeout']):g} s to return"
    source = f" ({timing['source']})" if timing.get("source") else ""
    return f"{out}, {timing['check']:g} s to return{source}"
