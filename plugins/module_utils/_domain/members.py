# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Members of a pool, in the words that every balancer shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping, Tuple

ENABLED, DRAINED, DISABLED = "enabled", "drained", "disabled"
STATES = (ENABLED, DRAINED, DISABLED)
ABSENT = "absent"  # no member at all: before it is added, after it is removed

UP, DOWN, STARTING, UNKNOWN = "up", "down", "starting", "unknown"


@dataclass(frozen=True)
class Member:
    """One server of a pool, as its balancer sees it at one moment.

    :param address: ``host:port``, as the balancer knows it.
    :param state: one of :data:`STATES`.
    :param weight: the share of the traffic, in the balancer's own units.
    :param health: ``up``, ``down``, ``starting`` or ``unknown``.
    :param in_flight: requests and connections under way or queued; None when the balancer does not tell.
    :param checked: whether the balancer finds out about the member's health by itself.
    :param last_check: the balancer's own words about its last check, for messages.
    :param own_state: what was written to this member itself, where that differs from `state`: maintenance may be inherited from a
        tracked server, from name resolution or from an agent.  Empty where both are the same.
    :param tier: 0 is served first; a higher tier gets traffic only while no lower one has an available member (`backup` servers, hot
        standbys, `lbset`, priorities, failover).
    :param locality: where weights spread the traffic within one locality alone, the name of it.
    :param check_progress: checks passed and checks needed, ``(1, 3)``, of a member that is on its way up or down; None where the
        balancer does not tell.
    :param weight_by: writer of the weight, where that is the balancer itself: ``agent``.  Such a weight is neither compared nor written
        unless a task asks for it.
    :param slot: name that resolves to the addresses of several members, where this one is given any of them (`server-template`): no host
        is bound to such a member.
    :param requests: requests or sessions that the member has been given since its balancer started; None where it does not count.
    """

    name: str
    address: str
    state: str
    weight: int
    health: str
    in_flight: int | None = None
    checked: bool = True
    last_check: str = ""
    own_state: str = ""
    tier: int = 0
    locality: str = ""
    check_progress: Tuple[int, int] | None = None
    weight_by: str = ""
    requests: int | None = None
    slot: str = ""

    @property
    def vacant(self) -> bool:
        """Whether it is a slot without a server."""
        return bool(self.slot) and self.address == "-"

    @property
    def own(self) -> str:
        """The state that was written to this member itself."""
        return self.own_state or self.state

    @property
    def available(self) -> bool:
        """Whether the balancer gives it new work: enabled, not empty of weight, and not known to be down.

        A member without a health check counts: its balancer does send it traffic.
        """
        if self.state != ENABLED or self.weight == 0:
            return False
        return self.health in (UP, STARTING) or not self.checked

    @property
    def healthy(self) -> bool:
        """Whether the balancer's check, if there is one, is content."""
        return self.health in (UP, STARTING)

    def as_dict(self) -> dict[str, Any]:
        """The member as a task's result shows it."""
        slot = {"slot": self.slot} if self.slot else {}
        return {
            "name": self.name,
            "address": self.address,
            "state": self.state,
            "own_state": self.own,
            "tier": self.tier,
            "weight": self.weight,
            "weight_by": self.weight_by,
            "health": self.health,
            "in_flight": self.in_flight,
            "checked": self.checked,
            "last_check": self.last_check,
            **slot,
        }

    def describe(self) -> str:
        """The member in one line, for a diff."""
        if self.state == ABSENT:
            return self.state
        inherited = "" if self.own == self.state else f" (inherited; its own state is {self.own})"
        return f"{self.state}{inherited}, weight {self.weight}"


@dataclass(frozen=True)
class Change:
    """What one member is to become; None leaves that side as it is."""

    name: str
    state: str | None = None
    weight: int | None = None

    def alters(self, member: Member) -> bool:
        """Whether `member` is not yet what this asks for: by its own state, since an inherited one may end at any moment."""
        return (self.state is not None and self.state != member.own) or (
            self.weight is not None and self.weight != member.weight and not member.weight_by
        )

    def describe(self) -> str:
        """What is wanted, in a few words, for messages."""
        state = [] if self.state is None else [self.state]
        weight = [] if self.weight is None else [f"weight {self.weight}"]
        return ", ".join(state + weight)


def absent(name: str, address: str = "") -> Member:
    """A member that is not in the pool.

    :param address: that it is to be added with.
    """
    return Member(name, address, ABSENT, 1, UNKNOWN, 0)  # 1 is what balancers give who is added without a weight


def undo(member: Member, weighed: bool = True) -> Change:
    """The change that brings back what was written to a member: what it inherits comes and goes by itself.

    :param weighed: whether its balancer knows weights.
    """
    return Change(member.name, member.own, member.weight if weighed and not member.weight_by else None)


def as_recorded(member: Mapping[str, Any], kept: Mapping[str, Any]) -> bool:
    """Return whether a member is as :func:`kept_state` kept it.

    :param member: as :meth:`Member.as_dict` returns it.
    """
    if (member.get("own_state") or member["state"]) != kept["state"]:
        return False
    return bool(member.get("weight_by")) or member["weight"] == kept["weight"]


def kept_state(member: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a member that a task can bring back later: ``{state, weight}``, and `effective` where that is another state.

    :param member: as :meth:`Member.as_dict` returns it.
    """
    own = member.get("own_state") or member["state"]
    kept = {"state": own, "weight": member["weight"]}
    return kept if own == member["state"] else {**kept, "effective": member["state"]}
