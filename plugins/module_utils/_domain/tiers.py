# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tiers and localities of a pool, held against the shares that a split asks for.  Pure."""

from __future__ import annotations

from typing import Any, Iterable, Sequence

from .errors import InvalidInput
from .groups import Group, filled, groups_in
from .guard import carrying
from .members import ENABLED, Member
from .sentences import listed


def deliverable_groups(described: Any, members: Sequence[Member], where: str) -> list[Group]:
    """Return the groups that a task describes, with all their members.

    :param where: pool and balancer, for messages.
    :raises InvalidInput: with the reason, where they cannot be, or where the balancer cannot give their shares.
    """
    asked = groups_in(described)
    groups = filled(asked, members, where, split_tier(asked, members))
    check_deliverable(where, groups, members)
    return groups


def split_tier(groups: Iterable[Group], members: Sequence[Member]) -> int:
    """Return the tier that a split is about: the lowest of the members that it gives traffic to, else the one that carries it now.

    :param groups: as a task describes them; one may have no members yet.
    """
    getting = {name for group in groups if group.share > 0 for name in group.members or ()}
    tiers = [member.tier for member in members if member.name in getting]
    return min(tiers) if tiers else carrying(members)


def standby(members: Iterable[Member], tier: int) -> list[str]:
    """Return the names of members that get traffic only once every member of `tier` is gone."""
    return [member.name for member in members if member.tier > tier and member.state == ENABLED]


def check_deliverable(where: str, groups: Sequence[Group], members: Sequence[Member]) -> None:
    """Refuse shares that a balancer cannot give by the weights of members.

    :param where: pool and balancer, for the message.
    :param groups: with all their members.  One group that gets everything may have members of any tier.
    :raises InvalidInput: members of several tiers or localities are to share the traffic, or a tier that is served first would
        stay in traffic beside them.
    """
    tier = split_tier(groups, members)
    known = {member.name: member for member in members}
    named = {name for group in groups for name in group.members or ()}
    sharing = [group for group in groups if group.share > 0]
    getting = [known[name] for group in sharing for name in group.members or ()] if len(sharing) > 1 else []
    later = [member.name for member in getting if member.tier > tier]
    if later:
        raise InvalidInput(
            f"{where}: {listed(later)} {'is' if len(later) == 1 else 'are'} standby (tier {known[later[0]].tier}): such a member gets "
            f"traffic only once no member of tier {tier} is available, so weights give it no share beside them. Split the traffic among "
            "members of one tier. Nothing was touched."
        )
    before = [m.name for m in members if m.tier < tier and m.state == ENABLED and m.name not in named]
    if before:
        raise InvalidInput(
            f"{where}: {listed(before)} {'is' if len(before) == 1 else 'are'} served before the members of the groups, which are standby "
            f"(tier {tier}) and would get nothing. Give the shares to members of the first tier. Nothing was touched."
        )
    localities = sorted({member.locality for member in getting})
    if len(localities) > 1:
        raise InvalidInput(
            f"{where}: the members are in the localities {', '.join(name or 'none' for name in localities)}, and this balancer spreads the "
            "traffic over these by its own rules (locality weights, a policy `first`), so weights of members give no shares across them. "
            "Split within one locality, or change that in the balancer's configuration. Nothing was touched."
        )
