# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The servers of one backend as this task has seen and written them.  Pure.

HAProxy does not tell who writes a weight, or who switched an agent off.  A weight that changes while an agent is on, and that we did
not write, is the agent's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Collection, Dict, Iterable, List, Mapping, Set

from .._domain.members import Change
from .haproxy_member import AGENT, agent_is, own_state
from .haproxy_orders import Now, agent_leaves, orders


class Memory:
    """Of one backend."""

    def __init__(self) -> None:
        self.servers: Dict[str, Now] = {}
        self._weights: Dict[str, int] = {}
        self._moved: Set[str] = set()

    @property
    def has_agents(self) -> bool:
        """Whether one of the servers has an agent."""
        return any(now.has_agent for now in self.servers.values())

    def note(self, states: Iterable[Mapping[str, str]], stats: Mapping[str, Mapping[str, str]]) -> None:
        """Take in what was read.

        :param states: the rows of ``show servers state``.
        :param stats: those of ``show stat``, by server.
        :raises KeyError: for a column that is missing.
        :raises ValueError: for a number that is none.
        """
        before, last = self.servers, self._weights
        self.servers, self._weights = {}, {}
        for state in states:
            name, weight = state["srv_name"], int(state["srv_uweight"])
            has_agent, agent_on = agent_is(state)
            if agent_on and last.get(name, weight) != weight:
                self._moved.add(name)
            self._weights[name] = weight
            self.servers[name] = Now(
                own=own_state(int(state["srv_admin_state"])),
                tracks=bool(stats[name]["tracked"]),
                has_agent=has_agent,
                agent_on=agent_on,
                left_at=before[name].left_at if name in before else "",
                weight_by=AGENT if agent_on and name in self._moved else "",
            )

    def orders(self, pool: str, changes: Iterable[Change], busy: Collection[str], distrust: bool) -> List[List[str]]:
        """The commands for each change, which are about to be given.

        :param busy: the servers that must not be marked down.
        """
        commands = []
        for change in changes:
            seen = replace(self.servers.get(change.name, Now()), spared=change.name in busy)
            commands.append(orders(f"{pool}/{change.name}", change, seen, distrust))
            if agent_leaves(change, seen):
                self.servers[change.name] = replace(seen, left_at=seen.left_at or seen.own)
            if change.weight is not None:
                self._weights[change.name] = change.weight
        return commands
