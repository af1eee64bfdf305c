# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A balancer whose members are called by other names than its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .._domain.counters import Counters, Served
from .._domain.errors import InvalidInput
from .._domain.members import Change, Member
from .._domain.pools import OtherPool, Timing
from .base import Balancer


class Named(Balancer):
    """Passes everything on to `driver`, translating the members' names both ways.

    :param names: a task's name to the balancer's own; members that are not in it keep theirs.
    """

    def __init__(self, driver: Balancer, names: dict[str, Any]) -> None:
        super().__init__(driver.name, driver.endpoint, driver.capabilities)
        self.driver = driver
        self.provider, self.pace, self.watchable = driver.provider, driver.pace, driver.watchable
        self.instance, self.delays_leaving = driver.instance, driver.delays_leaving
        self.running_tells_all = driver.running_tells_all
        self._theirs = {str(ours): str(theirs) for ours, theirs in names.items()}
        self._ours = {theirs: ours for ours, theirs in self._theirs.items()}
        if len(self._ours) < len(self._theirs):
            raise InvalidInput(
                f"Balancer {driver.name}: `names` gives several members the same name. Nothing was touched."
            )

    def lock_name(self) -> str:
        return self.driver.lock_name()

    def version(self) -> str:
        return self.driver.version()

    def heal(self, pool: str) -> None:
        self.driver.heal(pool)

    def members(self, pool: str) -> list[Member]:
        members = self._back(self.driver.members(pool))
        self.capabilities = self.driver.capabilities  # what it read may have narrowed them
        self.in_flight_source = self.driver.in_flight_source
        return members

    def other_pools(self, pool: str) -> list[OtherPool]:
        return [
            replace(other, members=tuple(self._ours.get(name, name) for name in other.members))
            for other in self.driver.other_pools(pool)
        ]

    def timing(self, pool: str) -> Timing:
        return self.driver.timing(pool)

    def drains_first(self, pool: str) -> bool | None:
        return self.driver.drains_first(pool)

    def busy_sentence(self, pool: str, busy: dict[str, int | None]) -> str:
        return self.driver.busy_sentence(pool, {self._name(name): count for name, count in busy.items()})

    def apply(self, pool: str, changes: list[Change], distrust: bool = False) -> list[Member]:
        theirs = [replace(change, name=self._name(change.name)) for change in changes]
        return self._back(self.driver.apply(pool, theirs, distrust))

    def settle(self, pool: str, names: list[str]) -> None:
        self.driver.settle(pool, [self._name(name) for name in names])

    def cut(self, pool: str, names: list[str]) -> None:
        self.driver.cut(pool, [self._name(name) for name in names])

    def add(self, pool: str, name: str, address: str, weight: int | None = None) -> None:
        self.driver.add(pool, self._name(name), address, weight)

    def remove(self, pool: str, names: list[str]) -> None:
        self.driver.remove(pool, [self._name(name) for name in names])

    def persist(self, pool: str, check_mode: bool = False) -> bool:
        return self.driver.persist(pool, check_mode)

    def running(self) -> tuple[str, float]:
        return self.driver.running()

    def counters(self, pool: str) -> dict[str, Counters]:
        counters = self.driver.counters(pool)
        self.capabilities = self.driver.capabilities
        return {self._ours.get(name, name): counted for name, counted in counters.items()}

    def served(self, pool: str) -> Served | None:
        served = self.driver.served(pool)
        self.capabilities = self.driver.capabilities
        return served

    def _name(self, ours: str) -> str:
        return self._theirs.get(ours, ours)

    def _back(self, members: list[Member]) -> list[Member]:
        return [replace(member, name=self._ours.get(member.name, member.name)) for member in members]
