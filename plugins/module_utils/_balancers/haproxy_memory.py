# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The servers of one backend as this task has seen and written them.  Pure.

HAProxy does not tell who writes a weight, or who switched an agent off.  A weight that changes while an agent is on, and that we did
not write, is the agent's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Collection, Dict, Iterable, List, Mapping, Set, Tuple

from .._domain.members import Change
from .haproxy_member import AGENT, agent_is, own_state
from .haproxy_orders import Now, agent_leaves, orders


class Memory:
    """Of one backend."""

    def __init__(self) -> None:
        self.servers: Dict[str, Now] = {}
        self._weights: Dict[str, int] = {}
        self._rows: Dict[str, Tuple[str, ...]] = {}
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
        rows = {
            state["srv_name"]: (
                state["srv_uweight"],
                state["srv_admin_state"],
                state.get("srv_agent_state") or "0",
                stats[state["srv_name"]]["tracked"],
            )
            for state in states
        }
        for name in self.servers.keys() - rows.keys():
            del self.servers[name]
        # At most looks nothing has changed, and a pool may have a thousand servers.
        for name, row in rows.items():
            if row != self._rows.get(name):
                self.servers[name] = self._now(name, *row)
        self._rows = rows

    def _now(self, name: str, uweight: str, admin_state: str, agent_state: str, tracked: str) -> Now:
        weight, (has_agent, agent_on) = int(uweight), agent_is(agent_state)
        if agent_on and self._weights.get(name, weight) != weight:
            self._moved.add(name)
        self._weights[name] = weight
        return Now(
            own=own_state(int(admin_state)),
            tracks=bool(tracked),
            has_agent=has_agent,
            agent_on=agent_on,
            left_at=self.servers[name].left_at if name in self.servers else "",
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
            self._rows.pop(change.name, None)  # what comes of it is looked at, whether it has changed or not
            if change.weight is not None:
                self._weights[change.name] = change.weight
        return commands
