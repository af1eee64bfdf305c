# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where metrics come from: one small interface, and what its answers are checked by."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping

from .._domain.errors import InvalidInput
from .._domain.growth import Counter

Groups = Mapping[str, List[str]]
"""The members of ``canary`` and of ``baseline``."""


LARGEST = 10**300


@dataclass(frozen=True)
class Reading:
    """What a source says of one group at one look.

    :param counters: totals by what was counted where.
    :param values: samples that are new since the reading before.
    :param down: members of this group, in words, that a balancer's check finds down where it finds one of the other group up.
    """

    counters: Dict[str, Counter] = field(default_factory=dict)
    values: List[float] = field(default_factory=list)
    down: List[str] = field(default_factory=list)


class Source(ABC):
    """One source of one metric, or of several.

    :cvar whole: what it says at first belongs to the analysis already; else only what comes later does.
    :cvar newcomers: a counter that turns up later has begun at zero.
    """

    whole = False
    newcomers = False

    @abstractmethod
    def read(self, groups: Groups, elapsed: float) -> Dict[str, Reading]:
        """Both groups' figures.

        :param elapsed: seconds since the watch began.
        :raises InvalidInput: this source can never say anything, as it was asked for.
        :raises Unreachable: it does not say anything now.
        """


def counts_of(found: Any, where: str) -> Counter:
    """``{requests: ..., errors: ...}`` as a counter.

    :raises InvalidInput: when it is something else.
    """
    if isinstance(found, dict) and all(_is_count(found.get(key)) for key in ("requests", "errors")):
        return Counter(found["requests"], found["errors"])
    raise InvalidInput(f"{where}: expected requests and errors, both numbers from 0, found {shortened(found)}.")


def values_of(found: Any, where: str) -> list[float]:
    """A list of numbers; null is a value that is missing.

    :raises InvalidInput: when it is something else.
    """
    if isinstance(found, list) and all(value is None or _is_number(value) for value in found):
        return [float("nan") if value is None else float(value) for value in found]
    raise InvalidInput(f"{where}: expected a list of numbers, found {shortened(found)}.")


def shortened(found: Any) -> str:
    """Something strange, for a message."""
    text = " ".join(str(found).split())
    return repr(text if len(text) <= 120 else text[:120] + "…")


def _is_number(value: Any) -> bool:
    if isinstance(value, int) and not isinstance(value, bool):
        return abs(value) <= LARGEST  # beyond it there is no float
    return isinstance(value, float)


def _is_count(value: Any) -> bool:
    return _is_number(value) and 0 <= value < float("inf")
