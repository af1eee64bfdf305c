# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every driver of a balancer can be asked, and what it declares about itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from .._domain.members import Change, Member


@dataclass(frozen=True)
class Capabilities:
    """What a balancer can do, as data: a rollout is held against it before anything is touched.

    :param sticky_drain: a drained member still serves the clients that are bound to it.
    :param in_flight: it tells how many requests each member has under way.
    :param weight_range: smallest and largest weight.
    :param health_readback: it tells whether its own check of a member passes.
    :param fresh_health: it can be made to forget what it knew of a member's health.
    :param cut: it can end a member's requests under way.
    :param survives_reload: states and weights outlive a reload of its configuration.
    """

    sticky_drain: bool
    in_flight: bool
    weight_range: tuple[int, int]
    health_readback: bool
    fresh_health: bool
    cut: bool
    survives_reload: bool


class Balancer(ABC):
    """One running balancer.  Every method may raise a DeployError; none leaves a write unverified."""

    #: the word a user writes for `provider`
    provider: str
    capabilities: Capabilities

    def __init__(self, name: str, endpoint: str) -> None:
        """
        :param name: what a user calls it.
        :param endpoint: where it is; the same for every task that talks to it, whatever it calls it.
        """
        self.name, self.endpoint = name, endpoint

    @abstractmethod
    def version(self) -> str:
        """The server's own version."""

    @abstractmethod
    def members(self, pool: str) -> list[Member]:
        """All members of `pool`, in the balancer's order.

        :raises InvalidInput: when there is no such pool.
        """

    @abstractmethod
    def apply(self, pool: str, changes: list[Change], distrust: bool = False) -> list[Member]:
        """Write `changes` as atomically as the balancer can, read the pool back and return it.

        :param distrust: in the same breath, hold these members to be down until checks that begin after this call have
            passed; they are drained by `changes`.  The last result may be older than the process it speaks of, and
            clients that are bound to a drained member reach it as long as it counts as up.
        :raises Refused: when the balancer does not allow it.
        :raises NotApplied: when it accepted the write and did not do it.
        """

    @abstractmethod
    def cut(self, pool: str, names: list[str]) -> None:
        """End the requests that these members have under way."""
