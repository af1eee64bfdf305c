# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The balancers' own counters, by member."""

from __future__ import annotations

from typing import Any, Callable, Dict, List

from .._domain.errors import InvalidInput
from .._domain.growth import Counter
from .._domain.members import DOWN, ENABLED
from .source import Groups, Reading, Source

ReadPool = Callable[[bool], List[Dict[str, Any]]]
"""Reads the pool from every balancer: ``balancers`` of `pool_info`'s result, where asked for with ``counters`` in each member."""


class BalancerHealth(Source):
    """What the balancers' own checks find of a group's members.

    :param read_pool: how to read it; the balancers may be on other hosts.
    """

    def __init__(self, read_pool: ReadPool) -> None:
        self._read_pool = read_pool

    def read(self, groups: Groups, elapsed: float) -> Dict[str, Reading]:
        """See :class:`Source`."""
        del elapsed
        balancers = self._read_pool(False)
        return {group: Reading(down=_down(balancers, group, groups)) for group in groups}


class BalancerCounters(BalancerHealth):
    """Requests and errors of a group's members too, added up over all balancers."""

    def read(self, groups: Groups, elapsed: float) -> Dict[str, Reading]:
        """See :class:`Source`. The balancers are read once for both groups."""
        del elapsed
        balancers = self._read_pool(True)
        counting = {
            (balancer["name"], member["name"]): member["counters"]
            for balancer in balancers
            for member in balancer["members"]
            if member.get("counters")
        }
        self._check(groups, balancers, {member for _balancer, member in counting})
        return {
            group: Reading(
                counters={
                    f"{balancer}/{member}": Counter(counters["requests"], counters["errors"], str(counters["since"]))
                    for (balancer, member), counters in counting.items()
                    if member in members
                },
                down=_down(balancers, group, groups),
            )
            for group, members in groups.items()
        }

    @staticmethod
    def _check(groups: Groups, balancers: List[Dict[str, Any]], counted: set[str]) -> None:
        names = ", ".join(balancer["name"] for balancer in balancers)
        there = {member["name"] for balancer in balancers for member in balancer["members"]}
        wanted = [member for members in groups.values() for member in members]
        unknown = sorted(member for member in wanted if member not in there)
        if unknown:
            raise InvalidInput(
                f"{', '.join(unknown)}: no such member of the pool on {names}, which has {', '.join(sorted(there))}."
            )
        uncounted = sorted(member for member in wanted if member not in counted)
        if uncounted:
            raise InvalidInput(
                f"{names}: no counters of requests and errors for {', '.join(uncounted)}. "
                "Take another source for this metric, such as prometheus or command."
            )


def _down(balancers: List[Dict[str, Any]], group: str, groups: Groups) -> List[str]:
    """Of the group, who is down for a balancer that has one of the other group up: else it may be the balancer, or its line."""
    others = {member for name, members in groups.items() if name != group for member in members}
    found = []
    for balancer in balancers:
        serving = [member for member in balancer["members"] if member["state"] == ENABLED]
        if any(member["name"] in others and member["health"] != DOWN for member in serving):
            down = [member for member in serving if member["name"] in groups[group] and member["health"] == DOWN]
            found += [f"{member['name']} on {balancer['name']} ({member['last_check'] or 'no more is known'})" for member in down]
    return found
