# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Groups of members of a pool, as a task describes them, and as they are once it is known who the pool's members are.  Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, Iterable, Mapping, Sequence

from .errors import InvalidInput
from .members import ENABLED, Member

WHOLE = Fraction(100)
KEYS = {"members", "share", "weights"}
LIKE = "Groups are like {blue: {members: [app1, app2], share: 95}, green: {members: [app3, app4], share: 5}}."


@dataclass(frozen=True)
class Group:
    """Some members of a pool that get a share of the traffic together.

    :param members: None for all members in traffic that no other group has.
    :param share: percent.
    :param weights: of its members within the group; those that are not named have 1.
    """

    name: str
    members: tuple[str, ...] | None
    share: Fraction
    weights: Mapping[str, int] = field(default_factory=dict)

    def parts(self) -> dict[str, Fraction]:
        """The percent of the pool's traffic that each member is to get."""
        members = self.members or ()
        whole = sum(self.weights.get(name, 1) for name in members)
        return {name: self.share * self.weights.get(name, 1) / whole for name in members}


def groups_in(described: Any) -> list[Group]:
    """The groups that a task describes.

    One of them may leave out `share`, and has what the others leave of 100; one may leave out `members`.

    :raises InvalidInput: with all that is wrong with them.
    """
    if not isinstance(described, dict) or not described:
        raise InvalidInput(
            f"`groups` is {described!r} and should be a dictionary of groups. {LIKE} Nothing was touched."
        )
    problems = [said for name, about in described.items() for said in _wrong_with(str(name), about)]
    if not problems:
        problems = _wrong_together(described)
    if problems:
        raise InvalidInput(" ".join([*problems, LIKE, "Nothing was touched."]))
    given = sum((_percent(about["share"]) for about in described.values() if "share" in about), Fraction(0))
    return [
        Group(
            str(name),
            tuple(str(member) for member in about["members"]) if "members" in about else None,
            _percent(about["share"]) if "share" in about else WHOLE - given,
            {str(member): int(weight) for member, weight in about.get("weights", {}).items()},
        )
        for name, about in described.items()
    ]


def _wrong_with(name: str, about: Any) -> list[str]:
    """What is wrong with one group by itself."""
    if not isinstance(about, dict):
        return [f"Group {name} is {about!r} and should be a dictionary."]
    problems = []
    strange = sorted(str(key) for key in set(about).difference(KEYS))
    if strange:
        problems.append(
            f"Group {name} has `{'`, `'.join(strange)}`, and there is `members`, `share` and `weights` alone."
        )
    if "share" in about and not 0 <= _percent(about["share"]) <= WHOLE:
        problems.append(f"Group {name} has the share {about['share']!r}, which is no percent from 0 to 100.")
    members = about.get("members", [])
    if not isinstance(members, (list, tuple)) or not all(isinstance(member, str) and member for member in members):
        return [*problems, f"Group {name} has `members` {members!r}, which is no list of names."]
    weights = about.get("weights", {})
    if not isinstance(weights, dict) or not all(_is_weight(weight) for weight in weights.values()):
        problems.append(f"Group {name} has `weights` {weights!r}, which is no dictionary of whole numbers from 1.")
    elif "members" in about and not set(weights) <= set(members):
        strange = sorted(str(member) for member in set(weights).difference(members))
        problems.append(f"Group {name} has weights of {', '.join(strange)}, which its `members` does not name.")
    return problems


def _wrong_together(described: Mapping[str, Any]) -> list[str]:
    """What is wrong with the groups beside each other."""
    problems = []
    for key, what in (("members", "has the members that no other names"), ("share", "has what the others leave")):
        without = [str(name) for name, about in described.items() if key not in about]
        if len(without) > 1:
            problems.append(f"Groups {', '.join(without)} have no `{key}`: one alone {what}.")
    named = [member for about in described.values() for member in about.get("members", [])]
    twice = sorted({member for member in named if named.count(member) > 1})
    if twice:
        problems.append(f"{', '.join(twice)} cannot be in groups twice.")
    total = sum((_percent(about["share"]) for about in described.values() if "share" in about), Fraction(0))
    all_given = all("share" in about for about in described.values())
    if total > WHOLE or (all_given and total != WHOLE):
        problems.append(f"The shares of the groups sum to {percent(total):g} and not to 100.")
    for name, about in described.items():
        share = _percent(about["share"]) if "share" in about else WHOLE - total
        if about.get("members") == [] and share > 0:
            problems.append(f"Group {name} is to get {percent(share):g} % and names no members.")
    return problems


def _percent(share: Any) -> Fraction:
    """What is written as ``5``, ``2.5``, ``"5"`` or ``"5%"``; a negative number when it is none of these."""
    text = str(share).strip()
    text = text[:-1] if text.endswith("%") else text
    try:
        return Fraction(-1) if isinstance(share, bool) or "/" in text else Fraction(text)
    except (ValueError, OverflowError):
        return Fraction(-1)


def _is_weight(weight: Any) -> bool:
    # What comes through a template may be text.
    return not isinstance(weight, bool) and str(weight).isascii() and str(weight).isdigit() and int(weight) > 0


def percent(share: Fraction) -> float:
    """A share as it is shown, to two decimals."""
    return round(float(share), 2)


def filled(groups: Sequence[Group], members: Iterable[Member], where: str, tier: int = 0) -> list[Group]:
    """The groups with all their members.

    :param tier: the tier that the split is about: members of a later one stay what they are unless a group names them.
    :param where: pool and balancer, for messages.
    :raises InvalidInput: for members that are not there, and for those that have traffic and would be in no group: theirs
        would come off the shares.
    """
    members = list(members)
    known = {member.name for member in members}
    named = {name for group in groups for name in group.members or ()}
    unknown = sorted(named - known)
    if unknown:
        raise InvalidInput(
            f"{where} has no member {', '.join(unknown)}. Its members are: {', '.join(m.name for m in members) or 'none'}. "
            "Nothing was touched."
        )
    others = tuple(m.name for m in members if m.name not in named and m.state == ENABLED and m.tier <= tier)
    whole = [replace(group, members=others) if group.members is None else group for group in groups]
    if others and all(group.members is not None for group in groups):
        raise InvalidInput(
            f"{where}: {', '.join(others)} {'is' if len(others) == 1 else 'are'} in traffic and in no group, so the shares would not "
            "hold. Put them into a group, take them out of traffic, or leave out the `members` of one group: it then has all in traffic "
            "that no other names. Nothing was touched."
        )
    for group in whole:
        if group.share > 0 and not group.members:
            raise InvalidInput(
                f"{where}: group {group.name} is to get {percent(group.share):g} %, and nobody is in traffic whom no other group names. "
                "Name its members. Nothing was touched."
            )
    return whole
