# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shares of the traffic that a balancer cannot give, in sentences.  Pure."""

from __future__ import annotations

import math
from typing import Mapping, Sequence

from .groups import Group
from .shares import asked, given, listed, off_by, percent, weights_for


def uneven(who: str, groups: Sequence[Group], tolerance: float, prefix: str) -> list[str]:
    """Without weights every member in traffic gets as much as any other: the sentence, or none.

    :param who: the balancer, as a sentence begins.
    :param groups: with all their members.
    :param tolerance: percent points.
    :param prefix: of the options' names where the user sets them.
    """
    weights = weights_for(groups, None)
    if off_by(groups, weights) <= tolerance:
        return []
    return [
        f"{who} has no weights, or none as it is configured: each member in traffic gets as much as any other, which makes "
        f"{listed(groups, given(groups, weights))} and not {listed(groups, asked(groups))}. Ask for shares that the "
        f"number of members gives, such as 0 and 100, or accept these with `{prefix}tolerance: {math.ceil(off_by(groups, weights))}`."
    ]


def off_sentence(where: str, groups: Sequence[Group], weights: Mapping[str, int], tolerance: float) -> str:
    """That whole numbers within the balancer's range cannot give the shares, where they are off by more than the tolerance; or nothing."""
    off = off_by(groups, weights)
    if off <= tolerance:
        return ""
    return (
        f"{where}: its weights, {min(weights.values())} to {max(weights.values())} here, give {listed(groups, given(groups, weights))}, "
        f"though {listed(groups, asked(groups))} were asked for: {percent(off):g} points off."
    )
