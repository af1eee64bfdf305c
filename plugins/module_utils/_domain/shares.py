# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From shares of the traffic to the whole numbers that balancers take as weights, and back.  Pure."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from math import gcd
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Sequence, Tuple

from .groups import WHOLE, Group, percent

# What all balancers with weights take, together too, for as many members as a pool has; some spread by 16 bits.
HEAVIEST = 65535
# Largest weights that are tried one by one where no weights in range give the shares exactly.
TRIED = 1000
# Kinds of members for which rounding down and up are both tried: each more doubles the work.
BOTH_WAYS = 4

Range = Tuple[int, int]


def weights_for(groups: Sequence[Group], weight_range: Range | None) -> dict[str, int]:
    """The weight of each member of a group whose share is not 0: the smallest that give the shares exactly, else the nearest.

    Members that are to get the same get the same weight.  Nobody who is to get something gets nothing.  Smaller weights are better
    because some balancers send as many requests in a row to one member as its weight says.

    :param groups: with all their members.
    :param weight_range: of the balancer; None where members have no weights, so that each counts as much as any other.
    """
    parts = {name: part for group in groups for name, part in group.parts().items() if part > 0}
    if weight_range is None or not parts:
        return dict.fromkeys(parts, 1)
    least, most = max(weight_range[0], 1), min(weight_range[1], HEAVIEST)
    kinds = sorted(set(parts.values()))
    weights = _exact(kinds, least, most) or _nearest(kinds, groups, parts, least, most)
    return {name: weights[part] for name, part in parts.items()}


def _exact(kinds: List[Fraction], least: int, most: int) -> Dict[Fraction, int] | None:
    """Weights in proportion to the parts, where some in range are."""
    denominator = 1
    for part in kinds:
        denominator = denominator * part.denominator // gcd(denominator, part.denominator)
    whole = [int(part * denominator) for part in kinds]
    common = 0
    for number in whole:
        common = gcd(common, number)
    times = -(-least // (whole[0] // common))
    if whole[-1] // common * times > most:
        return None
    return {part: number // common * times for part, number in zip(kinds, whole)}


def _nearest(
    kinds: List[Fraction], groups: Sequence[Group], parts: Mapping[str, Fraction], least: int, most: int
) -> Dict[Fraction, int]:
    """Of the weights in range those by which the group that is off furthest is off least, and of such the smallest."""
    count = {part: sum(1 for each in parts.values() if each == part) for part in kinds}
    wanted = []
    for group in groups:
        own = list(group.parts().values())
        wanted.append((float(group.share / WHOLE), [(part, own.count(part)) for part in kinds if part in own]))
    best: Tuple[float, int] | None = None
    found: Dict[Fraction, int] = {}
    for weights in _candidates(kinds, least, most, [[part for part, _count in own] for _share, own in wanted]):
        total = sum(weights[part] * number for part, number in count.items())
        off = max(abs(sum(weights[part] * number for part, number in own) / total - share) for share, own in wanted)
        rank = (round(off, 9), total)
        if best is None or rank < best:
            best, found = rank, weights
    return found


def _candidates(
    kinds: List[Fraction], least: int, most: int, together: Sequence[Sequence[Fraction]]
) -> Iterator[Dict[Fraction, int]]:
    """For each weight of the heaviest the others' weights beside it.

    :param together: for each group the kinds of its members, ascending: of those none gets less than one with a smaller part.
    """
    others, heaviest = kinds[:-1], kinds[-1]
    for top in [*range(least, min(most, TRIED) + 1), most]:
        down = [int(part * top / heaviest) for part in others]
        if len(others) <= BOTH_WAYS:
            choices = [sorted({max(least, low), max(least, min(low + 1, top))}) for low in down]
        else:
            choices = [[max(least, round(part * top / heaviest))] for part in others]
        for chosen in product(*choices):
            weights = {**dict(zip(others, chosen)), heaviest: top}
            if all(weights[low] <= weights[high] for own in together for low, high in zip(own, own[1:])):
                yield weights


def given(groups: Sequence[Group], weights: Mapping[str, int]) -> dict[str, Fraction]:
    """The percent that each group gets by these weights; members without one get nothing.  They sum to 100, or all are 0."""
    total = sum(weights.get(name, 0) for group in groups for name in group.members or ())
    return {
        group.name: WHOLE * sum(weights.get(name, 0) for name in group.members or ()) / total if total else Fraction(0)
        for group in groups
    }


def in_proportion(wanted: Mapping[str, int], there: Mapping[str, int]) -> bool:
    """Whether the weights that are there already spread the traffic just as the wanted ones do."""
    if any(there.get(name, 0) < 1 for name in wanted):
        return False
    return len({Fraction(there[name], weight) for name, weight in wanted.items()}) <= 1


def off_by(groups: Sequence[Group], weights: Mapping[str, int]) -> Fraction:
    """How many percent points the group is off that is off furthest."""
    real = given(groups, weights)
    return max(abs(real[group.name] - group.share) for group in groups)


def listed(groups: Iterable[Group], shares: Mapping[str, Any]) -> str:
    """Shares in words: ``blue 95 %, green 5 %``."""
    return ", ".join(f"{group.name} {percent(shares[group.name]):g} %" for group in groups)


def asked(groups: Iterable[Group]) -> dict[str, Fraction]:
    """The shares that are asked for, by group."""
    return {group.name: group.share for group in groups}
