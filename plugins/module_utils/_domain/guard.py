# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guard: because of us, no balancer ever has fewer available members than the service's minimum.

Members are counted within the tier that carries the traffic: a `backup` server without traffic makes no room for others to leave.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Iterable

from .errors import InvalidInput, Refused
from .members import DISABLED, Change, Member
from .sentences import listed


def minimum(asked: str | int, total: int) -> int:
    """How many members must stay available.

    :param asked: a count (``2``, ``"2"``) or a share of all members of the pool (``"50%"``, rounded up).
    :param total: members in the pool, whatever their state.
    :raises InvalidInput: for anything else.
    """
    match = re.fullmatch(r"\s*(\d+)\s*(%?)\s*", str(asked))
    if not match or (match.group(2) and int(match.group(1)) > 100):
        raise InvalidInput(
            f"min_available is a count such as 2 or a share such as '50%', not {asked!r}. Nothing was touched."
        )
    number = int(match.group(1))
    return math.ceil(total * number / 100) if match.group(2) else number


def after(members: Iterable[Member], changes: Iterable[Change]) -> list[Member]:
    """The pool as it will be once `changes` are in place (health stays what it is)."""
    wanted = {change.name: change for change in changes}
    result = []
    for member in members:
        change = wanted.get(member.name)
        if change is not None:
            inherited = member.state != member.own and change.state != DISABLED
            member = replace(
                member,
                state=member.state if inherited else change.state or member.state,
                own_state=(change.state or member.own) if inherited else "",
                weight=member.weight if change.weight is None else change.weight,
            )
        result.append(member)
    return result


def carrying(members: Iterable[Member]) -> int:
    """The tier that carries the traffic: the lowest with an available member, else the lowest there is."""
    members = list(members)
    tiers = [member.tier for member in members if member.available] or [member.tier for member in members]
    return min(tiers, default=0)


def of_tier(members: Iterable[Member], tier: int) -> list[Member]:
    """Return the members of one tier, without slots that have no server."""
    return [member for member in members if member.tier == tier and not member.vacant]


def available(members: Iterable[Member], tier: int | None = None) -> int:
    """How many members take new work now.

    :param tier: the tier that is counted; the one that carries the traffic if it is not given.
    """
    members = list(members)
    return sum(member.available for member in of_tier(members, carrying(members) if tier is None else tier))


def check(where: str, members: list[Member], changes: list[Change], min_available: str | int) -> None:
    """Refuse changes that leave too few members.

    Changes that take nothing away pass even when an outage has already brought the pool below its minimum:
    taking out a member that is down costs nobody a request.

    :param where: pool and balancer, for the message.
    :raises Refused: with the count now, the count after, and who is not available already.
    """
    tier = carrying(members)
    counted = of_tier(members, tier)
    floor = minimum(min_available, len(counted))
    now, then = available(members, tier), available(after(members, changes), tier)
    if then >= floor or then >= now:
        return
    missing = [f"{m.name} ({m.state}, {m.health})" for m in counted if not m.available]
    others = [m.name for m in members if m.tier != tier]
    raise Refused(
        f"{where}: {now} of {len(counted)} members are available; this would leave {then}, and the minimum is {floor} "
        f"(min_available: {min_available}). "
        + (f"Not counted, since they are standby or carry no traffic now: {listed(others)}. " if others else "")
        + (f"Not available already: {listed(missing)}. " if missing else "")
        + "Nothing was touched. Take fewer members at a time (serial, rolling_batches), bring others back, or lower the minimum.",
        available=now,
        would_leave=then,
        minimum=floor,
    )


def check_written(where: str, unwritten: list[Member], written: list[Member], min_available: str | int) -> None:
    """Hold a pool, read back after our write, against the minimum: another writer may have come between.

    :param unwritten: the pool as it would be had we not written.
    :param written: the pool as it is.
    :raises Refused: when our write is what brings it below the minimum.
    """
    tier = carrying(unwritten)
    written = of_tier(written, tier)
    floor = minimum(min_available, len(written))
    now, without_us = available(written, tier), available(unwritten, tier)
    if now < floor and now < without_us:
        raise Refused(
            f"{where}: another writer took members out at the same moment; {now} of {len(written)} are available and the "
            f"minimum is {floor} (min_available: {min_available}). Roll out from one place at a time.",
            available=now,
            minimum=floor,
        )
