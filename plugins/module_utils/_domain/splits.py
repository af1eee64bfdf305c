# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a split of the traffic comes to on one balancer: who arrives, who stays, who leaves.  Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Iterable, Mapping, Sequence

from .errors import InvalidInput
from .groups import Group
from .members import DISABLED, DRAINED, ENABLED, STATES, UNKNOWN, UP, Change, Member
from .shares import Range, in_proportion, weights_for
from .wishes import AS_BEFORE, Wish, changes


@dataclass(frozen=True)
class Split:
    """What is to be written.

    :param wanted: what each member is to be, in the order in which it is written where that is not one write: those that arrive
        are in before the others are out.
    :param groups: with all their members; none when it is a way back to what was before.
    """

    wanted: list[Change]
    groups: list[Group]

    def arriving(self, members: Iterable[Member]) -> list[Change]:
        """Of these, who is not in traffic and is to be."""
        now = {member.name: member for member in members}
        return [change for change in self.wanted if change.state == ENABLED != now[change.name].state]

    def altering(self, members: Iterable[Member]) -> list[Change]:
        """Of these, who is not yet what they are to be."""
        now = {member.name: member for member in members}
        return [change for change in self.wanted if change.alters(now[change.name])]

    def out(self, state: str | None = None) -> list[str]:
        """Who is to be out of traffic, in that state or in any."""
        return [c.name for c in self.wanted if c.state != ENABLED and (state is None or c.state == state)]

    def weights(self) -> dict[str, int]:
        """What spreads the traffic, by member in traffic."""
        return {c.name: 1 if c.weight is None else c.weight for c in self.wanted if c.state == ENABLED}


def split_into(groups: Sequence[Group], members: Sequence[Member], leave: str, weight_range: Range | None) -> Split:
    """The changes that give each group its share.

    Weights that are in the right proportion already are left as they are; so are those of a group that gets all of the traffic, unless
    it says what they are to be.  And so is a member that is further out than `leave` asks for: its host may be stopped.

    :param groups: with all their members.
    :param leave: state of those that are to get nothing.
    """
    now = {member.name: member for member in members}
    weights = weights_for(groups, weight_range)
    alone = len([group for group in groups if group.share > 0]) == 1 and not any(group.weights for group in groups)
    own = {name: now[name].weight for name in weights}
    if alone and weight_range is not None and all(weight > 0 for weight in own.values()):
        # Among themselves its members share as they always did: a colour that goes and comes back must not lose that.
        weights = own
    elif in_proportion(weights, {name: member.weight for name, member in now.items()}):
        weights = own
    wanted = []
    for group in groups:
        for name in group.members or ():
            if name in weights:
                wanted.append(Change(name, ENABLED, None if weight_range is None else weights[name]))
            else:
                wanted.append(Change(name, DISABLED if now[name].state == DISABLED else leave))
    return Split(_in_order(wanted, now), list(groups))


def back_to(
    before: Mapping[str, Any], members: Sequence[Member], where: str, weight_range: Range | None, drains: bool
) -> Split:
    """The changes that bring members back to states and weights from before.

    :param before: by name ``{state, weight}``.
    :param drains: whether the balancer knows `drained`; where it does not, so is shown who waits for a check, and is out as well.
    :raises InvalidInput: for members that are not there, and for what is no state or weight.
    """
    gone = [name for name, known in before.items() if isinstance(known, dict) and known.get("state") not in STATES]
    if gone:
        raise InvalidInput(
            f"{where}: `before` of {', '.join(gone)} has no state out of {', '.join(STATES)}. Nothing was touched."
        )
    wanted = changes(Wish(tuple(before), AS_BEFORE, None, dict(before)), list(members), where, weight_range)
    if not drains:
        wanted = [replace(change, state=DISABLED) if change.state == DRAINED else change for change in wanted]
    return Split(_in_order(wanted, {member.name: member for member in members}), [])


def hoped(members: Sequence[Member], split: Split, checks: bool) -> list[Member]:
    """The pool for the guard, which counts who will be in traffic: who arrives is healthy by then, or does not arrive.

    :param checks: whether nobody arrives without a check that passes; without, who is known to be down still counts as that.
    """
    arriving = {change.name for change in split.arriving(members)}
    return [
        replace(member, health=UP)
        if member.name in arriving and member.checked and (checks or member.health == UNKNOWN)
        else member
        for member in members
    ]


def _in_order(wanted: Iterable[Change], now: Mapping[str, Member]) -> list[Change]:
    def turn(change: Change) -> int:
        if change.state != ENABLED:
            return 2
        return 1 if now[change.name].state == ENABLED else 0

    return sorted(wanted, key=turn)


def is_checked_outside(member: Member) -> bool:
    """Whether its balancer checks it though it is out of traffic, and its last check passed."""
    return member.state == DRAINED and member.checked and member.health == UP
