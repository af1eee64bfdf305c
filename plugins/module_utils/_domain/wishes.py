# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `pool_member` is asked for, worked out for the members that a balancer really has.  Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Collection

from .errors import InvalidInput
from .members import ABSENT, ENABLED, STATES, Change, Member

AS_BEFORE = "as_before"


@dataclass(frozen=True)
class Wish:
    """What a task wants of some members of a pool.

    :param names: of the members.
    :param state: a state, ``as_before``, or None to leave it.
    :param weight: None to leave it.
    :param before: for ``as_before``: name to ``{state, weight}``.
    """

    names: tuple[str, ...]
    state: str | None
    weight: int | None
    before: dict[str, dict[str, Any]]


def changes(wish: Wish, members: list[Member], where: str, weight_range: tuple[int, int] | None) -> list[Change]:
    """One change for each wished-for member, in the order asked for.

    :param where: pool and balancer, for messages.
    :param weight_range: None where members have no weights; that none may be asked for is said in `needs`.
    :raises InvalidInput: for unknown members, weights out of range, and nothing to go back to.
    """
    known = {member.name: member for member in members}
    unknown = [name for name in wish.names if name not in known]
    if unknown:
        raise InvalidInput(
            f"{where} has no member {', '.join(unknown)}. Its members are: {', '.join(known) or 'none'}. Nothing was touched."
        )
    return [_change(wish, known[name], where, weight_range) for name in wish.names]


def _change(wish: Wish, member: Member, where: str, weight_range: tuple[int, int] | None) -> Change:
    state, weight = wish.state, wish.weight
    if state == AS_BEFORE:
        known = wish.before.get(member.name)
        if known is None:
            raise InvalidInput(
                f"{where}: `before` says nothing of {member.name}, so there is nothing to go back to. Nothing was touched."
            )
        state, earlier = _earlier(known, member.name, where)
        # A weight that the balancer sets by itself, by an agent, has moved on since and is not ours to bring back.
        weight = earlier if weight is None and weight_range and not member.weight_by else weight
    if weight is not None and weight_range is not None and not weight_range[0] <= weight <= weight_range[1]:
        low, high = weight_range
        raise InvalidInput(f"{where}: weight {weight} of {member.name} is outside {low} to {high}. Nothing was touched.")
    return Change(member.name, state, None if state == ABSENT else weight)


def _earlier(known: Any, name: str, where: str) -> tuple[str, int]:
    try:
        state, weight = str(known["state"]), int(known["weight"])
    except (KeyError, TypeError, ValueError):
        state, weight = "", 0
    if state not in (*STATES, ABSENT):
        raise InvalidInput(
            f"{where}: `before` of {name} is {known!r} and should be like {{state: enabled, weight: 100}}. Nothing was touched."
        )
    return state, weight


def inherited_out(wish: Wish) -> set[str]:
    """Return the members that were out of traffic by inheritance alone, and that `as_before` brings no further than that."""
    if wish.state != AS_BEFORE:
        return set()
    return {name for name, known in wish.before.items() if known.get("effective", known["state"]) != known["state"]}


def split(
    wanted: list[Change], members: list[Member], held_out: Collection[str] = ()
) -> tuple[list[Change], list[Change]]:
    """Part changes into those that keep or take members out, and those that bring members to `enabled`.

    A change of weight alone belongs to the first part: it needs no health and no drain.  Who is to be absent and is, belongs to none.

    :param held_out: members that something else keeps out of traffic, whatever their own state; see :func:`inherited_out`.
    """
    known = {member.name: member for member in members}
    arriving = [c for c in wanted if c.state == ENABLED != known[c.name].own and c.name not in held_out]
    returning = {c.name for c in arriving}
    gone = {c.name for c in wanted if c.state == ABSENT and known[c.name].state == ABSENT}
    return [c for c in wanted if c.name not in returning | gone], arriving


def warmup_weight(own: int, percent: int, weight_range: tuple[int, int] | None) -> int:
    """The weight of a warm-up step: a share of the member's own, never so small that nothing arrives."""
    if own == 0 or weight_range is None:
        return own
    return max(weight_range[0], 1, own * percent // 100)
